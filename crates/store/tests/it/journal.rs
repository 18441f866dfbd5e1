//! The journal as a part of the store: missing, another's, older, newer; full; and synced by jobs.

use std::fs;
use std::path::{Path, PathBuf};

use lastword_ports::{Frame, SnapshotStore, StoreErrorKind, Stream, UpdateLog};
use lastword_store::{Recovered, RedbStore};
use tempfile::TempDir;

use crate::disk::{Disk, Disks, Fault};
use crate::scenario::{CHANNEL, OTHER, append, bodies, checkpoint, contents, fill, sync};

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("node.redb");
    (folder, path)
}

fn journal_of(path: &Path) -> PathBuf {
    path.with_extension("redb.journal")
}

/// Makes a store with one record in the journal.
fn made(path: &Path) {
    let mut store = RedbStore::open(path).expect("it opens");
    append(&mut store, CHANNEL, b"1");
    sync(&mut store);
}

fn refusal(path: &Path) -> StoreErrorKind {
    RedbStore::open(path).expect_err("half of a store").kind
}

#[test]
fn a_store_without_its_journal_is_refused_and_so_is_a_journal_without_its_store() {
    let (_folder, path) = place();
    made(&path);
    let elsewhere = path.with_extension("elsewhere");
    for file in [journal_of(&path), path.clone()] {
        fs::rename(&file, &elsewhere).expect("it is there");
        assert_eq!(refusal(&path), StoreErrorKind::Refused, "without {}", file.display());
        fs::rename(&elsewhere, &file).expect("it is there");
    }
    fs::copy(journal_of(&path), &elsewhere).expect("a copy");
    fs::write(journal_of(&path), b"").expect("it is ours");
    assert_eq!(refusal(&path), StoreErrorKind::Refused, "an empty journal");
    fs::copy(&elsewhere, journal_of(&path)).expect("a copy");
    assert_eq!(bodies(&RedbStore::open(&path).expect("it is whole"), CHANNEL), [b"1".to_vec()]);
}

#[test]
fn a_journal_of_another_store_is_refused() {
    let (_folder, path) = place();
    made(&path);
    let other = path.with_extension("other.redb");
    made(&other);
    fs::copy(other.with_extension("redb.journal"), journal_of(&path)).expect("a copy");
    assert_eq!(refusal(&path), StoreErrorKind::Refused);
}

/// Each file with a copy of the other one from before two checkpoints.
#[test]
fn a_journal_and_a_database_of_different_times_are_refused() {
    let disks = Disks::default();
    let mut store = disks.opened();
    append(&mut store, CHANNEL, b"1");
    sync(&mut store);
    let before = disks.copy();
    for body in [b"2", b"3"] {
        checkpoint(&mut store);
        append(&mut store, CHANNEL, body);
        sync(&mut store);
    }
    let after = disks.copy();
    for (database, journal) in [(&before, &after), (&after, &before)] {
        let mixed = Disks { database: database.copy().database, journal: journal.copy().journal };
        let error = mixed.open().expect_err("they do not belong together");
        assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
    }
    let fresh = Disks::default();
    drop(fresh.opened());
    let owned = |bytes: Vec<u8>| Disks { journal: Disk::holding(bytes), ..after.copy() };
    assert!(owned(after.journal.bytes()).open().is_ok());
    let bare = after.journal.bytes()[..512].to_vec();
    assert_eq!(owned(bare).open().expect_err("laid out anew").kind, StoreErrorKind::Refused);
    assert_eq!(
        owned(fresh.journal.bytes()).open().expect_err("another's").kind,
        StoreErrorKind::Refused
    );
}

#[test]
fn a_full_journal_goes_into_the_database_and_begins_anew() {
    let disks = Disks::default();
    let mut store = disks.opened();
    store.set_journal_size_max(4_000);
    let start = disks.database.counts().syncs;
    for number in 0..100_u8 {
        append(&mut store, CHANNEL, &[number; 300]);
        sync(&mut store);
    }
    assert!(disks.journal.bytes().len() <= 4_000);
    let checkpoints = disks.database.counts().syncs - start;
    assert!((8..15).contains(&checkpoints), "{checkpoints}");

    // What is larger than a journal needs none.
    let journal = disks.journal.counts();
    append(&mut store, CHANNEL, &[0xBB; 5_000]);
    sync(&mut store);
    assert_eq!(disks.journal.counts(), journal);
    assert_eq!(disks.database.counts().syncs, start + checkpoints + 1);

    let left = disks.crash(|| false).opened();
    assert_eq!(bodies(&left, CHANNEL), bodies(&store, CHANNEL));
    assert_eq!(bodies(&left, CHANNEL).len(), 101);
}

