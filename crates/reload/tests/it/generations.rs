//! Several generations of one payment id, and payments of which the book holds only a part.

use lastword_reload::{Action, Reason, Scope};
use lastword_types::{Metadata, PaymentRecord, PaymentState};

use crate::tools::{
    FAILED, FULFILLED, LIVE, add, add_part, deliver, failed, generation, id, intent, note, open,
    sent_for, set_bytes, short, told,
};
use crate::world::{Bytes, World};

fn changed() -> Scope {
    Scope::of_payment(id(1))
}

#[test]
fn delivered_entries_of_an_earlier_generation_are_another_tale() {
    let (old, new) = (intent(1, &[1]), intent(2, &[1]));
    let mut world = World::default();
    add(&mut world, &old, &[FULFILLED]);
    deliver(&mut world, &old, 0, sent_for(&old));
    add(&mut world, &new, &[FAILED]);
    note(&mut world, &new, PaymentState::Pending);
    world.settle();
    assert_eq!(told(&world), "f0 F");
}

#[test]
fn a_newer_generation_replaces_an_older_book_in_any_state() {
    let (old, new) = (intent(1, &[1]), intent(2, &[2]));
    for state in [
        PaymentState::Pending,
        PaymentState::Decided(failed()),
        PaymentState::Handled(sent_for(&old)),
    ] {
        let mut world = World::default();
        open(&mut world, &[1]);
        note(&mut world, &old, state);
        add(&mut world, &new, &[FULFILLED]);
        assert_eq!(short(&world.plan_all()), "B Ds T[S s0]");
        assert_eq!(
            world.plan_all().actions[0].reason,
            Reason::Superseded { earlier: generation(1) }
        );
        world.settle();
        assert!(world.told.iter().all(|event| event.key().unwrap().generation == generation(2)));
        assert_eq!(told(&world), "S s0");
    }
}

#[test]
fn a_newer_generation_is_proof_even_while_the_older_ones_monitor_is_damaged() {
    let (old, new) = (intent(1, &[1]), intent(2, &[2]));
    let mut world = World::default();
    set_bytes(&mut world, 1, Bytes::Damaged);
    note(&mut world, &old, PaymentState::Pending);
    add(&mut world, &new, &[LIVE]);
    assert_eq!(short(&world.plan_all()), "B T[]");
}

#[test]
fn a_newer_generation_that_is_over_is_adopted_and_the_older_kept_silent() {
    let (old, new) = (intent(1, &[1]), intent(2, &[1, 2]));
    let mut world = World::default();
    note(&mut world, &old, PaymentState::Pending);
    add(&mut world, &new, &[FAILED, FULFILLED]);
    deliver(&mut world, &new, 1, sent_for(&new));
    assert_eq!(short(&world.plan_all()), "B As T[] Rs1");
    world.settle();
    assert_eq!(told(&world), "");
}

#[test]
fn against_the_rules_two_open_generations_are_told_one_after_the_other() {
    let (first, second) = (intent(1, &[1]), intent(2, &[2]));
    let mut world = World::default();
    let keys = add(&mut world, &first, &[LIVE]);
    add(&mut world, &second, &[FULFILLED]);
    note(&mut world, &first, PaymentState::Pending);
    let plan = world.plan_all();
    assert_eq!(short(&plan), "W2", "the book's comes first");
    assert_eq!(plan.actions[0].reason, Reason::GenerationInTheWay { unfinished: generation(1) });
    world.line(keys[0]).verdict = FAILED;
    world.settle();
    assert_eq!(told(&world), "f0 F S s0");
}

#[test]
fn against_the_rules_an_over_generation_behind_the_books_is_released_in_silence() {
    let (first, second) = (intent(1, &[1]), intent(2, &[2, 3]));
    let mut world = World::default();
    add(&mut world, &first, &[LIVE]);
    add(&mut world, &second, &[FULFILLED, FULFILLED]);
    deliver(&mut world, &second, 0, sent_for(&second));
    note(&mut world, &first, PaymentState::Pending);
    assert_eq!(short(&world.plan_all()), "Rs3");
}

#[test]
fn a_rebuilt_payment_waits_for_a_sibling_that_cannot_be_read() {
    for (verdict, plan, again) in
        [(LIVE, "B W1", "W1"), (FAILED, "B W1", "W1"), (FULFILLED, "B Ds T[S s1]", "T[S s1]")]
    {
        let whole = intent(1, &[1, 2]);
        let mut world = World::default();
        add_part(&mut world, &whole, 1, verdict);
        set_bytes(&mut world, 1, Bytes::Missing);
        assert_eq!(short(&world.plan_all()), plan);
        for planned in world.plan_all().actions {
            world.execute(&planned.action);
        }
        let rebuilt = &world.book.0[&id(1)].intent;
        assert_eq!(rebuilt.parts, whole.parts[1..], "only what a ledger names");
        assert_eq!(rebuilt.metadata, whole.metadata.hashed());
        assert_eq!((rebuilt.total_msat, rebuilt.fee_msat), (whole.total_msat, whole.fee_msat));
        assert_eq!(short(&world.plan_all()), again, "the sibling is not forgotten");
        assert_eq!(world.plan(&changed()), world.plan_all());
    }
}

#[test]
fn a_sibling_that_comes_back_is_found() {
    let whole = intent(1, &[1, 2]);
    let mut world = World::default();
    add_part(&mut world, &whole, 1, FAILED);
    set_bytes(&mut world, 1, Bytes::Damaged);
    world.settle();
    assert_eq!(told(&world), "");
    add_part(&mut world, &whole, 0, FULFILLED);
    set_bytes(&mut world, 1, Bytes::Present);
    world.settle();
    assert_eq!(told(&world), "S s0");
    assert!(world.plan_all().is_empty());
}

#[test]
fn a_sibling_without_entry_in_a_readable_ledger_was_never_sent() {
    let whole = intent(1, &[1, 2]);
    let mut world = World::default();
    open(&mut world, &[2]);
    add_part(&mut world, &whole, 0, FAILED);
    world.settle();
    assert_eq!(told(&world), "f0 F");
}

#[test]
fn the_live_path_searches_for_a_payment_that_the_book_does_not_know() {
    let whole = intent(1, &[1, 2]);
    let mut world = World::default();
    add(&mut world, &whole, &[FULFILLED, LIVE]);
    let other = crate::tools::intent_of(2, 1, &[1]);
    add(&mut world, &other, &[FULFILLED]);
    let plan = world.plan(&changed());
    assert_eq!(short(&plan), "B Ds T[S s0]", "and leaves others alone");
    let Action::Record(PaymentRecord::Rebuilt(rebuilt)) = &plan.actions[0].action else {
        panic!("rebuilt first");
    };
    assert_eq!(*rebuilt, whole);
    assert_eq!(rebuilt.metadata, Metadata::Here(vec![1, 1]));
}

#[test]
fn a_straggler_that_is_taken_after_the_last_word_has_its_path_event() {
    let whole = intent(1, &[1, 2]);
    let mut world = World::default();
    note(&mut world, &whole, PaymentState::Pending);
    let keys = add(&mut world, &whole, &[FULFILLED, LIVE]);
    world.settle();
    assert_eq!(told(&world), "S s0");
    assert!(world.line(keys[0]).delivered.is_some(), "the first part is released meanwhile");
    world.line(keys[1]).verdict = FULFILLED;
    assert_eq!(short(&world.plan_all()), "T[s1]");
    world.settle();
    assert_eq!(told(&world), "S s0 s1");
    assert!(world.line(keys[1]).delivered.is_some());
}
