//! [`LateStore`]: a store whose syncs complete when they are told to.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use lastword_ports::{
    CardVisitor, Durable, Frame, Lsn, Place, Snapshot, SnapshotStore, Store, StoreError,
    StoreErrorKind, Stream, SyncJob, UpdateLog,
};

const NOWHERE: Place = Place { stream: None, position: None };

/// What becomes of a sync that was begun.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Complete,
    Fail(StoreErrorKind),
}

#[derive(Debug, Default)]
struct Syncs {
    begun: usize,
    /// Those that were begun and have not returned, with their answer once there is one.
    waiting: BTreeMap<usize, Option<Answer>>,
    is_open: bool,
    is_poisoned: bool,
}

/// The other end of a [`LateStore`]: says when each sync that was begun completes.
#[derive(Debug, Clone, Default)]
pub struct LateSyncs(Arc<(Mutex<Syncs>, Condvar)>);

impl LateSyncs {
    /// Returns the numbers of the syncs that were begun and wait for a word, oldest first; the first
    /// of a store is 0.
    pub fn waiting(&self) -> Vec<usize> {
        let syncs = self.syncs();
        syncs.waiting.iter().filter(|(_, answer)| answer.is_none()).map(|(nth, _)| *nth).collect()
    }

    /// Completes a sync; one that does not wait is left alone.
    pub fn complete(&self, nth: usize) {
        self.answer(nth, Answer::Complete);
    }

    /// Completes one of those that wait, chosen by a number, as a seeded test draws it. Says whether
    /// there was any.
    pub fn complete_any(&self, number: u64) -> bool {
        let waiting = self.waiting();
        let count = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        let index = number.checked_rem(count).and_then(|index| usize::try_from(index).ok());
        let nth = index.and_then(|index| waiting.get(index).copied());
        nth.inspect(|nth| self.complete(*nth)).is_some()
    }

    /// Makes a sync fail; from then on the store is poisoned.
    pub fn fail(&self, nth: usize, kind: StoreErrorKind) {
        self.answer(nth, Answer::Fail(kind));
    }

    /// Completes every sync, those that wait and those that are begun from now on.
    pub fn open(&self) {
        self.syncs().is_open = true;
        self.0.1.notify_all();
    }

    fn answer(&self, nth: usize, answer: Answer) {
        if let Some(waiting) = self.syncs().waiting.get_mut(&nth) {
            waiting.get_or_insert(answer);
        }
        self.0.1.notify_all();
    }

    /// Waits for the word.
    fn answer_of(&self, nth: usize) -> Answer {
        let mut syncs = self.syncs();
        loop {
            let answer = syncs.waiting.get(&nth).copied().flatten();
            if let Some(answer) = answer.or_else(|| syncs.is_open.then_some(Answer::Complete)) {
                syncs.waiting.remove(&nth);
                syncs.is_poisoned |= matches!(answer, Answer::Fail(_));
                return answer;
            }
            syncs = self.0.1.wait(syncs).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Every change is done in one step, so a panic elsewhere leaves nothing half done.
    fn syncs(&self) -> MutexGuard<'_, Syncs> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A store whose syncs, once begun, complete when its [`LateSyncs`] says so: late, in any order, or
/// never. [`sync`](UpdateLog::sync) itself is not held up.
///
/// # Examples
///
/// ```
/// use lastword_ports::{Frame, LogId, Stream, UpdateLog};
/// use lastword_testkit::{CrashStore, LateStore};
///
/// let (mut store, syncs) = LateStore::new(CrashStore::new(LogId([1; 16])));
/// let first = store.append(&[Frame::Record { stream: Stream::Payments, body: b"sent" }])?;
/// let job = store.begin_sync()?;
/// let second = store.append(&[Frame::Record { stream: Stream::Payments, body: b"paid" }])?;
/// assert_eq!(syncs.waiting(), [0]);
/// syncs.complete(0);
/// assert_eq!(job.run()?.upto(), first);
/// assert_eq!(store.sync()?.upto(), second);
/// # Ok::<(), lastword_ports::StoreError>(())
/// ```
#[derive(Debug)]
pub struct LateStore<S> {
    inner: S,
    syncs: LateSyncs,
}

impl<S: Store> LateStore<S> {
    /// Wraps a store, and returns who completes its syncs.
    pub fn new(inner: S) -> (Self, LateSyncs) {
        let syncs = LateSyncs::default();
        (Self { inner, syncs: syncs.clone() }, syncs)
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.syncs.syncs().is_poisoned {
            let detail = "an earlier sync was told to fail";
            return Err(StoreError::new(StoreErrorKind::Poisoned, NOWHERE, detail));
        }
        Ok(())
    }
}

impl<S: Store> UpdateLog for LateStore<S> {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        self.usable()?;
        self.inner.append(batch)
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.usable()?;
        self.inner.sync()
    }

    /// Begins a sync within; its job waits for the word.
    fn begin_sync(&mut self) -> Result<SyncJob, StoreError> {
        self.usable()?;
        let job = self.inner.begin_sync()?;
        let nth = {
            let mut syncs = self.syncs.syncs();
            let nth = syncs.begun;
            syncs.begun += 1;
            syncs.waiting.insert(nth, None);
            nth
        };
        let syncs = self.syncs.clone();
        Ok(SyncJob::later(move || match syncs.answer_of(nth) {
            Answer::Complete => job.run(),
            Answer::Fail(kind) => Err(StoreError::new(kind, NOWHERE, "the sync was told to fail")),
        }))
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.usable()?;
        self.inner.replay(stream, after, visit)
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        self.usable()?;
        self.inner.prune(stream, upto)
    }
}

impl<S: Store> SnapshotStore for LateStore<S> {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.usable()?;
        self.inner.put(stream, at, body)
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        self.usable()?;
        self.inner.latest(stream)
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        self.usable()?;
        self.inner.cards(visit)
    }
}
