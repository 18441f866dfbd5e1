//! Rows 36 to 40 of the crash windows of LDK, section 5.4: what the chain takes back.

use lastword_testkit::Survivors;
use lastword_types::{Alarm, Event, FailingUntil, HtlcFailure, PaymentState, Verdict};

use super::{closed_channel, snapshot, start_on, whole_story};
use crate::node::{Logs, Node};
use crate::peer::anybody;
use crate::world::{ANCHORS, Part, World};

/// Replaces the last blocks by empty ones, one more.
fn replace(world: &World, depth: u32) {
    world.take_away(usize::try_from(depth).unwrap());
    world.mine_empty(depth + 1);
}

/// Row 36: a preimage was seen on chain and its block leaves. Nobody can unsee it: preimage and
/// verdict stay, over a crash too.
#[test]
fn row_36_a_preimage_that_a_block_showed_stays_when_the_block_leaves() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, mut node, payment) = closed_channel(logs);
        world.peer_claims(&payment, 0);
        node.poll();
        replace(&world, 1);
        node.poll();
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        assert!(matches!(node.verdict(&payment, 0), Verdict::Fulfilled { .. }), "{logs:?}");
        assert_eq!(node.tell(), whole_story(&payment), "{logs:?}");
    }
}

/// Row 37: our timeout confirmed, it is not six deep, and its block leaves. The HTLC lives again.
#[test]
fn row_37_a_timeout_that_is_not_final_is_taken_back() {
    let (world, mut node, payment) = closed_channel(Logs::Two);
    while node.verdict(&payment, 0) == Verdict::Live {
        node.mine_and_poll(&world, 1);
    }
    node.mine_and_poll(&world, 3);
    let Verdict::Failing { until: FailingUntil::Depth(_), .. } = node.verdict(&payment, 0) else {
        panic!("it is on its way to fail")
    };
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    replace(&world, 4);
    node.poll();
    assert_eq!(node.verdict(&payment, 0), Verdict::Live);
    assert_eq!(node.tell(), []);
}

/// Row 38: a failure was final and told, a deeper reorg takes it back and the peer shows the
/// preimage. The last word stands; the preimage is kept and an alarm says what happened, once.
#[test]
fn row_38_a_final_failure_stands_and_the_preimage_is_kept() {
    let (mut world, mut node, payment) = closed_channel(Logs::Two);
    while !node.verdict(&payment, 0).is_final() {
        node.mine_and_poll(&world, 1);
    }
    let failed = HtlcFailure::TimedOut;
    assert_eq!(node.tell(), [payment.path_failed(0, failed), payment.failed(failed)]);
    let claim = world.peers_claim(0, payment.htlc_id(0), payment.preimage);
    world.take_away(7);
    world.chain.lock().mine_transactions(&anybody(), vec![claim]).unwrap();
    world.mine_empty(7);
    node.poll();
    assert_eq!(node.tell(), [Event::Alarm(Alarm::FinalityViolated { htlc: payment.key(0) })]);
    assert_eq!(node.verdict(&payment, 0), Verdict::Failed { reason: failed });
    let htlcs = node.state(0).htlcs;
    let kept = htlcs.values().find(|htlc| htlc.htlc.htlc_id == payment.htlc_id(0));
    assert_eq!(kept.unwrap().late_preimage, Some(payment.preimage));
    let state = node.driver.payment(payment.id()).unwrap().state;
    assert!(matches!(state, PaymentState::Handled(_)));
}

/// Row 39: our commitment is asked for at a tip that leaves. The intent has no height, so no reorg
/// takes it back, with and without a crash in between.
#[test]
fn row_39_a_reorg_does_not_take_our_decision_to_close_back() {
    for crashes in [false, true] {
        let (mut world, mut node) = Node::with_channels(Logs::Two, &[ANCHORS]);
        let update = world.channels[0].fail();
        node.driver.update(vec![update]).unwrap();
        node.poll();
        // The tip at which it was broadcast leaves, and so does what waited.
        replace(&world, 1);
        if crashes {
            node = node.crash(&world, Survivors::SyncedOnly);
        }
        node.poll();
        let funding = world.channels[0].ours.funding_outpoint;
        assert!(world.chain.lock().mempool_spender(funding).is_some(), "crashes: {crashes}");
        node.mine_and_poll(&world, 1);
        assert!(world.chain.lock().spender(funding).is_some());
    }
}

/// Row 40: one monitor's bytes are older than the other's and than the book's, as after a restore of
/// the disk. Each channel follows the chain from its own block; together they tell one story.
#[test]
fn row_40_monitors_and_book_at_different_heights_each_follow_from_their_own_block() {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[ANCHORS, ANCHORS]);
    let payment = world.payment(1, &[Part(0, 50_000, 40), Part(1, 60_000, 40)]);
    node.pay(&payment);
    world.peer_closes(0);
    node.poll();
    world.peer_claims(&payment, 0);
    let before_the_claim = snapshot(&node);
    node.poll();
    let ahead = snapshot(&node);
    world.peer_closes(1);
    node.mine_and_poll(&world, 3);
    drop(node);
    for (monitors, books) in [(&before_the_claim, &ahead), (&ahead, &before_the_claim)] {
        let mut node = start_on(&world, monitors, books);
        let first = node.tell();
        node.poll();
        let told = [first, node.tell()].concat();
        assert_eq!(told, whole_story(&payment));
        assert!(node.state(1).funding_spend.is_some(), "the other channel is at the tip too");
    }
}
