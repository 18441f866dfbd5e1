//! What an unconfirmed transaction proves, and what it does not.

use bitcoin::{OutPoint, Transaction, Witness};
use lastword_monitor::{Monitor, MonitorError};
use lastword_types::{
    Effect, FulfilledHow, HtlcDirection, HtlcId, HtlcKey, MempoolEvidence, MonitorRecord,
    PaymentPreimage, Verdict,
};

use crate::channel::{
    Channel, EXPIRY, FAILED, FORMATS, Name, Node, PEER, US, offer, preimage, seen,
};
use crate::museum::{CLOSED, close, closings, learn};
use crate::spend::spend;

/// A channel with an HTLC of ours that is on chain, whose preimage the peer knows, and the peer's
/// claim of it.
struct Seen {
    channel: Channel,
    name: Name,
    output: OutPoint,
    claim: Transaction,
}

impl Seen {
    fn new(format: lastword_types::CommitmentFormat, owner: Node) -> Self {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 50_000));
        close(&mut channel, owner);
        let output = channel.output_of(owner, name).expect("it is not trimmed");
        learn(&mut channel, PEER, 1);
        let claim = channel.claim(PEER, output);
        Self { channel, name, output, claim }
    }

    fn evidence(&self) -> MempoolEvidence {
        let [evidence] = &self.channel.monitor().evidence_in(&self.claim)[..] else {
            panic!("it shows one preimage")
        };
        *evidence
    }

    fn see(&mut self) -> Vec<Effect> {
        let record = MonitorRecord::Mempool(self.evidence());
        self.channel.apply(US, record)
    }

    fn expected(&self) -> Verdict {
        let how = FulfilledHow::Mempool { txid: self.claim.compute_txid() };
        Verdict::Fulfilled { preimage: preimage(1), how }
    }

    fn restart(&mut self) {
        let state = self.channel.monitor().state().clone();
        self.channel.nodes[US].monitor = Monitor::restore(state).unwrap();
    }

    fn key(&self) -> HtlcKey {
        let (direction, htlc_id) = seen(US, self.name);
        HtlcKey {
            channel_id: self.channel.monitor().state().parameters.channel_id,
            direction,
            htlc_id,
        }
    }
}

#[test]
fn an_unconfirmed_claim_of_our_htlc_is_evidence_and_the_output_is_claimed_on() {
    for (format, owner) in closings() {
        let mut seen = Seen::new(format, owner);
        let before = seen.channel.monitor().clone();
        let evidence = seen.evidence();
        assert_eq!((evidence.htlc, evidence.preimage), (seen.key(), preimage(1)));
        assert_eq!(evidence.txid, seen.claim.compute_txid());

        let effects = seen.see();
        assert!(effects.contains(&Effect::LedgerChanged(seen.key())), "{effects:?}");
        seen.restart();
        assert_eq!(seen.channel.verdict(seen.name), seen.expected());
        // It need not confirm: nothing is spent.
        let monitor = seen.channel.monitor();
        assert_eq!(monitor.claim_requests(), before.claim_requests());
        assert_eq!(monitor.card().watched, before.card().watched);
        assert!(monitor.claim_requests().iter().any(|request| request.outpoint == seen.output));
        // The same again says nothing new, and is no record.
        assert_eq!(monitor.evidence_in(&seen.claim), []);
        let again = MonitorRecord::Mempool(evidence);
        assert!(monitor.check(&again).unwrap().is_noop());
    }
}

#[test]
fn what_was_seen_stands_whichever_transaction_confirms() {
    for (format, owner) in closings() {
        for is_ours in [false, true] {
            let mut seen = Seen::new(format, owner);
            seen.see();
            let confirmed =
                if is_ours { seen.channel.claim(US, seen.output) } else { seen.claim.clone() };
            seen.channel.connect(EXPIRY + 1, &[&confirmed]);
            for height in [EXPIRY + 2, EXPIRY + 20] {
                seen.channel.connect(height, &[]);
                seen.restart();
                assert_eq!(seen.channel.verdict(seen.name), seen.expected());
            }
            let requests = seen.channel.monitor().claim_requests();
            assert!(requests.iter().all(|request| request.outpoint != seen.output));
            assert_eq!(seen.channel.monitor().alarms(), []);
            // Nor does a reorg take back what was seen.
            seen.channel.disconnect(CLOSED - 1);
            assert_eq!(seen.channel.verdict(seen.name), seen.expected());
        }
    }
}

#[test]
fn after_it_a_forward_is_not_failed_back() {
    for format in FORMATS {
        for is_seen in [false, true] {
            let mut channel = Channel::new(format);
            let name = channel.forward(offer(1, 50_000), EXPIRY + 40);
            close(&mut channel, PEER);
            let output = channel.output_of(PEER, name).unwrap();
            learn(&mut channel, PEER, 1);
            let claim = channel.claim(PEER, output);
            let mut seen = Seen { channel, name, output, claim };
            if is_seen {
                seen.see();
            }
            seen.channel.connect(EXPIRY + 39, &[]);
            let verdict = seen.channel.verdict(name);
            assert_eq!(matches!(verdict, Verdict::Failed { .. }), !is_seen, "{verdict:?}");
            // What was failed is not disturbed by what is not confirmed.
            assert_eq!(seen.channel.monitor().evidence_in(&seen.claim), []);
        }
    }
}

