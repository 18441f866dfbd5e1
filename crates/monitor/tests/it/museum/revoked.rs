//! The peer broadcast a commitment that it had revoked.

use bitcoin::{OutPoint, Transaction};
use lastword_monitor::Monitor;
use lastword_types::{Close, CommitmentFormat, HtlcFailure, Verdict};

use super::{CLOSED, DEEP, by_chain, failed, failing, learn, output_in, restart};
use crate::channel::{Channel, EXPIRY, FORMATS, Name, PEER, US, offer};

/// A channel whose peer goes back to a commitment that it revoked, at the height of the closing.
struct Cheat {
    channel: Channel,
    names: Vec<Name>,
    closing: Transaction,
    /// The number of that commitment.
    number: usize,
    /// What the peer thinks: that it never revoked.
    peer: Monitor,
}

impl Cheat {
    /// The commitment holds one HTLC for each offerer and value. The peer knows all preimages and
    /// we know none.
    fn new(format: CommitmentFormat, htlcs: &[(usize, u64)]) -> Self {
        let mut channel = Channel::new(format);
        let names: Vec<_> = (1..)
            .zip(htlcs)
            .map(|(n, (offerer, sat))| channel.add(*offerer, offer(n, *sat)))
            .collect();
        for (n, _) in (1..).zip(htlcs) {
            learn(&mut channel, PEER, n);
        }
        let closing = channel.newest(PEER).transaction.clone();
        let number = channel.nodes[PEER].commitments.len() - 1;
        let peer = channel.nodes[PEER].monitor.clone();
        Self { channel, names, closing, number, peer }
    }

    /// The channel lives on, then the old commitment confirms.
    fn confirm(&mut self) {
        self.channel.add(US, offer(40, 10_000));
        self.channel.nodes[PEER].monitor = self.peer.clone();
        self.channel.connect(CLOSED, &[&self.closing]);
        let close = self.channel.monitor().state().funding_spend.as_ref().unwrap().close;
        assert!(matches!(close, Close::Revoked { .. }));
    }

    fn output(&self, name: Name) -> OutPoint {
        output_in(&self.channel, PEER, self.number, name).unwrap()
    }

    /// Claims whatever is asked for, one transaction for each block, from a height on.
    fn claim_all(&mut self, mut height: u32) -> u32 {
        while let Some(request) = self.channel.monitor().claim_requests().first().cloned() {
            assert!(height < 10_000, "it never ends");
            height = height.max(request.earliest_height.0);
            let claim = self.channel.answer(US, &request);
            self.channel.connect(height, &[&claim]);
            restart(&mut self.channel);
            height += 1;
        }
        height
    }
}

/// The penalty for HTLC outputs had the keys of offerer and recipient the wrong way round and was
/// invalid as a whole; others did not punish HTLC outputs at all, nor what the peer made of them.
#[test]
fn museum_b022_every_output_of_a_revoked_commitment_is_taken_by_a_valid_transaction() {
    let sets: [&[(usize, u64)]; 5] = [
        &[],
        &[(US, 50_000)],
        &[(PEER, 60_000)],
        &[(US, 50_000), (PEER, 60_000), (US, 50_000), (PEER, 60_000)],
        &[(US, 300), (PEER, 300), (US, 50_000)],
    ];
    for format in FORMATS {
        for htlcs in sets {
            let mut cheat = Cheat::new(format, htlcs);
            cheat.confirm();
            let requests = cheat.channel.monitor().claim_requests();
            for (vout, output) in (0u32..).zip(&cheat.closing.output) {
                let outpoint = OutPoint { txid: cheat.closing.compute_txid(), vout };
                let request = requests.iter().find(|request| request.outpoint == outpoint);
                // Only anchors are worth as little.
                assert!(request.is_some() || output.value.to_sat() <= 330, "{output:?}");
                if let Some(request) = request {
                    assert_eq!(request.amount, output.value);
                    cheat.channel.answer(US, request);
                }
            }
        }
    }
}

