//! Believes that a store whose files hold anything opens or is refused, and answers or refuses. A
//! crash means that a damaged disk can stop a node, or a tool that is to find the damage.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| lastword_fuzz::store(bytes));
