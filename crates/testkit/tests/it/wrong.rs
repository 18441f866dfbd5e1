//! [`Wrong`]: a store with one mistake in it.

use std::ops::ControlFlow;

use lastword_ports::{
    CardVisitor, Durable, Frame, LogId, Lsn, Place, Snapshot, SnapshotStore, StoreError,
    StoreErrorKind, StoredCard, Stream, SyncJob, UpdateLog,
};
use lastword_testkit::conformance::Harness;
use lastword_testkit::{CrashStore, Survivors};

/// What is wrong with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// None.
    Nothing,
    DropsTheSecondFrame,
    ReplaysBackwards,
    ReplaysEveryStream,
    ReplaysFromAfterItself,
    ReplayNeverStops,
    CutsLongBodies,
    RefusesEmptyBodies,
    ReturnsTheFirstPosition,
    EmptyBatchWritesSomething,
    SyncForgetsToWrite,
    JobForgetsToSync,
    JobProvesTooLittle,
    JobProvesWhatCameLater,
    JobIsRefused,
    AttestsAhead,
    AttestsForAnotherLog,
    ChangesItsIdAtReopening,
    EveryLogHasTheSameId,
    TearsBatches,
    LosesAnEarlierBatch,
    PruneDoesNothing,
    PruneTakesOneMore,
    PruneTakesOtherStreams,
    ForgetsCards,
    CardsAreOutOfOrder,
    CardsForgetTheEnd,
    KeepsTheFirstCard,
    CardsOutliveTheirBatch,
    SnapshotIsNotReplaced,
    SnapshotHasAnotherPlace,
    SnapshotIsLostInACrash,
    PruneTakesTheSnapshot,
}

type Owned = (Stream, bool, Vec<u8>);

/// A store with one mistake; without it, it is a [`CrashStore`].
pub(crate) struct Wrong {
    mistake: Mistake,
    inner: CrashStore,
    unsynced: Vec<Vec<Owned>>,
    cards: Vec<(Stream, Vec<u8>)>,
    snapshots: Vec<(Stream, Snapshot)>,
}

/// Opens wrong stores; a crash leaves what was synced and the first of the other batches.
pub(crate) struct WrongHarness {
    pub(crate) mistake: Mistake,
    pub(crate) logs: u8,
}

impl Harness for WrongHarness {
    type Store = Wrong;

    fn open(&mut self) -> Wrong {
        if self.mistake != Mistake::EveryLogHasTheSameId {
            self.logs += 1;
        }
        Wrong::over(self.mistake, CrashStore::new(LogId([self.logs; 16])))
    }

    fn reopen(&mut self, store: Wrong) -> Wrong {
        let mut image = store.inner.image(Survivors::Prefix(1));
        match self.mistake {
            Mistake::ChangesItsIdAtReopening => {
                self.logs += 1;
                let mut copy = CrashStore::new(LogId([self.logs; 16]));
                copy_everything(&image, &mut copy);
                image = copy;
            }
            Mistake::LosesAnEarlierBatch if !store.unsynced.is_empty() => {
                image = store.inner.image(Survivors::SyncedOnly);
                for batch in &store.unsynced[1..] {
                    image.append(&borrow(batch)).expect("it works");
                }
            }
            _ => {}
        }
        let cards = if self.mistake == Mistake::CardsOutliveTheirBatch {
            store.cards
        } else {
            Wrong::over(self.mistake, image.clone()).cards
        };
        let snapshots = match self.mistake {
            Mistake::SnapshotIsLostInACrash => Vec::new(),
            _ => store.snapshots,
        };
        Wrong { cards, snapshots, ..Wrong::over(self.mistake, image) }
    }
}

impl Wrong {
    fn over(mistake: Mistake, inner: CrashStore) -> Self {
        let mut cards = Vec::new();
        let read = inner.cards(&mut |card| {
            let card = card.expect("it is sound");
            cards.push((card.stream, card.body.to_vec()));
        });
        read.expect("it works");
        Self { mistake, inner, unsynced: Vec::new(), cards, snapshots: Vec::new() }
    }

