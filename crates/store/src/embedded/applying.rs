//! What a call changes: the same whether somebody makes it or the journal tells of it.

use lastword_ports::{Frame, StoreError, StoreErrorKind, Stream};

use super::{Recovered, RedbStore};
use crate::envelope::{RowKind, record_key, stream_key};
use crate::journal::Entry;

impl RedbStore {
    /// Brings the heads of streams to those that wait, all of them or none.
    pub(super) fn load_heads(
        &mut self,
        streams: impl IntoIterator<Item = Stream>,
    ) -> Result<(), StoreError> {
        let mut loaded = Vec::new();
        for stream in streams {
            let key = stream_key(stream);
            if !self.pending.heads.contains_key(&key) {
                loaded.push((key, self.stored_head(stream)?.unwrap_or_default()));
            }
        }
        self.pending.heads.extend(loaded);
        Ok(())
    }

    /// Takes in a frame whose stream's head is loaded.
    pub(super) fn add_frame(&mut self, frame: Frame<'_>) {
        let position = self.end + 1;
        match frame {
            Frame::Record { stream, body } => {
                let key = stream_key(stream);
                let before = self.pending.heads.get(&key).map_or(0, |head| head.last);
                let parts = [&before.to_be_bytes(), body];
                let row = self.seal.close(RowKind::Record, &record_key(&key, position), &parts);
                self.add(&Entry::Record { stream, row: &row });
            }
            Frame::Card { stream, body } => {
                let key = record_key(&stream_key(stream), position);
                let row = self.seal.close(RowKind::Card, &key, &[body]);
                self.add(&Entry::Card { stream, row: &row });
            }
        }
    }

    /// Takes in a call whose stream's head is loaded.
    pub(super) fn add(&mut self, entry: &Entry<'_>) {
        self.journal.add(entry);
        self.pending.apply(self.seal, &mut self.end, entry);
    }

    /// Takes in what the journal held when the store was opened.
    pub(super) fn recover(&mut self) -> Result<(), StoreError> {
        let bytes = self.journal.bytes()?;
        let read = self.journal.read(&bytes, &self.committed)?;
        let mut calls = 0;
        for entry in &read.entries {
            match self.load_heads([entry.stream()]) {
                // That stream is set apart, by the database.
                Err(error) if error.kind == StoreErrorKind::Corrupt => {}
                result => result?,
            }
            self.pending.apply(self.seal, &mut self.end, entry);
            calls += 1;
        }
        self.recovered = Recovered { calls, cut: read.cut };
        Ok(())
    }
}
