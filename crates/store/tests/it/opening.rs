//! Opening: what a path may be, who may have it, and what stays the same.

use std::fs;
use std::path::PathBuf;

use lastword_ports::{Frame, LogId, Lsn, SnapshotStore, StoreErrorKind, Stream, UpdateLog};
use lastword_store::RedbStore;
use tempfile::TempDir;

use crate::scenario::{CHANNEL, OTHER, append, bodies, sync};

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("node.redb");
    (folder, path)
}

#[test]
fn reopening_keeps_the_identity_and_goes_on_counting() {
    let (_folder, path) = place();
    let mut store = RedbStore::open(&path).expect("it opens");
    let log = store.log_id();
    let first = append(&mut store, CHANNEL, b"1");
    sync(&mut store);
    append(&mut store, CHANNEL, b"lost");
    drop(store);

    let mut store = RedbStore::open(&path).expect("it opens");
    assert_eq!(store.log_id(), log);
    let second = append(&mut store, CHANNEL, b"2");
    assert_eq!((second.log, second.position), (log, first.position + 1));
    assert_eq!(bodies(&store, CHANNEL), [b"1".to_vec(), b"2".to_vec()]);
}

#[test]
fn two_stores_have_two_identities() {
    let (_folder, path) = place();
    let one = RedbStore::open(&path).expect("it opens").log_id();
    let other = RedbStore::open(&path.with_extension("other")).expect("it opens").log_id();
    assert_ne!(one, other);
    assert_ne!(one, LogId([0; 16]));
}

#[test]
fn a_second_opening_is_fenced_until_the_first_ends() {
    let (_folder, path) = place();
    let store = RedbStore::open(&path).expect("it opens");
    let error = RedbStore::open(&path).expect_err("it is open");
    assert_eq!(error.kind, StoreErrorKind::Fenced, "{error}");

    drop(store);
    RedbStore::open(&path).expect("it is free");
}

#[test]
fn a_path_that_can_be_no_file_is_refused() {
    let (folder, path) = place();
    for path in [folder.path().to_path_buf(), path.join("below"), folder.path().join("no/where")] {
        let error = RedbStore::open(&path).expect_err("it is no file");
        assert_eq!(error.kind, StoreErrorKind::Refused, "{}: {error}", path.display());
    }
}

#[test]
fn a_file_that_may_not_be_written_is_refused() {
    let (_folder, path) = place();
    drop(RedbStore::open(&path).expect("it opens"));
    let mut permissions = fs::metadata(&path).expect("it is there").permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&path, permissions).expect("it is ours");
    if fs::OpenOptions::new().write(true).open(&path).is_ok() {
        eprintln!(
            "skipped: a_file_that_may_not_be_written_is_refused: this user may write any file"
        );
        return;
    }
    let error = RedbStore::open(&path).expect_err("it is read-only");
    assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
}

#[test]
fn a_file_that_is_no_store_is_refused_and_left_as_it_is() {
    let (_folder, path) = place();
    for bytes in [b"dear diary".to_vec(), vec![0; 4096], vec![0xFF; 100_000], b"redb".repeat(999)] {
        fs::write(&path, &bytes).expect("a file");
        let error = RedbStore::open(&path).expect_err("it is no store");
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}");
        assert_eq!(fs::read(&path).expect("it is there"), bytes);
    }
}

#[test]
fn a_creation_that_was_interrupted_is_done_again() {
    let (folder, path) = place();
    let draft = folder.path().join("node.redb.new");
    fs::write(&draft, vec![0; 5000]).expect("a file");

    let mut store = RedbStore::open(&path).expect("it opens");
    assert_eq!(append(&mut store, CHANNEL, b"1").position, 1);
    assert!(path.exists() && !draft.exists());
}

#[test]
fn an_empty_file_becomes_a_store() {
    let (_folder, path) = place();
    fs::write(&path, b"").expect("a file");
    let mut store = RedbStore::open(&path).expect("it opens");
    assert_eq!(append(&mut store, CHANNEL, b"1").position, 1);
}

#[test]
fn a_place_of_another_log_or_behind_the_end_is_refused_and_changes_nothing() {
    let (_folder, path) = place();
    let mut store = RedbStore::open(&path).expect("it opens");
    let lsn = append(&mut store, CHANNEL, b"1");
    sync(&mut store);
    let other = Lsn { log: LogId([9; 16]), ..lsn };
    let behind = Lsn { position: lsn.position + 1, ..lsn };
    for wrong in [other, behind] {
        let go_on = &mut |_: Lsn, _: &[u8]| std::ops::ControlFlow::Continue(());
        let kinds = [
            store.prune(CHANNEL, wrong),
            store.put(CHANNEL, wrong, b"state"),
            store.replay(CHANNEL, Some(wrong), go_on),
        ]
        .map(|result| result.expect_err("it is not ours").kind);
        assert_eq!(kinds, [StoreErrorKind::Refused; 3]);
    }
    assert_eq!(bodies(&store, CHANNEL), [b"1".to_vec()]);
    assert_eq!(store.latest(CHANNEL).expect("it reads"), None);
}

#[test]
fn pruned_records_leave_the_file_and_room_for_others() {
    let (_folder, path) = place();
    let mut store = RedbStore::open(&path).expect("it opens");
    append(&mut store, OTHER, b"stays");
    let body = vec![0xAB; 20_000];
    for _ in 0..40 {
        let batch = [Frame::Record { stream: CHANNEL, body: &body }; 10];
        let last = store.append(&batch).expect("it works");
        sync(&mut store);
        store.put(CHANNEL, last, b"all of it").expect("it works");
        store.prune(CHANNEL, last).expect("it works");
        assert!(bodies(&store, CHANNEL).is_empty());
    }
    sync(&mut store);
    drop(store);

    let size = fs::metadata(&path).expect("it is there").len();
    assert!(size < 4_000_000, "8 MB passed through and {size} bytes are held");
    let store = RedbStore::open(&path).expect("it opens");
    assert!(bodies(&store, CHANNEL).is_empty());
    assert_eq!(bodies(&store, OTHER), [b"stays".to_vec()]);
    assert!(store.latest(CHANNEL).expect("it reads").is_some());
    assert_eq!(bodies(&store, Stream::Chain), Vec::<Vec<u8>>::new());
}