#[test]
fn what_the_journal_held_is_told_and_a_checkpoint_leaves_nothing() {
    let disks = Disks::default();
    let mut store = disks.opened();
    assert_eq!(store.recovered(), Recovered::default());
    let batch = [
        Frame::Record { stream: CHANNEL, body: b"1" },
        Frame::Card { stream: CHANNEL, body: b"card" },
    ];
    let at = store.append(&batch).expect("it works");
    store.put(CHANNEL, at, b"one").expect("it works");
    store.prune(CHANNEL, at).expect("it works");
    sync(&mut store);
    append(&mut store, OTHER, b"torn");
    let syncs = disks.journal.counts().syncs;
    disks.journal.fail(Fault::Sync(syncs + 1, std::io::ErrorKind::Other));
    store.sync().expect_err("the disk is gone");

    let found = disks.crash(|| false).opened().recovered();
    assert_eq!((found.calls, found.cut), (4, None));
    let whole = disks.crash(|| true);
    assert_eq!(whole.copy().opened().recovered().calls, 5);
    let mut torn = whole.journal.bytes();
    let row = torn.windows(4).rposition(|bytes| bytes == b"torn").expect("it was written");
    torn[row] ^= 1;
    let torn = Disks { journal: Disk::holding(torn), ..whole };
    let mut store = torn.opened();
    let found = store.recovered();
    assert_eq!((found.calls, found.cut.expect("a torn tail").behind), (4, at.position));
    assert!(bodies(&store, OTHER).is_empty());
    append(&mut store, OTHER, b"again");
    checkpoint(&mut store);
    drop(store);
    let store = torn.opened();
    assert_eq!(store.recovered(), Recovered::default());
    assert_eq!(bodies(&store, OTHER), [b"again".to_vec()]);
}

/// A tail that was cut and lies behind what is written next is never read again.
#[test]
fn what_was_cut_stays_cut() {
    let disks = Disks::default();
    let mut store = disks.opened();
    let write = |store: &mut RedbStore, body: u8| {
        append(store, CHANNEL, &[body; 100]);
        drop(store.begin_sync().expect("it works"));
    };
    (0..3).for_each(|body| write(&mut store, body));
    // The first of the three is lost, the others reached the disk.
    let mut number = 0;
    let left = Disks {
        database: disks.database.crash(|| true),
        journal: disks.journal.crash(|| {
            number += 1;
            number > 1
        }),
    };
    let mut store = left.opened();
    assert!(store.recovered().cut.is_some() && bodies(&store, CHANNEL).is_empty());
    write(&mut store, 9);
    let store = left.crash(|| true).opened();
    assert_eq!(bodies(&store, CHANNEL), [vec![9; 100]]);
}

#[test]
fn jobs_share_a_sync_run_in_any_order_and_prove_what_was_written_before_them() {
    let disks = Disks::default();
    let mut store = disks.opened();
    let start = disks.counts().syncs;
    let first = append(&mut store, CHANNEL, b"1");
    let one = store.begin_sync().expect("it works");
    let second = append(&mut store, Stream::Payments, b"2");
    let two = store.begin_sync().expect("it works");
    append(&mut store, CHANNEL, b"3");
    assert!(!one.is_done() && !two.is_done());
    assert_eq!(disks.counts().syncs, start, "a sync that is begun does not wait for the disk");

    let proofs: Vec<_> = std::thread::scope(|scope| {
        let threads = [two, one].map(|job| scope.spawn(move || job.run()));
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic").expect("it works"))
            .collect()
    });
    assert_eq!([proofs[0].upto(), proofs[1].upto()], [second, first]);
    assert_eq!(disks.counts().syncs, start + 1, "one sync serves both");
    let left = disks.crash(|| false).opened();
    assert_eq!(bodies(&left, CHANNEL), [b"1".to_vec()]);
    assert_eq!(bodies(&left, Stream::Payments), [b"2".to_vec()]);
}

/// A job of an earlier generation proves what the checkpoint made durable, and nothing of the next.
#[test]
fn a_job_from_before_a_checkpoint_does_no_harm() {
    let disks = Disks::default();
    let mut store = disks.opened();
    let first = append(&mut store, CHANNEL, &[1; 900]);
    let job = store.begin_sync().expect("it works");
    checkpoint(&mut store);
    append(&mut store, CHANNEL, b"2");
    drop(store.begin_sync().expect("it works"));
    let syncs = disks.counts().syncs;
    assert_eq!(job.run().expect("it works").upto(), first);
    assert_eq!(disks.counts().syncs, syncs, "there was nothing to do");
    // Nothing says of the second record that it had been durable.
    append(&mut store, CHANNEL, b"3");
    drop(store.begin_sync().expect("it works"));
    let mut number = 0;
    let journal = disks.journal.crash(|| {
        number += 1;
        number > 2
    });
    let left = Disks { journal, database: disks.database.crash(|| true) }.opened();
    assert_eq!(bodies(&left, CHANNEL), [vec![1; 900]]);
}

