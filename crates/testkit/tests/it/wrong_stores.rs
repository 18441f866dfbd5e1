//! Every mistake that a store can make is found, under the name of the rule that it breaks.

use lastword_ports::{LogId, StoreErrorKind, UpdateLog};
use lastword_testkit::conformance::{
    self, Rule, Violation, check_snapshot_store, check_update_log,
};

use lastword_testkit::{CrashStore, LateStore};

use crate::wrong::{Mistake, WrongHarness};

fn suite_of_log(mistake: Mistake) -> Result<(), Violation> {
    check_update_log(&mut WrongHarness { mistake, logs: 0 })
}

fn suite_of_snapshots(mistake: Mistake) -> Result<(), Violation> {
    check_snapshot_store(&mut WrongHarness { mistake, logs: 0 })
}

fn broken(result: Result<(), Violation>) -> Option<Rule> {
    result.err().map(|violation| violation.rule)
}

#[test]
fn a_store_without_a_mistake_passes() {
    assert_eq!(suite_of_log(Mistake::Nothing), Ok(()));
    assert_eq!(suite_of_snapshots(Mistake::Nothing), Ok(()));
}

#[test]
fn a_store_whose_syncs_are_late_passes() {
    let mut logs = 0;
    let mut late = conformance::harness(
        || {
            logs += 1;
            let (store, syncs) = LateStore::new(CrashStore::new(LogId([logs; 16])));
            syncs.open();
            store
        },
        |store| store,
    );
    conformance::update_log(&mut late);
    conformance::snapshot_store(&mut late);
}

#[test]
fn a_late_sync_that_fails_poisons_the_store() {
    let (mut store, syncs) = LateStore::new(CrashStore::new(LogId([1; 16])));
    let job = store.begin_sync().unwrap();
    syncs.fail(0, StoreErrorKind::Full);
    assert_eq!(job.run().unwrap_err().kind, StoreErrorKind::Full);
    assert_eq!(store.append(&[]).unwrap_err().kind, StoreErrorKind::Poisoned);
}

#[test]
fn every_mistake_of_a_log_is_found() {
    let expected = [
        (Mistake::DropsTheSecondFrame, Rule::PositionsRise),
        (Mistake::ReplaysBackwards, Rule::PositionsRise),
        (Mistake::ReplaysEveryStream, Rule::ReplayWhole),
        (Mistake::ReplaysFromAfterItself, Rule::ReplayAfter),
        (Mistake::ReplayNeverStops, Rule::ReplayStops),
        (Mistake::CutsLongBodies, Rule::ReplayWhole),
        (Mistake::RefusesEmptyBodies, Rule::Works),
        (Mistake::ReturnsTheFirstPosition, Rule::PositionsRise),
        (Mistake::EmptyBatchWritesSomething, Rule::EmptyBatch),
        (Mistake::SyncForgetsToWrite, Rule::SyncedSurvives),
        (Mistake::JobForgetsToSync, Rule::SyncedSurvives),
        (Mistake::JobProvesTooLittle, Rule::JobProves),
        (Mistake::JobProvesWhatCameLater, Rule::JobProves),
        (Mistake::JobIsRefused, Rule::Works),
        (Mistake::AttestsAhead, Rule::ProofCovers),
        (Mistake::AttestsForAnotherLog, Rule::ProofCovers),
        (Mistake::ChangesItsIdAtReopening, Rule::LogIdentity),
        (Mistake::EveryLogHasTheSameId, Rule::LogIdentity),
        (Mistake::TearsBatches, Rule::PrefixSurvives),
        (Mistake::LosesAnEarlierBatch, Rule::PrefixSurvives),
        (Mistake::PruneDoesNothing, Rule::PruneForgets),
        (Mistake::PruneTakesOneMore, Rule::PruneForgets),
        (Mistake::PruneTakesOtherStreams, Rule::PruneForgets),
    ];
    for (mistake, rule) in expected {
        assert_eq!(broken(suite_of_log(mistake)), Some(rule), "{mistake:?}");
    }
}

#[test]
fn every_mistake_of_a_snapshot_store_is_found() {
    let expected = [
        (Mistake::ForgetsCards, Rule::CardNewest),
        (Mistake::CardsAreOutOfOrder, Rule::CardNewest),
        (Mistake::CardsForgetTheEnd, Rule::CardNewest),
        (Mistake::KeepsTheFirstCard, Rule::CardNewest),
        (Mistake::CardsOutliveTheirBatch, Rule::CardSurvives),
        (Mistake::SyncForgetsToWrite, Rule::CardSurvives),
        (Mistake::SnapshotIsNotReplaced, Rule::SnapshotWhole),
        (Mistake::SnapshotHasAnotherPlace, Rule::SnapshotWhole),
        (Mistake::SnapshotIsLostInACrash, Rule::SnapshotSurvives),
        (Mistake::PruneTakesTheSnapshot, Rule::PruneForgets),
    ];
    for (mistake, rule) in expected {
        assert_eq!(broken(suite_of_snapshots(mistake)), Some(rule), "{mistake:?}");
    }
}

#[test]
fn the_one_line_form_fails_the_test_and_names_the_rule() {
    let outcome = std::panic::catch_unwind(|| {
        conformance::update_log(&mut WrongHarness { mistake: Mistake::AttestsAhead, logs: 0 });
    });

    let message = *outcome.expect_err("it panics").downcast::<String>().expect("with a message");
    assert!(message.contains("ProofCovers"), "{message}");
}
