//! Rows 10 to 15 of the crash windows of LDK, section 5.1: what else can be lost of an own payment
//! in a closed channel.

use lastword_engine::Driver;
use lastword_testkit::Survivors;
use lastword_types::{HtlcFailure, RemovalReason, Told, Verdict};

use super::{closed_channel, snapshot, start_on, whole_story};
use crate::node::{Logs, Node, ports};
use crate::world::{ANCHORS, Part, STATIC};

/// Row 10: the path event was handled, the book comes back from before it. A path event releases
/// nothing, so the terminal event is still to come, and comes once.
#[test]
fn row_10_a_path_event_releases_nothing_so_the_last_word_comes_all_the_same() {
    let (world, mut node, payment) = closed_channel(Logs::Two);
    let before = snapshot(&node);
    while !node.verdict(&payment, 0).is_final() {
        node.mine_and_poll(&world, 1);
    }
    let why = HtlcFailure::TimedOut;
    let path = node.driver.next_event().unwrap();
    assert_eq!(path, payment.path_failed(0, why));
    node.driver.event_returned(&path, true).unwrap();
    assert_eq!(node.delivered(&payment, 0), None, "a path event is no last word");
    let mut node = node.crash_to_book_of(&world, &before);
    assert_eq!(node.tell(), [path, payment.failed(why)]);
    assert!(node.is_released(&payment));
    let mut node = node.crash_to_book_of(&world, &before);
    assert_eq!(node.tell(), []);
}

/// Row 11: the monitors hold the HTLCs of a payment of two parts, the book is from before it. It is
/// rebuilt whole: the same amounts, the same fee, the same story.
#[test]
fn row_11_a_payment_that_no_book_knows_is_rebuilt_with_its_total() {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC, ANCHORS]);
    let before = snapshot(&node);
    let payment = world.payment(1, &[Part(0, 50_000, 40), Part(1, 60_000, 40)]);
    node.pay(&payment);
    let mut node = node.crash_to_book_of(&world, &before);
    let rebuilt = node.driver.payment(payment.id()).expect("it is rebuilt").intent.clone();
    assert_eq!(rebuilt, payment.intent);
    for part in 0..2 {
        let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
        let removal = world.channels[part].remove(payment.htlc_id(part), reason);
        node.driver.update(removal.to_vec()).unwrap();
    }
    let story = [payment.sent(), payment.path_taken(0), payment.path_taken(1)];
    assert_eq!(node.tell(), story);
}

/// Row 12: one part was claimed and one failed, on two chains of events in two monitors, and the
/// book is old. All entries of the payment are looked at before anything is said: it was sent.
#[test]
fn row_12_a_claimed_part_and_a_failed_one_come_to_one_last_word() {
    for claimed in [0, 1] {
        let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC, ANCHORS]);
        let payment = world.payment(1, &[Part(0, 50_000, 12), Part(1, 60_000, 12)]);
        node.pay(&payment);
        let before = snapshot(&node);
        world.peer_closes(0);
        world.peer_closes(1);
        node.poll();
        world.peer_claims(&payment, claimed);
        node.poll();
        while !node.verdict(&payment, 1 - claimed).is_final() {
            node.mine_and_poll(&world, 1);
        }
        let mut node = node.crash_to_book_of(&world, &before);
        assert_eq!(node.tell(), [payment.sent(), payment.path_taken(claimed)]);
        assert!(node.is_released(&payment));
    }
}

/// Row 13: the release is durable, and the block that decided the HTLC has left the chain when the
/// node starts. What was told is a fact of the ledger, not of the chain.
#[test]
fn row_13_a_release_outlives_the_block_that_it_rests_on() {
    let (mut world, mut node, payment) = closed_channel(Logs::Two);
    let pending = snapshot(&node);
    world.peer_claims(&payment, 0);
    node.poll();
    assert_eq!(node.tell(), whole_story(&payment));
    let released = snapshot(&node);
    drop(node);
    world.take_away(1);
    world.mine_empty(2);
    let mut node = start_on(&world, &released, &pending);
    node.poll();
    assert!(node.state(0).output_spends.is_empty());
    let outcome = payment.outcome_sent();
    let told = Told::Payment { generation: payment.intent.generation, outcome };
    assert_eq!(node.delivered(&payment, 0), Some(told));
    world.peer_claims(&payment, 0);
    node.mine_and_poll(&world, 8);
    assert_eq!(node.tell(), [], "the block that comes again tells nothing again");
}

/// Row 15: a revoked commitment is six deep and nobody has spent its HTLC output. Neither the live
/// path nor a start fails the HTLC: its output can still go either way.
#[test]
fn row_15_an_unspent_output_of_a_revoked_commitment_is_decided_by_nobody_yet() {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC]);
    let payments = [1, 2].map(|n| {
        let payment = world.payment(n, &[Part(0, 50_000, 400)]);
        node.pay(&payment);
        payment
    });
    let held = world.channels[0].remote[1].clone();
    let revoked = world.channels[0].peers_commitment_of(&held);
    world.confirm(&revoked);
    let world = &world;
    // Our penalties are not mined.
    let deepen = |node: &mut Node| {
        world.mine_empty(1);
        node.poll();
    };
    for _ in 0..12 {
        deepen(&mut node);
    }
    assert_eq!(node.verdict(&payments[0], 0), Verdict::Live);
    let left = node.stores.image(Survivors::SyncedOnly).without_book();
    drop(node);
    let driver = Driver::start(ports(world, &left)).unwrap();
    let mut node = Node { stores: left, driver };
    assert_eq!(node.verdict(&payments[0], 0), Verdict::Live);
    let told = node.tell();
    assert!(!told.contains(&payments[0].failed(HtlcFailure::TimedOut)), "{told:?}");
    assert!(!told.contains(&payments[0].failed(HtlcFailure::Absent)), "{told:?}");
    node.mine_and_poll(world, 8);
    assert!(node.verdict(&payments[0], 0).is_final(), "once our penalty is final");
}
