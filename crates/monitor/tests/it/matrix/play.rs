//! One case from before its closing to its end, with a look at everything after every record.

use bitcoin::{OutPoint, Transaction};
use lastword_bolt3::rules;
use lastword_monitor::Monitor;
use lastword_types::{
    ANTI_REORG_DELAY, BlockHeight, BlockRef, ChainDelta, ClaimKind, ClaimRequest, MonitorRecord,
    SweepWitness, Verdict,
};

use super::case::{Built, Case, Kind, Known, Reorg, Spender, learn, output_in};
use super::look::{same, spends};
use crate::channel::{CHANNEL, EXPIRY, Node, PEER, US, block};
use crate::theft::Foreign;

/// The block of the closing, so near the expiry that a timeout confirms before it is final.
const CLOSED: u32 = EXPIRY - 2;
/// Reorganisations to before the closing begin here, while it is not final.
const LAST_SHALLOW: u32 = CLOSED + 4;

pub(super) struct Play {
    pub(super) case: Case,
    pub(super) built: Built,
    pub(super) closing: Spender,
    /// Gets the same records and never dies; the one of the channel dies after each.
    pub(super) twin: Monitor,
    pub(super) dies: bool,
    pub(super) steps: usize,
    pub(super) tip: u32,
    branch: u8,
    /// Which branch the chain follows from which height on.
    branches: Vec<(u32, u8)>,
    /// The transactions of the best chain.
    pub(super) chain: Vec<(u32, Transaction)>,
    pub(super) known: Option<Verdict>,
    pub(super) was_failed: bool,
}

impl Play {
    /// `None` if the case needs an output that its closing does not have.
    pub(super) fn new(case: Case, dies: bool) -> Option<Self> {
        let built = Built::new(case);
        let commitment = built.closing.commitment;
        let output = commitment.and_then(|it| output_in(&built.channel, it, built.name));
        if case.known == Known::ByChain && output.is_none() {
            return None;
        }
        let [MonitorRecord::Created(new), records @ ..] = &built.channel.records[..] else {
            panic!("a channel begins with its creation");
        };
        let mut twin = Monitor::create((**new).clone()).unwrap();
        for record in records {
            twin.apply(record).unwrap();
            // It is the same before every reorganisation.
            if case.reorg == Reorg::None {
                same(&Monitor::restore(twin.state().clone()).unwrap(), &twin);
            }
        }
        same(&twin, built.channel.monitor());
        let steps = if case.reorg == Reorg::None { built.channel.records.len() } else { 0 };
        let closing = built.closing.clone();
        let mut play = Self {
            case,
            built,
            closing,
            twin,
            dies,
            steps,
            tip: CLOSED - 2,
            branch: 0,
            branches: vec![(0, 0)],
            chain: Vec::new(),
            known: None,
            was_failed: false,
        };
        play.mine(Vec::new());
        play.was_failed = matches!(play.known, Some(Verdict::Failed { .. }));
        Some(play)
    }

    /// Plays the case and returns its final state.
    pub(super) fn run(mut self) -> (usize, String) {
        self.close();
        self.learn();
        self.claim_until(LAST_SHALLOW);
        if matches!(self.case.reorg, Reorg::SameAgain | Reorg::Another) {
            self.disconnect(CLOSED - 1);
            if self.case.reorg == Reorg::Another {
                self.closing = self.built.another.clone();
            }
            self.close();
        }
        self.claim_until(u32::MAX);
        self.tip = self.tip.max(EXPIRY) + 1000;
        self.mine(Vec::new());
        self.finish()
    }

    fn close(&mut self) {
        let closing = self.closing.transaction.clone();
        self.mine_with_reorg(closing);
    }

    fn learn(&mut self) {
        let name = self.built.name;
        let from = self.built.channel.records.len();
        match self.case.known {
            Known::Never | Known::Before => return,
            Known::ByMessage => learn(&mut self.built.channel, name, true),
            Known::ByChain => learn(&mut self.built.channel, name, false),
        }
        for record in &self.built.channel.records[from..] {
            self.twin.apply(record).unwrap();
        }
        self.look();
    }

    /// Confirms what either side claims, each in a block of its own, up to a height.
    fn claim_until(&mut self, last: u32) {
        for _ in 0..64 {
            let next = self.next_claim().filter(|it| it.0 <= last);
            let height = next.as_ref().map_or(last, |it| it.0);
            let not_final = self.decided_at().map(|it| it + ANTI_REORG_DELAY - 2);
            if let Some(not_final) = not_final.filter(|it| (self.tip + 1..height).contains(it)) {
                // No block passes unseen in which a failure could be final too early.
                self.tip = not_final - 1;
                self.mine(Vec::new());
            } else if let Some((height, transaction)) = next {
                self.tip = height - 1;
                self.mine_with_reorg(transaction);
            } else {
                return;
            }
        }
        panic!("{:?} never ends", self.case);
    }

