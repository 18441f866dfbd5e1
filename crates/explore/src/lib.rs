#![doc = include_str!("../README.md")]

mod chain;
mod channel;
mod clock;
mod explore;
mod hunt;
mod life;
mod living;
mod node;
mod oracle;
mod receipt;
mod record;
mod rest;
mod scenario;

pub use explore::{Counts, Explorer, Options, Violation, life_name};
pub use hunt::{Found, Hunt};
pub use rest::Rest;
pub use scenario::{Close, End, Fate, Reorg, Scenario, Shape, scenarios};
