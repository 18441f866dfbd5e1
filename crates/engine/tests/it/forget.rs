//! Tombstones and book epochs (rule R10) in a whole node: what is dropped, when, and what a book that
//! is older than that comes to.

use lastword_ports::Stream;
use lastword_testkit::Survivors;
use lastword_types::{
    BookEpoch, Event, HtlcDirection, HtlcFailure, MonitorRecord, Outcome, PaymentId, PaymentState,
    RemovalReason,
};
use lastword_wire::decode_monitor_record;

use crate::crash::die_at;
use crate::node::{Logs, Node, Stores};
use crate::world::{ANCHORS, Part, Payment, STATIC, World};

const SURVIVORS: [Survivors; 3] =
    [Survivors::SyncedOnly, Survivors::Prefix(1), Survivors::Everything];

/// Makes a payment in one channel and has it fulfilled off chain, up to the peer's last message.
fn paid(world: &mut World, node: &mut Node, n: u16) -> Payment {
    let [high, low] = n.to_be_bytes();
    let mut id = [low; 32];
    id[0] = high;
    let payment = world.payment_of(PaymentId(id), low, &[Part(0, 1_000, 40)]);
    node.pay(&payment);
    let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
    let updates = world.channels[0].remove(payment.htlc_id(0), reason);
    node.driver.update(updates.into()).unwrap();
    payment
}

fn tombstones(node: &mut Node) -> usize {
    node.state(0).tombstones.len()
}

fn unknown(payment: &Payment) -> Event {
    Event::PaymentUnknown {
        payment_id: payment.id(),
        generation: payment.intent.generation,
        payment_hash: payment.intent.payment_hash,
    }
}

/// Two payments that were told of, the first of them forgotten; and the stores from before it was
/// told.
fn one_forgotten(logs: Logs) -> (World, Node, [Payment; 2], Stores) {
    let (mut world, mut node) = Node::with_channels(logs, &[STATIC]);
    let first = paid(&mut world, &mut node, 1);
    let before = node.stores.image(Survivors::Everything);
    assert_eq!(node.tell(), [first.sent(), first.path_taken(0)]);
    let second = paid(&mut world, &mut node, 2);
    assert_eq!(node.tell(), [second.sent(), second.path_taken(0)]);
    let state = node.state(0);
    assert!(!state.htlcs.contains_key(&(HtlcDirection::Offered, first.htlc_id(0))));
    assert_eq!(state.tombstones[&first.htlc_id(0)].payment_id, first.id());
    (world, node, [first, second], before)
}

#[test]
fn r10_a_tombstone_tells_an_older_book_that_a_payment_is_over() {
    let (world, node, [first, _], before) = one_forgotten(Logs::Two);
    let mut node = node.crash_to_book_of(&world, &before);
    assert_eq!(node.tell(), []);
    let state = node.driver.payment(first.id()).unwrap().state;
    assert_eq!(state, PaymentState::Handled(first.outcome_sent()));
}

#[test]
fn r10_a_book_older_than_what_was_dropped_says_unknown_once() {
    let (mut world, mut node, [first, _], before) = one_forgotten(Logs::Two);
    node.driver.drop_tombstones().unwrap();
    let state = node.state(0);
    assert!(state.tombstones.is_empty() && state.pruned_behind > BookEpoch::ZERO);

    let mut node = node.crash_to_book_of(&world, &before);
    assert_eq!(node.tell(), [unknown(&first)]);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), []);
    // What begins from here on is newer than what was dropped: never sent means that again.
    let third = world.payment(3, &[Part(0, 3_000, 40)]);
    node.pay(&third);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), []);
    assert!(node.is_known(third.id()));
}

/// The same old book, restored again and again, also after the other channels' tombstones went: what
/// was told as unknown is over, and its id is free.
#[test]
fn r10_the_same_old_book_says_unknown_once_however_often_it_comes_back() {
    let (mut world, mut node, [first, _], before) = one_forgotten(Logs::Two);
    node.driver.drop_tombstones().unwrap();
    let mut node = node.crash_to_book_of(&world, &before);
    assert_eq!(node.tell(), [unknown(&first)]);
    for n in 7..9 {
        node = node.crash_to_book_of(&world, &before);
        assert_eq!(node.tell(), [], "it was told");
        let entry = node.driver.book_entry(first.id()).unwrap();
        assert_eq!(entry.state, PaymentState::Handled(Outcome::Unknown));
        let other = paid(&mut world, &mut node, n);
        assert_eq!(node.tell(), [other.sent(), other.path_taken(0)]);
        node.driver.drop_tombstones().unwrap();
    }
    let again = world.payment_of(first.id(), 9, &[Part(0, 3_000, 40)]);
    node.pay(&again);
}

