//! Believes that what is taken apart lies in the record, in order and without gaps. A crash means
//! that bytes can stop every tool that looks at them.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lastword_fuzz::frame(bytes));
