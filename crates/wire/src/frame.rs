//! [`Frame`]: what a record is, and its TLV stream, before anything is understood.
//!
//! ```text
//!   0      1      2      3      4
//! ┌──────┬──────┬──────┬──────┬───────────────────────────────┐
//! │ 'L'  │ 'W'  │ kind │  01  │ TLV stream, to the last byte  │
//! └──────┴──────┴──────┴──────┴───────────────────────────────┘
//! TLV:  type (BigSize) · length (BigSize) · value
//! ```

use alloc::vec::Vec;

use crate::bigsize;
use crate::error::WireError;

/// The first bytes of every record.
///
/// Source: `docs/WIRE.md`, "Frame".
pub const MAGIC: [u8; 2] = *b"LW";

/// The format version that is written and read.
///
/// Source: `docs/WIRE.md`, "Versions".
pub const VERSION: u8 = 1;

/// The longest record, in bytes: far above a snapshot of any channel or book.
///
/// Source: `docs/WIRE.md`, "Frame".
pub const MAX_RECORD_BYTES: usize = 1 << 30;

/// The bytes before the TLV stream.
pub(crate) const HEAD_BYTES: usize = 4;

/// What a record is about; the third byte of its frame.
///
/// Source: `docs/WIRE.md`, "Record kinds".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RecordKind {
    /// Changes a monitor.
    Monitor(MonitorRecordKind),
    /// Changes the payment book.
    Payment(PaymentRecordKind),
    /// Everything that a monitor remembers.
    MonitorState,
    /// Everything that the payment book remembers.
    BookState,
    /// What must be known of a channel while its monitor is not in memory.
    Card,
    /// The best chain as far as it was followed.
    ChainTip,
    /// What a payment book knows of its monitors' log.
    BookMark,
    /// What the user is told.
    Event(EventRecordKind),
}

/// The kinds of [`MonitorRecord`](lastword_types::MonitorRecord).
///
/// Source: `docs/WIRE.md`, "Monitor records".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MonitorRecordKind {
    /// The channel begins to exist.
    Created,
    /// The channel moved.
    Update,
    /// The consumer durably knows what became of an HTLC.
    Release,
    /// A block joined the best chain.
    Connected,
    /// Blocks left the best chain.
    Disconnected,
    /// No further attempt of a payment is made.
    GivenUp,
    /// An unconfirmed transaction showed a preimage.
    Mempool,
    /// Tombstones are dropped.
    PruneTombstones,
    /// The channel is over and done with.
    Archive,
    /// The channel of the inbound half of a forward is closed.
    InboundOnChain,
    /// Received HTLCs are claimed.
    Claim,
    /// A payment was told as unknown.
    ToldUnknown,
}

/// The kinds of [`PaymentRecord`](lastword_types::PaymentRecord).
///
/// Source: `docs/WIRE.md`, "Payment records".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaymentRecordKind {
    /// A payment begins.
    Intent,
    /// A payment that only the monitors knew.
    Rebuilt,
    /// The caller gives up.
    Abandoned,
    /// The one outcome.
    Decided,
    /// The user's handler returned from an event.
    Handled,
    /// The monitors prove that the user knows the outcome.
    Adopted,
    /// A finished payment leaves the book.
    Dropped,
    /// A further attempt of a payment.
    Retried,
    /// The book enters an epoch.
    EpochRaised,
}

/// The kinds of [`Event`](lastword_types::Event).
///
/// Source: `docs/WIRE.md`, "Events".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum EventRecordKind {
    /// The recipient was paid.
    PaymentSent,
    /// A part was taken.
    PaymentPathSuccessful,
    /// A part failed.
    PaymentPathFailed,
    /// Nobody was paid.
    PaymentFailed,
    /// Something that a person should hear of.
    Alarm,
    /// A probe ended.
    Probed,
    /// What became of a payment is not known any more.
    PaymentUnknown,
    /// A payment was received.
    PaymentClaimed,
}

