//! The peer's revoked commitments, of any age.

use bitcoin::{OutPoint, Witness};
use lastword_bolt3::{OutputKind, delayed_witness};
use lastword_monitor::Monitor;
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{
    Alarm, BlockHeight, ClaimKind, ClaimRequest, Close, CommitmentFormat, CommitmentNumber, Effect,
    FulfilledHow, HtlcFailure, OutputSpendKind, Side, SigningKey, SweepWitness, UpdateStep,
    Verdict,
};

use super::{CLOSED, DEEP, failed, failing};
use crate::channel::{
    CHANNEL, Channel, DELAYS, EXPIRY, FAILED, Name, PEER, US, block, fulfilled, offer, preimage,
    seen,
};
use crate::spend::spend;
use crate::theft::{FORMATS, Foreign, may_aggregate};

const DUST: u64 = 300;

/// Confirms one of the peer's commitments, which must count as revoked.
fn breach(channel: &mut Channel, number: usize) -> Vec<Effect> {
    let transaction = channel.nodes[PEER].commitments[number].transaction.clone();
    let effects = channel.connect(CLOSED, &[&transaction]);
    let number = CommitmentNumber::new(u64::try_from(number).unwrap()).unwrap();
    let spend = channel.monitor().state().funding_spend.clone().unwrap();
    assert_eq!(spend.close, Close::Revoked { number });
    effects
}

fn newest(channel: &Channel) -> usize {
    channel.nodes[PEER].commitments.len() - 1
}

/// A channel whose peer has revoked a commitment with one HTLC, and that HTLC's output in it.
fn breached(format: CommitmentFormat, offerer: usize) -> (Channel, Name, OutPoint) {
    let mut channel = Channel::new(format);
    let name = channel.add(offerer, offer(1, 50_000));
    let number = newest(&channel);
    channel.add(US, offer(9, 20_000));
    breach(&mut channel, number);
    let output = channel.peers_output(number, name).unwrap();
    (channel, name, output)
}

fn witness_of(request: &ClaimRequest) -> &SweepWitness {
    match &request.kind {
        ClaimKind::Sweep { witness, .. } => witness,
        ClaimKind::Commitment { .. } | ClaimKind::SecondStage { .. } => panic!("{request:?}"),
    }
}

/// The output of a kind in one of the peer's commitments.
fn place(channel: &Channel, number: usize, kind: OutputKind) -> OutPoint {
    let built = channel.built(PEER, number);
    let vout = built.outputs.iter().position(|output| output.kind == kind).unwrap();
    OutPoint { txid: built.txid(), vout: u32::try_from(vout).unwrap() }
}

