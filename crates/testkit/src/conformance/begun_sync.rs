//! The part of the log's suite about [`begin_sync`](lastword_ports::UpdateLog::begin_sync): jobs that
//! are run late, in any order, on any thread, or never.

use lastword_ports::{Durable, Lsn, SyncJob, UpdateLog};

use super::subject::{STREAMS, Subject, record};
use super::{Harness, Rule, Violation, ensure, expect_equal};

/// Checks what a log promises of syncs that were begun.
pub(super) fn check_begun_syncs<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    jobs_run_in_any_order(harness)?;
    a_job_proves_what_was_before_it(harness)?;
    a_dropped_job_harms_nothing(harness)?;
    a_sync_does_not_wait_for_jobs(harness)?;
    a_crash_between_leaves_a_prefix(harness)
}

/// Runs a job as an engine does, on a thread of its own.
fn run(job: SyncJob) -> Result<Durable, Violation> {
    let result = std::thread::spawn(move || job.run()).join();
    let result =
        result.map_err(|_| Violation { rule: Rule::Works, detail: "a job panicked".to_owned() })?;
    result.map_err(|error| Violation {
        rule: Rule::Works,
        detail: format!("a job was refused: {error}"),
    })
}

/// A proof may cover more than the job was begun for, where more was made durable meanwhile.
fn proves(durable: Durable, least: Lsn, end: Lsn) -> Result<(), Violation> {
    let upto = durable.upto();
    let is_right = upto.log == end.log && (least.position..=end.position).contains(&upto.position);
    ensure(is_right, Rule::JobProves, || {
        format!("a sync begun behind {least:?} proves {upto:?}; the log ends at {end:?}")
    })
}

fn jobs_run_in_any_order<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut log = Subject::open(harness);
        let mut begun = Vec::new();
        for number in 0..3_u8 {
            let lsn = log.append(&[record(STREAMS[0], &[number])])?;
            begun.push((lsn, Some(log.begin_sync()?)));
        }
        let end = log.append(&[])?;
        for at in order {
            let (lsn, job) = &mut begun[at];
            proves(run(job.take().expect("each is run once"))?, *lsn, end)?;
        }
        log.reopen();
        let all = vec![vec![0], vec![1], vec![2]];
        let what = format!("records whose jobs ran in the order {order:?}");
        expect_equal(Rule::SyncedSurvives, &what, &log.bodies(STREAMS[0])?, &all)?;
    }
    Ok(())
}

fn a_job_proves_what_was_before_it<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let mut log = Subject::open(harness);
    let first = log.append(&[record(STREAMS[0], b"1")])?;
    let (one, again) = (log.begin_sync()?, log.begin_sync()?);
    proves(run(one)?, first, first)?;
    let second = log.append(&[record(STREAMS[1], b"2")])?;
    // Nobody made the second one durable: the job was begun before it, and may be told so.
    proves(run(again)?, first, first)?;
    let nothing = log.begin_sync()?;
    proves(run(nothing)?, second, second)?;
    let nothing = log.begin_sync()?;
    proves(run(nothing)?, second, second)?;
    log.reopen();
    let seen = (log.bodies(STREAMS[0])?, log.bodies(STREAMS[1])?);
    let both = (vec![b"1".to_vec()], vec![b"2".to_vec()]);
    expect_equal(Rule::SyncedSurvives, "records that a job proved", &seen, &both)
}

fn a_dropped_job_harms_nothing<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    for is_begun_again in [false, true] {
        let mut log = Subject::open(harness);
        log.append(&[record(STREAMS[0], b"1")])?;
        drop(log.begin_sync()?);
        let last = log.append(&[record(STREAMS[0], b"2")])?;
        drop(log.begin_sync()?);
        let proof = if is_begun_again { run(log.begin_sync()?)? } else { log.sync()? };
        proves(proof, last, last)?;
        log.reopen();
        let both = vec![b"1".to_vec(), b"2".to_vec()];
        let what = "records behind dropped jobs";
        expect_equal(Rule::SyncedSurvives, what, &log.bodies(STREAMS[0])?, &both)?;
    }
    Ok(())
}

fn a_sync_does_not_wait_for_jobs<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let mut log = Subject::open(harness);
    let first = log.append(&[record(STREAMS[0], b"1")])?;
    let job = log.begin_sync()?;
    let second = log.append(&[record(STREAMS[0], b"2")])?;
    proves(log.sync()?, second, second)?;
    proves(run(job)?, first, second)?;
    let third = log.append(&[record(STREAMS[0], b"3")])?;
    proves(log.sync()?, third, third)?;
    log.reopen();
    let all = vec![b"1".to_vec(), b"2".to_vec(), b"3".to_vec()];
    let what = "records around a job that ran late";
    expect_equal(Rule::SyncedSurvives, what, &log.bodies(STREAMS[0])?, &all)
}

/// A crash while jobs are about: whole batches in their order, with at least what a job proved.
fn a_crash_between_leaves_a_prefix<H: Harness>(harness: &mut H) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    const BATCHES: u8 = 5;
    for proven in 0..=BATCHES {
        let mut log = Subject::open(harness);
        let mut jobs = Vec::new();
        for number in 0..BATCHES {
            log.append(&[record(STREAMS[0], &[number]), record(STREAMS[1], &[number])])?;
            jobs.push(log.begin_sync()?);
        }
        let ran = usize::from(proven).checked_sub(1).map(|nth| jobs.swap_remove(nth));
        if let Some(job) = ran {
            let _durable = run(job)?;
        }
        log.reopen();
        drop(jobs);
        let seen = (log.bodies(STREAMS[0])?, log.bodies(STREAMS[1])?);
        let count = u8::try_from(seen.0.len()).unwrap_or(u8::MAX).min(BATCHES);
        let whole: Vec<Vec<u8>> = (0..count).map(|number| vec![number]).collect();
        expect_equal(
            Rule::PrefixSurvives,
            "whole batches, in order",
            &seen,
            &(whole.clone(), whole),
        )?;
        ensure(count >= proven, Rule::SyncedSurvives, || {
            format!("a job proved {proven} batches and {count} are there after reopening")
        })?;
    }
    Ok(())
}
