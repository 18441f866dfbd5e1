//! Whose outcome it is: HTLCs that look alike, and HTLCs that only one commitment holds.

use bitcoin::OutPoint;
use lastword_types::{CommitmentFormat, HtlcFailure, OutputSpendKind, Verdict};

use super::{CLOSED, DEEP, by_chain, close, closed, failed, failing, learn, output_in, restart};
use crate::channel::{Channel, EXPIRY, FAILED, FORMATS, Name, Node, PEER, US, offer, seen};

/// A payment that comes back to us over the same channel: one HTLC out and one in, alike in hash
/// and amount, closed by a commitment that is not revoked.
fn circle(
    format: CommitmentFormat,
    owner: Node,
    is_previous: bool,
) -> (Channel, [Name; 2], [OutPoint; 2]) {
    let mut channel = Channel::new(format);
    let names = [US, PEER].map(|offerer| channel.add(offerer, offer(1, 50_000)));
    let number = channel.nodes[owner].commitments.len() - 1;
    let closing = channel.newest(owner).transaction.clone();
    if is_previous {
        let later = channel.draft(1 - owner, offer(2, 30_000));
        channel.sign(owner, &[later], &[]);
    }
    learn(&mut channel, US, 1);
    learn(&mut channel, PEER, 1);
    channel.connect(CLOSED, &[&closing]);
    let outputs = names.map(|name| output_in(&channel, owner, number, name).unwrap());
    (channel, names, outputs)
}

/// A route leads out of a channel and back in, so that it holds two HTLCs of one hash and amount.
/// The spend of the inbound output was taken for the outbound HTLC's, whose direction nobody asked.
#[test]
fn museum_b001_the_spend_of_an_inbound_twin_says_nothing_of_the_outbound_one() {
    for (format, owner, is_previous) in FORMATS
        .into_iter()
        .flat_map(|format| [(format, US, false), (format, PEER, false), (format, PEER, true)])
    {
        for [out_is_paid, back_is_paid, back_first] in bits() {
            let (mut channel, [out, back], outputs) = circle(format, owner, is_previous);
            let spenders =
                [if out_is_paid { PEER } else { US }, if back_is_paid { US } else { PEER }];
            let order = if back_first { [1, 0] } else { [0, 1] };
            let mut spends = Vec::new();
            for (height, which) in (EXPIRY + 1..).zip(order) {
                let other = [out, back][1 - which];
                let before = channel.verdict(other);
                let spend = channel.claim(spenders[which], outputs[which]);
                channel.connect(height, &[&spend]);
                assert_eq!(channel.verdict(other), before);
                spends.push((which, height, spend));
                restart(&mut channel);
            }
            for (which, height, spend) in spends {
                let is_paid = [out_is_paid, back_is_paid][which];
                let expected = if is_paid {
                    by_chain(1, &spend)
                } else {
                    failing(HtlcFailure::TimedOut, height + 5)
                };
                assert_eq!(channel.verdict([out, back][which]), expected);
            }
        }
    }
}

fn bits() -> impl Iterator<Item = [bool; 3]> {
    (0..8u8).map(|n| [n & 1 != 0, n & 2 != 0, n & 4 != 0])
}

/// Where the peer's witness shows a preimage, only the HTLCs of our own commitment were looked
/// through; one that stood in another valid commitment alone was not found.
#[test]
fn museum_b004_a_preimage_is_read_for_an_htlc_that_one_commitment_alone_holds_p2() {
    type Make = fn(&mut Channel, Name) -> (Node, usize);
    let only_theirs: Make = |channel, name| {
        channel.sign(PEER, &[name], &[]);
        (PEER, 1)
    };
    let only_their_previous: Make = |channel, name| {
        add(channel, name);
        channel.sign(US, &[], &[(name, FAILED)]);
        channel.revoke(US);
        channel.sign(PEER, &[], &[(name, FAILED)]);
        (PEER, 1)
    };
    let only_ours: Make = |channel, name| {
        add(channel, name);
        channel.sign(PEER, &[], &[(name, FAILED)]);
        channel.revoke(PEER);
        (US, 1)
    };
    let only_our_previous: Make = |channel, name| {
        add(channel, name);
        channel.fail(US);
        channel.sign(PEER, &[], &[(name, FAILED)]);
        channel.revoke(PEER);
        channel.sign(US, &[], &[(name, FAILED)]);
        (US, 1)
    };
    for format in FORMATS {
        for make in [only_theirs, only_their_previous, only_ours, only_our_previous] {
            let mut channel = Channel::new(format);
            let name = channel.draft(US, offer(1, 50_000));
            let (owner, number) = make(&mut channel, name);
            // A peer that takes what it has failed: its monitor is told of no failure.
            channel.nodes[PEER].monitor = honest_peer(format, owner, number);
            learn(&mut channel, PEER, 1);
            let closing = channel.nodes[owner].commitments[number].transaction.clone();
            channel.connect(CLOSED, &[&closing]);
            restart(&mut channel);
            let output = output_in(&channel, owner, number, name).unwrap();
            let claim = channel.claim(PEER, output);
            channel.connect(CLOSED + 1, &[&claim]);

            assert_eq!(channel.verdict(name), by_chain(1, &claim));
        }
    }
}

