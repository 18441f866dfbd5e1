//! A preimage that an unconfirmed transaction shows.

use lastword_regtest::Replacement;
use lastword_testkit::Survivors;
use lastword_types::{CommitmentFormat, Event, FulfilledHow, HtlcFailure, Verdict};

use crate::crash::die_at;
use crate::node::{Logs, Node};
use crate::world::{ANCHORS, Part, Payment, STATIC, World};

/// A payment of one part, in a channel whose newest commitment of the peer is confirmed.
fn closed_by_peer(logs: Logs, format: CommitmentFormat) -> (World, Node, Payment) {
    let (mut world, mut node) = Node::with_channels(logs, &[format]);
    let payment = world.payment(1, &[Part(0, 50_000, 12)]);
    node.pay(&payment);
    world.peer_closes(0);
    node.poll();
    (world, node, payment)
}

/// Lets our claim of the HTLC confirm and become final.
fn ours_confirms(world: &World, node: &mut Node, payment: &Payment) {
    world.chain.lock().set_replacement(Replacement::ByFee);
    world.mine_except_claims_of(payment, 13, &mut || node.poll());
    node.mine_and_poll(world, 8);
    let output = world.channels[0].htlc_output(world.closing(0), payment.htlc_id(0));
    let (taker, _) = world.chain.lock().spender(output).expect("somebody took it");
    assert!(!world.shows_preimage(taker, payment), "it was us");
}

#[test]
fn what_the_source_has_in_its_mempool_is_told_before_it_confirms_and_stands_if_it_never_does() {
    for format in [STATIC, ANCHORS] {
        for is_confirmed in [true, false] {
            let (mut world, mut node, payment) = closed_by_peer(Logs::Two, format);
            let claim = world.peers_claim(0, payment.htlc_id(0), payment.preimage);
            world.submit(&claim);
            assert_eq!(node.tell(), []);
            node.poll();
            let how = FulfilledHow::Mempool { txid: claim.compute_txid() };
            let expected = Verdict::Fulfilled { preimage: payment.preimage, how };
            assert_eq!(node.verdict(&payment, 0), expected);
            assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
            assert!(node.is_released(&payment));
            if is_confirmed {
                node.mine_and_poll(&world, 10);
            } else {
                ours_confirms(&world, &mut node, &payment);
            }
            let mut node = node.crash(&world, Survivors::SyncedOnly);
            assert_eq!(node.tell(), []);
            assert_eq!(node.verdict(&payment, 0), expected);
        }
    }
}

#[test]
fn a_transaction_that_proves_nothing_writes_nothing() {
    let (mut world, mut node, payment) = closed_by_peer(Logs::Two, ANCHORS);
    let claim = world.peers_claim(0, payment.htlc_id(0), payment.preimage);
    let before = node.stores.records();
    let mut odd = vec![claim.clone(), claim.clone(), claim.clone()];
    odd[0].input.clear();
    odd[1].input[0].witness.clear();
    odd[2].input[0].previous_output.vout += 100;
    for transaction in &odd {
        node.driver.seen_in_mempool(transaction).unwrap();
    }
    assert_eq!(node.stores.records(), before);
    node.driver.seen_in_mempool(&claim).unwrap();
    let after = node.stores.records();
    assert!(after.len() > before.len());
    node.driver.seen_in_mempool(&claim).unwrap();
    assert_eq!(node.stores.records(), after, "it is said once");
}

/// The node dies at any boundary while it takes the evidence in. Either it was recorded, and then the
/// payment is sent whatever confirms; or it was not, and then nothing was told of it.
#[test]
fn a_crash_around_the_evidence_never_leads_to_a_contradiction() {
    let mut ends = [0, 0];
    for logs in [Logs::One, Logs::Two] {
        for survivors in [Survivors::SyncedOnly, Survivors::Everything] {
            for boundary in 1.. {
                let (mut world, node, payment) = closed_by_peer(logs, ANCHORS);
                let claim = world.peers_claim(0, payment.htlc_id(0), payment.preimage);
                let is_whole = die_at(&world, &node.stores, boundary, |driver| {
                    driver.seen_in_mempool(&claim).unwrap();
                });
                let mut node = Node::start(&world, node.stores.image(survivors));
                let is_known = matches!(node.verdict(&payment, 0), Verdict::Fulfilled { .. });
                assert!(is_known || !is_whole);
                let mut told: Vec<Event> = node.tell();
                assert_eq!(told.is_empty(), !is_known, "{logs:?} {survivors:?} {boundary}");
                // The claim that was seen is gone, and ours confirms.
                ours_confirms(&world, &mut node, &payment);
                told.extend(node.tell());
                let expected = if is_known {
                    vec![payment.sent(), payment.path_taken(0)]
                } else {
                    let reason = HtlcFailure::TimedOut;
                    vec![payment.path_failed(0, reason), payment.failed(reason)]
                };
                assert_eq!(told, expected, "{logs:?} {survivors:?} {boundary}");
                ends[usize::from(is_known)] += 1;
                if is_whole {
                    break;
                }
            }
        }
    }
    assert!(ends.iter().all(|end| *end > 0), "{ends:?}");
}
