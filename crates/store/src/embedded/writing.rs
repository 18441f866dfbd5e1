//! How a [`RedbStore`] starts, and how it commits.

use lastword_ports::{LogId, StoreError, StoreErrorKind};
use redb::{Database, ReadableDatabase, StorageBackend, TableError};

use super::{HEADS, META, PIECE_BYTES, PIECES, RECORDS, Recovered, RedbStore, SNAPSHOTS, opening};
use crate::engine::Engine;
use crate::envelope::{Seal, piece_key, record_key};
use crate::fault::{NOWHERE, corrupt, engine_error, guarded, refused};
use crate::head::{META_KEY, Meta, MetaFault, NO_JOURNAL};
use crate::journal::Journal;
use crate::pending::Pending;

impl RedbStore {
    /// Reads what the store says of itself and what its journal holds, and makes all of it durable.
    ///
    /// `journal` is asked for the file, and told whether there may be none yet.
    pub(super) fn start(
        database: Database,
        journal: impl FnOnce(bool) -> Result<Box<dyn StorageBackend>, StoreError>,
    ) -> Result<Self, StoreError> {
        let committed = if let Some(meta) = stored_meta(&database)? {
            meta
        } else {
            let (generation, proven) = (NO_JOURNAL, NO_JOURNAL);
            Meta { log: draw_log_id()?, end: 0, streams: 0, generation, proven }
        };
        let is_new = committed.generation == NO_JOURNAL;
        let file = journal(is_new)?;
        if is_new {
            Journal::lay_out(&*file, committed.log)?;
        }
        let mut store = Self {
            database: Engine::new(database),
            journal: Journal::new(file, &committed),
            seal: Seal::new(committed.log),
            committed,
            written: committed.end,
            end: committed.end,
            pending: Pending::default(),
            recovered: Recovered::default(),
        };
        store.check_seal()?;
        store.recover()?;
        let meta = store.write(StoreErrorKind::Retry)?;
        store.committed(meta);
        Ok(store)
    }

    /// Commits what waits; a failure poisons the store.
    pub(super) fn commit(&mut self) -> Result<(), StoreError> {
        let meta = guarded(NOWHERE, || self.write(StoreErrorKind::Poisoned))
            .inspect_err(|_| self.journal.poison())?;
        self.committed(meta);
        Ok(())
    }

    /// Takes note that the database holds everything.
    fn committed(&mut self, meta: Meta) {
        self.committed = meta;
        self.written = meta.end;
        self.pending.clear();
        self.journal.rewind(&meta);
    }

    /// Writes everything in one durable transaction.
    fn write(&self, other: StoreErrorKind) -> Result<Meta, StoreError> {
        self.write_all().map_err(|error| engine_error(error, NOWHERE, other))
    }

    fn write_all(&self) -> Result<Meta, redb::Error> {
        let mut meta = self.journal.after_checkpoint(Meta { end: self.end, ..self.committed });
        let transaction = self.database.begin_write()?;
        {
            let mut records = transaction.open_table(RECORDS)?;
            for (key, row) in &self.pending.records {
                records.insert(key, row.as_slice())?;
            }
            for key in &self.pending.pruned {
                let upto = self.pending.heads.get(key).map_or(0, |head| head.pruned);
                let (first, last) = (record_key(key, 0), record_key(key, upto));
                records.retain_in::<&[u8; 41], _>(&first..=&last, |_, _| false)?;
            }
            let mut heads = transaction.open_table(HEADS)?;
            for (key, head) in &self.pending.heads {
                let row = head.seal(self.seal, key);
                let old = heads.insert(key, row.as_slice())?;
                meta.streams += u64::from(old.is_none());
            }
            let mut snapshots = transaction.open_table(SNAPSHOTS)?;
            let mut pieces = transaction.open_table(PIECES)?;
            for (key, row) in &self.pending.snapshots {
                let (first, rest) = row.split_at(row.len().min(PIECE_BYTES));
                snapshots.insert(key, first)?;
                let (from, upto) = (piece_key(key, 0), piece_key(key, u32::MAX));
                pieces.retain_in::<&[u8; 37], _>(&from..=&upto, |_, _| false)?;
                for (number, piece) in (0..).zip(rest.chunks(PIECE_BYTES)) {
                    pieces.insert(&piece_key(key, number), piece)?;
                }
            }
            transaction.open_table(META)?.insert(META_KEY, meta.seal().as_slice())?;
        }
        transaction.commit()?;
        Ok(meta)
    }
}

fn draw_log_id() -> Result<LogId, StoreError> {
    let mut id = [0; 16];
    getrandom::fill(&mut id).map_err(|error| {
        let detail = "the system has no randomness for the log's identity";
        StoreError::new(StoreErrorKind::Retry, NOWHERE, detail).with_source(error)
    })?;
    Ok(LogId(id))
}

/// Returns what the file says of itself, or `None` if it was just made.
fn stored_meta(database: &Database) -> Result<Option<Meta>, StoreError> {
    let transaction = database.begin_read().map_err(opening)?;
    let row = match transaction.open_table(META) {
        Ok(table) => table.get(META_KEY).map_err(opening)?,
        Err(TableError::TableDoesNotExist(_)) => None,
        Err(error) => return Err(opening(error)),
    };
    let Some(row) = row else {
        return match transaction.list_tables().map_err(opening)?.next() {
            None => Ok(None),
            Some(_) => Err(corrupt(NOWHERE, "the file does not say which log it is")),
        };
    };
    Meta::open(row.value()).map(Some).map_err(|fault| match fault {
        MetaFault::Damaged => corrupt(NOWHERE, "what the file says of itself is damaged"),
        MetaFault::Version => refused(NOWHERE, "the file is of another version of this store"),
    })
}
