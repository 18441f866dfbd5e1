//! [`CrashStore`]: a store whose crashes can be chosen.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lastword_ports::{
    CardVisitor, Durable, Frame, LogId, Lsn, Place, Snapshot, SnapshotStore, StoreError,
    StoreErrorKind, StoredCard, Stream, SyncJob, UpdateLog,
};

use crate::state::{Operation, State};

/// What of the batches that were not synced survives a crash. Everything synced always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survivors {
    /// None of them.
    SyncedOnly,
    /// All of them.
    Everything,
    /// The first so many of them; all if there are fewer.
    Prefix(usize),
}

/// What was written to a store since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Writes {
    /// Batches that were not empty.
    pub appends: u64,
    /// Records in them.
    pub records: u64,
    /// Cards in them.
    pub cards: u64,
    /// Syncs.
    pub syncs: u64,
    /// Snapshots.
    pub puts: u64,
    /// Prunes.
    pub prunes: u64,
}

/// A store in memory that can say what a crash at this moment may leave.
///
/// A clone is another handle to the same store: give one to the engine, keep one, and ask it for an
/// [`image`](Self::image) whenever a crash is wanted. An image is a store of its own with the same
/// [`LogId`], and the original does not notice.
///
/// It is stricter than the port: a snapshot of what is not durable is refused, because a crash
/// would leave a snapshot ahead of its log.
///
/// # Examples
///
/// ```
/// use lastword_ports::{Frame, LogId, Stream, UpdateLog};
/// use lastword_testkit::{CrashStore, Survivors};
///
/// let mut store = CrashStore::new(LogId([1; 16]));
/// let synced = store.append(&[Frame::Record { stream: Stream::Payments, body: b"a" }])?;
/// let proof = store.sync()?;
/// let lost = store.append(&[Frame::Record { stream: Stream::Payments, body: b"b" }])?;
///
/// let mut after_crash = store.image(Survivors::SyncedOnly);
/// assert_eq!(after_crash.append(&[])?, synced);
/// assert_eq!(store.image(Survivors::Prefix(1)).append(&[])?, lost);
/// # assert_eq!(proof.upto(), synced);
/// # Ok::<(), lastword_ports::StoreError>(())
/// ```
#[derive(Debug, Clone)]
pub struct CrashStore {
    log: LogId,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    /// What every crash leaves.
    durable: Arc<State>,
    /// What was done since, in order.
    waiting: Vec<Operation>,
    /// How many operations are in `durable` by a sync.
    synced: u64,
    /// `durable` with `waiting` done to it.
    live: Arc<State>,
    writes: Writes,
}

impl Inner {
    /// Says how many operations there have been.
    fn done(&self) -> u64 {
        self.synced + u64::try_from(self.waiting.len()).unwrap_or(u64::MAX)
    }

    /// Makes the first so many operations durable, and returns where the durable part ends.
    fn sync_first(&mut self, operations: u64) -> u64 {
        if operations >= self.done() {
            self.synced = self.done();
            self.waiting.clear();
            self.durable = Arc::clone(&self.live);
        } else {
            let durable = Arc::make_mut(&mut self.durable);
            let count = usize::try_from(operations.saturating_sub(self.synced));
            for operation in self.waiting.drain(..count.unwrap_or(0)) {
                durable.apply(&operation);
                self.synced += 1;
            }
        }
        self.writes.syncs += 1;
        self.durable.end
    }
}

impl CrashStore {
    /// Makes an empty store.
    pub fn new(log: LogId) -> Self {
        Self { log, inner: Arc::default() }
    }

    /// Returns the identity of the log.
    pub fn log_id(&self) -> LogId {
        self.log
    }

    /// Returns a store that holds what a crash at this moment may leave.
    ///
    /// A snapshot and a prune that no sync followed are undone, unless batches from after them
    /// survive.
    #[must_use]
    pub fn image(&self, survivors: Survivors) -> Self {
        let inner = self.inner();
        let mut state = Arc::clone(&inner.durable);
        let mut room = match survivors {
            Survivors::SyncedOnly => 0,
            Survivors::Everything => usize::MAX,
            Survivors::Prefix(batches) => batches,
        };
        let mut undone = Vec::new();
        for operation in &inner.waiting {
            match operation {
                Operation::Prune(..) | Operation::Put(..) => undone.push(operation),
                Operation::Batch(_) if room == 0 => break,
                Operation::Batch(_) => {
                    room -= 1;
                    let state = Arc::make_mut(&mut state);
                    undone.drain(..).for_each(|earlier| state.apply(earlier));
                    state.apply(operation);
                }
            }
        }
        let survivor = Inner { live: Arc::clone(&state), durable: state, ..Inner::default() };
        Self { log: self.log, inner: Arc::new(Mutex::new(survivor)) }
    }

