//! The oracle finds what does not fit: each test spoils one fact of a good run.

use lastword_sim::oracle::judge;
use lastword_sim::outside::{Outside, SharedOutside};
use lastword_sim::record::Told;
use lastword_sim::run::{Outcome, Run};
use lastword_sim::scenario::Scenario;
use lastword_sim::seed::Seed;
use lastword_types::{Alarm, CommitmentFormat, Event, HtlcFailure, PaymentId};

use crate::support::{immortal, outside};

/// A good run, spoiled; the oracle must say these words and nothing else.
fn check(spoil: impl FnOnce(&mut Outside, &mut Outcome), words: &[&str]) {
    check_run(&Scenario::small(Seed(6)), spoil, words);
}

/// The same for a run in which the peer broadcasts a revoked commitment.
fn check_breach(spoil: impl FnOnce(&mut Outside, &mut Outcome), words: &[&str]) {
    check_run(&Scenario::breach(Seed(6), CommitmentFormat::AnchorsZeroFeeHtlc), spoil, words);
}

fn check_run(scenario: &Scenario, spoil: impl FnOnce(&mut Outside, &mut Outcome), words: &[&str]) {
    let (outside, world): (SharedOutside, _) = outside(scenario);
    let mut node = immortal(scenario.seed, &outside, &world);
    let mut outcome = Run::new(scenario, outside.clone(), &mut node).run(&mut |_, _| {}).unwrap();
    let mut outside = outside.lock();
    assert_eq!(judge(&outside, &outcome).unwrap().violations, Vec::<String>::new());

    spoil(&mut outside, &mut outcome);

    let violations = judge(&outside, &outcome).unwrap().violations;
    assert_eq!(violations.len(), words.len(), "{violations:?}");
    for (violation, words) in violations.iter().zip(words) {
        assert!(violation.contains(words), "{violation}");
    }
}

/// Returns the first terminal event that says sent, or failed.
fn last_word(outside: &Outside, is_sent: bool) -> Event {
    let found = outside.told.events().iter().find(|event| match event {
        Event::PaymentSent { .. } => is_sent,
        Event::PaymentFailed { .. } => !is_sent,
        Event::PaymentPathSuccessful { .. }
        | Event::PaymentPathFailed { .. }
        | Event::Probed { .. }
        | Event::PaymentUnknown { .. }
        | Event::PaymentClaimed { .. }
        | Event::Alarm(_) => false,
    });
    found.cloned().unwrap()
}

#[test]
fn a_second_and_different_last_word_is_found() {
    check(
        |outside, _| {
            let Event::PaymentSent { payment_id, generation, payment_hash, .. } =
                last_word(outside, true)
            else {
                panic!("asked for a payment that was sent");
            };
            let reason = HtlcFailure::TimedOut;
            let event = Event::PaymentFailed { payment_id, generation, payment_hash, reason };
            outside.told.note(&event);
        },
        &["not one last word"],
    );
}

#[test]
fn a_last_word_that_comes_again_with_other_fields_is_found() {
    check(
        |outside, _| {
            let mut event = last_word(outside, false);
            if let Event::PaymentFailed { reason, .. } = &mut event {
                *reason = HtlcFailure::Abandoned;
            }
            outside.told.note(&event);
        },
        &["not one last word", "came again with other fields"],
    );
}

#[test]
fn the_same_last_word_once_more_is_no_violation() {
    check(
        |outside, _| {
            let event = last_word(outside, true);
            outside.told.note(&event);
        },
        &[],
    );
}

#[test]
fn an_event_of_nobody_is_found() {
    check(
        |outside, _| {
            let mut event = last_word(outside, false);
            if let Event::PaymentFailed { payment_id, .. } = &mut event {
                *payment_id = PaymentId([9; 32]);
            }
            outside.told.note(&event);
        },
        &["unknown payment"],
    );
}

#[test]
fn an_alarm_without_cause_is_found() {
    check(
        |outside, _| {
            let channel_id = outside.seed.channel_id(0);
            let txid = outside.peer.parameters(0).unwrap().funding_outpoint.txid;
            let alarm = Alarm::UnknownFundingSpend { channel_id, txid };
            outside.told.note(&Event::Alarm(alarm));
        },
        &["an alarm"],
    );
}

#[test]
fn a_part_that_is_not_released_is_found() {
    check(|_, outcome| outcome.ledger[0].is_released = false, &["not released"]);
}

#[test]
fn a_satoshi_that_is_missing_is_found() {
    check(|_, outcome| outcome.accounts[0].ours_sat -= 1, &["not accounted for"]);
}

#[test]
fn a_satoshi_that_belongs_to_the_other_side_is_found() {
    check(
        |_, outcome| {
            let account = &mut outcome.accounts[0];
            let stolen = account.ours_max_sat - account.ours_sat + 1;
            account.ours_sat += stolen;
            account.theirs_sat -= stolen;
        },
        &["not accounted for"],
    );
}

#[test]
fn an_outcome_against_the_truth_is_found() {
    check(
        |_, outcome| {
            // What was sent was not to be, and the other way round.
            for one in outcome.tries.iter_mut().take(1) {
                one.is_to_be_paid = !one.is_to_be_paid;
            }
        },
        &["not what the scenario is made for"],
    );
}

#[test]
fn an_offer_that_should_have_been_claimed_is_found() {
    check(|_, outcome| outcome.offers[0].is_learned = false, &["was claimed"]);
}

#[test]
fn a_received_payment_that_is_told_wrongly_is_found() {
    check(|_, outcome| drop(outcome.received.pop()), &["told of a payment that nobody claimed"]);
    check(
        |_, outcome| outcome.received.extend_from_within(..),
        &["nobody was told that a payment is claimed"],
    );
    check(
        |_, outcome| outcome.received[0].amount_msat.0 += 1,
        &["told of a payment that nobody claimed", "nobody was told that a payment is claimed"],
    );
    check(
        |outside, _| {
            let is_claimed = |event: &&Event| matches!(event, Event::PaymentClaimed { .. });
            let mut event = outside.told.events().iter().find(is_claimed).unwrap().clone();
            if let Event::PaymentClaimed { lost_msat, .. } = &mut event {
                lost_msat.0 += 1;
            }
            outside.told.note(&event);
        },
        &["told in several ways", "nobody was told that a payment is claimed"],
    );
}

#[test]
fn a_satoshi_that_a_thief_keeps_is_found() {
    check_breach(
        |_, outcome| {
            outcome.accounts[0].ours_sat -= 1;
            outcome.accounts[0].theirs_sat += 1;
        },
        &["not accounted for"],
    );
}

#[test]
fn a_breach_that_nobody_was_told_of_is_found() {
    check_breach(
        |outside, _| outside.told = Told::default(),
        &[
            "not one last word",
            "not one last word",
            "not one last word",
            "nobody was told of the revoked commitment",
        ],
    );
}

#[test]
fn an_outcome_that_the_race_for_an_output_did_not_have_is_found() {
    check_breach(
        |_, outcome| outcome.tries[0].has_left = false,
        &["not what the scenario is made for"],
    );
}
