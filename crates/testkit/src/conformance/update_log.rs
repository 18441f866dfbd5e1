//! The suite of [`UpdateLog`].

use lastword_ports::{Frame, Lsn, Proofs, UpdateLog};

use super::begun_sync::check_begun_syncs;
use super::model::walk;
use super::subject::{Records, STREAMS, Subject, card, record};
use super::{Harness, Rule, Violation, ensure, expect_equal};

/// The seeds of the random walks, fixed so that a failure comes again.
const SEEDS: std::ops::Range<u64> = 0..4;

/// Checks everything that [`UpdateLog`] promises, and returns the first rule that is broken.
///
/// # Errors
///
/// The [`Violation`].
pub fn check_update_log<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    a_fresh_log_is_empty(harness)?;
    positions_rise(harness)?;
    records_come_back(harness)?;
    replay_starts_and_stops(harness)?;
    proofs_cover_what_was_synced(harness)?;
    identities_are_kept_apart(harness)?;
    a_prefix_survives(harness)?;
    prune_forgets(harness)?;
    check_begun_syncs(harness)?;
    SEEDS.into_iter().try_for_each(|seed| walk(harness, seed, None))
}

fn a_fresh_log_is_empty<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let mut log = Subject::open(harness);
    for stream in STREAMS {
        expect_equal(Rule::ReplayWhole, "a fresh log", &log.bodies(stream)?, &vec![])?;
    }
    let start = log.append(&[])?;
    expect_equal(Rule::EmptyBatch, "an empty batch again", &log.append(&[])?, &start)?;
    let first = log.append(&[record(STREAMS[0], b"first")])?;
    ensure(first.position > start.position && first.position > 0, Rule::PositionsRise, || {
        format!("the first frame has position {}, the start {}", first.position, start.position)
    })?;
    expect_equal(Rule::EmptyBatch, "an empty batch", &log.append(&[])?, &first)?;
    expect_equal(
        Rule::EmptyBatch,
        "the log after an empty batch",
        &log.bodies(STREAMS[0])?,
        &vec![b"first".to_vec()],
    )
}

fn positions_rise<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let mut log = Subject::open(harness);
    let [a, b, ..] = STREAMS;
    let mut end = log.append(&[])?.position;
    let batch: [Frame<'_>; 4] = [record(a, b"1"), card(a, b"c"), record(b, b"2"), record(a, b"3")];
    for count in 1..=batch.len() {
        let lsn = log.append(&batch[..count])?;
        let least = end + u64::try_from(count).expect("at most 4");
        ensure(lsn.position >= least, Rule::PositionsRise, || {
            format!("{count} frames behind position {end} end at {}", lsn.position)
        })?;
        end = lsn.position;
    }
    let last = log.records(a, None)?.last().map(|(lsn, _)| lsn.position);
    expect_equal(Rule::PositionsRise, "the position of the last frame", &last, &Some(end))?;

    let mut positions = Vec::new();
    for stream in [a, b] {
        let records = log.records(stream, None)?;
        ensure(is_rising(&records), Rule::PositionsRise, || format!("visited {records:?}"))?;
        positions.extend(records.into_iter().map(|(lsn, _)| lsn.position));
    }
    let count = positions.len();
    positions.sort_unstable();
    positions.dedup();
    ensure(positions.len() == count, Rule::PositionsRise, || {
        format!("two frames share a position: {positions:?}")
    })
}

fn records_come_back<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let mut log = Subject::open(harness);
    let [a, b, payments, _] = STREAMS;
    let large: Vec<u8> =
        (0..70_000_u32).map(|i| i.to_le_bytes()[usize::from(i % 2 == 0)]).collect();
    log.append(&[record(a, b"a1"), record(b, b"b1"), record(a, b""), card(a, b"card")])?;
    log.append(&[record(payments, &large), record(b, b"b1"), record(a, &large[..5000])])?;
    let expected = [
        (a, vec![b"a1".to_vec(), vec![], large[..5000].to_vec()]),
        (b, vec![b"b1".to_vec(), b"b1".to_vec()]),
        (payments, vec![large.clone()]),
    ];
    let check = |log: &Subject<'_, H>, rule: Rule, when: &str| {
        expected.iter().try_for_each(|(stream, bodies)| {
            expect_equal(rule, when, &log.bodies(*stream)?, bodies)
        })
    };
    check(&log, Rule::ReplayWhole, "records before a sync")?;
    let _proof = log.sync()?;
    check(&log, Rule::ReplayWhole, "records after a sync")?;
    log.reopen();
    check(&log, Rule::SyncedSurvives, "records after reopening")
}

fn replay_starts_and_stops<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let mut log = Subject::open(harness);
    let [a, b, ..] = STREAMS;
    let mut between = Vec::new();
    for number in 0..6_u8 {
        log.append(&[record(a, &[number])])?;
        between.push(log.append(&[record(b, &[number]), card(b, &[number])])?);
        if number == 2 {
            let _proof = log.sync()?;
        }
    }
    let all = log.records(a, None)?;
    for (index, (lsn, _)) in all.iter().enumerate() {
        let rest = all[index + 1..].to_vec();
        let what = "records behind one of their own";
        expect_equal(Rule::ReplayAfter, what, &log.records(a, Some(*lsn))?, &rest)?;
        let what = "records behind a frame of another stream";
        let seen = log.records(a, Some(between[index]))?;
        expect_equal(Rule::ReplayAfter, what, &seen, &rest)?;
    }
    for count in 1..=all.len() {
        let expected = all[..count].to_vec();
        let what = "records until the visitor breaks";
        expect_equal(Rule::ReplayStops, what, &log.first_records(a, None, count)?, &expected)?;
    }
    Ok(())
}

