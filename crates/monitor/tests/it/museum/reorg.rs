//! Blocks that left the chain, and what stayed behind or left with them.

use bitcoin::{OutPoint, Transaction};
use lastword_types::{ClaimKind, HtlcFailure, SweepWitness, Verdict};

use super::{CLOSED, DEEP, closed, closings, failing, fresh, learn, lived, restart, same};
use crate::channel::{Channel, EXPIRY, FORMATS, PEER, US, offer};

/// Our commitment gave way to the peer's, whose outputs were not looked at: the first close had
/// been taken for the last.
#[test]
fn museum_b047_after_a_reorg_the_peers_commitment_pays_us_as_if_it_had_been_the_first() {
    for format in FORMATS {
        let (mut channel, [_, ours, theirs, ..]) = lived(format);
        channel.connect(CLOSED, &[&ours]);
        channel.connect(CLOSED + 3, &[]);
        channel.disconnect(CLOSED - 1);
        channel.connect_on(1, CLOSED + 1, &[&theirs]);

        let chain = [(CLOSED + 1, 1, vec![theirs])];
        same(channel.monitor(), &fresh(&channel, &chain));
        let is_to_remote = |kind: &ClaimKind| {
            matches!(
                kind,
                ClaimKind::Sweep {
                    witness: SweepWitness::PaymentKey | SweepWitness::PaymentKeyHash { .. },
                    ..
                }
            )
        };
        let requests = channel.monitor().claim_requests();
        assert!(requests.iter().any(|request| is_to_remote(&request.kind)));
    }
}

/// Whether claims on a commitment that had left were dropped hung on the memory of having signed
/// it, which a crash had taken.
#[test]
fn museum_b050_no_claim_outlives_the_commitment_that_it_spends() {
    for format in FORMATS {
        for has_failed in [false, true] {
            let (mut channel, [_, ours, theirs, ..]) = lived(format);
            if has_failed {
                channel.fail(US);
            }
            channel.connect(CLOSED, &[&ours]);
            restart(&mut channel);
            channel.disconnect(CLOSED - 1);
            restart(&mut channel);
            channel.connect_on(1, CLOSED, &[&theirs]);

            let requests = channel.monitor().claim_requests();
            let txid = theirs.compute_txid();
            assert!(!requests.is_empty());
            assert!(requests.iter().all(|request| request.outpoint.txid == txid));
        }
    }
}

/// A watch ended with the first spend of its output and did not come back when the spend had left.
#[test]
fn museum_b052_an_output_is_watched_again_when_its_spend_has_left() {
    for (format, owner) in closings() {
        for depth in 1..9 {
            let (mut channel, _, output) = closed(format, owner, US);
            let timeout = channel.claim(US, output);
            channel.connect(EXPIRY + 1, &[&timeout]);
            channel.connect(EXPIRY + depth, &[]);
            let is_final = depth >= 6;
            assert_eq!(channel.monitor().card().watched.contains(&output), !is_final);

            channel.disconnect(EXPIRY);
            restart(&mut channel);
            assert!(channel.monitor().card().watched.contains(&output));
            learn(&mut channel, PEER, 1);
            let claim = channel.claim(PEER, output);
            channel.connect_on(1, EXPIRY + 1, &[&claim]);
            assert!(channel.monitor().state().output_spends.contains_key(&output));
        }
    }
}

/// The first spend of the funding output was final at once; when another took its place, the
/// resolvers of the first one stayed.
#[test]
fn museum_b058_of_two_closes_the_one_on_the_chain_counts() {
    for format in FORMATS {
        let count = lived(format).1.len();
        for (first, second) in pairs(count) {
            for depth in [0, 4] {
                let (mut channel, closings) = lived(format);
                channel.connect(CLOSED, &[&closings[first]]);
                channel.connect(CLOSED + depth, &[]);
                restart(&mut channel);
                channel.disconnect(CLOSED - 1);
                channel.connect_on(1, CLOSED + 1, &[&closings[second]]);
                channel.connect_on(1, DEEP, &[]);

                let chain =
                    [(CLOSED + 1, 1, vec![closings[second].clone()]), (DEEP, 1, Vec::new())];
                same(channel.monitor(), &fresh(&channel, &chain));
            }
        }
    }
}

