//! The tests of the simulator.

mod calm;
mod crash;
mod mortal;
mod support;
