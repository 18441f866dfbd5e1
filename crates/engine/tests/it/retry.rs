//! Payments that are tried again: by advice, across restarts, until the terms or the caller end it.

use lastword_engine::EngineError;
use lastword_reload::{Action, PaymentStatus};
use lastword_testkit::Survivors;
use lastword_types::{
    AmountMsat, BlockHeight, Event, HtlcFailure, PaymentId, Purpose, RemovalReason, RetryPolicy,
    Terms, Told,
};

use crate::crash::die_at;
use crate::node::{Logs, Node};
use crate::world::{ANCHORS, FEE_MSAT, Part, Payment, STATIC, World};

const REASON: HtlcFailure = HtlcFailure::Removed { code: 7 };
const NONE: [u32; 0] = [];

fn terms(attempts_max: u32, deadline_height: Option<u32>) -> Terms {
    let deadline_height = deadline_height.map(BlockHeight);
    Terms { retry: RetryPolicy { attempts_max, deadline_height }, ..Terms::default() }
}

/// Two channels, and a payment in the first one that its peer failed.
fn failed_once(logs: Logs, terms: Terms) -> (World, Node, Payment) {
    let (mut world, mut node) = Node::with_channels(logs, &[STATIC, ANCHORS]);
    let payment = world.payment_on(PaymentId([1; 32]), 1, &[Part(0, 50_000, 40)], terms);
    node.pay(&payment);
    fail(&mut world, &mut node, &payment);
    (world, node, payment)
}

/// The peer fails the only HTLC of an attempt.
fn fail(world: &mut World, node: &mut Node, payment: &Payment) {
    let channel = world.channel_of(payment, 0);
    let reason = RemovalReason::Failed { code: 7 };
    let updates = world.channels[channel].remove(payment.htlc_id(0), reason);
    node.driver.update(updates.into()).unwrap();
}

fn fulfill(world: &mut World, node: &mut Node, payment: &Payment) {
    let channel = world.channel_of(payment, 0);
    let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
    let updates = world.channels[channel].remove(payment.htlc_id(0), reason);
    node.driver.update(updates.into()).unwrap();
}

/// Makes the attempt that is owed, in this channel.
fn next(world: &mut World, node: &mut Node, payment: &Payment, channel: usize) -> Payment {
    let parts = world.parts(&[Part(channel, 50_000, 40)]);
    let fee = AmountMsat(FEE_MSAT);
    let intent = node.driver.next_attempt(payment.id(), fee, parts).expect("a retry is owed");
    world.whole(intent, payment.preimage)
}

/// Returns the numbers of the attempts that the node is advised to make.
fn advised(node: &mut Node) -> Vec<u32> {
    let advice = node.driver.take_advice().into_iter();
    advice
        .filter_map(|planned| {
            let Action::Retry { attempt, .. } = planned.action else { return None };
            Some(attempt)
        })
        .collect()
}

#[test]
fn a_failed_attempt_is_advised_made_again_and_told_as_one_payment() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, mut node, payment) = failed_once(logs, terms(3, None));
        assert_eq!(node.tell(), [payment.path_failed(0, REASON)]);
        assert_eq!(advised(&mut node), [1]);
        let retry = next(&mut world, &mut node, &payment, 1);
        node.driver.retry_payment(retry.intent.clone(), retry.updates.clone()).unwrap();
        node.driver.update(retry.answers.clone()).unwrap();
        assert_eq!(advised(&mut node), NONE);
        let refused = node.driver.retry_payment(retry.intent.clone(), Vec::new());
        assert!(matches!(refused, Err(EngineError::RetryNotOwed { attempt: 1, owed: None, .. })));
        fulfill(&mut world, &mut node, &retry);
        assert_eq!(node.tell(), [retry.sent(), retry.path_taken(0)]);
        assert!(node.is_released(&payment) && node.is_released(&retry), "every attempt");
        let mut node = node.crash_without_book(&world);
        assert_eq!(node.tell(), []);
        assert_eq!(advised(&mut node), NONE);
    }
}

