//! What a reorganisation takes back, and what it does not.

use bitcoin::{OutPoint, Witness};
use lastword_types::{
    Alarm, ChainDelta, CommitmentFormat, Effect, FulfilledHow, HtlcFailure, MonitorRecord,
    OutputSpendKind, UpdateStep, Verdict,
};

use crate::channel::{
    Channel, EXPIRY, FORMATS, Name, Node, PEER, US, block, offer, preimage, seen,
};

fn closed(format: CommitmentFormat, owner: Node) -> (Channel, Name, OutPoint) {
    let mut channel = Channel::new(format);
    let name = channel.add(US, offer(1, 50_000));
    channel.update(PEER, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
    let closing = channel.newest(owner).transaction.clone();
    channel.connect(200, &[&closing]);
    let output = channel.output_of(owner, name).unwrap();
    (channel, name, output)
}

#[test]
fn a_preimage_survives_a_reorg() {
    for (format, owner) in FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)]) {
        let (mut channel, name, output) = closed(format, owner);
        let claim = channel.claim(PEER, output);
        channel.connect(201, &[&claim]);
        let fulfilled = channel.verdict(name);
        let how = FulfilledHow::Chain { txid: claim.compute_txid() };
        assert_eq!(fulfilled, Verdict::Fulfilled { preimage: preimage(1), how });

        channel.disconnect(200);
        assert_eq!(channel.verdict(name), fulfilled);
        assert!(channel.request(US, output).is_some());
        channel.disconnect(199);
        assert_eq!(channel.verdict(name), fulfilled);

        // Even where the output then goes back to us.
        let closing = channel.newest(owner).transaction.clone();
        channel.connect_on(1, 200, &[&closing]);
        let timeout = channel.claim(US, output);
        channel.connect_on(1, EXPIRY + 1, &[&timeout]);
        channel.connect_on(1, EXPIRY + 6, &[]);
        assert_eq!(channel.verdict(name), fulfilled);
        assert!(channel.monitor().alarms().is_empty());
    }
}

#[test]
fn a_final_failure_survives_a_reorg_and_a_later_preimage_is_only_a_fact() {
    let (mut channel, name, output) = closed(CommitmentFormat::StaticRemoteKey, PEER);
    let timeout = channel.claim(US, output);
    channel.connect(EXPIRY + 1, &[&timeout]);
    channel.connect(EXPIRY + 6, &[]);
    let failed = Verdict::Failed { reason: HtlcFailure::TimedOut };
    assert_eq!(channel.verdict(name), failed);

    channel.disconnect(EXPIRY);
    assert_eq!(channel.verdict(name), failed);
    let success = channel.claim(PEER, output);
    let effects = channel.connect_on(1, EXPIRY + 1, &[&success]);

    assert_eq!(channel.verdict(name), failed);
    let state = &channel.monitor().state().htlcs[&seen(US, name)];
    assert_eq!((state.fulfilled, state.late_preimage), (None, Some(preimage(1))));
    let alarms = channel.monitor().alarms();
    assert!(matches!(alarms[..], [Alarm::FinalityViolated { .. }]));
    assert!(effects.contains(&Effect::Alarm(alarms[0])));
    let kind = channel.monitor().state().output_spends[&output].kind.clone();
    assert!(matches!(kind, OutputSpendKind::PeerHtlcTransaction { preimage: Some(_), .. }));
}

#[test]
fn another_commitment_may_confirm_after_a_reorg() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, US);
        let timeout = channel.claim(US, output);
        channel.connect(EXPIRY + 1, &[&timeout]);
        channel.disconnect(150);
        assert_eq!(channel.verdict(name), Verdict::Live);
        assert!(channel.monitor().state().output_spends.is_empty());
        assert!(!channel.monitor().card().is_closed);

        let theirs = channel.newest(PEER).transaction.clone();
        channel.connect_on(1, 180, &[&theirs]);
        assert!(channel.request(US, output).is_none());
        let output = channel.output_of(PEER, name).unwrap();
        channel.claim(US, output);
    }
}

#[test]
fn a_reorg_takes_back_what_is_above_it_and_nothing_else() {
    let (mut channel, _, output) = closed(CommitmentFormat::StaticRemoteKey, US);
    channel.fail(US);
    channel.update(US, vec![UpdateStep::Preimage { preimage: preimage(8) }]);
    let closed = channel.monitor().state().clone();
    let timeout = channel.claim(US, output);
    channel.connect(EXPIRY + 1, &[&timeout]);
    let second = OutPoint { txid: timeout.compute_txid(), vout: 0 };
    let sweep = channel.claim(US, second);
    channel.connect(EXPIRY + 145, &[&sweep]);

    channel.disconnect(EXPIRY + 144);
    assert!(channel.request(US, second).is_some());
    let effects = channel.disconnect(EXPIRY);
    assert!(effects.contains(&Effect::ClaimsChanged) && effects.contains(&Effect::CardChanged));
    let mut state = channel.monitor().state().clone();
    // By then the failure was final, and that stays.
    assert!(state.htlcs.values_mut().all(|htlc| htlc.failed.take().is_some()));
    assert_eq!(state, lastword_types::MonitorState { best: block(EXPIRY, 0), ..closed });
}

#[test]
fn a_reorg_above_what_was_seen_says_nothing() {
    let (channel, ..) = closed(CommitmentFormat::StaticRemoteKey, US);
    for fork in [200, 201, 1000] {
        let record = MonitorRecord::Chain(ChainDelta::Disconnected { fork: block(fork, 0) });
        assert!(channel.monitor().check(&record).unwrap().is_noop());
    }
}

#[test]
fn a_witness_of_neither_shape_proves_nothing() {
    for garbage in [Witness::new(), Witness::from_slice(&[vec![1; 7], preimage(1).0.to_vec()])] {
        let (mut channel, name, output) = closed(CommitmentFormat::StaticRemoteKey, PEER);
        let mut claim = channel.claim(PEER, output);
        claim.input[0].witness = garbage;
        channel.connect(201, &[&claim]);
        channel.connect(2000, &[]);

        assert_eq!(channel.verdict(name), Verdict::Live);
        let kind = channel.monitor().state().output_spends[&output].kind.clone();
        assert!(matches!(kind, OutputSpendKind::HtlcOther { .. }));
    }
}

#[test]
fn another_preimage_in_the_witness_proves_nothing() {
    let (mut channel, name, output) = closed(CommitmentFormat::StaticRemoteKey, US);
    let claim = channel.claim(PEER, output);
    let mut elements: Vec<_> = claim.input[0].witness.iter().map(<[u8]>::to_vec).collect();
    assert_eq!(elements[1], preimage(1).0);
    elements[1] = preimage(2).0.to_vec();
    let mut forged = claim;
    forged.input[0].witness = Witness::from_slice(&elements);
    channel.connect(201, &[&forged]);

    assert_eq!(channel.verdict(name), Verdict::Live);
}
