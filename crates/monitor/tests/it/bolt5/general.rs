//! Closings as a whole: watching, failing a channel, mutual and unilateral closings, unknown spends.

use bitcoin::OutPoint;
use lastword_monitor::Monitor;
use lastword_types::{
    Alarm, ChainDelta, ClaimKind, Close, CommitmentFormat, Effect, HtlcFailure, MonitorRecord,
    OutputSpendKind, SweepWitness, UpdateStep, Verdict,
};

use super::{CLOSED, DEEP, close, closed, failed, failing, learn};
use crate::channel::{
    CHANNEL, Channel, DELAYS, EXPIRY, FAILED, FORMATS, Node, PEER, US, block, offer,
};
use crate::spend::spend;

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

// BOLT 5: General Requirements
#[test]
fn an_htlc_transaction_and_its_sweep_may_share_a_block() {
    let (mut channel, _, output) = closed(CommitmentFormat::StaticRemoteKey, US, US);
    let timeout = channel.claim(US, output);
    channel.connect(EXPIRY + 1, &[&timeout]);
    let second = OutPoint { txid: timeout.compute_txid(), vout: 0 };
    let sweep = channel.claim(US, second);
    channel.disconnect(EXPIRY);

    channel.connect_on(1, EXPIRY + 1, &[&timeout, &sweep]);
    let spends = &channel.monitor().state().output_spends;
    assert_eq!(spends.len(), 2);
    assert!(spends.contains_key(&second));
}

// BOLT 5: Failing a Channel
#[test]
fn commitments_that_come_after_the_closing_do_not_push_out_the_confirmed_one() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let names = [1, 2].map(|n| channel.add(US, offer(n, 50_000)));
    close(&mut channel, US);
    let requests = channel.monitor().claim_requests();
    for name in names {
        channel.sign(US, &[], &[(name, FAILED)]);
        channel.revoke(US);
    }

    let restored = Monitor::restore(channel.monitor().state().clone()).unwrap();
    assert_eq!(restored.claim_requests(), requests);
    assert_eq!(channel.monitor().claim_requests(), requests);
}
