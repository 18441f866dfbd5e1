//! One test for each requirement of BOLT 5 that an honest closing meets. The names in brackets are
//! those of the requirement table that the design refers to: `LL-1` is the first of "Local
//! Commitment, Local Offers".

use bitcoin::OutPoint;
use lastword_types::{
    Alarm, ChainDelta, ClaimKind, Close, CommitmentFormat, Effect, FailingUntil, FulfilledHow,
    HtlcFailure, MonitorRecord, OutputSpendKind, SweepWitness, UpdateStep, Verdict,
};

use crate::channel::{
    CHANNEL, Channel, DELAYS, EXPIRY, FAILED, FORMATS, Name, Node, PEER, US, block, offer, preimage,
};
use crate::spend::spend;

const CLOSED: u32 = 200;
/// The height at which the closing is final.
const DEEP: u32 = CLOSED + 5;

fn failing(reason: HtlcFailure, height: u32) -> Verdict {
    let until = FailingUntil::Depth(block(height, 0).height);
    Verdict::Failing { reason, until }
}

const fn failed(reason: HtlcFailure) -> Verdict {
    Verdict::Failed { reason }
}

/// A channel with one HTLC, closed by the newest commitment of `owner`, and the HTLC's output.
fn closed(format: CommitmentFormat, owner: Node, offerer: Node) -> (Channel, Name, OutPoint) {
    let mut channel = Channel::new(format);
    let name = channel.add(offerer, offer(1, 50_000));
    close(&mut channel, owner);
    let output = channel.output_of(owner, name).expect("it is not trimmed");
    (channel, name, output)
}

fn close(channel: &mut Channel, owner: Node) {
    let transaction = channel.newest(owner).transaction.clone();
    channel.connect(CLOSED, &[&transaction]);
}

fn learn(channel: &mut Channel, node: Node, n: u8) {
    channel.update(node, vec![UpdateStep::Preimage { preimage: preimage(n) }]);
}

// BOLT 5: General Requirements
#[test]
fn every_output_is_watched_until_its_spend_is_final_g1() {
    for format in FORMATS {
        let (mut channel, _, output) = closed(format, US, US);
        let funding = channel.nodes[US].parameters.funding_outpoint;
        let watched = channel.monitor().card().watched;
        assert!(watched.contains(&funding) && watched.contains(&output));

        channel.connect(DEEP, &[]);
        let watched = channel.monitor().card().watched;
        assert!(!watched.contains(&funding) && watched.contains(&output));

        let timeout = channel.claim(US, output);
        channel.connect(EXPIRY + 1, &[&timeout]);
        let second = OutPoint { txid: timeout.compute_txid(), vout: 0 };
        let watched = channel.monitor().card().watched;
        assert!(watched.contains(&output) && watched.contains(&second));

        channel.connect(EXPIRY + 6, &[]);
        let watched = channel.monitor().card().watched;
        assert!(!watched.contains(&output) && watched.contains(&second));
    }
}

// BOLT 5: General Requirements
#[test]
fn everything_of_ours_is_resolved_in_the_end_g2_g6() {
    for (format, owner) in FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)]) {
        let mut channel = Channel::new(format);
        channel.add(US, offer(1, 50_000));
        channel.add(PEER, offer(2, 60_000));
        learn(&mut channel, US, 2);
        close(&mut channel, owner);

        let mut height = CLOSED;
        while let Some(request) = channel.monitor().claim_requests().first().cloned() {
            assert!(channel.monitor().card().has_claims);
            height = request.earliest_height.0.max(height + 1);
            let transaction = channel.answer(US, &request);
            channel.connect(height, &[&transaction]);
        }

        let card = channel.monitor().card();
        assert!(!card.has_claims);
        assert!(
            card.watched.iter().all(|it| channel.monitor().state().output_spends.contains_key(it))
        );
        channel.connect(height + 5, &[]);
        let card = channel.monitor().card();
        assert_eq!((card.watched, card.next_deadline), (Vec::new(), None));
    }
}

// BOLT 5: General Requirements
#[test]
fn an_output_is_resolved_again_after_a_reorg_g3() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, US, US);
        let timeout = channel.claim(US, output);
        channel.connect(EXPIRY + 1, &[&timeout]);
        assert!(channel.request(US, output).is_none());

        channel.disconnect(EXPIRY);
        assert_eq!(channel.verdict(name), Verdict::Live);
        assert!(channel.request(US, output).is_some());

        let timeout = channel.claim(US, output);
        channel.connect_on(1, EXPIRY + 2, &[&timeout]);
        assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, EXPIRY + 7));
    }
}