fn add(channel: &mut Channel, name: Name) {
    channel.sign(PEER, &[name], &[]);
    channel.revoke(PEER);
    channel.sign(US, &[name], &[]);
    channel.revoke(US);
}

/// The peer's monitor in a channel whose only HTLC was added and never removed.
fn honest_peer(format: CommitmentFormat, owner: Node, number: usize) -> lastword_monitor::Monitor {
    let mut channel = Channel::new(format);
    let name = channel.draft(US, offer(1, 50_000));
    channel.sign(PEER, &[name], &[]);
    if channel.nodes[owner].commitments.len() <= number || owner == US {
        channel.revoke(PEER);
        channel.sign(US, &[name], &[]);
    }
    let [_, peer] = channel.nodes;
    peer.monitor
}

/// An HTLC output that the peer took back was taken for the one that our HTLC-success transaction
/// spends, and an output of it that does not exist was swept for ever.
#[test]
fn museum_b025_an_output_that_the_peer_took_has_no_second_stage() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, US, PEER);
        learn(&mut channel, US, 1);
        let ours = channel.claim(US, output);
        let mut theirs = channel.claim(PEER, output);
        // Even where it pays what our transaction would have paid.
        theirs.output = ours.output;
        channel.connect(EXPIRY + 1, &[&theirs]);

        let spend = &channel.monitor().state().output_spends[&output];
        let (direction, htlc_id) = seen(US, name);
        let kind = OutputSpendKind::HtlcTimeout { direction, htlc_id, second_stage: None };
        assert_eq!(spend.kind, kind);
        let second = OutPoint { txid: theirs.compute_txid(), vout: 0 };
        assert!(channel.request(US, second).is_none() && channel.request(US, output).is_none());
        assert!(!channel.monitor().card().watched.contains(&second));
        channel.connect(EXPIRY + 6, &[]);
        assert_eq!(channel.verdict(name), failed(HtlcFailure::TimedOut), "a loss, and recorded");
    }
}

/// Of three lists of HTLCs that belonged together one was sorted by expiry, so the wrong ones were
/// called missing.
#[test]
fn museum_b105_htlcs_whose_expiries_are_in_no_order_are_not_mixed_up() {
    for (format, owner) in super::closings() {
        let mut channel = Channel::new(format);
        let expiring = |n: u8, sat, expiry| crate::channel::Offer { expiry, ..offer(n, sat) };
        let late = channel.add(US, expiring(1, 50_000, EXPIRY + 30));
        let dust = channel.add(US, expiring(2, 300, EXPIRY + 20));
        let soon = channel.add(US, expiring(3, 50_000, EXPIRY));
        let closing = channel.newest(owner).transaction.clone();
        let missing = channel.draft(US, expiring(4, 50_000, EXPIRY + 10));
        channel.sign(PEER, &[missing], &[]);
        let number = channel.nodes[owner].commitments.len() - 1 - usize::from(owner == PEER);
        channel.connect(CLOSED, &[&closing]);
        channel.connect(DEEP, &[]);

        let verdicts = [late, dust, soon, missing].map(|name| channel.verdict(name));
        let absent = failed(HtlcFailure::Absent);
        assert_eq!(verdicts, [Verdict::Live, absent, Verdict::Live, absent]);
        for (name, expiry) in [(late, EXPIRY + 30), (soon, EXPIRY)] {
            let output = output_in(&channel, owner, number, name).unwrap();
            assert_eq!(channel.request(US, output).unwrap().earliest_height.0, expiry + 1);
        }
    }
}

/// The id of an HTLC was kept in sixteen bits, and a channel that lived long enough had another
/// HTLC's penalty.
#[test]
fn museum_b132_an_htlc_id_may_be_any_number_of_64_bits() {
    for id in [0xffff, 0x1_0000, 0xffff_ffff, 0x1_0000_0000, u64::MAX - 1] {
        let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
        let names = [(US, id), (US, id & 0xff)];
        for (name, n) in names.into_iter().zip([1, 2]) {
            channel.offers.insert(name, offer(n, 50_000));
            add(&mut channel, name);
        }
        close(&mut channel, US);
        let output = channel.output_of(US, names[0]).unwrap();
        let timeout = channel.claim(US, output);
        channel.connect(EXPIRY + 1, &[&timeout]);
        restart(&mut channel);

        assert_eq!(channel.verdict(names[0]), failing(HtlcFailure::TimedOut, EXPIRY + 6));
        assert_eq!(channel.verdict(names[1]), Verdict::Live);
    }
}
