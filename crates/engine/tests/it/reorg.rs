//! Blocks that leave the best chain, with and without a crash in between.

use lastword_engine::Boundary;
use lastword_regtest::Replacement;
use lastword_testkit::Survivors;
use lastword_types::{Alarm, CommitmentFormat, Event, HtlcFailure, PaymentState, Verdict};

use crate::crash::{Bomb, die_at, unless_died};
use crate::node::{Logs, Node, ports};
use crate::world::{ANCHORS, Part, Payment, STATIC, World};

const TIMED_OUT: HtlcFailure = HtlcFailure::TimedOut;

/// A payment of one part, in a channel whose newest commitment of the peer is confirmed.
fn closed_by_peer(logs: Logs, format: CommitmentFormat) -> (World, Node, Payment) {
    let (mut world, mut node) = Node::with_channels(logs, &[format]);
    let payment = world.payment(1, &[Part(0, 50_000, 12)]);
    node.pay(&payment);
    world.peer_closes(0);
    node.poll();
    (world, node, payment)
}

/// Reorganises the last blocks away; the new ones hold nothing.
fn reorganise(world: &World, depth: u32) {
    world.take_away(usize::try_from(depth).unwrap());
    world.mine_empty(depth + 1);
}

/// A preimage that a block showed stays known when the block leaves: nobody can unsee it.
#[test]
fn a_preimage_of_a_block_that_left_still_pays_after_a_crash() {
    for logs in [Logs::One, Logs::Two] {
        for format in [STATIC, ANCHORS] {
            for survivors in [Survivors::SyncedOnly, Survivors::Everything] {
                let place = format!("{logs:?}, {format:?}, {survivors:?}");
                let (mut world, mut node, payment) = closed_by_peer(logs, format);
                world.peer_claims(&payment, 0);
                node.poll();
                // The user has not been told when the block goes.
                reorganise(&world, 1);
                node.poll();
                assert!(node.state(0).output_spends.is_empty(), "{place}: the spend is gone");
                let mut node = node.crash(&world, survivors);
                assert!(matches!(node.verdict(&payment, 0), Verdict::Fulfilled { .. }), "{place}");
                assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)], "{place}");
                // The claim never comes back: ours evicts it after the expiry, and becomes final.
                world.chain.lock().set_replacement(Replacement::ByFee);
                let commitment = world.closing(0);
                let output = world.channels[0].htlc_output(commitment, payment.htlc_id(0));
                world.mine_except_claims_of(&payment, 13, &mut || node.poll());
                node.mine_and_poll(&world, 8);
                let (taker, at) = world.chain.lock().spender(output).expect("somebody took it");
                assert!(!world.shows_preimage(taker, &payment), "{place}: it was us");
                assert!(world.height() >= at.0 + 5, "{place}: and it is final");
                assert_eq!(node.tell(), [], "{place}: a failure after it would be a lie");
                assert!(node.is_released(&payment), "{place}");
            }
        }
    }
}

/// Our timeout is confirmed but not final when it leaves, and the peer's claim takes its place.
#[test]
fn a_timeout_that_was_not_final_gives_way_to_the_preimage() {
    for logs in [Logs::One, Logs::Two] {
        for format in [STATIC, ANCHORS] {
            for crashes in [false, true] {
                let place = format!("{logs:?}, {format:?}, crashes: {crashes}");
                let (mut world, mut node) = Node::with_channels(logs, &[format]);
                let payment = world.payment(1, &[Part(0, 50_000, 12)]);
                node.pay(&payment);
                node.fail_channel(&mut world, 0);
                while !matches!(node.verdict(&payment, 0), Verdict::Failing { .. }) {
                    node.mine_and_poll(&world, 1);
                    assert!(world.height() < 200, "{place}: the timeout never confirms");
                }
                node.mine_and_poll(&world, 4);
                assert_eq!(node.tell(), [], "{place}: five confirmations are not six");
                if crashes {
                    node = node.crash(&world, Survivors::SyncedOnly);
                }
                let claim = world.peers_claim(0, payment.htlc_id(0), payment.preimage);
                world.take_away(5);
                let anybody = crate::peer::anybody();
                world.chain.lock().mine_transactions(&anybody, vec![claim]).unwrap();
                world.mine_empty(5);
                node.poll();
                if crashes {
                    node = node.crash(&world, Survivors::SyncedOnly);
                }
                assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)], "{place}");
                node.mine_and_poll(&world, 12);
                assert_eq!(node.tell(), [], "{place}");
            }
        }
    }
}