    fn remember_card(&mut self, stream: Stream, body: &[u8]) {
        match self.cards.iter_mut().find(|(owner, _)| *owner == stream) {
            Some(_) if self.mistake == Mistake::KeepsTheFirstCard => {}
            Some((_, card)) => *card = body.to_vec(),
            None => self.cards.push((stream, body.to_vec())),
        }
    }

    fn spoil(&self, batch: &[Frame<'_>]) -> Result<Vec<Owned>, StoreError> {
        let mut frames: Vec<Owned> = batch.iter().map(own).collect();
        match self.mistake {
            Mistake::DropsTheSecondFrame if frames.len() > 1 => {
                frames.remove(1);
            }
            Mistake::CutsLongBodies => frames.iter_mut().for_each(|frame| frame.2.truncate(65_535)),
            Mistake::RefusesEmptyBodies if frames.iter().any(|frame| frame.2.is_empty()) => {
                let place = Place { stream: None, position: None };
                return Err(StoreError::new(StoreErrorKind::Retry, place, "an empty body"));
            }
            Mistake::EmptyBatchWritesSomething if frames.is_empty() => {
                frames.push((Stream::Chain, true, vec![]));
            }
            _ => {}
        }
        Ok(frames)
    }
}

impl UpdateLog for Wrong {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        let frames = self.spoil(batch)?;
        for (stream, is_record, body) in &frames {
            if !is_record {
                self.remember_card(*stream, body);
            }
        }
        let start = self.inner.append(&[])?;
        let end = if self.mistake == Mistake::TearsBatches {
            let mut end = start;
            for frame in borrow(&frames) {
                end = self.inner.append(&[frame])?;
            }
            end
        } else {
            self.inner.append(&borrow(&frames))?
        };
        if !frames.is_empty() {
            self.unsynced.push(frames);
        }
        let is_first = self.mistake == Mistake::ReturnsTheFirstPosition && end != start;
        Ok(if is_first { Lsn { position: start.position + 1, ..end } } else { end })
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        let end = self.inner.append(&[])?;
        if self.mistake == Mistake::SyncForgetsToWrite {
            return Ok(Durable::attest(end));
        }
        self.unsynced.clear();
        let durable = self.inner.sync()?;
        Ok(match self.mistake {
            Mistake::AttestsAhead => Durable::attest(Lsn { position: u64::MAX, ..end }),
            Mistake::AttestsForAnotherLog => Durable::attest(Lsn { log: LogId([0xEE; 16]), ..end }),
            _ => durable,
        })
    }

    fn begin_sync(&mut self) -> Result<SyncJob, StoreError> {
        let end = self.inner.append(&[])?;
        let proof = match self.mistake {
            Mistake::JobForgetsToSync => Durable::attest(end),
            Mistake::JobProvesTooLittle => {
                let _durable = self.sync()?;
                Durable::attest(Lsn { position: end.position.saturating_sub(1), ..end })
            }
            Mistake::JobProvesWhatCameLater => {
                let _durable = self.sync()?;
                Durable::attest(Lsn { position: end.position + 1, ..end })
            }
            Mistake::JobIsRefused => {
                let place = Place { stream: None, position: None };
                let error = StoreError::new(StoreErrorKind::Retry, place, "not now");
                return Ok(SyncJob::done(Err(error)));
            }
            _ => self.sync()?,
        };
        Ok(SyncJob::later(move || Ok(proof)))
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut after = after;
        if self.mistake == Mistake::ReplaysFromAfterItself {
            after = after.map(|lsn| Lsn { position: lsn.position.saturating_sub(1), ..lsn });
        }
        let mut records = read(&self.inner, stream, after)?;
        match self.mistake {
            Mistake::ReplaysBackwards => records.reverse(),
            Mistake::ReplaysEveryStream if stream == Stream::Payments => {
                records.extend(read(&self.inner, Stream::Chain, after)?);
            }
            _ => {}
        }
        for (lsn, body) in records {
            let flow = visit(lsn, &body);
            if flow.is_break() && self.mistake != Mistake::ReplayNeverStops {
                break;
            }
        }
        Ok(())
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        match self.mistake {
            Mistake::PruneDoesNothing => Ok(()),
            Mistake::PruneTakesOneMore => {
                let next = read(&self.inner, stream, Some(upto))?.first().map(|(lsn, _)| *lsn);
                self.inner.prune(stream, next.unwrap_or(upto))
            }
            Mistake::PruneTakesOtherStreams => {
                for other in [Stream::Payments, Stream::Chain, stream] {
                    self.inner.prune(other, upto)?;
                }
                let ids = [1, 2].map(|id| Stream::Channel(lastword_types::ChannelId([id; 32])));
                ids.into_iter().try_for_each(|other| self.inner.prune(other, upto))
            }
            Mistake::PruneTakesTheSnapshot => {
                self.snapshots.retain(|(owner, _)| *owner != stream);
                self.inner.prune(stream, upto)
            }
            _ => self.inner.prune(stream, upto),
        }
    }
}

