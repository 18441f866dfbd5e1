//! The tests of the simulator.

mod calm;
mod support;
