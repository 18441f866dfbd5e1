//! What was done too late, or not at all, because nobody looked at the clock.

use bitcoin::Transaction;
use lastword_monitor::Monitor;
use lastword_types::{
    Alarm, BlockHeight, ChannelId, ClaimKind, EARLY_FAIL_BACK_BLOCKS, Effect,
    FULFIL_DEADLINE_BLOCKS, ForwardOrigin, HtlcDirection, HtlcFailure, HtlcId, HtlcKey, HtlcOrigin,
    MonitorRecord, OFFERED_GRACE_BLOCKS, Verdict,
};

use super::{
    CLOSED, by_chain, by_message, closed, closings, failed, learn, lived, restart, undelivered,
};
use crate::channel::{Channel, EXPIRY, FORMATS, Name, PEER, US, offer, seen};

/// Says whether our commitment is to be broadcast.
fn goes_on_chain(channel: &Channel) -> bool {
    let requests = channel.monitor().claim_requests();
    requests.iter().any(|request| matches!(request.kind, ClaimKind::Commitment { .. }))
}

/// We had fulfilled and the peer kept silent; nothing was done until it could take the HTLC back.
#[test]
fn museum_b020_a_fulfil_that_is_not_answered_goes_on_chain_in_time_p5() {
    for format in FORMATS {
        for is_known in [true, false] {
            let mut channel = Channel::new(format);
            channel.add(PEER, offer(1, 50_000));
            if is_known {
                learn(&mut channel, US, 1);
            }
            let deadline = EXPIRY - FULFIL_DEADLINE_BLOCKS;
            channel.connect(deadline - 1, &[]);
            restart(&mut channel);
            assert!(!goes_on_chain(&channel));
            assert_eq!(channel.monitor().card().next_deadline, Some(BlockHeight(deadline)));
            channel.connect(deadline, &[]);
            restart(&mut channel);
            assert_eq!(goes_on_chain(&channel), is_known);
            channel.disconnect(deadline - 2);
            assert_eq!(goes_on_chain(&channel), is_known, "a decision has no height");
        }
    }
}

/// An offered HTLC stood in an open channel thousands of blocks past its expiry.
#[test]
fn museum_b103_an_htlc_past_its_expiry_makes_the_channel_go_on_chain_p4() {
    for format in FORMATS {
        for sat in [300, 50_000] {
            let mut channel = Channel::new(format);
            channel.add(US, offer(1, sat));
            let deadline = EXPIRY + OFFERED_GRACE_BLOCKS;
            channel.connect(deadline - 1, &[]);
            restart(&mut channel);
            assert!(!goes_on_chain(&channel));
            assert_eq!(channel.monitor().card().next_deadline, Some(BlockHeight(deadline)));
            let effects = channel.connect(deadline, &[]);
            restart(&mut channel);
            assert!(goes_on_chain(&channel));
            let is_told =
                |effect: &Effect| matches!(effect, Effect::Alarm(Alarm::GoingOnChain { .. }));
            assert!(effects.iter().any(is_told), "{effects:?}");
        }
    }
}

const INBOUND_EXPIRY: u32 = EXPIRY + 40;

/// Makes an HTLC of ours the outbound half of a forward.
fn make_forward(channel: &mut Channel, name: Name) {
    let mut state = channel.monitor().state().clone();
    let inbound = HtlcKey {
        channel_id: ChannelId([3; 32]),
        direction: HtlcDirection::Received,
        htlc_id: HtlcId(9),
    };
    let htlc = &mut state.htlcs.get_mut(&seen(US, name)).unwrap().htlc;
    htlc.origin = HtlcOrigin::Forward(ForwardOrigin {
        inbound,
        inbound_amount_msat: htlc.amount_msat,
        inbound_cltv_expiry: BlockHeight(INBOUND_EXPIRY),
    });
    channel.nodes[US].monitor = Monitor::restore(state).unwrap();
}

/// The outbound half of a forward hung on chain while fees were high; the node waited for
/// certainty until the inbound channel was closed as well.
#[test]
fn museum_b091_a_forward_that_hangs_on_chain_is_failed_back_once_before_its_inbound_half_expires() {
    for (format, owner) in closings() {
        for is_forward in [true, false] {
            let (mut channel, name, output) = closed(format, owner, US);
            if is_forward {
                make_forward(&mut channel, name);
            }
            learn(&mut channel, PEER, 1);
            let height = INBOUND_EXPIRY - EARLY_FAIL_BACK_BLOCKS;
            channel.connect(height - 1, &[]);
            assert_eq!(channel.verdict(name), Verdict::Live);
            channel.connect(height, &[]);
            restart(&mut channel);
            let expected = if is_forward { failed(HtlcFailure::FailedBack) } else { Verdict::Live };
            assert_eq!(channel.verdict(name), expected);

            // The peer takes it after all.
            let claim = channel.claim(PEER, output);
            channel.connect(height + 1, &[&claim]);
            restart(&mut channel);
            let lost = Alarm::ForwardLost { htlc: key(&channel, name) };
            assert_eq!(channel.monitor().alarms().contains(&lost), is_forward);
            if is_forward {
                assert_eq!(channel.verdict(name), expected);
                assert_eq!(undelivered(&channel), [(name.1, expected)]);
            }
        }
    }
}

