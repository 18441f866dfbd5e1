//! [`RedbStore`]: the log, snapshots and cards in one file, with a journal before it.

mod applying;
mod creating;
mod reading;
mod verifying;
mod writing;

pub use verifying::Verified;

use std::ops::ControlFlow;
use std::path::Path;

use lastword_ports::{
    CardVisitor, Durable, Frame, LogId, Lsn, Snapshot, SnapshotStore, StoreError, StoreErrorKind,
    Stream, SyncJob, UpdateLog,
};
use redb::{Builder, StorageBackend, TableDefinition};

use crate::engine::Engine;
use crate::envelope::{PieceKey, RecordKey, RowKind, Seal, StreamKey, stream_key};
use crate::fault::{NOWHERE, engine_error, guarded, place, poisoned, refused};
use crate::head::{Head, Meta};
use crate::journal::{Cut, Entry, Journal};
use crate::pending::Pending;

const META: TableDefinition<'static, u8, &[u8]> = TableDefinition::new("meta");
const RECORDS: TableDefinition<'static, &RecordKey, &[u8]> = TableDefinition::new("records");
const HEADS: TableDefinition<'static, &StreamKey, &[u8]> = TableDefinition::new("heads");
const SNAPSHOTS: TableDefinition<'static, &StreamKey, &[u8]> = TableDefinition::new("snapshots");
/// What of a snapshot is behind its first [`PIECE_BYTES`], in their order.
const PIECES: TableDefinition<'static, &PieceKey, &[u8]> = TableDefinition::new("pieces");

/// The bytes of a snapshot that are in one row. The engine lays a longer row out in a power of two of
/// pages, so that one of 282 kB would take 512 kB; a row of this size fits a page and fills it.
const PIECE_BYTES: usize = 3_900;

/// The most memory that the engine keeps pages in.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// A store in one file of the embedded engine redb, with a journal before it.
///
/// # Shape
///
/// Records lie by stream, then by position, so that replaying one channel costs what that channel
/// has. Every row carries a checksum that covers its place, and every record names the one before
/// it in its stream: a row that is damaged, moved or gone is refused by its place. Opening reads
/// two rows; no record is decoded before its stream is replayed. After a crash the engine itself
/// reads the file's pages once, to find which are free.
///
/// The journal is a second file, of the same name with `.journal` at the end, and a part of the store:
/// neither opens without the other. It holds what is not in the database yet, which memory holds too.
///
/// # Crash safety
///
/// Appends, snapshots and prunes wait in memory; [`sync`](UpdateLog::sync) writes all of them to the
/// journal as one batch and syncs that file. A batch is there whole or not at all. When the journal
/// is full, all of it goes into the database in one durable commit, a
/// [checkpoint](Self::checkpoint), within the call that finds it full.
///
/// After a sync or a checkpoint that failed every call is refused until the store is opened again:
/// only then can anybody know what the disk holds. A batch that could not be written, on a disk that is
/// full, changes nothing, and the same call may work later. Opening makes a checkpoint before it
/// returns: what it found is durable, and a disk that is full or may not be written says so at once.
///
/// A tail of the journal that a crash tore is cut, and [`recovered`](Self::recovered) says so. A damaged
/// row sets its stream apart, as in the database. Damage to the framing of a batch refuses the
/// store with the position; that of the last batch alone cannot be told from a torn tail.
///
/// Damage to the engine's two commit slots, in the first bytes of the file, cannot be told from a
/// commit that a crash tore: the store opens as the checkpoint before left it, with what the journal
/// held then, and is refused where the journal has begun anew since.
///
/// # Examples
///
/// ```
/// use lastword_ports::{Frame, Stream, UpdateLog};
/// use lastword_store::RedbStore;
///
/// # let folder = tempfile::tempdir().expect("a folder");
/// # let path = folder.path().join("node.redb");
/// let mut store = RedbStore::open(&path)?;
/// let lsn = store.append(&[Frame::Record { stream: Stream::Payments, body: b"paid" }])?;
/// assert_eq!(store.sync()?.upto(), lsn);
/// # Ok::<(), lastword_ports::StoreError>(())
/// ```
pub struct RedbStore {
    database: Engine,
    journal: Journal,
    seal: Seal,
    /// What the last checkpoint said.
    committed: Meta,
    /// The position of the last frame that is in the database or the journal's file.
    written: u64,
    /// The position of the last frame.
    end: u64,
    pending: Pending,
    recovered: Recovered,
}

