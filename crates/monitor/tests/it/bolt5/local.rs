//! HTLCs on our commitment.

use bitcoin::OutPoint;
use lastword_types::{
    ClaimKind, CommitmentFormat, EARLY_FAIL_BACK_BLOCKS, Effect, FailingUntil, FulfilledHow,
    HtlcFailure, HtlcId, HtlcKey, MonitorRecord, OutputSpendKind, ReleasePaymentComplete, Told,
    UpdateStep, Verdict,
};

use super::{CLOSED, DEEP, close, closed, failed, failing, learn};
use crate::channel::{
    CHANNEL, Channel, EXPIRY, FAILED, FORMATS, Name, PEER, US, block, offer, preimage, seen,
};
use crate::museum::{by_chain, closings, restart};

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
        let fulfill = UpdateStep::Fulfill { htlc_id: HtlcId(dust.1), preimage: preimage(1) };
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
#[test]
fn a_preimage_of_our_own_is_shown_for_no_htlc_that_is_not_ours_lr2() {
    for (format, owner) in FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)]) {
        for (is_early, ours) in [(true, 0), (true, 1), (false, 0), (false, 1)] {
            let mut channel = Channel::new(format);
            let names = [0; 2].map(|_: u8| channel.add(PEER, offer(1, 50_000)));
            let claim =
                UpdateStep::ClaimHtlc { htlc_id: HtlcId(names[ours].1), preimage: preimage(1) };
            if is_early {
                channel.update(US, vec![claim.clone()]);
            }
            close(&mut channel, owner);
            if !is_early {
                channel.update(US, vec![claim]);
            }
            let outputs = names.map(|name| channel.output_of(owner, name).unwrap());
            let request = channel.request(US, outputs[ours]).unwrap();
            channel.answer(US, &request);
            assert!(channel.request(US, outputs[1 - ours]).is_none(), "it is only passing through");
            channel.connect(EXPIRY, &[]);
            assert!(channel.request(US, outputs[1 - ours]).is_none());
        }
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

const INBOUND_EXPIRY: u32 = EXPIRY + 40;
const FAIL_BACK: u32 = INBOUND_EXPIRY - EARLY_FAIL_BACK_BLOCKS;

/// The record that the inbound half of a forward is on chain.
fn inbound_on_chain(name: Name) -> MonitorRecord {
    let (direction, htlc_id) = seen(US, name);
    MonitorRecord::InboundOnChain { htlc: HtlcKey { channel_id: CHANNEL, direction, htlc_id } }
}

/// A forward and another, on our commitment or the peer's; the first one's inbound half is on chain.
fn forwards(format: CommitmentFormat, owner: usize, is_noted_first: bool) -> (Channel, [Name; 2]) {
    let mut channel = Channel::new(format);
    let names = [1, 2].map(|n| channel.forward(offer(n, 50_000), INBOUND_EXPIRY));
    if is_noted_first {
        channel.apply(US, inbound_on_chain(names[0]));
    }
    close(&mut channel, owner);
    channel.connect(DEEP, &[]);
    if !is_noted_first {
        let effects = channel.apply(US, inbound_on_chain(names[0]));
        let (direction, htlc_id) = seen(US, names[0]);
        let key = HtlcKey { channel_id: CHANNEL, direction, htlc_id };
        assert_eq!(effects, [Effect::LedgerChanged(key), Effect::CardChanged]);
    }
    restart(&mut channel);
    (channel, names)
}

// BOLT 5: HTLC Output Handling: Local Commitment, Local Offers
#[test]
fn a_forward_whose_inbound_half_is_on_chain_too_is_not_failed_back_early_ll9() {
    for (format, owner) in closings() {
        for (is_noted_first, is_taken) in [(true, true), (true, false), (false, true)] {
            let (mut channel, [noted, other]) = forwards(format, owner, is_noted_first);
            let next = |channel: &Channel| channel.monitor().card().next_deadline;
            assert_eq!(next(&channel), Some(block(FAIL_BACK, 0).height), "for the other");
            channel.connect(FAIL_BACK, &[]);
            assert_eq!(channel.verdict(noted), Verdict::Live);
            assert_eq!(channel.verdict(other), failed(HtlcFailure::FailedBack));
            assert_eq!(next(&channel), None, "nothing comes by time alone");
            channel.connect(INBOUND_EXPIRY + 100, &[]);
            restart(&mut channel);
            assert_eq!(channel.verdict(noted), Verdict::Live);

            // It ends as its own output does.
            let output = channel.output_of(owner, noted).unwrap();
            if is_taken {
                learn(&mut channel, PEER, 1);
            }
            let spend = channel.claim(if is_taken { PEER } else { US }, output);
            let height = INBOUND_EXPIRY + 101;
            channel.connect(height, &[&spend]);
            channel.connect(height + 5, &[]);
            let expected =
                if is_taken { by_chain(1, &spend) } else { failed(HtlcFailure::TimedOut) };
            assert_eq!(channel.verdict(noted), expected);
            assert_eq!(channel.monitor().alarms(), []);
        }
    }
}

// BOLT 5: HTLC Output Handling: Local Commitment, Local Offers
#[test]
fn that_an_inbound_half_is_on_chain_is_noted_once_and_only_while_it_matters_ll9() {
    let (mut channel, names) = forwards(FORMATS[1], US, false);
    let says_nothing = |channel: &Channel, name| {
        channel.monitor().check(&inbound_on_chain(name)).unwrap().is_noop()
    };
    assert!(says_nothing(&channel, names[0]), "it is known");
    assert!(!says_nothing(&channel, names[1]));
    channel.connect(FAIL_BACK, &[]);
    assert!(says_nothing(&channel, names[1]), "it is failed back already");

    let mut channel = Channel::new(FORMATS[1]);
    let name = channel.forward(offer(1, 50_000), INBOUND_EXPIRY);
    channel.apply(US, inbound_on_chain(name));
    channel.remove(name, FAILED);
    let (direction, htlc_id) = seen(US, name);
    let htlc = HtlcKey { channel_id: CHANNEL, direction, htlc_id };
    let release = ReleasePaymentComplete { htlc, told: Told::Forward };
    channel.apply(US, MonitorRecord::Release(release));
    channel.add(PEER, offer(2, 50_000));
    let htlcs = &channel.monitor().state().htlcs;
    assert!(!htlcs.contains_key(&(direction, htlc_id)), "it is forgotten whole");
    assert!(says_nothing(&channel, name));
}
