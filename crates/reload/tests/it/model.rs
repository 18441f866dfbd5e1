//! The traces W1 to W14 that broke the first version of the rules in the model checker, as far as
//! they can be said at the level of the plan.

use lastword_ports::InboundState;
use lastword_reload::may_drop;
use lastword_types::{
    AmountMsat, BlockHeight, Event, ForwardOrigin, Htlc, HtlcDirection, HtlcId, HtlcKey,
    HtlcOrigin, PaymentState,
};

use crate::tools::{
    FAILED, FAILING, FULFILLED, LIVE, PREIMAGE, add, add_htlc, add_part, channel, deliver, failed,
    generation, id, intent, intent_of, never_sent, note, open, sent_for, short, told,
};
use crate::world::{Book, Bytes, World};

#[test]
fn w1_a_part_that_never_left_is_not_waited_for() {
    let intent = intent(1, &[1, 2]);
    let mut world = World::default();
    open(&mut world, &[1, 2]);
    note(&mut world, &intent, PaymentState::Pending);
    world.settle();
    assert_eq!(told(&world), "F");
    assert_eq!(world.book.0[&id(1)].state, PaymentState::Handled(never_sent()));
}

#[test]
fn w1_a_missing_monitor_is_no_evidence() {
    for bytes in [Bytes::Missing, Bytes::Damaged] {
        let intent = intent(1, &[1, 2]);
        let mut world = World::default();
        note(&mut world, &intent, PaymentState::Pending);
        add_part(&mut world, &intent, 0, FAILED);
        add_part(&mut world, &intent, 1, FULFILLED);
        world.sheets.get_mut(&channel(2)).unwrap().bytes = bytes;
        world.settle();
        assert_eq!(told(&world), "", "no word while a monitor cannot be read");
        world.sheets.get_mut(&channel(2)).unwrap().bytes = Bytes::Present;
        world.settle();
        assert_eq!(told(&world), "S s1");
    }
}

#[test]
fn w2_a_final_failure_is_the_last_word() {
    // The ledger's verdict is frozen; a late preimage is a fact beside it. So whatever book comes
    // back, the tale stays the same.
    let intent = intent(1, &[1]);
    let mut world = World::default();
    note(&mut world, &intent, PaymentState::Pending);
    let old = world.book.clone();
    add(&mut world, &intent, &[FAILED]);
    for planned in world.plan_all().actions {
        world.execute(&planned.action);
    }
    world.tell_next();
    world.tell_next();
    world.crash(old);
    world.settle();
    assert_eq!(told(&world), "f0 F f0 F");
    assert_eq!(world.told[..2], world.told[2..], "the same, field for field");
}

#[test]
fn w3_a_recorded_outcome_is_not_believed_when_the_ledger_lost_its_cause() {
    // First trace: sent was recorded, the claim was reorganised away, the HTLC failed.
    let intent = intent(1, &[1]);
    let mut world = World::default();
    note(&mut world, &intent, PaymentState::Decided(sent_for(&intent)));
    let keys = add(&mut world, &intent, &[LIVE]);
    assert_eq!(short(&world.plan_all()), "B T[]");
    world.settle();
    assert_eq!(told(&world), "");
    world.line(keys[0]).verdict = FAILED;
    world.settle();
    assert_eq!(told(&world), "f0 F");

    // Second trace: failed was recorded ahead of the ledger, which then saw the preimage.
    let mut world = World::default();
    note(&mut world, &intent, PaymentState::Decided(failed()));
    add(&mut world, &intent, &[FULFILLED]);
    world.settle();
    assert_eq!(told(&world), "S s0");
}

#[test]
fn w3_and_w4_an_older_book_with_a_recorded_outcome_adopts_what_was_told() {
    let intent = intent(1, &[1]);
    for recorded in [
        PaymentState::Pending,
        PaymentState::Decided(sent_for(&intent)),
        PaymentState::Decided(failed()),
    ] {
        let mut world = World::default();
        add(&mut world, &intent, &[FULFILLED]);
        deliver(&mut world, &intent, 0, sent_for(&intent));
        note(&mut world, &intent, recorded);
        world.settle();
        assert_eq!(told(&world), "", "{recorded:?}");
        assert_eq!(world.book.0[&id(1)].state, PaymentState::Handled(sent_for(&intent)));
    }
}

