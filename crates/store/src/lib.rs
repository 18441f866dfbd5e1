#![doc = include_str!("../README.md")]

mod embedded;
mod engine;
mod envelope;
mod fault;
mod head;
mod journal;
mod memory;
mod pending;

pub use embedded::{Recovered, RedbStore, Verified};
pub use journal::Cut;
pub use memory::MemoryStore;
