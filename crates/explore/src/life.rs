//! A life: the inputs of one scenario, made once, and the truth about its payments.

use std::sync::Arc;

use bitcoin::Transaction;
use lastword_types::{
    AmountMsat, BlockHeight, BlockRef, ChannelId, CommitmentFormat, EventKind, ForwardOrigin,
    Generation, Htlc, HtlcAdded, HtlcDirection, HtlcId, HtlcKey, HtlcOrigin, Intent, IntentPart,
    Metadata, MonitorUpdate, NewChannel, PartIndex, PaymentId, PaymentPreimage, Purpose,
    RemovalReason, RetryPolicy, Side, Terms, UpdateStep,
};

use crate::chain::Blocks;
use crate::channel::{Channel, Which};
use crate::oracle::Heard;
use crate::receipt::Receipt;
use crate::scenario::{Close, End, Fate, Reorg, Scenario, Shape};

/// How often a payment may have to be begun: once, and again after each crash that it did not
/// survive.
const ROUNDS: u8 = 4;
const FEE_MSAT: u64 = 1_000;
/// The expiry of the HTLCs in the first channel, and in the second.
const EXPIRIES: [u32; 2] = [20, 60];
/// The same where the first channel carries the second attempt.
const RETRY_EXPIRIES: [u32; 2] = [50, 20];
/// The expiry of the inbound half of a forward.
const INBOUND_EXPIRY: u32 = 90;
const OUR_NEWEST: Which = Which { owner: Side::Local, behind_newest: 0 };
const FAILURE_CODE: u16 = 0x400f;

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The caller sends a payment, by its place in the list.
    Send(usize),
    /// The caller makes the second attempt of a payment.
    Retry(usize),
    /// The node claims the payment that it received.
    Claim,
    /// The channels move.
    Updates(Vec<MonitorUpdate>),
    /// The chain's tip is here now.
    Tip(BlockRef),
    /// What is remembered of payments that are over is dropped.
    Drop,
}

/// A payment, in each of the rounds that it may take to send it.
#[derive(Debug)]
pub(crate) struct Payment {
    /// What to send in each round: they differ in nothing but the generation.
    pub(crate) rounds: Vec<Round>,
    /// Whether somebody gets the preimage, if it is sent at all.
    pub(crate) is_paid: bool,
    /// Its last word if nobody does.
    pub(crate) failure: EventKind,
}

/// What the caller sends of one incarnation.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) first: Attempt,
    /// The attempt after it, in a scenario with one.
    pub(crate) second: Option<Attempt>,
}

/// An attempt, and the updates that hold its HTLCs.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) intent: Intent,
    pub(crate) updates: Vec<MonitorUpdate>,
}

/// Returns the generation of a round of a payment.
fn generation(payment: u8, round: u8) -> Generation {
    Generation([payment << 4 | round; 16])
}

/// Returns the generation of the first round of the same payment.
pub(crate) fn first_round(Generation(bytes): Generation) -> Generation {
    Generation(bytes.map(|byte| byte & 0xf0))
}

/// A forward, and how the node answers upstream once it is told to.
#[derive(Debug)]
pub(crate) struct Forward {
    pub(crate) inbound: HtlcKey,
    pub(crate) outbound: HtlcKey,
    /// Whether the recipient downstream gets the preimage.
    pub(crate) is_paid: bool,
    /// The updates that take the inbound half out of its channel; none where that is on chain.
    pub(crate) answers: Vec<MonitorUpdate>,
}

/// A scenario made ready.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) birth: BlockRef,
    pub(crate) born: Vec<NewChannel>,
    pub(crate) payments: Vec<Payment>,
    pub(crate) forward: Option<Forward>,
    pub(crate) receipt: Option<Receipt>,
    pub(crate) inputs: Vec<Input>,
    /// Whether a preimage that the chain shows and takes back changes nothing.
    has_one_truth: bool,
    /// Whether payments leave the book as soon as they are over.
    pub(crate) is_forgetful: bool,
    pub(crate) heard: Heard,
}

/// A life in the making.
struct Making {
    scenario: Scenario,
    blocks: Blocks,
    tip: BlockRef,
    branch: u32,
    expiries: [u32; 2],
    channels: Vec<Channel>,
    payments: Vec<Payment>,
    forward: Option<Forward>,
    receipt: Option<Receipt>,
    inputs: Vec<Input>,
}

