//! Random lives of a channel that end in a revoked commitment, with random thefts, penalties and
//! reorganisations.

use std::collections::BTreeMap;

use bitcoin::{OutPoint, Transaction, TxOut};
use lastword_bolt3::{OutputKind, script_pubkey};
use lastword_monitor::Monitor;
use lastword_types::{
    ChainDelta, Close, CommitmentFormat, MonitorRecord, OutputSpendKind, Side, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::channel::{
    BIRTH, Channel, EXPIRY, FAILED, Name, PEER, US, block, fulfilled, offer, seen,
};
use crate::theft::{FORMATS, Foreign, may_aggregate};

/// One thing in the life of the channel before the breach.
#[derive(Debug, Clone)]
enum Life {
    Add { offerer: usize, hash: u8, sat: u64 },
    Remove { which: usize, fulfil: bool, tell: bool },
    Idle { states: u8 },
}

/// One thing after it.
#[derive(Debug, Clone)]
enum After {
    /// The peer claims HTLCs by its HTLC transactions.
    Steal { which: usize, more: bool, foreign: u8 },
    /// We claim one of the outputs that we want.
    Claim { which: usize },
    /// Empty blocks.
    Wait { blocks: u32 },
    /// Blocks leave the chain, and some other closing of the same channel takes the place of the
    /// revoked one if that leaves too.
    Reorg { depth: u32, owner: usize },
}

fn life() -> impl Strategy<Value = Vec<Life>> {
    let sat = prop_oneof![Just(300u64), Just(20_000), Just(30_000)];
    let one = prop_oneof![
        4 => (0usize..2, 0u8..2, sat)
            .prop_map(|(offerer, hash, sat)| Life::Add { offerer, hash, sat }),
        3 => (0usize..8, any::<bool>(), any::<bool>())
            .prop_map(|(which, fulfil, tell)| Life::Remove { which, fulfil, tell }),
        1 => (1u8..5).prop_map(|states| Life::Idle { states }),
    ];
    prop::collection::vec(one, 1..14)
}

fn after() -> impl Strategy<Value = Vec<After>> {
    let one = prop_oneof![
        3 => (0usize..8, any::<bool>(), 0u8..3)
            .prop_map(|(which, more, foreign)| After::Steal { which, more, foreign }),
        4 => (0usize..8).prop_map(|which| After::Claim { which }),
        1 => prop_oneof![1u32..9, Just(EXPIRY)].prop_map(|blocks| After::Wait { blocks }),
        2 => (1u32..9, 0usize..3).prop_map(|(depth, owner)| After::Reorg { depth, owner }),
    ];
    prop::collection::vec(one, 0..16)
}

struct Breach {
    channel: Channel,
    /// Which of the peer's commitments it broadcasts.
    number: usize,
    tip: u32,
    branches: Vec<(u32, u8)>,
    finals: BTreeMap<Name, Verdict>,
    /// Every output of every transaction that was ever in a block.
    outputs: BTreeMap<OutPoint, TxOut>,
}

impl Breach {
    /// Lives a life and chooses a commitment that is revoked by its end.
    fn new(format: CommitmentFormat, life: &[Life], age: usize) -> Self {
        let mut channel = Channel::new(format);
        let mut standing: Vec<Name> = Vec::new();
        for one in life {
            match *one {
                Life::Add { offerer, hash, sat } => {
                    standing.push(channel.add(offerer, offer(hash, sat)));
                }
                Life::Remove { which, fulfil, tell } if !standing.is_empty() => {
                    let name = standing.swap_remove(which % standing.len());
                    let hash = channel.offers[&name].preimage.0[0];
                    channel.remove(name, if fulfil { fulfilled(hash) } else { FAILED });
                    if tell && name.0 == US {
                        channel.tell(name);
                    }
                }
                Life::Remove { .. } => {}
                Life::Idle { states } => {
                    for _ in 0..states {
                        channel.sign(PEER, &[], &[]);
                        channel.revoke(PEER);
                    }
                }
            }
        }
        channel.sign(PEER, &[], &[]);
        channel.revoke(PEER);
        let revoked = channel.nodes[PEER].commitments.len() - 1;
        let branches = vec![(0, 0)];
        let number = age % revoked;
        Self {
            channel,
            number,
            tip: BIRTH,
            branches,
            finals: BTreeMap::new(),
            outputs: BTreeMap::new(),
        }
    }

    fn is_breached(&self) -> bool {
        let spend = &self.channel.monitor().state().funding_spend;
        spend.as_ref().is_some_and(|spend| matches!(spend.close, Close::Revoked { .. }))
    }

    fn broadcast(&mut self) {
        let closing = self.channel.nodes[PEER].commitments[self.number].transaction.clone();
        self.mine(vec![closing]);
        assert!(self.is_breached());
    }

    fn step(&mut self, after: &After) {
        match *after {
            After::Steal { which, more, foreign } => self.steal(which, more, foreign),
            After::Claim { which } => self.claim(which),
            After::Wait { blocks } => {
                self.tip += blocks - 1;
                self.mine(Vec::new());
            }
            After::Reorg { depth, owner } => self.reorg(depth, owner),
        }
    }

    fn steal(&mut self, which: usize, more: bool, foreign: u8) {
        if !self.is_breached() {
            return;
        }
        let spends = &self.channel.monitor().state().output_spends;
        let free = |name: &Name| {
            let output = self.channel.peers_output(self.number, *name);
            output.is_some_and(|output| !spends.contains_key(&output))
        };
        let is_ripe = |name: &Name| name.0 == US || self.tip >= EXPIRY;
        let standing = &self.channel.nodes[PEER].commitments[self.number].htlcs;
        let names: Vec<Name> =
            standing.iter().copied().filter(|it| free(it) && is_ripe(it)).collect();
        if names.is_empty() {
            return;
        }
        let first = names[which % names.len()];
        let mut chosen = vec![first];
        let mut around = Foreign::None;
        if may_aggregate(self.channel.built(PEER, self.number).format()) {
            around = [Foreign::None, Foreign::Before, Foreign::After][usize::from(foreign)];
            if more {
                chosen.extend(names.into_iter().filter(|it| *it != first && it.0 == first.0));
            }
        }
        let theft = self.channel.steal(self.number, &chosen, around);
        let mut names: Vec<Name> = self.channel.offers.keys().copied().collect();
        names.retain(|name| !self.channel.is_forgotten(*name));
        let before: Vec<Verdict> = names.iter().map(|name| self.channel.verdict(*name)).collect();
        self.mine(vec![theft]);
        // Of equal HTLCs only the one whose output was taken is paid.
        let is_paid = |verdict: &Verdict| matches!(verdict, Verdict::Fulfilled { .. });
        for (name, before) in names.into_iter().zip(before) {
            let after = self.channel.verdict(name);
            let is_shown = name.0 == US && chosen.contains(&name) && !before.is_final();
            assert_eq!(is_paid(&after), is_paid(&before) || is_shown, "{name:?}");
        }
    }

    fn claim(&mut self, which: usize) {
        let mut requests = self.channel.monitor().claim_requests();
        requests.retain(|it| it.outpoint != self.channel.nodes[US].parameters.funding_outpoint);
        if requests.is_empty() {
            return;
        }
        let request = requests.swap_remove(which % requests.len());
        let script_pubkey = script_pubkey(&request.script);
        let wanted = TxOut { value: request.amount, script_pubkey };
        assert_eq!(self.outputs.get(&request.outpoint), Some(&wanted));
        let transaction = self.channel.answer(US, &request);
        self.tip = self.tip.max(request.earliest_height.0 - 1);
        self.mine(vec![transaction]);
        assert!(self.channel.request(US, request.outpoint).is_none(), "{request:?}");
    }

    fn mine(&mut self, transactions: Vec<Transaction>) {
        self.tip += 1;
        let block = self.block_at(self.tip);
        for transaction in &transactions {
            let txid = transaction.compute_txid();
            let outpoints = (0..).map(|vout| OutPoint { txid, vout });
            self.outputs.extend(outpoints.zip(transaction.output.iter().cloned()));
        }
        self.channel.apply(US, MonitorRecord::Chain(ChainDelta::Connected { block, transactions }));
        self.look();
    }

    fn block_at(&self, height: u32) -> lastword_types::BlockRef {
        let branch = self.branches.iter().rev().find(|(from, _)| *from <= height).unwrap().1;
        block(height, branch)
    }

    fn reorg(&mut self, depth: u32, owner: usize) {
        let fork = self.tip.saturating_sub(depth).max(BIRTH);
        let delta = ChainDelta::Disconnected { fork: self.block_at(fork) };
        self.channel.apply(US, MonitorRecord::Chain(delta));
        self.tip = fork;
        let branch = self.branches.last().unwrap().1 + 1;
        self.branches.retain(|(from, _)| *from <= fork);
        self.branches.push((fork + 1, branch));
        self.look();
        if self.channel.monitor().state().funding_spend.is_none() && owner < 2 {
            let closing = self.channel.newest(owner).transaction.clone();
            self.mine(vec![closing]);
        } else if self.channel.monitor().state().funding_spend.is_none() {
            self.broadcast();
        }
    }

    /// What holds after every step: a final verdict stays, and a restart changes nothing.
    fn look(&mut self) {
        let monitor = self.channel.monitor();
        for name in self.channel.offers.keys() {
            let (direction, htlc_id) = seen(US, *name);
            let Some(verdict) = monitor.verdict(direction, htlc_id) else {
                assert!(self.channel.is_forgotten(*name), "{name:?}");
                continue;
            };
            if let Some(known) = self.finals.get(name) {
                assert_eq!(*known, verdict, "{name:?}");
            } else if verdict.is_final() {
                self.finals.insert(*name, verdict);
            }
        }
        let restored = Monitor::restore(monitor.state().clone()).unwrap();
        assert_eq!(restored.claim_requests(), monitor.claim_requests());
        assert_eq!(restored.card(), monitor.card());
        assert_eq!(restored.alarms(), monitor.alarms());
    }

    /// Claims until nothing is wanted; then all that was in the revoked commitment must be ours.
    fn finish(mut self) {
        if self.channel.monitor().state().funding_spend.is_none() {
            self.broadcast();
        }
        while !self.channel.monitor().claim_requests().is_empty() {
            self.claim(0);
        }
        self.tip += EXPIRY;
        self.mine(Vec::new());
        if !self.is_breached() {
            return;
        }
        let is_known =
            |name: &Name| self.finals.contains_key(name) || self.channel.is_forgotten(*name);
        assert!(self.channel.offers.keys().all(is_known));
        let built = self.channel.built(PEER, self.number);
        let spends = &self.channel.monitor().state().output_spends;
        let swept = OutputSpendKind::Swept { owner: Side::Local };
        for (vout, output) in (0u32..).zip(&built.outputs) {
            let outpoint = OutPoint { txid: built.txid(), vout };
            let kind = spends.get(&outpoint).map(|spend| &spend.kind);
            match (output.kind, kind) {
                (OutputKind::Anchor(Side::Remote) | OutputKind::SharedAnchor, None)
                | (OutputKind::Htlc { .. }, Some(OutputSpendKind::HtlcPenalty { .. })) => {}
                (
                    OutputKind::Htlc { .. },
                    Some(OutputSpendKind::PeerHtlcTransaction { output, .. }),
                ) => assert_eq!(spends[output].kind, swept),
                (_, kind) => assert_eq!(kind, Some(&swept), "{output:?}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(3), failure_persistence: None, cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn everything_in_a_revoked_commitment_ends_ours(
        format in prop::sample::select(&FORMATS[..]),
        life in life(),
        age in 0usize..64,
        after in after(),
    ) {
        let mut breach = Breach::new(format, &life, age);
        breach.broadcast();
        for one in &after {
            breach.step(one);
        }
        breach.finish();
    }
}
