//! The lines that `lastword explain` prints.

use lastword_types::PaymentState;

use crate::tools::{
    FAILED, FULFILLED, LIVE, add, deliver, intent, note, open, sent_for, set_bytes,
};
use crate::world::{Bytes, World};

fn lines(world: &World) -> Vec<String> {
    let text = world.plan_all().to_string();
    let short = text
        .replace(&"01".repeat(32), "<01>")
        .replace(&"02".repeat(32), "<02>")
        .replace(&"01".repeat(16), "<g1>");
    short.lines().map(String::from).collect()
}

#[test]
fn a_sent_payment_without_a_book() {
    let mut world = World::default();
    add(&mut world, &intent(1, &[1, 2]), &[FULFILLED, FAILED]);
    assert_eq!(
        lines(&world),
        [
            "rebuild payment <01> from 2 part(s): R7, no book knows it and a ledger still has it \
             to tell",
            "record payment <01> as sent (2000 msat, fee 10 msat): R4, a part was fulfilled",
            "tell of payment <01> PaymentSent, PaymentPathSuccessful(0/0): R4, a part was \
             fulfilled",
        ]
    );
}

#[test]
fn an_adopted_payment() {
    let intent = intent(1, &[1, 2]);
    let mut world = World::default();
    add(&mut world, &intent, &[FULFILLED, FAILED]);
    deliver(&mut world, &intent, 0, sent_for(&intent));
    note(&mut world, &intent, PaymentState::Pending);
    assert_eq!(
        lines(&world),
        [
            "adopt payment <01> as sent (2000 msat, fee 10 msat): R6, a ledger proves that the \
             user was told",
            "tell nothing of payment <01>: R6, a ledger proves that the user was told",
            "release offered HTLC 101 of channel <02> as sent (2000 msat, fee 10 msat): R6, a \
             ledger proves that the user was told",
        ]
    );
}

#[test]
fn a_payment_that_waits_and_one_that_never_left() {
    let intent = intent(1, &[1]);
    let mut world = World::default();
    set_bytes(&mut world, 1, Bytes::Damaged);
    note(&mut world, &intent, PaymentState::Pending);
    assert_eq!(lines(&world), ["payment <01> waits for channel <01>: R2, the monitor is damaged"]);
    set_bytes(&mut world, 1, Bytes::Present);
    assert_eq!(
        lines(&world),
        [
            "record payment <01> as failed (never sent): R2, no HTLC of it ever left",
            "tell of payment <01> PaymentFailed: R2, no HTLC of it ever left",
        ]
    );
}

#[test]
fn nothing_to_do_is_said() {
    let mut world = World::default();
    open(&mut world, &[1]);
    note(&mut world, &intent(1, &[1]), PaymentState::Pending);
    add(&mut world, &intent(1, &[1]), &[LIVE]);
    assert_eq!(lines(&world), ["nothing to do"]);
}

#[test]
fn no_secret_is_printed() {
    let mut world = World::default();
    add(&mut world, &intent(1, &[1]), &[FULFILLED]);
    let plan = world.plan_all();
    assert!(!plan.to_string().contains(&"07".repeat(32)));
    assert!(!format!("{plan:?}").contains("7, 7, 7"));
}