/// The peer got its HTLC transactions in before our penalty.
#[test]
fn museum_b022_what_the_peer_makes_of_an_htlc_output_is_taken_from_it() {
    for format in FORMATS {
        for (offerer, height) in [(US, CLOSED + 1), (PEER, EXPIRY + 1)] {
            let mut cheat = Cheat::new(format, &[(offerer, 50_000), (US, 30_000)]);
            cheat.confirm();
            let output = cheat.output(cheat.names[0]);
            assert!(cheat.channel.request(US, output).is_some());
            let theirs = cheat.channel.claim(PEER, output);
            cheat.channel.connect(height, &[&theirs]);
            restart(&mut cheat.channel);

            assert!(cheat.channel.request(US, output).is_none());
            let second = OutPoint { txid: theirs.compute_txid(), vout: 0 };
            let penalty = cheat.channel.claim(US, second);
            cheat.channel.connect(height + 1, &[&penalty]);
            assert!(cheat.channel.request(US, second).is_none());
            let other = cheat.output(cheat.names[1]);
            assert!(cheat.channel.request(US, other).is_some(), "the others are as they were");
        }
    }
}

/// At the sixth block the HTLCs of a revoked commitment failed, although the peer could still take
/// their outputs with the preimage, and did.
#[test]
fn museum_b045_on_a_revoked_commitment_an_open_output_fails_nothing() {
    for format in FORMATS {
        for is_paid in [true, false] {
            let mut cheat = Cheat::new(format, &[(US, 50_000)]);
            cheat.confirm();
            let name = cheat.names[0];
            let channel = &mut cheat.channel;
            for height in [DEEP, EXPIRY + 1000] {
                channel.connect(height, &[]);
                restart(channel);
                assert_eq!(channel.verdict(name), Verdict::Live);
            }
            let height = EXPIRY + 1001;
            let output = output_in(channel, PEER, cheat.number, name).unwrap();
            let spend = channel.claim(if is_paid { PEER } else { US }, output);
            channel.connect(height, &[&spend]);
            restart(channel);
            if is_paid {
                assert_eq!(channel.verdict(name), by_chain(1, &spend));
            } else {
                assert_eq!(channel.verdict(name), failing(HtlcFailure::TimedOut, height + 5));
                channel.connect(height + 5, &[]);
                assert_eq!(channel.verdict(name), failed(HtlcFailure::TimedOut));
            }
        }
    }
}

/// The cheat was punished, and the HTLCs that stood open in the channel were forgotten: upstream
/// they hung until those channels closed too.
#[test]
fn museum_b089_after_the_penalties_every_htlc_has_an_outcome_and_the_channel_is_done() {
    for format in FORMATS {
        let mut cheat =
            Cheat::new(format, &[(US, 50_000), (US, 300), (PEER, 60_000), (US, 40_000)]);
        let later = cheat.channel.add(US, offer(20, 20_000));
        let pending = cheat.channel.draft(US, offer(21, 20_000));
        cheat.channel.sign(PEER, &[pending], &[]);
        cheat.channel.nodes[PEER].monitor = cheat.peer.clone();
        cheat.channel.connect(CLOSED, &[&cheat.closing]);
        restart(&mut cheat.channel);

        // The peer is quicker for one of them.
        let taken = cheat.output(cheat.names[3]);
        let theirs = cheat.channel.claim(PEER, taken);
        cheat.channel.connect(CLOSED + 1, &[&theirs]);
        let height = cheat.claim_all(CLOSED + 2);
        cheat.channel.connect(height + 10, &[]);
        restart(&mut cheat.channel);

        let channel = &cheat.channel;
        let [open, dust, theirs_open, paid] = cheat.names[..] else { panic!("four") };
        for (name, reason) in [
            (open, HtlcFailure::TimedOut),
            (dust, HtlcFailure::Absent),
            (later, HtlcFailure::Absent),
            (pending, HtlcFailure::Absent),
        ] {
            assert_eq!(channel.verdict(name), failed(reason), "{name:?}");
        }
        assert_eq!(channel.verdict(paid), by_chain(4, &theirs));
        assert!(channel.verdict(theirs_open).is_final());
        let card = channel.monitor().card();
        assert_eq!((card.watched, card.has_claims), (vec![], false));
    }
}
