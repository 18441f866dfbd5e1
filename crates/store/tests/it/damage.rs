//! Damaged bytes are refused with their place or do no harm; nothing else is ever read.

use std::fmt;

use lastword_ports::{Frame, SnapshotStore, StoreError, StoreErrorKind, UpdateLog};
use lastword_store::RedbStore;

use crate::disk::{Disk, Disks};
use crate::scenario::{CHANNEL, Contents, Dice, OTHER, STREAMS, append, bodies, cards, checkpoint};
use crate::scenario::{contents, fill, replay, sync};

/// What became of the flipped bits.
#[derive(Debug, Default)]
struct Tally {
    flipped: u32,
    refused_at_opening: u32,
    refused_in_reading: u32,
    unharmed: u32,
}

#[test]
fn any_flipped_bit_of_the_database_is_refused_with_its_place_or_does_no_harm() {
    let (disks, expected) = filled();
    let bytes = disks.database.bytes();
    let mut dice = Dice(0xDA3A);
    let mut tally = Tally::default();
    let is_used = |(_, page): &(usize, &[u8])| page.iter().any(|byte| *byte != 0);
    for (number, page) in bytes.chunks(4096).enumerate().filter(is_used) {
        let mut offset = usize::try_from(dice.draw() % 23).expect("small");
        while offset < page.len() {
            let at = (number * 4096 + offset, dice.draw() % 8);
            let damaged = Disks { database: flipped(&bytes, at), ..disks.copy() };
            flip(&damaged, at, &expected, &mut tally);
            offset += 1 + usize::try_from(dice.draw() % 150).expect("small");
        }
    }
    assert!(tally.flipped > 1000, "{tally:?}");
    assert!(tally.refused_at_opening > 0 && tally.refused_in_reading > 100, "{tally:?}");
}

/// Damage to the last batch alone looks like a tail that a crash tore, and is said.
#[test]
fn any_flipped_bit_of_the_journal_is_refused_with_its_place_or_said_or_does_no_harm() {
    let disks = Disks::default();
    let mut store = disks.opened();
    fill(&mut store);
    let before = contents(&mut store).expect("it reads");
    append(&mut store, OTHER, b"the last one");
    sync(&mut store);
    let expected = contents(&mut store).expect("it reads");
    drop(store);

    let bytes = disks.journal.bytes();
    let mut dice = Dice(0xDA3B);
    let (mut tally, mut cuts) = (Tally::default(), 0);
    let mut offset = 0;
    while offset < bytes.len() {
        let at = (offset, dice.draw() % 8);
        let damaged = Disks { journal: flipped(&bytes, at), ..disks.copy() };
        offset += if bytes.len() - offset < 150 { 1 } else { 1 + small(&mut dice, 160) };
        let cut = damaged.copy().open().ok().and_then(|store| store.recovered().cut);
        let Some(cut) = cut else {
            flip(&damaged, at, &expected, &mut tally);
            continue;
        };
        cuts += 1;
        let mut left = damaged.opened();
        assert_eq!(contents(&mut left).expect("it reads"), before, "{at:?}");
        let last_record = before.records[2].last().expect("a payment").0.position;
        assert!(cut.behind >= last_record, "{at:?}: {cut:?}");
    }
    assert!(tally.refused_at_opening > 10 && tally.refused_in_reading > 300, "{tally:?}");
    assert!(cuts > 50, "{cuts}");
}

/// In the database and in the journal.
#[test]
fn every_byte_of_a_record_is_covered() {
    for is_in_database in [false, true] {
        let marker = [0x9D; 64];
        let disks = Disks::default();
        let mut store = disks.opened();
        append(&mut store, OTHER, b"sound");
        append(&mut store, CHANNEL, &marker);
        sync(&mut store);
        if is_in_database {
            checkpoint(&mut store);
        }
        // What shows that the record had been durable.
        append(&mut store, OTHER, b"sound");
        sync(&mut store);
        drop(store);
        for byte in 0..marker.len() {
            let bit = byte * 8 + byte % 8;
            let damaged = Disks {
                database: damaged(&disks.database, &marker, bit),
                journal: damaged(&disks.journal, &marker, bit),
            };
            let store = damaged.opened();
            let (visited, result) = replay(&store, CHANNEL);
            let error = result.expect_err("the record is damaged");
            assert_eq!((error.kind, visited.len()), (StoreErrorKind::Corrupt, 0));
            assert_eq!((error.place.stream, error.place.position), (Some(CHANNEL), Some(2)));
            assert_eq!(bodies(&store, OTHER).len(), 2);
        }
    }
}

/// Returns a copy of a disk with one bit of every occurrence of some bytes flipped.
fn damaged(disk: &Disk, marker: &[u8], bit: usize) -> Disk {
    let mut bytes = disk.bytes();
    let places: Vec<usize> =
        (0..bytes.len() - marker.len()).filter(|at| bytes[*at..].starts_with(marker)).collect();
    for at in places {
        bytes[at + bit / 8] ^= 1 << (bit % 8);
    }
    Disk::holding(bytes)
}