// BOLT 5: General Requirements
#[test]
fn a_spent_funding_output_means_closed_g4() {
    let (mut channel, ..) = closed(CommitmentFormat::StaticRemoteKey, PEER, US);
    assert!(channel.monitor().card().is_closed);

    channel.disconnect(CLOSED - 1);
    assert!(!channel.monitor().card().is_closed);
}

// BOLT 5: General Requirements
#[test]
fn a_transaction_that_does_not_concern_the_channel_is_passed_over_g5() {
    let (mut channel, ..) = closed(CommitmentFormat::StaticRemoteKey, US, US);
    let state = channel.monitor().state().clone();
    let closing = channel.newest(US).transaction.compute_txid();
    let [nowhere, unknown_output] =
        [OutPoint::null(), OutPoint { txid: closing, vout: 77 }].map(|it| spend(it, 0, 0));

    channel.connect(CLOSED + 1, &[&nowhere, &unknown_output]);

    let expected = lastword_types::MonitorState { best: block(CLOSED + 1, 0), ..state };
    assert_eq!(channel.monitor().state(), &expected);
}

// BOLT 5: Failing a Channel
#[test]
fn a_failed_channel_broadcasts_the_newest_commitment_until_a_spend_confirms_f5() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        channel.add(US, offer(1, 50_000));
        assert!(channel.monitor().claim_requests().is_empty());

        channel.fail(US);
        let [request] = &channel.monitor().claim_requests()[..] else { panic!("one request") };
        let transaction = channel.answer(US, &request.clone());
        assert_eq!(transaction, channel.newest(US).transaction);

        channel.connect(CLOSED, &[&transaction]);
        let funding = channel.nodes[US].parameters.funding_outpoint;
        assert!(channel.request(US, funding).is_none());

        channel.disconnect(CLOSED - 1);
        assert!(channel.request(US, funding).is_some());
    }
}

// BOLT 5: Mutual Close Handling
#[test]
fn a_mutual_close_needs_nothing_more_c1() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let closing = spend(channel.nodes[US].parameters.funding_outpoint, 0, 0);
    channel.update(US, vec![UpdateStep::MutualClose { txid: closing.compute_txid() }]);

    let effects = channel.connect(CLOSED, &[&closing]);

    let spend = channel.monitor().state().funding_spend.clone().unwrap();
    assert_eq!(spend.close, Close::Mutual);
    assert!(channel.monitor().claim_requests().is_empty());
    assert!(channel.monitor().alarms().is_empty());
    assert!(!effects.iter().any(|effect| matches!(effect, Effect::Alarm(_))));
}

// BOLT 5: Unilateral Close Handling: Local Commitment Transaction
#[test]
fn to_local_is_swept_after_the_delay_l1_l2() {
    for format in FORMATS {
        let (mut channel, ..) = closed(format, US, US);
        let requests = channel.monitor().claim_requests();
        let is_to_local = |kind: &ClaimKind| {
            matches!(kind, ClaimKind::Sweep { witness: SweepWitness::Delayed { .. }, .. })
        };
        let request = requests.iter().find(|request| is_to_local(&request.kind)).unwrap();

        assert_eq!(request.earliest_height, block(CLOSED + u32::from(DELAYS[US]), 0).height);
        assert_eq!(request.deadline, None);
        let sweep = channel.answer(US, request);
        channel.connect(CLOSED + 144, &[&sweep]);
        let spend = channel.monitor().state().output_spends[&request.outpoint].clone();
        assert_eq!(spend.kind, OutputSpendKind::Swept { owner: lastword_types::Side::Local });
        assert!(channel.request(US, request.outpoint).is_none());
    }
}

// BOLT 5: Unilateral Close Handling: Local Commitment Transaction
#[test]
fn the_peers_outputs_are_left_to_the_peer_l3_r2() {
    for (format, owner) in FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)]) {
        let (channel, ..) = closed(format, owner, US);
        let outputs = |node: Node| -> Vec<_> {
            let requests = channel.nodes[node].monitor.claim_requests();
            requests.into_iter().map(|request| request.outpoint).collect()
        };
        let (ours, theirs) = (outputs(US), outputs(PEER));
        assert!(!theirs.is_empty());
        assert!(ours.iter().all(|output| !theirs.contains(output)));
    }
}

