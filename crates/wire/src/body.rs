//! [`Writer`] and [`Reader`]: a TLV stream whose values are bincode structures.
//!
//! Both go through the types in ascending order. The writer weaves the unknown odd records of a
//! decoded record back in where they stood; the reader collects them.

use alloc::vec::Vec;

use bincode::config::{Configuration, Limit, LittleEndian, Varint};
use bincode::de::read::{BorrowReader, Reader as ByteReader};
use bincode::de::{BorrowDecode as _, Decoder as _, DecoderImpl};
use bincode::enc::write::Writer as ByteWriter;
use bincode::error::{DecodeError, EncodeError};
use bincode::serde::BorrowCompat;
use serde::{Deserialize, Serialize};

use crate::bigsize;
use crate::error::{ValueFault, WireError};
use crate::frame::{Frame, MAGIC, MAX_RECORD_BYTES, RecordKind, TlvRecord, VERSION};
use crate::v1::prim::{NOT_A_POINT, NOT_A_SIGNATURE, NOT_A_TRANSACTION};

/// bincode's standard configuration with a limit.
const CONFIG: Configuration<LittleEndian, Varint, Limit<MAX_RECORD_BYTES>> =
    bincode::config::standard().with_limit::<MAX_RECORD_BYTES>();

/// Writes one record.
pub(crate) struct Writer<'u> {
    bytes: Vec<u8>,
    /// The value that is being written: its length stands before it.
    value: Vec<u8>,
    unknown: &'u [TlvRecord<'u>],
}

/// Room for what most values and most records need.
const USUAL_BYTES: usize = 512;

impl<'u> Writer<'u> {
    /// Begins a record that carries `unknown` odd records along.
    pub(crate) fn new(kind: RecordKind, unknown: &'u [TlvRecord<'u>]) -> Self {
        let [first, second] = MAGIC;
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        bytes.extend_from_slice(&[first, second, kind.to_byte(), VERSION]);
        Self { bytes, value: Vec::with_capacity(USUAL_BYTES), unknown }
    }

    /// Adds a value; the types must rise from call to call.
    pub(crate) fn put<T: Serialize>(&mut self, tlv_type: u64, value: &T) {
        let mut bytes = core::mem::take(&mut self.value);
        bytes.clear();
        bincode::serde::encode_into_writer(value, Appending(&mut bytes), CONFIG)
            .expect("plain structures with known lengths have an encoding");
        while let Some((next, rest)) = self.unknown.split_first()
            && next.tlv_type < tlv_type
        {
            self.raw(next.tlv_type, next.value);
            self.unknown = rest;
        }
        self.raw(tlv_type, &bytes);
        self.value = bytes;
    }

    /// Adds a value that may be absent.
    pub(crate) fn put_some<T: Serialize>(&mut self, tlv_type: u64, value: Option<&T>) {
        if let Some(value) = value {
            self.put(tlv_type, value);
        }
    }

    /// Adds an empty value if a fact holds.
    pub(crate) fn put_flag(&mut self, tlv_type: u64, holds: bool) {
        if holds {
            self.put(tlv_type, &());
        }
    }

    /// Ends the record.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        for record in self.unknown {
            self.raw(record.tlv_type, record.value);
        }
        assert!(self.bytes.len() <= MAX_RECORD_BYTES, "a record stays below its limit");
        self.bytes
    }

    fn raw(&mut self, tlv_type: u64, value: &[u8]) {
        bigsize::write(&mut self.bytes, tlv_type);
        let length = u64::try_from(value.len()).expect("a length in memory fits into 64 bits");
        bigsize::write(&mut self.bytes, length);
        self.bytes.extend_from_slice(value);
    }
}

/// Appends what bincode writes.
struct Appending<'a>(&'a mut Vec<u8>);

impl ByteWriter for Appending<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

/// Reads one record.
pub(crate) struct Reader<'a> {
    kind: RecordKind,
    rest: alloc::vec::IntoIter<TlvRecord<'a>>,
    unknown: Vec<TlvRecord<'a>>,
    length: usize,
}

impl<'a> Reader<'a> {
    /// Begins with a record taken apart.
    pub(crate) fn new(frame: Frame<'a>) -> Self {
        let Frame { kind, records, length } = frame;
        Self { kind, rest: records.into_iter(), unknown: Vec::new(), length }
    }

    /// Returns what the record is about.
    pub(crate) fn kind(&self) -> RecordKind {
        self.kind
    }

    /// Says that the record is not what the caller asked for.
    pub(crate) fn unexpected_kind(&self, expected: &'static str) -> WireError {
        WireError::UnexpectedKind { expected, got: self.kind }
    }