impl RecordKind {
    /// Every kind, by its byte.
    ///
    /// Source: `docs/WIRE.md`, "Record kinds".
    pub const ALL: [(u8, Self); 34] = [
        (0x01, Self::Monitor(MonitorRecordKind::Created)),
        (0x02, Self::Monitor(MonitorRecordKind::Update)),
        (0x03, Self::Monitor(MonitorRecordKind::Release)),
        (0x04, Self::Monitor(MonitorRecordKind::Connected)),
        (0x05, Self::Monitor(MonitorRecordKind::Disconnected)),
        (0x06, Self::Monitor(MonitorRecordKind::Mempool)),
        (0x07, Self::Monitor(MonitorRecordKind::PruneTombstones)),
        (0x08, Self::Monitor(MonitorRecordKind::Archive)),
        (0x0A, Self::Monitor(MonitorRecordKind::GivenUp)),
        (0x0B, Self::Monitor(MonitorRecordKind::InboundOnChain)),
        (0x0C, Self::Monitor(MonitorRecordKind::Claim)),
        (0x0D, Self::Monitor(MonitorRecordKind::ToldUnknown)),
        (0x11, Self::Payment(PaymentRecordKind::Intent)),
        (0x12, Self::Payment(PaymentRecordKind::Rebuilt)),
        (0x13, Self::Payment(PaymentRecordKind::Abandoned)),
        (0x14, Self::Payment(PaymentRecordKind::Decided)),
        (0x15, Self::Payment(PaymentRecordKind::Handled)),
        (0x16, Self::Payment(PaymentRecordKind::Adopted)),
        (0x17, Self::Payment(PaymentRecordKind::Dropped)),
        (0x18, Self::Payment(PaymentRecordKind::EpochRaised)),
        (0x1A, Self::Payment(PaymentRecordKind::Retried)),
        (0x21, Self::MonitorState),
        (0x22, Self::BookState),
        (0x23, Self::Card),
        (0x24, Self::ChainTip),
        (0x25, Self::BookMark),
        (0x31, Self::Event(EventRecordKind::PaymentSent)),
        (0x32, Self::Event(EventRecordKind::PaymentPathSuccessful)),
        (0x33, Self::Event(EventRecordKind::PaymentPathFailed)),
        (0x34, Self::Event(EventRecordKind::PaymentFailed)),
        (0x35, Self::Event(EventRecordKind::Alarm)),
        (0x36, Self::Event(EventRecordKind::PaymentUnknown)),
        (0x37, Self::Event(EventRecordKind::PaymentClaimed)),
        (0x3A, Self::Event(EventRecordKind::Probed)),
    ];

    /// Returns the kind that a byte stands for, if any.
    ///
    /// Source: `docs/WIRE.md`, "Record kinds".
    pub fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find_map(|(known, kind)| (known == byte).then_some(kind))
    }

    /// Returns the byte that stands for this kind.
    ///
    /// Source: `docs/WIRE.md`, "Record kinds".
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Monitor(MonitorRecordKind::Created) => 0x01,
            Self::Monitor(MonitorRecordKind::Update) => 0x02,
            Self::Monitor(MonitorRecordKind::Release) => 0x03,
            Self::Monitor(MonitorRecordKind::Connected) => 0x04,
            Self::Monitor(MonitorRecordKind::Disconnected) => 0x05,
            Self::Monitor(MonitorRecordKind::Mempool) => 0x06,
            Self::Monitor(MonitorRecordKind::PruneTombstones) => 0x07,
            Self::Monitor(MonitorRecordKind::Archive) => 0x08,
            Self::Monitor(MonitorRecordKind::GivenUp) => 0x0A,
            Self::Monitor(MonitorRecordKind::InboundOnChain) => 0x0B,
            Self::Monitor(MonitorRecordKind::Claim) => 0x0C,
            Self::Monitor(MonitorRecordKind::ToldUnknown) => 0x0D,
            Self::Payment(PaymentRecordKind::Intent) => 0x11,
            Self::Payment(PaymentRecordKind::Rebuilt) => 0x12,
            Self::Payment(PaymentRecordKind::Abandoned) => 0x13,
            Self::Payment(PaymentRecordKind::Decided) => 0x14,
            Self::Payment(PaymentRecordKind::Handled) => 0x15,
            Self::Payment(PaymentRecordKind::Adopted) => 0x16,
            Self::Payment(PaymentRecordKind::Dropped) => 0x17,
            Self::Payment(PaymentRecordKind::EpochRaised) => 0x18,
            Self::Payment(PaymentRecordKind::Retried) => 0x1A,
            Self::MonitorState => 0x21,
            Self::BookState => 0x22,
            Self::Card => 0x23,
            Self::ChainTip => 0x24,
            Self::BookMark => 0x25,
            Self::Event(EventRecordKind::PaymentSent) => 0x31,
            Self::Event(EventRecordKind::PaymentPathSuccessful) => 0x32,
            Self::Event(EventRecordKind::PaymentPathFailed) => 0x33,
            Self::Event(EventRecordKind::PaymentFailed) => 0x34,
            Self::Event(EventRecordKind::Alarm) => 0x35,
            Self::Event(EventRecordKind::PaymentUnknown) => 0x36,
            Self::Event(EventRecordKind::PaymentClaimed) => 0x37,
            Self::Event(EventRecordKind::Probed) => 0x3A,
        }
    }
}