impl SnapshotStore for Wrong {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        let mut at = at;
        let exists = self.snapshots.iter().any(|(owner, _)| *owner == stream);
        match self.mistake {
            Mistake::SnapshotIsNotReplaced if exists => return Ok(()),
            Mistake::SnapshotHasAnotherPlace => at.position += 1,
            _ => {}
        }
        self.snapshots.retain(|(owner, _)| *owner != stream);
        self.snapshots.push((stream, Snapshot { at, body: body.to_vec() }));
        Ok(())
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        let of_stream = self.snapshots.iter().find(|(owner, _)| *owner == stream);
        Ok(of_stream.map(|(_, snapshot)| snapshot.clone()))
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        let mut cards = self.cards.clone();
        match self.mistake {
            Mistake::CardsAreOutOfOrder => cards.sort_by(|a, b| b.cmp(a)),
            Mistake::ForgetsCards => cards.clear(),
            _ => cards.sort(),
        }
        for (stream, body) in cards {
            let mut last = 0;
            if self.mistake != Mistake::CardsForgetTheEnd {
                self.inner.replay(stream, None, &mut |lsn, _| {
                    last = lsn.position;
                    ControlFlow::Continue(())
                })?;
            }
            visit(Ok(StoredCard { stream, last, body: &body }));
        }
        Ok(())
    }
}

fn own(frame: &Frame<'_>) -> Owned {
    match *frame {
        Frame::Record { stream, body } => (stream, true, body.to_vec()),
        Frame::Card { stream, body } => (stream, false, body.to_vec()),
    }
}

fn borrow(frames: &[Owned]) -> Vec<Frame<'_>> {
    frames.iter().map(borrow_one).collect()
}

fn borrow_one((stream, is_record, body): &Owned) -> Frame<'_> {
    let stream = *stream;
    if *is_record { Frame::Record { stream, body } } else { Frame::Card { stream, body } }
}

fn read(
    store: &CrashStore,
    stream: Stream,
    after: Option<Lsn>,
) -> Result<Vec<(Lsn, Vec<u8>)>, StoreError> {
    let mut records = Vec::new();
    store.replay(stream, after, &mut |lsn, body| {
        records.push((lsn, body.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

/// Copies the records of the suites' streams, one batch each.
fn copy_everything(from: &CrashStore, to: &mut CrashStore) {
    let channels = [1, 2].map(|id| Stream::Channel(lastword_types::ChannelId([id; 32])));
    for stream in channels.into_iter().chain([Stream::Payments, Stream::Chain]) {
        for (_, body) in read(from, stream, None).expect("it works") {
            to.append(&[Frame::Record { stream, body: &body }]).expect("it works");
        }
    }
    assert_eq!(to.sync().expect("it works").upto().log, to.log_id());
}