/// The policy is in the ledgers: with the newest book, an older one and none, the same attempt is
/// owed, and the payment ends alike.
#[test]
fn the_policy_survives_every_book() {
    for age in 0..3 {
        let (mut world, node, payment) = failed_once(Logs::Two, terms(3, None));
        let oldest = node.stores.image(Survivors::Everything);
        let mut node = match age {
            0 => node.crash(&world, Survivors::SyncedOnly),
            1 => node.crash_without_book(&world),
            _ => node,
        };
        assert_eq!(advised(&mut node), [1], "{age}");
        let retry = next(&mut world, &mut node, &payment, 1);
        node.driver.retry_payment(retry.intent.clone(), retry.updates.clone()).unwrap();
        node.driver.update(retry.answers.clone()).unwrap();
        fail(&mut world, &mut node, &retry);
        let mut node = match age {
            0 => node.crash(&world, Survivors::SyncedOnly),
            1 => node.crash_without_book(&world),
            _ => node.crash_to_book_of(&world, &oldest),
        };
        assert_eq!(advised(&mut node), [2], "{age}");
        let last = next(&mut world, &mut node, &payment, 0);
        assert_eq!(last.intent.attempt, 2);
        node.driver.retry_payment(last.intent.clone(), last.updates.clone()).unwrap();
        node.driver.update(last.answers.clone()).unwrap();
        fail(&mut world, &mut node, &last);
        let paths = [&payment, &retry, &last].map(|attempt| attempt.path_failed(0, REASON));
        let mut expected = paths.to_vec();
        expected.push(payment.failed(REASON));
        assert_eq!(node.tell(), expected, "{age}");
        assert_eq!(advised(&mut node), NONE, "{age}");
    }
}

#[test]
fn a_payment_given_up_fails_and_no_book_brings_its_retries_back() {
    let (world, mut node, payment) = failed_once(Logs::Two, terms(3, None));
    let older = node.stores.image(Survivors::Everything);
    node.driver.abandon_payment(payment.id()).unwrap();
    assert_eq!(advised(&mut node), NONE);
    let words = [payment.path_failed(0, REASON), payment.failed(REASON)];
    // The user hears it, and the crash takes every record of that away.
    let event = node.driver.next_event().unwrap();
    node.driver.event_returned(&event, true).unwrap();
    assert_eq!([event, node.driver.next_event().unwrap()], words);
    let mut node = node.crash_to_book_of(&world, &older);
    assert_eq!(advised(&mut node), NONE, "the ledger knows that it was given up");
    assert_eq!(node.driver.next_attempt(payment.id(), AmountMsat(1), Vec::new()), None);
    assert_eq!(node.tell(), words, "the same again");
    assert!(node.is_released(&payment));
}

#[test]
fn a_payment_is_given_up_at_its_deadline_by_the_node_itself() {
    for is_started_late in [false, true] {
        let height = Node::with_channels(Logs::Two, &[STATIC, ANCHORS]).0.height();
        let (world, mut node, payment) = failed_once(Logs::Two, terms(3, Some(height + 3)));
        assert_eq!(node.tell(), [payment.path_failed(0, REASON)]);
        node.mine_and_poll(&world, 2);
        assert_eq!(node.tell(), []);
        world.mine(1);
        if is_started_late {
            node = node.crash_without_book(&world);
        }
        node.poll();
        let last = payment.failed(REASON);
        let told = node.tell();
        assert_eq!(told.last(), Some(&last), "{is_started_late}");
        assert_eq!(advised(&mut node), NONE, "the advice is taken back");
    }
}

