#![doc = include_str!("../README.md")]

mod channel;
mod deal;
mod dice;
mod ground;
mod htlc;
mod knobs;
mod marks;
mod miner;
mod node;
mod oracle;
mod pay;
mod ports;
mod run;
mod settle;
mod shrink;
mod step;
mod user;
mod wild;
mod work;
mod world;

pub use marks::{Mark, Marks};
pub use run::{Options, Report, Violation, run_seed};
pub use shrink::shrink;
