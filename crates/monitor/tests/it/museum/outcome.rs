//! Outcomes that were lost, doubled or contradicted.

use lastword_types::{
    AmountMsat, CommitmentFormat, Effect, FailingUntil, Generation, HtlcFailure, HtlcKey,
    MonitorRecord, Outcome, ReleasePaymentComplete, Told, Verdict,
};

use super::{
    CLOSED, DEEP, by_chain, by_message, close, closed, closings, failed, failing, fulfil, learn,
    output_in, restart, undelivered,
};
use crate::channel::{
    CHANNEL, Channel, EXPIRY, FAILED, FORMATS, Name, Node, PEER, US, fulfilled, offer, preimage,
    seen,
};

const REMOVED: HtlcFailure = HtlcFailure::Removed { code: 0x400f };

fn release(channel: &mut Channel, name: Name, outcome: Outcome) {
    let (direction, htlc_id) = seen(US, name);
    let htlc = HtlcKey { channel_id: CHANNEL, direction, htlc_id };
    let n = u8::try_from(name.1).unwrap();
    let told = Told::Payment { generation: Generation([n; 16]), outcome };
    channel.apply(US, MonitorRecord::Release(ReleasePaymentComplete { htlc, told }));
}

/// A channel from whose newest commitment of `owner` an HTLC of ours is gone, while the peer's
/// fulfil for it may or may not be known.
fn without(format: CommitmentFormat, owner: Node) -> (Channel, Name) {
    let mut channel = Channel::new(format);
    let name = channel.draft(US, offer(1, 50_000));
    channel.sign(PEER, &[name], &[]);
    if owner == PEER {
        // The peer confirms the commitment before, which it has not revoked.
        channel.nodes[PEER].commitments.pop();
    }
    (channel, name)
}

/// A commitment without the HTLC confirmed, and the node failed the HTLC upstream although it knew
/// the preimage; a restart made the failure stick.
fn a_known_preimage_beats_absence(owner: Node) {
    for format in FORMATS {
        for known_at in [0, CLOSED, CLOSED + 1, DEEP - 1] {
            let (mut channel, name) = without(format, owner);
            if known_at == 0 {
                fulfil(&mut channel, name);
            }
            close(&mut channel, owner);
            for height in CLOSED..=DEEP + 1 {
                channel.connect(height.max(CLOSED + 1), &[]);
                if height == known_at {
                    fulfil(&mut channel, name);
                }
                restart(&mut channel);
                let is_known = known_at <= height;
                let expected =
                    if is_known { by_message(1) } else { failing(HtlcFailure::Absent, DEEP) };
                assert_eq!(channel.verdict(name), expected, "known at {known_at}, {height}");
            }
            assert_eq!(undelivered(&channel), [(name.1, by_message(1))]);
        }
    }
}

#[test]
fn museum_b002_a_preimage_beats_absence_from_the_peers_commitment() {
    a_known_preimage_beats_absence(PEER);
}

/// The same was mended for the peer's commitment and forgotten for ours.
#[test]
fn museum_b003_a_preimage_beats_absence_from_our_commitment() {
    a_known_preimage_beats_absence(US);
}

/// The peer failed an HTLC, which was passed on at once; then it broadcast the commitment before,
/// which it had not revoked, and took the HTLC with the preimage.
#[test]
fn museum_b019_a_failure_is_not_final_before_the_peer_has_revoked_p1() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 50_000));
        let holds_it = channel.newest(PEER).transaction.clone();
        let number = channel.nodes[PEER].commitments.len() - 1;
        learn(&mut channel, PEER, 1);
        let greedy = channel.nodes[PEER].monitor.clone();
        channel.sign(US, &[], &[(name, FAILED)]);
        channel.revoke(US);
        channel.sign(PEER, &[], &[(name, FAILED)]);
        let until = FailingUntil::Revoked;
        assert_eq!(channel.verdict(name), Verdict::Failing { reason: REMOVED, until });

        channel.nodes[PEER].monitor = greedy;
        channel.connect(CLOSED, &[&holds_it]);
        assert_eq!(channel.verdict(name), Verdict::Live);
        let output = output_in(&channel, PEER, number, name).unwrap();
        let claim = channel.claim(PEER, output);
        channel.connect(CLOSED + 1, &[&claim]);
        assert_eq!(channel.verdict(name), by_chain(1, &claim));
    }
}

/// What was seen on chain was told by a message in memory. The message was taken, a block made the
/// watcher write itself without it, and the process died before the taker had written.
#[test]
fn museum_b036_an_outcome_stays_until_the_consumer_durably_has_it() {
    for (format, owner) in closings() {
        for is_paid in [true, false] {
            let (mut channel, name, output) = closed(format, owner, US);
            learn(&mut channel, PEER, 1);
            let spend = channel.claim(if is_paid { PEER } else { US }, output);
            channel.connect(EXPIRY + 1, &[&spend]);
            let [amount_msat, fee_msat] = [AmountMsat(50_000_000), AmountMsat(0)];
            let (verdict, outcome) = if is_paid {
                let preimage = preimage(1);
                (by_chain(1, &spend), Outcome::Sent { preimage, amount_msat, fee_msat })
            } else {
                let reason = HtlcFailure::TimedOut;
                (failed(reason), Outcome::Failed { reason })
            };
            for height in [EXPIRY + 6, EXPIRY + 7, EXPIRY + 5000] {
                channel.connect(height, &[]);
                restart(&mut channel);
                assert_eq!(undelivered(&channel), [(name.1, verdict)]);
                assert!(channel.monitor().card().has_undelivered);
            }

            release(&mut channel, name, outcome);
            restart(&mut channel);
            assert_eq!(undelivered(&channel), []);
            assert_eq!(channel.verdict(name), verdict, "it is told, and known still");
        }
    }
}