// BOLT 5: HTLC Output Handling: Local Commitment, Local Offers
#[test]
fn a_preimage_on_our_commitment_fulfils_at_once_ll1() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, US, US);
        learn(&mut channel, PEER, 1);
        let claim = channel.claim(PEER, output);

        let effects = channel.connect(CLOSED + 1, &[&claim]);

        let how = FulfilledHow::Chain { txid: claim.compute_txid() };
        let expected = Verdict::Fulfilled { preimage: preimage(1), how };
        assert_eq!(channel.verdict(name), expected);
        assert!(effects.iter().any(|effect| matches!(effect, Effect::LedgerChanged(_))));
    }
}

// BOLT 5: HTLC Output Handling: Local Commitment, Local Offers
#[test]
fn an_expired_offer_is_taken_back_by_the_htlc_timeout_transaction_ll2() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, US, US);
        let request = channel.request(US, output).unwrap();

        assert_eq!(request.earliest_height, block(EXPIRY + 1, 0).height);
        let ClaimKind::SecondStage { preimage: None, .. } = request.kind else {
            panic!("an HTLC-timeout transaction");
        };
        let timeout = channel.answer(US, &request);
        assert_eq!(timeout.lock_time.to_consensus_u32(), EXPIRY);
        assert_eq!(channel.verdict(name), Verdict::Live);
    }
}

// BOLT 5: HTLC Output Handling: Local Commitment, Local Offers
#[test]
fn a_timeout_fails_the_offer_only_when_it_is_deep_ll3() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, US, US);
        let timeout = channel.claim(US, output);

        channel.connect(EXPIRY + 1, &[&timeout]);
        assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, EXPIRY + 6));
        assert_eq!(channel.monitor().card().next_deadline, Some(block(EXPIRY + 6, 0).height));
        channel.connect(EXPIRY + 5, &[]);
        assert!(!channel.verdict(name).is_final());
        let effects = channel.connect(EXPIRY + 6, &[]);
        assert_eq!(channel.verdict(name), failed(HtlcFailure::TimedOut));
        assert!(effects.iter().any(|effect| matches!(effect, Effect::LedgerChanged(_))));
    }
}

// BOLT 5: HTLC Output Handling: Local Commitment, Local Offers
#[test]
fn the_output_of_the_htlc_timeout_transaction_is_swept_after_the_delay_ll4() {
    for format in FORMATS {
        let (mut channel, _, output) = closed(format, US, US);
        let timeout = channel.claim(US, output);
        channel.connect(EXPIRY + 1, &[&timeout]);
        let second = OutPoint { txid: timeout.compute_txid(), vout: 0 };

        let request = channel.request(US, second).unwrap();
        assert_eq!(request.amount, timeout.output[0].value);
        assert_eq!(request.earliest_height, block(EXPIRY + 1 + 144, 0).height);
        let sweep = channel.answer(US, &request);
        channel.connect(EXPIRY + 145, &[&sweep]);
        assert!(channel.request(US, second).is_none());
    }
}

// BOLT 5: HTLC Output Handling: Local Commitment, Local Offers
// BOLT 5: HTLC Output Handling: Remote Commitment, Local Offers
#[test]
fn an_offer_without_output_is_fulfilled_if_its_preimage_was_shown_ll5_rl3() {
    for (format, owner) in FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)]) {
        let mut channel = Channel::new(format);
        let dust = channel.add(US, offer(1, 300));
        let fulfill =
            UpdateStep::Fulfill { htlc_id: lastword_types::HtlcId(dust.1), preimage: preimage(1) };
        close(&mut channel, owner);
        channel.update(US, vec![fulfill]);
        channel.connect(DEEP, &[]);

        let how = FulfilledHow::Message;
        assert_eq!(channel.verdict(dust), Verdict::Fulfilled { preimage: preimage(1), how });
    }
}

