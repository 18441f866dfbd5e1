//! The crash windows of rust-lightning, section "own payment, closed channel", at the level of the
//! plan: what is durable, what is lost, and what the user hears.

use lastword_types::{EventKind, PaymentState};

use crate::tools::{FAILED, FULFILLED, LIVE, add, deliver, intent, note, sent_for, short, told};
use crate::world::{Book, World};

fn with_book(state: Option<PaymentState>, verdict: lastword_types::Verdict) -> World {
    let intent = intent(1, &[1]);
    let mut world = World::default();
    add(&mut world, &intent, &[verdict]);
    if let Some(state) = state {
        note(&mut world, &intent, state);
    }
    world
}

fn sent() -> lastword_types::Outcome {
    sent_for(&intent(1, &[1]))
}

#[test]
fn row_1_both_are_from_before_the_block() {
    let mut world = with_book(Some(PaymentState::Pending), LIVE);
    world.settle();
    assert_eq!(told(&world), "");
    world.line(intent(1, &[1]).parts[0].key()).verdict = FULFILLED;
    world.settle();
    assert_eq!(told(&world), "S s0");
}

#[test]
fn row_2_the_book_is_ahead_of_the_monitor() {
    // Handled, and the monitor sees the block again.
    let mut world = with_book(Some(PaymentState::Handled(sent())), LIVE);
    world.settle();
    assert_eq!(told(&world), "");
    world.line(intent(1, &[1]).parts[0].key()).verdict = FULFILLED;
    world.settle();
    assert_eq!(told(&world), "s0", "the last word is not repeated");
    // Recorded only: the ledger does not bear it out yet, so it is not told yet.
    let mut world = with_book(Some(PaymentState::Decided(sent())), LIVE);
    world.settle();
    assert_eq!(told(&world), "");
    world.line(intent(1, &[1]).parts[0].key()).verdict = FULFILLED;
    world.settle();
    assert_eq!(told(&world), "S s0");
}

#[test]
fn row_3_the_monitor_knows_and_the_book_does_not() {
    for (verdict, tale) in [(FULFILLED, "S s0"), (FAILED, "f0 F")] {
        let mut world = with_book(Some(PaymentState::Pending), verdict);
        world.settle();
        assert_eq!(told(&world), tale);
    }
}

#[test]
fn row_4_queued_and_not_handled_is_told_again() {
    let mut world = with_book(Some(PaymentState::Pending), FULFILLED);
    for planned in world.plan_all().actions {
        world.execute(&planned.action);
    }
    world.tell_next();
    let (book, first) = (world.book.clone(), world.told.clone());
    world.crash(book);
    world.settle();
    assert_eq!(world.told[1], first[0], "identical, field for field");
    assert_eq!(told(&world), "S S s0");
}

#[test]
fn row_5_handled_and_the_release_lost() {
    let mut world = with_book(Some(PaymentState::Handled(sent())), FULFILLED);
    let entry = world.book.0.values_mut().next().unwrap();
    entry
        .paths_handled
        .insert(EventKind::PathSuccessful { attempt: 0, part: lastword_types::PartIndex(0) });
    assert_eq!(short(&world.plan_all()), "Rs1");
    world.settle();
    assert_eq!(told(&world), "");
}

#[test]
fn row_6_the_entry_is_gone_before_the_release_is_durable() {
    // The book of this crate cannot come to it (R9); a lost one can, and repeats itself exactly.
    let mut world = with_book(Some(PaymentState::Pending), FULFILLED);
    let fresh = world.clone();
    world.settle();
    let mut again = fresh;
    again.crash(Book::default());
    again.settle();
    assert_eq!(again.told, world.told);
    // The id is not free meanwhile, so nothing is ever added to another payment.
    assert_eq!(again.book.0.len(), 1);
}

#[test]
fn row_7_released_and_the_book_still_pending() {
    let mut world = with_book(Some(PaymentState::Pending), FULFILLED);
    deliver(&mut world, &intent(1, &[1]), 0, sent());
    assert_eq!(short(&world.plan_all()), "As T[]");
    world.settle();
    assert_eq!(told(&world), "", "the user knows it");
    let key = lastword_types::EventKey {
        payment_id: crate::tools::id(1),
        generation: crate::tools::generation(1),
        kind: EventKind::Sent,
    };
    assert!(world.with_view(|view| view.payments.is_handled(key)), "and it does not hang");
}

#[test]
fn row_8_released_while_the_channel_is_open_never_fails() {
    // Open and closed channels are one case: the entry is there, and it says what was told.
    let mut world = with_book(Some(PaymentState::Pending), FULFILLED);
    deliver(&mut world, &intent(1, &[1]), 0, sent());
    world.sheets.values_mut().for_each(|sheet| sheet.is_closed = false);
    world.settle();
    assert_eq!(told(&world), "");
}

#[test]
fn row_9_released_and_the_book_from_before_the_payment() {
    let mut world = with_book(None, FULFILLED);
    deliver(&mut world, &intent(1, &[1]), 0, sent());
    assert!(world.plan_all().is_empty());
}

#[test]
fn row_11_the_book_from_before_a_payment_of_two_parts() {
    let intent = intent(1, &[1, 2]);
    let mut world = World::default();
    add(&mut world, &intent, &[FULFILLED, FULFILLED]);
    world.settle();
    assert_eq!(told(&world), "S s0 s1");
    let lastword_types::Event::PaymentSent { amount_msat, fee_msat, .. } = world.told[0] else {
        panic!("sent comes first");
    };
    assert_eq!((amount_msat, fee_msat), (intent.total_msat, intent.fee_msat));
}

#[test]
fn row_12_one_part_claimed_and_one_failed_in_two_monitors() {
    let intent = intent(1, &[1, 2]);
    let mut world = World::default();
    note(&mut world, &intent, PaymentState::Pending);
    add(&mut world, &intent, &[FULFILLED, FAILED]);
    world.settle();
    assert_eq!(told(&world), "S s0");
}
