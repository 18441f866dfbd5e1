//! Rows of `docs/BOLT5.md` that speak of a commitment as a whole or of the channel's life.

use lastword_types::{ClaimKind, CommitmentFormat, SweepWitness};

use crate::channel::{Channel, EXPIRY, FAILED, FORMATS, Node, PEER, US, fulfilled, offer};
use crate::museum::{CLOSED, by_chain, by_message, close, closings, fulfil, learn, restart};

/// What each HTLC of a confirmed commitment is claimed with: ours, one whose preimage we know, and
/// one whose preimage we do not know.
fn treatment(owner: Node) {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let ours = channel.add(US, offer(1, 50_000));
        let known = channel.add(PEER, offer(2, 50_000));
        let unknown = channel.add(PEER, offer(3, 50_000));
        learn(&mut channel, US, 2);
        close(&mut channel, owner);

        let output = |name| channel.output_of(owner, name).unwrap();
        let kind = |name| channel.request(US, output(name)).map(|request| request.kind);
        let (timeout, success) = (kind(ours).unwrap(), kind(known).unwrap());
        if owner == US {
            assert!(matches!(timeout, ClaimKind::SecondStage { preimage: None, .. }));
            assert!(matches!(success, ClaimKind::SecondStage { preimage: Some(_), .. }));
        } else {
            let is_timeout = |kind: &ClaimKind| {
                matches!(kind, ClaimKind::Sweep { witness: SweepWitness::HtlcTimeout { .. }, .. })
            };
            let is_preimage = |kind: &ClaimKind| {
                matches!(kind, ClaimKind::Sweep { witness: SweepWitness::HtlcPreimage { .. }, .. })
            };
            assert!(is_timeout(&timeout) && is_preimage(&success));
        }
        assert_eq!(kind(unknown), None);
        assert!(channel.monitor().card().watched.contains(&output(unknown)));
    }
}

// BOLT 5: Unilateral Close Handling: Local Commitment Transaction
#[test]
fn an_htlc_on_our_commitment_is_treated_by_who_offered_it_l4() {
    treatment(US);
}

// BOLT 5: Unilateral Close Handling: Remote Commitment Transaction
#[test]
fn an_htlc_on_the_peers_commitment_is_treated_by_who_offered_it_r3() {
    treatment(PEER);
}

// BOLT 5: HTLC Output Handling: Local Commitment, Local Offers, Rationale
#[test]
fn after_the_preimage_it_does_not_matter_how_the_output_ends_ll8() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 50_000));
        learn(&mut channel, PEER, 1);
        close(&mut channel, owner);
        let output = channel.output_of(owner, name).unwrap();
        let claim = channel.claim(PEER, output);
        channel.connect(CLOSED + 1, &[&claim]);
        channel.disconnect(CLOSED);

        let timeout = channel.claim(US, output);
        channel.connect_on(1, EXPIRY + 1, &[&timeout]);
        channel.connect_on(1, EXPIRY + 100, &[]);
        assert_eq!(channel.verdict(name), by_chain(1, &claim));
    }
}

// BOLT 2: Forwarding HTLCs
#[test]
fn a_fulfil_by_message_decides_at_once_p2() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 50_000));
        fulfil(&mut channel, name);
        assert_eq!(channel.verdict(name), by_message(1));

        let other = channel.add(US, offer(2, 50_000));
        channel.sign(US, &[], &[(other, fulfilled(2))]);
        assert_eq!(channel.verdict(other), by_message(2));
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn only_our_newest_commitment_is_ever_offered_v1() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        channel.fail(US);
        for n in 1..4 {
            for offerer in [US, PEER] {
                let name = channel.add(offerer, offer(n, 20_000));
                restart(&mut channel);
                offers_the_newest(&channel);
                channel.sign(1 - offerer, &[], &[(name, FAILED)]);
                offers_the_newest(&channel);
                channel.revoke(1 - offerer);
                channel.sign(offerer, &[], &[(name, FAILED)]);
                channel.revoke(offerer);
                offers_the_newest(&channel);
            }
        }
    }
}

fn offers_the_newest(channel: &Channel) {
    let requests = channel.monitor().claim_requests();
    let [request] = &requests[..] else { panic!("one request") };
    let ClaimKind::Commitment { transaction, .. } = &request.kind else {
        panic!("our commitment");
    };
    assert_eq!(transaction.compute_txid(), channel.newest(US).transaction.compute_txid());
}

// BOLT 5: Failing a Channel
#[test]
fn a_channel_in_which_we_have_nothing_is_watched_until_it_is_spent_f2() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let all = channel.add(US, offer(1, 500_000));
    channel.remove(all, fulfilled(1));
    channel.connect(EXPIRY + 5000, &[]);
    restart(&mut channel);

    let funding = channel.nodes[US].parameters.funding_outpoint;
    assert_eq!(channel.monitor().state().local.commitment.to_local_msat.0, 0);
    assert_eq!(channel.monitor().card().watched, [funding]);
    let closing = channel.newest(PEER).transaction.clone();
    channel.connect(EXPIRY + 5001, &[&closing]);
    assert!(channel.monitor().claim_requests().is_empty());
    assert_eq!(channel.verdict(all), by_message(1));
}
