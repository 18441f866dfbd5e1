//! The embedded engines that ADR 0006 chooses from, under this project's workload.
//!
//! An engine is used here as a store would use it: one table of records, one row for each stream
//! that says where it ends, one table of snapshots; a commit is one durable transaction.

mod damage;
mod fjall;
mod redb;
mod report;
mod sqlite;
mod workload;

use std::path::Path;

use crate::meter::Result;

pub(crate) use damage::report as report_damage;
pub(crate) use report::report;

/// A key and what becomes of it.
pub(crate) enum Write {
    /// A record.
    Record { channel: u32, position: u64, body: Vec<u8> },
    /// The records of a channel from one position to another, both included, are forgotten.
    Forget { channel: u32, positions: Vec<u64> },
    /// What is known of a channel.
    Head { channel: u32, body: Vec<u8> },
    /// The state of a channel.
    Snapshot { channel: u32, body: Vec<u8> },
}

/// An engine with a database open.
pub(crate) trait Candidate {
    /// Makes everything durable in one transaction.
    fn commit(&mut self, writes: &[Write]) -> Result<()>;

    /// Reads the records of a channel at these positions and returns their bytes, added up.
    fn replay(&mut self, channel: u32, positions: &[u64]) -> Result<usize>;
}

/// How the records lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// By channel, then by position.
    Channel,
    /// By position.
    Position,
}

/// An engine that may be opened.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) open: fn(&Path) -> Result<Box<dyn Candidate>>,
}

/// Every engine that was considered.
pub(crate) const KINDS: [Kind; 6] = [
    Kind { name: "redb, by channel", open: |path| redb::open(path, Order::Channel) },
    Kind { name: "redb, by position", open: |path| redb::open(path, Order::Position) },
    Kind { name: "SQLite, by channel", open: |path| sqlite::open(path, Order::Channel) },
    Kind { name: "SQLite, by position", open: |path| sqlite::open(path, Order::Position) },
    Kind { name: "fjall, by channel", open: |path| fjall::open(path, Order::Channel) },
    Kind { name: "fjall, by position", open: |path| fjall::open(path, Order::Position) },
];

/// Returns the key of a record.
fn record_key(order: Order, channel: u32, position: u64) -> Vec<u8> {
    let channel = channel_key(channel);
    let position = position.to_be_bytes();
    match order {
        Order::Channel => [&channel[..], &position].concat(),
        Order::Position => [&position[..], &channel].concat(),
    }
}

/// Returns the key of a channel; channel ids look random.
fn channel_key(channel: u32) -> [u8; 33] {
    use bitcoin::hashes::{Hash as _, sha256};

    let mut key = [0; 33];
    key[1..].copy_from_slice(&sha256::Hash::hash(&channel.to_be_bytes()).to_byte_array());
    key
}
