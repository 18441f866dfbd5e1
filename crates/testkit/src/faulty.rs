//! [`FaultyStore`]: a store that fails when it is told to.

use std::ops::ControlFlow;

use lastword_ports::{
    CardVisitor, Durable, Frame, Lsn, Place, Snapshot, SnapshotStore, Store, StoreError,
    StoreErrorKind, Stream, UpdateLog,
};

const NOWHERE: Place = Place { stream: None, position: None };

/// Which call of a store fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreCall {
    /// An append; nothing of it is there.
    Append,
    /// A sync that wrote nothing.
    Sync,
    /// A sync that wrote everything and reported a failure all the same.
    SyncThatWrote,
    /// A snapshot; the old one is still there.
    Put,
}

/// One planned failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fault {
    /// Which call fails.
    pub call: StoreCall,
    /// The how many-th call of its sort, from 1.
    pub nth: u64,
    /// What it says.
    pub kind: StoreErrorKind,
}

/// A store that fails at one call and otherwise does what the store within does.
///
/// After a failed sync every later call is refused as poisoned, as the port wants.
///
/// # Examples
///
/// ```
/// use lastword_ports::{LogId, StoreErrorKind, UpdateLog};
/// use lastword_testkit::{CrashStore, Fault, FaultyStore, StoreCall};
///
/// let disk = CrashStore::new(LogId([1; 16]));
/// let fault = Fault { call: StoreCall::Sync, nth: 2, kind: StoreErrorKind::Full };
/// let mut store = FaultyStore::new(disk, fault);
/// assert!(store.sync().is_ok());
/// assert_eq!(store.sync().expect_err("the second").kind, StoreErrorKind::Full);
/// assert_eq!(store.append(&[]).expect_err("sticky").kind, StoreErrorKind::Poisoned);
/// ```
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    fault: Fault,
    appends: u64,
    syncs: u64,
    puts: u64,
    is_poisoned: bool,
}

impl<S: Store> FaultyStore<S> {
    /// Wraps a store.
    pub fn new(inner: S, fault: Fault) -> Self {
        Self { inner, fault, appends: 0, syncs: 0, puts: 0, is_poisoned: false }
    }

    /// Returns the store within, as the failure left it.
    pub fn into_inner(self) -> S {
        self.inner
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.is_poisoned {
            let detail = "an earlier sync was told to fail";
            return Err(StoreError::new(StoreErrorKind::Poisoned, NOWHERE, detail));
        }
        Ok(())
    }

    fn fails(&self, call: StoreCall, count: u64) -> bool {
        self.fault.call == call && self.fault.nth == count
    }

    fn failure(&self) -> StoreError {
        StoreError::new(self.fault.kind, NOWHERE, "the call was told to fail")
    }
}

impl<S: Store> UpdateLog for FaultyStore<S> {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        self.usable()?;
        self.appends += 1;
        if self.fails(StoreCall::Append, self.appends) {
            return Err(self.failure());
        }
        self.inner.append(batch)
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.usable()?;
        self.syncs += 1;
        let fails_before = self.fails(StoreCall::Sync, self.syncs);
        let fails_after = self.fails(StoreCall::SyncThatWrote, self.syncs);
        if fails_before {
            self.is_poisoned = true;
            return Err(self.failure());
        }
        let durable = self.inner.sync()?;
        if fails_after {
            self.is_poisoned = true;
            return Err(self.failure());
        }
        Ok(durable)
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

impl<S: Store> SnapshotStore for FaultyStore<S> {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.usable()?;
        self.puts += 1;
        if self.fails(StoreCall::Put, self.puts) {
            return Err(self.failure());
        }
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
