//! Damaged bytes are refused with their place or do no harm; nothing else is ever read.

use std::fmt;

use lastword_ports::{SnapshotStore, StoreError, StoreErrorKind, UpdateLog};
use lastword_store::RedbStore;

use crate::disk::Disk;
use crate::scenario::{CHANNEL, Contents, Dice, OTHER, STREAMS, append, cards, contents, fill};
use crate::scenario::{replay, sync};

/// What became of the flipped bits.
#[derive(Debug, Default)]
struct Tally {
    flipped: u32,
    refused_at_opening: u32,
    refused_in_reading: u32,
    unharmed: u32,
}

#[test]
fn any_flipped_bit_is_refused_with_its_place_or_does_no_harm() {
    let (bytes, expected) = filled();
    let mut dice = Dice(0xDA3A);
    let mut tally = Tally::default();
    let is_used = |(_, page): &(usize, &[u8])| page.iter().any(|byte| *byte != 0);
    for (number, page) in bytes.chunks(4096).enumerate().filter(is_used) {
        let mut offset = usize::try_from(dice.draw() % 23).expect("small");
        while offset < page.len() {
            flip(&bytes, number * 4096 + offset, dice.draw() % 8, &expected, &mut tally);
            offset += 1 + usize::try_from(dice.draw() % 150).expect("small");
        }
    }
    assert!(tally.flipped > 1000, "{tally:?}");
    assert!(tally.refused_at_opening > 0 && tally.refused_in_reading > 100, "{tally:?}");
}

#[test]
fn every_byte_of_a_record_is_covered() {
    let mut store_bytes = None;
    let marker = [0x9D; 64];
    let disk = Disk::default();
    {
        let mut store = RedbStore::open_backend(disk.clone()).expect("it opens");
        append(&mut store, OTHER, b"sound");
        append(&mut store, CHANNEL, &marker);
        sync(&mut store);
        store_bytes.replace(contents(&mut store).expect("it reads"));
    }
    let bytes = disk.bytes();
    let places: Vec<usize> = (0..bytes.len() - marker.len())
        .filter(|at| bytes[*at..at + marker.len()] == marker)
        .collect();
    assert!(!places.is_empty());

    for byte in 0..marker.len() {
        let bit = byte * 8 + byte % 8;
        let mut damaged = bytes.clone();
        for at in &places {
            damaged[at + bit / 8] ^= 1 << (bit % 8);
        }
        let store = RedbStore::open_backend(Disk::holding(damaged)).expect("it opens");
        let (visited, result) = replay(&store, CHANNEL);
        let error = result.expect_err("the record is damaged");
        assert_eq!((error.kind, visited.len()), (StoreErrorKind::Corrupt, 0));
        assert_eq!((error.place.stream, error.place.position), (Some(CHANNEL), Some(2)));
        replay(&store, OTHER).1.expect("the other stream is sound");
    }
}

#[test]
fn a_file_cut_short_is_refused_and_never_panics() {
    let (bytes, expected) = filled();
    for pages in 1..bytes.len() / 4096 {
        let mut cut = bytes.clone();
        cut.truncate(pages * 4096 + pages % 7);
        match RedbStore::open_backend(Disk::holding(cut)) {
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}"),
            Ok(store) => judge(store, &expected, &mut Tally::default(), &pages),
        }
    }
}

/// Pages of two sound files, mixed: each file's seal is its own.
#[test]
fn a_page_of_another_store_is_not_taken_for_ours() {
    let (ours, expected) = filled();
    let (theirs, _) = filled();
    assert_eq!(ours.len(), theirs.len());
    let mut tally = Tally::default();
    for page in 1..ours.len() / 4096 {
        let range = page * 4096..(page + 1) * 4096;
        if ours[range.clone()] != theirs[range.clone()] {
            let mut mixed = ours.clone();
            mixed[range.clone()].copy_from_slice(&theirs[range]);
            match RedbStore::open_backend(Disk::holding(mixed)) {
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}"),
                Ok(store) => judge(store, &expected, &mut tally, &page),
            }
        }
    }
    assert!(tally.refused_in_reading > 10, "{tally:?}");
}

/// Returns the bytes of a store that was closed in order, and what is in them.
fn filled() -> (Vec<u8>, Contents) {
    let disk = Disk::default();
    let mut store = RedbStore::open_backend(disk.clone()).expect("it opens");
    fill(&mut store);
    let contents = contents(&mut store).expect("it reads");
    drop(store);
    (disk.bytes(), contents)
}

