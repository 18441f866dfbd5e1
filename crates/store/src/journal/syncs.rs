//! [`Syncs`]: the journal's file, synced by any number of threads, and what is known of it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use lastword_ports::{StoreError, StoreErrorKind};
use redb::StorageBackend;

use crate::fault::{NOWHERE, disk_error, poisoned};

/// The file of a journal, for its writer and for whoever syncs it.
#[derive(Debug)]
pub(crate) struct Syncs {
    file: Box<dyn StorageBackend>,
    /// Held by whoever syncs. The system tells of a failed write once: a sync that ran beside the
    /// one that was told would call durable what is lost.
    turn: Mutex<()>,
    known: Mutex<Known>,
}

/// What is known of the file.
#[derive(Debug, Clone, Copy)]
struct Known {
    generation: u64,
    /// The bytes below this offset were written.
    written: u64,
    /// The bytes below this offset are durable.
    durable: u64,
    is_poisoned: bool,
}

impl Syncs {
    pub(crate) fn new(file: Box<dyn StorageBackend>, generation: u64, start: u64) -> Self {
        let known = Known { generation, written: start, durable: start, is_poisoned: false };
        Self { file, turn: Mutex::default(), known: Mutex::new(known) }
    }

    pub(crate) fn file(&self) -> &dyn StorageBackend {
        &*self.file
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.known().is_poisoned
    }

    pub(crate) fn poison(&self) {
        self.known().is_poisoned = true;
    }

    /// Returns the offset below which everything is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.known().durable
    }

    /// Writes a batch; until it is synced a crash may leave any part of it.
    pub(crate) fn write(&self, at: u64, bytes: &[u8], end: u64) -> Result<(), StoreError> {
        let written = self.file.write(at, bytes);
        written.map_err(|error| disk_error(error, NOWHERE, StoreErrorKind::Retry))?;
        self.known().written = end;
        Ok(())
    }

    /// Begins another generation at the start of the journal.
    pub(crate) fn rewind(&self, generation: u64, start: u64) {
        let mut known = self.known();
        *known = Known { generation, written: start, durable: start, ..*known };
    }

    /// Makes the bytes below an offset durable. One sync serves everybody who waits for it.
    pub(crate) fn sync(&self, generation: u64, upto: u64) -> Result<(), StoreError> {
        // A panic elsewhere left nothing half done: every change is one assignment.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *self.known();
        if before.is_poisoned {
            return Err(poisoned());
        }
        // What an earlier generation held is in the database, durably.
        if before.generation != generation || before.durable >= upto {
            return Ok(());
        }
        let result = self.file.sync_data();
        let mut known = self.known();
        match result {
            Ok(()) if known.generation == generation => known.durable = before.written,
            Ok(()) => {}
            Err(error) => {
                known.is_poisoned = true;
                return Err(disk_error(error, NOWHERE, StoreErrorKind::Poisoned));
            }
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
