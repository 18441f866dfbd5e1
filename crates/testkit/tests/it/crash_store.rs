//! The crash images of a [`CrashStore`], and the failures of a [`FaultyStore`].

use std::ops::ControlFlow;

use lastword_ports::{Frame, LogId, SnapshotStore, StoreErrorKind, Stream, UpdateLog};
use lastword_testkit::conformance::{self, harness};
use lastword_testkit::{CrashStore, Fault, FaultyStore, StoreCall, Survivors, Writes};

const BOOK: Stream = Stream::Payments;

fn conforms(survivors: Survivors) {
    let mut logs = 0;
    let mut open = || {
        logs += 1;
        CrashStore::new(LogId([logs; 16]))
    };
    let reopen = |store: CrashStore| store.image(survivors);
    conformance::update_log(&mut harness(&mut open, reopen));
    conformance::snapshot_store(&mut harness(&mut open, reopen));
}

#[test]
fn crash_store_conforms_when_a_crash_leaves_only_what_was_synced() {
    conforms(Survivors::SyncedOnly);
}

#[test]
fn crash_store_conforms_when_a_crash_leaves_some_batches() {
    conforms(Survivors::Prefix(1));
    conforms(Survivors::Prefix(2));
}

#[test]
fn crash_store_conforms_when_a_crash_leaves_everything() {
    conforms(Survivors::Everything);
}

#[test]
fn an_image_is_a_prefix_of_whole_batches_and_its_own_store() {
    let mut store = CrashStore::new(LogId([1; 16]));
    append(&mut store, b"0");
    let _proof = store.sync().expect("it works");
    append(&mut store, b"1");
    append(&mut store, b"2");
    assert_eq!(store.unsynced_batches(), 2);

    for (survivors, expected) in [
        (Survivors::SyncedOnly, "0"),
        (Survivors::Prefix(0), "0"),
        (Survivors::Prefix(1), "01"),
        (Survivors::Prefix(2), "012"),
        (Survivors::Prefix(9), "012"),
        (Survivors::Everything, "012"),
    ] {
        let mut image = store.image(survivors);
        assert_eq!((text(&image), cards(&image)), (expected.into(), last(expected)));
        assert_eq!(image.log_id(), store.log_id());
        append(&mut image, b"x");
        assert_eq!(text(&store), "012", "the original does not notice");
    }
}

#[test]
fn a_prune_without_a_later_sync_may_be_undone() {
    let mut store = CrashStore::new(LogId([1; 16]));
    let first = append(&mut store, b"0");
    let _proof = store.sync().expect("it works");
    store.prune(BOOK, first).expect("it works");
    append(&mut store, b"1");

    assert_eq!(text(&store), "1");
    assert_eq!(text(&store.image(Survivors::SyncedOnly)), "0");
    assert_eq!(text(&store.image(Survivors::Everything)), "1");
}

#[test]
fn a_snapshot_ahead_of_the_durable_log_is_refused() {
    let mut store = CrashStore::new(LogId([1; 16]));
    let lsn = append(&mut store, b"0");

    let error = store.put(BOOK, lsn, b"state").expect_err("it is not durable");
    assert_eq!(error.kind, StoreErrorKind::Refused);
    let _proof = store.sync().expect("it works");
    store.put(BOOK, lsn, b"state").expect("it is durable");
    let lost = store.image(Survivors::SyncedOnly).latest(BOOK).expect("it works");
    assert_eq!(lost, None, "no sync followed");
    let _proof = store.sync().expect("it works");
    let latest = store.image(Survivors::SyncedOnly).latest(BOOK).expect("it works");
    assert_eq!(latest.map(|snapshot| snapshot.body), Some(b"state".to_vec()));
}

#[test]
fn writes_are_counted() {
    let mut store = CrashStore::new(LogId([1; 16]));
    append(&mut store, b"0");
    store.append(&[]).expect("it works");
    let proof = store.sync().expect("it works");
    store.put(BOOK, proof.upto(), b"").expect("it works");
    store.prune(BOOK, proof.upto()).expect("it works");

    let expected = Writes { appends: 1, records: 1, cards: 1, syncs: 1, puts: 1, prunes: 1 };
    assert_eq!(store.writes(), expected);
    assert_eq!(store.image(Survivors::Everything).writes(), Writes::default());
}

#[test]
fn an_append_that_fails_leaves_nothing_and_the_next_one_works() {
    let disk = CrashStore::new(LogId([1; 16]));
    let fault = Fault { call: StoreCall::Append, nth: 2, kind: StoreErrorKind::Full };
    let mut store = FaultyStore::new(disk.clone(), fault);
    append(&mut store, b"0");

    let error = store.append(&[Frame::Record { stream: BOOK, body: b"1" }]).expect_err("the 2nd");
    assert_eq!(error.kind, StoreErrorKind::Full);
    append(&mut store, b"2");
    assert_eq!(text(&disk), "02");
}

#[test]
fn a_failed_sync_poisons_every_call_whether_it_wrote_or_not() {
    for (call, survives) in [(StoreCall::Sync, ""), (StoreCall::SyncThatWrote, "0")] {
        let disk = CrashStore::new(LogId([1; 16]));
        let fault = Fault { call, nth: 1, kind: StoreErrorKind::Retry };
        let mut store = FaultyStore::new(disk.clone(), fault);
        let lsn = append(&mut store, b"0");
        assert_eq!(store.sync().expect_err("it fails").kind, StoreErrorKind::Retry);

        let kinds = [
            store.append(&[]).map(drop),
            store.sync().map(drop),
            store.replay(BOOK, None, &mut |_, _| ControlFlow::Continue(())),
            store.prune(BOOK, lsn),
            store.put(BOOK, lsn, b""),
            store.latest(BOOK).map(drop),
            store.cards(&mut |_| {}),
        ]
        .map(|result| result.expect_err("poisoned").kind);
        assert_eq!(kinds, [StoreErrorKind::Poisoned; 7]);
        assert_eq!(text(&disk.image(Survivors::SyncedOnly)), survives);
    }
}

fn append(store: &mut impl UpdateLog, body: &[u8]) -> lastword_ports::Lsn {
    let record = Frame::Record { stream: BOOK, body };
    store.append(&[record, Frame::Card { stream: BOOK, body }]).expect("it works")
}

fn text(store: &CrashStore) -> String {
    let mut text = String::new();
    let read = store.replay(BOOK, None, &mut |_, body| {
        text.push_str(&String::from_utf8_lossy(body));
        ControlFlow::Continue(())
    });
    read.expect("it works");
    text
}

fn cards(store: &CrashStore) -> Vec<Vec<u8>> {
    let mut cards = Vec::new();
    let read = store.cards(&mut |card| cards.push(card.expect("it is sound").body.to_vec()));
    read.expect("it works");
    cards
}

fn last(text: &str) -> Vec<Vec<u8>> {
    text.bytes().last().into_iter().map(|byte| vec![byte]).collect()
}
