//! Payments that are tried again: when an attempt is owed, what is told, and what no book may undo.

use lastword_reload::{Action, PaymentStatus, Planned, Scope, retry_owed, status};
use lastword_types::{
    AmountMsat, Event, HtlcFailure, Intent, Outcome, PaymentRecord, PaymentState, Purpose, Verdict,
};

use crate::tools::{
    FAILED, FULFILLED, LIVE, add, channel, deliver, failed, generation, id, intent, note, open,
    retry, sent_for, set_bytes, short, told,
};
use crate::world::{Book, Bytes, World};

/// Payment 1, to be tried twice.
fn first(channels: &[u8]) -> Intent {
    let mut first = intent(1, channels);
    first.terms.retry.attempts_max = 2;
    first
}

fn retry_of(held: &Intent, number: u32, channels: &[u8]) -> Intent {
    let mut parts = intent(1, channels).parts;
    for part in &mut parts {
        part.htlc_id.0 += 1_000 * u64::from(number);
    }
    retry(held, number, AmountMsat(77), parts)
}

fn owed(world: &World) -> Option<u32> {
    world.with_view(|view| retry_owed(id(1), view)).map(|owed| owed.attempt)
}

fn know(world: &World) -> PaymentStatus {
    world.with_view(|view| status(id(1), view, &[1, 2, 3].map(channel).into()))
}

#[test]
fn a_retry_is_owed_when_every_part_failed_and_not_before() {
    let first = first(&[1, 2]);
    let mut world = World::default();
    note(&mut world, &first, PaymentState::Pending);
    let keys = add(&mut world, &first, &[FAILED, LIVE]);
    assert_eq!(short(&world.plan_all()), "T[f0]");
    assert_eq!(owed(&world), None);
    world.line(keys[1]).verdict = FAILED;
    assert_eq!(short(&world.plan_all()), "T[f0 f1] Y1");
    assert_eq!(owed(&world), Some(1));
    world.settle();
    assert_eq!(told(&world), "f0 f1", "no last word while a retry is owed");
}

#[test]
fn the_last_attempt_decides_and_its_fee_is_told() {
    let first = first(&[1]);
    let retry = retry_of(&first, 1, &[2, 3]);
    for is_booked in [true, false] {
        let mut world = World::default();
        add(&mut world, &first, &[FAILED]);
        if is_booked {
            note(&mut world, &first, PaymentState::Pending);
            world.settle();
            world.book.apply(&PaymentRecord::Retried(retry.clone()));
        }
        let keys = add(&mut world, &retry, &[FULFILLED, LIVE]);
        world.settle();
        assert_eq!(told(&world), if is_booked { "f0 S s0" } else { "S s0" });
        let sent = world.told.iter().find_map(|event| match event {
            Event::PaymentSent { fee_msat, .. } => Some(*fee_msat),
            Event::PaymentPathSuccessful { .. }
            | Event::PaymentPathFailed { .. }
            | Event::PaymentFailed { .. }
            | Event::Probed { .. }
            | Event::PaymentUnknown { .. }
            | Event::PaymentClaimed { .. }
            | Event::Alarm(_) => None,
        });
        assert_eq!(sent, Some(AmountMsat(77)));
        assert!(world.line(first.parts[0].key()).delivered.is_some(), "both attempts are released");
        assert!(world.line(keys[0]).delivered.is_some());
        assert_eq!(world.line(keys[1]).delivered, None, "an open part is not");
        world.line(keys[1]).verdict = FULFILLED;
        world.settle();
        assert!(told(&world).ends_with("S s0 s1"), "a straggler is told and then released");
        assert!(world.line(keys[1]).delivered.is_some());
        assert_eq!(owed(&world), None);
    }
}

#[test]
fn exhausted_attempts_fail_for_the_least_reason_of_all() {
    let first = first(&[1]);
    let retry = retry_of(&first, 1, &[2]);
    let removed = Verdict::Failed { reason: HtlcFailure::Removed { code: 7 } };
    let mut world = World::default();
    add(&mut world, &first, &[removed]);
    add(&mut world, &retry, &[FAILED]);
    world.settle();
    assert_eq!(told(&world), "f0 f0 F");
    let state = world.book.0[&id(1)].state;
    let reason = HtlcFailure::Removed { code: 7 };
    assert_eq!(state, PaymentState::Handled(Outcome::Failed { reason }));
}

