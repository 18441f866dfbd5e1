//! A store with a past, and all that can be read from one.

use std::ops::ControlFlow;

use lastword_ports::{
    Frame, LogId, Lsn, Snapshot, SnapshotStore, Store, StoreError, Stream, UpdateLog,
};
use lastword_store::RedbStore;
use lastword_types::ChannelId;

pub(crate) const CHANNEL: Stream = Stream::Channel(ChannelId([0xC1; 32]));
pub(crate) const OTHER: Stream = Stream::Channel(ChannelId([0xC2; 32]));
pub(crate) const STREAMS: [Stream; 5] =
    [CHANNEL, OTHER, Stream::Payments, Stream::Chain, Stream::Finished(0x1234)];

/// What a replay visits.
pub(crate) type Records = Vec<(Lsn, Vec<u8>)>;
/// The cards that were visited.
pub(crate) type Cards = Vec<(Stream, Vec<u8>)>;

/// All that can be read from a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Contents {
    pub(crate) log: LogId,
    pub(crate) records: Vec<Records>,
    pub(crate) snapshots: Vec<Option<Snapshot>>,
    pub(crate) cards: Cards,
}

/// Appends a record.
pub(crate) fn append(store: &mut impl UpdateLog, stream: Stream, body: &[u8]) -> Lsn {
    store.append(&[Frame::Record { stream, body }]).expect("the store works")
}

/// Syncs, and returns the place that is proven.
pub(crate) fn sync(store: &mut impl UpdateLog) -> Lsn {
    store.sync().expect("the store works").upto()
}

/// Puts everything into the database.
pub(crate) fn checkpoint(store: &mut RedbStore) -> Lsn {
    store.checkpoint().expect("the store works").upto()
}

/// Returns what was visited of a stream, and how it ended.
pub(crate) fn replay(
    store: &(impl UpdateLog + ?Sized),
    stream: Stream,
) -> (Records, Result<(), StoreError>) {
    let mut records = Vec::new();
    let result = store.replay(stream, None, &mut |lsn, body| {
        records.push((lsn, body.to_vec()));
        ControlFlow::Continue(())
    });
    (records, result)
}

/// Returns the bodies of a stream.
pub(crate) fn bodies(store: &impl UpdateLog, stream: Stream) -> Vec<Vec<u8>> {
    let (records, result) = replay(store, stream);
    result.expect("the store works");
    records.into_iter().map(|(_, body)| body).collect()
}

/// Returns the cards that were visited, and the first damage or how it ended.
pub(crate) fn cards(store: &(impl SnapshotStore + ?Sized)) -> (Cards, Result<(), StoreError>) {
    let (mut cards, mut damage) = (Vec::new(), None);
    let result = store.cards(&mut |card| match card {
        Ok(card) => cards.push((card.stream, card.body.to_vec())),
        Err(error) => damage = damage.take().or(Some(error)),
    });
    (cards, result.and(damage.map_or(Ok(()), Err)))
}

/// Reads everything.
pub(crate) fn contents(store: &mut dyn Store) -> Result<Contents, StoreError> {
    let mut records = Vec::new();
    for stream in STREAMS {
        let (visited, result) = replay(store, stream);
        result?;
        records.push(visited);
    }
    let snapshots =
        STREAMS.into_iter().map(|stream| store.latest(stream)).collect::<Result<_, _>>();
    let (cards, result) = cards(store);
    result?;
    Ok(Contents { log: store.append(&[])?.log, records, snapshots: snapshots?, cards })
}

/// Gives a store a past of several syncs, with snapshots, prunes and enough records for branches.
pub(crate) fn fill(store: &mut impl Store) {
    for round in 0..6_u8 {
        for number in 0..40_u8 {
            let size = 20 + usize::from(number) * 8;
            let body = vec![round.wrapping_mul(40).wrapping_add(number); size];
            let stream = if number % 3 == 0 { OTHER } else { CHANNEL };
            let book = Stream::Payments;
            let card = [round, number];
            let batch = [
                Frame::Record { stream, body: &body },
                Frame::Card { stream, body: &card },
                Frame::Record { stream: book, body: &body[..10] },
                Frame::Card { stream: Stream::Chain, body: &card },
            ];
            store.append(&batch).expect("the store works");
        }
        let at = sync(store);
        if round == 2 {
            store.put(CHANNEL, at, &[0x77; 500]).expect("the store works");
            store.prune(CHANNEL, at).expect("the store works");
        }
        if round == 3 {
            store.put(Stream::Payments, at, b"the book").expect("the store works");
        }
    }
}

/// A small generator (xorshift): the same seed gives the same run on every machine.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 16
    }
}
