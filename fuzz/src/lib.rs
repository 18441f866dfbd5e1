//! What the fuzz targets believe.

use std::fmt::Debug;

use lastword_wire::{Frame, WireError};

/// Asserts that bytes are refused, or the one encoding of a value that comes back the same.
///
/// Every type that is known is even, so the odd ones are those that a reader skips.
///
/// # Panics
///
/// If two encodings of one value are accepted, or one does not come back.
pub fn refused_or_canonical<T: Debug + PartialEq>(
    bytes: &[u8],
    decode: fn(&[u8]) -> Result<T, WireError>,
    encode: fn(&T) -> Vec<u8>,
) {
    let Ok(value) = decode(bytes) else { return };
    let frame = Frame::parse(bytes).expect("what was decoded is framed");
    let mut known = bytes[..4].to_vec();
    for record in frame.records.iter().filter(|record| record.tlv_type % 2 == 0) {
        known.extend(&bytes[record.offset..record.value_offset + record.value.len()]);
    }
    let encoded = encode(&value);
    assert_eq!(encoded, known, "a second encoding was accepted");
    assert_eq!(decode(&encoded), Ok(value), "a value does not come back");
}
