//! What is left of a store that dies: everything synced, and nothing half.

use std::path::Path;

use lastword_ports::{SnapshotStore, Stream, UpdateLog};
use lastword_store::RedbStore;

use crate::disk::{Counts, Disks, Fault};
use crate::scenario::{CHANNEL, Contents, Dice, OTHER, append, bodies, contents, fill, sync};

#[test]
fn a_kill_before_the_sync_loses_the_append_and_after_it_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("node.redb");
    let copy = |name: &str| {
        let to = folder.path().join(name);
        std::fs::copy(&path, &to).expect("a copy");
        let journal = |path: &Path| path.with_extension("redb.journal");
        std::fs::copy(journal(&path), journal(&to)).expect("a copy");
        RedbStore::open(&to).expect("it opens")
    };
    let mut store = RedbStore::open(&path).expect("it opens");
    append(&mut store, CHANNEL, b"synced");
    sync(&mut store);
    append(&mut store, CHANNEL, b"not synced");

    assert_eq!(bodies(&store, CHANNEL), [b"synced".to_vec(), b"not synced".to_vec()]);
    assert_eq!(bodies(&copy("before.redb"), CHANNEL), [b"synced".to_vec()]);
    sync(&mut store);
    assert_eq!(bodies(&copy("after.redb"), CHANNEL), [b"synced".to_vec(), b"not synced".to_vec()]);
}

/// Every state that a crash may leave is the state after some sync, and never an older one than the
/// last that was acknowledged: in a sync of the journal, and in one that is a checkpoint.
#[test]
fn any_part_of_the_unsynced_writes_leaves_the_state_of_a_sync() {
    const IMAGES_OF_A_SYNC: u32 = 60;
    let mut dice = Dice(0xC4A5);
    let (mut images, mut checkpoints) = (0, 0);
    for sync_number in 1..=12 {
        let disks = Disks::default();
        let mut store = disks.opened();
        store.set_journal_size_max(30_000);
        let mut acknowledged = contents(&mut store).expect("it reads");
        for _ in 0..sync_number {
            append(&mut store, CHANNEL, &[0x33; 700]);
            append(&mut store, CHANNEL, &[0x44; 5000]);
            acknowledged = contents_after_sync(&mut store);
        }
        append(&mut store, CHANNEL, &[0x55; 5000]);
        let next = contents(&mut store).expect("it reads");
        // The disk goes away in the middle of the sync, so that its writes stay unsynced.
        for disk in [&disks.database, &disks.journal] {
            disk.fail(Fault::Sync(disk.counts().syncs + 1, std::io::ErrorKind::Other));
        }
        store.sync().expect_err("the disk is gone");
        checkpoints += u32::from(disks.database.unsynced_count() > 0);

        for _ in 0..IMAGES_OF_A_SYNC {
            let image = disks.crash(|| !dice.draw().is_multiple_of(3));
            let mut left = image.open().expect("every image opens");
            let left = contents(&mut left).expect("every image reads");
            assert!(left == acknowledged || left == next, "sync {sync_number}: {left:?}");
            images += 1;
        }
    }
    assert_eq!(images, 12 * IMAGES_OF_A_SYNC);
    assert!(checkpoints > 1 && checkpoints < 6, "{checkpoints}");
}

#[test]
fn one_sync_of_the_disk_commits_any_number_of_appends() {
    let disks = Disks::default();
    let mut store = disks.opened();
    let start = disks.counts();
    for number in 0..100_u8 {
        append(&mut store, CHANNEL, &[number; 200]);
    }
    assert_eq!(disks.counts(), start, "an append does not touch the disk");

    sync(&mut store);
    let Counts { syncs, .. } = disks.counts();
    assert_eq!(syncs, start.syncs + 1);
    let written = disks.counts();
    sync(&mut store);
    assert_eq!(disks.counts(), written, "a sync of nothing does not touch the disk");
}

/// A snapshot and its prune wait for the next sync: no crash takes a record that only a lost
/// snapshot covers.
#[test]
fn a_snapshot_and_its_prune_cost_no_sync_of_their_own_and_survive_together() {
    let disks = Disks::default();
    let mut store = disks.opened();
    append(&mut store, CHANNEL, b"1");
    let at = sync(&mut store);
    let start = disks.counts();
    for stream in [CHANNEL, OTHER, Stream::Payments] {
        store.put(stream, at, b"state").expect("it works");
        store.prune(stream, at).expect("it works");
    }
    assert_eq!(disks.counts(), start, "a snapshot does not touch the disk");
    assert_eq!(bodies(&store, CHANNEL), Vec::<Vec<u8>>::new());
    let lost = disks.crash(|| true).opened();
    assert_eq!(bodies(&lost, CHANNEL), [b"1".to_vec()]);
    assert_eq!(lost.latest(CHANNEL).expect("it reads"), None);

    sync(&mut store);
    assert_eq!(disks.counts().syncs, start.syncs + 1);
    let kept = disks.crash(|| false).opened();
    assert_eq!(bodies(&kept, CHANNEL), Vec::<Vec<u8>>::new());
    for stream in [CHANNEL, OTHER, Stream::Payments] {
        let snapshot = kept.latest(stream).expect("it reads").expect("it was put");
        assert_eq!((snapshot.at, &snapshot.body[..]), (at, &b"state"[..]));
    }
}

#[test]
fn a_store_reads_the_same_after_closing_and_after_a_crash() {
    let disks = Disks::default();
    let mut store = disks.opened();
    fill(&mut store);
    let before = contents(&mut store).expect("it reads");

    let mut crashed = disks.crash(|| false).opened();
    assert_eq!(contents(&mut crashed).expect("it reads"), before);
    drop(store);
    let mut closed = disks.copy().opened();
    assert_eq!(contents(&mut closed).expect("it reads"), before);
}

#[test]
fn ten_thousand_records_come_back_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("node.redb");
    let mut store = RedbStore::open(&path).expect("it opens");
    let body = |number: u32| number.to_be_bytes().repeat(1 + number as usize % 60);
    for number in 0..10_000 {
        append(&mut store, CHANNEL, &body(number));
        if number % 1000 == 0 {
            sync(&mut store);
        }
    }
    sync(&mut store);
    drop(store);

    let store = RedbStore::open(&path).expect("it opens");
    let expected: Vec<Vec<u8>> = (0..10_000).map(body).collect();
    assert!(bodies(&store, CHANNEL) == expected);
}

fn contents_after_sync(store: &mut RedbStore) -> Contents {
    sync(store);
    contents(store).expect("it reads")
}