fn flip(bytes: &[u8], offset: usize, bit: u64, expected: &Contents, tally: &mut Tally) {
    let mut damaged = bytes.to_vec();
    damaged[offset] ^= 1 << bit;
    tally.flipped += 1;
    match RedbStore::open_backend(Disk::holding(damaged)) {
        Err(error) => {
            let kinds = [StoreErrorKind::Corrupt, StoreErrorKind::Refused];
            assert!(kinds.contains(&error.kind), "offset {offset}, bit {bit}: {error}");
            tally.refused_at_opening += 1;
        }
        Ok(store) => judge(store, expected, tally, &format_args!("offset {offset}, bit {bit}")),
    }
}

/// Reads everything: each stream is whole, or refused behind a part that is sound.
fn judge(store: RedbStore, expected: &Contents, tally: &mut Tally, at: &dyn fmt::Debug) {
    let mut is_harmed = false;
    let mut refusal = |result: Result<(), StoreError>| {
        let Err(error) = result else { return false };
        assert_eq!(error.kind, StoreErrorKind::Corrupt, "{at:?}: {error}");
        is_harmed = true;
        true
    };
    let mut store = store;
    assert_eq!(store.log_id(), expected.log, "{at:?}");
    for (index, stream) in STREAMS.into_iter().enumerate() {
        let (records, result) = replay(&store, stream);
        let whole = &expected.records[index];
        if let Err(error) = &result {
            assert_eq!(error.place.stream, Some(stream), "{at:?}: {error}");
        }
        if refusal(result) {
            assert!(whole.starts_with(&records), "{at:?}: a part of {stream:?} is wrong");
        } else {
            assert!(*whole == records, "{at:?}: {stream:?} is not whole");
        }
        match store.latest(stream) {
            Ok(snapshot) => assert!(snapshot == expected.snapshots[index], "{at:?}: a snapshot"),
            Err(error) => assert!(refusal(Err(error))),
        }
    }
    let (visited, result) = cards(&store);
    if refusal(result) {
        assert!(visited.iter().all(|card| expected.cards.contains(card)), "{at:?}: a card");
    } else {
        assert_eq!(visited, expected.cards, "{at:?}");
    }
    if is_harmed {
        tally.refused_in_reading += 1;
    } else {
        tally.unharmed += 1;
        store.append(&[]).expect("a sound store takes appends");
    }
}

#[test]
fn verify_finds_every_damaged_record_and_names_its_place() {
    let disk = Disk::default();
    let mut store = RedbStore::open_backend(disk.clone()).expect("it opens");
    let bodies: [&[u8]; 5] = [&[0xA1; 90], &[0xA2; 90], &[0xA3; 90], &[0xA4; 90], &[0xA5; 90]];
    for body in bodies {
        append(&mut store, CHANNEL, body);
        append(&mut store, OTHER, &[0xEE; 20]);
    }
    let at = sync(&mut store);
    store.put(OTHER, at, &[0x5A; 300]).expect("it works");
    sync(&mut store);
    drop(store);
    let sound = RedbStore::open_backend(Disk::holding(disk.bytes())).expect("it opens");
    let verified = sound.verify(&mut |error| panic!("{error}")).expect("it reads");
    assert_eq!((verified.streams, verified.records, verified.snapshots), (2, 10, 1));

    let mut bytes = disk.bytes();
    for body in [bodies[1], bodies[3], &[0x5A; 300]] {
        let places: Vec<usize> = (0..bytes.len() - body.len())
            .filter(|at| &bytes[*at..at + body.len()] == body)
            .collect();
        assert!(!places.is_empty());
        for at in places {
            bytes[at] ^= 1;
        }
    }
    let damaged = RedbStore::open_backend(Disk::holding(bytes)).expect("it opens");
    let mut places = Vec::new();
    let verified = damaged
        .verify(&mut |error| places.push((error.place.stream, error.place.position)))
        .expect("it reads");
    assert_eq!(
        places,
        [(Some(CHANNEL), Some(3)), (Some(CHANNEL), Some(7)), (Some(OTHER), Some(10))]
    );
    assert_eq!((verified.records, verified.snapshots, verified.damaged), (8, 0, 3));
}