/// The peer fulfilled; its next messages removed the HTLC and the watcher forgot the preimage with
/// it. After a crash the payment was missing, and so it had failed.
#[test]
fn museum_b037_the_preimage_outlives_the_removal_of_its_htlc() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 50_000));
        fulfil(&mut channel, name);
        channel.remove(name, fulfilled(1));
        for n in [2, 3] {
            restart(&mut channel);
            let later = channel.add(US, offer(n, 20_000));
            channel.remove(later, FAILED);
        }
        restart(&mut channel);

        assert!(channel.newest(US).htlcs.is_empty() && channel.newest(PEER).htlcs.is_empty());
        assert_eq!(undelivered(&channel)[0], (name.1, by_message(1)));
    }
}

/// An HTLC that was too small for an output had no record of its end, so each start called the
/// payment pending and failed it again.
#[test]
fn museum_b084_what_has_no_output_ends_once_and_stays_told() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let dust = channel.add(US, offer(1, 300));
        close(&mut channel, owner);
        channel.connect(DEEP, &[]);
        let reason = HtlcFailure::Absent;
        assert_eq!(undelivered(&channel), [(dust.1, failed(reason))]);

        release(&mut channel, dust, Outcome::Failed { reason });
        for height in [DEEP + 1, DEEP + 200] {
            restart(&mut channel);
            let effects = channel.connect(height, &[]);
            assert!(!effects.iter().any(|effect| matches!(effect, Effect::LedgerChanged(_))));
            assert_eq!(undelivered(&channel), []);
        }
    }
}

/// Of the HTLCs that a confirmed commitment does not hold only the small ones were failed, and not
/// those that the commitment did not hold yet.
#[test]
fn museum_b087_an_htlc_that_is_not_in_the_confirmed_commitment_fails() {
    for format in FORMATS {
        for (owner, is_previous) in [(US, false), (US, true), (PEER, false), (PEER, true)] {
            let mut channel = Channel::new(format);
            let dust = channel.add(US, offer(1, 300));
            let closing = channel.newest(owner).transaction.clone();
            let missing = channel.draft(US, offer(2, 50_000));
            if owner == US {
                channel.fail(US);
                channel.sign(PEER, &[missing], &[]);
                channel.revoke(PEER);
                if is_previous {
                    channel.sign(US, &[missing], &[]);
                }
            } else if is_previous {
                channel.sign(PEER, &[missing], &[]);
            } else {
                // Our own side alone holds it, for the peer has signed for it already.
                channel.sign(US, &[missing], &[]);
            }
            channel.connect(CLOSED, &[&closing]);
            for height in [CLOSED, DEEP - 1] {
                channel.connect(height.max(CLOSED + 1), &[]);
                let verdicts = [dust, missing].map(|name| channel.verdict(name));
                assert_eq!(verdicts, [failing(HtlcFailure::Absent, DEEP); 2]);
            }
            channel.connect(DEEP, &[]);
            let verdicts = [dust, missing].map(|name| channel.verdict(name));
            assert_eq!(verdicts, [failed(HtlcFailure::Absent); 2]);
        }
    }
}

/// The HTLC had been given up; then the peer took its output with the preimage after all, and a
/// check for the impossible ended the program, again at each start.
#[test]
fn museum_b092_a_preimage_after_the_last_word_is_a_fact_and_no_contradiction() {
    for (format, owner) in closings() {
        let (mut channel, name, output) = closed(format, owner, US);
        learn(&mut channel, PEER, 1);
        let timeout = channel.claim(US, output);
        channel.connect(EXPIRY + 1, &[&timeout]);
        channel.connect(EXPIRY + 6, &[]);
        channel.disconnect(EXPIRY);
        let claim = channel.claim(PEER, output);
        for _ in 0..3 {
            channel.connect_on(1, EXPIRY + 2, &[&claim]);
            restart(&mut channel);
            assert_eq!(channel.verdict(name), failed(HtlcFailure::TimedOut));
            assert_eq!(channel.monitor().alarms().len(), 1);
        }
        let state = &channel.monitor().state().htlcs[&seen(US, name)];
        assert_eq!(state.late_preimage, Some(preimage(1)));
    }
}

/// The peer sent its fulfil again after it had reconnected, and the second one was an error that
/// closed the channel.
#[test]
fn museum_b094_the_same_fulfil_again_says_nothing_new() {
    for (format, owner) in closings() {
        let (mut channel, name, output) = closed(format, owner, US);
        learn(&mut channel, PEER, 1);
        fulfil(&mut channel, name);
        let claim = channel.claim(PEER, output);
        let is_told = |effects: Vec<Effect>| {
            effects.iter().any(|effect| matches!(effect, Effect::LedgerChanged(_)))
        };

        let htlc_id = lastword_types::HtlcId(name.1);
        let again = lastword_types::UpdateStep::Fulfill { htlc_id, preimage: preimage(1) };
        let effects = channel.update(US, vec![again]);
        assert!(!is_told(effects));
        let effects = channel.connect(CLOSED + 1, &[&claim]);
        assert!(!is_told(effects));
        assert_eq!(channel.verdict(name), by_message(1));
    }
}
