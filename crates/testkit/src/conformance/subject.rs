//! [`Subject`]: the implementation under test, with every refusal turned into a violation.

use std::ops::ControlFlow;

use lastword_ports::{
    Durable, Frame, Lsn, Snapshot, SnapshotStore, StoreError, Stream, SyncJob, UpdateLog,
};
use lastword_types::ChannelId;

use super::{Harness, Rule, Violation, expect_equal};

/// The streams of the suites, in their order.
pub(super) const STREAMS: [Stream; 4] = [
    Stream::Channel(ChannelId([1; 32])),
    Stream::Channel(ChannelId([2; 32])),
    Stream::Payments,
    Stream::Chain,
];

/// What a replay visits.
pub(super) type Records = Vec<(Lsn, Vec<u8>)>;

/// Returns a record.
pub(super) fn record(stream: Stream, body: &[u8]) -> Frame<'_> {
    Frame::Record { stream, body }
}

/// Returns a card.
pub(super) fn card(stream: Stream, body: &[u8]) -> Frame<'_> {
    Frame::Card { stream, body }
}

/// A store between two calls of its harness.
pub(super) struct Subject<'h, H: Harness> {
    harness: &'h mut H,
    /// There whenever nobody is reopening it.
    store: Option<H::Store>,
}

impl<'h, H: Harness> Subject<'h, H>
where
    H::Store: UpdateLog,
{
    /// Opens a fresh one.
    pub(super) fn open(harness: &'h mut H) -> Self {
        let store = harness.open();
        Self { harness, store: Some(store) }
    }

    /// Ends it and opens it again.
    pub(super) fn reopen(&mut self) {
        let store = self.store.take().expect("it is put back below");
        self.store = Some(self.harness.reopen(store));
    }

    /// Appends a batch.
    pub(super) fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, Violation> {
        self.store_mut().append(batch).map_err(|error| refused("append", &error))
    }

    /// Syncs.
    pub(super) fn sync(&mut self) -> Result<Durable, Violation> {
        self.store_mut().sync().map_err(|error| refused("sync", &error))
    }

    /// Begins a sync.
    pub(super) fn begin_sync(&mut self) -> Result<SyncJob, Violation> {
        self.store_mut().begin_sync().map_err(|error| refused("begin_sync", &error))
    }

    /// Prunes.
    pub(super) fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), Violation> {
        self.store_mut().prune(stream, upto).map_err(|error| refused("prune", &error))
    }

    /// Returns the records of a stream behind a place.
    pub(super) fn records(&self, stream: Stream, after: Option<Lsn>) -> Result<Records, Violation> {
        self.first_records(stream, after, usize::MAX)
    }

    /// Returns what a replay visits until the visitor breaks at the `count`-th record.
    pub(super) fn first_records(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        count: usize,
    ) -> Result<Records, Violation> {
        let mut records = Vec::new();
        let visit = &mut |lsn, body: &[u8]| {
            records.push((lsn, body.to_vec()));
            if records.len() == count { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        self.store().replay(stream, after, visit).map_err(|error| refused("replay", &error))?;
        Ok(records)
    }

    /// Returns the bodies of the records of a stream.
    pub(super) fn bodies(&self, stream: Stream) -> Result<Vec<Vec<u8>>, Violation> {
        Ok(self.records(stream, None)?.into_iter().map(|(_, body)| body).collect())
    }

    /// Returns the store.
    pub(super) fn store(&self) -> &H::Store {
        self.store.as_ref().expect("it is there between the calls")
    }

    fn store_mut(&mut self) -> &mut H::Store {
        self.store.as_mut().expect("it is there between the calls")
    }
}

impl<H: Harness> Subject<'_, H>
where
    H::Store: UpdateLog + SnapshotStore,
{
    /// Puts a snapshot.
    pub(super) fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), Violation> {
        self.store_mut().put(stream, at, body).map_err(|error| refused("put", &error))
    }

    /// Returns the snapshot of a stream.
    pub(super) fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, Violation> {
        self.store().latest(stream).map_err(|error| refused("latest", &error))
    }

    /// Returns the cards as they are visited.
    pub(super) fn cards(&self) -> Result<Vec<(Stream, Vec<u8>)>, Violation> {
        cards_of(self.store())
    }
}

/// Returns the cards of a store as they are visited.
pub(super) fn cards_of(
    store: &(impl UpdateLog + SnapshotStore),
) -> Result<Vec<(Stream, Vec<u8>)>, Violation> {
    let (mut cards, mut ends) = (Vec::new(), Vec::new());
    let mut damage = None;
    store
        .cards(&mut |card| match card {
            Ok(card) => {
                cards.push((card.stream, card.body.to_vec()));
                ends.push((card.stream, card.last));
            }
            Err(error) => damage = Some(error),
        })
        .map_err(|error| refused("cards", &error))?;
    if let Some(error) = damage {
        return Err(refused("cards", &error));
    }
    for (stream, told) in ends {
        let mut last = None;
        store
            .replay(stream, None, &mut |lsn, _| {
                last = Some(lsn.position);
                ControlFlow::Continue(())
            })
            .map_err(|error| refused("replay", &error))?;
        if let Some(last) = last {
            expect_equal(Rule::CardNewest, "the end of a card's stream", &told, &last)?;
        }
    }
    Ok(cards)
}

fn refused(call: &str, error: &StoreError) -> Violation {
    Violation { rule: Rule::Works, detail: format!("{call} was refused: {error}") }
}
