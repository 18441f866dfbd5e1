//! A life: the inputs of one scenario, made once, and the truth about its payments.

use std::sync::Arc;

use bitcoin::Transaction;
use lastword_types::{
    AmountMsat, BlockHeight, BlockRef, ChannelId, CommitmentFormat, Generation, Htlc, HtlcAdded,
    HtlcId, Intent, IntentPart, Metadata, MonitorUpdate, NewChannel, PartIndex, PaymentId,
    PaymentPreimage, RemovalReason, Side, Terms, UpdateStep,
};

use crate::chain::Blocks;
use crate::channel::{Channel, Which};
use crate::oracle::Heard;
use crate::scenario::{Close, End, Fate, Reorg, Scenario, Shape};

/// How often a payment may have to be begun: once, and again after each crash that it did not
/// survive.
const ROUNDS: u8 = 4;
const FEE_MSAT: u64 = 1_000;
/// The expiry of the HTLCs in the first channel, and in the second.
const EXPIRIES: [u32; 2] = [20, 60];
const FAILURE_CODE: u16 = 0x400f;

/// One thing that happens.
#[derive(Debug, Clone)]
pub(crate) enum Input {
    /// The caller sends a payment, by its place in the list.
    Send(usize),
    /// The channels move.
    Updates(Vec<MonitorUpdate>),
    /// The chain's tip is here now.
    Tip(BlockRef),
}

/// A payment, in each of the rounds that it may take to send it.
#[derive(Debug)]
pub(crate) struct Payment {
    /// What to send in each round: they differ in nothing but the generation.
    pub(crate) rounds: Vec<(Intent, Vec<MonitorUpdate>)>,
    /// Whether somebody gets the preimage, if it is sent at all.
    pub(crate) is_paid: bool,
}

/// A scenario made ready.
#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) blocks: Arc<Blocks>,
    pub(crate) birth: BlockRef,
    pub(crate) born: Vec<NewChannel>,
    pub(crate) payments: Vec<Payment>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) heard: Heard,
}

/// A life in the making.
struct Making {
    scenario: Scenario,
    blocks: Blocks,
    tip: BlockRef,
    branch: u32,
    channels: Vec<Channel>,
    payments: Vec<Payment>,
    inputs: Vec<Input>,
}

impl Life {
    pub(crate) fn of(scenario: Scenario) -> Self {
        let (blocks, birth) = Blocks::begin();
        let format = CommitmentFormat::AnchorsZeroFeeHtlc;
        let count = if scenario.shape == Shape::Direct { 1 } else { 2 };
        let channels: Vec<Channel> =
            (0..count).map(|index| Channel::new(ChannelId([0xc0 + index; 32]), format)).collect();
        let born = channels.iter().map(|channel| channel.born_at(birth)).collect();
        let mut making = Making {
            scenario,
            blocks,
            tip: birth,
            branch: 0,
            channels,
            payments: Vec::new(),
            inputs: Vec::new(),
        };
        making.make();
        let Making { blocks, payments, inputs, .. } = making;
        let heard = Heard::default();
        Self { blocks: Arc::new(blocks), birth, born, payments, inputs, heard }
    }
}

impl Making {
    fn make(&mut self) {
        let Scenario { shape, fate, other, .. } = self.scenario;
        let parts: &[usize] = match shape {
            Shape::Direct => &[0],
            Shape::TwoParts => &[0, 1],
            Shape::ThreeParts => &[0, 1, 1],
        };
        let has_other = shape != Shape::Direct;
        let is_paid = self.scenario.is_paid() || has_other && other == Fate::Fulfilled;
        let ids = self.pay(1, parts, is_paid);
        let second =
            matches!(fate, Fate::Closed(Close::Revoked, _)).then(|| self.pay(2, &[0], false));
        // What ends off chain does so before the expiry.
        if has_other {
            self.settle_off_chain(1, &ids[1..], other);
        }
        match fate {
            Fate::Fulfilled | Fate::Failed => self.settle_off_chain(0, &ids[..1], fate),
            Fate::Closed(close, end) => self.close(close, end, ids[0]),
        }
        if let (true, Fate::Closed(..)) = (has_other, other) {
            self.close_other(&ids[1..]);
        }
        debug_assert!(second.is_none_or(|ids| ids.len() == 1));
    }

