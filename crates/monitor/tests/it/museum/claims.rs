//! Claims that were not made, made twice, or made for what was gone.

use bitcoin::{Amount, OutPoint};
use lastword_types::{ClaimKind, CommitmentFormat, HtlcFailure, HtlcId, SweepWitness, UpdateStep};

use super::{
    CLOSED, DEEP, close, closed, closings, failed, failing, learn, lived, output_in, restart, same,
};
use crate::channel::{Channel, EXPIRY, FORMATS, PEER, US, block, offer, preimage};

/// One transaction of the peer spent outputs of several of our claims, of which only the first was
/// corrected; the others went on spending what was gone and never confirmed.
#[test]
fn museum_b006_one_transaction_may_take_the_outputs_of_several_claims() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let offered = [1, 2].map(|n| channel.add(US, offer(n, 50_000)));
        let received = [3, 4, 5].map(|n| channel.add(PEER, offer(n, 40_000)));
        for n in [3, 4, 5] {
            learn(&mut channel, US, n);
        }
        learn(&mut channel, PEER, 1);
        close(&mut channel, owner);
        channel.connect(EXPIRY, &[]);
        let taken = [offered[0], received[0], received[2]]
            .map(|name| channel.output_of(owner, name).unwrap());
        let before = channel.monitor().claim_requests();
        let mut foreign = channel.claim(PEER, taken[0]);
        for output in &taken[1..] {
            let claim = channel.claim(PEER, *output);
            foreign.input.extend(claim.input);
            foreign.output.extend(claim.output);
        }
        channel.connect(EXPIRY + 1, &[&foreign]);

        let mut expected = before;
        expected.retain(|request| !taken.contains(&request.outpoint));
        assert_eq!(channel.monitor().claim_requests(), expected);
        for name in [offered[1], received[1]] {
            let output = channel.output_of(owner, name).unwrap();
            assert!(expected.iter().any(|request| request.outpoint == output));
        }
    }
}

/// The user settled an HTLC that was held, after its channel had gone on chain; the preimage had
/// nowhere to go, for a height that was not set had been read as one that had passed.
#[test]
fn museum_b010_a_preimage_claims_as_long_as_the_output_is_there() {
    for (format, owner) in closings() {
        for expiry in [0, EXPIRY] {
            let mut channel = Channel::new(format);
            let held = crate::channel::Offer { expiry, ..offer(1, 50_000) };
            let name = channel.add(PEER, held);
            close(&mut channel, owner);
            channel.connect(EXPIRY + 100, &[]);
            learn(&mut channel, US, 1);
            restart(&mut channel);

            let output = channel.output_of(owner, name).unwrap();
            let claim = channel.claim(US, output);
            channel.connect(EXPIRY + 101, &[&claim]);
            assert!(channel.verdict(name).is_final());
        }
    }
}

/// The peer's close of an anchor channel was searched for the main output of the older format, so
/// ours was never found, and after a restart under yet another script.
#[test]
fn museum_b014_every_output_of_a_close_is_ours_or_the_peers() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        channel.add(US, offer(1, 50_000));
        channel.add(PEER, offer(2, 60_000));
        learn(&mut channel, US, 2);
        learn(&mut channel, PEER, 1);
        close(&mut channel, owner);
        for _ in 0..2 {
            let ours = channel.monitor().claim_requests();
            let theirs = channel.nodes[PEER].monitor.claim_requests();
            // Each of us asks for the HTLCs of both, one by preimage and one after the expiry.
            let is_htlc = |amount: Amount| [50_000, 60_000].contains(&amount.to_sat());
            let sum: Amount = ours.iter().map(|request| request.amount).sum();
            let rest = theirs.iter().filter(|request| !is_htlc(request.amount));
            let all: Amount =
                channel.newest(owner).transaction.output.iter().map(|it| it.value).sum();
            // The peer's anchor is among what it asks for, as ours is.
            assert_eq!(sum + rest.map(|request| request.amount).sum::<Amount>(), all);
            let is_main = |kind: &ClaimKind| {
                matches!(
                    kind,
                    ClaimKind::Sweep {
                        witness: SweepWitness::Delayed { .. }
                            | SweepWitness::PaymentKey
                            | SweepWitness::PaymentKeyHash { .. },
                        ..
                    }
                )
            };
            assert_eq!(ours.iter().filter(|request| is_main(&request.kind)).count(), 1);
            restart(&mut channel);
        }
    }
}

/// The inbound channel had closed when the preimage came, and nobody was there any more to take it.
#[test]
fn museum_b017_a_preimage_after_the_close_is_a_claim_on_any_commitment() {
    for format in FORMATS {
        for (owner, is_previous) in [(US, false), (PEER, false), (PEER, true)] {
            let mut channel = Channel::new(format);
            let name = channel.add(PEER, offer(1, 50_000));
            let number = channel.nodes[owner].commitments.len() - 1;
            let closing = channel.newest(owner).transaction.clone();
            if is_previous {
                let later = channel.draft(US, offer(2, 30_000));
                channel.sign(PEER, &[later], &[]);
            }
            channel.connect(CLOSED, &[&closing]);
            let output = output_in(&channel, owner, number, name).unwrap();
            assert!(channel.request(US, output).is_none());

            restart(&mut channel);
            learn(&mut channel, US, 1);
            restart(&mut channel);
            let claim = channel.claim(US, output);
            channel.connect(CLOSED + 1, &[&claim]);
            assert!(channel.verdict(name).is_final());
        }
    }
}

