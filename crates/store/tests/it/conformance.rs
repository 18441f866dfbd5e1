//! Both stores pass the suites of the ports, also through crashes.

use std::cell::Cell;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use lastword_ports::{
    CardVisitor, Durable, Frame, LogId, Lsn, Snapshot, SnapshotStore, StoreError, Stream, SyncJob,
    UpdateLog,
};
use lastword_store::{MemoryStore, RedbStore};
use lastword_testkit::conformance::{self, Harness, harness};

use crate::disk::Disks;
use crate::scenario::Dice;

fn conforms<S: UpdateLog + SnapshotStore>(mut harness: impl Harness<Store = S>) {
    conformance::update_log(&mut harness);
    conformance::snapshot_store(&mut harness);
}

#[test]
fn memory_store_conforms() {
    let mut logs = 0;
    let open = || {
        logs += 1;
        MemoryStore::new(LogId([logs; 16]))
    };
    conforms(harness(open, |store| store));
}

#[test]
fn redb_store_conforms_when_it_is_closed_and_opened_again() {
    let folder = Folder::new();
    let reopen = |closed: On<PathBuf>| {
        let path = closed.place.clone();
        drop(closed);
        on_file(path)
    };
    conforms(harness(|| on_file(folder.next_path()), reopen));
}

#[test]
fn redb_store_conforms_when_a_copy_of_its_open_file_is_opened() {
    let folder = Folder::new();
    let reopen = |running: On<PathBuf>| {
        let path = folder.next_path();
        for (from, to) in both(&running.place).into_iter().zip(both(&path)) {
            std::fs::copy(from, to).expect("a copy");
        }
        on_file(path)
    };
    conforms(harness(|| on_file(folder.next_path()), reopen));
}

#[test]
fn redb_store_conforms_when_a_crash_loses_every_write_that_was_not_synced() {
    let reopen = |running: On<Disks>| on_disk(running.place.crash(|| false));
    conforms(harness(|| on_disk(Disks::default()), reopen));
}

#[test]
fn redb_store_conforms_when_a_crash_loses_some_writes_that_were_not_synced() {
    let mut dice = Dice(0x1A57);
    let reopen =
        |running: On<Disks>| on_disk(running.place.crash(|| dice.draw().is_multiple_of(2)));
    conforms(harness(|| on_disk(Disks::default()), reopen));
}

/// The same where every few syncs a checkpoint is made.
#[test]
fn redb_store_conforms_with_a_journal_that_is_full_again_and_again() {
    let small = |disks: Disks, size_max| {
        let mut on = on_disk(disks);
        on.store.set_journal_size_max(size_max);
        on
    };
    for size_max in [0, 700, 1_000, 2_000] {
        let mut dice = Dice(0x1A58);
        let reopen = |running: On<Disks>| {
            small(running.place.crash(|| dice.draw().is_multiple_of(2)), size_max)
        };
        conforms(harness(|| small(Disks::default(), size_max), reopen));
    }
}

/// The files of a store.
fn both(path: &Path) -> [PathBuf; 2] {
    [path.to_path_buf(), path.with_extension("redb.journal")]
}

/// A folder with a new file for each store.
struct Folder {
    folder: tempfile::TempDir,
    files: Cell<u32>,
}

impl Folder {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder"), files: Cell::new(0) }
    }

    fn next_path(&self) -> PathBuf {
        self.files.set(self.files.get() + 1);
        self.folder.path().join(format!("{}.redb", self.files.get()))
    }
}

fn on_file(place: PathBuf) -> On<PathBuf> {
    On { store: RedbStore::open(&place).expect("it opens"), place }
}

fn on_disk(place: Disks) -> On<Disks> {
    On { store: place.opened(), place }
}

/// A store that remembers what it stands on.
struct On<P> {
    store: RedbStore,
    place: P,
}

impl<P> UpdateLog for On<P> {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        self.store.append(batch)
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.store.sync()
    }

    fn begin_sync(&mut self) -> Result<SyncJob, StoreError> {
        self.store.begin_sync()
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.store.replay(stream, after, visit)
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        self.store.prune(stream, upto)
    }
}

impl<P> SnapshotStore for On<P> {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.store.put(stream, at, body)
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        self.store.latest(stream)
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        self.store.cards(visit)
    }
}
