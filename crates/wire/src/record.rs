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

/// Decodes a value, and refuses every encoding of it but the one.
pub(crate) fn decode<T: Record>(bytes: &[u8]) -> Result<T, WireError> {
    let mut reader = Reader::new(Frame::parse(bytes)?);
    let value = T::read(&mut reader)?;
    let unknown = reader.finish()?;
    let canonical = encode_with(&value, &unknown);
    if canonical == bytes {
        return Ok(value);
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
