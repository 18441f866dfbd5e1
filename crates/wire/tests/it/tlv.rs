//! A second, simple way to take records apart and put them together, to damage them with.

use lastword_wire::AnyRecord as Any;

/// A TLV as type and value.
pub(crate) type Tlv = (u64, Vec<u8>);

/// Writes an integer as `BigSize` (BOLT 1).
pub(crate) fn bigsize(value: u64) -> Vec<u8> {
    match value {
        0..=0xFC => value.to_be_bytes()[7..].to_vec(),
        0xFD..=0xFFFF => [&[0xFD], &value.to_be_bytes()[6..]].concat(),
        0x1_0000..=0xFFFF_FFFF => [&[0xFE], &value.to_be_bytes()[4..]].concat(),
        _ => [&[0xFF], &value.to_be_bytes()[..]].concat(),
    }
}

/// Takes a sound record apart.
pub(crate) fn split(bytes: &[u8]) -> ([u8; 4], Vec<Tlv>) {
    let (head, mut rest) = bytes.split_first_chunk::<4>().expect("a head");
    let mut tlvs = Vec::new();
    while !rest.is_empty() {
        let tlv_type = take_bigsize(&mut rest);
        let length = usize::try_from(take_bigsize(&mut rest)).expect("it is there");
        let (value, after) = rest.split_at(length);
        tlvs.push((tlv_type, value.to_vec()));
        rest = after;
    }
    (*head, tlvs)
}

fn take_bigsize(rest: &mut &[u8]) -> u64 {
    let width = match rest[0] {
        0xFD => 2,
        0xFE => 4,
        0xFF => 8,
        byte => {
            *rest = &rest[1..];
            return u64::from(byte);
        }
    };
    let value = rest[1..=width].iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    *rest = &rest[width + 1..];
    value
}

/// Puts a record together, however unsound.
pub(crate) fn join(head: [u8; 4], tlvs: &[Tlv]) -> Vec<u8> {
    let mut bytes = head.to_vec();
    for (tlv_type, value) in tlvs {
        bytes.extend(bigsize(*tlv_type));
        bytes.extend(bigsize(value.len() as u64));
        bytes.extend(value);
    }
    bytes
}

/// Asserts that bytes are refused at a place inside them, or the one encoding of what they say.
///
/// Every type of version 1 is even, so what is odd is unknown and does not come back.
pub(crate) fn assert_refused_or_canonical(bytes: &[u8]) {
    match Any::decode(bytes) {
        Ok(value) => {
            let (head, mut tlvs) = split(bytes);
            tlvs.retain(|(tlv_type, _)| tlv_type % 2 == 0);
            assert_eq!(value.encode(), join(head, &tlvs));
        }
        Err(refusal) => assert!(refusal.offset() <= bytes.len(), "{refusal}"),
    }
}
