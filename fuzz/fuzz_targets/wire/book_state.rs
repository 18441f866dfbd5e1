//! Believes that bytes are refused or the one encoding of the payment book's snapshot. A crash
//! means that bytes from a disk can stop a node, or that two stores can hold the same record in
//! different bytes.
#![no_main]

use lastword_wire::{decode_book_state, encode_book_state};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    lastword_fuzz::refused_or_canonical(bytes, decode_book_state, encode_book_state);
});
