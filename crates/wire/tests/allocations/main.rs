//! No bytes make a decoder allocate more than in proportion to them, whatever lengths they claim.
//!
//! A test binary of its own, for it counts every allocation of its process. The golden files are
//! what it damages: every kind of record is among them.

use std::alloc::System;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use cap::Cap;
use hex::FromHex as _;
use lastword_wire::{AnyRecord, Frame, MAX_RECORD_BYTES, WireError};

/// Counts; the limit is that of the machine.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// Bytes that may be allocated, all in all, for a byte that is decoded. Measured beyond what is usual
/// for nothing: 31 in the golden files and what is made of them, 56 in a record of nothing but the
/// smallest TLVs, whose list doubles as it grows.
const FACTOR: usize = 160;
/// Bytes that may be allocated for nothing: the room that a writer begins with, and what the harness
/// prints meanwhile.
const USUAL: usize = 16 * 1024;

/// One test counts at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Decodes, and asserts that all that was allocated meanwhile is in proportion to the bytes.
fn decode(bytes: &[u8]) -> Result<AnyRecord, WireError> {
    let before = ALLOCATOR.total_allocated();
    let result = AnyRecord::decode(bytes);
    let allocated = ALLOCATOR.total_allocated() - before;
    let limit = USUAL + FACTOR * bytes.len();
    assert!(allocated <= limit, "{allocated} of {limit} for {} bytes: {result:?}", bytes.len());
    result
}

/// The golden files.
fn golden() -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1");
    let files = fs::read_dir(folder).expect("the folder is there");
    let bytes = files.map(|file| {
        let text = fs::read_to_string(file.expect("it can be read").path()).expect("it is text");
        let digits: String = text.split_whitespace().collect();
        Vec::from_hex(&digits).expect("it is hex")
    });
    bytes.collect()
}

/// Lengths that claim more than there is, as bincode writes them.
const CLAIMS: [&[u8]; 2] = [&[0xFD, 0, 0, 0, 0, 0, 0, 0, 0x80], &[0xFC, 0, 0, 0, 4]];

#[test]
fn sound_records_take_what_their_bytes_are() {
    let _alone = alone();
    for bytes in golden() {
        assert!(decode(&bytes).is_ok());
    }
}

#[test]
fn a_length_that_claims_more_than_there_is_allocates_nothing_for_it() {
    let _alone = alone();
    for sound in golden() {
        let frame = Frame::parse(&sound).expect("it is sound");
        for tlv in &frame.records {
            let head = &sound[..tlv.offset];
            for at in 0..tlv.value.len() {
                for claim in CLAIMS {
                    let value = [&tlv.value[..at], claim, &tlv.value[at + 1..]].concat();
                    let mut bytes = head.to_vec();
                    // The golden files have short values and small types.
                    bytes.push(u8::try_from(tlv.tlv_type).expect("a small type"));
                    bytes.extend(length(value.len()));
                    bytes.extend(value);
                    bytes.extend(&sound[tlv.value_offset + tlv.value.len()..]);
                    drop(decode(&bytes));
                }
            }
        }
    }
}

/// A length as BOLT 1 writes it.
fn length(length: usize) -> Vec<u8> {
    match length {
        0..=0xFC => vec![length.to_be_bytes()[7]],
        0xFD..=0xFFFF => [&[0xFD], &length.to_be_bytes()[6..]].concat(),
        _ => [&[0xFE], &length.to_be_bytes()[4..]].concat(),
    }
}

#[test]
fn a_record_cut_or_with_a_bit_flipped_allocates_in_proportion_to_what_is_left() {
    let _alone = alone();
    for sound in golden() {
        for end in 0..sound.len() {
            assert!(decode(&sound[..end]).as_ref().map(AnyRecord::encode) != Ok(sound.clone()));
        }
        let mut bytes = sound.clone();
        for at in 0..bytes.len() {
            // Each bit in turn: the other test of flipped bits leaves none out.
            bytes[at] ^= 1 << (at % 8);
            drop(decode(&bytes));
            bytes[at] = sound[at];
        }
    }
}

#[test]
fn a_tlv_that_claims_two_to_the_63_allocates_nothing_for_it() {
    let _alone = alone();
    for sound in golden() {
        let claim = [&sound[..], &[101, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0]].concat();
        let refusal = decode(&claim).expect_err("it is not there");
        assert!(
            matches!(refusal, WireError::ValueTruncated { expected, .. } if expected >> 63 == 1)
        );
    }
}

/// Nothing in the format nests: a value is a structure of fixed depth, so depth cannot be asked for.
/// Records within records are one odd value to a reader, whatever they hold.
#[test]
fn records_nested_in_records_are_not_looked_into() {
    let _alone = alone();
    let Some(mark) = golden().into_iter().min_by_key(Vec::len) else { panic!("there are files") };
    let mut bytes = mark.clone();
    for _ in 0..2_000 {
        bytes = [&mark[..], &[101], &length(bytes.len()), &bytes].concat();
    }
    assert_eq!(decode(&bytes), decode(&mark));
}

#[test]
fn many_small_unknown_types_take_what_they_are() {
    let _alone = alone();
    let Some(mark) = golden().into_iter().min_by_key(Vec::len) else { panic!("there are files") };
    let odd = (0..100_000_u32).flat_map(|number| {
        let mut tlv = vec![0xFE];
        tlv.extend((0x1_0001 + 2 * number).to_be_bytes());
        tlv.push(0);
        tlv
    });
    let bytes: Vec<u8> = mark.iter().copied().chain(odd).collect();
    assert_eq!(decode(&bytes), decode(&mark));
}

#[test]
fn a_record_beyond_the_limit_is_refused_before_anything_is_allocated() {
    let _alone = alone();
    let mut bytes = vec![0; MAX_RECORD_BYTES + 1];
    bytes[..4].copy_from_slice(b"LW\x23\x01");
    let before = ALLOCATOR.total_allocated();
    let refusal = AnyRecord::decode(&bytes);
    let allocated = ALLOCATOR.total_allocated() - before;
    let (expected, got) = (MAX_RECORD_BYTES, MAX_RECORD_BYTES + 1);
    assert_eq!(refusal, Err(WireError::TooLong { expected, got }));
    assert!(allocated <= USUAL, "{allocated}");
}

#[test]
fn random_bytes_behind_a_sound_head_allocate_in_proportion_to_them() {
    let _alone = alone();
    // xorshift: the same bytes on every machine.
    let mut state = 0x4C57_0001_u64;
    let mut draw = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    for round in 0..5_000_usize {
        let mut bytes = vec![b'L', b'W', draw() % 0x40, 1];
        bytes.extend((0..round % 300).map(|_| draw()));
        // Small types and lengths go deeper.
        for at in (4..bytes.len()).step_by(5) {
            bytes[at] %= 8;
        }
        drop(decode(&bytes));
    }
}
