#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod archive;
mod balance;
mod block;
mod card;
mod claims;
mod closing;
mod deadline;
mod error;
mod forget;
mod funding;
mod index;
mod invariant;
mod ledger;
mod levels;
mod machine;
mod marks;
mod mempool;
mod outputs;
mod received;
mod release;
mod revoked;
mod update;
mod verdict;

pub use error::{ArchiveWaits, MonitorError};
pub use machine::{Accepted, Monitor, Noop};
