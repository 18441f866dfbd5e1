#![doc = include_str!("../README.md")]

mod chain;
mod channel;
mod explore;
mod life;
mod node;
mod oracle;
mod scenario;

pub use explore::{Counts, Explorer, Options, Violation};
pub use scenario::{Close, End, Fate, Reorg, Scenario, Shape, scenarios};
