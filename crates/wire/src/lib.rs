#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod any;
mod bigsize;
mod body;
mod error;
mod frame;
mod record;
mod v1;

use alloc::vec::Vec;

use lastword_types::{
    BookMark, BookState, Card, ChainTip, Event, MonitorRecord, MonitorState, PaymentRecord,
};

pub use crate::any::AnyRecord;
pub use crate::error::{ValueFault, WireError};
pub use crate::frame::{
    EventRecordKind, Frame, MAGIC, MAX_RECORD_BYTES, MonitorRecordKind, PaymentRecordKind,
    RecordKind, TlvRecord, VERSION,
};

/// Encodes a record that changes a monitor.
///
/// # Panics
///
/// If the record is longer than [`MAX_RECORD_BYTES`].
///
/// Source: `docs/WIRE.md`, "Monitor records".
#[must_use]
pub fn encode_monitor_record(record: &MonitorRecord) -> Vec<u8> {
    record::encode(record)
}

/// Decodes a record that changes a monitor.
///
/// # Errors
///
/// [`WireError`]: the bytes are not exactly what [`encode_monitor_record`] writes, unknown odd
/// types apart.
///
/// Source: `docs/WIRE.md`, "Monitor records".
pub fn decode_monitor_record(bytes: &[u8]) -> Result<MonitorRecord, WireError> {
    record::decode(bytes)
}

/// Encodes a record that changes the payment book.
///
/// # Panics
///
/// If the record is longer than [`MAX_RECORD_BYTES`].
///
/// Source: `docs/WIRE.md`, "Payment records".
#[must_use]
pub fn encode_payment_record(record: &PaymentRecord) -> Vec<u8> {
    record::encode(record)
}

/// Decodes a record that changes the payment book.
///
/// # Errors
///
/// [`WireError`]: the bytes are not exactly what [`encode_payment_record`] writes, unknown odd
/// types apart.
///
/// Source: `docs/WIRE.md`, "Payment records".
pub fn decode_payment_record(bytes: &[u8]) -> Result<PaymentRecord, WireError> {
    record::decode(bytes)
}

/// Encodes a monitor's snapshot.
///
/// # Panics
///
/// If the record is longer than [`MAX_RECORD_BYTES`].
///
/// Source: `docs/WIRE.md`, "Snapshots".
#[must_use]
pub fn encode_monitor_state(state: &MonitorState) -> Vec<u8> {
    record::encode(state)
}

/// Decodes a monitor's snapshot.
///
/// # Errors
///
/// [`WireError`]: the bytes are not exactly what [`encode_monitor_state`] writes, unknown odd
/// types apart.
///
/// Source: `docs/WIRE.md`, "Snapshots".
pub fn decode_monitor_state(bytes: &[u8]) -> Result<MonitorState, WireError> {
    record::decode(bytes)
}

/// Encodes the payment book's snapshot.
///
/// # Panics
///
/// If the record is longer than [`MAX_RECORD_BYTES`].
///
/// Source: `docs/WIRE.md`, "Snapshots".
#[must_use]
pub fn encode_book_state(state: &BookState) -> Vec<u8> {
    record::encode(state)
}

/// Decodes the payment book's snapshot.
///
/// # Errors
///
/// [`WireError`]: the bytes are not exactly what [`encode_book_state`] writes, unknown odd types
/// apart.
///
/// Source: `docs/WIRE.md`, "Snapshots".
pub fn decode_book_state(bytes: &[u8]) -> Result<BookState, WireError> {
    record::decode(bytes)
}

/// Encodes a channel's card.
///
/// # Panics
///
/// If the record is longer than [`MAX_RECORD_BYTES`].
///
/// Source: `docs/WIRE.md`, "Cards".
#[must_use]
pub fn encode_card(card: &Card) -> Vec<u8> {
    record::encode(card)
}

/// Decodes a channel's card.
///
/// # Errors
///
/// [`WireError`]: the bytes are not exactly what [`encode_card`] writes, unknown odd types apart.
///
/// Source: `docs/WIRE.md`, "Cards".
pub fn decode_card(bytes: &[u8]) -> Result<Card, WireError> {
    record::decode(bytes)
}

/// Encodes the tip of the chain.
///
/// # Panics
///
/// If the record is longer than [`MAX_RECORD_BYTES`].
///
/// Source: `docs/WIRE.md`, "Cards".
#[must_use]
pub fn encode_chain_tip(tip: &ChainTip) -> Vec<u8> {
    record::encode(tip)
}

/// Decodes the tip of the chain.
///
/// # Errors
///
/// [`WireError`]: the bytes are not exactly what [`encode_chain_tip`] writes, unknown odd types
/// apart.
///
/// Source: `docs/WIRE.md`, "Cards".
pub fn decode_chain_tip(bytes: &[u8]) -> Result<ChainTip, WireError> {
    record::decode(bytes)
}

/// Encodes what a payment book knows of its monitors' log.
///
/// # Panics
///
/// Never: a mark is short.
///
/// Source: `docs/WIRE.md`, "Cards".
#[must_use]
pub fn encode_book_mark(mark: &BookMark) -> Vec<u8> {
    record::encode(mark)
}

/// Decodes what a payment book knows of its monitors' log.
///
/// # Errors
///
/// [`WireError`], as [`decode_chain_tip`].
///
/// Source: `docs/WIRE.md`, "Cards".
pub fn decode_book_mark(bytes: &[u8]) -> Result<BookMark, WireError> {
    record::decode(bytes)
}

/// Encodes an event.
///
/// # Panics
///
/// If the record is longer than [`MAX_RECORD_BYTES`].
///
/// Source: `docs/WIRE.md`, "Events".
#[must_use]
pub fn encode_event(event: &Event) -> Vec<u8> {
    record::encode(event)
}

/// Decodes an event.
///
/// # Errors
///
/// [`WireError`]: the bytes are not exactly what [`encode_event`] writes, unknown odd types apart.
///
/// Source: `docs/WIRE.md`, "Events".
pub fn decode_event(bytes: &[u8]) -> Result<Event, WireError> {
    record::decode(bytes)
}
