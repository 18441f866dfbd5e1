//! Rows that are gone, moved, stale or of another version, each whole in itself.

use lastword_ports::{SnapshotStore, StoreError, StoreErrorKind, Stream, UpdateLog};
use lastword_store::RedbStore;
use redb::{Database, ReadableTable, TableDefinition, WriteTransaction};

use crate::disk::Disks;
use crate::scenario::{CHANNEL, OTHER, append, bodies, cards, checkpoint, replay, sync};

const META: TableDefinition<'_, u8, &[u8]> = TableDefinition::new("meta");
const RECORDS: TableDefinition<'_, &[u8; 41], &[u8]> = TableDefinition::new("records");
const HEADS: TableDefinition<'_, &[u8; 33], &[u8]> = TableDefinition::new("heads");
const SNAPSHOTS: TableDefinition<'_, &[u8; 33], &[u8]> = TableDefinition::new("snapshots");
const PIECES: TableDefinition<'_, &[u8; 37], &[u8]> = TableDefinition::new("pieces");

/// Makes a store with records 1 to 5 of one channel, 6 of another and a snapshot at 5, changes its
/// rows behind its back, and opens it again.
fn after(change: impl FnOnce(&WriteTransaction)) -> Result<RedbStore, StoreError> {
    let disks = Disks::default();
    let mut store = disks.opened();
    for number in 1..=5 {
        append(&mut store, CHANNEL, &[number]);
    }
    let at = sync(&mut store);
    store.put(CHANNEL, at, b"one to five").expect("it works");
    append(&mut store, OTHER, &[6]);
    checkpoint(&mut store);
    drop(store);

    let engine = Database::builder().create_with_backend(disks.database.clone()).expect("it opens");
    let transaction = engine.begin_write().expect("it works");
    change(&transaction);
    transaction.commit().expect("it works");
    drop(engine);
    disks.open()
}

fn stream_key(stream: Stream) -> [u8; 33] {
    let mut key = [0; 33];
    match stream {
        Stream::Channel(channel_id) => key[1..].copy_from_slice(&channel_id.0),
        Stream::Payments => key[0] = 1,
        Stream::Chain => key[0] = 2,
        Stream::Finished(part) => {
            key[0] = 3;
            key[1..3].copy_from_slice(&part.to_be_bytes());
        }
    }
    key
}

fn record_key(stream: Stream, position: u64) -> [u8; 41] {
    let mut key = [0; 41];
    key[..33].copy_from_slice(&stream_key(stream));
    key[33..].copy_from_slice(&position.to_be_bytes());
    key
}

fn remove_record(transaction: &WriteTransaction, position: u64) {
    let mut records = transaction.open_table(RECORDS).expect("it is there");
    let key = record_key(CHANNEL, position);
    assert!(records.remove(&key).expect("it works").is_some());
}

/// Checks that a replay of the channel visits `sound` records and stops at `position`.
fn stops_at(store: &RedbStore, sound: usize, position: u64) {
    let (visited, result) = replay(store, CHANNEL);
    let error = result.expect_err("it is damaged");
    assert_eq!((error.kind, visited.len()), (StoreErrorKind::Corrupt, sound), "{error}");
    assert_eq!((error.place.stream, error.place.position), (Some(CHANNEL), Some(position)));
    assert_eq!(bodies(store, OTHER), [vec![6]]);
}

#[test]
fn a_missing_record_is_named() {
    for (missing, sound) in [(1, 0), (3, 2), (5, 4)] {
        let store = after(|rows| remove_record(rows, missing)).expect("it opens");
        stops_at(&store, sound, missing);
    }
}

#[test]
fn a_record_in_the_place_of_another_is_named() {
    let store = after(|rows| {
        let mut records = rows.open_table(RECORDS).expect("it is there");
        let taken = records.get(&record_key(CHANNEL, 2)).expect("it works");
        let row = taken.expect("it is there").value().to_vec();
        records.insert(&record_key(CHANNEL, 3), row.as_slice()).expect("it works");
    });
    stops_at(&store.expect("it opens"), 2, 3);
}

#[test]
fn a_missing_head_is_noticed_by_the_cards_the_snapshot_and_the_replay() {
    let store = after(|rows| {
        let mut heads = rows.open_table(HEADS).expect("it is there");
        assert!(heads.remove(&stream_key(CHANNEL)).expect("it works").is_some());
    });
    let store = store.expect("it opens");
    let kinds = [
        cards(&store).1.expect_err("a head is missing").kind,
        store.latest(CHANNEL).expect_err("a head is missing").kind,
        replay(&store, CHANNEL).1.expect_err("a head is missing").kind,
    ];
    assert_eq!(kinds, [StoreErrorKind::Corrupt; 3]);
    assert_eq!(bodies(&store, OTHER), [vec![6]]);
}

