//! [`RedbStore`]: the log, snapshots and cards in one file.

mod creating;
mod reading;
mod verifying;
mod writing;

pub use verifying::Verified;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::ControlFlow;
use std::path::Path;

use lastword_ports::{
    CardVisitor, Durable, Frame, LogId, Lsn, Snapshot, SnapshotStore, StoreError, StoreErrorKind,
    Stream, UpdateLog,
};
use redb::{Builder, StorageBackend, TableDefinition};

use crate::engine::Engine;
use crate::envelope::{RecordKey, RowKind, Seal, StreamKey, record_key, stream_key};
use crate::fault::{NOWHERE, engine_error, guarded, place, refused};
use crate::head::{Head, Meta};
use crate::pending::Pending;

const META: TableDefinition<'static, u8, &[u8]> = TableDefinition::new("meta");
const RECORDS: TableDefinition<'static, &RecordKey, &[u8]> = TableDefinition::new("records");
const HEADS: TableDefinition<'static, &StreamKey, &[u8]> = TableDefinition::new("heads");
const SNAPSHOTS: TableDefinition<'static, &StreamKey, &[u8]> = TableDefinition::new("snapshots");

/// The most memory that the engine keeps pages in.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

/// A store in one file of the embedded engine redb.
///
/// # Shape
///
/// Records lie by stream, then by position, so that replaying one channel costs what that channel
/// has. Every row carries a checksum that covers its place, and every record names the one before
/// it in its stream: a row that is damaged, moved or gone is refused by its place. Opening reads
/// two rows; no record is decoded before its stream is replayed. After a crash the engine itself
/// reads the file's pages once, to find which are free.
///
/// # Crash safety
///
/// Appends, snapshots and prunes wait in memory; [`sync`](UpdateLog::sync) writes all of them in one
/// commit with one sync of the file. A commit is there whole or not at all.
/// After one that failed every call is refused until the store is opened again: only then can
/// anybody know what the disk holds. Opening commits once before it returns: what it found is
/// durable, and a disk that is full or may not be written says so at once.
///
/// Damage to the engine's two commit slots, in the first bytes of the file, cannot be told from a
/// commit that a crash tore: the store opens as an earlier sync left it.
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
    seal: Seal,
    /// What the last commit said.
    committed: Meta,
    /// The position of the last frame, committed or not.
    end: u64,
    pending: Pending,
    is_poisoned: bool,
}

impl std::fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedbStore")
            .field("committed", &self.committed)
            .field("end", &self.end)
            .field("is_poisoned", &self.is_poisoned)
            .finish_non_exhaustive()
    }
}

impl RedbStore {
    /// Opens the store in a file, and creates it with a random [`LogId`] if there is none.
    ///
    /// # Crash safety
    ///
    /// What the store holds when this returns is durable, the file's name with it.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Fenced`] while anybody has the file open, [`StoreErrorKind::Refused`] if
    /// it may not be written or is of another version, [`StoreErrorKind::Full`],
    /// [`StoreErrorKind::Corrupt`] if it is no store or is damaged, [`StoreErrorKind::Retry`] for
    /// any other trouble of the disk.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !creating::is_there(path).map_err(opening)? {
            guarded(NOWHERE, || creating::create(path))?;
        }
        guarded(NOWHERE, || Self::start(builder().open(path).map_err(opening)?))
    }

    /// Opens the store in anything that the engine can write to, for tests that break it.
    ///
    /// # Crash safety
    ///
    /// As good as the backend's `sync_data`.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_backend(backend: impl StorageBackend) -> Result<Self, StoreError> {
        guarded(NOWHERE, || Self::start(builder().create_with_backend(backend).map_err(opening)?))
    }

    /// Returns the identity of the log.
    pub fn log_id(&self) -> LogId {
        self.committed.log
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.is_poisoned {
            let detail = "a sync failed earlier; open the store again";
            return Err(StoreError::new(StoreErrorKind::Poisoned, NOWHERE, detail));
        }
        Ok(())
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
        let mut heads = BTreeMap::new();
        for frame in batch {
            let (Frame::Record { stream, .. } | Frame::Card { stream, .. }) = *frame;
            if let Entry::Vacant(entry) = heads.entry(stream_key(stream)) {
                entry.insert(self.head(stream)?.unwrap_or_default());
            }
        }

        self.pending.heads.append(&mut heads);
        for frame in batch {
            self.end += 1;
            let (Frame::Record { stream, .. } | Frame::Card { stream, .. }) = *frame;
            let key = stream_key(stream);
            let head = self.pending.heads.get_mut(&key).expect("every stream's head is loaded");
            match *frame {
                Frame::Record { body, .. } => {
                    let key = record_key(&key, self.end);
                    let parts = [&head.last.to_be_bytes(), body];
                    let row = self.seal.close(RowKind::Record, &key, &parts);
                    head.last = self.end;
                    self.pending.records.insert(key, row);
                }
                Frame::Card { body, .. } => head.card = Some((self.end, body.to_vec())),
            }
        }
        Ok(self.lsn(self.end))
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.usable()?;
        if !self.pending.is_empty() {
            self.commit()?;
        }
        Ok(Durable::attest(self.lsn(self.committed.end)))
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

    /// Forgets records; the file forgets them with the next sync.
    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        self.usable()?;
        let upto = self.reached(stream, upto)?;
        let Some(mut head) = self.head(stream)? else { return Ok(()) };
        if upto <= head.pruned {
            return Ok(());
        }
        head.pruned = upto;
        let key = stream_key(stream);
        self.pending.forget(&key, upto);
        self.pending.heads.insert(key, head);
        self.pending.pruned.push(key);
        Ok(())
    }
}

impl SnapshotStore for RedbStore {
    /// Replaces the snapshot of a stream; the next sync commits it.
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.usable()?;
        let position = self.reached(stream, at)?;
        let mut head = self.head(stream)?.unwrap_or_default();
        head.snapshot = Some(position);
        let key = stream_key(stream);
        let row = self.seal.close(RowKind::Snapshot, &key, &[&position.to_be_bytes(), body]);
        self.pending.heads.insert(key, head);
        self.pending.snapshots.insert(key, row);
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
