//! [`Recorder`]: two disks that remember, in one order, what happened between their syncs.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use lastword_ports::StoreError;
use lastword_store::RedbStore;
use redb::StorageBackend;

use crate::disk::Change;
use crate::pages::Pages;

/// The files of a store: the database, and the journal.
pub(crate) type Files = [Pages; 2];

/// Both disks of a store; a clone is another handle to the same.
#[derive(Debug, Clone)]
pub(crate) struct Recorder(Arc<Mutex<State>>);

/// One of the two.
#[derive(Debug)]
struct Recorded {
    disks: Recorder,
    file: usize,
}

#[derive(Debug)]
struct State {
    files: Files,
    window: Window,
    ended: Vec<Window>,
    promised: Promised,
    is_lying: bool,
}

/// What the caller was told and what it asked for, as numbers of states.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Promised {
    /// The last that a sync acknowledged.
    pub(crate) acknowledged: usize,
    /// The last that a sync was asked for.
    pub(crate) asked: usize,
}

/// From one sync of either file to the next: what a crash in between may leave.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// The bytes that are safe, of each file as its own last sync left it.
    pub(crate) base: Files,
    /// What was written to either since, none of it safe.
    pub(crate) changes: Vec<(usize, Change)>,
    /// What was acknowledged when it began.
    pub(crate) first: usize,
    /// What was asked for when it ended.
    pub(crate) last: usize,
}

impl Recorder {
    /// Makes disks that hold these bytes; those that lie keep nothing at a sync.
    pub(crate) fn holding(files: Files, promised: Promised, is_lying: bool) -> Self {
        let first = promised.acknowledged;
        let window = Window { base: files.clone(), changes: Vec::new(), first, last: first };
        Self(Arc::new(Mutex::new(State { files, window, ended: Vec::new(), promised, is_lying })))
    }

    /// Opens the store on them.
    pub(crate) fn open(&self) -> Result<RedbStore, StoreError> {
        let [database, journal] = [0, 1].map(|file| Recorded { disks: self.clone(), file });
        RedbStore::open_backends(database, journal)
    }

    /// Notes what the caller is promised from now on.
    pub(crate) fn promise(&self, promised: Promised) {
        self.state().promised = promised;
    }

    /// Returns the windows that ended, and the present one.
    pub(crate) fn into_windows(self) -> Vec<Window> {
        let mut state = self.state();
        let state = &mut *state;
        state.window.last = state.promised.asked;
        let mut windows = std::mem::take(&mut state.ended);
        windows.push(state.window.clone());
        windows
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no call panics")
    }
}

impl Recorded {
    fn change(&self, change: Change) {
        let mut state = self.disks.state();
        state.files[self.file].apply(&change);
        state.window.changes.push((self.file, change));
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl StorageBackend for Recorded {
    fn len(&self) -> io::Result<u64> {
        Ok(self.disks.state().files[self.file].len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let read = self.disks.state().files[self.file].read(index(offset)?, out);
        read.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Resize(index(len)?));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disks.state();
        let state = &mut *state;
        state.window.last = state.promised.asked;
        state.ended.push(state.window.clone());
        state.window.first = state.promised.acknowledged;
        if !state.is_lying {
            state.window.base[self.file] = state.files[self.file].clone();
            state.window.changes.retain(|(file, _)| *file != self.file);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(index(offset)?, data.to_vec()));
        Ok(())
    }
}
