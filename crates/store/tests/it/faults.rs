//! A disk that fails: what it says is told from what it did, and nothing goes on after it.

use std::io::ErrorKind;
use std::ops::ControlFlow;

use lastword_ports::{SnapshotStore, StoreErrorKind, UpdateLog};
use lastword_store::RedbStore;

use crate::disk::{Disk, Fault};
use crate::scenario::{CHANNEL, append, bodies, contents, sync};

fn opened() -> (Disk, RedbStore) {
    let disk = Disk::default();
    let mut store = RedbStore::open_backend(disk.clone()).expect("it opens");
    append(&mut store, CHANNEL, b"durable");
    sync(&mut store);
    (disk, store)
}

#[test]
fn a_failed_sync_is_typed_and_poisons_every_later_call() {
    for (error, expected) in [
        (ErrorKind::StorageFull, StoreErrorKind::Full),
        (ErrorKind::Other, StoreErrorKind::Poisoned),
        (ErrorKind::ReadOnlyFilesystem, StoreErrorKind::Refused),
    ] {
        let (disk, mut store) = opened();
        let lsn = append(&mut store, CHANNEL, b"in doubt");
        disk.fail(Fault::Sync(disk.counts().syncs + 1, error));
        assert_eq!(store.sync().expect_err("it fails").kind, expected);

        let kinds = [
            store.append(&[]).map(drop),
            store.sync().map(drop),
            store.replay(CHANNEL, None, &mut |_, _| ControlFlow::Continue(())),
            store.prune(CHANNEL, lsn),
            store.put(CHANNEL, lsn, b""),
            store.latest(CHANNEL).map(drop),
            store.cards(&mut |_| {}),
        ]
        .map(|result| result.expect_err("poisoned").kind);
        assert_eq!(kinds, [StoreErrorKind::Poisoned; 7]);
    }
}

#[test]
fn after_a_failed_sync_opening_again_tells_what_is_there() {
    let (disk, mut store) = opened();
    append(&mut store, CHANNEL, b"in doubt");
    disk.fail(Fault::Sync(disk.counts().syncs + 1, ErrorKind::Other));
    store.sync().expect_err("it fails");
    drop(store);

    let lost = RedbStore::open_backend(disk.crash(|| false)).expect("it opens");
    assert_eq!(bodies(&lost, CHANNEL), [b"durable".to_vec()]);
    let kept = RedbStore::open_backend(disk.crash(|| true)).expect("it opens");
    assert_eq!(bodies(&kept, CHANNEL), [b"durable".to_vec(), b"in doubt".to_vec()]);
}

/// A disk that fills up at the n-th change, for every n: the store says so, and what was
/// acknowledged is there when it is opened with more room.
#[test]
fn a_disk_that_is_full_at_any_moment_loses_nothing_acknowledged() {
    let mut refusals = 0;
    let changes_of_creation = opened().0.counts().changes;
    for change in changes_of_creation..changes_of_creation + 100 {
        let disk = Disk::default();
        disk.fail(Fault::Change(change, ErrorKind::StorageFull));
        let mut acknowledged = Vec::new();
        let mut store = RedbStore::open_backend(disk.clone()).expect("there is room yet");
        for number in 0..8_u8 {
            append(&mut store, CHANNEL, &[number; 3000]);
            match store.sync() {
                Ok(_proof) => acknowledged = bodies(&store, CHANNEL),
                Err(error) => {
                    assert_eq!(error.kind, StoreErrorKind::Full, "change {change}");
                    refusals += 1;
                    break;
                }
            }
        }
        let roomy = disk.crash(|| true);
        let store = RedbStore::open_backend(roomy).expect("with more room it opens");
        assert!(bodies(&store, CHANNEL).starts_with(&acknowledged), "change {change}");
    }
    assert!(refusals > 20, "the disk filled up only {refusals} times");
}

#[test]
fn a_disk_that_cannot_sync_is_found_out_when_the_store_opens() {
    let (disk, store) = opened();
    drop(store);
    for (error, expected) in [
        (ErrorKind::StorageFull, StoreErrorKind::Full),
        (ErrorKind::ReadOnlyFilesystem, StoreErrorKind::Refused),
        (ErrorKind::PermissionDenied, StoreErrorKind::Refused),
        (ErrorKind::Other, StoreErrorKind::Retry),
    ] {
        let ailing = Disk::holding(disk.bytes());
        ailing.fail(Fault::Sync(1, error));
        let refused = RedbStore::open_backend(ailing).expect_err("it cannot be durable");
        assert_eq!(refused.kind, expected, "{refused}");
    }
    let mut store = RedbStore::open_backend(Disk::holding(disk.bytes())).expect("it opens");
    contents(&mut store).expect("it reads");
}

#[test]
fn a_disk_that_is_full_while_the_store_is_made_says_so() {
    let changes_of_creation = opened().0.counts().changes;
    let mut refusals = 0;
    for change in 1..changes_of_creation {
        let disk = Disk::default();
        disk.fail(Fault::Change(change, ErrorKind::StorageFull));
        if let Err(error) = RedbStore::open_backend(disk) {
            assert_eq!(error.kind, StoreErrorKind::Full, "change {change}: {error}");
            refusals += 1;
        }
    }
    assert!(refusals > 5, "the disk filled up only {refusals} times");
}
