//! The peer's commitment and the HTLCs on it.

use bitcoin::OutPoint;
use lastword_types::{
    ClaimKind, Close, CommitmentFormat, FulfilledHow, HtlcFailure, SweepWitness, Verdict,
};

use super::{CLOSED, DEEP, closed, failed, failing, learn};
use crate::channel::{Channel, EXPIRY, FAILED, FORMATS, PEER, US, block, offer, preimage};

// BOLT 5: Unilateral Close Handling: Remote Commitment Transaction
#[test]
fn both_commitments_of_the_peer_that_are_valid_are_known_r1() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 50_000));
        let previous = channel.newest(PEER).clone();
        channel.sign(PEER, &[], &[(name, FAILED)]);
        let current = channel.newest(PEER).clone();

        for (commitment, has_output) in [(&previous, true), (&current, false)] {
            channel.connect(CLOSED, &[&commitment.transaction]);
            let number = commitment.unsigned.number;
            let spend = channel.monitor().state().funding_spend.clone().unwrap();
            assert_eq!(spend.close, Close::RemoteUnilateral { number });
            let expected = if has_output {
                Verdict::Live
            } else {
                failing(HtlcFailure::Removed { code: 0x400f }, DEEP)
            };
            assert_eq!(channel.verdict(name), expected);
            channel.disconnect(CLOSED - 1);
        }
    }
}

// BOLT 5: Unilateral Close Handling: Remote Commitment Transaction
#[test]
fn both_commitments_of_ours_are_known_r1() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let name = channel.add(US, offer(1, 50_000));
    let previous = channel.newest(US).clone();
    channel.fail(US);
    channel.sign(US, &[], &[(name, FAILED)]);

    channel.connect(CLOSED, &[&previous.transaction]);

    let number = previous.unsigned.number;
    let spend = channel.monitor().state().funding_spend.clone().unwrap();
    assert_eq!(spend.close, Close::LocalUnilateral { number });
    assert_eq!(channel.verdict(name), Verdict::Live);
}

// BOLT 5: Unilateral Close Handling: Remote Commitment Transaction
#[test]
fn to_remote_of_the_peers_commitment_is_swept_r2() {
    for format in FORMATS {
        let (mut channel, ..) = closed(format, PEER, US);
        let requests = channel.monitor().claim_requests();
        let is_to_remote = |kind: &ClaimKind| {
            matches!(
                kind,
                ClaimKind::Sweep {
                    witness: SweepWitness::PaymentKey | SweepWitness::PaymentKeyHash { .. },
                    ..
                }
            )
        };
        let request = requests.iter().find(|request| is_to_remote(&request.kind)).unwrap();
        let relative = u32::from(format == CommitmentFormat::AnchorsZeroFeeHtlc);
        assert_eq!(request.earliest_height, block(CLOSED + relative, 0).height);
        channel.answer(US, request);
    }
}

// BOLT 5: HTLC Output Handling: Remote Commitment, Local Offers
#[test]
fn a_preimage_on_the_peers_commitment_fulfils_at_once_rl1() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, PEER, US);
        learn(&mut channel, PEER, 1);
        let success = channel.claim(PEER, output);
        channel.connect(CLOSED + 1, &[&success]);

        let how = FulfilledHow::Chain { txid: success.compute_txid() };
        assert_eq!(channel.verdict(name), Verdict::Fulfilled { preimage: preimage(1), how });
        // The output of the peer's HTLC transaction is the peer's.
        let second = OutPoint { txid: success.compute_txid(), vout: 0 };
        assert!(!channel.monitor().card().watched.contains(&second));
    }
}

// BOLT 5: HTLC Output Handling: Remote Commitment, Local Offers
#[test]
fn an_expired_offer_on_the_peers_commitment_is_taken_back_directly_rl2() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, PEER, US);
        let request = channel.request(US, output).unwrap();
        assert_eq!(request.earliest_height, block(EXPIRY + 1, 0).height);

        let timeout = channel.answer(US, &request);
        channel.connect(EXPIRY + 1, &[&timeout]);
        assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, EXPIRY + 6));
        channel.connect(EXPIRY + 6, &[]);
        assert_eq!(channel.verdict(name), failed(HtlcFailure::TimedOut));
    }
}

// BOLT 5: HTLC Output Handling: Remote Commitment, Remote Offers
#[test]
fn a_received_htlc_on_the_peers_commitment_is_claimed_directly_rr1() {
    for format in FORMATS {
        let (mut channel, name, output) = closed(format, PEER, PEER);
        learn(&mut channel, US, 1);
        let request = channel.request(US, output).unwrap();
        assert_eq!(request.deadline, Some(block(EXPIRY, 0).height));

        let claim = channel.answer(US, &request);
        channel.connect(CLOSED + 1, &[&claim]);
        let how = FulfilledHow::Chain { txid: claim.compute_txid() };
        assert_eq!(channel.verdict(name), Verdict::Fulfilled { preimage: preimage(1), how });
        assert!(channel.request(US, output).is_none());
    }
}

// BOLT 5: Unilateral Close Handling: Remote Commitment Transaction
#[test]
fn a_commitment_that_was_never_signed_is_unknown_r4() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    channel.add(US, offer(1, 50_000));
    // It has the number of the newest commitment.
    let mut forged = channel.newest(PEER).transaction.clone();
    forged.output[0].value += bitcoin::Amount::ONE_SAT;

    channel.connect(CLOSED, &[&forged]);
    let spend = channel.monitor().state().funding_spend.clone().unwrap();
    assert_eq!(spend.close, Close::Unknown);
}
