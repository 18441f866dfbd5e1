//! Zero-fee commitments, as a monitor sees them: Z-2 to Z-5 of the requirements checklist.

use bitcoin::{Amount, OutPoint, Sequence, Transaction, Witness};
use lastword_bolt3::OutputKind;
use lastword_types::{ClaimKind, CommitmentFormat, SweepWitness, Verdict};

use super::{CLOSED, DEEP, close, closed, learn};
use crate::channel::{Channel, EXPIRY, Node, PEER, US, block, offer};

const ZERO_FEE: CommitmentFormat = CommitmentFormat::ZeroFee;

/// The shared anchor is nobody's: it is watched by nobody, claimed by nobody, and keeps nothing open.
#[test]
fn the_shared_anchor_is_part_of_the_fee_z2_z3() {
    for owner in [US, PEER] {
        // 200 sat are trimmed, so the anchor holds them.
        let mut channel = Channel::new(ZERO_FEE);
        channel.add(US, offer(1, 200));
        let anchor = anchor(&channel, owner);
        close(&mut channel, owner);

        assert!(channel.request(US, anchor).is_none(), "it is worth less than its spend");
        assert!(!channel.monitor().card().watched.contains(&anchor));
        // Anybody may spend it, and nothing follows from that.
        let before = channel.monitor().state().output_spends.clone();
        let child = spend(anchor);
        channel.connect(CLOSED + 1, &[&child]);
        assert_eq!(channel.monitor().state().output_spends, before);
    }
}

/// No output but our own delayed one has a relative lock.
#[test]
fn nothing_waits_for_the_block_after_the_commitment_z4() {
    let (mut channel, _, output) = closed(ZERO_FEE, US, PEER);
    learn(&mut channel, US, 1);
    let request = channel.request(US, output).expect("its preimage is known");
    let ClaimKind::SecondStage { transaction, .. } = &request.kind else { panic!("{request:?}") };
    assert_eq!((transaction.version.0, transaction.input[0].sequence), (3, Sequence::ZERO));
    assert_eq!(request.earliest_height, block(CLOSED, 0).height);

    let (mut channel, _, output) = closed(ZERO_FEE, PEER, PEER);
    learn(&mut channel, US, 1);
    let request = channel.request(US, output).expect("its preimage is known");
    assert!(matches!(request.kind, ClaimKind::Sweep { csv_blocks: 0, .. }), "{request:?}");
    assert_eq!(request.earliest_height, block(CLOSED, 0).height);

    let (channel, _, output) = closed(ZERO_FEE, PEER, US);
    let request = channel.request(US, output).expect("it is ours after its expiry");
    assert!(matches!(request.kind, ClaimKind::Sweep { csv_blocks: 0, .. }), "{request:?}");
    assert_eq!(request.earliest_height, block(EXPIRY + 1, 0).height);
    let to_remote = vout_of(&channel, PEER, |kind| kind == OutputKind::ToRemote);
    let request = channel.request(US, to_remote).expect("it is ours");
    let ClaimKind::Sweep { witness, csv_blocks, .. } = &request.kind else { panic!("a sweep") };
    assert_eq!(*csv_blocks, 0);
    assert!(matches!(witness, SweepWitness::PaymentKeyHash { .. }), "{witness:?}");
}

/// What is asked for when we close says that the commitment needs a child.
#[test]
fn our_commitment_is_asked_for_with_its_format_z5() {
    let mut channel = Channel::new(ZERO_FEE);
    channel.fail(US);
    let [request] = <[_; 1]>::try_from(channel.monitor().claim_requests()).expect("one request");
    let ClaimKind::Commitment { transaction, format, .. } = &request.kind else {
        panic!("{request:?}")
    };
    assert_eq!(*format, ZERO_FEE);
    let paid: Amount = transaction.output.iter().map(|output| output.value).sum();
    assert_eq!(paid, request.amount, "it pays nothing by itself");
}

/// An HTLC that is trimmed into the shared anchor fails as any other without an output.
#[test]
fn what_is_trimmed_into_the_shared_anchor_fails_when_the_closing_is_deep_z2() {
    for owner in [US, PEER] {
        let mut channel = Channel::new(ZERO_FEE);
        let dust = channel.add(US, offer(1, 200));
        close(&mut channel, owner);
        let child = spend(anchor(&channel, owner));
        channel.connect(CLOSED + 1, &[&child]);
        assert!(matches!(channel.verdict(dust), Verdict::Failing { .. }));
        channel.connect(DEEP, &[]);
        assert!(matches!(channel.verdict(dust), Verdict::Failed { .. }));
    }
}

fn anchor(channel: &Channel, owner: Node) -> OutPoint {
    vout_of(channel, owner, |kind| kind == OutputKind::SharedAnchor)
}

fn vout_of(channel: &Channel, owner: Node, is_it: impl Fn(OutputKind) -> bool) -> OutPoint {
    let built = channel.built(owner, channel.nodes[owner].commitments.len() - 1);
    let at = built.outputs.iter().position(|output| is_it(output.kind)).expect("it has one");
    OutPoint { txid: built.txid(), vout: u32::try_from(at).expect("few outputs") }
}

fn spend(outpoint: OutPoint) -> Transaction {
    Transaction {
        version: bitcoin::transaction::Version(3),
        lock_time: bitcoin::absolute::LockTime::ZERO,
        input: vec![bitcoin::TxIn {
            previous_output: outpoint,
            witness: Witness::new(),
            ..bitcoin::TxIn::default()
        }],
        output: Vec::new(),
    }
}
