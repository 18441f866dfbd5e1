//! Believes that a start from any records ends in a node or a typed error, loses nothing and
//! contradicts nothing. A crash means that damage the checksums do not see can stop a node, or make
//! it tell a lie.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lastword_fuzz::start(bytes));
