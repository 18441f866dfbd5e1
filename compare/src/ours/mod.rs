//! Our side of the comparison.

mod channel;
mod node;
mod state;

pub(crate) use node::{Alone, Tape, batched, concurrent};
pub(crate) use state::{Pending, pending};