fn pairs(count: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..count * count)
        .map(move |n| (n / count, n % count))
        .filter(|(first, second)| first != second)
}

/// What a block had brought was taken back together with what it had nothing to do with, or not
/// wholly.
#[test]
fn museum_b153_a_block_that_is_taken_back_and_comes_again_leaves_no_trace() {
    for (format, owner) in closings() {
        let (mut channel, _, output) = closed(format, owner, US);
        channel.fail(US);
        learn(&mut channel, US, 8);
        let timeout = channel.claim(US, output);
        let second = OutPoint { txid: timeout.compute_txid(), vout: 0 };
        let closing = channel.newest(owner).transaction.clone();
        let mut chain: Vec<(u32, Vec<&Transaction>)> =
            vec![(CLOSED, vec![&closing]), (DEEP, vec![]), (EXPIRY + 1, vec![&timeout])];
        channel.connect(EXPIRY + 1, &[&timeout]);
        let sweep = channel.request(US, second).map(|request| channel.answer(US, &request));
        if let Some(sweep) = &sweep {
            chain.push((EXPIRY + 145, vec![sweep]));
        }
        for (height, transactions) in &chain {
            channel.connect((*height).max(EXPIRY + 1), transactions_above(*height, transactions));
        }
        // Below the depth at which a failure would have become final.
        let expected = channel.monitor().clone();
        for (back, (height, _)) in chain.iter().enumerate().rev().take(2) {
            let is_final = expected.state().htlcs.values().any(|htlc| htlc.failed.is_some());
            channel.disconnect(height - 1);
            assert_eq!(
                is_final,
                channel.monitor().state().htlcs.values().any(|htlc| htlc.failed.is_some())
            );
            for (height, transactions) in &chain[back..] {
                channel.connect(*height, transactions);
            }
            same(channel.monitor(), &expected);
        }
    }
}

/// Blocks up to the timeout were connected before.
fn transactions_above<'a>(
    height: u32,
    transactions: &'a [&'a Transaction],
) -> &'a [&'a Transaction] {
    if height > EXPIRY + 1 { transactions } else { &[] }
}

/// A block was held back from the node by those who fed it; the HTLC that it decided was judged by
/// the height of the block and not by that of the newest.
#[test]
fn museum_b029_blocks_that_come_late_and_at_once_lead_to_the_same_end() {
    for (format, owner) in closings() {
        let make = || {
            let mut channel = Channel::new(format);
            let name = channel.add(US, offer(1, 50_000));
            channel.add(PEER, offer(2, 60_000));
            channel.add(US, offer(3, 300));
            learn(&mut channel, US, 2);
            (channel, name)
        };
        let (mut burst, name) = make();
        let closing = burst.newest(owner).transaction.clone();
        burst.connect(CLOSED, &[&closing]);
        let output = burst.output_of(owner, name).unwrap();
        let timeout = burst.claim(US, output);
        burst.connect(EXPIRY + 1, &[&timeout]);
        burst.connect(EXPIRY + 7, &[]);

        let (mut one_by_one, _) = make();
        for height in CLOSED - 20..=EXPIRY + 7 {
            let transactions: &[&Transaction] = match height {
                CLOSED => &[&closing],
                501 => &[&timeout],
                _ => &[],
            };
            one_by_one.connect(height, transactions);
            restart(&mut one_by_one);
        }
        same(burst.monitor(), one_by_one.monitor());
        assert_eq!(burst.verdict(name), Verdict::Failed { reason: HtlcFailure::TimedOut });
    }
}

/// A reorg below the finality takes a failure on its way back, whoever restarts in between.
#[test]
fn museum_b055_everything_above_the_fork_goes_and_its_clock_begins_anew() {
    for (format, owner) in closings() {
        let (mut channel, name, output) = closed(format, owner, US);
        let timeout = channel.claim(US, output);
        channel.connect(EXPIRY + 1, &[&timeout]);
        channel.connect(EXPIRY + 5, &[]);
        channel.disconnect(EXPIRY);
        restart(&mut channel);
        assert_eq!(channel.verdict(name), Verdict::Live);
        channel.connect_on(1, EXPIRY + 3, &[&timeout]);
        assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, EXPIRY + 8));
    }
}
