//! The traces that a model of the rules found (`docs/MODEL.md`, "What the model changed"), run
//! against a whole node. Traces 1, 4 and 6 are in `retry.rs` and `forget.rs`, 7 in `damage.rs`.

use lastword_testkit::Survivors;
use lastword_types::{BookEpoch, Event, PaymentState, RemovalReason};

use crate::crash::die_at;
use crate::node::{Logs, Node, Stores};
use crate::world::{Part, Payment, STATIC, World};

/// Makes a payment and has it fulfilled off chain, up to the peer's last message.
fn paid(world: &mut World, node: &mut Node, n: u8) -> Payment {
    let payment = world.payment(n, &[Part(0, 1_000, 40)]);
    node.pay(&payment);
    let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
    let updates = world.channels[0].remove(payment.htlc_id(0), reason);
    node.driver.update(updates.into()).unwrap();
    payment
}

fn whole_story(payment: &Payment) -> [Event; 2] {
    [payment.sent(), payment.path_taken(0)]
}

fn unknown(payment: &Payment) -> Event {
    Event::PaymentUnknown {
        payment_id: payment.id(),
        generation: payment.intent.generation,
        payment_hash: payment.intent.payment_hash,
    }
}

fn pruned_behind(node: &mut Node) -> BookEpoch {
    node.state(0).pruned_behind
}

/// A payment that is pending in the book of an epoch, and is told, released and forgotten after it;
/// the oldest book, the book of that epoch, and the node.
fn told_after_an_epoch() -> (World, Node, [Stores; 2], Payment) {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC]);
    let oldest = node.stores.image(Survivors::Everything);
    for n in 1..=2 {
        let payment = paid(&mut world, &mut node, n);
        assert_eq!(node.tell(), whole_story(&payment));
    }
    let payment = paid(&mut world, &mut node, 3);
    node.driver.drop_tombstones().unwrap();
    assert!(pruned_behind(&mut node) > BookEpoch::ZERO);
    let of_epoch = node.stores.image(Survivors::Everything);
    assert_eq!(node.tell(), whole_story(&payment));
    let next = paid(&mut world, &mut node, 4);
    assert_eq!(node.tell(), whole_story(&next));
    assert!(!node.state(0).tombstones.is_empty(), "the payment is forgotten");
    (world, node, [oldest, of_epoch], payment)
}

/// Traces 2 and 3: between the book of an epoch with the payment pending and its return, an older
/// book was there when the payment's tombstone went. Every epoch is above all that ever were, whatever
/// the book that draws it, so the book of the epoch is known to be older: nothing is told twice.
#[test]
fn model_2_and_3_a_tombstone_goes_behind_an_epoch_that_no_book_had_before() {
    let (world, mut node, [oldest, of_epoch], payment) = told_after_an_epoch();
    let first = pruned_behind(&mut node);
    let mut node = node.crash_to_book_of(&world, &oldest);
    assert_eq!(node.tell(), []);
    node.driver.drop_tombstones().unwrap();
    let second = pruned_behind(&mut node);
    assert!(second > first, "{second:?} came before");
    assert!(node.state(0).tombstones.is_empty());
    let mut node = node.crash_to_book_of(&world, &of_epoch);
    assert_eq!(node.tell(), [unknown(&payment)], "the last word was told, and which is forgotten");
    let mut node = node.crash_to_book_of(&world, &of_epoch);
    assert_eq!(node.tell(), []);
}

/// Trace 5: an older book enters an epoch, and the tombstones go behind it. Wherever the process dies
/// in that, the version of the book that is durable has adopted what they said before it has the
/// epoch.
#[test]
fn model_5_a_book_that_enters_an_epoch_has_adopted_what_is_over() {
    let mut points = 0;
    for survivors in [Survivors::SyncedOnly, Survivors::Prefix(1), Survivors::Everything] {
        for boundary in 1.. {
            let (world, node, [_, of_epoch], payment) = told_after_an_epoch();
            let stores = node.stores.with_books_of(&of_epoch);
            drop(node);
            let is_whole =
                die_at(&world, &stores, boundary, |driver| driver.drop_tombstones().unwrap());
            if is_whole {
                break;
            }
            points += 1;
            let mut node = Node::start(&world, stores.image(survivors));
            assert_eq!(node.tell(), [], "{survivors:?}, boundary {boundary}");
            let state = node.driver.book_entry(payment.id()).unwrap().state;
            assert_eq!(state, PaymentState::Handled(payment.outcome_sent()));
        }
    }
    assert!(points >= 9, "only {points} points");
}
