//! Random histories of one channel: every choice is possible where it is made.

use std::collections::BTreeSet;

use bitcoin::Transaction;
use lastword_ports::Ledger as _;
use lastword_types::{
    AmountMsat, BlockRef, ChainDelta, CommitmentFormat, EntryState, Generation, Htlc, HtlcClaim,
    HtlcDirection, HtlcId, HtlcKey, HtlcOrigin, MonitorRecord, Outcome, PreimageSource,
    ReleasePaymentComplete, RemovalReason, Told, UpdateStep, Verdict,
};
use proptest::prelude::*;

use crate::channel::{
    BIRTH, CHANNEL, Channel, EXPIRY, FAILED, FORMATS, Name, Node, US, block, offer, preimage,
};

/// What we offer with this hash is the outbound half of a forward.
const FORWARDED: u8 = 2;
/// The inbound halves expire at this height.
const INBOUND_EXPIRY: u32 = EXPIRY + 40;

/// Something that happens.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// An HTLC is added, as far as `stages` of four messages.
    Add { offerer: Node, hash: u8, sat: u64, stages: u8 },
    /// An HTLC is removed, as far as `stages` of four messages.
    Remove { which: usize, fulfil: bool, stages: u8 },
    /// The peer fulfils an HTLC of ours, without a commitment yet.
    Fulfill { which: usize },
    /// A node learns a preimage.
    Learn { node: Node, hash: u8 },
    /// We claim a payment of the peer, all its parts.
    ClaimPayment { hash: u8 },
    /// We fail the channel.
    Fail,
    /// What is final and not told is told.
    Release,
    /// A commitment confirms: the newest of a node, or the one before.
    Close { owner: Node, previous: bool },
    /// A node claims one of the outputs that it wants.
    Claim { node: Node, which: usize },
    /// Blocks pass that hold nothing of ours.
    Wait { blocks: u32 },
    /// Blocks leave the chain.
    Reorg { depth: u32 },
}

pub(crate) fn ops() -> impl Strategy<Value = (CommitmentFormat, Vec<Op>)> {
    let op = prop_oneof![
        4 => (0usize..2, 0u8..3, prop_oneof![Just(300u64), Just(50_000)], 1u8..9)
            .prop_map(|(offerer, hash, sat, stages)| Op::Add { offerer, hash, sat, stages }),
        2 => (0usize..8, any::<bool>(), 1u8..9)
            .prop_map(|(which, fulfil, stages)| Op::Remove { which, fulfil, stages }),
        1 => (0usize..8).prop_map(|which| Op::Fulfill { which }),
        2 => (0usize..2, 0u8..3).prop_map(|(node, hash)| Op::Learn { node, hash }),
        2 => (0u8..3).prop_map(|hash| Op::ClaimPayment { hash }),
        1 => Just(Op::Fail),
        1 => Just(Op::Release),
        2 => (0usize..2, any::<bool>()).prop_map(|(owner, previous)| Op::Close { owner, previous }),
        6 => (0usize..2, 0usize..8).prop_map(|(node, which)| Op::Claim { node, which }),
        3 => prop_oneof![1u32..7, 20u32..50, Just(EXPIRY)].prop_map(|blocks| Op::Wait { blocks }),
        2 => prop_oneof![1u32..4, 1u32..400].prop_map(|depth| Op::Reorg { depth }),
    ];
    (prop::sample::select(&FORMATS[..]), prop::collection::vec(op, 1..24))
}

pub(crate) struct World {
    pub(crate) channel: Channel,
    /// The height of the tip.
    pub(crate) tip: u32,
    /// Which branch the chain follows from which height on.
    branches: Vec<(u32, u8)>,
    /// The HTLCs that stand on both sides and are not being moved.
    settled: Vec<Name>,
    /// Whether a message is missing, after which no other can be sent.
    is_stuck: bool,
}

impl World {
    pub(crate) fn new(format: CommitmentFormat) -> Self {
        Self {
            channel: Channel::new(format),
            tip: BIRTH,
            branches: vec![(0, 0)],
            settled: Vec::new(),
            is_stuck: false,
        }
    }

    pub(crate) fn block_at(&self, height: u32) -> BlockRef {
        let branch = self.branches.iter().rev().find(|(from, _)| *from <= height).unwrap().1;
        block(height, branch)
    }

    /// Does one thing, or nothing where it cannot be done.
    pub(crate) fn step(&mut self, op: &Op) {
        match *op {
            Op::Add { offerer, hash, sat, stages } => self.add(offerer, hash, sat, stages),
            Op::Remove { which, fulfil, stages } => self.remove(which, fulfil, stages),
            Op::Fulfill { which } => self.fulfill(which),
            Op::Learn { node, hash } => {
                let preimage = preimage(hash);
                self.channel.update(node, vec![UpdateStep::Preimage { preimage }]);
            }
            Op::ClaimPayment { hash } => self.claim_payment(hash),
            Op::Fail => {
                self.is_stuck = true;
                self.channel.fail(US);
            }
            Op::Release => self.release(),
            Op::Close { owner, previous } => self.close(owner, previous),
            Op::Claim { node, which } => self.claim(node, which),
            Op::Wait { blocks } => {
                self.tip += blocks - 1;
                self.mine(Vec::new());
            }
            Op::Reorg { depth } => self.reorg(depth),
        }
    }

