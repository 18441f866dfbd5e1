#![doc = include_str!("../README.md")]

mod embedded;
mod engine;
mod envelope;
mod fault;
mod head;
mod memory;
mod pending;

pub use embedded::{RedbStore, Verified};
pub use memory::MemoryStore;
