//! What is valid and odd: it ends as anything else does.
//!
//! Giant and empty witnesses and preimages of a wrong length stand in `museum::input`.

use bitcoin::{OutPoint, Transaction};
use lastword_bolt3::rules;
use lastword_types::{ClaimKind, HtlcFailure, RemovalReason, Verdict};

use crate::channel::{BIRTH, Channel, EXPIRY, FAILED, FORMATS, Name, Offer, PEER, US, offer};
use crate::theft::{Foreign, may_aggregate};

/// The last height that is no time, from where on an expiry is refused.
const FAR: u32 = 499_999_999;
/// The inputs of the longest HTLC transaction here.
const INPUTS: usize = 100;
/// What the fixture's channels have on each side.
const BALANCE: u64 = 500_000;
const CLOSED: u32 = EXPIRY - 100;

/// HTLCs of one side on both commitments, in one step.
fn add_all(channel: &mut Channel, names: &[Name]) {
    let receiver = 1 - names[0].0;
    channel.sign(receiver, names, &[]);
    channel.revoke(receiver);
    channel.sign(1 - receiver, names, &[]);
    channel.revoke(1 - receiver);
}

/// The only claim that the node makes on an output.
fn earliest(channel: &Channel, output: OutPoint) -> Option<u32> {
    channel.request(US, output).map(|request| request.earliest_height.0)
}

#[test]
fn an_htlc_that_expired_with_the_genesis_block_can_be_claimed_at_once() {
    for format in FORMATS {
        for owner in [US, PEER] {
            let mut channel = Channel::new(format);
            let odd = Offer { expiry: 0, ..offer(1, 50_000) };
            let name = channel.add(US, odd);
            let closing = channel.newest(owner).transaction.clone();
            channel.connect(CLOSED, &[&closing]);
            let output = channel.output_of(owner, name).unwrap();
            assert!(earliest(&channel, output).is_some_and(|height| height <= CLOSED + 1));

            let timeout = channel.claim(US, output);
            channel.connect(CLOSED + 1, &[&timeout]);
            channel.connect(CLOSED + 6, &[]);

            let failed = Verdict::Failed { reason: HtlcFailure::TimedOut };
            assert_eq!(channel.verdict(name), failed, "{format:?}, node {owner}");
        }
    }
}

#[test]
fn an_htlc_that_expires_in_ten_thousand_years_waits_and_is_not_waited_for() {
    for format in FORMATS {
        for owner in [US, PEER] {
            let mut channel = Channel::new(format);
            let far = || Offer { expiry: FAR, ..offer(1, 50_000) };
            let names = [channel.add(US, far()), channel.add(PEER, far())];
            channel.connect(BIRTH + 1, &[]);
            assert!(!channel.monitor().state().fail_channel);
            let closing = channel.newest(owner).transaction.clone();
            channel.connect(CLOSED, &[&closing]);
            let output = channel.output_of(owner, names[0]).unwrap();
            assert!(earliest(&channel, output).is_some_and(|height| height >= FAR));

            for height in [FAR, u32::MAX - 1, u32::MAX] {
                channel.connect(height, &[]);
                assert_eq!(names.map(|name| channel.verdict(name)), [Verdict::Live; 2]);
            }
        }
    }
}