#[test]
fn a_disk_that_cannot_be_synced_by_a_job_poisons_the_store_and_every_other_job() {
    let disks = Disks::default();
    let mut store = disks.opened();
    append(&mut store, CHANNEL, b"1");
    let one = store.begin_sync().expect("it works");
    let two = store.begin_sync().expect("it works");
    // The system tells of a failed write once; the next sync of the same file would succeed.
    disks.journal.fail(Fault::Sync(disks.journal.counts().syncs + 1, std::io::ErrorKind::Other));
    assert_eq!(two.run().expect_err("the disk fails").kind, StoreErrorKind::Poisoned);
    disks.journal.heal();
    assert_eq!(one.run().expect_err("nobody knows").kind, StoreErrorKind::Poisoned);
    assert_eq!(store.append(&[]).expect_err("nobody knows").kind, StoreErrorKind::Poisoned);
}

/// The store that the first version of the format left: 402 records, pruned ones and snapshots.
#[test]
fn a_store_without_a_journal_is_read_and_gets_one() {
    let (_folder, path) = place();
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1/store.redb");
    fs::copy(old, &path).expect("a copy");
    let mut like_it = Disks::default().opened();
    fill(&mut like_it);
    let expected = contents(&mut like_it).expect("it reads");

    let mut store = RedbStore::open(&path).expect("it opens");
    let verified = store.verify(&mut |error| panic!("{error}")).expect("it reads");
    assert_eq!((verified.streams, verified.records, verified.snapshots), (4, 402, 2));
    let found = contents(&mut store).expect("it reads");
    let of = |contents: &crate::scenario::Contents| -> Vec<Vec<(u64, Vec<u8>)>> {
        let bare = |(lsn, body): &(lastword_ports::Lsn, Vec<u8>)| (lsn.position, body.clone());
        contents.records.iter().map(|stream| stream.iter().map(bare).collect()).collect()
    };
    assert_eq!(of(&found), of(&expected));
    assert_eq!(found.cards, expected.cards);
    let last = append(&mut store, CHANNEL, b"new");
    sync(&mut store);
    drop(store);
    let store = RedbStore::open(&path).expect("it opens");
    assert_eq!(bodies(&store, CHANNEL).len(), 79);
    assert_eq!((store.log_id(), store.recovered().calls), (last.log, 1));
    drop(store);

    // An old database under a journal that holds something is a step back.
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1/store.redb");
    fs::copy(old, &path).expect("a copy");
    assert_eq!(refusal(&path), StoreErrorKind::Refused);
}

/// What is finished lies in many streams: each is its own, in the journal and behind it.
#[test]
fn the_parts_of_what_is_finished_are_streams_of_their_own() {
    let (_folder, path) = place();
    let parts = [0, 1, 0x0100, 0x0101, u16::MAX].map(Stream::Finished);
    let mut store = RedbStore::open(&path).expect("it opens");
    for round in 0..3_u8 {
        for (number, stream) in (0..).zip(parts) {
            let batch = [
                Frame::Record { stream, body: &[round, number] },
                Frame::Record { stream, body: b"once more" },
                Frame::Record { stream: Stream::Payments, body: b"dropped" },
            ];
            store.append(&batch).expect("it works");
        }
        if round == 1 {
            checkpoint(&mut store);
        }
    }
    let upto = append(&mut store, parts[2], b"last");
    store.prune(parts[1], upto).expect("it works");
    sync(&mut store);
    drop(store);
    for _ in 0..2 {
        let mut store = RedbStore::open(&path).expect("it opens");
        store.verify(&mut |error| panic!("{error}")).expect("it reads");
        for (number, stream) in (0..).zip(parts) {
            let mut expected: Vec<Vec<u8>> =
                (0..3).flat_map(|round| [vec![round, number], b"once more".to_vec()]).collect();
            if number == 1 {
                expected.clear();
            }
            if number == 2 {
                expected.push(b"last".to_vec());
            }
            assert_eq!(bodies(&store, stream), expected, "{stream:?}");
        }
        checkpoint(&mut store);
    }
}