impl Life {
    pub(crate) fn of(scenario: Scenario) -> Self {
        let (blocks, birth) = Blocks::begin();
        let format = CommitmentFormat::AnchorsZeroFeeHtlc;
        let count = if scenario.shape.has_second_channel() { 2 } else { 1 };
        let is_retried = scenario.shape == Shape::Retry;
        let channels: Vec<Channel> =
            (0..count).map(|index| Channel::new(ChannelId([0xc0 + index; 32]), format)).collect();
        let born = channels.iter().map(|channel| channel.born_at(birth)).collect();
        let mut making = Making {
            scenario,
            blocks,
            tip: birth,
            branch: 0,
            expiries: if is_retried { RETRY_EXPIRIES } else { EXPIRIES },
            channels,
            payments: Vec::new(),
            forward: None,
            receipt: None,
            inputs: Vec::new(),
        };
        making.make();
        let Making { blocks, payments, forward, receipt, inputs, .. } = making;
        let heard = Heard::default();
        let has_one_truth = !matches!(scenario.reorg, Reorg::BelowFinality | Reorg::BeyondFinality);
        Self {
            blocks: Arc::new(blocks),
            birth,
            born,
            payments,
            forward,
            receipt,
            inputs,
            has_one_truth,
            is_forgetful: scenario.reorg != Reorg::None || scenario.shape == Shape::Again,
            heard,
        }
    }
}

impl Life {
    /// Returns the tip at the end.
    pub(crate) fn last_tip(&self) -> BlockRef {
        let tips = self.inputs.iter().rev().filter_map(|input| match input {
            Input::Tip(tip) => Some(*tip),
            Input::Send(_) | Input::Retry(_) | Input::Claim | Input::Updates(_) | Input::Drop => {
                None
            }
        });
        tips.max_by_key(|tip| tip.height).unwrap_or(self.birth)
    }

    /// Says whether a node may be down while the chain goes on to the input after this one: where it
    /// is not the truth that hangs on what the node has seen.
    pub(crate) fn may_sleep(&self, position: usize) -> bool {
        let is_tip = |at| matches!(self.inputs.get(at), Some(Input::Tip(_)));
        let has_payment = !self.payments.is_empty();
        has_payment && self.has_one_truth && is_tip(position) && is_tip(position + 1)
    }
}

impl Making {
    fn make(&mut self) {
        let Scenario { shape, fate, other, .. } = self.scenario;
        let parts: &[usize] = match shape {
            Shape::Direct | Shape::Probe | Shape::Again => &[0],
            Shape::TwoParts => &[0, 1],
            Shape::ThreeParts => &[0, 1, 1],
            Shape::Retry => &[1],
            Shape::Forward => &[],
            Shape::Received => return self.receive(fate),
        };
        let has_other = matches!(shape, Shape::TwoParts | Shape::ThreeParts);
        let is_paid = self.scenario.is_paid() || has_other && other == Fate::Fulfilled;
        let mut ids = if shape == Shape::Forward {
            self.forward(is_paid)
        } else {
            self.pay(1, parts, is_paid)
        };
        if shape == Shape::Retry {
            self.settle_other(other, &ids);
            ids = self.retry(&[0]);
        }
        let second =
            matches!(fate, Fate::Closed(Close::Revoked, _)).then(|| self.pay(2, &[0], false));
        // What ends off chain does so before the expiry.
        if has_other {
            self.settle_off_chain(1, &ids[1..], other);
        }
        match fate {
            Fate::Fulfilled | Fate::Failed => self.settle_off_chain(0, &ids[..1], fate),
            Fate::Answered => {}
            Fate::Closed(close, end) => self.close(close, end, ids[0]),
        }
        if let (Shape::Forward, Fate::Closed(..)) = (shape, other) {
            self.resolve_inbound(is_paid);
        }
        if shape == Shape::Again {
            let ids = self.pay(2, parts, other == Fate::Fulfilled);
            self.settle_off_chain(0, &ids, other);
            self.inputs.push(Input::Drop);
            self.bury(1);
        }
        if let (true, Fate::Closed(..)) = (has_other, other) {
            self.close_other(&ids[1..]);
        }
        debug_assert!(second.is_none_or(|ids| ids.len() == 1));
    }

