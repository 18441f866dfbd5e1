//! [`Logs`]: one log or two, and what of them is known to be durable.

use lastword_ports::{
    Durable, Frame, Lsn, Place, Proofs, SnapshotStore, Store, StoreError, StoreErrorKind, Stream,
    UpdateLog,
};

use crate::ports::{Boundary, Observer};

/// Which of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogKind {
    Monitors,
    Books,
}

/// A log, and whether something was appended to it since its last sync.
struct Log {
    store: Box<dyn Store>,
    is_dirty: bool,
}

/// The logs of a driver; with one log both kinds are the same.
pub(crate) struct Logs {
    monitors: Log,
    books: Option<Log>,
    proofs: Proofs,
    is_poisoned: bool,
    observer: Box<dyn Observer>,
}

impl Logs {
    pub(crate) fn new(
        monitors: Box<dyn Store>,
        books: Option<Box<dyn Store>>,
        observer: Box<dyn Observer>,
    ) -> Self {
        // What a crash left behind is durable only after a sync of our own.
        let log = |store| Log { store, is_dirty: true };
        Self {
            monitors: log(monitors),
            books: books.map(log),
            proofs: Proofs::new(),
            is_poisoned: false,
            observer,
        }
    }

    /// Says whether books and monitors share a log, so that one batch holds both.
    pub(crate) fn is_one(&self) -> bool {
        self.books.is_none()
    }

    pub(crate) fn observe(&mut self, boundary: Boundary) {
        self.observer.at(boundary);
    }

    /// Says whether a sync has failed: what is durable is not known until the next start.
    pub(crate) fn is_poisoned(&self) -> bool {
        self.is_poisoned
    }

    pub(crate) fn proofs(&self) -> &Proofs {
        &self.proofs
    }

    fn log(&mut self, kind: LogKind) -> &mut Log {
        match (kind, &mut self.books) {
            (LogKind::Books, Some(books)) => books,
            (LogKind::Books, None) | (LogKind::Monitors, _) => &mut self.monitors,
        }
    }

    pub(crate) fn store(&self, stream: Stream) -> &dyn Store {
        match (stream, &self.books) {
            (Stream::Payments, Some(books)) => &*books.store,
            (Stream::Payments, None) | (Stream::Channel(_) | Stream::Chain, _) => {
                &*self.monitors.store
            }
        }
    }

    /// Returns the end of the monitors' log.
    pub(crate) fn end(&mut self) -> Result<Lsn, StoreError> {
        self.monitors.store.append(&[])
    }

    pub(crate) fn append(&mut self, kind: LogKind, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        let log = self.log(kind);
        let lsn = log.store.append(batch)?;
        log.is_dirty = true;
        self.observe(Boundary::Append);
        Ok(lsn)
    }

    /// Syncs one log if something was appended to it since the last time.
    pub(crate) fn sync(&mut self, kind: LogKind) -> Result<(), StoreError> {
        let log = self.log(kind);
        if !log.is_dirty {
            return Ok(());
        }
        let durable: Durable = match log.store.sync() {
            Ok(durable) => durable,
            Err(error) => {
                self.is_poisoned = true;
                return Err(error);
            }
        };
        log.is_dirty = false;
        self.proofs.learn(durable);
        self.observe(Boundary::Sync);
        Ok(())
    }

    /// Syncs both logs, the books' first.
    pub(crate) fn sync_all(&mut self) -> Result<(), StoreError> {
        self.sync(LogKind::Books)?;
        self.sync(LogKind::Monitors)
    }

    /// Replaces the snapshot of a stream and forgets the records that it covers.
    pub(crate) fn compact(
        &mut self,
        stream: Stream,
        at: Lsn,
        body: &[u8],
    ) -> Result<(), StoreError> {
        if !self.proofs.cover(at) {
            let place = Place { stream: Some(stream), position: Some(at.position) };
            let detail = "a snapshot may not be ahead of its log";
            return Err(StoreError::new(StoreErrorKind::Refused, place, detail));
        }
        let kind = match stream {
            Stream::Payments => LogKind::Books,
            Stream::Channel(_) | Stream::Chain => LogKind::Monitors,
        };
        let log = self.log(kind);
        log.store.put(stream, at, body)?;
        log.store.prune(stream, at)
    }
}
