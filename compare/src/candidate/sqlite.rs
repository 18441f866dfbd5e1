//! SQLite with a write-ahead log and full syncs: a commit is one append to that log and one sync.

use std::path::Path;

use rusqlite::{Connection, params};

use super::{Candidate, Order, Write, channel_key, record_key};
use crate::meter::Result;

struct Sqlite {
    connection: Connection,
    order: Order,
}

pub(super) fn open(folder: &Path, order: Order) -> Result<Box<dyn Candidate>> {
    let connection = Connection::open(folder.join("candidate.sqlite"))?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS records (key BLOB PRIMARY KEY, body BLOB) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS heads (key BLOB PRIMARY KEY, body BLOB) WITHOUT ROWID;
         CREATE TABLE IF NOT EXISTS snapshots (key BLOB PRIMARY KEY, body BLOB);",
    )?;
    Ok(Box::new(Sqlite { connection, order }))
}

impl Candidate for Sqlite {
    fn commit(&mut self, writes: &[Write]) -> Result<()> {
        let transaction = self.connection.transaction()?;
        {
            let mut records = transaction.prepare_cached("INSERT INTO records VALUES (?1, ?2)")?;
            let mut forget = transaction.prepare_cached("DELETE FROM records WHERE key = ?1")?;
            let mut heads = transaction.prepare_cached("REPLACE INTO heads VALUES (?1, ?2)")?;
            let mut snapshots =
                transaction.prepare_cached("REPLACE INTO snapshots VALUES (?1, ?2)")?;
            for write in writes {
                match write {
                    Write::Record { channel, position, body } => {
                        let key = record_key(self.order, *channel, *position);
                        records.execute(params![key, body])?;
                    }
                    Write::Forget { channel, positions } => {
                        for position in positions {
                            forget.execute(params![record_key(self.order, *channel, *position)])?;
                        }
                    }
                    Write::Head { channel, body } => {
                        heads.execute(params![&channel_key(*channel)[..], body])?;
                    }
                    Write::Snapshot { channel, body } => {
                        snapshots.execute(params![&channel_key(*channel)[..], body])?;
                    }
                }
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn replay(&mut self, channel: u32, positions: &[u64]) -> Result<usize> {
        let mut select =
            self.connection.prepare_cached("SELECT body FROM records WHERE key = ?1")?;
        let mut bytes = 0;
        for position in positions {
            let key = record_key(self.order, channel, *position);
            bytes += select.query_row(params![key], |row| row.get::<_, Vec<u8>>(0))?.len();
        }
        Ok(bytes)
    }
}
