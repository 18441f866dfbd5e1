//! [`WireError`]: why bytes are refused, and where.

use thiserror::Error;

use crate::frame::RecordKind;

/// Why bytes are not a record.
///
/// Every offset counts from the first byte of the record.
///
/// Source: `docs/WIRE.md`, "Refusals".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum WireError {
    /// There are fewer bytes than a frame's head has.
    #[error("a record has at least {expected} bytes and this has {got}")]
    HeadTruncated {
        /// The length of the head.
        expected: usize,
        /// The bytes that are there.
        got: usize,
    },
    /// The first bytes are not the magic.
    #[error("the record begins with {got:02x?} instead of {expected:02x?}")]
    Magic {
        /// The magic.
        expected: [u8; 2],
        /// The bytes in its place.
        got: [u8; 2],
    },
    /// No record kind has this byte: a newer writer, or damage.
    #[error("no record kind has the byte {got:#04x} (offset 2)")]
    UnknownKind {
        /// The byte.
        got: u8,
    },
    /// A sound frame of another kind of record.
    #[error("expected a {expected}, got a record of kind {got:?}")]
    UnexpectedKind {
        /// What the caller asked for.
        expected: &'static str,
        /// What it is.
        got: RecordKind,
    },
    /// The record kind is known, its format version is not: a newer writer.
    #[error(
        "records of kind {kind:?} are read in version {expected}, this has version {got} (offset 3)"
    )]
    UnknownVersion {
        /// The record kind.
        kind: RecordKind,
        /// The version that is read.
        expected: u8,
        /// The version of the record.
        got: u8,
    },
    /// The record is longer than any record may be.
    #[error("a record has at most {expected} bytes and this has {got}")]
    TooLong {
        /// The limit.
        expected: usize,
        /// The length.
        got: usize,
    },
    /// The bytes end within a TLV type or length.
    #[error("the type or length at offset {offset} needs {expected} bytes and {got} are left")]
    BigSizeTruncated {
        /// Where the integer begins.
        offset: usize,
        /// Its length.
        expected: usize,
        /// The bytes that are left.
        got: usize,
    },
    /// A TLV type or length is not in its shortest form.
    #[error("the type or length at offset {offset} says {value} in more bytes than it needs")]
    BigSizeNotMinimal {
        /// Where the integer begins.
        offset: usize,
        /// What it says.
        value: u64,
    },
    /// A TLV type does not rise: it is doubled or out of order.
    #[error("type {got} at offset {offset} follows type {previous}")]
    TypeOrder {
        /// Where the type begins.
        offset: usize,
        /// The type before it.
        previous: u64,
        /// The type.
        got: u64,
    },
    /// A TLV claims more bytes than are left.
    #[error("type {tlv_type} at offset {offset} claims {expected} bytes and {got} are left")]
    ValueTruncated {
        /// Where the type begins.
        offset: usize,
        /// The type.
        tlv_type: u64,
        /// The claim.
        expected: u64,
        /// The bytes that are left.
        got: usize,
    },
    /// An even type that this reader does not know: to skip it would be to misunderstand the
    /// record.
    #[error("type {tlv_type} at offset {offset} is even and unknown")]
    UnknownEven {
        /// Where the type begins.
        offset: usize,
        /// The type.
        tlv_type: u64,
    },
    /// A type that every record of this kind has is missing.
    #[error("type {tlv_type} is missing before offset {offset}")]
    Missing {
        /// Where it ought to have been.
        offset: usize,
        /// The type.
        tlv_type: u64,
    },
    /// The value of a TLV is not what its type says.
    #[error("the value of type {tlv_type} is wrong at offset {offset}: {fault}")]
    Value {
        /// How far the value was read: behind what was refused, or before what is missing.
        offset: usize,
        /// The type.
        tlv_type: u64,
        /// What is wrong.
        fault: ValueFault,
    },
    /// The record says something sound in bytes that no writer makes of it.
    #[error("byte {offset} differs from the one encoding of what the record says")]
    NotCanonical {
        /// The first byte that differs.
        offset: usize,
    },
}

impl WireError {
    /// Returns the place in the record that is refused, counted from its first byte.
    ///
    /// # Shape
    ///
    /// Never behind the end of the bytes.
    ///
    /// Source: `docs/WIRE.md`, "Refusals".
    pub fn offset(&self) -> usize {
        match *self {
            Self::HeadTruncated { got, .. } => got,
            Self::Magic { .. } => 0,
            Self::UnknownKind { .. } | Self::UnexpectedKind { .. } => 2,
            Self::UnknownVersion { .. } => 3,
            Self::TooLong { expected, .. } => expected,
            Self::BigSizeTruncated { offset, .. }
            | Self::BigSizeNotMinimal { offset, .. }
            | Self::TypeOrder { offset, .. }
            | Self::ValueTruncated { offset, .. }
            | Self::UnknownEven { offset, .. }
            | Self::Missing { offset, .. }
            | Self::Value { offset, .. }
            | Self::NotCanonical { offset } => offset,
        }
    }
}

/// What is wrong with the value of a TLV.
///
/// Source: `docs/WIRE.md`, "Values".
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ValueFault {
    /// It ends too early.
    #[error("{missing} more bytes expected")]
    Truncated {
        /// How many bytes the next field lacks, at least.
        missing: usize,
    },
    /// It goes on behind its last field.
    #[error("{count} bytes too many")]
    Trailing {
        /// How many bytes too many.
        count: usize,
    },
    /// An integer has a width that its field cannot hold, or a reserved one.
    #[error("an integer wider than its field")]
    IntegerWidth,
    /// A boolean is neither 0 nor 1.
    #[error("a boolean of {got}")]
    Boolean {
        /// The byte.
        got: u8,
    },
    /// The mark of an optional field is neither 0 nor 1.
    #[error("the mark of an optional field is {got}")]
    Option {
        /// The mark.
        got: u32,
    },
    /// A length that no value can have.
    #[error("a length beyond every limit")]
    Length,
    /// 33 bytes are no point of the curve.
    #[error("not a public key")]
    PublicKey,
    /// 64 bytes are no signature.
    #[error("not a signature")]
    Signature,
    /// A byte string is no transaction, or not only one.
    #[error("not a transaction")]
    Transaction,
    /// A variant index or a number is outside the range of its field.
    #[error("a variant or a number outside the range of its field")]
    Range,
}
