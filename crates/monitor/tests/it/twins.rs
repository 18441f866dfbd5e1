//! HTLCs with the same hash and the same amount are never confused: identity is the outpoint.

use bitcoin::OutPoint;
use lastword_types::{
    CommitmentFormat, FailingUntil, FulfilledHow, HtlcFailure, HtlcId, OutputSpendKind, UpdateStep,
    Verdict,
};

use crate::channel::{
    Channel, EXPIRY, FORMATS, Name, Node, PEER, US, block, offer, preimage, seen,
};

/// A channel with three equal HTLCs of ours, closed by a commitment of `owner`.
fn closed(format: CommitmentFormat, owner: Node) -> (Channel, [Name; 3], [OutPoint; 3]) {
    let mut channel = Channel::new(format);
    let names = [0; 3].map(|_: u8| channel.add(US, offer(1, 50_000)));
    channel.update(PEER, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
    let closing = channel.newest(owner).transaction.clone();
    channel.connect(200, &[&closing]);
    let outputs = names.map(|name| channel.output_of(owner, name).unwrap());
    (channel, names, outputs)
}

#[test]
fn one_twin_is_claimed_and_the_others_time_out() {
    for (format, owner) in FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)]) {
        for claimed in 0..3 {
            let (mut channel, names, outputs) = closed(format, owner);
            let claim = channel.claim(PEER, outputs[claimed]);
            channel.connect(EXPIRY, &[&claim]);
            let live = names.map(|name| channel.verdict(name) == Verdict::Live);
            assert_eq!(live, [0, 1, 2].map(|twin| twin != claimed));

            let others: Vec<_> = (0..3).filter(|twin| *twin != claimed).collect();
            for (after, twin) in (1..).zip(&others) {
                let timeout = channel.claim(US, outputs[*twin]);
                channel.connect(EXPIRY + after, &[&timeout]);
            }
            channel.connect(EXPIRY + 20, &[]);

            let how = FulfilledHow::Chain { txid: claim.compute_txid() };
            for (twin, name) in names.into_iter().enumerate() {
                let expected = if twin == claimed {
                    Verdict::Fulfilled { preimage: preimage(1), how }
                } else {
                    Verdict::Failed { reason: HtlcFailure::TimedOut }
                };
                assert_eq!(channel.verdict(name), expected);
            }
        }
    }
}

#[test]
fn a_fulfil_of_one_twin_says_nothing_of_the_other() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let [first, second] = [0, 1].map(|_: u8| channel.add(US, offer(1, 50_000)));
    let fulfill = UpdateStep::Fulfill { htlc_id: HtlcId(second.1), preimage: preimage(1) };
    channel.update(US, vec![fulfill]);
    let closing = channel.newest(US).transaction.clone();
    channel.connect(200, &[&closing]);

    assert!(channel.verdict(second).is_final());
    let output = channel.output_of(US, first).unwrap();
    let timeout = channel.claim(US, output);
    channel.connect(EXPIRY + 1, &[&timeout]);
    let until = FailingUntil::Depth(block(EXPIRY + 6, 0).height);
    let failing = Verdict::Failing { reason: HtlcFailure::TimedOut, until };
    assert_eq!(channel.verdict(first), failing);
}

#[test]
fn a_circular_payment_is_two_htlcs() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let out = channel.add(US, offer(1, 50_000));
    let back = channel.add(PEER, offer(1, 50_000));
    channel.update(US, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
    let closing = channel.newest(US).transaction.clone();
    channel.connect(200, &[&closing]);
    let output = channel.output_of(US, back).unwrap();
    let success = channel.claim(US, output);
    channel.connect(201, &[&success]);

    assert!(channel.verdict(back).is_final());
    assert_eq!(channel.verdict(out), Verdict::Live);
}

