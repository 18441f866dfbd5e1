//! Believes that a state which decodes is refused or lives on, whatever transactions it sees. A
//! crash means that a snapshot or a stranger's transaction can stop a node.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lastword_fuzz::monitor(bytes));