/// That an output of ours can be swept was told once, by a message that a block and a crash erased.
#[test]
fn museum_b038_a_delayed_output_is_asked_for_until_its_spend_is_confirmed() {
    for format in FORMATS {
        let (mut channel, ..) = closed(format, US, US);
        let is_delayed = |kind: &ClaimKind| {
            matches!(kind, ClaimKind::Sweep { witness: SweepWitness::Delayed { .. }, .. })
        };
        let requests = channel.monitor().claim_requests();
        let request = requests.into_iter().find(|request| is_delayed(&request.kind)).unwrap();
        for height in [CLOSED + 1, CLOSED + 143, CLOSED + 144, CLOSED + 4000] {
            channel.connect(height, &[]);
            restart(&mut channel);
            assert_eq!(channel.request(US, request.outpoint), Some(request.clone()));
        }
        let sweep = channel.answer(US, &request);
        channel.connect(CLOSED + 4001, &[&sweep]);
        assert_eq!(channel.request(US, request.outpoint), None);
        channel.disconnect(CLOSED + 4000);
        restart(&mut channel);
        assert_eq!(channel.request(US, request.outpoint), Some(request));
    }
}

/// Somebody looked for the preimage, then it was stored and those who waited were told, then that
/// somebody began to wait.
#[test]
fn museum_b059_it_does_not_matter_when_the_preimage_comes() {
    for (format, owner) in closings() {
        let run = |known_after: u32| {
            let mut channel = Channel::new(format);
            channel.add(PEER, offer(1, 50_000));
            let closing = channel.newest(owner).transaction.clone();
            let blocks = [vec![], vec![&closing], vec![], vec![]];
            for (height, transactions) in (CLOSED - 1..).zip(&blocks) {
                if known_after + CLOSED - 1 == height {
                    learn(&mut channel, US, 1);
                }
                channel.connect(height, transactions);
            }
            if known_after == 4 {
                learn(&mut channel, US, 1);
            }
            channel
        };
        let first = run(0);
        for known_after in 1..=4 {
            same(run(known_after).monitor(), first.monitor());
        }
    }
}

/// A claim was made anew with another fee, and the watch waited for the transaction that it had
/// replaced.
#[test]
fn museum_b068_an_output_is_done_when_it_is_spent_by_whatever_transaction() {
    for (format, owner) in closings() {
        let (mut channel, name, output) = closed(format, owner, US);
        let expected = channel.claim(US, output);
        let mut replaced = expected.clone();
        replaced.input.insert(0, crate::spend::spend(OutPoint::null(), 0, 0).input.remove(0));
        replaced.output.insert(0, replaced.output[0].clone());
        assert_ne!(replaced.compute_txid(), expected.compute_txid());
        channel.connect(EXPIRY + 1, &[&replaced]);
        restart(&mut channel);

        assert!(channel.request(US, output).is_none());
        assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, EXPIRY + 6));
        channel.connect(EXPIRY + 6, &[]);
        assert_eq!(channel.verdict(name), failed(HtlcFailure::TimedOut));
        assert!(!channel.monitor().card().watched.contains(&output));
    }
}

/// An HTLC whose expiry was recorded as zero was never swept: zero meant that there was none.
#[test]
fn museum_b076_an_expiry_of_zero_or_far_away_is_a_height_like_any_other() {
    for (format, owner) in closings() {
        for expiry in [0, 1, 499_999_999] {
            let odd = |n| crate::channel::Offer { expiry, ..offer(n, 50_000) };
            let mut channel = Channel::new(format);
            let ours = channel.add(US, odd(1));
            let theirs = channel.add(PEER, odd(2));
            learn(&mut channel, US, 2);
            close(&mut channel, owner);

            let [ours, theirs] = [ours, theirs].map(|name| channel.output_of(owner, name).unwrap());
            let relative = u32::from(format == CommitmentFormat::AnchorsZeroFeeHtlc);
            let request = channel.request(US, ours).unwrap();
            assert_eq!(request.earliest_height.0, (expiry + 1).max(CLOSED + relative));
            channel.answer(US, &request);
            let request = channel.request(US, theirs).unwrap();
            assert_eq!(request.deadline, Some(block(expiry, 0).height));
            channel.answer(US, &request);
        }
    }
}