    /// Reads a value that every record of this kind has.
    pub(crate) fn required<T: Deserialize<'a>>(&mut self, tlv_type: u64) -> Result<T, WireError> {
        self.optional(tlv_type)?.ok_or_else(|| {
            let offset = self.rest.as_slice().first().map_or(self.length, |next| next.offset);
            WireError::Missing { offset, tlv_type }
        })
    }

    /// Reads a value that may be absent.
    pub(crate) fn optional<T: Deserialize<'a>>(
        &mut self,
        tlv_type: u64,
    ) -> Result<Option<T>, WireError> {
        while let Some(record) = self.rest.as_slice().first().copied()
            && record.tlv_type <= tlv_type
        {
            self.rest.next();
            if record.tlv_type == tlv_type {
                return decode_value(&record).map(Some);
            }
            self.skip(record)?;
        }
        Ok(None)
    }

    /// Reads an empty value whose presence is the fact.
    pub(crate) fn flag(&mut self, tlv_type: u64) -> Result<bool, WireError> {
        Ok(self.optional::<()>(tlv_type)?.is_some())
    }

    /// Ends the record and returns what was unknown and odd in it.
    pub(crate) fn finish(mut self) -> Result<Vec<TlvRecord<'a>>, WireError> {
        while let Some(record) = self.rest.next() {
            self.skip(record)?;
        }
        Ok(self.unknown)
    }

    /// Keeps an unknown odd record aside and refuses an even one (BOLT 1).
    fn skip(&mut self, record: TlvRecord<'a>) -> Result<(), WireError> {
        if record.tlv_type.is_multiple_of(2) {
            let TlvRecord { offset, tlv_type, .. } = record;
            return Err(WireError::UnknownEven { offset, tlv_type });
        }
        self.unknown.push(record);
        Ok(())
    }
}

/// Decodes the value of one TLV, all of its bytes.
fn decode_value<'a, T: Deserialize<'a>>(record: &TlvRecord<'a>) -> Result<T, WireError> {
    let cursor = Cursor { bytes: record.value, position: 0 };
    let mut decoder = DecoderImpl::new(cursor, CONFIG, ());
    let result = BorrowCompat::<T>::borrow_decode(&mut decoder);
    let position = decoder.reader().position;
    let fault = match result {
        Ok(BorrowCompat(value)) if position == record.value.len() => return Ok(value),
        Ok(_) => ValueFault::Trailing { count: record.value.len() - position },
        Err(error) => fault_of(&error),
    };
    let offset = record.value_offset + position;
    Err(WireError::Value { offset, tlv_type: record.tlv_type, fault })
}

/// Says in our words what bincode refused.
///
/// serde can hand an error of ours through bincode only as text, so those come back by their text.
fn fault_of(error: &DecodeError) -> ValueFault {
    if let DecodeError::UnexpectedEnd { additional } = error {
        ValueFault::Truncated { missing: *additional }
    } else if let DecodeError::InvalidIntegerType { .. } = error {
        ValueFault::IntegerWidth
    } else if let DecodeError::InvalidBooleanValue(got) = error {
        ValueFault::Boolean { got: *got }
    } else if let DecodeError::UnexpectedVariant { found, .. } = error {
        ValueFault::Option { got: *found }
    } else if let DecodeError::LimitExceeded | DecodeError::OutsideUsizeRange(_) = error {
        ValueFault::Length
    } else if let DecodeError::OtherString(text) = error {
        match text.as_str() {
            NOT_A_POINT => ValueFault::PublicKey,
            NOT_A_SIGNATURE => ValueFault::Signature,
            NOT_A_TRANSACTION => ValueFault::Transaction,
            _ => ValueFault::Range,
        }
    } else {
        ValueFault::Range
    }
}

/// A reader for bincode that knows how far it is, for the offsets of errors.
struct Cursor<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let additional = length.saturating_sub(rest.len());
        let taken = rest.get(..length).ok_or(DecodeError::UnexpectedEnd { additional })?;
        self.position += length;
        Ok(taken)
    }
}

impl ByteReader for Cursor<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<(), DecodeError> {
        bytes.copy_from_slice(self.take(bytes.len())?);
        Ok(())
    }

    fn peek_read(&mut self, length: usize) -> Option<&[u8]> {
        self.bytes.get(self.position..)?.get(..length)
    }

    fn consume(&mut self, length: usize) {
        self.position = self.position.saturating_add(length).min(self.bytes.len());
    }
}

impl<'a> BorrowReader<'a> for Cursor<'a> {
    fn take_bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        self.take(length)
    }
}
