//! [`Recorder`]: a disk that remembers what happened between its syncs.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use redb::StorageBackend;

use crate::disk::Change;
use crate::pages::Pages;

/// A disk; a clone is another handle to the same one.
#[derive(Debug, Clone)]
pub(crate) struct Recorder(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    bytes: Pages,
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

/// From one sync to the next: what a crash in between may leave.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    /// The bytes at its beginning, which are safe.
    pub(crate) base: Pages,
    /// What was written since, none of it safe.
    pub(crate) changes: Vec<Change>,
    /// What was acknowledged when it began.
    pub(crate) first: usize,
    /// What was asked for when it ended.
    pub(crate) last: usize,
}

impl Window {
    fn of(bytes: &Pages, first: usize) -> Self {
        Self { base: bytes.clone(), changes: Vec::new(), first, last: first }
    }
}

impl Recorder {
    /// Makes a disk that holds these bytes; one that lies keeps nothing at a sync.
    pub(crate) fn holding(bytes: Pages, promised: Promised, is_lying: bool) -> Self {
        let window = Window::of(&bytes, promised.acknowledged);
        Self(Arc::new(Mutex::new(State { bytes, window, ended: Vec::new(), promised, is_lying })))
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

    fn change(&self, change: Change) {
        let mut state = self.state();
        state.bytes.apply(&change);
        state.window.changes.push(change);
    }
}

fn index(offset: u64) -> io::Result<usize> {
    usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge.into())
}

impl StorageBackend for Recorder {
    fn len(&self) -> io::Result<u64> {
        Ok(self.state().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let read = self.state().bytes.read(index(offset)?, out);
        read.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(Change::Resize(index(len)?));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state();
        let state = &mut *state;
        state.window.last = state.promised.asked;
        state.ended.push(state.window.clone());
        if state.is_lying {
            state.window.first = state.promised.asked;
        } else {
            state.window = Window::of(&state.bytes, state.promised.acknowledged);
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.change(Change::Write(index(offset)?, data.to_vec()));
        Ok(())
    }
}
