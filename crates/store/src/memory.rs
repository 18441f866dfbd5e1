//! [`MemoryStore`]: a store that lives as long as its process.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use lastword_ports::{
    CardVisitor, Durable, Frame, LogId, Lsn, Place, Snapshot, SnapshotStore, StoreError,
    StoreErrorKind, StoredCard, Stream, UpdateLog,
};

/// A store in memory: for tests, tools and nodes that need no memory of yesterday.
///
/// # Crash safety
///
/// Nothing survives the process. A proof of it means "as durable as this store can be": a node that
/// stands on it alone forgets everything when it ends.
///
/// # Examples
///
/// ```
/// use lastword_ports::{Frame, LogId, Stream, UpdateLog};
/// use lastword_store::MemoryStore;
///
/// let mut store = MemoryStore::new(LogId([7; 16]));
/// let lsn = store.append(&[Frame::Record { stream: Stream::Payments, body: b"paid" }])?;
/// assert_eq!(store.sync()?.upto(), lsn);
/// # Ok::<(), lastword_ports::StoreError>(())
/// ```
#[derive(Debug)]
pub struct MemoryStore {
    log: LogId,
    end: u64,
    records: BTreeMap<Stream, BTreeMap<u64, Vec<u8>>>,
    cards: BTreeMap<Stream, Vec<u8>>,
    snapshots: BTreeMap<Stream, Snapshot>,
}

impl MemoryStore {
    /// Makes an empty store.
    pub fn new(log: LogId) -> Self {
        Self {
            log,
            end: 0,
            records: BTreeMap::new(),
            cards: BTreeMap::new(),
            snapshots: BTreeMap::new(),
        }
    }

    /// Returns the identity of the log.
    pub fn log_id(&self) -> LogId {
        self.log
    }

    /// Returns a position that this log has reached, or refuses the place.
    fn reached(&self, stream: Stream, lsn: Lsn) -> Result<u64, StoreError> {
        let detail = if lsn.log != self.log {
            "the place is of another log"
        } else if lsn.position > self.end {
            "the place is behind the end of the log"
        } else {
            return Ok(lsn.position);
        };
        let place = Place { stream: Some(stream), position: Some(lsn.position) };
        Err(StoreError::new(StoreErrorKind::Refused, place, detail))
    }
}

impl UpdateLog for MemoryStore {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        for frame in batch {
            self.end += 1;
            match *frame {
                Frame::Record { stream, body } => {
                    self.records.entry(stream).or_default().insert(self.end, body.to_vec());
                }
                Frame::Card { stream, body } => {
                    self.cards.insert(stream, body.to_vec());
                }
            }
        }
        Ok(Lsn { log: self.log, position: self.end })
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        Ok(Durable::attest(Lsn { log: self.log, position: self.end }))
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let after = after.map_or(Ok(0), |lsn| self.reached(stream, lsn))?;
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        for (position, body) in self.records.get(&stream).into_iter().flat_map(|r| r.range(behind))
        {
            if visit(Lsn { log: self.log, position: *position }, body).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        let upto = self.reached(stream, upto)?;
        if let Some(records) = self.records.get_mut(&stream) {
            records.retain(|position, _| *position > upto);
        }
        Ok(())
    }
}

impl SnapshotStore for MemoryStore {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.reached(stream, at)?;
        self.snapshots.insert(stream, Snapshot { at, body: body.to_vec() });
        Ok(())
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.snapshots.get(&stream).cloned())
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        for (stream, body) in &self.cards {
            let last = self.records.get(stream).and_then(BTreeMap::last_key_value);
            let last = last.map_or(0, |(position, _)| *position);
            visit(Ok(StoredCard { stream: *stream, last, body }));
        }
        Ok(())
    }
}