/// Wherever the process dies while the user hears of it, and whatever book comes back then: either it
/// is told once more, because nobody durably knows that it was handled, or never again.
#[test]
fn r10_a_crash_while_unknown_is_handled_tells_it_twice_only_if_nothing_says_it_was() {
    let mut points = 0;
    for survivors in SURVIVORS {
        for boundary in 1.. {
            let (world, mut node, [first, _], before) = one_forgotten(Logs::Two);
            node.driver.drop_tombstones().unwrap();
            let node = node.crash_to_book_of(&world, &before);
            let stores = node.stores.image(Survivors::Everything);
            drop(node);
            let is_whole = die_at(&world, &stores, boundary, |driver| {
                while let Some(event) = driver.next_event() {
                    driver.event_returned(&event, true).unwrap();
                }
            });
            if is_whole {
                break;
            }
            points += 1;
            let place = format!("{survivors:?}, boundary {boundary}");
            let left = stores.image(survivors);
            let is_noted = left.records().iter().any(|(stream, _, body)| {
                matches!(stream, Stream::Channel(_))
                    && matches!(
                        decode_monitor_record(body).unwrap(),
                        MonitorRecord::ToldUnknown { .. }
                    )
            });
            for left in [left.clone(), left.with_books_of(&before)] {
                let mut node = Node::start(&world, left);
                let expected = if is_noted { vec![] } else { vec![unknown(&first)] };
                assert_eq!(node.tell(), expected, "{place}");
                let mut node = node.crash_to_book_of(&world, &before);
                assert_eq!(node.tell(), [], "{place}");
            }
        }
    }
    assert!(points >= 6, "only {points} points");
}

/// The book that was there when tombstones were dropped has entered the epoch first, so it is not an
/// older one: what it holds open without a trace was never sent, and that is said.
#[test]
fn r10_the_book_that_was_there_is_not_taken_for_an_older_one() {
    let (mut world, mut node, _, _) = one_forgotten(Logs::Two);
    node.driver.drop_tombstones().unwrap();
    let monitors = node.stores.image(Survivors::Everything);
    let third = world.payment(3, &[Part(0, 3_000, 40)]);
    node.pay(&third);
    // The intent is in the book's log; the monitors' half was lost.
    let left = monitors.with_books_of(&node.stores.image(Survivors::Everything));
    drop(node);
    let mut node = Node::start(&world, left);
    assert_eq!(node.tell(), [third.failed(HtlcFailure::NeverSent)]);
}

/// The outcome is recorded and the epoch entered; then the process dies before anybody is told.
#[test]
fn r10_what_is_unknown_stays_so_over_a_crash_before_it_is_told() {
    let (world, mut node, [first, _], before) = one_forgotten(Logs::Two);
    node.driver.drop_tombstones().unwrap();
    let node = node.crash_to_book_of(&world, &before);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), [unknown(&first)]);
}

#[test]
fn r10_a_lost_book_has_no_orphans() {
    let (world, mut node, _, _) = one_forgotten(Logs::Two);
    node.driver.drop_tombstones().unwrap();
    let mut node = node.crash_without_book(&world);
    assert_eq!(node.tell(), []);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), []);
}

/// Between any two steps of it, with one log and with two, and with a book of before: what was told
/// is not told again and not contradicted.
#[test]
fn r10_a_crash_while_tombstones_are_dropped_is_harmless() {
    let mut points = 0;
    for (logs, survivors) in
        [Logs::One, Logs::Two].into_iter().flat_map(|logs| SURVIVORS.map(|it| (logs, it)))
    {
        for boundary in 1.. {
            let (world, node, [first, second], before) = one_forgotten(logs);
            let stores = node.stores.image(Survivors::Everything);
            drop(node);
            let is_whole =
                die_at(&world, &stores, boundary, |driver| driver.drop_tombstones().unwrap());
            if is_whole {
                break;
            }
            points += 1;
            let place = format!("{logs:?}, {survivors:?}, boundary {boundary}");
            let left = stores.image(survivors);
            let mut node = Node::start(&world, left.clone());
            assert_eq!(node.tell(), [], "{place}");
            for payment in [&first, &second] {
                let state = node.driver.payment(payment.id()).unwrap().state;
                assert_eq!(state, PaymentState::Handled(payment.outcome_sent()), "{place}");
            }
            if logs == Logs::Two {
                let mut node = Node::start(&world, left.with_books_of(&before));
                let is_dropped = tombstones(&mut node) == 0;
                let expected = if is_dropped { vec![unknown(&first)] } else { vec![] };
                assert_eq!(node.tell(), expected, "{place}");
            }
        }
    }
    assert!(points >= 12, "only {points} points");
}

/// A part that is not released anywhere keeps the traces of its siblings.
#[test]
fn r10_tombstones_stay_while_a_sibling_is_not_released() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS]);
    let payment = world.payment(1, &[Part(0, 3_000, 40), Part(1, 3_000, 40)]);
    node.pay(&payment);
    let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
    let updates = world.channels[0].remove(payment.htlc_id(0), reason);
    node.driver.update(updates.into()).unwrap();
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
    let other = paid(&mut world, &mut node, 2);
    assert_eq!(node.tell(), [other.sent(), other.path_taken(0)]);
    assert_eq!(tombstones(&mut node), 1);
    node.driver.drop_tombstones().unwrap();
    assert_eq!(tombstones(&mut node), 1);
    assert_eq!(node.state(0).pruned_behind, BookEpoch::ZERO);
}

/// A node that pays on and on in one channel keeps what is open and little else.
#[test]
fn r10_a_channel_does_not_grow_by_tombstones() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[ANCHORS]);
    let mut highest = 0;
    for n in 0..270 {
        let payment = paid(&mut world, &mut node, n);
        assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)], "{n}");
        highest = highest.max(tombstones(&mut node));
    }
    assert_eq!(highest, 255);
    assert!(tombstones(&mut node) < 20);
    assert!(node.state(0).pruned_behind > BookEpoch::ZERO);
    assert!(node.state(0).htlcs.len() <= 2);
}
