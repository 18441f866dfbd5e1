//! How a [`RedbStore`] reads: nothing is handed out that is damaged, moved or out of its chain.

use std::iter::Peekable;
use std::ops::{Bound, ControlFlow};

use lastword_ports::{CardVisitor, Lsn, Place, StoreError, StoreErrorKind, StoredCard, Stream};
use redb::{ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, TableError};

use super::{HEADS, PIECES, RECORDS, RedbStore, SNAPSHOTS, opening};
use crate::envelope::{
    PieceKey, RecordKey, RowKind, Seal, StreamKey, piece_key, position_in, record_key, stream_key,
    stream_of, take_u64,
};
use crate::fault::{NOWHERE, corrupt, engine_error, guarded, place};
use crate::head::{Card, Head};

/// Follows the records of a stream: each names the one before it.
struct Chain {
    seal: Seal,
    stream: Stream,
    key: StreamKey,
    /// Records up to here were not asked for, or are forgotten.
    start: u64,
    /// The record that was followed last, or `start`.
    at: u64,
}

impl Chain {
    /// Opens the next record, or says which place is damaged.
    fn follow<'row>(
        &mut self,
        key: &RecordKey,
        row: &'row [u8],
    ) -> Result<(u64, &'row [u8]), StoreError> {
        let place = |position| place(self.stream, position);
        let position = position_in(&self.key, key)
            .filter(|position| *position > self.at)
            .ok_or_else(|| corrupt(place(None), "a record lies out of its place"))?;
        let (before, body) = self
            .seal
            .open(RowKind::Record, key, row)
            .and_then(take_u64)
            .ok_or_else(|| corrupt(place(Some(position)), "the record is damaged"))?;
        let is_next = if self.at == self.start { before <= self.at } else { before == self.at };
        if !is_next {
            return Err(corrupt(place(Some(before)), "the record is missing"));
        }
        self.at = position;
        Ok((position, body))
    }
}

impl RedbStore {
    /// Checks that what the file says of itself is about what is in it.
    ///
    /// One sound head will do, and the first nearly always is: no more is read.
    pub(super) fn check_seal(&self) -> Result<(), StoreError> {
        let transaction = self.database.begin_read().map_err(opening)?;
        let heads = match transaction.open_table(HEADS) {
            Ok(heads) => heads,
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(opening(error)),
        };
        let mut is_empty = true;
        for row in heads.range::<&StreamKey>(..).map_err(opening)? {
            let (key, row) = row.map_err(opening)?;
            if Head::open(self.seal, key.value(), row.value()).is_some() {
                return Ok(());
            }
            is_empty = false;
        }
        let detail = "nothing in the file is of the log that it says it is";
        if is_empty { Ok(()) } else { Err(corrupt(NOWHERE, detail)) }
    }

    /// Reads the head of a stream as it is stored.
    pub(super) fn stored_head(&self, stream: Stream) -> Result<Option<Head>, StoreError> {
        let key = stream_key(stream);
        let place = place(stream, None);
        guarded(place, || {
            let Some(row) = self.table(HEADS)?.get(&key).map_err(|e| reading(e, place))? else {
                return Ok(None);
            };
            let head = Head::open(self.seal, &key, row.value());
            head.map(Some).ok_or_else(|| corrupt(place, "the head of the stream is damaged"))
        })
    }

    /// Returns the snapshot of a stream, which must be there exactly if its head names one.
    pub(super) fn snapshot(
        &self,
        stream: Stream,
        at: Option<u64>,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let key = stream_key(stream);
        let place = place(stream, at);
        if let (Some(at), Some(row)) = (at, self.pending.snapshots.get(&key)) {
            return self.open_snapshot(&key, place, at, row).map(Some);
        }
        guarded(place, || {
            let row = self.table(SNAPSHOTS)?.get(&key).map_err(|e| reading(e, place))?;
            match (at, row) {
                (None, None) => Ok(None),
                (Some(at), Some(row)) => {
                    let mut whole = row.value().to_vec();
                    self.add_pieces(&key, &mut whole)?;
                    self.open_snapshot(&key, place, at, &whole).map(Some)
                }
                (Some(_), None) => Err(corrupt(place, "the snapshot is missing")),
                (None, Some(_)) => Err(corrupt(place, "a snapshot that no head names")),
            }
        })
    }

    /// Adds what of a snapshot is in rows of its own. A file of before there were any has none.
    fn add_pieces(&self, key: &StreamKey, whole: &mut Vec<u8>) -> Result<(), StoreError> {
        let transaction = self.database.begin_read().map_err(|e| reading(e, NOWHERE))?;
        let pieces = match transaction.open_table(PIECES) {
            Ok(pieces) => pieces,
            Err(TableError::TableDoesNotExist(_)) => return Ok(()),
            Err(error) => return Err(reading(error, NOWHERE)),
        };
        let (first, last) = (piece_key(key, 0), piece_key(key, u32::MAX));
        let rows = pieces.range::<&PieceKey>(&first..=&last).map_err(|e| reading(e, NOWHERE))?;
        for row in rows {
            let (_, piece) = row.map_err(|e| reading(e, NOWHERE))?;
            whole.extend_from_slice(piece.value());
        }
        Ok(())
    }