/// One type-length-value of a record.
///
/// Source: BOLT 1, "Type-Length-Value Format".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TlvRecord<'a> {
    /// Its type; an unknown odd one may be skipped.
    pub tlv_type: u64,
    /// Where its type begins in the record.
    pub offset: usize,
    /// Where its value begins in the record.
    pub value_offset: usize,
    /// Its value.
    pub value: &'a [u8],
}

/// A record taken apart, with nothing in it understood.
///
/// For tools that show bytes; the `decode_…` functions of this crate use it themselves.
///
/// # Shape
///
/// The types rise strictly.
///
/// # Examples
///
/// ```
/// use lastword_wire::{Frame, RecordKind};
///
/// let frame = Frame::parse(b"LW\x23\x01\x00\x02\xAA\xBB")?;
/// assert_eq!(frame.kind, RecordKind::Card);
/// assert_eq!(frame.records[0].value, [0xAA, 0xBB]);
/// # Ok::<(), lastword_wire::WireError>(())
/// ```
///
/// Source: `docs/WIRE.md`, "Frame".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the record is about.
    pub kind: RecordKind,
    /// Its TLV stream.
    pub records: Vec<TlvRecord<'a>>,
    /// The length of the whole record in bytes.
    pub length: usize,
}

impl<'a> Frame<'a> {
    /// Takes a record apart.
    ///
    /// # Errors
    ///
    /// Every [`WireError`] but [`UnexpectedKind`](WireError::UnexpectedKind),
    /// [`UnknownEven`](WireError::UnknownEven), [`Missing`](WireError::Missing),
    /// [`Value`](WireError::Value) and [`NotCanonical`](WireError::NotCanonical).
    ///
    /// Source: `docs/WIRE.md`, "Frame".
    pub fn parse(bytes: &'a [u8]) -> Result<Self, WireError> {
        let Some((head, _)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
            return Err(WireError::HeadTruncated { expected: HEAD_BYTES, got: bytes.len() });
        };
        if bytes.len() > MAX_RECORD_BYTES {
            return Err(WireError::TooLong { expected: MAX_RECORD_BYTES, got: bytes.len() });
        }
        let [first, second, kind, version] = *head;
        if [first, second] != MAGIC {
            return Err(WireError::Magic { expected: MAGIC, got: [first, second] });
        }
        let kind = RecordKind::from_byte(kind).ok_or(WireError::UnknownKind { got: kind })?;
        if version != VERSION {
            return Err(WireError::UnknownVersion { kind, expected: VERSION, got: version });
        }
        Ok(Self { kind, records: parse_stream(bytes)?, length: bytes.len() })
    }
}

/// Takes the TLV stream behind the head apart.
fn parse_stream(bytes: &[u8]) -> Result<Vec<TlvRecord<'_>>, WireError> {
    let mut records: Vec<TlvRecord<'_>> = Vec::new();
    let mut offset = HEAD_BYTES;
    while offset < bytes.len() {
        let record = parse_record(bytes, offset)?;
        if let Some(previous) = records.last()
            && record.tlv_type <= previous.tlv_type
        {
            let (previous, got) = (previous.tlv_type, record.tlv_type);
            return Err(WireError::TypeOrder { offset, previous, got });
        }
        offset = record.value_offset + record.value.len();
        records.push(record);
    }
    Ok(records)
}

/// Reads the type-length-value at `offset`.
fn parse_record(bytes: &[u8], offset: usize) -> Result<TlvRecord<'_>, WireError> {
    let (tlv_type, length_offset) = bigsize::read(bytes, offset)?;
    let (expected, value_offset) = bigsize::read(bytes, length_offset)?;
    let rest = bytes.get(value_offset..).unwrap_or_default();
    let value = usize::try_from(expected).ok().and_then(|length| rest.get(..length));
    let value =
        value.ok_or(WireError::ValueTruncated { offset, tlv_type, expected, got: rest.len() })?;
    Ok(TlvRecord { tlv_type, offset, value_offset, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_kinds_correspond() {
        for (byte, kind) in RecordKind::ALL {
            assert_eq!(kind.to_byte(), byte);
            assert_eq!(RecordKind::from_byte(byte), Some(kind));
        }
        let known = (0..=u8::MAX).filter(|byte| RecordKind::from_byte(*byte).is_some()).count();
        assert_eq!(known, RecordKind::ALL.len());
    }
}