    /// Sends a payment and takes the answers of its channels in.
    fn pay(&mut self, number: u8, parts: &[usize], is_paid: bool) -> Vec<HtlcId> {
        // Another payment of the same invoice: the hash tells nothing apart.
        let preimage = PaymentPreimage([1; 32]);
        let id = if self.scenario.shape == Shape::Again { 1 } else { number };
        let parts = self.parts(parts, FEE_MSAT);
        let is_probe = self.scenario.shape == Shape::Probe && number == 1;
        let is_retried = self.scenario.shape == Shape::Retry && number == 1;
        let attempts_max = if is_retried { 2 } else { 1 };
        let intent = |round: u8| Intent {
            payment_id: PaymentId([id; 32]),
            generation: generation(number, round),
            attempt: 0,
            payment_hash: preimage.payment_hash(),
            total_msat: AmountMsat(parts.iter().map(|part| part.part_amount_msat.0).sum()),
            fee_msat: AmountMsat(FEE_MSAT),
            parts: parts.clone(),
            metadata: Metadata::Here(vec![number]),
            terms: Terms {
                retry: RetryPolicy { attempts_max, deadline_height: None },
                purpose: if is_probe { Purpose::Probe } else { Purpose::Payment },
                ..Terms::default()
            },
        };
        let rounds: Vec<Intent> = (0..ROUNDS).map(intent).collect();
        let (attempts, answers) = self.begin(rounds);
        let rounds = attempts.into_iter().map(|first| Round { first, second: None }).collect();
        let failure = if is_probe { EventKind::Probed } else { EventKind::Failed };
        self.payments.push(Payment { rounds, is_paid, failure });
        self.inputs.push(Input::Send(self.payments.len() - 1));
        self.inputs.push(Input::Updates(answers));
        parts.iter().map(|part| part.htlc_id).collect()
    }

    /// Tries the first payment again, at another price.
    fn retry(&mut self, parts: &[usize]) -> Vec<HtlcId> {
        let fee_msat = 2 * FEE_MSAT;
        let parts = self.parts(parts, fee_msat);
        let rounds = self.payments[0].rounds.iter().map(|round| {
            let mut intent = round.first.intent.clone();
            let tried = intent.parts.iter().map(|part| part.channel_id);
            intent.terms.earlier_channels.extend(tried);
            Intent { attempt: 1, fee_msat: AmountMsat(fee_msat), parts: parts.clone(), ..intent }
        });
        let rounds = rounds.collect();
        let (attempts, answers) = self.begin(rounds);
        for (round, attempt) in self.payments[0].rounds.iter_mut().zip(attempts) {
            round.second = Some(attempt);
        }
        self.inputs.push(Input::Retry(0));
        self.inputs.push(Input::Updates(answers));
        parts.iter().map(|part| part.htlc_id).collect()
    }

    /// Takes a payment in two channels, of which the first may close before it is claimed.
    fn receive(&mut self, fate: Fate) {
        let preimage = PaymentPreimage([1; 32]);
        let sat = if self.scenario.is_dust { 300 } else { 50_000 };
        let (direction, htlc_id) = (HtlcDirection::Received, HtlcId(0));
        for channel in &mut self.channels {
            let updates = channel.receive(Htlc {
                direction,
                htlc_id,
                amount_msat: AmountMsat(sat * 1_000),
                payment_hash: preimage.payment_hash(),
                cltv_expiry: BlockHeight(INBOUND_EXPIRY),
                origin: HtlcOrigin::Ours,
            });
            self.inputs.extend(updates.map(|update| Input::Updates(vec![update])));
        }
        let which = match fate {
            Fate::Fulfilled | Fate::Failed | Fate::Answered => None,
            Fate::Closed(Close::Ours, _) => {
                let update = self.channels[0].fail();
                self.inputs.push(Input::Updates(vec![update]));
                Some(OUR_NEWEST)
            }
            Fate::Closed(..) => Some(Which { owner: Side::Remote, behind_newest: 0 }),
        };
        if let Some(which) = which {
            self.mine(self.channels[0].closing(which));
        }
        let is_open = |index: usize| index > 0 || which.is_none();
        let reason = RemovalReason::Fulfilled { preimage };
        let answers = self.channels.iter_mut().enumerate().map(|(index, channel)| {
            let key = HtlcKey { channel_id: channel.id(), direction, htlc_id };
            let updates = is_open(index).then(|| channel.remove_received(htlc_id, reason).into());
            (key, updates.unwrap_or_default())
        });
        let answers: Vec<(HtlcKey, Vec<MonitorUpdate>)> = answers.collect();
        self.receipt = Some(Receipt {
            preimage,
            parts: answers.iter().map(|(key, _)| *key).collect(),
            amount_msat: AmountMsat(2 * sat * 1_000),
            claimed_at: self.inputs.len(),
            answers,
        });
        self.inputs.push(Input::Claim);
        if let Some(which) = which {
            self.mine(self.channels[0].our_success(which, htlc_id, preimage));
            self.bury(6);
        }
    }

