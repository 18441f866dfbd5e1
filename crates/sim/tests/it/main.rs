//! The tests of the simulator.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test fails by panicking"
)]

mod balances;
mod calm;
mod closings;
mod crash;
mod mortal;
mod oracle;
mod peer;
mod support;
