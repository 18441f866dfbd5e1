//! [`Logs`]: one log or two, and what of them is known to be durable.

use lastword_ports::{
    Durable, Frame, Lsn, Place, Proofs, SnapshotStore, Store, StoreError, StoreErrorKind, Stream,
    SyncJob, UpdateLog,
};
use lastword_types::Bug;

use crate::error::EngineError;
use crate::ports::{Boundary, Observer, Progress};

/// Which of the two logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LogKind {
    Monitors,
    Books,
}

/// A log, and what of it no sync has been asked for.
struct Log {
    store: Box<dyn Store>,
    /// Whether something was appended since the last sync was begun.
    is_dirty: bool,
    /// The end of what was appended; a sync that was begun may not have proven it yet.
    end: Option<Lsn>,
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
        let log = |store| Log { store, is_dirty: true, end: None };
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

    pub(crate) fn progress(&mut self, progress: Progress) {
        self.observer.progress(progress);
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
            (Stream::Payments | Stream::Finished(_), Some(books)) => &*books.store,
            (Stream::Payments | Stream::Finished(_), None)
            | (Stream::Channel(_) | Stream::Chain, _) => &*self.monitors.store,
        }
    }

    /// Returns the end of the monitors' log.
    pub(crate) fn end(&mut self) -> Result<Lsn, StoreError> {
        self.monitors.store.append(&[])
    }

    fn books_end(&mut self) -> Result<Option<Lsn>, StoreError> {
        self.books.as_mut().map(|books| books.store.append(&[])).transpose()
    }

    pub(crate) fn append(&mut self, kind: LogKind, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        let log = self.log(kind);
        let lsn = log.store.append(batch)?;
        log.is_dirty = !Bug::AppendIsDurable.is_planted();
        log.end = Some(lsn);
        if Bug::AppendIsDurable.is_planted() {
            self.proofs.learn(Durable::attest(lsn));
        }
        self.observe(Boundary::Append);
        Ok(lsn)
    }

    /// Syncs one log if something of it is not known to be durable.
    pub(crate) fn sync(&mut self, kind: LogKind) -> Result<(), StoreError> {
        let end = self.log(kind).end;
        let is_proven = end.is_none_or(|end| self.proofs.cover(end));
        let log = self.log(kind);
        if !log.is_dirty && is_proven {
            return Ok(());
        }
        let mut result = log.store.sync();
        if let (true, Err(_), Some(end)) = (Bug::SyncFailureIgnored.is_planted(), &result, end) {
            result = Ok(Durable::attest(end));
        }
        log.is_dirty = false;
        self.learn(result)
    }

    /// Begins a sync of every log with something that no sync was begun for.
    pub(crate) fn begin_syncs(&mut self) -> Result<Vec<SyncJob>, StoreError> {
        let mut jobs = Vec::new();
        for log in self.books.iter_mut().chain([&mut self.monitors]) {
            if !log.is_dirty {
                continue;
            }
            match log.store.begin_sync() {
                Ok(job) => jobs.push(job),
                Err(error) => {
                    self.is_poisoned = true;
                    return Err(error);
                }
            }
            log.is_dirty = false;
        }
        Ok(jobs)
    }

    /// Takes in what became of a sync that ran elsewhere.
    pub(crate) fn sync_returned(
        &mut self,
        result: Result<Durable, StoreError>,
    ) -> Result<(), EngineError> {
        if self.is_poisoned {
            let detail = "another sync failed; what is durable is not known";
            let place = Place { stream: None, position: None };
            return Err(StoreError::new(StoreErrorKind::Poisoned, place, detail).into());
        }
        if let Ok(durable) = &result {
            let proven = durable.upto();
            let ends = [Some(self.end()?), self.books_end()?];
            let end = ends.into_iter().flatten().find(|end| end.log == proven.log);
            match end {
                None => return Err(EngineError::UnknownLog(proven.log)),
                Some(end) if end.position < proven.position => {
                    return Err(EngineError::ProvenAhead { proven, end });
                }
                Some(_) => {}
            }
        }
        Ok(self.learn(result)?)
    }

    fn learn(&mut self, result: Result<Durable, StoreError>) -> Result<(), StoreError> {
        let durable = result.inspect_err(|_| self.is_poisoned = true)?;
        self.proofs.learn(durable);
        self.observe(Boundary::Sync);
        Ok(())
    }

    /// Syncs both logs, the books' first.
    pub(crate) fn sync_all(&mut self) -> Result<(), StoreError> {
        self.sync(LogKind::Books)?;
        self.sync(LogKind::Monitors)
    }

    /// Forgets records that nothing needs any more.
    pub(crate) fn forget(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        let log = self.log(kind_of(stream));
        log.is_dirty = true;
        log.store.prune(stream, upto)
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
        let log = self.log(kind_of(stream));
        log.store.put(stream, at, body)?;
        log.store.prune(stream, at)
    }
}

fn kind_of(stream: Stream) -> LogKind {
    match stream {
        Stream::Payments | Stream::Finished(_) => LogKind::Books,
        Stream::Channel(_) | Stream::Chain => LogKind::Monitors,
    }
}