#[test]
fn garbage_and_strangers_prove_nothing() {
    for (format, owner) in closings() {
        let seen = Seen::new(format, owner);
        let place = seen.claim.input.iter().position(|it| it.previous_output == seen.output);
        let place = place.unwrap();
        let stack = seen.claim.input[place].witness.to_vec();
        let mut odd = vec![
            spend(OutPoint::null(), 0, 0),
            Transaction { input: Vec::new(), ..seen.claim.clone() },
            with_input(&seen.claim, place, |it| it.previous_output.vout += 1_000),
            with_input(&seen.claim, place, |it| it.previous_output.vout = u32::MAX),
            with_input(&seen.claim, place, |it| it.previous_output.txid = OutPoint::null().txid),
            with_input(&seen.claim, place, |it| it.witness = Witness::new()),
            with_input(&seen.claim, place, |it| it.witness = Witness::from_slice(&stack[1..])),
        ];
        for element in 0..stack.len() {
            for length in [0, 1, 31, 32, 33, 80] {
                let mut stack = stack.clone();
                stack[element] = vec![0x77; length];
                let witness = Witness::from_slice(&stack);
                odd.push(with_input(&seen.claim, place, |it| it.witness = witness.clone()));
            }
        }
        let is_script = |it: &Transaction| {
            it.input.get(place).is_some_and(|input| {
                input.witness.to_vec().iter().any(|element| *element == preimage(1).0)
            })
        };
        for transaction in &odd {
            let shown = seen.channel.monitor().evidence_in(transaction);
            // Signatures are the network's to check: with the preimage in place it is evidence.
            assert!(shown.is_empty() || is_script(transaction), "{transaction:?}");
            assert!(shown.iter().all(|evidence| evidence.preimage == preimage(1)));
        }
        // Ours shows none, and that of an open channel neither.
        let mut channel = seen.channel;
        let ours = channel.claim(US, seen.output);
        assert_eq!(channel.monitor().evidence_in(&ours), []);
        assert_eq!(Channel::new(format).monitor().evidence_in(&seen.claim), []);
    }
}

#[test]
fn evidence_that_contradicts_itself_is_refused_and_changes_nothing() {
    let seen = Seen::new(FORMATS[1], PEER);
    let good = seen.evidence();
    let monitor = seen.channel.monitor();
    let HtlcKey { direction, htlc_id, .. } = good.htlc;
    let other = HtlcKey { htlc_id: HtlcId(99), ..good.htlc };
    let received = HtlcKey { direction: HtlcDirection::Received, ..good.htlc };
    let elsewhere = HtlcKey { channel_id: lastword_types::ChannelId([9; 32]), ..good.htlc };
    let wrong = PaymentPreimage([3; 32]);
    for (evidence, error) in [
        (
            MempoolEvidence { preimage: wrong, ..good },
            MonitorError::WrongPreimage { direction, htlc_id },
        ),
        (
            MempoolEvidence { htlc: other, ..good },
            MonitorError::UnknownHtlc { direction, htlc_id: HtlcId(99) },
        ),
        (
            MempoolEvidence { htlc: received, ..good },
            MonitorError::UnknownHtlc { direction: HtlcDirection::Received, htlc_id },
        ),
        (
            MempoolEvidence { htlc: elsewhere, ..good },
            MonitorError::WrongChannel {
                expected: good.htlc.channel_id,
                got: elsewhere.channel_id,
            },
        ),
    ] {
        let before = monitor.state().clone();
        let record = MonitorRecord::Mempool(evidence);
        assert_eq!(monitor.check(&record).err(), Some(error));
        assert_eq!(*monitor.state(), before);
    }
}

/// Two HTLCs with one hash: the one whose output is spent is paid, of the other nothing is known.
#[test]
fn evidence_belongs_to_the_htlc_whose_output_is_spent() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let names = [1, 1].map(|n| channel.add(US, offer(n, 50_000)));
        close(&mut channel, PEER);
        learn(&mut channel, PEER, 1);
        let output = channel.output_of(PEER, names[1]).unwrap();
        let claim = channel.claim(PEER, output);
        let mut seen = Seen { channel, name: names[1], output, claim };
        seen.see();
        assert_eq!(seen.channel.verdict(names[1]), seen.expected());
        assert_eq!(seen.channel.verdict(names[0]), Verdict::Live);
    }
}

#[test]
fn what_failed_off_chain_for_good_is_not_disturbed() {
    let mut channel = Channel::new(FORMATS[0]);
    let name = channel.add(US, offer(1, 50_000));
    let old = channel.newest(PEER).transaction.clone();
    let output = channel.output_of(PEER, name).unwrap();
    channel.remove(name, FAILED);
    channel.connect(CLOSED, &[&old]);
    let mut claim = spend(output, 0, 0);
    claim.input[0].witness = Witness::from_slice(&[vec![1; 71], preimage(1).0.to_vec(), vec![1]]);
    let verdict = channel.verdict(name);
    assert!(matches!(verdict, Verdict::Failed { .. }));
    assert_eq!(channel.monitor().evidence_in(&claim), []);
}

fn with_input(
    transaction: &Transaction,
    place: usize,
    change: impl FnOnce(&mut bitcoin::TxIn),
) -> Transaction {
    let mut transaction = transaction.clone();
    change(&mut transaction.input[place]);
    transaction
}