    /// Takes an HTLC in the second channel and passes it on in the first; if the second closes, it does
    /// so before anything becomes of the outbound half.
    fn forward(&mut self, is_paid: bool) -> Vec<HtlcId> {
        let preimage = PaymentPreimage([1; 32]);
        let sat = if self.scenario.is_dust { 300 } else { 50_000 };
        let htlc_id = self.channels[0].take_htlc_id();
        let key = |channel: &Channel, direction, htlc_id| HtlcKey {
            channel_id: channel.id(),
            direction,
            htlc_id,
        };
        let outbound = key(&self.channels[0], HtlcDirection::Offered, htlc_id);
        let inbound = key(&self.channels[1], HtlcDirection::Received, HtlcId(0));
        let received = Htlc {
            direction: inbound.direction,
            htlc_id: inbound.htlc_id,
            amount_msat: AmountMsat(sat * 1_000 + FEE_MSAT),
            payment_hash: preimage.payment_hash(),
            cltv_expiry: BlockHeight(INBOUND_EXPIRY),
            origin: HtlcOrigin::Forwarded { outbound },
        };
        let offered = Htlc {
            direction: outbound.direction,
            htlc_id,
            amount_msat: AmountMsat(sat * 1_000),
            payment_hash: preimage.payment_hash(),
            cltv_expiry: BlockHeight(self.expiries[0]),
            origin: HtlcOrigin::Forward(ForwardOrigin {
                inbound,
                inbound_amount_msat: received.amount_msat,
                inbound_cltv_expiry: received.cltv_expiry,
            }),
        };
        for update in self.channels[1].receive(received) {
            self.inputs.push(Input::Updates(vec![update]));
        }
        let updates = [self.channels[0].add(&[offered]), self.channels[0].answer()];
        self.inputs.extend(updates.map(|update| Input::Updates(vec![update])));
        let answers = if self.scenario.other == Fate::Answered {
            let reason = if is_paid {
                RemovalReason::Fulfilled { preimage }
            } else {
                RemovalReason::Failed { code: FAILURE_CODE }
            };
            self.channels[1].remove_received(inbound.htlc_id, reason).into()
        } else {
            let update = self.channels[1].fail();
            self.inputs.push(Input::Updates(vec![update]));
            self.mine(self.channels[1].closing(OUR_NEWEST));
            Vec::new()
        };
        self.forward = Some(Forward { inbound, outbound, is_paid, answers });
        vec![htlc_id]
    }

    /// Ends the inbound half of a forward on chain: we take it with the preimage, or the peer takes it
    /// back.
    fn resolve_inbound(&mut self, is_paid: bool) {
        let htlc_id = HtlcId(0);
        if !self.channels[1].has_output(OUR_NEWEST, htlc_id) {
            return self.bury(6);
        }
        let claim = if is_paid {
            self.channels[1].our_success(OUR_NEWEST, htlc_id, PaymentPreimage([1; 32]))
        } else {
            self.mine_to(INBOUND_EXPIRY);
            self.channels[1].peers_timeout(htlc_id)
        };
        self.mine(claim);
        self.bury(6);
    }

    /// Returns parts with HTLCs of their own; the first one pays the fee.
    fn parts(&mut self, channels: &[usize], fee_msat: u64) -> Vec<IntentPart> {
        let sat = if self.scenario.is_dust { 300 } else { 50_000 };
        let part = |(at, channel): (usize, &usize)| IntentPart {
            channel_id: self.channels[*channel].id(),
            htlc_id: self.channels[*channel].take_htlc_id(),
            amount_msat: AmountMsat(sat * 1_000 + if at == 0 { fee_msat } else { 0 }),
            part_amount_msat: AmountMsat(sat * 1_000),
            cltv_expiry: BlockHeight(self.expiries[*channel]),
        };
        channels.iter().enumerate().map(part).collect()
    }

