//! A peer that broadcasts a commitment that it had revoked, on a chain that checks every script.

use bitcoin::OutPoint;
use bitcoin::Transaction;
use lastword_testkit::Survivors;
use lastword_types::{
    Alarm, ClaimKind, CommitmentFormat, Event, HtlcFailure, OutputSpendKind, Side, SweepWitness,
    Verdict,
};

use crate::node::{Logs, Node};
use crate::peer::anybody;
use crate::world::{ANCHORS, Part, Payment, STATIC, World};

const FORMATS: [CommitmentFormat; 3] = [STATIC, ANCHORS, CommitmentFormat::ZeroFee];

/// A channel with two payments, whose peer revoked the commitment that holds only the first, and
/// that commitment.
fn two_payments(format: CommitmentFormat) -> (World, Node, [Payment; 2], Transaction) {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[format]);
    let payments = [1, 2].map(|n| {
        let payment = world.payment(n, &[Part(0, 50_000, 40)]);
        node.pay(&payment);
        payment
    });
    let held = world.channels[0].remote[1].clone();
    assert_eq!(held.htlcs.len(), 1);
    let revoked = world.channels[0].peers_commitment_of(&held);
    (world, node, payments, revoked)
}

fn mine(world: &World, transactions: Vec<Transaction>) {
    world.chain.lock().mine_transactions(&anybody(), transactions).unwrap();
}

/// Asserts that every output of the revoked commitment that is worth anything is ours.
fn everything_is_ours(node: &mut Node, revoked: &Transaction, place: &str) {
    let state = node.state(0);
    let txid = revoked.compute_txid();
    let mut ours = 0;
    for (vout, output) in (0u32..).zip(&revoked.output) {
        let Some(spend) = state.output_spends.get(&OutPoint { txid, vout }) else {
            assert!(output.value.to_sat() <= 330, "{place}: {output:?} is nobody's");
            continue;
        };
        ours += output.value.to_sat();
        match &spend.kind {
            OutputSpendKind::Swept { owner: Side::Local } | OutputSpendKind::HtlcPenalty { .. } => {
            }
            OutputSpendKind::PeerHtlcTransaction { output, .. } => {
                let second = &state.output_spends[output].kind;
                assert_eq!(*second, OutputSpendKind::Swept { owner: Side::Local }, "{place}");
            }
            kind @ (OutputSpendKind::HtlcPreimage { .. }
            | OutputSpendKind::HtlcTimeout { .. }
            | OutputSpendKind::HtlcOther { .. }
            | OutputSpendKind::Swept { owner: Side::Remote }) => panic!("{place}: {kind:?}"),
        }
    }
    assert!(ours > 990_000, "{place}: {ours}");
    let left = node.driver.monitor(crate::world::channel_id(0)).unwrap().claim_requests();
    let is_anchor =
        |kind: &ClaimKind| matches!(kind, ClaimKind::Sweep { witness: SweepWitness::Anchor, .. });
    assert!(left.iter().all(|request| is_anchor(&request.kind)), "{place}: {left:?}");
}

fn alarm(node: &mut Node, revoked: &Transaction) -> Event {
    let Some(lastword_types::FundingSpend { close, .. }) = node.state(0).funding_spend else {
        panic!("the channel is closed")
    };
    let lastword_types::Close::Revoked { number } = close else { panic!("{close:?}") };
    let channel_id = crate::world::channel_id(0);
    Event::Alarm(Alarm::RevokedCommitment { channel_id, txid: revoked.compute_txid(), number })
}

#[test]
fn a_revoked_commitment_is_punished_and_its_payments_fail_once() {
    for (format, crashes) in FORMATS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let place = format!("{format:?}, crashes: {crashes}");
        let (world, mut node, payments, revoked) = two_payments(format);
        mine(&world, vec![revoked.clone()]);
        node.poll();
        let alarm = alarm(&mut node, &revoked);
        assert_eq!(node.tell(), std::slice::from_ref(&alarm), "{place}");
        if crashes {
            node = node.crash(&world, Survivors::SyncedOnly);
        }
        node.mine_and_poll(&world, 2);
        everything_is_ours(&mut node, &revoked, &place);

        node.mine_and_poll(&world, 6);
        let reasons = [HtlcFailure::TimedOut, HtlcFailure::Absent];
        let mut told = node.tell();
        told.retain(|event| *event != alarm);
        for (payment, reason) in payments.iter().zip(reasons) {
            let [path, terminal] = [payment.path_failed(0, reason), payment.failed(reason)];
            assert_eq!(told.iter().filter(|event| **event == path).count(), 1, "{place}");
            assert_eq!(told.iter().filter(|event| **event == terminal).count(), 1, "{place}");
            assert!(node.is_released(payment), "{place}");
        }
        assert_eq!(told.len(), 4, "{place}: {told:?}");
    }
}

#[test]
fn a_theft_pays_its_payment_and_is_taken_back() {
    for (format, crashes) in FORMATS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let place = format!("{format:?}, crashes: {crashes}");
        let (mut world, mut node, payments, revoked) = two_payments(format);
        mine(&world, vec![revoked.clone()]);
        let txid = revoked.compute_txid();
        let [first, second] = &payments;
        let channel = &mut world.channels[0];
        let theft = channel.peers_claim(txid, first.htlc_id(0), first.preimage);
        mine(&world, vec![theft.clone()]);
        node.poll();
        if crashes {
            node = node.crash(&world, Survivors::SyncedOnly);
        }
        let alarm = alarm(&mut node, &revoked);
        let mut told = node.tell();
        told.retain(|event| *event != alarm);
        assert_eq!(told, [first.sent(), first.path_taken(0)], "{place}");
        assert!(!node.verdict(second, 0).is_final(), "{place}");

        node.mine_and_poll(&world, 2);
        everything_is_ours(&mut node, &revoked, &place);
        node.mine_and_poll(&world, 6);
        let reason = HtlcFailure::Absent;
        let mut told = node.tell();
        told.retain(|event| *event != alarm);
        assert_eq!(told, [second.path_failed(0, reason), second.failed(reason)], "{place}");
        assert!(matches!(node.verdict(first, 0), Verdict::Fulfilled { .. }), "{place}");
    }
}