fn proofs_cover_what_was_synced<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let mut log = Subject::open(harness);
    let mut proofs = Proofs::new();
    for number in 0..4_u8 {
        let body = [number];
        let frames = [record(STREAMS[0], &body), card(STREAMS[0], &body)];
        let lsn = log.append(&frames[..=usize::from(number % 2)])?;
        ensure(!proofs.cover(lsn), Rule::ProofCovers, || {
            format!("an earlier proof covers {lsn:?}, which was not synced")
        })?;
        let proof = log.sync()?;
        expect_equal(Rule::ProofCovers, "the place that a sync proves", &proof.upto(), &lsn)?;
        let again = log.sync()?;
        expect_equal(Rule::ProofCovers, "a sync of nothing", &again.upto(), &lsn)?;
        proofs.learn(proof);
    }
    log.reopen();
    let end = log.append(&[])?;
    let proof = log.sync()?;
    expect_equal(Rule::ProofCovers, "the proof of a log just opened", &proof.upto(), &end)
}

fn identities_are_kept_apart<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let (one, other) = {
        let mut log = Subject::open(harness);
        let lsn = log.append(&[record(STREAMS[0], b"one")])?;
        let proof = log.sync()?;
        expect_equal(Rule::LogIdentity, "the proof's log", &proof.upto().log, &lsn.log)?;
        let visited = log.records(STREAMS[0], None)?;
        expect_equal(Rule::LogIdentity, "the replay's log", &visited[0].0.log, &lsn.log)?;
        log.reopen();
        let again = log.append(&[])?.log;
        expect_equal(Rule::LogIdentity, "the log after reopening", &again, &lsn.log)?;
        drop(log);
        (lsn, Subject::open(harness).append(&[record(STREAMS[0], b"other")])?)
    };
    ensure(one.log != other.log, Rule::LogIdentity, || {
        format!("two logs call themselves {:?}", one.log)
    })
}

fn a_prefix_survives<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    const BATCHES: u8 = 6;
    let [a, b, ..] = STREAMS;
    for synced in 0..=BATCHES {
        let mut log = Subject::open(harness);
        for number in 0..BATCHES {
            if number == synced {
                let _proof = log.sync()?;
            }
            log.append(&[record(a, &[number]), record(b, &[number]), record(a, &[number])])?;
        }
        if synced == BATCHES {
            let _proof = log.sync()?;
        }
        log.reopen();
        let seen = (log.bodies(a)?, log.bodies(b)?);
        let survivors = u8::try_from(seen.1.len()).unwrap_or(u8::MAX).min(BATCHES);
        let twice = (0..survivors).flat_map(|number| [vec![number], vec![number]]).collect();
        let once = (0..survivors).map(|number| vec![number]).collect();
        expect_equal(Rule::PrefixSurvives, "whole batches, in order", &seen, &(twice, once))?;
        ensure(survivors >= synced, Rule::SyncedSurvives, || {
            format!("{synced} batches were synced and {survivors} are there after reopening")
        })?;

        let before = log.records(a, None)?;
        let lsn = log.append(&[record(a, b"next")])?;
        let after = log.records(a, None)?;
        let is_next = is_rising(&after) && after.last() == Some(&(lsn, b"next".to_vec()));
        ensure(is_next && after[..before.len()] == before, Rule::PositionsRise, || {
            format!("an append after reopening: before {before:?}, after {after:?}")
        })?;
    }
    Ok(())
}

fn prune_forgets<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let mut log = Subject::open(harness);
    let [a, b, ..] = STREAMS;
    for number in 0..8_u8 {
        log.append(&[record(a, &[number]), record(b, &[number])])?;
    }
    let _proof = log.sync()?;
    let (all, others) = (log.records(a, None)?, log.records(b, None)?);
    log.prune(a, all[4].0)?;
    log.prune(a, all[1].0)?;
    let seen = (log.records(a, None)?, log.records(b, None)?);
    let what = "the streams after a prune of one";
    expect_equal(Rule::PruneForgets, what, &seen, &(all[5..].to_vec(), others.clone()))?;
    let seen = log.records(a, Some(all[0].0))?;
    expect_equal(Rule::PruneForgets, "records behind a pruned one", &seen, &all[5..].to_vec())?;

    log.reopen();
    let seen = log.records(a, None)?;
    // A crash may bring forgotten records back, in their places.
    let is_sound = is_rising(&seen)
        && seen.ends_with(&all[5..])
        && seen.iter().all(|record| all.contains(record));
    ensure(is_sound, Rule::PruneForgets, || format!("after reopening: {seen:?}"))?;
    expect_equal(Rule::PruneForgets, "the other stream", &log.records(b, None)?, &others)?;

    log.prune(a, all[7].0)?;
    let what = "a stream that was pruned to its end";
    expect_equal(Rule::PruneForgets, what, &log.records(a, None)?, &vec![])?;
    let lsn = log.append(&[record(a, b"next")])?;
    ensure(lsn.position > all[7].0.position, Rule::PositionsRise, || {
        format!("{lsn:?} follows the pruned {:?}", all[7].0)
    })?;
    let _proof = log.sync()?;
    log.reopen();
    let last = log.records(a, Some(all[7].0))?;
    expect_equal(Rule::PruneForgets, "what follows a prune", &last, &vec![(lsn, b"next".to_vec())])
}

fn is_rising(records: &Records) -> bool {
    let position = |(lsn, _): &(Lsn, Vec<u8>)| lsn.position;
    records.windows(2).all(|pair| position(&pair[0]) < position(&pair[1]))
}
