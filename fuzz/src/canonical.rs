//! Records: bytes are refused, or the one encoding of a value that comes back the same.

use std::fmt::Debug;

use lastword_wire::{
    Frame, WireError, decode_book_mark, decode_book_state, decode_card, decode_chain_tip,
    decode_event, decode_monitor_record, decode_monitor_state, decode_payment_record,
    encode_book_mark, encode_book_state, encode_card, encode_chain_tip, encode_event,
    encode_monitor_record, encode_monitor_state, encode_payment_record,
};

use crate::canary;

/// Believes that what `Frame::parse` takes apart lies in the record, in order and without gaps.
///
/// # Panics
///
/// If it does not.
pub fn frame(bytes: &[u8]) {
    let Ok(frame) = Frame::parse(bytes) else { return };
    assert_eq!(frame.length, bytes.len());
    let mut offset = 4;
    for record in &frame.records {
        assert_eq!(record.offset, offset);
        offset = record.value_offset + record.value.len();
        assert_eq!(record.value, &bytes[record.value_offset..offset]);
    }
    assert_eq!(offset, bytes.len());
    // A type of more than one byte, with something in it.
    canary(frame.records.iter().any(|it| it.tlv_type > 0xFC && !it.value.is_empty()));
}

/// Asserts that bytes are refused, or the one encoding of a value that comes back the same.
///
/// Every type that is known is even, so the odd ones are those that a reader skips.
fn refused_or_canonical<T: Debug + PartialEq>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, WireError>,
    encode: fn(&T) -> Vec<u8>,
) {
    let value = match decode(bytes) {
        Ok(value) => value,
        Err(refusal) => {
            assert!(refusal.offset() <= bytes.len(), "{refusal}");
            return;
        }
    };
    let frame = Frame::parse(bytes).expect("what was decoded is framed");
    let mut known = bytes[..4].to_vec();
    for record in frame.records.iter().filter(|record| record.tlv_type % 2 == 0) {
        known.extend(&bytes[record.offset..record.value_offset + record.value.len()]);
    }
    let encoded = encode(&value);
    assert_eq!(encoded, known, "a second encoding was accepted");
    assert_eq!(decode(&encoded).as_ref(), Ok(&value), "a value does not come back");
    // A sound record with a type in its place that a later writer may have put there.
    canary(known != bytes);
}

/// Believes that bytes are refused or the one encoding of a monitor record.
///
/// # Panics
///
/// If they are not.
pub fn monitor_record(bytes: &[u8]) {
    refused_or_canonical(bytes, decode_monitor_record, encode_monitor_record);
}

/// Believes that bytes are refused or the one encoding of a payment record.
///
/// # Panics
///
/// If they are not.
pub fn payment_record(bytes: &[u8]) {
    refused_or_canonical(bytes, decode_payment_record, encode_payment_record);
}

/// Believes that bytes are refused or the one encoding of a monitor's snapshot.
///
/// # Panics
///
/// If they are not.
pub fn monitor_state(bytes: &[u8]) {
    refused_or_canonical(bytes, decode_monitor_state, encode_monitor_state);
}

/// Believes that bytes are refused or the one encoding of the payment book's snapshot.
///
/// # Panics
///
/// If they are not.
pub fn book_state(bytes: &[u8]) {
    refused_or_canonical(bytes, decode_book_state, encode_book_state);
}

/// Believes that bytes are refused or the one encoding of a card.
///
/// # Panics
///
/// If they are not.
pub fn card(bytes: &[u8]) {
    refused_or_canonical(bytes, decode_card, encode_card);
}

/// Believes that bytes are refused or the one encoding of a chain tip.
///
/// # Panics
///
/// If they are not.
pub fn chain_tip(bytes: &[u8]) {
    refused_or_canonical(bytes, decode_chain_tip, encode_chain_tip);
}

/// Believes that bytes are refused or the one encoding of what a book knows of its monitors' log.
///
/// # Panics
///
/// If they are not.
pub fn book_mark(bytes: &[u8]) {
    refused_or_canonical(bytes, decode_book_mark, encode_book_mark);
}

/// Believes that bytes are refused or the one encoding of an event.
///
/// # Panics
///
/// If they are not.
pub fn event(bytes: &[u8]) {
    refused_or_canonical(bytes, decode_event, encode_event);
}