    fn open_snapshot(
        &self,
        key: &StreamKey,
        place: Place,
        at: u64,
        row: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        match self.seal.open(RowKind::Snapshot, key, row).and_then(take_u64) {
            Some((stored_at, body)) if stored_at == at => Ok(body.to_vec()),
            Some(_) | None => Err(corrupt(place, "the snapshot is damaged")),
        }
    }

    /// Visits the records of a stream behind a position, stored ones and then waiting ones.
    pub(super) fn replay_behind(
        &self,
        stream: Stream,
        after: u64,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let head = self.head(stream)?;
        let start = head.as_ref().map_or(after, |head| head.pruned.max(after));
        let key = stream_key(stream);
        let mut chain = Chain { seal: self.seal, stream, key, start, at: start };

        let nowhere = place(stream, None);
        let mut stored = guarded(nowhere, || {
            let range = (
                Bound::Excluded(record_key(&key, start)),
                Bound::Included(record_key(&key, u64::MAX)),
            );
            let range = (range.0.as_ref(), range.1.as_ref());
            self.table(RECORDS)?.range::<&RecordKey>(range).map_err(|e| reading(e, nowhere))
        })?;
        loop {
            let next =
                guarded(nowhere, || stored.next().transpose().map_err(|e| reading(e, nowhere)))?;
            let Some((stored_key, row)) = next else { break };
            let (position, body) =
                guarded(nowhere, || chain.follow(stored_key.value(), row.value()))?;
            if visit(self.lsn(position), body).is_break() {
                return Ok(());
            }
        }
        for (waiting_key, row) in self.pending.behind(&key, start) {
            let (position, body) = chain.follow(waiting_key, row)?;
            if visit(self.lsn(position), body).is_break() {
                return Ok(());
            }
        }
        let last = head.map_or(start, |head| head.last.max(start));
        if chain.at == last {
            return Ok(());
        }
        Err(corrupt(place(stream, Some(last)), "the stream does not end where its head says"))
    }

    /// Visits the stored cards and the waiting ones in the order of their streams, and each head
    /// that is damaged.
    pub(super) fn visit_cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        let mut waiting = self.pending.heads.iter().peekable();
        let mut stored_count = 0;
        let mut stored = guarded(NOWHERE, || {
            self.table(HEADS)?.range::<&StreamKey>(..).map_err(|e| reading(e, NOWHERE))
        })?;
        loop {
            let next =
                guarded(NOWHERE, || stored.next().transpose().map_err(|e| reading(e, NOWHERE)))?;
            let Some((key, row)) = next else { break };
            stored_count += 1;
            let read = guarded(NOWHERE, || self.stored_card(key.value(), row.value()));
            match read {
                Ok((key, head)) => visit_before(&mut waiting, Some((&key, &head)), visit),
                Err(error) => visit(Err(error)),
            }
        }
        visit_before(&mut waiting, None, visit);
        if stored_count != self.committed.streams {
            visit(Err(corrupt(NOWHERE, "the head of a stream is missing")));
        }
        Ok(())
    }

    fn stored_card(&self, key: &StreamKey, row: &[u8]) -> Result<(StreamKey, Head), StoreError> {
        let stream = stream_of(key).ok_or_else(|| corrupt(NOWHERE, "the key is no stream's"))?;
        let head = Head::open(self.seal, key, row);
        let head = head.ok_or_else(|| corrupt(place(stream, None), "the card is damaged"))?;
        Ok((*key, head))
    }

    pub(super) fn table<K: redb::Key + 'static>(
        &self,
        definition: TableDefinition<'static, K, &'static [u8]>,
    ) -> Result<ReadOnlyTable<K, &'static [u8]>, StoreError> {
        let transaction: ReadTransaction =
            self.database.begin_read().map_err(|e| reading(e, NOWHERE))?;
        transaction.open_table(definition).map_err(|e| reading(e, NOWHERE))
    }
}

/// Visits the waiting cards of the streams before a stored one, and the newer card of that one.
fn visit_before<'a>(
    waiting: &mut Peekable<impl Iterator<Item = (&'a StreamKey, &'a Head)>>,
    stored: Option<(&StreamKey, &Head)>,
    visit: &mut CardVisitor<'_>,
) {
    let mut show = |key: &StreamKey, head: &Head| {
        let (Some(stream), Some(card)) = (stream_of(key), &head.card) else { return };
        match &card.body {
            Some(body) => visit(Ok(StoredCard { stream, last: head.last, body })),
            None => visit(Err(damaged_card(stream, card))),
        }
    };
    let mut is_replaced = false;
    while let Some((key, head)) =
        waiting.next_if(|(key, _)| stored.is_none_or(|(stored_key, _)| *key <= stored_key))
    {
        is_replaced |= stored.is_some_and(|(stored_key, _)| key == stored_key);
        show(key, head);
    }
    if let Some((key, head)) = stored.filter(|_| !is_replaced) {
        show(key, head);
    }
}

/// Makes the error for a card whose bytes were damaged in the journal.
pub(super) fn damaged_card(stream: Stream, card: &Card) -> StoreError {
    corrupt(place(stream, Some(card.position)), "the card is damaged")
}

pub(super) fn reading(error: impl Into<redb::Error>, place: Place) -> StoreError {
    engine_error(error, place, StoreErrorKind::Poisoned)
}
