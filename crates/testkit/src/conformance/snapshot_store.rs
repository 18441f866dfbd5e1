//! The suite of [`SnapshotStore`].

use lastword_ports::{Snapshot, SnapshotStore, UpdateLog};

use super::model::walk;
use super::subject::{STREAMS, Subject, card, cards_of, record};
use super::{Harness, Rule, Violation, ensure, expect_equal};

/// The seeds of the random walks, fixed so that a failure comes again.
const SEEDS: std::ops::Range<u64> = 100..104;

/// Checks everything that [`SnapshotStore`] promises, and returns the first rule that is broken.
///
/// # Errors
///
/// The [`Violation`].
pub fn check_snapshot_store<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog + SnapshotStore,
{
    the_newest_card_is_visited(harness)?;
    cards_survive_with_their_batch(harness)?;
    snapshots_are_replaced_whole(harness)?;
    snapshots_survive(harness)?;
    let cards = |store: &H::Store| cards_of(store);
    SEEDS.into_iter().try_for_each(|seed| walk(harness, seed, Some(&cards)))
}

fn the_newest_card_is_visited<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog + SnapshotStore,
{
    let mut store = Subject::open(harness);
    let [a, b, payments, chain] = STREAMS;
    expect_equal(Rule::CardNewest, "the cards of a fresh store", &store.cards()?, &vec![])?;

    store.append(&[card(chain, b"tip 1"), card(b, b"b1"), record(a, b"no card")])?;
    store.append(&[card(b, b"b2"), record(b, b"x"), card(b, b"b3"), card(payments, b"")])?;
    let mut expected = vec![(b, b"b3".to_vec()), (payments, vec![]), (chain, b"tip 1".to_vec())];
    expect_equal(Rule::CardNewest, "cards before a sync", &store.cards()?, &expected)?;
    let _proof = store.sync()?;
    expect_equal(Rule::CardNewest, "cards after a sync", &store.cards()?, &expected)?;

    store.append(&[card(a, b"a1"), card(chain, b"tip 2")])?;
    expected.insert(0, (a, b"a1".to_vec()));
    expected[3].1 = b"tip 2".to_vec();
    expect_equal(Rule::CardNewest, "newer cards before a sync", &store.cards()?, &expected)?;
    let _proof = store.sync()?;
    store.reopen();
    expect_equal(Rule::CardSurvives, "cards after reopening", &store.cards()?, &expected)?;
    let records = (store.bodies(b)?, store.bodies(chain)?);
    expect_equal(Rule::ReplayWhole, "records beside cards", &records, &(vec![vec![b'x']], vec![]))
}

fn cards_survive_with_their_batch<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog + SnapshotStore,
{
    const BATCHES: u8 = 5;
    let a = STREAMS[0];
    for synced in 0..=BATCHES {
        let mut store = Subject::open(harness);
        for number in 0..BATCHES {
            if number == synced {
                let _proof = store.sync()?;
            }
            store.append(&[card(a, &[number]), record(a, &[number])])?;
        }
        if synced == BATCHES {
            let _proof = store.sync()?;
        }
        store.reopen();
        let newest = store.bodies(a)?.pop();
        ensure(newest >= synced.checked_sub(1).map(|n| vec![n]), Rule::SyncedSurvives, || {
            format!("{synced} batches were synced; the last record is {newest:?}")
        })?;
        let expected = newest.into_iter().map(|body| (a, body)).collect();
        expect_equal(Rule::CardSurvives, "the card of the last batch", &store.cards()?, &expected)?;
    }
    Ok(())
}

fn snapshots_are_replaced_whole<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog + SnapshotStore,
{
    let mut store = Subject::open(harness);
    let [a, b, ..] = STREAMS;
    expect_equal(Rule::SnapshotWhole, "a fresh store", &store.latest(a)?, &None)?;
    let start = store.append(&[])?;
    store.put(b, start, b"before the first frame")?;

    let large = vec![0xA5; 300_000];
    for (number, body) in [b"first".as_slice(), &large, b"", b"last"].into_iter().enumerate() {
        let at = store.append(&[record(a, &[number.to_le_bytes()[0]]), record(b, b"b")])?;
        let _proof = store.sync()?;
        store.put(a, at, body)?;
        let expected = Some(Snapshot { at, body: body.to_vec() });
        expect_equal(Rule::SnapshotWhole, "the last snapshot", &store.latest(a)?, &expected)?;
    }
    let expected = Some(Snapshot { at: start, body: b"before the first frame".to_vec() });
    expect_equal(Rule::SnapshotWhole, "another stream's", &store.latest(b)?, &expected)?;
    let bodies: Vec<Vec<u8>> = (0..4_u8).map(|number| vec![number]).collect();
    expect_equal(Rule::ReplayWhole, "records beside snapshots", &store.bodies(a)?, &bodies)
}

fn snapshots_survive<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog + SnapshotStore,
{
    let mut store = Subject::open(harness);
    let a = STREAMS[0];
    store.append(&[record(a, b"1"), card(a, b"card")])?;
    let at = store.append(&[record(a, b"2")])?;
    let _proof = store.sync()?;
    let expected = Some(Snapshot { at, body: b"one and two".to_vec() });
    store.put(a, at, b"one and two")?;
    store.prune(a, at)?;
    store.reopen();
    // No sync followed: the snapshot is there, or what it would have replaced.
    if store.latest(a)? != expected {
        let what = "the records that a lost snapshot was to cover";
        let records = vec![b"1".to_vec(), b"2".to_vec()];
        expect_equal(Rule::SnapshotSurvives, what, &store.bodies(a)?, &records)?;
        expect_equal(Rule::SnapshotSurvives, "the snapshot before", &store.latest(a)?, &None)?;
    }
    store.put(a, at, b"one and two")?;
    let _proof = store.sync()?;
    store.reopen();
    let what = "the snapshot after a sync";
    expect_equal(Rule::SnapshotSurvives, what, &store.latest(a)?, &expected)?;

    store.prune(a, at)?;
    let tail = store.append(&[record(a, b"3")])?;
    let _proof = store.sync()?;
    store.reopen();
    expect_equal(Rule::PruneForgets, "the snapshot after a prune", &store.latest(a)?, &expected)?;
    let cards = vec![(a, b"card".to_vec())];
    expect_equal(Rule::PruneForgets, "the card after a prune", &store.cards()?, &cards)?;
    let rest = vec![(tail, b"3".to_vec())];
    let seen = store.records(a, Some(at))?;
    expect_equal(Rule::ReplayAfter, "records behind the snapshot", &seen, &rest)
}
