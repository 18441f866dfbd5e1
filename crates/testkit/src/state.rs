//! [`State`]: what a store in memory holds at one moment.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

use lastword_ports::{Frame, Stream};

/// One thing that was done to a store.
#[derive(Debug, Clone)]
pub(crate) enum Operation {
    /// A batch of frames, kept together.
    Batch(Vec<OwnedFrame>),
    /// The records of a stream up to and with a position were forgotten.
    Prune(Stream, u64),
    /// The snapshot of a stream was replaced by one that stands for a position.
    Put(Stream, u64, Arc<Body>),
}

/// Bytes that copies of a store share, with a number that tells them from others.
#[derive(Debug)]
pub(crate) struct Body {
    bytes: Box<[u8]>,
    /// Made when it is first asked for.
    print: OnceLock<u64>,
}

impl Body {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<&[u8]> for Body {
    fn from(bytes: &[u8]) -> Self {
        Self { bytes: bytes.into(), print: OnceLock::new() }
    }
}

impl Hash for Body {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let print = self.print.get_or_init(|| {
            let mut hasher = DefaultHasher::new();
            self.bytes.hash(&mut hasher);
            hasher.finish()
        });
        state.write_u64(*print);
    }
}

/// A frame with its own bytes, which copies of a store share.
#[derive(Debug, Clone)]
pub(crate) struct OwnedFrame {
    stream: Stream,
    is_record: bool,
    body: Arc<Body>,
}

impl From<&Frame<'_>> for OwnedFrame {
    fn from(frame: &Frame<'_>) -> Self {
        let (stream, is_record, body) = match *frame {
            Frame::Record { stream, body } => (stream, true, body),
            Frame::Card { stream, body } => (stream, false, body),
        };
        Self { stream, is_record, body: Arc::new(body.into()) }
    }
}

/// Records, cards and snapshots, and where the log ends.
///
/// Copies share what neither has changed since.
#[derive(Debug, Clone, Default, Hash)]
pub(crate) struct State {
    /// The position of the last frame.
    pub(crate) end: u64,
    /// The records by stream and position.
    records: BTreeMap<Stream, Arc<BTreeMap<u64, Arc<Body>>>>,
    /// The newest card of each stream.
    pub(crate) cards: BTreeMap<Stream, Arc<Body>>,
    /// The snapshot of each stream, with the position that it stands for.
    pub(crate) snapshots: BTreeMap<Stream, (u64, Arc<Body>)>,
}

impl State {
    /// Does an operation.
    pub(crate) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Batch(frames) => frames.iter().for_each(|frame| self.add(frame)),
            Operation::Prune(stream, upto) => {
                if let Some(records) = self.records.get_mut(stream) {
                    Arc::make_mut(records).retain(|position, _| position > upto);
                }
            }
            Operation::Put(stream, at, body) => {
                self.snapshots.insert(*stream, (*at, Arc::clone(body)));
            }
        }
    }

    /// Returns the records of a stream behind a position, sharing their bytes.
    pub(crate) fn behind(&self, stream: Stream, after: u64) -> Vec<(u64, Arc<Body>)> {
        let range = (Bound::Excluded(after), Bound::Unbounded);
        let records = self.records.get(&stream).into_iter().flat_map(|r| r.range(range));
        records.map(|(position, body)| (*position, Arc::clone(body))).collect()
    }

    /// Returns the position of the last record of a stream.
    pub(crate) fn last(&self, stream: Stream) -> u64 {
        let last = self.records.get(&stream).and_then(|records| records.last_key_value());
        last.map_or(0, |(position, _)| *position)
    }

    fn add(&mut self, frame: &OwnedFrame) {
        self.end += 1;
        let body = Arc::clone(&frame.body);
        if frame.is_record {
            let records = self.records.entry(frame.stream).or_default();
            Arc::make_mut(records).insert(self.end, body);
        } else {
            self.cards.insert(frame.stream, body);
        }
    }
}
