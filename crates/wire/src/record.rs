//! [`Record`]: a domain value that has a frame of its own, and the check that bytes are canonical.

use alloc::vec::Vec;

use crate::body::{Reader, Writer};
use crate::error::WireError;
use crate::frame::{Frame, RecordKind, TlvRecord};

/// A domain value that is written as one record.
pub(crate) trait Record: Sized {
    /// Returns what the record is about.
    fn kind(&self) -> RecordKind;

    /// Writes the TLV stream, its types in ascending order.
    fn write(&self, writer: &mut Writer<'_>);

    /// Reads what [`write`](Self::write) wrote; refuses kinds of other domain values.
    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError>;
}

/// Encodes a value.
pub(crate) fn encode<T: Record>(value: &T) -> Vec<u8> {
    encode_with(value, &[])
}

/// Encodes a value in the place of a record of its kind, whose unknown odd records it keeps.
pub(crate) fn encode_over<T: Record>(value: &T, original: &[u8]) -> Result<Vec<u8>, WireError> {
    let got = Frame::parse(original)?.kind;
    if got != value.kind() {
        let expected = "record of the kind that takes its place";
        return Err(WireError::UnexpectedKind { expected, got });
    }
    let (_, unknown) = read::<T>(original)?;
    Ok(encode_with(value, &unknown))
}

/// Decodes a value, and refuses every encoding of it but the one.
pub(crate) fn decode<T: Record>(bytes: &[u8]) -> Result<T, WireError> {
    read(bytes).map(|(value, _)| value)
}

/// Decodes a value and what is unknown and odd beside it.
fn read<T: Record>(bytes: &[u8]) -> Result<(T, Vec<TlvRecord<'_>>), WireError> {
    let mut reader = Reader::new(Frame::parse(bytes)?);
    let value = T::read(&mut reader)?;
    let unknown = reader.finish()?;
    let canonical = encode_with(&value, &unknown);
    if canonical == bytes {
        return Ok((value, unknown));
    }
    let common = canonical.iter().zip(bytes).take_while(|(ours, theirs)| ours == theirs).count();
    Err(WireError::NotCanonical { offset: common })
}

/// Encodes a value and weaves unknown odd records back in.
fn encode_with<T: Record>(value: &T, unknown: &[TlvRecord<'_>]) -> Vec<u8> {
    let mut writer = Writer::new(value.kind(), unknown);
    value.write(&mut writer);
    writer.finish()
}
