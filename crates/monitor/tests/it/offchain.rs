//! HTLCs that end off chain: by fulfil, by failure, and when a failure is final.

use lastword_types::{
    ChainDelta, CommitmentFormat, CommitmentNumber, Effect, FailingUntil, FulfilledHow,
    HtlcFailure, HtlcId, MonitorRecord, RemovalReason, Side, UpdateStep, Verdict,
};

use crate::channel::{Channel, FAILED, PEER, US, block, fulfilled, offer, preimage, seen};

const REASON: HtlcFailure = HtlcFailure::Removed { code: 0x400f };

fn channel() -> Channel {
    Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc)
}

#[test]
fn a_failed_offer_is_final_when_the_peer_has_revoked() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    let failing = Verdict::Failing { reason: REASON, until: FailingUntil::Revoked };

    channel.sign(US, &[], &[(name, FAILED)]);
    assert_eq!(channel.verdict(name), failing);
    channel.revoke(US);
    assert_eq!(channel.verdict(name), failing);
    channel.sign(PEER, &[], &[(name, FAILED)]);
    assert_eq!(channel.verdict(name), failing);
    channel.revoke(PEER);
    assert_eq!(channel.verdict(name), Verdict::Failed { reason: REASON });
    let state = &channel.monitor().state().htlcs[&seen(US, name)];
    assert_eq!(state.failed, Some(REASON));
}

#[test]
fn a_failed_offer_is_not_final_while_our_own_commitment_holds_it() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    channel.sign(PEER, &[], &[(name, FAILED)]);
    channel.revoke(PEER);
    let failing = Verdict::Failing { reason: REASON, until: FailingUntil::Revoked };
    assert_eq!(channel.verdict(name), failing);

    channel.sign(US, &[], &[(name, FAILED)]);
    assert_eq!(channel.verdict(name), Verdict::Failed { reason: REASON });
}

#[test]
fn a_failed_offer_is_not_final_while_our_broadcast_commitment_holds_it() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    channel.fail(US);
    channel.sign(PEER, &[], &[(name, FAILED)]);
    channel.revoke(PEER);
    channel.sign(US, &[], &[(name, FAILED)]);

    assert!(!channel.verdict(name).is_final());
}

#[test]
fn a_fulfil_is_final_at_once_and_beats_what_comes_later() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    let how = FulfilledHow::Message;
    let expected = Verdict::Fulfilled { preimage: preimage(1), how };
    let fulfill = UpdateStep::Fulfill { htlc_id: HtlcId(name.1), preimage: preimage(1) };
    let effects = channel.update(US, vec![fulfill]);
    assert_eq!(channel.verdict(name), expected);
    assert!(effects.iter().any(|effect| matches!(effect, Effect::LedgerChanged(_))));

    channel.remove(name, FAILED);
    assert_eq!(channel.verdict(name), expected);
}

#[test]
fn a_removal_that_names_the_preimage_is_a_fulfil() {
    for offerer in [US, PEER] {
        let mut channel = channel();
        let name = channel.add(offerer, offer(1, 50_000));
        channel.sign(offerer, &[], &[(name, fulfilled(1))]);
        let monitor = &channel.nodes[offerer].monitor;
        let (direction, htlc_id) = seen(offerer, name);
        let how = FulfilledHow::Message;
        let expected = Verdict::Fulfilled { preimage: preimage(1), how };
        assert_eq!(monitor.verdict(direction, htlc_id), Some(expected));
    }
}

#[test]
fn a_preimage_from_elsewhere_is_no_verdict() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    let received = channel.add(PEER, offer(1, 50_000));
    channel.update(US, vec![UpdateStep::Preimage { preimage: preimage(1) }]);

    assert_eq!([channel.verdict(name), channel.verdict(received)], [Verdict::Live; 2]);
}

