//! A payment of one part: every state of the book against every state of the ledger.

use std::collections::BTreeSet;

use lastword_reload::Scope;
use lastword_types::{Event, HtlcFailure, Intent, PaymentRecord, PaymentState};

use crate::tools::{
    FAILED, FAILING, FULFILLED, LIVE, add_part, deliver, failed, id, intent, note, open, sent_for,
    set_bytes, short,
};
use crate::world::{Bytes, World};

const BOOKS: [&str; 7] = [
    "none",
    "pending",
    "abandoned",
    "decided sent",
    "decided failed",
    "handled sent",
    "handled failed",
];

fn put_into_book(world: &mut World, intent: &Intent, state: &str) {
    let sent = sent_for(intent);
    match state {
        "none" => {}
        "pending" => note(world, intent, PaymentState::Pending),
        "abandoned" => {
            note(world, intent, PaymentState::Pending);
            let (payment_id, generation) = (intent.payment_id, intent.generation);
            world.book.apply(&PaymentRecord::Abandoned { payment_id, generation });
        }
        "decided sent" => note(world, intent, PaymentState::Decided(sent)),
        "decided failed" => note(world, intent, PaymentState::Decided(failed())),
        "handled sent" => note(world, intent, PaymentState::Handled(sent)),
        "handled failed" => note(world, intent, PaymentState::Handled(failed())),
        other => panic!("no such book: {other}"),
    }
}

fn put_into_ledger(world: &mut World, intent: &Intent, state: &str) {
    open(world, &[1]);
    let sent = sent_for(intent);
    match state {
        "no entry" => {}
        "missing" => set_bytes(world, 1, Bytes::Missing),
        "damaged" => set_bytes(world, 1, Bytes::Damaged),
        "live" => drop(add_part(world, intent, 0, LIVE)),
        "failing" => drop(add_part(world, intent, 0, FAILING)),
        "fulfilled" => drop(add_part(world, intent, 0, FULFILLED)),
        "failed" => drop(add_part(world, intent, 0, FAILED)),
        "fulfilled, told sent" => {
            add_part(world, intent, 0, FULFILLED);
            deliver(world, intent, 0, sent);
        }
        "failed, told failed" => {
            add_part(world, intent, 0, FAILED);
            deliver(world, intent, 0, failed());
        }
        "failed, told sent" => {
            add_part(world, intent, 0, FAILED);
            deliver(world, intent, 0, sent);
        }
        other => panic!("no such ledger: {other}"),
    }
}

#[test]
fn every_book_meets_every_ledger() {
    // One column for each of BOOKS.
    let told = ["", "As T[]", "As T[]", "As T[]", "As T[]", "", ""];
    let table: [(&str, [&str; 7]); 10] = [
        ("no entry", ["", "Df T[F]", "Df T[F]", "B Df T[F]", "T[F]", "", ""]),
        ("missing", ["", "W1", "W1", "W1", "W1", "", ""]),
        ("damaged", ["", "W1", "W1", "W1", "W1", "", ""]),
        ("live", ["B", "", "", "B T[]", "B T[]", "", ""]),
        ("failing", ["B", "", "", "B T[]", "B T[]", "", ""]),
        (
            "fulfilled",
            ["B Ds T[S s0]", "Ds T[S s0]", "Ds T[S s0]", "T[S s0]", "B Ds T[S s0]", "T[s0]", "Rf1"],
        ),
        (
            "failed",
            ["B Df T[f0 F]", "Df T[f0 F]", "Df T[f0 F]", "B Df T[f0 F]", "T[f0 F]", "Rs1", "Rf1"],
        ),
        ("fulfilled, told sent", told),
        ("failed, told failed", ["", "Af T[]", "Af T[]", "Af T[]", "Af T[]", "", ""]),
        ("failed, told sent", told),
    ];
    for (ledger, expected) in table {
        for (book, expected) in BOOKS.iter().zip(expected) {
            let world = world(book, ledger);
            assert_eq!(short(&world.plan_all()), expected, "book {book}, ledger {ledger}");
            let payments = BTreeSet::from([id(1)]);
            let scope =
                Scope::Changed { payments, forwards: BTreeSet::new(), received: BTreeSet::new() };
            assert_eq!(world.plan(&scope), world.plan_all(), "the live path is the same");
        }
    }
}

#[test]
fn an_unsent_payment_fails_for_one_reason_whatever_book_tells_it() {
    for book in ["pending", "abandoned"] {
        let mut world = world(book, "no entry");
        world.settle();
        let [Event::PaymentFailed { reason: told, .. }] = &world.told[..] else {
            panic!("one event");
        };
        assert_eq!(*told, HtlcFailure::NeverSent);
    }
}

#[test]
fn giving_up_has_no_effect_on_the_reason_while_an_htlc_exists() {
    let mut reasons = Vec::new();
    for book in ["none", "pending", "abandoned"] {
        let mut world = world(book, "failed");
        world.settle();
        reasons.push(world.told);
    }
    assert_eq!(reasons[0], reasons[1]);
    assert_eq!(reasons[1], reasons[2]);
}

#[test]
fn a_rebuilt_payment_is_the_intent_itself() {
    let mut world = world("none", "live");
    world.settle();
    assert_eq!(world.book.0[&id(1)].intent, intent(1, &[1]));
}

fn world(book: &str, ledger: &str) -> World {
    let intent = intent(1, &[1]);
    let mut world = World::default();
    put_into_book(&mut world, &intent, book);
    put_into_ledger(&mut world, &intent, ledger);
    world
}