/// What a store found in its journal when it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Records, cards, snapshots and prunes that the database did not hold yet.
    pub calls: u64,
    /// The torn tail that was cut, if there was one.
    pub cut: Option<Cut>,
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbStore")
            .field("committed", &self.committed)
            .field("end", &self.end)
            .field("journal", &self.journal)
            .finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Opens the store in a file, and creates it with a random [`LogId`] if there is none.
    ///
    /// # Crash safety
    ///
    /// What the store holds when this returns is durable, the files' names with it.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Fenced`] while anybody has the file open, [`StoreErrorKind::Refused`] if
    /// it may not be written, is of another version, or its journal is missing or of another store or
    /// of another state of this one, [`StoreErrorKind::Full`], [`StoreErrorKind::Corrupt`] if it is no
    /// store or is damaged, [`StoreErrorKind::Retry`] for any other trouble of the disk.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !creating::is_there(path).map_err(opening)? {
            guarded(NOWHERE, || creating::create(path))?;
        }
        guarded(NOWHERE, || {
            let database = builder().open(path).map_err(opening)?;
            Self::start(database, |is_new| creating::journal_of(path, is_new))
        })
    }

    /// Opens the store in anything that the engine can write to, for tests that break it: the
    /// database, and the journal.
    ///
    /// # Crash safety
    ///
    /// As good as the backends' `sync_data`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_backends(
        database: impl StorageBackend,
        journal: impl StorageBackend,
    ) -> Result<Self, StoreError> {
        guarded(NOWHERE, || {
            let database = builder().create_with_backend(database).map_err(opening)?;
            Self::start(database, |_| Ok(Box::new(journal)))
        })
    }

    /// Returns what the journal held when the store was opened.
    pub fn recovered(&self) -> Recovered {
        self.recovered
    }

    /// Makes the journal no larger than so many bytes, from the next sync on. The database takes
    /// over what was written each time it is full; a batch that is larger goes there at once.
    pub fn set_journal_size_max(&mut self, bytes: usize) {
        self.journal.set_size_max(bytes);
    }

    /// Puts everything into the database, so that the next opening finds nothing to do.
    ///
    /// A clean end may do this; nothing is lost without it.
    ///
    /// # Crash safety
    ///
    /// What it returns covers every earlier append.
    ///
    /// # Errors
    ///
    /// As [`sync`](UpdateLog::sync).
    pub fn checkpoint(&mut self) -> Result<Durable, StoreError> {
        self.usable()?;
        if !self.pending.is_empty() || self.journal.is_used() {
            self.commit()?;
        }
        Ok(Durable::attest(self.lsn(self.end)))
    }

    /// Returns the identity of the log.
    pub fn log_id(&self) -> LogId {
        self.committed.log
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.journal.is_poisoned() { Err(poisoned()) } else { Ok(()) }
    }

    fn lsn(&self, position: u64) -> Lsn {
        Lsn { log: self.committed.log, position }
    }

    /// Returns a position that this log has reached, or refuses the place.
    fn reached(&self, stream: Stream, lsn: Lsn) -> Result<u64, StoreError> {
        let place = place(stream, Some(lsn.position));
        if lsn.log != self.committed.log {
            return Err(refused(place, "the place is of another log"));
        }
        if lsn.position > self.end {
            return Err(refused(place, "the place is behind the end of the log"));
        }
        Ok(lsn.position)
    }

    /// Returns the head of a stream, with what waits for a commit.
    fn head(&self, stream: Stream) -> Result<Option<Head>, StoreError> {
        match self.pending.heads.get(&stream_key(stream)) {
            Some(head) => Ok(Some(head.clone())),
            None => self.stored_head(stream),
        }
    }
}

impl UpdateLog for RedbStore {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        self.usable()?;
        // `u64::MAX` is never a position: one more than a position always fits.
        let last = u64::try_from(batch.len()).ok().and_then(|count| self.end.checked_add(count));
        if last.is_none_or(|last| last == u64::MAX) {
            return Err(refused(NOWHERE, "the positions are used up"));
        }
        let streams = batch.iter().map(|frame| match frame {
            Frame::Record { stream, .. } | Frame::Card { stream, .. } => *stream,
        });
        self.load_heads(streams)?;
        for frame in batch {
            self.add_frame(*frame);
        }
        Ok(self.lsn(self.end))
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.begin_sync()?.run()
    }

    /// Writes what is new to the journal; the job syncs it.
    ///
    /// The batch is handed to the system here, which takes microseconds. When the journal is full
    /// everything goes into the database instead, and the job is done.
    fn begin_sync(&mut self) -> Result<SyncJob, StoreError> {
        self.usable()?;
        if !self.journal.is_written() {
            if !self.journal.has_room() {
                return self.checkpoint().map(|durable| SyncJob::done(Ok(durable)));
            }
            self.journal.write(self.written)?;
            self.written = self.end;
        }
        let durable = Durable::attest(self.lsn(self.end));
        if self.journal.is_durable() {
            return Ok(SyncJob::done(Ok(durable)));
        }
        let sync = self.journal.sync();
        Ok(SyncJob::later(move || sync().map(|()| durable)))
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.usable()?;
        let after = after.map_or(Ok(0), |lsn| self.reached(stream, lsn))?;
        self.replay_behind(stream, after, visit)
    }

    /// Forgets records; the disk forgets them with the next sync.
    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        self.usable()?;
        let upto = self.reached(stream, upto)?;
        if self.head(stream)?.is_some_and(|head| head.pruned < upto) {
            self.load_heads([stream])?;
            self.add(&Entry::Prune { stream, upto });
        }
        Ok(())
    }
}

impl SnapshotStore for RedbStore {
    /// Replaces the snapshot of a stream; the next sync writes it.
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.usable()?;
        let position = self.reached(stream, at)?;
        self.load_heads([stream])?;
        let parts = [&position.to_be_bytes(), body];
        let row = self.seal.close(RowKind::Snapshot, &stream_key(stream), &parts);
        self.add(&Entry::Snapshot { stream, row: &row });
        Ok(())
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        self.usable()?;
        let at = self.head(stream)?.and_then(|head| head.snapshot);
        let body = self.snapshot(stream, at)?;
        Ok(at.zip(body).map(|(at, body)| Snapshot { at: self.lsn(at), body }))
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        self.usable()?;
        self.visit_cards(visit)
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn opening(error: impl Into<redb::Error>) -> StoreError {
    engine_error(error, NOWHERE, StoreErrorKind::Retry)
}