#[test]
fn a_payment_that_is_given_up_fails_only_once_a_ledger_says_so() {
    let first = first(&[1, 2]);
    let mut world = World::default();
    note(&mut world, &first, PaymentState::Pending);
    add(&mut world, &first, &[FAILED, FAILED]);
    let before = world.book.clone();
    let (payment_id, generation) = (id(1), generation(1));
    world.book.apply(&PaymentRecord::Abandoned { payment_id, generation });
    assert_eq!(short(&world.plan_all()), "T[f0 f1] G1 G2");
    assert_eq!(owed(&world), None);
    world.settle();
    assert_eq!(told(&world), "f0 f1 F");

    // Neither an older book nor none can bring the attempt back after the last word.
    for book in [before, Book::default()] {
        let mut world = world.clone();
        for key in [first.parts[0].key(), first.parts[1].key()] {
            world.line(key).delivered = None;
        }
        world.crash(book);
        assert_eq!(owed(&world), None);
        world.settle();
        assert_eq!(told(&world), "f0 f1 F f0 f1 F", "the same again, field for field");
        assert_eq!(world.told[..3], world.told[3..]);
    }
}

#[test]
fn giving_up_while_a_part_is_open_is_noted_at_once() {
    let first = first(&[1]);
    let mut world = World::default();
    note(&mut world, &first, PaymentState::Pending);
    let keys = add(&mut world, &first, &[LIVE]);
    let (payment_id, generation) = (id(1), generation(1));
    world.book.apply(&PaymentRecord::Abandoned { payment_id, generation });
    world.settle();
    assert!(world.line(keys[0]).is_given_up);
    world.crash(Book::default());
    world.line(keys[0]).verdict = FAILED;
    world.settle();
    assert_eq!(told(&world), "f0 F");
}

#[test]
fn a_retry_that_never_left_is_owed_again_under_its_number() {
    let first = first(&[1]);
    let retry = retry_of(&first, 1, &[2]);
    let mut world = World::default();
    open(&mut world, &[2]);
    note(&mut world, &first, PaymentState::Pending);
    add(&mut world, &first, &[FAILED]);
    world.book.apply(&PaymentRecord::Retried(retry));
    assert_eq!(owed(&world), Some(1));
    assert_eq!(short(&world.plan_all()), "T[f0] Y1");
}

#[test]
fn a_payment_of_which_nothing_left_is_not_tried_again() {
    let first = first(&[1]);
    let mut world = World::default();
    open(&mut world, &[1]);
    note(&mut world, &first, PaymentState::Pending);
    assert_eq!(owed(&world), None, "an older book could not tell it from one that was told");
    world.settle();
    assert_eq!(told(&world), "F");
}

#[test]
fn a_damaged_monitor_may_hide_a_later_attempt() {
    let first = first(&[1]);
    let retry = retry_of(&first, 1, &[2]);
    let mut world = World::default();
    note(&mut world, &first, PaymentState::Pending);
    add(&mut world, &first, &[FAILED]);
    add(&mut world, &retry, &[FULFILLED]);
    set_bytes(&mut world, 2, Bytes::Damaged);
    assert_eq!(short(&world.plan_all()), "W2");
    assert_eq!(owed(&world), None, "nobody pays twice");
    let PaymentStatus::Live(live) = know(&world) else { panic!("it is live") };
    assert_eq!(live.waits_for, [channel(2)]);
    set_bytes(&mut world, 2, Bytes::Present);
    world.settle();
    assert_eq!(told(&world), "S s0");
}

#[test]
fn an_exhausted_payment_does_not_wait_for_a_monitor_that_cannot_know_it() {
    let first = intent(1, &[1]);
    let mut world = World::default();
    add(&mut world, &first, &[FAILED]);
    set_bytes(&mut world, 3, Bytes::Damaged);
    world.settle();
    assert_eq!(told(&world), "f0 F");
}

#[test]
fn no_attempt_is_released_while_an_earlier_one_cannot_be() {
    let first = first(&[1]);
    let retry = retry_of(&first, 1, &[2]);
    let mut world = World::default();
    add(&mut world, &first, &[FAILED]);
    let keys = add(&mut world, &retry, &[FULFILLED]);
    set_bytes(&mut world, 1, Bytes::Damaged);
    world.settle();
    assert_eq!(told(&world), "S s0");
    assert_eq!(world.line(keys[0]).delivered, None);
    // The book is lost as well, and the monitor comes back: the same word, and no other.
    world.crash(Book::default());
    set_bytes(&mut world, 1, Bytes::Present);
    world.settle();
    assert_eq!(told(&world), "S s0 S s0");
    assert_eq!(world.told[..2], world.told[2..]);
    assert!(world.line(keys[0]).delivered.is_some());
}