/// A commitment held an HTLC of the peer that we could not claim, or small ones that were waited
/// for as if they had outputs, and the channel was closing for months.
#[test]
fn museum_b098_a_close_ends_when_the_peer_has_taken_what_is_the_peers() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let unknown = channel.add(PEER, offer(1, 50_000));
        let dust = [US, PEER].map(|offerer| channel.add(offerer, offer(2, 300)));
        close(&mut channel, owner);
        let mut height = CLOSED + 1;
        while let Some(request) = channel.monitor().claim_requests().first().cloned() {
            assert!(height < 10_000, "it never ends");
            height = height.max(request.earliest_height.0);
            let claim = channel.answer(US, &request);
            channel.connect(height, &[&claim]);
            height += 1;
        }
        let output = channel.output_of(owner, unknown).unwrap();
        channel.connect(height + 10, &[]);
        assert_eq!(channel.monitor().card().watched, [output], "the peer can still take it");

        let height = EXPIRY.max(height) + 100;
        let timeout = channel.claim(PEER, output);
        channel.connect(height, &[&timeout]);
        channel.connect(height + 5, &[]);
        let card = channel.monitor().card();
        assert_eq!((card.watched, card.next_deadline, card.has_claims), (vec![], None, false));
        for name in dust {
            assert_eq!(channel.verdict(name), failed(HtlcFailure::Absent));
        }
    }
}

/// Others had confirmed a spend of the output, and the publisher went on paying for one of ours.
#[test]
fn museum_b099_a_confirmed_spend_ends_the_claim_in_the_same_block() {
    for (format, owner) in closings() {
        let (mut channel, _, output) = closed(format, owner, US);
        learn(&mut channel, PEER, 1);
        assert!(channel.request(US, output).is_some());
        let theirs = channel.claim(PEER, output);
        let effects = channel.connect(CLOSED + 1, &[&theirs]);

        assert!(channel.request(US, output).is_none());
        assert!(effects.contains(&lastword_types::Effect::ClaimsChanged));
        channel.disconnect(CLOSED);
        assert!(channel.request(US, output).is_some());
    }
}

/// A claim was called for twice, and the second call waited for what would never be written.
#[test]
fn museum_b112_the_same_preimage_again_changes_nothing() {
    for (format, owner) in closings() {
        let (mut channel, name, output) = closed(format, owner, PEER);
        learn(&mut channel, US, 1);
        let before = channel.monitor().state().clone();
        let requests = channel.monitor().claim_requests();
        learn(&mut channel, US, 1);
        assert_eq!(channel.monitor().claim_requests(), requests);
        let latest_update = channel.monitor().state().latest_update;
        assert_eq!(
            channel.monitor().state(),
            &lastword_types::MonitorState { latest_update, ..before }
        );

        let claim = channel.claim(US, output);
        channel.connect(CLOSED + 1, &[&claim]);
        let verdict = channel.verdict(name);
        channel.update(US, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
        assert_eq!(channel.verdict(name), verdict);
        assert!(channel.request(US, output).is_none());
    }
}

/// An HTLC was on its way to somebody else, and an invoice of ours had the same hash. The preimage of
/// the invoice was shown for it, and the sender's money was taken from a payment that was not ours.
#[test]
fn museum_b011_the_preimage_of_an_invoice_claims_nothing_that_is_passing_through() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let [passing, ours] = [0; 2].map(|_: u8| channel.add(PEER, offer(1, 50_000)));
        close(&mut channel, owner);
        let claim = UpdateStep::ClaimHtlc { htlc_id: HtlcId(ours.1), preimage: preimage(1) };
        channel.update(US, vec![claim]);
        restart(&mut channel);
        let outputs = [passing, ours].map(|name| channel.output_of(owner, name).unwrap());
        assert!(channel.request(US, outputs[0]).is_none());
        let claim = channel.claim(US, outputs[1]);
        channel.connect(CLOSED + 1, &[&claim]);
        assert!(channel.request(US, outputs[0]).is_none(), "it was shown for the other");
    }
}

/// Whoever spent the funding output, our own commitment cannot confirm any more; it was broadcast
/// and paid for all the same. And claims were announced on outputs that nobody had seen.
#[test]
fn museum_b151_our_commitment_is_offered_only_while_the_funding_is_unspent() {
    for format in FORMATS {
        let (mut channel, closings) = lived(format);
        channel.fail(US);
        let funding = channel.nodes[US].parameters.funding_outpoint;
        let only_the_commitment = |channel: &Channel| {
            let requests = channel.monitor().claim_requests();
            requests.iter().map(|request| request.outpoint).collect::<Vec<_>>() == [funding]
        };
        for closing in closings {
            assert!(only_the_commitment(&channel), "nothing is claimed that no block holds");
            channel.connect(CLOSED, &[&closing]);
            restart(&mut channel);
            assert!(channel.request(US, funding).is_none());
            channel.connect(DEEP, &[]);
            assert!(channel.request(US, funding).is_none());
            channel.disconnect(CLOSED - 1);
            restart(&mut channel);
        }
        assert!(only_the_commitment(&channel));
    }
}

/// A resolver was made for a received HTLC that was too small for an output, and did not find it.
#[test]
fn museum_b101_a_small_htlc_never_becomes_a_claim() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        for offerer in [US, PEER] {
            channel.add(offerer, offer(1, 300));
        }
        learn(&mut channel, US, 1);
        close(&mut channel, owner);

        let anchors = usize::from(format == CommitmentFormat::AnchorsZeroFeeHtlc);
        let requests = channel.monitor().claim_requests();
        assert_eq!(requests.len(), 1 + anchors, "a main output, and our anchor");
    }
}
