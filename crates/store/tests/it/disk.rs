//! [`Disk`]: a disk in memory that can fail, be damaged, and be looked at after a crash; and [`Disks`],
//! the two that a store stands on.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use lastword_ports::StoreError;
use lastword_store::RedbStore;
use redb::StorageBackend;

/// What a store stands on; a clone is another handle to the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disks {
    pub(crate) database: Disk,
    pub(crate) journal: Disk,
}

impl Disks {
    /// Opens the store on them.
    pub(crate) fn open(&self) -> Result<RedbStore, StoreError> {
        RedbStore::open_backends(self.database.clone(), self.journal.clone())
    }

    /// Opens the store, which must be possible.
    pub(crate) fn opened(&self) -> RedbStore {
        self.open().expect("it opens")
    }

    /// Returns disks with the same bytes, all of them durable.
    pub(crate) fn copy(&self) -> Self {
        let copy = |disk: &Disk| Disk::holding(disk.bytes());
        Self { database: copy(&self.database), journal: copy(&self.journal) }
    }

    /// Returns what a crash leaves if `survives` is asked for every change since the last sync.
    pub(crate) fn crash(&self, mut survives: impl FnMut() -> bool) -> Self {
        Self { database: self.database.crash(&mut survives), journal: self.journal.crash(survives) }
    }

    /// Returns how often something was asked of both together.
    pub(crate) fn counts(&self) -> Counts {
        let (database, journal) = (self.database.counts(), self.journal.counts());
        Counts {
            changes: database.changes + journal.changes,
            syncs: database.syncs + journal.syncs,
        }
    }
}

/// A disk; a clone is another handle to the same one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    counts: Counts,
    fault: Option<Fault>,
}

/// One thing that was written.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Bytes at an offset.
    Write(usize, Vec<u8>),
    /// Another length.
    Resize(usize),
}

/// How often something was asked of the disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) changes: u64,
    pub(crate) syncs: u64,
}

/// From which call on the disk fails.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// From this write or resize on, counted from 1.
    Change(u64, io::ErrorKind),
    /// From this sync on, counted from 1.
    Sync(u64, io::ErrorKind),
}

impl Disk {
    /// Makes a disk that holds these bytes, durably.
    pub(crate) fn holding(bytes: Vec<u8>) -> Self {
        let state = State { durable: bytes.clone(), bytes, ..State::default() };
        Self(Arc::new(Mutex::new(state)))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.state().bytes.clone()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.state().counts
    }

    pub(crate) fn fail(&self, fault: Fault) {
        self.state().fault = Some(fault);
    }

    /// Works again from now on.
    pub(crate) fn heal(&self) {
        self.state().fault = None;
    }

    /// Returns what a crash leaves if `survives` is asked for every change since the last sync.
    pub(crate) fn crash(&self, mut survives: impl FnMut() -> bool) -> Self {
        let state = self.state();
        let mut bytes = state.durable.clone();
        for change in state.unsynced.iter().filter(|_| survives()) {
            apply(&mut bytes, change);
        }
        Self::holding(bytes)
    }

    pub(crate) fn unsynced_count(&self) -> usize {
        self.state().unsynced.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no call panics")
    }

    fn change(&self, change: Change) -> io::Result<()> {
        let mut state = self.state();
        state.counts.changes += 1;
        match state.fault {
            Some(Fault::Change(from, kind)) if state.counts.changes >= from => {
                return Err(kind.into());
            }
            Some(Fault::Change(..) | Fault::Sync(..)) | None => {}
        }
        apply(&mut state.bytes, &change);
        state.unsynced.push(change);
        Ok(())
    }
}

/// Writes behind the end are there too: the length that a crash lost was set before them.
fn apply(bytes: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write(offset, data) => {
            let end = offset + data.len();
            if bytes.len() < end {
                bytes.resize(end, 0);
            }
            bytes[*offset..end].copy_from_slice(data);
        }
        Change::Resize(size) => bytes.resize(*size, 0),
    }
}

fn index(offset: u64) -> usize {
    usize::try_from(offset).expect("the disk is small")
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let state = self.state();
        let range = index(offset)..index(offset) + out.len();
        let bytes = state.bytes.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Resize(index(len)))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        state.counts.syncs += 1;
        match state.fault {
            Some(Fault::Sync(from, kind)) if state.counts.syncs >= from => return Err(kind.into()),
            Some(Fault::Change(..) | Fault::Sync(..)) | None => {}
        }
        let state = &mut *state;
        state.durable.clone_from(&state.bytes);
        state.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(index(offset), data.to_vec()))
    }
}