/// Claims everything that is wanted until nothing is, and checks that nothing of value is left.
fn claim_all(channel: &mut Channel, number: usize, mut height: u32) {
    while let Some(request) = channel.monitor().claim_requests().first().cloned() {
        height = request.earliest_height.0.max(height + 1);
        let transaction = channel.answer(US, &request);
        channel.connect(height, &[&transaction]);
        assert!(channel.request(US, request.outpoint).is_none(), "{request:?}");
    }
    assert!(!channel.monitor().card().has_claims);
    let built = channel.built(PEER, number);
    let spends = &channel.monitor().state().output_spends;
    for (vout, output) in (0u32..).zip(&built.outputs) {
        let spend = spends.get(&OutPoint { txid: built.txid(), vout });
        match output.kind {
            OutputKind::Anchor(Side::Remote) | OutputKind::SharedAnchor => assert!(spend.is_none()),
            OutputKind::ToLocal | OutputKind::ToRemote | OutputKind::Anchor(Side::Local) => {
                let ours = OutputSpendKind::Swept { owner: Side::Local };
                assert_eq!(spend.map(|spend| &spend.kind), Some(&ours));
            }
            OutputKind::Htlc { .. } => match spend.unwrap().kind {
                OutputSpendKind::HtlcPenalty { .. } => {}
                OutputSpendKind::PeerHtlcTransaction { output, .. } => {
                    let ours = OutputSpendKind::Swept { owner: Side::Local };
                    assert_eq!(spends[&output].kind, ours);
                }
                ref kind @ (OutputSpendKind::HtlcPreimage { .. }
                | OutputSpendKind::HtlcTimeout { .. }
                | OutputSpendKind::HtlcOther { .. }
                | OutputSpendKind::Swept { .. }) => panic!("{kind:?}"),
            },
        }
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn only_our_newest_commitment_is_ever_broadcast_v1() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    channel.fail(US);
    for n in 1..5 {
        channel.sign(US, &[], &[]);
        channel.revoke(US);
        let requests = channel.monitor().claim_requests();
        let [ClaimRequest { kind: ClaimKind::Commitment { transaction, .. }, .. }] = &requests[..]
        else {
            panic!("{requests:?}")
        };
        assert_eq!(channel.nodes[US].commitments.len(), n + 1);
        assert_eq!(transaction.compute_txid(), channel.newest(US).transaction.compute_txid());
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn to_remote_of_a_revoked_commitment_is_ours_v2() {
    for format in FORMATS {
        let (mut channel, ..) = breached(format, US);
        let request = channel.request(US, place(&channel, 1, OutputKind::ToRemote)).unwrap();
        assert!(matches!(
            witness_of(&request),
            SweepWitness::PaymentKey | SweepWitness::PaymentKeyHash { .. }
        ));
        channel.answer(US, &request);
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn to_local_of_a_revoked_commitment_is_taken_before_its_delay_v3() {
    for format in FORMATS {
        let (mut channel, ..) = breached(format, US);
        let request = channel.request(US, place(&channel, 1, OutputKind::ToLocal)).unwrap();
        assert!(matches!(witness_of(&request), SweepWitness::Revocation { .. }));
        assert!(request.earliest_height <= BlockHeight(CLOSED + 1));
        assert_eq!(request.deadline, Some(BlockHeight(CLOSED + u32::from(DELAYS[PEER]))));

        let penalty = channel.answer(US, &request);
        channel.connect(CLOSED + 1, &[&penalty]);
        assert!(channel.request(US, request.outpoint).is_none());
        channel.disconnect(CLOSED);
        assert_eq!(channel.request(US, request.outpoint), Some(request));
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn an_htlc_that_the_peer_offered_is_taken_at_once_v4() {
    for format in FORMATS {
        let (mut channel, name, output) = breached(format, PEER);
        let request = channel.request(US, output).unwrap();
        assert!(matches!(witness_of(&request), SweepWitness::HtlcRevocation { .. }));
        assert!(request.earliest_height <= BlockHeight(CLOSED + 1));
        assert_eq!(request.deadline, Some(BlockHeight(EXPIRY)));

        let penalty = channel.answer(US, &request);
        channel.connect(CLOSED + 1, &[&penalty]);
        assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, CLOSED + 6));
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn an_htlc_that_we_offered_is_taken_at_once_and_fails_when_that_is_deep_v5() {
    for format in FORMATS {
        let (mut channel, name, output) = breached(format, US);
        assert_eq!(channel.verdict(name), Verdict::Live);
        let request = channel.request(US, output).unwrap();
        assert!(matches!(witness_of(&request), SweepWitness::HtlcRevocation { .. }));
        assert_eq!(request.deadline, Some(BlockHeight(CLOSED + 1)));

        let penalty = channel.answer(US, &request);
        channel.connect(CLOSED + 2, &[&penalty]);
        let (direction, htlc_id) = seen(US, name);
        let spend = &channel.monitor().state().output_spends[&output];
        assert_eq!(spend.kind, OutputSpendKind::HtlcPenalty { direction, htlc_id });
        assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, CLOSED + 7));
        channel.disconnect(CLOSED + 1);
        assert_eq!(channel.verdict(name), Verdict::Live);
        channel.connect_on(1, CLOSED + 3, &[&penalty]);
        channel.connect_on(1, CLOSED + 8, &[]);
        assert_eq!(channel.verdict(name), failed(HtlcFailure::TimedOut));
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn the_outputs_of_the_peers_htlc_transactions_are_taken_v6() {
    for (format, offerer) in FORMATS.into_iter().flat_map(|it| [(it, US), (it, PEER)]) {
        let (mut channel, name, output) = breached(format, offerer);
        let theft = channel.steal(1, &[name], Foreign::None);
        let height = if offerer == US { CLOSED + 1 } else { EXPIRY + 1 };
        channel.connect(height, &[&theft]);
        assert!(channel.request(US, output).is_none());

        let stolen = OutPoint { txid: theft.compute_txid(), vout: 0 };
        assert!(channel.monitor().card().watched.contains(&stolen));
        let request = channel.request(US, stolen).unwrap();
        assert!(matches!(witness_of(&request), SweepWitness::Revocation { .. }));
        assert_eq!(request.amount, theft.output[0].value);
        assert_eq!(request.deadline, Some(BlockHeight(height + u32::from(DELAYS[PEER]))));

        channel.disconnect(height - 1);
        assert!(channel.request(US, stolen).is_none());
        channel.connect_on(1, height, &[&theft]);
        let penalty = channel.answer(US, &request);
        channel.connect_on(1, height + 1, &[&penalty]);
        assert!(channel.request(US, stolen).is_none());
        claim_all_on(&mut channel, 1, height + 1);
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn the_peers_htlc_transactions_may_be_one_transaction_with_foreign_inputs_v6() {
    let ways = [Foreign::None, Foreign::Before, Foreign::After];
    let formats = FORMATS.into_iter().filter(|format| may_aggregate(*format));
    for (format, foreign) in formats.flat_map(|format| ways.map(|foreign| (format, foreign))) {
        let mut channel = Channel::new(format);
        let names = [1, 2, 3].map(|n| channel.add(US, offer(n, 10_000 * u64::from(n))));
        let number = newest(&channel);
        channel.add(PEER, offer(9, 20_000));
        breach(&mut channel, number);

        let theft = channel.steal(number, &[names[2], names[0]], foreign);
        channel.connect(CLOSED + 1, &[&theft]);

        let txid = theft.compute_txid();
        let first = u32::from(foreign == Foreign::Before);
        for (vout, name) in [(first, names[2]), (first + 1, names[0])] {
            let request = channel.request(US, OutPoint { txid, vout }).unwrap();
            assert_eq!(request.amount.to_sat() * 1000, channel.offers[&name].amount_msat);
            channel.answer(US, &request);
        }
        let others = (0..).map(|vout| OutPoint { txid, vout }).take(theft.output.len());
        assert_eq!(others.filter(|it| channel.request(US, *it).is_some()).count(), 2);
        claim_all(&mut channel, number, CLOSED + 1);
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn a_theft_with_the_preimage_pays_the_payment_and_is_punished_v7() {
    for format in FORMATS {
        let (mut channel, name, _) = breached(format, US);
        let theft = channel.steal(1, &[name], Foreign::None);
        channel.connect(CLOSED + 1, &[&theft]);
        let how = FulfilledHow::Chain { txid: theft.compute_txid() };
        assert_eq!(channel.verdict(name), Verdict::Fulfilled { preimage: preimage(1), how });
        claim_all(&mut channel, 1, CLOSED + 1);
        assert_eq!(channel.verdict(name), Verdict::Fulfilled { preimage: preimage(1), how });
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn what_the_peer_takes_is_no_longer_wanted_and_what_it_leaves_is_v10() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let names = [1, 2].map(|n| channel.add(US, offer(n, 10_000)));
    let number = newest(&channel);
    channel.add(PEER, offer(9, 20_000));
    breach(&mut channel, number);
    let before = channel.monitor().claim_requests();

    let theft = channel.steal(number, &[names[0]], Foreign::None);
    let effects = channel.connect(CLOSED + 1, &[&theft]);

    assert!(effects.contains(&Effect::ClaimsChanged));
    let after = channel.monitor().claim_requests();
    let taken = channel.peers_output(number, names[0]).unwrap();
    let unchanged: Vec<_> = before.iter().filter(|it| it.outpoint != taken).collect();
    assert!(unchanged.iter().all(|request| after.contains(request)));
    assert_eq!(after.len(), before.len());
    let stolen = OutPoint { txid: theft.compute_txid(), vout: 0 };
    assert!(after.iter().any(|request| request.outpoint == stolen));
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn a_commitment_of_any_age_is_punished() {
    for (format, is_told) in FORMATS.into_iter().flat_map(|it| [(it, false), (it, true)]) {
        let mut channel = Channel::new(format);
        let old = [
            channel.add(US, offer(1, 50_000)),
            channel.add(PEER, offer(2, 40_000)),
            channel.add(US, offer(3, DUST)),
            channel.add(PEER, offer(4, DUST)),
        ];
        let number = newest(&channel);
        for (name, n) in old.iter().zip(1..) {
            channel.remove(*name, if n % 2 == 0 { FAILED } else { fulfilled(n) });
            if is_told && name.0 == US {
                channel.tell(*name);
            }
        }
        for round in 0..10 {
            let passing = channel.add(round % 2, offer(7, 30_000));
            for _ in 0..100 {
                channel.sign(PEER, &[], &[]);
                channel.revoke(PEER);
            }
            channel.remove(passing, FAILED);
        }
        let live = channel.add(US, offer(8, 30_000));
        let verdict = |channel: &Channel, (offerer, id): Name| {
            let (direction, htlc_id) = seen(US, (offerer, id));
            channel.monitor().verdict(direction, htlc_id)
        };
        let settled = old.map(|name| verdict(&channel, name));
        for (name, verdict) in old.iter().zip(&settled) {
            assert!(verdict.is_none_or(|verdict| verdict.is_final()));
            let is_forgotten = is_told || name.0 == PEER;
            assert_eq!(channel.is_forgotten(*name), is_forgotten, "{name:?}");
        }
        assert!(newest(&channel) > number + 1000);
        let state = channel.monitor().state().clone();

        breach(&mut channel, number);
        assert_eq!(channel.verdict(live), failing(HtlcFailure::Absent, DEEP));
        let restored = Monitor::restore(channel.monitor().state().clone()).unwrap();
        assert_eq!(restored.claim_requests(), channel.monitor().claim_requests());
        assert_eq!(restored.card(), channel.monitor().card());

        claim_all(&mut channel, number, CLOSED);
        channel.connect(EXPIRY + 2000, &[]);
        assert_eq!(channel.verdict(live), failed(HtlcFailure::Absent));
        assert_eq!(old.map(|name| verdict(&channel, name)), settled);
        assert!(!channel.monitor().state().htlcs.values().any(|htlc| htlc.late_preimage.is_some()));
        assert_eq!(channel.monitor().state().htlcs.len(), state.htlcs.len());
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn every_revoked_commitment_of_a_life_is_punished() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        for n in 1..5 {
            let [out, back] = [US, PEER].map(|node| channel.add(node, offer(n, 20_000)));
            channel.add(US, offer(n + 10, DUST));
            channel.remove(if n % 2 == 0 { out } else { back }, FAILED);
        }
        for number in 0..newest(&channel) {
            breach(&mut channel, number);
            claim_all(&mut channel, number, CLOSED);
            channel.disconnect(CLOSED - 1);
        }
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn an_htlc_without_output_in_a_revoked_commitment_fails_by_its_depth() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let dust = channel.add(US, offer(1, DUST));
        let number = newest(&channel);
        let later = channel.add(US, offer(2, 50_000));
        let back = channel.add(PEER, offer(3, 50_000));

        let effects = breach(&mut channel, number);
        let txid = channel.nodes[PEER].commitments[number].transaction.compute_txid();
        let spend = channel.monitor().state().funding_spend.clone().unwrap();
        let Close::Revoked { number } = spend.close else { panic!("{spend:?}") };
        let alarm = Alarm::RevokedCommitment { channel_id: CHANNEL, txid, number };
        assert!(effects.contains(&Effect::Alarm(alarm)));
        assert_eq!(channel.monitor().alarms(), [alarm]);
        for name in [dust, later, back] {
            assert_eq!(channel.verdict(name), failing(HtlcFailure::Absent, DEEP));
        }
        channel.connect(DEEP, &[]);
        for name in [dust, later, back] {
            assert_eq!(channel.verdict(name), failed(HtlcFailure::Absent));
        }
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn evidence_comes_before_the_depth_of_a_revoked_commitment() {
    let (mut channel, ..) = breached(CommitmentFormat::StaticRemoteKey, US);
    let later = (US, 1);
    assert_eq!(channel.verdict(later), failing(HtlcFailure::Absent, DEEP));
    let preimage = channel.offers[&later].preimage;
    let htlc_id = seen(US, later).1;
    channel.update(US, vec![UpdateStep::Fulfill { htlc_id, preimage }]);
    channel.connect(DEEP, &[]);
    let how = FulfilledHow::Message;
    assert_eq!(channel.verdict(later), Verdict::Fulfilled { preimage, how });
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn an_htlc_that_was_failed_long_ago_is_punished_and_its_failure_stands() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let name = channel.add(US, offer(1, 50_000));
    let number = newest(&channel);
    channel.remove(name, FAILED);
    let before = channel.verdict(name);
    assert_eq!(before, failed(HtlcFailure::Removed { code: 0x400f }));

    breach(&mut channel, number);
    let theft = channel.steal(number, &[name], Foreign::After);
    channel.connect(CLOSED + 1, &[&theft]);
    assert_eq!(channel.verdict(name), before);
    let (direction, htlc_id) = seen(US, name);
    let htlc = lastword_types::HtlcKey { channel_id: CHANNEL, direction, htlc_id };
    assert!(channel.monitor().alarms().contains(&Alarm::FinalityViolated { htlc }));
    claim_all(&mut channel, number, CLOSED + 1);
    assert_eq!(channel.verdict(name), before);
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn twins_in_a_revoked_commitment_keep_their_order() {
    for (format, offerer) in FORMATS.into_iter().flat_map(|it| [(it, US), (it, PEER)]) {
        let mut channel = Channel::new(format);
        let names = [0, 1, 2, 3].map(|_: u8| channel.add(offerer, offer(1, 30_000)));
        let mirrored = channel.add(1 - offerer, offer(1, 30_000));
        let number = newest(&channel);
        channel.remove(names[1], FAILED);
        channel.add(US, offer(5, 20_000));
        breach(&mut channel, number);

        let height = if offerer == US { CLOSED + 1 } else { EXPIRY + 1 };
        let theft = channel.steal(number, &[names[2]], Foreign::None);
        channel.connect(height, &[&theft]);
        for (n, name) in names.into_iter().enumerate() {
            if (n, offerer) == (1, PEER) {
                // What is left of it keeps its place among its twins.
                assert!(channel.is_forgotten(name));
                continue;
            }
            let verdict = channel.verdict(name);
            match (n, offerer) {
                (1, _) => assert_eq!(verdict, failed(HtlcFailure::Removed { code: 0x400f })),
                (2, US) => assert!(matches!(verdict, Verdict::Fulfilled { .. }), "{verdict:?}"),
                (2, _) => assert_eq!(verdict, failing(HtlcFailure::TimedOut, height + 5)),
                _ => assert_eq!(verdict, Verdict::Live),
            }
        }
        assert_eq!(channel.verdict(mirrored), Verdict::Live);
        claim_all(&mut channel, number, height);
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn twins_with_other_expiries_are_told_apart_by_the_order_of_outputs() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    // The peer's own offers do not show their expiry in the script.
    let names = [EXPIRY + 2, EXPIRY, EXPIRY + 1]
        .map(|expiry| channel.add(PEER, crate::channel::Offer { expiry, ..offer(1, 30_000) }));
    let number = newest(&channel);
    channel.add(US, offer(5, 20_000));
    breach(&mut channel, number);

    let theft = channel.steal(number, &[names[1]], Foreign::None);
    channel.connect(EXPIRY + 1, &[&theft]);
    let verdicts = names.map(|name| channel.verdict(name));
    assert_eq!(
        verdicts,
        [Verdict::Live, failing(HtlcFailure::TimedOut, EXPIRY + 6), Verdict::Live]
    );
    for (name, expiry) in [(names[0], EXPIRY + 2), (names[2], EXPIRY + 1)] {
        let output = channel.peers_output(number, name).unwrap();
        let request = channel.request(US, output).unwrap();
        assert_eq!(request.deadline, Some(BlockHeight(expiry)));
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn what_the_peer_gets_away_with_is_known_as_the_peers() {
    let (mut channel, ..) = breached(CommitmentFormat::AnchorsZeroFeeHtlc, US);
    let to_local = place(&channel, 1, OutputKind::ToLocal);
    let request = channel.request(US, to_local).unwrap();
    let mut transaction = spend(to_local, DELAYS[PEER], 0);
    let per_commitment_point = channel.built(PEER, 1).keys.per_commitment_point;
    let signature = channel.nodes[PEER]
        .signer
        .sign(&SigningRequest {
            channel_id: CHANNEL,
            key: SigningKey::DelayedPayment { per_commitment_point },
            transaction: &transaction,
            input: 0,
            amount: request.amount,
            script: &request.script,
            sighash: bitcoin::EcdsaSighashType::All,
        })
        .unwrap();
    transaction.input[0].witness = delayed_witness(&signature, &request.script);
    let script_pubkey = request.script.to_p2wsh();
    crate::theft::accepts(&transaction, 0, &script_pubkey, request.amount);

    channel.connect(CLOSED + 100, &[&transaction]);
    let spend = &channel.monitor().state().output_spends[&to_local];
    assert_eq!(spend.kind, OutputSpendKind::Swept { owner: Side::Remote });
    assert!(channel.request(US, to_local).is_none());
    channel.disconnect(CLOSED + 99);
    assert!(channel.request(US, to_local).is_some());
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn another_commitment_may_confirm_after_a_revoked_one_left_the_chain() {
    for format in FORMATS {
        let (mut channel, name, _) = breached(format, US);
        let theft = channel.steal(1, &[name], Foreign::None);
        channel.connect(CLOSED + 1, &[&theft]);
        channel.disconnect(CLOSED - 1);
        assert!(channel.monitor().claim_requests().is_empty());
        assert!(channel.monitor().alarms().is_empty());

        for owner in [US, PEER] {
            let transaction = channel.newest(owner).transaction.clone();
            channel.connect_on(1, CLOSED, &[&transaction]);
            let output = channel.output_of(owner, name).unwrap();
            channel.claim(US, output);
            let delta = lastword_types::ChainDelta::Disconnected { fork: block(CLOSED - 1, 0) };
            for node in [US, PEER] {
                channel.apply(node, lastword_types::MonitorRecord::Chain(delta.clone()));
            }
        }
        breach(&mut channel, 1);
        claim_all(&mut channel, 1, CLOSED);
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn a_revocation_that_is_read_after_the_block_makes_the_closing_a_revoked_one() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let names = [1, 2].map(|n| channel.add(US, offer(n, 50_000)));
        let dust = channel.add(US, offer(3, DUST));
        let number = newest(&channel);
        channel.sign(PEER, &[], &[(names[0], FAILED)]);
        let closing = channel.nodes[PEER].commitments[number].transaction.clone();
        channel.connect(CLOSED, &[&closing]);
        let theft = channel.steal(number, &[names[1]], Foreign::None);
        channel.connect(CLOSED + 1, &[&theft]);
        let stolen = OutPoint { txid: theft.compute_txid(), vout: 0 };
        assert!(channel.request(US, stolen).is_none());
        let before = names.map(|name| channel.verdict(name));

        let revoked = CommitmentNumber::new(u64::try_from(number).unwrap()).unwrap();
        let secret = channel.nodes[PEER].keys.per_commitment_secret(revoked);
        let revocation = UpdateStep::RemoteRevocation { number: revoked, secret };
        let effects = channel.update(US, vec![revocation]);

        let spend = channel.monitor().state().funding_spend.clone().unwrap();
        assert_eq!(spend.close, Close::Revoked { number: revoked });
        let txid = closing.compute_txid();
        let alarm = Alarm::RevokedCommitment { channel_id: CHANNEL, txid, number: revoked };
        assert!(effects.contains(&Effect::Alarm(alarm)));
        assert!(effects.contains(&Effect::ClaimsChanged));
        assert_eq!(channel.verdict(dust), failing(HtlcFailure::Absent, DEEP));
        assert_eq!(names.map(|name| channel.verdict(name)), before);
        assert!(channel.request(US, stolen).is_some());
        claim_all(&mut channel, number, CLOSED + 1);
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn an_old_commitment_of_ours_is_none_of_the_peers() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    for n in 1..4 {
        channel.add(US, offer(n, 20_000));
    }
    let old = channel.nodes[US].commitments[0].transaction.clone();
    channel.connect(CLOSED, &[&old]);
    let spend = channel.monitor().state().funding_spend.clone().unwrap();
    assert_eq!(spend.close, Close::Unknown);
    assert!(channel.monitor().claim_requests().is_empty());
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn the_order_of_transactions_in_one_block_is_enough() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 50_000));
        let number = newest(&channel);
        channel.add(US, offer(9, 20_000));
        let closing = channel.nodes[PEER].commitments[number].transaction.clone();
        breach(&mut channel, number);
        let theft = channel.steal(number, &[name], Foreign::None);
        channel.connect(CLOSED + 1, &[&theft]);
        let penalty = channel.claim(US, OutPoint { txid: theft.compute_txid(), vout: 0 });
        channel.disconnect(CLOSED - 1);

        channel.connect_on(1, CLOSED, &[&closing, &theft, &penalty]);
        claim_all_on(&mut channel, number, CLOSED);
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn a_state_that_names_a_commitment_that_is_not_revoked_is_refused() {
    let (channel, ..) = breached(CommitmentFormat::StaticRemoteKey, US);
    let mut state = channel.monitor().state().clone();
    let spend = state.funding_spend.as_mut().unwrap();
    spend.close = Close::Revoked { number: state.remote.number };
    assert!(Monitor::restore(state).is_err());

    let mut state = channel.monitor().state().clone();
    let spend = state.funding_spend.as_mut().unwrap();
    spend.close = Close::Future { number: state.remote.number };
    assert!(Monitor::restore(state).is_err());
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn a_true_element_of_any_shape_is_the_revocation_branch() {
    let (mut channel, ..) = breached(CommitmentFormat::StaticRemoteKey, US);
    let to_local = place(&channel, 1, OutputKind::ToLocal);
    let penalty = channel.claim(US, to_local);
    let script = penalty.input[0].witness.last().unwrap().to_vec();
    let cases: [(&[u8], Side); 5] = [
        (&[1], Side::Local),
        (&[0, 7], Side::Local),
        (&[], Side::Remote),
        (&[0, 0], Side::Remote),
        (&[0, 0x80], Side::Remote),
    ];
    for (element, owner) in cases {
        let mut transaction = penalty.clone();
        transaction.input[0].witness = Witness::from_slice(&[&[9; 71][..], element, &script]);
        channel.connect(CLOSED + 1, &[&transaction]);
        let spend = &channel.monitor().state().output_spends[&to_local];
        assert_eq!(spend.kind, OutputSpendKind::Swept { owner });
        channel.disconnect(CLOSED);
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn a_long_history_costs_one_walk() {
    const PASSED: u64 = 20_000;
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let name = channel.add(US, offer(1, 50_000));
    let number = newest(&channel);
    let passing = channel.add(US, offer(2, 50_000));
    channel.remove(passing, FAILED);
    // What passed through the channel long ago and all at once is worth nothing to this test but
    // that it is there; to look at each of it for each other would take hours.
    let mut state = channel.monitor().state().clone();
    let known = state.htlcs[&seen(US, passing)].clone();
    for id in 0..PASSED {
        let mut htlc = known.clone();
        htlc.htlc.htlc_id = lastword_types::HtlcId(1000 + id);
        state.htlcs.insert((htlc.htlc.direction, htlc.htlc.htlc_id), htlc);
    }
    channel.nodes[US].monitor = Monitor::restore(state).unwrap();

    let started = std::time::Instant::now();
    breach(&mut channel, number);
    claim_all(&mut channel, number, CLOSED);
    assert!(started.elapsed() < std::time::Duration::from_mins(1));
    assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, claimed(&channel, name) + 5));
}

/// The height at which the output of an HTLC was spent.
fn claimed(channel: &Channel, name: Name) -> u32 {
    let output = channel.peers_output(1, name).unwrap();
    channel.monitor().state().output_spends[&output].block.height.0
}

/// [`claim_all`] on a second branch.
fn claim_all_on(channel: &mut Channel, number: usize, mut height: u32) {
    while let Some(request) = channel.monitor().claim_requests().first().cloned() {
        height = request.earliest_height.0.max(height + 1);
        let transaction = channel.answer(US, &request);
        channel.connect_on(1, height, &[&transaction]);
        assert!(channel.request(US, request.outpoint).is_none(), "{request:?}");
    }
    claim_all(channel, number, height);
}
