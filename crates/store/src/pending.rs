//! [`Pending`]: what was appended or put and is not yet committed.
//!
//! Appends wait here and one `sync` writes them all in one transaction of the engine. The other way
//! was a transaction without durability for each append. This one gives the same promise more
//! plainly and more cheaply:
//!
//! - the engine only ever holds what some sync committed, whole: a crash leaves a prefix because
//!   there is nothing else that it could leave;
//! - appends share one path through the tree, one root and one sync, and they reach the tree in the
//!   order of its keys;
//! - an append writes nothing to the disk, so it cannot fail half-way.
//!
//! The price is that the appends between two syncs are in memory twice for a moment. The caller
//! bounds them: nothing is acted on before a sync.

use std::collections::BTreeMap;
use std::ops::Bound;

use crate::envelope::{RecordKey, StreamKey, record_key};
use crate::head::Head;

/// Appends that wait for a commit.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    /// The sealed records, as they will be stored.
    pub(crate) records: BTreeMap<RecordKey, Vec<u8>>,
    /// The heads that changed.
    pub(crate) heads: BTreeMap<StreamKey, Head>,
    /// The sealed snapshots, as they will be stored.
    pub(crate) snapshots: BTreeMap<StreamKey, Vec<u8>>,
    /// The streams whose stored records are to be removed up to the position in their head.
    pub(crate) pruned: Vec<StreamKey>,
}

impl Pending {
    /// Says whether a commit would change nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.heads.is_empty()
    }

    /// Forgets the waiting records of a stream up to and with a position.
    pub(crate) fn forget(&mut self, stream: &StreamKey, upto: u64) {
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