    fn claim_payment(&mut self, hash: u8) {
        let preimage = preimage(hash);
        let monitor = self.channel.monitor();
        let received = monitor.state().htlcs.values().map(|htlc| &htlc.htlc);
        let of_hash = received.filter(|htlc| htlc.payment_hash == preimage.payment_hash());
        let is_claimable = |htlc: &&Htlc| {
            let entry = monitor.entry(htlc.direction, htlc.htlc_id);
            matches!(entry, EntryState::Entry(entry) if entry.is_claimable)
        };
        let htlc_ids: BTreeSet<HtlcId> =
            of_hash.filter(is_claimable).map(|htlc| htlc.htlc_id).collect();
        if htlc_ids.is_empty() {
            return;
        }
        let part = |htlc_id: &HtlcId| HtlcKey {
            channel_id: CHANNEL,
            direction: HtlcDirection::Received,
            htlc_id: *htlc_id,
        };
        let parts = htlc_ids.iter().map(part).collect();
        let source = PreimageSource::Invoice { parts, amount_msat: AmountMsat(1) };
        let claim = HtlcClaim { channel_id: CHANNEL, htlc_ids, preimage, source };
        self.channel.apply(US, MonitorRecord::Claim(claim));
    }

    fn add(&mut self, offerer: Node, hash: u8, sat: u64, stages: u8) {
        if self.is_stuck {
            return;
        }
        let name = self.channel.draft(offerer, offer(hash, sat));
        if offerer == US && hash == FORWARDED {
            self.channel.forwards.insert(name, INBOUND_EXPIRY);
        }
        if self.dance(1 - offerer, stages, |channel, owner| channel.sign(owner, &[name], &[])) {
            self.settled.push(name);
        }
    }

    fn remove(&mut self, which: usize, fulfil: bool, stages: u8) {
        if self.is_stuck || self.settled.is_empty() {
            return;
        }
        let name = self.settled.swap_remove(which % self.settled.len());
        let preimage = self.channel.offers[&name].preimage;
        let reason = if fulfil { RemovalReason::Fulfilled { preimage } } else { FAILED };
        self.dance(name.0, stages, |channel, owner| channel.sign(owner, &[], &[(name, reason)]));
    }

    /// Both sides sign and revoke in turn; says whether they came to the end.
    fn dance(&mut self, first: Node, stages: u8, mut sign: impl FnMut(&mut Channel, Node)) -> bool {
        for stage in 0..stages.min(4) {
            let owner = if stage < 2 { first } else { 1 - first };
            if stage % 2 == 0 {
                sign(&mut self.channel, owner);
            } else {
                self.channel.revoke(owner);
            }
        }
        self.is_stuck = stages < 4;
        !self.is_stuck
    }

    fn fulfill(&mut self, which: usize) {
        let offered: Vec<_> = self.settled.iter().filter(|name| name.0 == US).copied().collect();
        if offered.is_empty() {
            return;
        }
        let name = offered[which % offered.len()];
        let preimage = self.channel.offers[&name].preimage;
        let fulfill = UpdateStep::Fulfill { htlc_id: HtlcId(name.1), preimage };
        self.channel.update(US, vec![fulfill]);
    }

    fn release(&mut self) {
        let mut releases = Vec::new();
        self.channel.monitor().for_each_undelivered(&mut |entry| {
            if entry.source.is_some() {
                let told = Told::Claimed;
                releases.push(ReleasePaymentComplete { htlc: entry.key, told });
                return;
            }
            let outcome = match entry.verdict {
                Verdict::Live | Verdict::Failing { .. } => return,
                Verdict::Fulfilled { preimage, .. } => {
                    let [amount_msat, fee_msat] = [entry.htlc.amount_msat; 2];
                    Outcome::Sent { preimage, amount_msat, fee_msat }
                }
                Verdict::Failed { reason } => Outcome::Failed { reason },
            };
            let n = u8::try_from(entry.key.htlc_id.0).unwrap();
            let told = match entry.htlc.origin {
                HtlcOrigin::Forward(_) => Told::Forward,
                HtlcOrigin::Payment(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => {
                    Told::Payment { generation: Generation([n; 16]), outcome }
                }
            };
            releases.push(ReleasePaymentComplete { htlc: entry.key, told });
        });
        for release in releases {
            self.channel.apply(US, MonitorRecord::Release(release));
        }
    }

    fn close(&mut self, owner: Node, previous: bool) {
        if self.channel.monitor().state().funding_spend.is_some() {
            return;
        }
        let commitments = &self.channel.nodes[owner].commitments;
        let back = usize::from(previous && commitments.len() > 1);
        let closing = commitments[commitments.len() - 1 - back].transaction.clone();
        self.mine(vec![closing]);
        self.is_stuck = true;
    }

    fn claim(&mut self, node: Node, which: usize) {
        let mut requests = self.channel.nodes[node].monitor.claim_requests();
        let funding = self.channel.nodes[US].parameters.funding_outpoint;
        requests.retain(|request| request.outpoint != funding);
        if requests.is_empty() {
            return;
        }
        let request = requests.swap_remove(which % requests.len());
        let transaction = self.channel.answer(node, &request);
        self.tip = self.tip.max(request.earliest_height.0 - 1);
        self.mine(vec![transaction]);
    }

    /// Connects the next block.
    fn mine(&mut self, transactions: Vec<Transaction>) {
        self.tip += 1;
        let block = self.block_at(self.tip);
        self.tell(&ChainDelta::Connected { block, transactions });
    }

    fn reorg(&mut self, depth: u32) {
        let fork = self.tip.saturating_sub(depth).max(BIRTH);
        self.tell(&ChainDelta::Disconnected { fork: self.block_at(fork) });
        self.tip = fork;
        let branch = self.branches.last().unwrap().1 + 1;
        self.branches.retain(|(from, _)| *from <= fork);
        self.branches.push((fork + 1, branch));
    }

    fn tell(&mut self, delta: &ChainDelta) {
        for node in [0, 1] {
            self.channel.apply(node, MonitorRecord::Chain(delta.clone()));
        }
    }
}