#[test]
fn w5_a_failed_sibling_alone_does_not_make_a_failed_payment() {
    // Part 0 was taken and told, its release is durable; that of the failed part 1 is not.
    let intent = intent(1, &[1, 2]);
    let mut world = World::default();
    add(&mut world, &intent, &[FULFILLED, FAILED]);
    deliver(&mut world, &intent, 0, sent_for(&intent));
    assert_eq!(short(&world.plan_all()), "B As T[] Rs2");
    world.settle();
    assert_eq!(told(&world), "");
}

#[test]
fn w6_an_older_generation_says_nothing_once_another_was_accepted() {
    // The old one was never sent, told, and lost with the book that knew it was told.
    let (old, new) = (intent(1, &[1]), intent(2, &[2]));
    let mut world = World::default();
    open(&mut world, &[1]);
    note(&mut world, &old, PaymentState::Pending);
    add(&mut world, &new, &[LIVE]);
    world.settle();
    assert_eq!(told(&world), "");
    assert_eq!(world.book.0[&id(1)].intent, new, "and the new one is not lost");
}

#[test]
fn w7_a_finished_generation_does_not_swallow_the_next() {
    let (old, new) = (intent(1, &[1]), intent(2, &[1]));
    let mut world = World::default();
    note(&mut world, &old, PaymentState::Handled(failed()));
    add(&mut world, &new, &[FULFILLED]);
    world.settle();
    assert_eq!(told(&world), "S s0");
    assert_eq!(world.told[0].key().unwrap().generation, generation(2));
}

#[test]
fn w8_one_durable_release_is_enough() {
    let intent = intent(1, &[1, 2]);
    let sent = sent_for(&intent);
    for (part, plan) in [(0, "B As H T[] Rs2"), (1, "B As H T[] Rs1")] {
        let mut world = World::default();
        add(&mut world, &intent, &[FULFILLED, FULFILLED]);
        deliver(&mut world, &intent, part, sent);
        assert_eq!(short(&world.plan_all()), plan);
        world.settle();
        assert_eq!(told(&world), "");
        assert!(
            world
                .sheets
                .values()
                .all(|sheet| { sheet.lines.values().all(|line| line.delivered.is_some()) })
        );
    }
}

#[test]
fn w9_a_payment_is_not_dropped_before_its_releases_are_durable() {
    let intent = intent(1, &[1, 2]);
    let sent = sent_for(&intent);
    let may_drop = |world: &World| world.with_view(|view| may_drop(id(1), view));
    let mut world = World::default();
    assert!(!may_drop(&world), "nobody knows it");
    add(&mut world, &intent, &[FULFILLED, FULFILLED]);
    for state in [PaymentState::Pending, PaymentState::Decided(sent)] {
        note(&mut world, &intent, state);
        assert!(!may_drop(&world));
    }
    note(&mut world, &intent, PaymentState::Handled(sent));
    assert!(!may_drop(&world));
    deliver(&mut world, &intent, 0, sent);
    assert!(!may_drop(&world));
    deliver(&mut world, &intent, 1, sent);
    assert!(may_drop(&world));
    world.sheets.get_mut(&channel(2)).unwrap().bytes = Bytes::Damaged;
    assert!(!may_drop(&world), "a monitor that cannot be read may hold an entry");
    world.sheets.get_mut(&channel(2)).unwrap().bytes = Bytes::Present;
    assert!(may_drop(&world));
    open(&mut world, &[9]);
    world.sheets.get_mut(&channel(9)).unwrap().bytes = Bytes::Damaged;
    assert!(!may_drop(&world), "one that nothing names may hold a later attempt");
}

#[test]
fn w10_what_may_still_be_paid_has_not_failed() {
    let intent = intent(1, &[1, 2]);
    let mut world = World::default();
    note(&mut world, &intent, PaymentState::Pending);
    let keys = add(&mut world, &intent, &[FAILING, FAILED]);
    world.settle();
    assert_eq!(told(&world), "f1");
    world.line(keys[0]).verdict = FULFILLED;
    world.settle();
    assert_eq!(told(&world), "f1 S s0");
}