    /// The height of what decides the HTLC: the spend of its output, or the closing without one.
    fn decided_at(&self) -> Option<u32> {
        let is_closing = |it: &&(u32, Transaction)| it.1 == self.closing.transaction;
        let (closed, _) = self.chain.iter().find(is_closing)?;
        let commitment = self.closing.commitment;
        match commitment.and_then(|it| output_in(&self.built.channel, it, self.built.name)) {
            None => Some(*closed),
            Some(output) => Some(self.chain.iter().find(|(_, it)| spends(it, output))?.0),
        }
    }

    /// The next claim that is due, the peer's first.
    fn next_claim(&mut self) -> Option<(u32, Transaction)> {
        let next = self.tip + 1;
        let peers = self.peers_claim();
        let channel = &mut self.built.channel;
        let funding = channel.nodes[US].parameters.funding_outpoint;
        let mut ours = channel.monitor().claim_requests();
        ours.retain(|request| request.outpoint != funding);
        let first = ours.into_iter().min_by_key(|request| request.earliest_height.0.max(next));
        let height = first.as_ref().map(|request| request.earliest_height.0.max(next));
        match (peers, first, height) {
            (Some(peers), _, None) => Some(peers),
            (Some(peers), _, Some(height)) if peers.0 <= height => Some(peers),
            (_, Some(request), Some(height)) => Some((height, channel.answer(US, &request))),
            _ => None,
        }
    }

    /// What the peer takes: what it was paid and did not tell us of, and what it offered and we
    /// cannot claim.
    fn peers_claim(&mut self) -> Option<(u32, Transaction)> {
        let is_offered = self.case.kind != Kind::Received;
        let shows = is_offered && self.case.known == Known::ByChain;
        let commitment = self.closing.commitment?;
        let channel = &mut self.built.channel;
        let output = output_in(channel, commitment, self.built.name)?;
        if self.chain.iter().any(|(_, it)| spends(it, output)) {
            return None;
        }
        let may_take = shows || (!is_offered && channel.request(US, output).is_none());
        if !may_take {
            return None;
        }
        let next = self.tip + 1;
        if shows {
            return Some((next, self.show(commitment, output)));
        }
        if self.case.is_revoked() && Some(commitment) == self.built.closing.commitment {
            let theft = channel.steal(commitment.1, &[self.built.name], Foreign::None);
            return Some((next.max(EXPIRY + 1), theft));
        }
        let request = channel.request(PEER, output)?;
        Some((request.earliest_height.0.max(next), channel.answer(PEER, &request)))
    }

    /// The peer's claim with the preimage, whether it has failed the HTLC before or not.
    fn show(&mut self, (owner, number): (Node, usize), outpoint: OutPoint) -> Transaction {
        let channel = &mut self.built.channel;
        if owner == PEER {
            return channel.steal(number, &[self.built.name], Foreign::None);
        }
        let built = channel.built(owner, number);
        let output = &built.outputs[usize::try_from(outpoint.vout).unwrap()];
        let witness = SweepWitness::HtlcPreimage {
            preimage: channel.offers[&self.built.name].preimage,
            per_commitment_point: built.keys.per_commitment_point,
        };
        let csv_blocks = rules(self.case.format).csv_blocks;
        let request = ClaimRequest {
            channel_id: CHANNEL,
            outpoint,
            amount: output.amount,
            script: output.script.clone(),
            earliest_height: BlockHeight(0),
            deadline: None,
            kind: ClaimKind::Sweep { witness, csv_blocks, lock_time: BlockHeight(0) },
        };
        channel.answer(PEER, &request)
    }

    fn mine_with_reorg(&mut self, transaction: Transaction) {
        self.mine(vec![transaction.clone()]);
        if self.case.reorg == Reorg::LastBlock {
            self.disconnect(self.tip - 1);
            self.mine(vec![transaction]);
        }
    }

    fn mine(&mut self, transactions: Vec<Transaction>) {
        self.tip += 1;
        self.chain.extend(transactions.iter().map(|it| (self.tip, it.clone())));
        let block = self.block_at(self.tip);
        self.tell(ChainDelta::Connected { block, transactions });
    }

    fn disconnect(&mut self, fork: u32) {
        self.chain.retain(|(height, _)| *height <= fork);
        let delta = ChainDelta::Disconnected { fork: self.block_at(fork) };
        self.tip = fork;
        self.branch += 1;
        self.branches.retain(|(from, _)| *from <= fork);
        self.branches.push((fork + 1, self.branch));
        self.tell(delta);
    }

    pub(super) fn block_at(&self, height: u32) -> BlockRef {
        let branch = self.branches.iter().rev().find(|(from, _)| *from <= height).unwrap().1;
        block(height, branch)
    }

    fn tell(&mut self, delta: ChainDelta) {
        self.built.channel.apply(PEER, MonitorRecord::Chain(delta.clone()));
        self.record(MonitorRecord::Chain(delta));
    }

    pub(super) fn record(&mut self, record: MonitorRecord) {
        self.twin.apply(&record).unwrap();
        self.built.channel.apply(US, record);
        self.look();
    }
}
