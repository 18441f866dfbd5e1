//! Gaps that an implementation like ours has today, by their numbers in `docs/FAILURES.md`.

use lastword_types::{Alarm, ClaimKind, Close, FulfilledHow, HtlcFailure, Verdict};

use super::{
    CLOSED, DEEP, by_chain, by_message, close, closed, closings, failed, failing, fulfil, learn,
    output_in, restart, undelivered,
};
use crate::channel::{CHANNEL, Channel, EXPIRY, FORMATS, PEER, US, offer, seen};

/// A small HTLC was fulfilled by message, then a commitment without an output for it confirmed.
/// The question at start did not ask for preimages, so the HTLC was both paid and failed.
#[test]
fn gap_g6_a_small_htlc_that_was_fulfilled_never_fails() {
    for (format, owner) in closings() {
        for fulfilled_at in [0, CLOSED, DEEP - 1] {
            let mut channel = Channel::new(format);
            let dust = channel.add(US, offer(1, 300));
            for height in [0, CLOSED, DEEP - 1, DEEP, DEEP + 100] {
                if height == CLOSED {
                    close(&mut channel, owner);
                } else if height > CLOSED {
                    channel.connect(height, &[]);
                }
                if height == fulfilled_at {
                    fulfil(&mut channel, dust);
                }
                restart(&mut channel);
            }
            assert_eq!(channel.verdict(dust), by_message(1));
            assert_eq!(undelivered(&channel), [(dust.1, by_message(1))]);
        }
    }
}

/// While a revoked commitment had unspent HTLC outputs, the live path waited for each of them and
/// the question at start called them all failed at the sixth block.
#[test]
fn gap_g7_on_a_revoked_or_unknown_close_a_restart_fails_nothing_that_is_open() {
    for format in FORMATS {
        for is_revoked in [true, false] {
            let mut channel = Channel::new(format);
            let name = channel.add(US, offer(1, 50_000));
            let revoked = channel.newest(PEER).transaction.clone();
            channel.add(US, offer(2, 30_000));
            let funding = channel.nodes[US].parameters.funding_outpoint;
            let closing = if is_revoked { revoked } else { crate::spend::spend(funding, 3, 3) };
            channel.connect(CLOSED, &[&closing]);
            let close = channel.monitor().state().funding_spend.as_ref().unwrap().close;
            assert_eq!(matches!(close, Close::Revoked { .. }), is_revoked);
            for height in [DEEP - 1, DEEP, DEEP + 1, EXPIRY + 1000] {
                channel.connect(height, &[]);
                let live = channel.verdict(name);
                restart(&mut channel);
                assert_eq!(channel.verdict(name), live);
                assert_eq!(live, Verdict::Live);
            }
        }
    }
}

/// A failure that waited for its depth was found again by hash and amount, without direction, and a
/// twin could stand before it.
#[test]
fn gap_g8_a_twin_hides_no_failure() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let out = [0; 2].map(|_: u8| channel.add(US, offer(1, 50_000)));
        let back = channel.add(PEER, offer(1, 50_000));
        learn(&mut channel, US, 1);
        learn(&mut channel, PEER, 1);
        close(&mut channel, owner);
        let output = |channel: &Channel, name| channel.output_of(owner, name).unwrap();
        let timeout = {
            let o = output(&channel, out[0]);
            channel.claim(US, o)
        };
        let success = {
            let o = output(&channel, back);
            channel.claim(US, o)
        };
        let paid = {
            let o = output(&channel, out[1]);
            channel.claim(PEER, o)
        };
        channel.connect(EXPIRY + 1, &[&timeout]);
        channel.connect(EXPIRY + 2, &[&success]);
        restart(&mut channel);
        channel.connect(EXPIRY + 3, &[&paid]);
        restart(&mut channel);
        assert_eq!(channel.verdict(out[0]), failing(HtlcFailure::TimedOut, EXPIRY + 6));
        channel.connect(EXPIRY + 6, &[]);

        assert_eq!(channel.verdict(out[0]), failed(HtlcFailure::TimedOut));
        assert_eq!(channel.verdict(out[1]), by_chain(1, &paid));
        assert_eq!(channel.verdict(back), by_chain(1, &success));
    }
}