    /// Returns an attempt in each of its rounds, and how its channels answer.
    fn begin(&mut self, rounds: Vec<Intent>) -> (Vec<Attempt>, Vec<MonitorUpdate>) {
        let htlcs = htlcs_of(&rounds[0]);
        let mut updates = Vec::new();
        let mut answers = Vec::new();
        for channel in &mut self.channels {
            let own: Vec<Htlc> = htlcs
                .iter()
                .filter(|(id, _)| *id == channel.id())
                .map(|(_, htlc)| htlc.clone())
                .collect();
            if !own.is_empty() {
                updates.push(channel.add(&own));
                answers.push(channel.answer());
            }
        }
        let attempts = rounds.into_iter().map(|intent| {
            let updates = updates.iter().map(|update| of_round(update, &intent)).collect();
            Attempt { intent, updates }
        });
        (attempts.collect(), answers)
    }

    /// Ends what stands in the second channel alone.
    fn settle_other(&mut self, other: Fate, ids: &[HtlcId]) {
        match other {
            Fate::Fulfilled | Fate::Failed | Fate::Answered => {
                self.settle_off_chain(1, ids, other);
            }
            Fate::Closed(..) => self.close_other(ids),
        }
    }

    fn settle_off_chain(&mut self, channel: usize, ids: &[HtlcId], fate: Fate) {
        let reason = match fate {
            Fate::Fulfilled => RemovalReason::Fulfilled { preimage: PaymentPreimage([1; 32]) },
            Fate::Failed => RemovalReason::Failed { code: FAILURE_CODE },
            Fate::Answered | Fate::Closed(..) => return,
        };
        for htlc_id in ids {
            let updates = self.channels[channel].remove(*htlc_id, reason);
            self.inputs.extend(updates.map(|update| Input::Updates(vec![update])));
        }
    }

    fn close(&mut self, close: Close, end: End, htlc_id: HtlcId) {
        let newest = |owner| Which { owner, behind_newest: 0 };
        let which = match close {
            Close::Ours => {
                let update = self.channels[0].fail();
                self.inputs.push(Input::Updates(vec![update]));
                newest(Side::Local)
            }
            Close::PeersLatest => newest(Side::Remote),
            Close::PeersPrevious => {
                let reason = RemovalReason::Failed { code: FAILURE_CODE };
                let [theirs, ours, _] = self.channels[0].remove(htlc_id, reason);
                self.inputs.extend([theirs, ours].map(|update| Input::Updates(vec![update])));
                Which { owner: Side::Remote, behind_newest: 1 }
            }
            Close::Revoked => Which { owner: Side::Remote, behind_newest: 1 },
        };
        let before = self.tip;
        // A swap of the peer's own: first its newest commitment, which is without the HTLC.
        let is_own_swap = self.scenario.reorg == Reorg::Swap && close == Close::PeersPrevious;
        let first = if is_own_swap { newest(Side::Remote) } else { which };
        self.mine(self.channels[0].closing(first));
        if self.scenario.reorg == Reorg::Closing {
            if end == End::Claimed {
                self.mine(self.claim(which, close, end, htlc_id));
            }
            self.bury((before.height.0 + 5).saturating_sub(self.tip.height.0));
            self.go_back_to(before);
            self.mine(self.channels[0].closing(which));
        }
        let which = if self.scenario.reorg == Reorg::Swap {
            let other = if is_own_swap { which } else { newest(which.owner.other()) };
            self.go_back_to(before);
            self.mine(self.channels[0].closing(other));
            other
        } else {
            which
        };
        self.resolve(which, close, end, htlc_id);
        self.bury(6);
    }

