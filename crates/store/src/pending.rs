//! [`Pending`]: what was appended or put and is not yet in the database.
//!
//! The journal keeps it safe, and from here it is read, until a checkpoint commits all of it in one
//! transaction of the engine:
//!
//! - the engine only ever holds what some checkpoint committed, whole;
//! - records reach the tree in the order of its keys, a channel's side by side, and those that were
//!   forgotten meanwhile not at all: so a page is written for many records and not for each;
//! - an append writes nothing to the disk, so it cannot fail half-way.
//!
//! The journal's size bounds what is in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use crate::envelope::{RecordKey, RowKind, Seal, StreamKey, record_key, stream_key, take_u64};
use crate::head::{Card, Head};
use crate::journal::Entry;

/// What waits for a checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The sealed records, as they will be stored.
    pub(crate) records: BTreeMap<RecordKey, Vec<u8>>,
    /// The heads that changed.
    pub(crate) heads: BTreeMap<StreamKey, Head>,
    /// The sealed snapshots, as they will be stored.
    pub(crate) snapshots: BTreeMap<StreamKey, Vec<u8>>,
    /// The streams whose stored records are to be removed up to the position in their head.
    pub(crate) pruned: BTreeSet<StreamKey>,
}

impl Pending {
    /// Says whether a checkpoint would change nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.heads.is_empty() && self.snapshots.is_empty()
    }

    /// Takes in a call behind the frame at `end`, whose stream's head is among those that wait.
    ///
    /// A head that the database holds damaged is not: its stream is set apart, and what can be kept of
    /// it beside the head is.
    pub(crate) fn apply(&mut self, seal: Seal, end: &mut u64, entry: &Entry<'_>) {
        *end += u64::from(entry.is_frame());
        let key = stream_key(entry.stream());
        let head = self.heads.get_mut(&key);
        match *entry {
            Entry::Record { row, .. } => {
                self.records.insert(record_key(&key, *end), row.to_vec());
                if let Some(head) = head {
                    head.last = *end;
                }
            }
            Entry::Card { row, .. } => {
                let body = seal.open(RowKind::Card, &record_key(&key, *end), row);
                if let Some(head) = head {
                    head.card = Some(Card { position: *end, body: body.map(<[u8]>::to_vec) });
                }
            }
            Entry::Snapshot { row, .. } => {
                // A damaged row keeps its place, where it is found to be damaged.
                let at = row.get(4..).and_then(take_u64).map_or(0, |(at, _)| at);
                self.snapshots.insert(key, row.to_vec());
                if let Some(head) = head {
                    head.snapshot = Some(at);
                }
            }
            Entry::Prune { upto, .. } => {
                if let Some(head) = head.filter(|head| head.pruned < upto) {
                    head.pruned = upto;
                    self.pruned.insert(key);
                    self.forget(&key, upto);
                }
            }
        }
    }

    /// Forgets the waiting records of a stream up to and with a position.
    fn forget(&mut self, stream: &StreamKey, upto: u64) {
        let range = record_key(stream, 0)..=record_key(stream, upto);
        let forgotten: Vec<RecordKey> = self.records.range(range).map(|(key, _)| *key).collect();
        for key in forgotten {
            self.records.remove(&key);
        }
    }

    /// Returns the waiting records of a stream behind a position.
    pub(crate) fn behind(
        &self,
        stream: &StreamKey,
        after: u64,
    ) -> impl Iterator<Item = (&RecordKey, &Vec<u8>)> {
        self.records.range((
            Bound::Excluded(record_key(stream, after)),
            Bound::Included(record_key(stream, u64::MAX)),
        ))
    }

    /// Forgets everything: it was committed.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}
