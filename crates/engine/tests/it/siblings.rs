//! Parts of one payment in several channels: whoever is asked about one of them asks the others.

use lastword_testkit::Survivors;
use lastword_types::{HtlcFailure, PaymentState, RemovalReason, Verdict};

use crate::node::{Logs, Node};
use crate::world::{ANCHORS, Part, Payment, STATIC, World};

/// A payment of two parts: the first was taken off chain, told and released, and its channel is
/// quiet; the second is open.
fn half_told() -> (World, Node, Payment) {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC, ANCHORS]);
    let payment = world.payment(1, &[Part(0, 50_000, 12), Part(1, 60_000, 12)]);
    node.pay(&payment);
    let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
    let removal = world.channels[0].remove(payment.htlc_id(0), reason);
    node.driver.update(removal.to_vec()).unwrap();
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
    assert!(node.delivered(&payment, 0).is_some());
    assert_eq!(node.delivered(&payment, 1), None);
    (world, node, payment)
}

/// The first part's monitor is asleep after the start and its card says that it owes nothing; only
/// it proves that the generation is over (R6). The straggler fails, and nobody hears of it.
#[test]
fn a_straggler_is_released_in_silence_although_only_a_sleeping_sibling_knows() {
    for survivors in [Survivors::SyncedOnly, Survivors::Everything] {
        let (mut world, node, payment) = half_told();
        let left = node.stores.image(survivors).without_book();
        drop(node);
        let mut node = Node::start(&world, left);
        assert_eq!(node.tell(), []);
        let state = node.driver.payment(payment.id()).unwrap().state;
        assert_eq!(state, PaymentState::Handled(payment.outcome_sent()), "adopted at the start");
        let reason = RemovalReason::Failed { code: 0x400f };
        let removal = world.channels[1].remove(payment.htlc_id(1), reason);
        node.driver.update(removal.to_vec()).unwrap();
        assert_eq!(node.tell(), [], "no failure after the user saw it sent");
        assert!(node.is_released(&payment));
        assert!(!node.driver.owes(payment.id()));
    }
}

/// The same when the straggler is taken: the outcome is over, and so are its path events.
#[test]
fn a_straggler_that_is_taken_brings_no_second_last_word() {
    let (mut world, node, payment) = half_told();
    let mut node = node.crash_without_book(&world);
    world.peer_closes(1);
    world.peer_claims(&payment, 1);
    node.poll();
    let told = node.tell();
    assert!(!told.contains(&payment.sent()), "{told:?}");
    assert!(node.is_released(&payment));
    assert_eq!(node.crash_without_book(&world).tell(), []);
}

/// One part was taken and one failed, neither is told, and there is no book: one last word, sent. The
/// failure of the sibling is swallowed, in whichever order a start finds the two.
#[test]
fn without_a_book_a_taken_part_beats_a_failed_sibling() {
    for (taken, failed) in [(0, 1), (1, 0)] {
        let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC, ANCHORS]);
        let payment = world.payment(1, &[Part(0, 50_000, 12), Part(1, 60_000, 12)]);
        node.pay(&payment);
        let code = 0x400f;
        let removal =
            world.channels[failed].remove(payment.htlc_id(failed), RemovalReason::Failed { code });
        node.driver.update(removal.to_vec()).unwrap();
        let why = HtlcFailure::Removed { code };
        assert_eq!(node.verdict(&payment, failed), Verdict::Failed { reason: why });
        let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
        let removal = world.channels[taken].remove(payment.htlc_id(taken), reason);
        node.driver.update(removal.to_vec()).unwrap();
        let mut node = node.crash_without_book(&world);
        assert_eq!(node.tell(), [payment.sent(), payment.path_taken(taken)]);
        assert!(node.is_released(&payment));
        let mut node = node.crash_without_book(&world);
        assert_eq!(node.tell(), []);
    }
}