// BOLT 5: HTLC Output Handling: Local Commitment, Local Offers
// BOLT 5: HTLC Output Handling: Remote Commitment, Local Offers
#[test]
fn an_offer_without_output_fails_when_the_closing_is_deep_ll6_rl3() {
    for (format, owner) in FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)]) {
        let mut channel = Channel::new(format);
        let dust = channel.add(US, offer(1, 300));
        let missing = channel.draft(US, offer(2, 50_000));
        let confirmed = channel.newest(owner).transaction.clone();
        // It enters a commitment that is not the one that confirms.
        channel.sign(PEER, &[missing], &[]);
        let removed = channel.verdict(missing);
        assert_eq!(removed, Verdict::Live);

        channel.connect(CLOSED, &[&confirmed]);
        for name in [dust, missing] {
            assert_eq!(channel.verdict(name), failing(HtlcFailure::Absent, DEEP));
        }
        channel.connect(DEEP - 1, &[]);
        assert!(!channel.verdict(dust).is_final());
        channel.connect(DEEP, &[]);
        for name in [dust, missing] {
            assert_eq!(channel.verdict(name), failed(HtlcFailure::Absent));
        }
    }
}

// BOLT 5: HTLC Output Handling: Local Commitment, Local Offers
#[test]
fn an_offer_that_was_removed_before_the_closing_keeps_its_reason_ll6() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let name = channel.add(US, offer(1, 50_000));
    channel.sign(US, &[], &[(name, FAILED)]);
    let reason = HtlcFailure::Removed { code: 0x400f };
    let until = FailingUntil::Revoked;
    assert_eq!(channel.verdict(name), Verdict::Failing { reason, until });

    close(&mut channel, US);
    assert_eq!(channel.verdict(name), failing(reason, DEEP));

    // The peer's commitment still holds it: there its own output decides.
    channel.disconnect(CLOSED - 1);
    let theirs = channel.newest(PEER).transaction.clone();
    channel.connect_on(1, CLOSED, &[&theirs]);
    assert_eq!(channel.verdict(name), Verdict::Live);
}

// BOLT 5: HTLC Output Handling: Local Commitment, Remote Offers
#[test]
fn a_received_htlc_is_claimed_by_the_htlc_success_transaction_lr1_lr3() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, US, PEER);
        assert!(channel.request(US, output).is_none());

        learn(&mut channel, US, 1);
        let request = channel.request(US, output).unwrap();
        assert_eq!(request.deadline, Some(block(EXPIRY, 0).height));
        let relative = u32::from(format == CommitmentFormat::AnchorsZeroFeeHtlc);
        assert_eq!(request.earliest_height, block(CLOSED + relative, 0).height);
        let success = channel.answer(US, &request);
        channel.connect(CLOSED + 1, &[&success]);

        let how = FulfilledHow::Chain { txid: success.compute_txid() };
        assert_eq!(channel.verdict(name), Verdict::Fulfilled { preimage: preimage(1), how });
        let second = OutPoint { txid: success.compute_txid(), vout: 0 };
        let request = channel.request(US, second).unwrap();
        assert_eq!(request.earliest_height, block(CLOSED + 1 + 144, 0).height);
        channel.answer(US, &request);
    }
}

// BOLT 5: HTLC Output Handling: Local Commitment, Remote Offers
// BOLT 5: HTLC Output Handling: Remote Commitment, Remote Offers
#[test]
fn what_the_peer_is_not_bound_to_is_not_claimed_until_the_closing_is_deep_lr4_rr2() {
    for (format, owner) in FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)]) {
        let mut channel = Channel::new(format);
        let name = channel.draft(PEER, offer(1, 50_000));
        channel.sign(US, &[name], &[]);
        channel.revoke(US);
        channel.sign(PEER, &[name], &[]);
        learn(&mut channel, US, 1);
        close(&mut channel, owner);

        let output = channel.output_of(owner, name).unwrap();
        let request = channel.request(US, output).unwrap();
        assert_eq!(request.earliest_height, block(DEEP + 1, 0).height);

        // The revocation that the peer owed binds it.
        channel.disconnect(CLOSED - 1);
        channel.revoke(PEER);
        close(&mut channel, owner);
        let request = channel.request(US, output).unwrap();
        assert!(request.earliest_height < block(DEEP, 0).height);
    }
}

// BOLT 5: HTLC Output Handling: Local Commitment, Remote Offers
// BOLT 5: HTLC Output Handling: Remote Commitment, Remote Offers
#[test]
fn a_received_htlc_goes_back_to_the_peer_after_its_expiry_lr5_rr3() {
    for (format, owner) in FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)]) {
        let (mut channel, name, output) = closed(format, owner, PEER);
        let timeout = channel.claim(PEER, output);
        channel.connect(EXPIRY + 1, &[&timeout]);

        assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, EXPIRY + 6));
        assert!(channel.monitor().state().output_spends.values().all(|spend| !matches!(
            spend.kind,
            OutputSpendKind::HtlcTimeout { second_stage: Some(_), .. }
        )));
        channel.connect(EXPIRY + 6, &[]);
        assert_eq!(channel.verdict(name), failed(HtlcFailure::TimedOut));
    }
}