/// The outbound half was given up early to save an inbound channel that was on chain already: then the
/// peer downstream took it, and the preimage that pays for it upstream was no longer used.
#[test]
fn museum_b016_a_forward_between_two_closed_channels_is_not_given_up_early() {
    for (format, owner) in closings() {
        let (mut channel, name, output) = closed(format, owner, US);
        make_forward(&mut channel, name);
        learn(&mut channel, PEER, 1);
        channel.apply(US, MonitorRecord::InboundOnChain { htlc: key(&channel, name) });
        let height = INBOUND_EXPIRY - EARLY_FAIL_BACK_BLOCKS;
        channel.connect(height, &[]);
        restart(&mut channel);
        assert_eq!(undelivered(&channel), [(name.1, Verdict::Live)]);

        let claim = channel.claim(PEER, output);
        channel.connect(height + 1, &[&claim]);
        restart(&mut channel);
        assert_eq!(undelivered(&channel), [(name.1, by_chain(1, &claim))]);
        assert_eq!(channel.monitor().alarms(), []);
    }
}

/// The urgency of a claim came from the wrong half of a forward: from the expiry of the outbound half,
/// which is past already, and not from the inbound half, which is what is lost.
#[test]
fn museum_b069_a_claim_is_urgent_by_the_inbound_half_of_its_forward_and_one_of_our_own_is_not() {
    for (format, owner) in closings() {
        for is_forward in [true, false] {
            let (mut channel, name, output) = closed(format, owner, US);
            if is_forward {
                make_forward(&mut channel, name);
            }
            let expected =
                is_forward.then_some(BlockHeight(INBOUND_EXPIRY - EARLY_FAIL_BACK_BLOCKS));
            for height in [EXPIRY - 2, EXPIRY + 1] {
                channel.connect(height, &[]);
                restart(&mut channel);
                let requests = channel.monitor().claim_requests();
                let claim = requests.iter().find(|it| it.outpoint == output).expect("it is ours");
                assert_eq!(claim.deadline, expected, "{format:?} {owner:?}");
                assert!(claim.earliest_height > BlockHeight(EXPIRY));
            }
        }
    }
}

/// The same of our commitment: what hangs on it is what it holds of HTLCs that others can take, and
/// the first of their deadlines.
#[test]
fn museum_b069_our_commitment_is_as_urgent_as_the_first_htlc_that_hangs_on_it() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let forward = channel.add(US, offer(1, 50_000));
        make_forward(&mut channel, forward);
        channel.add(US, offer(2, 60_000));
        channel.add(PEER, offer(3, 70_000));
        channel.connect(EXPIRY + OFFERED_GRACE_BLOCKS, &[]);
        let fails_back = BlockHeight(INBOUND_EXPIRY - EARLY_FAIL_BACK_BLOCKS);
        for (is_known, deadline, sat) in
            [(false, fails_back, 50_000), (true, BlockHeight(EXPIRY), 120_000)]
        {
            if is_known {
                learn(&mut channel, US, 3);
            }
            restart(&mut channel);
            let requests = channel.monitor().claim_requests();
            let [request] = &requests[..] else { panic!("{requests:?}") };
            let ClaimKind::Commitment { at_stake, .. } = request.kind else { panic!() };
            assert_eq!((request.deadline, at_stake.to_sat()), (Some(deadline), sat));
        }
    }
}

fn key(channel: &Channel, name: Name) -> HtlcKey {
    let (direction, htlc_id) = seen(US, name);
    HtlcKey { channel_id: channel.nodes[US].parameters.channel_id, direction, htlc_id }
}

/// The commitment did not confirm while fees were high, and an HTLC too small for an output kept the
/// inbound channel waiting until that was closed too.
#[test]
fn museum_b101_a_small_forward_does_not_wait_for_a_commitment_that_does_not_confirm() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let dust = channel.add(US, offer(1, 300));
        make_forward(&mut channel, dust);
        let height = INBOUND_EXPIRY - EARLY_FAIL_BACK_BLOCKS;
        channel.connect(height - 1, &[]);
        assert!(goes_on_chain(&channel));
        assert_eq!(channel.verdict(dust), Verdict::Live);
        channel.connect(height, &[]);
        restart(&mut channel);
        assert_eq!(channel.verdict(dust), failed(HtlcFailure::FailedBack));
    }
}

/// A forward whose preimage is known is not given up, however late it is.
#[test]
fn museum_b091_a_known_preimage_is_not_failed_back() {
    for (format, owner) in closings() {
        let (mut channel, name, _) = closed(format, owner, US);
        make_forward(&mut channel, name);
        super::fulfil(&mut channel, name);
        channel.connect(INBOUND_EXPIRY + 10, &[]);
        restart(&mut channel);
        assert_eq!(channel.verdict(name), by_message(1));
    }
}

/// Asking what is ours ended the program while HTLCs were open.
#[test]
fn museum_b117_the_balance_adds_up_after_every_step_of_every_close() {
    for format in FORMATS {
        let (mut channel, closings) = lived(format);
        adds_up(&channel);
        for closing in closings {
            let mut height = CLOSED;
            channel.connect(height, &[&closing]);
            adds_up(&channel);
            for _ in 0..12 {
                height += 1;
                let mut requests = channel.monitor().claim_requests();
                requests.retain(|request| request.outpoint.txid == closing.compute_txid());
                let claims: Vec<Transaction> = requests
                    .first()
                    .map(|request| {
                        height = height.max(request.earliest_height.0);
                        channel.answer(US, request)
                    })
                    .into_iter()
                    .collect();
                channel.connect(height, &claims.iter().collect::<Vec<_>>());
                adds_up(&channel);
                restart(&mut channel);
                adds_up(&channel);
            }
            channel.disconnect(CLOSED - 1);
            adds_up(&channel);
        }
    }
}

#[track_caller]
fn adds_up(channel: &Channel) {
    let balances = channel.monitor().balances();
    let sum: u64 = balances.parts.iter().map(|part| part.amount_msat.0).sum();
    let funding = channel.nodes[US].parameters.funding_amount.to_sat();
    assert_eq!(sum, funding * 1000, "{balances:?}");
}