#[test]
fn a_released_attempt_ends_the_generation_for_the_later_ones() {
    // The other way round cannot be: no attempt is released before those that came before it.
    let first = first(&[1]);
    let retry = retry_of(&first, 1, &[2]);
    let mut world = World::default();
    add(&mut world, &first, &[FAILED]);
    let keys = add(&mut world, &retry, &[FULFILLED]);
    deliver(&mut world, &first, 0, sent_for(&retry));
    assert_eq!(owed(&world), None);
    world.settle();
    assert_eq!(told(&world), "");
    assert!(world.line(keys[0]).delivered.is_some());

    // Nor is one owed after a word that a ledger remembers, whatever the book and the terms say.
    let mut world = World::default();
    note(&mut world, &first, PaymentState::Pending);
    add(&mut world, &first, &[FAILED]);
    assert_eq!(owed(&world), Some(1));
    deliver(&mut world, &first, 0, failed());
    assert_eq!(owed(&world), None);
}

#[test]
fn a_probe_ends_in_a_word_of_its_own() {
    let mut probe = intent(1, &[1]);
    probe.terms.purpose = Purpose::Probe;
    for (code, is_at_the_recipient) in [(0x400F, true), (0x1007, false)] {
        let mut world = World::default();
        note(&mut world, &probe, PaymentState::Pending);
        add(&mut world, &probe, &[Verdict::Failed { reason: HtlcFailure::Removed { code } }]);
        let mut bookless = world.clone();
        bookless.crash(Book::default());
        for mut world in [world, bookless] {
            world.settle();
            assert_eq!(told(&world), "P", "no path event and no failed payment");
            let Some(Event::Probed { is_reached, .. }) = world.told.first() else {
                panic!("the probe's word");
            };
            assert_eq!(*is_reached, is_at_the_recipient);
            assert!(world.plan_all().is_empty(), "and the HTLC is released");
        }
    }
    // A recipient that takes it was paid, and that is said.
    let mut world = World::default();
    add(&mut world, &probe, &[FULFILLED]);
    world.settle();
    assert_eq!(told(&world), "S s0");
}

#[test]
fn a_status_is_right_at_any_time() {
    let first = first(&[1]);
    let retry = retry_of(&first, 1, &[2]);
    let mut world = World::default();
    open(&mut world, &[1, 2, 3]);
    assert_eq!(know(&world), PaymentStatus::Unknown);
    note(&mut world, &first, PaymentState::Pending);
    add(&mut world, &first, &[FAILED]);
    let PaymentStatus::Live(live) = know(&world) else { panic!("it is live") };
    assert_eq!((live.retry_owed, live.parts.len(), live.waits_for.len()), (Some(1), 1, 0));
    world.book.apply(&PaymentRecord::Retried(retry.clone()));
    add(&mut world, &retry, &[FULFILLED]);
    let PaymentStatus::Live(live) = know(&world) else { panic!("nothing is recorded yet") };
    assert_eq!((live.retry_owed, live.parts.len()), (None, 2));
    assert_eq!((live.parts[1].attempt, live.parts[1].fee_msat), (1, AmountMsat(10)));
    for planned in world.plan_all().actions {
        world.execute(&planned.action);
    }
    let outcome = sent_for(&retry);
    let is_told = |world: &World| {
        let PaymentStatus::Finished { outcome: found, is_told, .. } = know(world) else {
            panic!("it is finished");
        };
        assert_eq!(found, outcome);
        is_told
    };
    assert!(!is_told(&world));
    world.settle();
    assert!(is_told(&world));
    // Long finished, from the ledgers alone.
    world.crash(Book::default());
    assert_eq!(know(&world), PaymentStatus::Past(vec![(generation(1), outcome)]));
    assert_ne!(outcome, failed());
}

/// A book that is older than the second attempt takes on what was told of it. The ledgers' first
/// attempt, released before, does not lead to the second; the book has to, after a crash between any
/// two of its records.
#[test]
fn a_book_that_adopts_a_later_attempt_leads_to_it() {
    let first = first(&[1]);
    let retry = retry_of(&first, 1, &[2]);
    let mut world = World::default();
    note(&mut world, &first, PaymentState::Pending);
    add(&mut world, &first, &[FAILED]);
    deliver(&mut world, &first, 0, sent_for(&retry));
    let keys = add(&mut world, &retry, &[FULFILLED]);
    let plan = world.plan_all();
    let is_record = |planned: &&Planned| matches!(planned.action, Action::Record(_));
    let records: Vec<&Planned> = plan.actions.iter().filter(is_record).collect();
    for survivors in 1..=records.len() {
        let mut world = world.clone();
        records[..survivors].iter().for_each(|planned| world.execute(&planned.action));
        let changed = Scope::of_payment(id(1));
        // The user may be told of the path once more.
        for _ in 0..4 {
            let plan = world.plan(&changed);
            plan.actions.iter().for_each(|planned| world.execute(&planned.action));
            if let Some(key) = world.tell_next().and_then(|event| event.key()) {
                world.book.apply(&PaymentRecord::Handled { key });
            }
        }
        assert!(world.line(keys[0]).delivered.is_some(), "{survivors} of {}", records.len());
    }
}
