//! fjall: a log-structured tree; a commit is one append to its journal and one sync.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::{Candidate, Order, Write, channel_key, record_key};
use crate::meter::Result;

struct Fjall {
    database: Database,
    records: Keyspace,
    heads: Keyspace,
    snapshots: Keyspace,
    order: Order,
}

pub(super) fn open(folder: &Path, order: Order) -> Result<Box<dyn Candidate>> {
    let database = Database::builder(folder.join("candidate.fjall")).open()?;
    // Small enough that a run sees what is flushed and compacted as well.
    let options = || KeyspaceCreateOptions::default().max_memtable_size(4 * 1024 * 1024);
    let records = database.keyspace("records", options)?;
    let heads = database.keyspace("heads", options)?;
    let snapshots = database.keyspace("snapshots", options)?;
    Ok(Box::new(Fjall { database, records, heads, snapshots, order }))
}

impl Candidate for Fjall {
    fn commit(&mut self, writes: &[Write]) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for write in writes {
            match write {
                Write::Record { channel, position, body } => {
                    let key = record_key(self.order, *channel, *position);
                    batch.insert(&self.records, key, &body[..]);
                }
                Write::Forget { channel, positions } => {
                    for position in positions {
                        batch.remove(&self.records, record_key(self.order, *channel, *position));
                    }
                }
                Write::Head { channel, body } => {
                    batch.insert(&self.heads, &channel_key(*channel)[..], &body[..]);
                }
                Write::Snapshot { channel, body } => {
                    batch.insert(&self.snapshots, &channel_key(*channel)[..], &body[..]);
                }
            }
        }
        batch.commit()?;
        Ok(())
    }

    fn replay(&mut self, channel: u32, positions: &[u64]) -> Result<usize> {
        let mut bytes = 0;
        for position in positions {
            let key = record_key(self.order, channel, *position);
            bytes += self.records.get(key)?.ok_or("the record is there")?.len();
        }
        Ok(bytes)
    }
}
