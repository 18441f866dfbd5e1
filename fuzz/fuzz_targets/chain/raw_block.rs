//! Believes that a block's bytes are walked as `bitcoin` decodes them, and cost what they are. A
//! crash means that a source of blocks can stop a node, or hide a spend from it.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lastword_fuzz::raw_block(bytes));
