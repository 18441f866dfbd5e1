//! redb: a copy-on-write tree in one file; a commit is one sync.

use std::path::Path;

use redb::{Database, ReadableDatabase as _, TableDefinition};

use super::{Candidate, Order, Write, channel_key, record_key};
use crate::meter::Result;

const RECORDS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("records");
const HEADS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("heads");
const SNAPSHOTS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("snapshots");

struct Redb {
    database: Database,
    order: Order,
}

pub(super) fn open(folder: &Path, order: Order) -> Result<Box<dyn Candidate>> {
    let database = Database::create(folder.join("candidate.redb"))?;
    Ok(Box::new(Redb { database, order }))
}

impl Candidate for Redb {
    fn commit(&mut self, writes: &[Write]) -> Result<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            let mut heads = transaction.open_table(HEADS)?;
            let mut snapshots = transaction.open_table(SNAPSHOTS)?;
            for write in writes {
                match write {
                    Write::Record { channel, position, body } => {
                        let key = record_key(self.order, *channel, *position);
                        records.insert(&key[..], &body[..])?;
                    }
                    Write::Forget { channel, positions } => {
                        for position in positions {
                            let key = record_key(self.order, *channel, *position);
                            records.remove(&key[..])?;
                        }
                    }
                    Write::Head { channel, body } => {
                        heads.insert(&channel_key(*channel)[..], &body[..])?;
                    }
                    Write::Snapshot { channel, body } => {
                        snapshots.insert(&channel_key(*channel)[..], &body[..])?;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn replay(&mut self, channel: u32, positions: &[u64]) -> Result<usize> {
        let records = self.database.begin_read()?.open_table(RECORDS)?;
        let mut bytes = 0;
        for position in positions {
            let key = record_key(self.order, channel, *position);
            bytes += records.get(&key[..])?.ok_or("the record is there")?.value().len();
        }
        Ok(bytes)
    }
}
