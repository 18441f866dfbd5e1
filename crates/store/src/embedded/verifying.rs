//! How a [`RedbStore`] is checked: every row of the file, whatever is wrong with the others.

use std::ops::Bound;

use lastword_ports::StoreError;
use redb::ReadableTableMetadata as _;

use super::reading::{damaged_card, reading};
use super::{HEADS, RECORDS, RedbStore};
use crate::envelope::{
    RecordKey, RowKind, StreamKey, position_in, record_key, stream_of, take_u64,
};
use crate::fault::{NOWHERE, corrupt, guarded, place};
use crate::head::Head;

/// What a file holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verified {
    /// Streams.
    pub streams: u64,
    /// Records that are sound.
    pub records: u64,
    /// Snapshots that are sound.
    pub snapshots: u64,
    /// Places that were reported.
    pub damaged: u64,
}

/// What was seen, and whom to tell what is wrong.
struct Walk<'v> {
    report: &'v mut dyn FnMut(StoreError),
    verified: Verified,
}

impl Walk<'_> {
    fn complain(&mut self, error: StoreError) {
        self.verified.damaged += 1;
        (self.report)(error);
    }
}

impl RedbStore {
    /// Checks every row of the file and reports each that is damaged, out of its place or missing.
    ///
    /// # Shape
    ///
    /// What the journal holds goes into the database first, as it is, and is checked there.
    /// One report for each place. A stream is followed on behind a record that is damaged or
    /// missing; the records of a stream whose head is damaged are counted and not read.
    ///
    /// # Errors
    ///
    /// As of [`checkpoint`](Self::checkpoint); a failure to read at all, such as pages that the engine gives up on: what was reported
    /// before is right, the rest of the file was not seen.
    pub fn verify(&mut self, report: &mut dyn FnMut(StoreError)) -> Result<Verified, StoreError> {
        let _durable = self.checkpoint()?;
        let mut walk = Walk { report, verified: Verified::default() };
        let heads = guarded(NOWHERE, || self.verify_heads(&mut walk))?;
        let mut followed = 0;
        for (key, head) in &heads {
            guarded(NOWHERE, || self.verify_stream(key, head, &mut followed, &mut walk))?;
        }
        let stored = guarded(NOWHERE, || {
            self.table(RECORDS)?.len().map_err(|error| reading(error, NOWHERE))
        })?;
        if stored != followed {
            walk.complain(corrupt(NOWHERE, "there are records of streams without a sound head"));
        }
        Ok(walk.verified)
    }

    fn verify_heads(&self, walk: &mut Walk<'_>) -> Result<Vec<(StreamKey, Head)>, StoreError> {
        let mut heads = Vec::new();
        let rows = self.table(HEADS)?.range::<&StreamKey>(..).map_err(|e| reading(e, NOWHERE))?;
        for row in rows {
            let (key, row) = row.map_err(|e| reading(e, NOWHERE))?;
            walk.verified.streams += 1;
            let Some(stream) = stream_of(key.value()) else {
                walk.complain(corrupt(NOWHERE, "the key is no stream's"));
                continue;
            };
            let Some(head) = Head::open(self.seal, key.value(), row.value()) else {
                let place = place(stream, None);
                walk.complain(corrupt(place, "the head of the stream is damaged"));
                continue;
            };
            if let Some(card) = head.card.as_ref().filter(|card| card.body.is_none()) {
                walk.complain(damaged_card(stream, card));
            }
            heads.push((*key.value(), head));
        }
        if walk.verified.streams != self.committed.streams {
            walk.complain(corrupt(NOWHERE, "the head of a stream is missing"));
        }
        Ok(heads)
    }

    /// Follows the records of one stream to their end, and opens its snapshot.
    fn verify_stream(
        &self,
        key: &StreamKey,
        head: &Head,
        followed: &mut u64,
        walk: &mut Walk<'_>,
    ) -> Result<(), StoreError> {
        let Some(stream) = stream_of(key) else { return Ok(()) };
        let nowhere = place(stream, None);
        let (first, last) = (record_key(key, 0), record_key(key, u64::MAX));
        let range = (Bound::Included(&first), Bound::Included(&last));
        let mut at = head.pruned;
        let rows = self.table(RECORDS)?.range::<&RecordKey>(range);
        for row in rows.map_err(|e| reading(e, nowhere))? {
            let (row_key, row) = row.map_err(|e| reading(e, nowhere))?;
            *followed += 1;
            let position = position_in(key, row_key.value()).unwrap_or_default();
            let opened = self.seal.open(RowKind::Record, row_key.value(), row.value());
            match opened.and_then(take_u64) {
                None => {
                    let place = place(stream, Some(position));
                    walk.complain(corrupt(place, "the record is damaged"));
                }
                // The first one that is kept may name one that is forgotten.
                Some((before, _)) if before != at && (at != head.pruned || before > at) => {
                    walk.complain(corrupt(place(stream, Some(before)), "the record is missing"));
                }
                Some(_) => walk.verified.records += 1,
            }
            at = position;
        }
        if at != head.last.max(head.pruned) {
            let place = place(stream, Some(head.last));
            walk.complain(corrupt(place, "the stream does not end where its head says"));
        }
        match self.snapshot(stream, head.snapshot) {
            Ok(snapshot) => walk.verified.snapshots += u64::from(snapshot.is_some()),
            Err(error) => walk.complain(error),
        }
        Ok(())
    }
}