#[test]
fn a_missing_snapshot_is_not_taken_for_none() {
    let store = after(|rows| {
        let mut snapshots = rows.open_table(SNAPSHOTS).expect("it is there");
        assert!(snapshots.remove(&stream_key(CHANNEL)).expect("it works").is_some());
    });
    let error = store.expect("it opens").latest(CHANNEL).expect_err("it is missing");
    assert_eq!((error.kind, error.place.position), (StoreErrorKind::Corrupt, Some(5)));
}

/// Bytes of a snapshot that lies in several rows.
fn long(count: usize) -> Vec<u8> {
    (0_u8..251).cycle().take(count).collect()
}

#[test]
fn a_long_snapshot_comes_back_whole_after_one_of_any_other_length() {
    let disks = Disks::default();
    for count in [1, 3_891, 300_000, 3_892, 7_900, 40_000, 20_000, 0, 100_000] {
        let mut store = disks.opened();
        append(&mut store, CHANNEL, &[1]);
        let at = sync(&mut store);
        store.put(CHANNEL, at, &long(count)).expect("it works");
        checkpoint(&mut store);
        drop(store);
        let found = disks.opened().latest(CHANNEL).expect("it works").expect("it is there");
        assert!(found.at == at && found.body == long(count), "{count}");
    }
}

#[test]
fn a_snapshot_without_one_of_its_pieces_is_damaged_and_so_is_one_with_another_s() {
    for change in [0_u32, 5, 25, 26] {
        let disks = Disks::default();
        let mut store = disks.opened();
        append(&mut store, CHANNEL, &[1]);
        let at = sync(&mut store);
        store.put(CHANNEL, at, &long(100_000)).expect("it works");
        checkpoint(&mut store);
        drop(store);
        let engine = Database::builder().create_with_backend(disks.database.clone());
        let engine = engine.expect("it opens");
        let transaction = engine.begin_write().expect("it works");
        {
            let mut pieces = transaction.open_table(PIECES).expect("it is there");
            let mut key = [0; 37];
            key[..33].copy_from_slice(&stream_key(CHANNEL));
            key[33..].copy_from_slice(&change.to_be_bytes());
            let was_there = pieces.remove(&key).expect("it works").is_some();
            if !was_there {
                pieces.insert(&key, b"behind the last".as_slice()).expect("it works");
            }
        }
        transaction.commit().expect("it works");
        drop(engine);
        let error = disks.opened().latest(CHANNEL).expect_err("it is not whole");
        assert_eq!((error.kind, error.place.stream), (StoreErrorKind::Corrupt, Some(CHANNEL)));
    }
}

#[test]
fn a_store_that_does_not_say_which_log_it_is_is_refused() {
    let error = after(|rows| {
        let mut meta = rows.open_table(META).expect("it is there");
        assert!(meta.remove(0).expect("it works").is_some());
    });
    assert_eq!(error.expect_err("it cannot be told").kind, StoreErrorKind::Corrupt);
}

#[test]
fn another_version_of_the_format_is_refused_and_not_called_damaged() {
    let version_3 = |rows: &WriteTransaction| {
        let mut meta = rows.open_table(META).expect("it is there");
        let mut row = meta.get(0).expect("it works").expect("it is there").value().to_vec();
        row[7] = 3;
        let sum = crc32c::crc32c_append(crc32c::crc32c(&[0, 0]), &row[4..]);
        row[..4].copy_from_slice(&sum.to_be_bytes());
        meta.insert(0, row.as_slice()).expect("it works");
    };
    let error = after(version_3).expect_err("we read versions 1 and 2");
    assert_eq!(error.kind, StoreErrorKind::Refused, "{error}");
}

#[test]
fn a_store_whose_rows_nobody_touched_is_sound() {
    let mut store = after(|_| {}).expect("it opens");
    assert_eq!(bodies(&store, CHANNEL), [[1], [2], [3], [4], [5]].map(|body| body.to_vec()));
    assert!(store.latest(CHANNEL).expect("it reads").is_some());
    cards(&store).1.expect("it reads");
    assert_eq!(append(&mut store, CHANNEL, b"7").position, 7);
    assert_eq!(store.append(&[]).expect("it works").position, 7);
}