// BOLT 5: Unilateral Close Handling: Remote Commitment Transaction
#[test]
fn both_commitments_of_the_peer_that_are_valid_are_known_r1() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 50_000));
        let previous = channel.newest(PEER).clone();
        channel.sign(PEER, &[], &[(name, FAILED)]);
        let current = channel.newest(PEER).clone();

        for (commitment, has_output) in [(&previous, true), (&current, false)] {
            channel.connect(CLOSED, &[&commitment.transaction]);
            let number = commitment.unsigned.number;
            let spend = channel.monitor().state().funding_spend.clone().unwrap();
            assert_eq!(spend.close, Close::RemoteUnilateral { number });
            let expected = if has_output {
                Verdict::Live
            } else {
                failing(HtlcFailure::Removed { code: 0x400f }, DEEP)
            };
            assert_eq!(channel.verdict(name), expected);
            channel.disconnect(CLOSED - 1);
        }
    }
}

// BOLT 5: Unilateral Close Handling: Remote Commitment Transaction
#[test]
fn both_commitments_of_ours_are_known_r1() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let name = channel.add(US, offer(1, 50_000));
    let previous = channel.newest(US).clone();
    channel.fail(US);
    channel.sign(US, &[], &[(name, FAILED)]);

    channel.connect(CLOSED, &[&previous.transaction]);

    let number = previous.unsigned.number;
    let spend = channel.monitor().state().funding_spend.clone().unwrap();
    assert_eq!(spend.close, Close::LocalUnilateral { number });
    assert_eq!(channel.verdict(name), Verdict::Live);
}

// BOLT 5: Unilateral Close Handling: Remote Commitment Transaction
#[test]
fn to_remote_of_the_peers_commitment_is_swept_r2() {
    for format in FORMATS {
        let (mut channel, ..) = closed(format, PEER, US);
        let requests = channel.monitor().claim_requests();
        let is_to_remote = |kind: &ClaimKind| {
            matches!(
                kind,
                ClaimKind::Sweep {
                    witness: SweepWitness::PaymentKey | SweepWitness::PaymentKeyHash { .. },
                    ..
                }
            )
        };
        let request = requests.iter().find(|request| is_to_remote(&request.kind)).unwrap();
        let relative = u32::from(format == CommitmentFormat::AnchorsZeroFeeHtlc);
        assert_eq!(request.earliest_height, block(CLOSED + relative, 0).height);
        channel.answer(US, request);
    }
}

// BOLT 5: HTLC Output Handling: Remote Commitment, Local Offers
#[test]
fn a_preimage_on_the_peers_commitment_fulfils_at_once_rl1() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, PEER, US);
        learn(&mut channel, PEER, 1);
        let success = channel.claim(PEER, output);
        channel.connect(CLOSED + 1, &[&success]);

        let how = FulfilledHow::Chain { txid: success.compute_txid() };
        assert_eq!(channel.verdict(name), Verdict::Fulfilled { preimage: preimage(1), how });
        // The output of the peer's HTLC transaction is the peer's.
        let second = OutPoint { txid: success.compute_txid(), vout: 0 };
        assert!(!channel.monitor().card().watched.contains(&second));
    }
}

// BOLT 5: HTLC Output Handling: Remote Commitment, Local Offers
#[test]
fn an_expired_offer_on_the_peers_commitment_is_taken_back_directly_rl2() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, PEER, US);
        let request = channel.request(US, output).unwrap();
        assert_eq!(request.earliest_height, block(EXPIRY + 1, 0).height);

        let timeout = channel.answer(US, &request);
        channel.connect(EXPIRY + 1, &[&timeout]);
        assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, EXPIRY + 6));
        channel.connect(EXPIRY + 6, &[]);
        assert_eq!(channel.verdict(name), failed(HtlcFailure::TimedOut));
    }
}

