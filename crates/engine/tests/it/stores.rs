//! Stores that misbehave while a switch is on.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use lastword_ports::{
    CardVisitor, Durable, Frame, Lsn, Place, Snapshot, SnapshotStore, Store, StoreError,
    StoreErrorKind, StoredCard, Stream, UpdateLog,
};
use lastword_testkit::CrashStore;

/// A handle on the misbehaviour of a [`SwitchStore`].
#[derive(Debug, Clone, Default)]
pub(crate) struct Switch(Arc<Switches>);

#[derive(Debug, Default)]
struct Switches {
    is_full: AtomicBool,
    fails_sync: AtomicBool,
    is_poisoned: AtomicBool,
    /// Appends that still go through before the store is full; `u64::MAX` for no limit.
    appends_left: AtomicU64,
    has_limit: AtomicBool,
}

impl Switch {
    /// Makes every append fail for want of room, or lets them through again.
    pub(crate) fn set_full(&self, is_full: bool) {
        self.0.is_full.store(is_full, Ordering::SeqCst);
        self.0.has_limit.store(false, Ordering::SeqCst);
    }

    /// Lets so many appends through, and then makes them fail for want of room.
    pub(crate) fn set_full_after(&self, appends: u64) {
        self.0.appends_left.store(appends, Ordering::SeqCst);
        self.0.has_limit.store(true, Ordering::SeqCst);
    }

    /// Makes the next sync fail; from then on the store is poisoned.
    pub(crate) fn fail_next_sync(&self) {
        self.0.fails_sync.store(true, Ordering::SeqCst);
    }

    fn may_append(&self) -> bool {
        if self.0.is_full.load(Ordering::SeqCst) {
            return false;
        }
        if self.0.has_limit.load(Ordering::SeqCst) {
            let left = self.0.appends_left.load(Ordering::SeqCst);
            self.0.appends_left.store(left.saturating_sub(1), Ordering::SeqCst);
            return left > 0;
        }
        true
    }
}

/// A store that is full, or whose sync fails, while its switch says so.
#[derive(Debug)]
pub(crate) struct SwitchStore {
    pub(crate) inner: CrashStore,
    pub(crate) switch: Switch,
}

fn error(kind: StoreErrorKind, detail: &'static str) -> StoreError {
    StoreError::new(kind, Place { stream: None, position: None }, detail)
}

impl SwitchStore {
    pub(crate) fn new(inner: CrashStore) -> (Self, Switch) {
        let switch = Switch::default();
        (Self { inner, switch: switch.clone() }, switch)
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.switch.0.is_poisoned.load(Ordering::SeqCst) {
            return Err(error(StoreErrorKind::Poisoned, "an earlier sync failed"));
        }
        Ok(())
    }
}

impl UpdateLog for SwitchStore {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        self.usable()?;
        if !batch.is_empty() && !self.switch.may_append() {
            return Err(error(StoreErrorKind::Full, "no room"));
        }
        self.inner.append(batch)
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.usable()?;
        if self.switch.0.fails_sync.load(Ordering::SeqCst) {
            self.switch.0.is_poisoned.store(true, Ordering::SeqCst);
            return Err(error(StoreErrorKind::Poisoned, "the disk went away"));
        }
        self.inner.sync()
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

impl SnapshotStore for SwitchStore {
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

/// How a [`DamagedStore`] shows its damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// The store finds it by its checksum.
    Reported,
    /// The store gives the bytes as they are, one of them changed.
    Silent,
    /// The store gives the card as it is, one byte changed.
    Card,
    /// The store finds by its checksum that the card is damaged.
    CardReported,
    /// Nothing of the stream can be read, as when what the store knows of it is damaged.
    Whole,
    /// The store gives the snapshot as it is, one byte changed.
    Snapshot,
    /// The store finds by its checksum that the snapshot is damaged.
    SnapshotReported,
}

/// A store in which the bytes of one stream are damaged.
#[derive(Debug)]
pub(crate) struct DamagedStore<S = CrashStore> {
    pub(crate) inner: S,
    pub(crate) stream: Stream,
    pub(crate) damage: Damage,
}

impl<S> DamagedStore<S> {
    fn corrupt(&self, position: Option<u64>) -> StoreError {
        let place = Place { stream: Some(self.stream), position };
        StoreError::new(StoreErrorKind::Corrupt, place, "the checksum is wrong")
    }
}

fn flipped(body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    let middle = body.len() / 2;
    body[middle] ^= 0x40;
    body.pop();
    body
}

impl<S: Store> UpdateLog for DamagedStore<S> {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        self.inner.append(batch)
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.inner.sync()
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let is_whole = self.damage == Damage::Whole;
        let is_records = matches!(self.damage, Damage::Reported | Damage::Silent);
        if stream != self.stream || !(is_whole || is_records) {
            return self.inner.replay(stream, after, visit);
        }
        if is_whole {
            return Err(self.corrupt(None));
        }
        let mut place = None;
        let mut count = 0;
        self.inner.replay(stream, after, &mut |lsn, body| {
            count += 1;
            // The second record of the stream is the damaged one.
            if count != 2 {
                return visit(lsn, body);
            }
            place = Some(lsn.position);
            if self.damage == Damage::Silent {
                return visit(lsn, &flipped(body));
            }
            ControlFlow::Break(())
        })?;
        match (self.damage, place) {
            (Damage::Reported, Some(position)) => Err(self.corrupt(Some(position))),
            _ => Ok(()),
        }
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        self.inner.prune(stream, upto)
    }
}

impl<S: Store> SnapshotStore for DamagedStore<S> {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.inner.put(stream, at, body)
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        let snapshot = self.inner.latest(stream)?;
        let at = snapshot.as_ref().map(|snapshot| snapshot.at.position);
        match self.damage {
            _ if stream != self.stream => Ok(snapshot),
            Damage::Whole => Err(self.corrupt(None)),
            Damage::SnapshotReported => Err(self.corrupt(at)),
            Damage::Snapshot => {
                Ok(snapshot.map(|snapshot| Snapshot { body: flipped(&snapshot.body), ..snapshot }))
            }
            Damage::Reported | Damage::Silent | Damage::Card | Damage::CardReported => Ok(snapshot),
        }
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        self.inner.cards(&mut |card| match (card, self.damage) {
            (Ok(card), Damage::Card) if card.stream == self.stream => {
                visit(Ok(StoredCard { body: &flipped(card.body), ..card }));
            }
            (Ok(card), Damage::CardReported | Damage::Whole) if card.stream == self.stream => {
                visit(Err(self.corrupt(None)));
            }
            (card, _) => visit(card),
        })
    }
}

/// A store that cannot read the records of one stream now.
#[derive(Debug)]
pub(crate) struct AwayStore {
    pub(crate) inner: CrashStore,
    pub(crate) stream: Stream,
}

impl UpdateLog for AwayStore {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        self.inner.append(batch)
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.inner.sync()
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        if stream == self.stream {
            return Err(error(StoreErrorKind::Retry, "the disk is away"));
        }
        self.inner.replay(stream, after, visit)
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        self.inner.prune(stream, upto)
    }
}

impl SnapshotStore for AwayStore {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.inner.put(stream, at, body)
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        self.inner.latest(stream)
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        self.inner.cards(visit)
    }
}