/// As many as the format allows, of one side, hash and amount: in the commitments of both, in one
/// that was revoked, and each ends once.
#[test]
fn as_many_equal_htlcs_as_there_may_be_are_told_apart_in_every_commitment() {
    for format in FORMATS {
        for (owner, is_revoked) in [(US, false), (PEER, false), (PEER, true)] {
            let mut channel = Channel::new(format);
            // Where they pay fees of their own, the fixture's balance is enough for fewer.
            let sat = if rules(format).htlc_pays_fee { 1_250 } else { 1_000 };
            let count =
                rules(format).max_accepted_htlcs.min(usize::try_from(BALANCE / sat).unwrap());
            let names: Vec<_> = (0..count).map(|_| channel.draft(US, offer(1, sat))).collect();
            add_all(&mut channel, &names);
            let number = channel.nodes[owner].commitments.len() - 1;
            if is_revoked {
                channel.sign(PEER, &[], &[]);
                channel.revoke(PEER);
            }
            let closing = channel.nodes[owner].commitments[number].transaction.clone();
            channel.connect(CLOSED, &[&closing]);
            let built = channel.built(owner, number);
            let watched = channel.monitor().card().watched;
            // Each output once, and the funding.
            assert!(watched.len() <= built.outputs.len() + 1, "{format:?}: {}", watched.len());
            let wanted = channel.monitor().claim_requests();
            assert_eq!(built.htlc_vouts().len(), count);
            for vout in built.htlc_vouts() {
                let output = OutPoint { txid: built.txid(), vout };
                let requests = wanted.iter().filter(|request| request.outpoint == output).count();
                assert_eq!(requests, 1, "{format:?}, node {owner}");
            }
        }
    }
}

/// A thief takes a hundred HTLCs of a revoked commitment at once: each of the hundred outputs is
/// punished, and each HTLC has its own end.
#[test]
fn a_stolen_htlc_transaction_of_a_hundred_inputs_is_punished_output_by_output() {
    for format in FORMATS.into_iter().filter(|format| may_aggregate(*format)) {
        for foreign in [Foreign::None, Foreign::Before, Foreign::After] {
            let mut channel = Channel::new(format);
            let names: Vec<_> = (0..INPUTS).map(|_| channel.draft(US, offer(1, 3_000))).collect();
            add_all(&mut channel, &names);
            let number = channel.nodes[PEER].commitments.len() - 1;
            let gone: Vec<(Name, RemovalReason)> =
                names.iter().map(|name| (*name, FAILED)).collect();
            channel.sign(PEER, &[], &gone);
            channel.revoke(PEER);
            let closing = channel.nodes[PEER].commitments[number].transaction.clone();
            channel.connect(CLOSED, &[&closing]);
            let theft = channel.steal(number, &names, foreign);
            channel.connect(CLOSED + 1, &[&theft]);

            check_theft(&channel, &theft, foreign);
            let by_chain =
                |name: &&Name| matches!(channel.verdict(**name), Verdict::Fulfilled { .. });
            assert_eq!(names.iter().filter(by_chain).count(), INPUTS);
        }
    }
}

fn check_theft(channel: &Channel, theft: &Transaction, foreign: Foreign) {
    let txid = theft.compute_txid();
    let requests = channel.monitor().claim_requests();
    let penalties: Vec<_> = requests
        .iter()
        .filter(|request| request.outpoint.txid == txid)
        .map(|request| request.outpoint.vout)
        .collect();
    let first = u32::from(foreign == Foreign::Before);
    let count = u32::try_from(INPUTS).unwrap();
    assert_eq!(penalties, (first..first + count).collect::<Vec<_>>());
    let is_penalty = |kind: &ClaimKind| !matches!(kind, ClaimKind::Commitment { .. });
    assert!(requests.iter().all(|request| is_penalty(&request.kind)));
    // What was taken is not asked for any more.
    let spent = |output: &OutPoint| theft.input.iter().any(|it| it.previous_output == *output);
    assert!(!requests.iter().any(|request| spent(&request.outpoint)));
}

/// Whose preimage nobody here knows puts nothing of ours in danger, whenever it expires.
#[test]
fn an_odd_expiry_of_the_peer_closes_no_channel() {
    for expiry in [0, 1, FAR] {
        let mut channel = Channel::new(FORMATS[0]);
        let name = channel.add(PEER, Offer { expiry, ..offer(1, 50_000) });
        channel.connect(CLOSED, &[]);

        assert_eq!(channel.verdict(name), Verdict::Live);
        assert!(!channel.monitor().state().fail_channel, "expiry {expiry}");
    }
}