    /// Returns a number that stores with the same records, cards and snapshots share, and others
    /// hardly ever: to recognise an image that was seen before, in the same process.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let inner = self.inner();
        inner.live.hash(&mut hasher);
        hasher.finish()
    }

    /// Returns how many batches wait for a sync: the most that [`Survivors::Prefix`] tells apart.
    pub fn unsynced_batches(&self) -> usize {
        let is_batch = |operation: &&Operation| matches!(operation, Operation::Batch(_));
        self.inner().waiting.iter().filter(is_batch).count()
    }

    /// Returns what was written to this store since it was made, also as an image.
    pub fn writes(&self) -> Writes {
        self.inner().writes
    }

    /// Every change is done in one step, so a panic elsewhere leaves nothing half done.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lsn(&self, position: u64) -> Lsn {
        Lsn { log: self.log, position }
    }

    /// Returns a position that this log has, or refuses one of another log or behind `end`.
    fn reached(&self, stream: Stream, lsn: Lsn, end: u64) -> Result<u64, StoreError> {
        let detail = if lsn.log != self.log {
            "the place is of another log"
        } else if lsn.position > end {
            "the log is not there yet"
        } else {
            return Ok(lsn.position);
        };
        let place = Place { stream: Some(stream), position: Some(lsn.position) };
        Err(StoreError::new(StoreErrorKind::Refused, place, detail))
    }
}

impl UpdateLog for CrashStore {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        let mut inner = self.inner();
        if !batch.is_empty() {
            let operation = Operation::Batch(batch.iter().map(Into::into).collect());
            Arc::make_mut(&mut inner.live).apply(&operation);
            inner.waiting.push(operation);
            inner.writes.appends += 1;
        }
        for frame in batch {
            match frame {
                Frame::Record { .. } => inner.writes.records += 1,
                Frame::Card { .. } => inner.writes.cards += 1,
            }
        }
        Ok(self.lsn(inner.live.end))
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        let mut inner = self.inner();
        let done = inner.done();
        Ok(Durable::attest(self.lsn(inner.sync_first(done))))
    }

    /// Begins a sync; nothing is durable before its job has run. Jobs may run in any order, or never.
    fn begin_sync(&mut self) -> Result<SyncJob, StoreError> {
        let store = self.clone();
        let done = self.inner().done();
        Ok(SyncJob::later(move || {
            let end = store.inner().sync_first(done);
            Ok(Durable::attest(store.lsn(end)))
        }))
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        // The lock is not held over the visits: a visitor may use the store.
        let records = {
            let inner = self.inner();
            let after = after.map_or(Ok(0), |lsn| self.reached(stream, lsn, inner.live.end))?;
            inner.live.behind(stream, after)
        };
        for (position, body) in records {
            if visit(self.lsn(position), body.bytes()).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let upto = self.reached(stream, upto, inner.live.end)?;
        let operation = Operation::Prune(stream, upto);
        Arc::make_mut(&mut inner.live).apply(&operation);
        inner.waiting.push(operation);
        inner.writes.prunes += 1;
        Ok(())
    }
}

impl SnapshotStore for CrashStore {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        let mut inner = self.inner();
        let position = self.reached(stream, at, inner.durable.end)?;
        let operation = Operation::Put(stream, position, Arc::new(body.into()));
        Arc::make_mut(&mut inner.live).apply(&operation);
        inner.waiting.push(operation);
        inner.writes.puts += 1;
        Ok(())
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        let inner = self.inner();
        let snapshot = inner.live.snapshots.get(&stream);
        Ok(snapshot.map(|(at, body)| Snapshot { at: self.lsn(*at), body: body.bytes().to_vec() }))
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        let live = Arc::clone(&self.inner().live);
        for (stream, body) in &live.cards {
            let last = live.last(*stream);
            visit(Ok(StoredCard { stream: *stream, last, body: body.bytes() }));
        }
        Ok(())
    }
}