#[test]
fn a_trimmed_twin_does_not_hide_behind_the_one_with_an_output() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let [kept, gone] = [0, 1].map(|_: u8| channel.draft(US, offer(1, 50_000)));
    channel.sign(PEER, &[kept], &[]);
    channel.revoke(PEER);
    channel.sign(US, &[kept], &[]);
    channel.revoke(US);
    let closing = channel.newest(US).transaction.clone();
    channel.sign(PEER, &[gone], &[]);
    channel.connect(200, &[&closing]);
    channel.connect(205, &[]);

    assert_eq!(channel.verdict(kept), Verdict::Live);
    assert_eq!(channel.verdict(gone), Verdict::Failed { reason: HtlcFailure::Absent });
}

#[test]
fn one_transaction_may_spend_several_twins() {
    let (mut channel, names, outputs) = closed(CommitmentFormat::StaticRemoteKey, PEER);
    let mut batch = channel.claim(US, outputs[2]);
    let other = channel.claim(US, outputs[0]);
    batch.input.extend(other.input);
    channel.connect(EXPIRY + 1, &[&batch]);

    let spends = &channel.monitor().state().output_spends;
    for twin in [0, 2] {
        let (direction, htlc_id) = seen(US, names[twin]);
        let kind = OutputSpendKind::HtlcTimeout { direction, htlc_id, second_stage: None };
        assert_eq!(spends[&outputs[twin]].kind, kind);
    }
    assert_eq!(channel.verdict(names[1]), Verdict::Live);
}

#[test]
fn htlc_transactions_of_ours_may_be_one_transaction_h3() {
    let (mut channel, _, outputs) = closed(CommitmentFormat::AnchorsZeroFeeHtlc, US);
    // The peer's signature ties each output to the input of the same index.
    let mut batch = channel.claim(US, outputs[1]);
    let other = channel.claim(US, outputs[0]);
    batch.input.extend(other.input);
    batch.output.extend(other.output);
    channel.connect(EXPIRY + 1, &[&batch]);

    let txid = batch.compute_txid();
    for (vout, output) in [(0, outputs[1]), (1, outputs[0])] {
        let spend = &channel.monitor().state().output_spends[&output];
        let OutputSpendKind::HtlcTimeout { second_stage, .. } = spend.kind else {
            panic!("a timeout");
        };
        assert_eq!(second_stage, Some(OutPoint { txid, vout }));
        assert!(channel.request(US, OutPoint { txid, vout }).is_some());
    }
}

#[test]
fn a_spend_that_only_looks_like_our_htlc_transaction_has_no_second_stage() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let name = channel.add(US, offer(1, 50_000));
    channel.update(PEER, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
    for (owner, claimer) in [(US, PEER), (PEER, US)] {
        let closing = channel.newest(owner).transaction.clone();
        channel.connect(200, &[&closing]);
        let output = channel.output_of(owner, name).unwrap();
        let mut direct = channel.claim(claimer, output);
        let built = channel.built(owner, channel.nodes[owner].commitments.len() - 1);
        direct.output = built.htlc_transaction(output.vout).unwrap().transaction.output;
        channel.connect(EXPIRY + 1, &[&direct]);

        let spend = &channel.monitor().state().output_spends[&output];
        match spend.kind {
            OutputSpendKind::HtlcPreimage { second_stage, .. }
            | OutputSpendKind::HtlcTimeout { second_stage, .. } => {
                assert_eq!(second_stage, None);
            }
            OutputSpendKind::HtlcOther { .. }
            | OutputSpendKind::Swept { .. }
            | OutputSpendKind::PeerHtlcTransaction { .. }
            | OutputSpendKind::HtlcPenalty { .. } => {
                panic!("{spend:?}");
            }
        }
        channel.disconnect(199);
    }
}

#[test]
fn a_preimage_shown_for_what_we_offered_claims_nothing_that_we_received() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let out = channel.add(US, offer(1, 50_000));
    let back = channel.add(PEER, offer(1, 50_000));
    let fulfill = UpdateStep::Fulfill { htlc_id: HtlcId(out.1), preimage: preimage(1) };
    channel.update(US, vec![fulfill]);
    let closing = channel.newest(US).transaction.clone();
    channel.connect(200, &[&closing]);

    let output = channel.output_of(US, back).unwrap();
    assert!(channel.request(US, output).is_none());
}