// BOLT 5: HTLC Output Handling: Remote Commitment, Remote Offers
#[test]
fn a_received_htlc_on_the_peers_commitment_is_claimed_directly_rr1() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, PEER, PEER);
        learn(&mut channel, US, 1);
        let request = channel.request(US, output).unwrap();
        assert_eq!(request.deadline, Some(block(EXPIRY, 0).height));

        let claim = channel.answer(US, &request);
        channel.connect(CLOSED + 1, &[&claim]);
        let how = FulfilledHow::Chain { txid: claim.compute_txid() };
        assert_eq!(channel.verdict(name), Verdict::Fulfilled { preimage: preimage(1), how });
        assert!(channel.request(US, output).is_none());
    }
}

// BOLT 5: General Requirements
#[test]
fn an_unknown_spend_is_an_alarm_and_decides_nothing_q1_r4() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let name = channel.add(US, offer(1, 50_000));
    let unknown = spend(channel.nodes[US].parameters.funding_outpoint, 0, 0);
    let effects = channel.connect(CLOSED, &[&unknown]);

    let alarm = Alarm::UnknownFundingSpend { channel_id: CHANNEL, txid: unknown.compute_txid() };
    assert!(effects.contains(&Effect::Alarm(alarm)));
    assert_eq!(channel.monitor().alarms(), [alarm]);
    channel.connect(CLOSED + 1000, &[]);
    assert_eq!(channel.verdict(name), Verdict::Live);
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn a_revoked_commitment_is_recognised_and_its_htlcs_stay() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let name = channel.add(US, offer(1, 50_000));
    let revoked = channel.newest(PEER).clone();
    let later = channel.add(US, offer(2, 50_000));
    let effects = channel.connect(CLOSED, &[&revoked.transaction]);

    let number = revoked.unsigned.number;
    let txid = revoked.transaction.compute_txid();
    let alarm = Alarm::RevokedCommitment { channel_id: CHANNEL, txid, number };
    assert!(effects.contains(&Effect::Alarm(alarm)));
    channel.connect(CLOSED + 1000, &[]);
    assert_eq!([name, later].map(|name| channel.verdict(name)), [Verdict::Live; 2]);
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn a_revocation_that_is_read_after_the_block_makes_the_closing_a_revoked_one() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let name = channel.add(US, offer(1, 50_000));
    let revoked = channel.newest(PEER).clone();
    channel.sign(PEER, &[], &[(name, FAILED)]);
    channel.connect(CLOSED, &[&revoked.transaction]);

    let secret = channel.nodes[PEER].keys.per_commitment_secret(revoked.unsigned.number);
    let number = revoked.unsigned.number;
    let effects = channel.update(US, vec![UpdateStep::RemoteRevocation { number, secret }]);

    let spend = channel.monitor().state().funding_spend.clone().unwrap();
    assert_eq!(spend.close, Close::Revoked { number });
    let txid = revoked.transaction.compute_txid();
    let alarm = Alarm::RevokedCommitment { channel_id: CHANNEL, txid, number };
    assert!(effects.contains(&Effect::Alarm(alarm)));
    assert_eq!(channel.verdict(name), Verdict::Live);
}

// BOLT 5: General Requirements
#[test]
fn a_closing_and_the_spends_of_its_outputs_may_share_a_block() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, US, US);
        learn(&mut channel, PEER, 1);
        let claim = channel.claim(PEER, output);
        channel.disconnect(CLOSED - 1);

        let closing = channel.newest(US).transaction.clone();
        let delta =
            ChainDelta::Connected { block: block(CLOSED, 1), transactions: vec![closing, claim] };
        channel.apply(US, MonitorRecord::Chain(delta));
        assert!(channel.verdict(name).is_final());
        assert_eq!(channel.monitor().state().output_spends.len(), 1);
    }
}

// BOLT 2: Forwarding HTLCs
#[test]
fn a_late_commitment_update_enters_the_ledger_and_its_htlcs_fail_with_the_spend() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let closing = channel.newest(PEER).transaction.clone();
    channel.connect(CLOSED, &[&closing]);
    let late = channel.draft(US, offer(1, 50_000));
    channel.sign(PEER, &[late], &[]);
    assert_eq!(channel.verdict(late), failing(HtlcFailure::Absent, DEEP));
    channel.connect(DEEP, &[]);
    assert_eq!(channel.verdict(late), failed(HtlcFailure::Absent));

    let later = channel.draft(US, offer(2, 50_000));
    channel.sign(US, &[later], &[]);
    assert_eq!(channel.verdict(later), failed(HtlcFailure::Absent));
}