/// The record of an attempt and its HTLCs are one append: after a crash anywhere in it the payment
/// is tried, or the attempt is owed again, and it ends once.
#[test]
fn a_retry_that_a_crash_cut_off_was_made_whole_or_is_owed_again() {
    let survivors = [Survivors::SyncedOnly, Survivors::Prefix(1), Survivors::Everything];
    let mut points = 0;
    for logs in [Logs::One, Logs::Two] {
        for survivors in survivors {
            for boundary in 1.. {
                let (mut world, mut node, payment) = failed_once(logs, terms(2, None));
                let retry = next(&mut world, &mut node, &payment, 1);
                let stores = node.stores.image(Survivors::Everything);
                drop(node);
                let is_whole = die_at(&world, &stores, boundary, |driver| {
                    driver.retry_payment(retry.intent.clone(), retry.updates.clone()).unwrap();
                });
                if is_whole {
                    break;
                }
                points += 1;
                let place = format!("{logs:?}, {survivors:?}, boundary {boundary}");
                let mut node = Node::start(&world, stores.image(survivors));
                if node.state(1).htlcs.is_empty() {
                    assert_eq!(advised(&mut node), [1], "{place}");
                    let (intent, updates) = (retry.intent.clone(), retry.updates.clone());
                    node.driver.retry_payment(intent, updates).expect(&place);
                } else {
                    assert_eq!(advised(&mut node), NONE, "{place}");
                }
                node.driver.update(retry.answers.clone()).unwrap();
                fulfill(&mut world, &mut node, &retry);
                let told = node.tell();
                let expected = [payment.path_failed(0, REASON), retry.sent(), retry.path_taken(0)];
                // A part that failed is silent once the payment was made.
                assert!(told == expected || told == expected[1..], "{place}: {told:?}");
                let mut node = node.crash(&world, Survivors::SyncedOnly);
                assert_eq!(node.tell(), [], "{place}");
            }
        }
    }
    println!("figure: crashes while a payment is tried again: {points} points");
    assert!(points >= 18, "only {points} points");
}

#[test]
fn a_probe_is_told_as_one_and_its_id_is_free_afterwards() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC]);
    let terms = Terms { purpose: Purpose::Probe, ..Terms::default() };
    let probe = world.payment_on(PaymentId([1; 32]), 1, &[Part(0, 50_000, 40)], terms);
    node.pay(&probe);
    let reason = RemovalReason::Failed { code: 0x400F };
    let updates = world.channels[0].remove(probe.htlc_id(0), reason);
    node.driver.update(updates.into()).unwrap();
    let Some(Event::Probed { is_reached: true, .. }) = node.driver.next_event() else {
        panic!("the probe's word");
    };
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    let told = node.tell();
    assert!(matches!(told[..], [Event::Probed { is_reached: true, .. }]), "told again, alone");
    assert!(matches!(node.delivered(&probe, 0), Some(Told::Payment { .. })));
    assert!(!node.driver.owes(probe.id()));
}

#[test]
fn the_status_of_a_payment_is_known_live_and_long_after() {
    let (mut world, mut node, payment) = failed_once(Logs::Two, terms(2, None));
    let id = payment.id();
    assert_eq!(node.driver.payment_status(PaymentId([9; 32])).unwrap(), PaymentStatus::Unknown);
    let Ok(PaymentStatus::Live(live)) = node.driver.payment_status(id) else { panic!("live") };
    assert_eq!((live.retry_owed, live.parts.len()), (Some(1), 1));
    let retry = next(&mut world, &mut node, &payment, 1);
    node.driver.retry_payment(retry.intent.clone(), retry.updates.clone()).unwrap();
    node.driver.update(retry.answers.clone()).unwrap();
    fulfill(&mut world, &mut node, &retry);
    let is_told = |node: &mut Node| match node.driver.payment_status(id) {
        Ok(PaymentStatus::Finished { is_told, outcome, .. }) => {
            assert_eq!(outcome, retry.outcome_sent());
            is_told
        }
        other => panic!("finished: {other:?}"),
    };
    assert!(!is_told(&mut node));
    drop(node.tell());
    assert!(is_told(&mut node));
    // No book knows it any more, and its monitors are read on demand.
    let mut node = node.crash_without_book(&world);
    let past = PaymentStatus::Past(vec![(payment.intent.generation, retry.outcome_sent())]);
    assert_eq!(node.driver.payment_status(id).unwrap(), past);
}