#[test]
fn w11_the_preimage_of_one_part_says_nothing_of_another() {
    let intent = intent(1, &[1, 2]);
    let mut world = World::default();
    note(&mut world, &intent, PaymentState::Pending);
    let keys = add(&mut world, &intent, &[FULFILLED, LIVE]);
    world.settle();
    assert_eq!(told(&world), "S s0");
    assert_eq!(world.line(keys[1]).delivered, None);
    world.line(keys[1]).verdict = FAILED;
    world.settle();
    assert_eq!(told(&world), "S s0", "a straggler that failed is released in silence");
    assert!(world.line(keys[1]).delivered.is_some());
}

#[test]
fn w12_a_forward_whose_inbound_channel_is_archived_is_released() {
    let key =
        |byte, direction| HtlcKey { channel_id: channel(byte), direction, htlc_id: HtlcId(0) };
    let (inbound, outbound) = (key(1, HtlcDirection::Received), key(2, HtlcDirection::Offered));
    let mut world = World::default();
    let htlc = Htlc {
        direction: HtlcDirection::Offered,
        htlc_id: outbound.htlc_id,
        amount_msat: AmountMsat(1_000),
        payment_hash: PREIMAGE.payment_hash(),
        cltv_expiry: BlockHeight(500),
        origin: HtlcOrigin::Forward(ForwardOrigin {
            inbound,
            inbound_amount_msat: AmountMsat(1_001),
            inbound_cltv_expiry: BlockHeight(600),
        }),
    };
    add_htlc(&mut world, outbound.channel_id, htlc, FULFILLED);
    world.inbound.insert(inbound, InboundState::Gone);
    assert_eq!(short(&world.plan_all()), "R>2");
    world.settle();
    assert!(world.plan_all().is_empty());
}

#[test]
fn w13_a_live_part_of_an_earlier_attempt_counts() {
    let first = intent(1, &[1]);
    let mut retry = intent(1, &[2]);
    retry.attempt = 1;
    let mut world = World::default();
    note(&mut world, &retry, PaymentState::Pending);
    add(&mut world, &retry, &[FAILED]);
    let keys = add(&mut world, &first, &[LIVE]);
    world.settle();
    assert_eq!(told(&world), "f0");
    world.line(keys[0]).verdict = FULFILLED;
    world.settle();
    assert_eq!(told(&world), "f0 S s0");
    let Some(Event::PaymentPathSuccessful { attempt, .. }) = world.told.last() else {
        panic!("the path that was taken");
    };
    assert_eq!(*attempt, 0);
}

#[test]
fn w14_an_htlc_of_another_payment_is_no_part_of_this_one() {
    // The first payment's update was not durable, and its HTLC id was used again.
    let lost = intent_of(1, 1, &[1]);
    let mut other = intent_of(2, 2, &[1]);
    other.parts[0].htlc_id = lost.parts[0].htlc_id;
    let mut world = World::default();
    note(&mut world, &lost, PaymentState::Pending);
    note(&mut world, &other, PaymentState::Pending);
    add(&mut world, &other, &[FULFILLED]);
    world.settle();
    assert_eq!(world.book.0[&id(1)].state, PaymentState::Handled(never_sent()));
    assert_eq!(world.book.0[&id(2)].state, PaymentState::Handled(sent_for(&other)));
}

#[test]
fn w14_an_htlc_of_another_generation_or_attempt_is_no_part_of_this_one() {
    let lost = intent(1, &[1]);
    let mut world = World::default();
    let mut next = intent(2, &[1]);
    next.parts[0].htlc_id = lost.parts[0].htlc_id;
    add(&mut world, &next, &[FULFILLED]);
    deliver(&mut world, &next, 0, sent_for(&next));
    note(&mut world, &lost, PaymentState::Pending);
    world.settle();
    assert_eq!(told(&world), "F", "what the other generation told is not adopted");

    let mut world = World::default();
    let mut retry = intent(1, &[1]);
    retry.attempt = 1;
    add(&mut world, &retry, &[LIVE]);
    note(&mut world, &intent(1, &[1]), PaymentState::Pending);
    assert_eq!(short(&world.plan_all()), "B", "the retry is a part of its own and still open");
}

#[test]
fn without_a_book_and_without_an_entry_there_is_silence() {
    let mut world = World::default();
    open(&mut world, &[1, 2]);
    world.crash(Book::default());
    assert!(world.plan_all().is_empty());
}
