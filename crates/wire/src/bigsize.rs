//! `BigSize`, the integer of TLV types and lengths.
//!
//! ```text
//! 00..FC                     the value itself
//! FD hh ll                   FD..FFFF
//! FE hh .. .. ll             1_0000..FFFF_FFFF
//! FF hh .. .. .. .. .. .. ll the rest
//! ```
//!
//! Big-endian, and always the shortest form.
//!
//! Source: BOLT 1, appendix A.

use alloc::vec::Vec;

use crate::error::WireError;

/// Appends a value in its shortest form.
pub(crate) fn write(out: &mut Vec<u8>, value: u64) {
    let bytes = value.to_be_bytes();
    match value {
        0..=0xFC => out.extend_from_slice(&bytes[7..]),
        0xFD..=0xFFFF => {
            out.push(0xFD);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xFFFF_FFFF => {
            out.push(0xFE);
            out.extend_from_slice(&bytes[4..]);
        }
        0x1_0000_0000.. => {
            out.push(0xFF);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Reads a value at `offset` and returns it with the offset behind it.
pub(crate) fn read(bytes: &[u8], offset: usize) -> Result<(u64, usize), WireError> {
    let rest = bytes.get(offset..).unwrap_or_default();
    let truncated = |expected| WireError::BigSizeTruncated { offset, expected, got: rest.len() };
    let first = *rest.first().ok_or(truncated(1))?;
    let (width, least) = match first {
        0..=0xFC => return Ok((u64::from(first), offset + 1)),
        0xFD => (2, 0xFD),
        0xFE => (4, 0x1_0000),
        0xFF => (8, 0x1_0000_0000),
    };
    let digits = rest.get(1..=width).ok_or(truncated(width + 1))?;
    let value = digits.iter().fold(0, |value, digit| value << 8 | u64::from(*digit));
    if value < least {
        return Err(WireError::BigSizeNotMinimal { offset, value });
    }
    Ok((value, offset + 1 + width))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The values at the edges of each width, with their bytes (BOLT 1, appendix A).
    const EDGES: [(u64, &[u8]); 8] = [
        (0, &[0]),
        (252, &[0xFC]),
        (253, &[0xFD, 0x00, 0xFD]),
        (65_535, &[0xFD, 0xFF, 0xFF]),
        (65_536, &[0xFE, 0x00, 0x01, 0x00, 0x00]),
        (4_294_967_295, &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF]),
        (4_294_967_296, &[0xFF, 0, 0, 0, 1, 0, 0, 0, 0]),
        (u64::MAX, &[0xFF; 9]),
    ];

    #[test]
    fn edges_are_written_and_read() {
        for (value, bytes) in EDGES {
            let mut out = Vec::new();
            write(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(read(bytes, 0), Ok((value, bytes.len())));
        }
    }

    #[test]
    fn every_truncation_is_refused() {
        for (_, bytes) in EDGES {
            for got in 0..bytes.len() {
                let expected = if got == 0 { 1 } else { bytes.len() };
                let refusal = WireError::BigSizeTruncated { offset: 0, expected, got };
                assert_eq!(read(&bytes[..got], 0), Err(refusal));
            }
        }
    }

    #[test]
    fn longer_forms_are_refused() {
        let overlong: [(u64, &[u8]); 3] = [
            (252, &[0xFD, 0x00, 0xFC]),
            (65_535, &[0xFE, 0x00, 0x00, 0xFF, 0xFF]),
            (4_294_967_295, &[0xFF, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF]),
        ];
        for (value, bytes) in overlong {
            assert_eq!(read(bytes, 0), Err(WireError::BigSizeNotMinimal { offset: 0, value }));
        }
    }
}