#[test]
fn a_file_cut_short_is_refused_and_never_panics() {
    let (disks, expected) = filled();
    let bytes = disks.database.bytes();
    for pages in 1..bytes.len() / 4096 {
        let mut cut = bytes.clone();
        cut.truncate(pages * 4096 + pages % 7);
        match (Disks { database: Disk::holding(cut), ..disks.copy() }).open() {
            Err(error) => assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}"),
            Ok(store) => judge(store, &expected, &mut Tally::default(), &pages),
        }
    }
}

/// Pages of two sound files, mixed: each file's seal is its own.
#[test]
fn a_page_of_another_store_is_not_taken_for_ours() {
    let (disks, expected) = filled();
    let (ours, theirs) = (disks.database.bytes(), filled().0.database.bytes());
    assert_eq!(ours.len(), theirs.len());
    let mut tally = Tally::default();
    for page in 1..ours.len() / 4096 {
        let range = page * 4096..(page + 1) * 4096;
        if ours[range.clone()] != theirs[range.clone()] {
            let mut mixed = ours.clone();
            mixed[range.clone()].copy_from_slice(&theirs[range]);
            match (Disks { database: Disk::holding(mixed), ..disks.copy() }).open() {
                Err(error) => assert_eq!(error.kind, StoreErrorKind::Corrupt, "{error}"),
                Ok(store) => judge(store, &expected, &mut tally, &page),
            }
        }
    }
    assert!(tally.refused_in_reading > 10, "{tally:?}");
}

/// Returns a store that was closed in order, all of it in the database, and what is in it.
fn filled() -> (Disks, Contents) {
    let disks = Disks::default();
    let mut store = disks.opened();
    fill(&mut store);
    checkpoint(&mut store);
    let contents = contents(&mut store).expect("it reads");
    drop(store);
    (disks, contents)
}

/// Returns a disk with these bytes, of which one bit is flipped.
fn flipped(bytes: &[u8], (offset, bit): (usize, u64)) -> Disk {
    let mut damaged = bytes.to_vec();
    damaged[offset] ^= 1 << bit;
    Disk::holding(damaged)
}

fn small(dice: &mut Dice, below: u64) -> usize {
    usize::try_from(dice.draw() % below).expect("small")
}

fn flip(damaged: &Disks, at: (usize, u64), expected: &Contents, tally: &mut Tally) {
    tally.flipped += 1;
    match damaged.open() {
        Err(error) => {
            let kinds = [StoreErrorKind::Corrupt, StoreErrorKind::Refused];
            assert!(kinds.contains(&error.kind), "offset and bit {at:?}: {error}");
            tally.refused_at_opening += 1;
        }
        Ok(store) => judge(store, expected, tally, &at),
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

/// In the database and in the journal.
#[test]
fn verify_finds_every_damaged_record_and_names_its_place() {
    for is_in_database in [false, true] {
        let disks = Disks::default();
        let mut store = disks.opened();
        let marks: [&[u8]; 5] = [&[0xA1; 90], &[0xA2; 90], &[0xA3; 90], &[0xA4; 90], &[0xA5; 90]];
        for body in marks {
            append(&mut store, CHANNEL, body);
            append(&mut store, OTHER, &[0xEE; 20]);
        }
        let card = Frame::Card { stream: OTHER, body: &[0xCA; 60] };
        let at = store.append(&[card]).expect("it works");
        store.put(OTHER, at, &[0x5A; 300]).expect("it works");
        sync(&mut store);
        // What shows that the others had been durable.
        append(&mut store, CHANNEL, b"the last one");
        sync(&mut store);
        if is_in_database {
            checkpoint(&mut store);
        }
        drop(store);
        let mut sound = disks.copy().opened();
        let verified = sound.verify(&mut |error| panic!("{error}")).expect("it reads");
        assert_eq!((verified.streams, verified.records, verified.snapshots), (2, 11, 1));

        let mut bad = disks.copy();
        for mark in [marks[1], marks[3], &[0x5A; 300]] {
            bad.database = damaged(&bad.database, mark, 77);
            bad.journal = damaged(&bad.journal, mark, 77);
        }
        // The database keeps a card together with the head of its stream.
        if !is_in_database {
            bad.journal = damaged(&bad.journal, &[0xCA; 60], 77);
        }
        let mut bad = bad.opened();
        let mut places = Vec::new();
        let verified = bad
            .verify(&mut |error| places.push((error.place.stream, error.place.position)))
            .expect("it reads");
        let mut expected =
            vec![(Some(CHANNEL), Some(3)), (Some(CHANNEL), Some(7)), (Some(OTHER), Some(11))];
        if !is_in_database {
            expected.insert(0, (Some(OTHER), Some(11)));
        }
        assert_eq!(places, expected);
        let damaged = u64::try_from(places.len()).expect("few");
        assert_eq!((verified.records, verified.snapshots, verified.damaged), (9, 0, damaged));
        // A card that was damaged in the journal takes nothing else of its stream with it.
        assert_eq!(bodies(&bad, OTHER).len(), 5);
        assert!(cards(&bad).1.is_err() != is_in_database);
    }
}