    /// Ends the HTLC of the first channel on chain.
    fn resolve(&mut self, which: Which, close: Close, end: End, htlc_id: HtlcId) {
        if !self.channels[0].has_output(which, htlc_id) {
            let closed = self.tip;
            self.resolve_dust(closed);
            return;
        }
        let claim = |making: &Self, end| making.claim(which, close, end, htlc_id);
        if end == End::TakenBack && close != Close::Revoked {
            self.mine_to(self.expiries[0]);
        }
        let before = self.tip;
        self.mine(claim(self, end));
        match self.scenario.reorg {
            Reorg::None | Reorg::Swap | Reorg::Closing => {}
            Reorg::OneBlock => {
                self.go_back_to(before);
                self.bury(1);
                self.mine(claim(self, end));
            }
            Reorg::BelowFinality | Reorg::BeyondFinality => {
                let is_final = self.scenario.reorg == Reorg::BeyondFinality;
                self.bury(if is_final { 6 } else { 4 });
                self.go_back_to(before);
                let other = match end {
                    End::Claimed => End::TakenBack,
                    End::TakenBack => End::Claimed,
                };
                self.mine_to(self.expiries[0]);
                self.mine(claim(self, other));
            }
        }
    }

    /// Returns who takes the output of an HTLC in the first channel.
    fn claim(&self, which: Which, close: Close, end: End, htlc_id: HtlcId) -> Transaction {
        let channel = &self.channels[0];
        match end {
            End::Claimed => channel.peers_claim(which, htlc_id, PaymentPreimage([1; 32])),
            End::TakenBack => channel.our_claim(which, htlc_id, close == Close::Revoked),
        }
    }

    /// Nothing resolves what has no output but the depth of the closing.
    fn resolve_dust(&mut self, closed: BlockRef) {
        let depth = match self.scenario.reorg {
            Reorg::None | Reorg::Swap | Reorg::Closing | Reorg::BeyondFinality => return,
            Reorg::OneBlock => 1,
            Reorg::BelowFinality => 4,
        };
        self.bury(depth);
        self.go_back_to(closed);
    }

    /// We close the second channel and take its HTLCs back.
    fn close_other(&mut self, ids: &[HtlcId]) {
        let update = self.channels[1].fail();
        self.inputs.push(Input::Updates(vec![update]));
        let which = OUR_NEWEST;
        self.mine(self.channels[1].closing(which));
        self.mine_to(self.expiries[1]);
        for htlc_id in ids {
            if self.channels[1].has_output(which, *htlc_id) {
                self.mine(self.channels[1].our_claim(which, *htlc_id, false));
            }
        }
        self.bury(6);
    }

    fn mine(&mut self, transaction: Transaction) {
        self.tip = self.blocks.extend(self.tip, self.branch, vec![transaction]);
        self.inputs.push(Input::Tip(self.tip));
    }

    /// Mines empty blocks, seen at once.
    fn bury(&mut self, blocks: u32) {
        for _ in 0..blocks {
            self.tip = self.blocks.extend(self.tip, self.branch, Vec::new());
        }
        self.inputs.push(Input::Tip(self.tip));
    }

    fn mine_to(&mut self, height: u32) {
        let blocks = height.saturating_sub(self.tip.height.0);
        if blocks > 0 {
            self.bury(blocks);
        }
    }

    /// What is mined from here on takes the place of what came behind `fork`. The tip does not go
    /// back before there is a longer chain.
    fn go_back_to(&mut self, fork: BlockRef) {
        let lost = self.tip.height.0 - fork.height.0;
        self.branch += 1;
        self.tip = fork;
        // The new branch is as long as the old one before anything happens on it.
        for _ in 0..lost {
            self.tip = self.blocks.extend(self.tip, self.branch, Vec::new());
        }
    }
}

/// The HTLC of each part, with its channel.
fn htlcs_of(intent: &Intent) -> Vec<(ChannelId, Htlc)> {
    let parts = (0_u16..).map(PartIndex).zip(&intent.parts);
    parts.filter_map(|(index, part)| Some((part.channel_id, intent.htlc(index)?))).collect()
}

/// The same update with the HTLCs of another generation.
fn of_round(update: &MonitorUpdate, intent: &Intent) -> MonitorUpdate {
    let htlcs = htlcs_of(intent);
    let mut update = update.clone();
    for step in &mut update.steps {
        let UpdateStep::RemoteCommitment(commitment) = step else { continue };
        for added in &mut commitment.added {
            let HtlcAdded::New(htlc) = added else { continue };
            let same = htlcs
                .iter()
                .find(|(id, other)| *id == update.channel_id && other.htlc_id == htlc.htlc_id);
            if let Some((_, same)) = same {
                *htlc = same.clone();
            }
        }
    }
    update
}