#[test]
fn a_preimage_after_the_final_failure_is_a_fact_and_an_alarm() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    channel.remove(name, FAILED);
    let fulfill = UpdateStep::Fulfill { htlc_id: HtlcId(name.1), preimage: preimage(1) };
    let effects = channel.update(US, vec![fulfill]);

    assert_eq!(channel.verdict(name), Verdict::Failed { reason: REASON });
    let state = &channel.monitor().state().htlcs[&seen(US, name)];
    assert_eq!(state.late_preimage, Some(preimage(1)));
    let alarms = channel.monitor().alarms();
    assert_eq!(alarms.len(), 1);
    assert!(effects.contains(&Effect::Alarm(alarms[0])));
}

#[test]
fn a_commitment_holds_the_htlcs_whose_spell_says_so() {
    let mut channel = channel();
    let first = channel.add(US, offer(1, 50_000));
    let second = channel.add(PEER, offer(2, 300));
    channel.remove(first, RemovalReason::Failed { code: 1 });
    for (owner, node) in [(Side::Local, US), (Side::Remote, PEER)] {
        for commitment in &channel.nodes[node].commitments {
            let number = commitment.unsigned.number;
            let mut expected: Vec<_> =
                commitment.htlcs.iter().map(|name| seen(US, *name)).collect();
            expected.sort_unstable();
            let htlcs = channel.monitor().htlcs_in(owner, number);
            let got: Vec<_> = htlcs.iter().map(|htlc| (htlc.direction, htlc.htlc_id)).collect();
            assert_eq!(got, expected, "{owner:?} {number}");
        }
    }
    assert!(
        !channel
            .monitor()
            .htlcs_in(Side::Remote, CommitmentNumber::ZERO)
            .contains(&&channel.htlc(US, second))
    );
}

#[test]
fn the_balance_of_a_commitment_moves_with_its_htlcs() {
    let mut channel = channel();
    let ours = channel.add(US, offer(1, 50_000));
    let theirs = channel.add(PEER, offer(2, 70_000));
    channel.remove(ours, fulfilled(1));
    channel.remove(theirs, FAILED);

    let local = &channel.monitor().state().local.commitment;
    assert_eq!((local.to_local_msat.0, local.to_remote_msat.0), (450_000_000, 550_000_000));
}

#[test]
fn several_steps_of_one_update_are_one_change() {
    let mut whole = channel();
    let name = whole.add(US, offer(1, 50_000));
    whole.remove(name, FAILED);
    let steps: Vec<_> = whole
        .records
        .iter()
        .filter_map(|record| match record {
            MonitorRecord::Update(update) => Some(update.steps.clone()),
            MonitorRecord::Created(_)
            | MonitorRecord::Release(_)
            | MonitorRecord::GivenUp(_)
            | MonitorRecord::InboundOnChain { .. }
            | MonitorRecord::Claim(_)
            | MonitorRecord::ToldUnknown { .. }
            | MonitorRecord::Mempool(_)
            | MonitorRecord::PruneTombstones { .. }
            | MonitorRecord::Archive
            | MonitorRecord::Chain(
                ChainDelta::Connected { .. } | ChainDelta::Disconnected { .. },
            ) => None,
        })
        .flatten()
        .collect();
    assert!(steps.len() > 5);

    let mut once = channel();
    once.update(US, steps);

    let mut expected = whole.monitor().state().clone();
    expected.latest_update = once.monitor().state().latest_update;
    assert_eq!(once.monitor().state(), &expected);
    assert_eq!(once.monitor().state().best, block(crate::channel::BIRTH, 0));
}

#[test]
fn the_first_evidence_is_the_one_that_is_told() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    let fulfill = UpdateStep::Fulfill { htlc_id: HtlcId(name.1), preimage: preimage(1) };
    channel.update(US, vec![fulfill]);
    channel.update(PEER, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
    let closing = channel.newest(PEER).transaction.clone();
    channel.connect(200, &[&closing]);
    let output = channel.output_of(PEER, name).unwrap();
    let success = channel.claim(PEER, output);
    channel.connect(201, &[&success]);

    let how = FulfilledHow::Message;
    assert_eq!(channel.verdict(name), Verdict::Fulfilled { preimage: preimage(1), how });
}
