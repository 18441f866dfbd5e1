//! A disk that fails: what it says is told from what it did, and nothing goes on after it.

use std::io::ErrorKind;
use std::ops::ControlFlow;

use lastword_ports::{SnapshotStore, StoreErrorKind, UpdateLog};
use lastword_store::RedbStore;

use crate::disk::{Disks, Fault};
use crate::scenario::{CHANNEL, append, bodies, checkpoint, contents, sync};

fn opened() -> (Disks, RedbStore) {
    let disks = Disks::default();
    let mut store = disks.opened();
    append(&mut store, CHANNEL, b"durable");
    sync(&mut store);
    (disks, store)
}

/// In a sync of the journal, in a job, and in a checkpoint.
#[test]
fn a_failed_sync_is_typed_and_poisons_every_later_call() {
    type Call = fn(&mut RedbStore) -> Result<lastword_ports::Durable, lastword_ports::StoreError>;
    let calls: [(Call, bool); 3] = [
        (|store| store.sync(), false),
        (|store| store.begin_sync()?.run(), false),
        (|store| store.checkpoint(), true),
    ];
    for (call, is_in_database) in calls {
        for (error, expected) in [
            (ErrorKind::StorageFull, StoreErrorKind::Full),
            (ErrorKind::Other, StoreErrorKind::Poisoned),
            (ErrorKind::ReadOnlyFilesystem, StoreErrorKind::Refused),
        ] {
            let (disks, mut store) = opened();
            let lsn = append(&mut store, CHANNEL, b"in doubt");
            let disk = if is_in_database { &disks.database } else { &disks.journal };
            disk.fail(Fault::Sync(disk.counts().syncs + 1, error));
            assert_eq!(call(&mut store).expect_err("it fails").kind, expected);

            let kinds = [
                store.append(&[]).map(drop),
                store.sync().map(drop),
                store.begin_sync().map(drop),
                store.checkpoint().map(drop),
                store.replay(CHANNEL, None, &mut |_, _| ControlFlow::Continue(())),
                store.prune(CHANNEL, lsn),
                store.put(CHANNEL, lsn, b""),
                store.latest(CHANNEL).map(drop),
                store.cards(&mut |_| {}),
                store.verify(&mut |_| {}).map(drop),
            ]
            .map(|result| result.expect_err("poisoned").kind);
            assert_eq!(kinds, [StoreErrorKind::Poisoned; 10]);
        }
    }
}

/// A write that fails, or was done in part, has acknowledged nothing: the next one goes over it.
#[test]
fn a_batch_that_could_not_be_written_changes_nothing_and_can_be_written_later() {
    for (error, expected) in
        [(ErrorKind::StorageFull, StoreErrorKind::Full), (ErrorKind::Other, StoreErrorKind::Retry)]
    {
        let (disks, mut store) = opened();
        append(&mut store, CHANNEL, b"waits");
        disks.journal.fail(Fault::Change(disks.journal.counts().changes + 1, error));
        for _ in 0..2 {
            assert_eq!(store.sync().expect_err("it fails").kind, expected);
            assert_eq!(bodies(&store, CHANNEL).len(), 2);
            let left = disks.crash(|| true).opened();
            assert_eq!(bodies(&left, CHANNEL), [b"durable".to_vec()]);
        }
        disks.journal.heal();
        append(&mut store, CHANNEL, b"more");
        assert_eq!(sync(&mut store).position, 3);
        let left = disks.crash(|| false).opened();
        assert_eq!(bodies(&left, CHANNEL), bodies(&store, CHANNEL));
    }
}

#[test]
fn after_a_failed_sync_opening_again_tells_what_is_there() {
    let (disks, mut store) = opened();
    append(&mut store, CHANNEL, b"in doubt");
    let syncs = disks.journal.counts().syncs;
    disks.journal.fail(Fault::Sync(syncs + 1, ErrorKind::Other));
    store.sync().expect_err("it fails");
    drop(store);

    let lost = disks.crash(|| false).opened();
    assert_eq!(bodies(&lost, CHANNEL), [b"durable".to_vec()]);
    let kept = disks.crash(|| true).opened();
    assert_eq!(bodies(&kept, CHANNEL), [b"durable".to_vec(), b"in doubt".to_vec()]);
}

/// A disk that fills up at the n-th change, for every n: the store says so, and what was
/// acknowledged is there when it is opened with more room.
#[test]
fn a_disk_that_is_full_at_any_moment_loses_nothing_acknowledged() {
    let mut refusals = 0;
    let creation = Disks::default();
    drop(creation.opened());
    for (which, changes) in [(0, 12), (1, 100)] {
        for change in 1..changes {
            let disks = Disks::default();
            let (disk, of_creation) = [
                (&disks.journal, creation.journal.counts().changes),
                (&disks.database, creation.database.counts().changes),
            ][which];
            disk.fail(Fault::Change(of_creation + change, ErrorKind::StorageFull));
            let mut acknowledged = Vec::new();
            let Ok(mut store) = disks.open() else { continue };
            store.set_journal_size_max(8_000);
            for number in 0..12_u8 {
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
            let store = disks.crash(|| true).opened();
            assert!(bodies(&store, CHANNEL).starts_with(&acknowledged), "change {change}");
        }
    }
    assert!(refusals > 40, "the disk filled up only {refusals} times");
}

#[test]
fn a_disk_that_cannot_sync_is_found_out_when_the_store_opens() {
    let (disks, store) = opened();
    drop(store);
    for (error, expected) in [
        (ErrorKind::StorageFull, StoreErrorKind::Full),
        (ErrorKind::ReadOnlyFilesystem, StoreErrorKind::Refused),
        (ErrorKind::PermissionDenied, StoreErrorKind::Refused),
        (ErrorKind::Other, StoreErrorKind::Retry),
    ] {
        let ailing = disks.copy();
        ailing.database.fail(Fault::Sync(1, error));
        let refused = ailing.open().expect_err("it cannot be durable");
        assert_eq!(refused.kind, expected, "{refused}");
    }
    let mut store = disks.copy().opened();
    contents(&mut store).expect("it reads");
    checkpoint(&mut store);
}

#[test]
fn a_disk_that_is_full_while_the_store_is_made_says_so() {
    let creation = opened().0;
    let mut refusals = 0;
    for which in 0..2 {
        let disk = |disks: &Disks| [disks.database.clone(), disks.journal.clone()][which].clone();
        for change in 1..disk(&creation).counts().changes {
            let disks = Disks::default();
            disk(&disks).fail(Fault::Change(change, ErrorKind::StorageFull));
            if let Err(error) = disks.open() {
                assert_eq!(error.kind, StoreErrorKind::Full, "change {change}: {error}");
                refusals += 1;
            }
        }
    }
    assert!(refusals > 5, "the disk filled up only {refusals} times");
}