/// A failure that was final, told and released stands, whatever the chain does afterwards; that it
/// was wrong is an alarm.
#[test]
fn a_final_failure_stands_and_a_later_preimage_is_an_alarm() {
    let (mut world, mut node, payment) = closed_by_peer(Logs::Two, STATIC);
    while !node.verdict(&payment, 0).is_final() {
        node.mine_and_poll(&world, 1);
        assert!(world.height() < 200, "the timeout never becomes final");
    }
    let told = [payment.path_failed(0, TIMED_OUT), payment.failed(TIMED_OUT)];
    assert_eq!(node.tell(), told);
    let claim = world.peers_claim(0, payment.htlc_id(0), payment.preimage);
    world.take_away(7);
    world.chain.lock().mine_transactions(&crate::peer::anybody(), vec![claim]).unwrap();
    world.mine_empty(7);
    node.poll();
    let alarm = Event::Alarm(Alarm::FinalityViolated { htlc: payment.key(0) });
    assert_eq!(node.tell(), std::slice::from_ref(&alarm));
    assert_eq!(node.verdict(&payment, 0), Verdict::Failed { reason: TIMED_OUT });
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    let told: Vec<Event> = node.tell();
    assert!(told.iter().all(|event| *event == alarm), "no second last word: {told:?}");
    assert!(matches!(node.driver.payment(payment.id()).unwrap().state, PaymentState::Handled(_)));
}

/// The channel's close itself leaves the chain: the channel is open again as far as the chain goes,
/// and the payment lives; then the close and the claim come in other blocks.
#[test]
fn a_close_that_left_the_chain_is_seen_again_in_another_block() {
    for format in [STATIC, ANCHORS] {
        let (mut world, mut node, payment) = closed_by_peer(Logs::One, format);
        reorganise(&world, 1);
        node.poll();
        assert_eq!(node.state(0).funding_spend, None);
        assert_eq!(node.verdict(&payment, 0), Verdict::Live);
        let mut node = node.crash(&world, Survivors::Everything);
        world.mine(1);
        world.peer_claims(&payment, 0);
        node.poll();
        assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
    }
}

/// The records of a block are appended, then the cards and the tip. Whichever of the two survives a
/// crash, the card that is too old is found and the monitor is read.
#[test]
fn a_card_that_is_older_than_its_channel_is_not_trusted() {
    let mut points = 0;
    for survivors in [Survivors::SyncedOnly, Survivors::Prefix(1), Survivors::Everything] {
        for boundary in 1.. {
            let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS]);
            let payment = world.payment(1, &[Part(0, 50_000, 40)]);
            node.pay(&payment);
            world.peer_closes(0);
            node.poll();
            let stores = node.stores.image(Survivors::Everything);
            drop(node);
            world.peer_claims(&payment, 0);
            let is_whole = die_at(&world, &stores, boundary, |driver| {
                driver.poll_chain().unwrap();
            });
            if is_whole {
                break;
            }
            points += 1;
            let place = format!("{survivors:?}, boundary {boundary}");
            let left = stores.image(survivors);
            let has_block =
                left.records() != stores.image(Survivors::SyncedOnly).records() || boundary > 2;
            let mut node = Node::start(&world, left);
            if has_block {
                // Known before any block is asked for: the record is there, whatever its card says.
                assert!(node.verdict(&payment, 0).is_final(), "{place}");
                let first = node.driver.next_event();
                assert_eq!(first, Some(payment.sent()), "{place}");
                node = node.crash(&world, Survivors::SyncedOnly);
            }
            node.poll();
            assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)], "{place}");
        }
    }
    assert!(points >= 12, "only {points} points");
}

/// A crash while a reorg is followed, at every boundary: the same story comes out.
#[test]
fn a_crash_in_the_middle_of_a_reorg_changes_nothing() {
    let mut points = 0;
    for logs in [Logs::One, Logs::Two] {
        for survivors in [Survivors::SyncedOnly, Survivors::Everything] {
            for boundary in 1.. {
                let (mut world, node, payment) = closed_by_peer(logs, ANCHORS);
                let bomb = Bomb::default();
                let stores = node.stores.image(Survivors::Everything);
                drop(node);
                let claim = world.peer_claims(&payment, 0);
                let mut ports = ports(&world, &stores);
                ports.observer = Box::new(bomb.clone());
                let mut driver = lastword_engine::Driver::start(ports).unwrap();
                driver.poll_chain().unwrap();
                // The same claim comes again, one block later, after a reorg of three.
                world.take_away(3);
                world.mine_empty(1);
                bomb.set_in(boundary);
                let is_whole = unless_died(|| {
                    driver.poll_chain().unwrap();
                })
                .is_some();
                drop(driver);
                if is_whole {
                    assert!(bomb.passed().contains(&Boundary::Append));
                    break;
                }
                points += 1;
                let place = format!("{logs:?}, {survivors:?}, boundary {boundary}");
                let mut node = Node::start(&world, stores.image(survivors));
                world.mine(3);
                world.submit(&claim);
                world.mine(8);
                node.poll();
                assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)], "{place}");
                assert!(node.is_released(&payment), "{place}");
            }
        }
    }
    println!("figure: crashes while a reorg is followed: {points} points");
    assert!(points >= 8, "only {points} points");
}