/// A preimage on chain was dropped while another event of the same HTLC waited in the queue.
#[test]
fn gap_g9_a_preimage_is_recorded_whatever_was_not_told_yet() {
    for (format, owner) in closings() {
        let (mut channel, name, output) = closed(format, owner, US);
        learn(&mut channel, PEER, 1);
        let timeout = channel.claim(US, output);
        let claim = channel.claim(PEER, output);
        // A failure is on its way and nobody has fetched it.
        channel.connect(EXPIRY + 1, &[&timeout]);
        channel.connect(EXPIRY + 5, &[]);
        channel.disconnect(EXPIRY);
        channel.connect_on(1, EXPIRY + 1, &[&claim]);
        assert_eq!(channel.verdict(name), by_chain(1, &claim));
        // The claim is known and nobody has fetched it; its block leaves, and it comes again.
        channel.disconnect(EXPIRY);
        restart(&mut channel);
        assert_eq!(undelivered(&channel), [(name.1, by_chain(1, &claim))]);
        assert!(channel.monitor().card().watched.contains(&output));
        channel.connect_on(2, EXPIRY + 3, &[&claim]);
        let spend = &channel.monitor().state().output_spends[&output];
        assert_eq!(spend.block.height.0, EXPIRY + 3);
        channel.connect_on(2, EXPIRY + 8, &[]);
        assert!(!channel.monitor().card().watched.contains(&output), "it is done with");
        let how = FulfilledHow::Chain { txid: claim.compute_txid() };
        assert_eq!(channel.monitor().state().htlcs[&seen(US, name)].fulfilled.unwrap().1, how);
    }
}

/// A preimage that came after the close made every claim on our commitment anew.
#[test]
fn gap_g10_a_late_preimage_touches_only_the_claims_of_its_hash() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        channel.add(US, offer(9, 50_000));
        let names = [1, 2, 2, 3].map(|n| channel.add(PEER, offer(n, 40_000)));
        learn(&mut channel, US, 1);
        close(&mut channel, owner);
        let before = channel.monitor().claim_requests();
        learn(&mut channel, US, 2);

        let mut after = channel.monitor().claim_requests();
        let new = [names[1], names[2]].map(|name| channel.output_of(owner, name).unwrap());
        assert!(new.iter().all(|it| after.iter().any(|request| request.outpoint == *it)));
        after.retain(|request| !new.contains(&request.outpoint));
        assert_eq!(after, before);
    }
}

/// The wish to broadcast our commitment bore the height of the tip, and went with the tip when that
/// was reorganised away.
#[test]
fn gap_g11_the_wish_to_broadcast_our_commitment_survives_any_reorg() {
    for format in FORMATS {
        for has_htlc in [false, true] {
            let mut channel = Channel::new(format);
            if has_htlc {
                channel.add(US, offer(1, 50_000));
            }
            channel.connect(CLOSED, &[]);
            channel.fail(US);
            let requests = channel.monitor().claim_requests();
            assert!(
                matches!(requests[..], [ref it] if matches!(it.kind, ClaimKind::Commitment { .. }))
            );
            for fork in [CLOSED - 1, CLOSED - 50] {
                channel.disconnect(fork);
                restart(&mut channel);
                assert_eq!(channel.monitor().claim_requests(), requests);
                channel.connect_on(1, fork + 1, &[]);
                assert_eq!(channel.monitor().claim_requests(), requests);
                channel.disconnect(fork);
            }
            assert!(channel.monitor().card().is_closed);
        }
    }
}

/// The peer's commitment was newer than anything that the monitor had seen, because we had lost
/// data; at the sixth block every HTLC was called failed.
#[test]
fn gap_g16_a_close_from_beyond_what_we_know_is_told_and_fails_nothing() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 50_000));
        let lost = channel.nodes[US].monitor.clone();
        for n in 2..5 {
            channel.add(PEER, offer(n, 20_000));
        }
        let future = channel.newest(PEER).transaction.clone();
        let number = channel.nodes[PEER].commitments.len() - 1;
        assert!(output_in(&channel, PEER, number, name).is_some());
        channel.nodes[US].monitor = lost;
        channel.connect(CLOSED, &[&future]);
        for height in [DEEP, EXPIRY + 1000] {
            channel.connect(height, &[]);
            restart(&mut channel);
            assert_eq!(channel.verdict(name), Verdict::Live);
            let alarms = channel.monitor().alarms();
            let is_told = |alarm: &Alarm| {
                matches!(alarm, Alarm::FutureCommitment { channel_id: CHANNEL, .. })
            };
            assert!(alarms.iter().any(is_told), "{alarms:?}");
            let requests = channel.monitor().claim_requests();
            assert!(requests.iter().any(|request| request.amount.to_sat() > 400_000), "to_remote");
        }
    }
}
