//! Believes that bytes are refused or the one encoding of an event. A crash means that bytes from a
//! disk can stop a node, or that two stores can hold the same record in different bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lastword_fuzz::event(bytes));