    /// Sends a payment and takes the answers of its channels in.
    fn pay(&mut self, number: u8, parts: &[usize], is_paid: bool) -> Vec<HtlcId> {
        let preimage = PaymentPreimage([number; 32]);
        let sat = if self.scenario.is_dust { 300 } else { 50_000 };
        let parts: Vec<IntentPart> = parts
            .iter()
            .enumerate()
            .map(|(at, channel)| IntentPart {
                channel_id: ChannelId([0xc0 + u8::try_from(*channel).expect("two channels"); 32]),
                htlc_id: self.channels[*channel].take_htlc_id(),
                amount_msat: AmountMsat(sat * 1_000 + if at == 0 { FEE_MSAT } else { 0 }),
                part_amount_msat: AmountMsat(sat * 1_000),
                cltv_expiry: BlockHeight(EXPIRIES[*channel]),
            })
            .collect();
        let count = u64::try_from(parts.len()).expect("few parts");
        let intent = |round: u8| Intent {
            payment_id: PaymentId([number; 32]),
            generation: Generation([number * 16 + round; 16]),
            attempt: 0,
            payment_hash: preimage.payment_hash(),
            total_msat: AmountMsat(sat * 1_000 * count),
            fee_msat: AmountMsat(FEE_MSAT),
            parts: parts.clone(),
            metadata: Metadata::Here(vec![number]),
            terms: Terms::default(),
        };
        let first = intent(0);
        let htlcs = htlcs_of(&first);
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
        let rounds = (0..ROUNDS).map(|round| {
            let intent = intent(round);
            let updates = updates.iter().map(|update| of_round(update, &intent)).collect();
            (intent, updates)
        });
        self.payments.push(Payment { rounds: rounds.collect(), is_paid });
        self.inputs.push(Input::Send(self.payments.len() - 1));
        self.inputs.push(Input::Updates(answers));
        parts.iter().map(|part| part.htlc_id).collect()
    }

    fn settle_off_chain(&mut self, channel: usize, ids: &[HtlcId], fate: Fate) {
        let reason = match fate {
            Fate::Fulfilled => RemovalReason::Fulfilled { preimage: PaymentPreimage([1; 32]) },
            Fate::Failed => RemovalReason::Failed { code: FAILURE_CODE },
            Fate::Closed(..) => return,
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
        self.mine(self.channels[0].closing(which));
        let which = if self.scenario.reorg == Reorg::Swap {
            let other = newest(which.owner.other());
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
        let is_penalty = close == Close::Revoked;
        let claim = |making: &Self, end| match end {
            End::Claimed => {
                making.channels[0].peers_claim(which, htlc_id, PaymentPreimage([1; 32]))
            }
            End::TakenBack => making.channels[0].our_claim(which, htlc_id, is_penalty),
        };
        if end == End::TakenBack && !is_penalty {
            self.mine_to(EXPIRIES[0]);
        }
        let before = self.tip;
        self.mine(claim(self, end));
        match self.scenario.reorg {
            Reorg::None | Reorg::Swap => {}
            Reorg::OneBlock => {
                self.go_back_to(before);
                self.bury(1);
                self.mine(claim(self, end));
            }
            Reorg::BelowFinality => {
                self.bury(4);
                self.go_back_to(before);
                let other = match end {
                    End::Claimed => End::TakenBack,
                    End::TakenBack => End::Claimed,
                };
                self.mine_to(EXPIRIES[0]);
                self.mine(claim(self, other));
            }
        }
    }

    /// Nothing resolves what has no output but the depth of the closing.
    fn resolve_dust(&mut self, closed: BlockRef) {
        let depth = match self.scenario.reorg {
            Reorg::None | Reorg::Swap => return,
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
        let which = Which { owner: Side::Local, behind_newest: 0 };
        self.mine(self.channels[1].closing(which));
        self.mine_to(EXPIRIES[1]);
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
