//! [`Scenario`]: what happens in a run, made from a seed.
//!
//! The skeleton is fixed, so that every run has every kind of closing and of ending; formats,
//! amounts, orders and distances are drawn.

use std::fmt;

use lastword_types::{AmountMsat, CommitmentFormat, Side};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore as _, SeedableRng as _};

use crate::messages::ChannelSpec;
use crate::peer::Which;
use crate::seed::Seed;

/// What is to happen.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The seed that it was made from.
    pub seed: Seed,
    /// The channels, by number.
    pub channels: Vec<ChannelSpec>,
    /// The payments, by number.
    pub payments: Vec<PaymentPlan>,
    /// The HTLCs that the peer offers, by number.
    pub offers: Vec<OfferPlan>,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// A payment that the node makes.
#[derive(Debug, Clone)]
pub struct PaymentPlan {
    /// Its parts.
    pub parts: Vec<PartPlan>,
    /// The parts of its second attempt, if the first one fails and it is tried again.
    pub retry: Vec<PartPlan>,
    /// Blocks from its sending to the expiry of its HTLCs.
    pub expires_in: u32,
}

/// One part of a payment.
#[derive(Debug, Clone, Copy)]
pub struct PartPlan {
    /// The channel.
    pub channel: u16,
    /// What of it reaches the recipient.
    pub amount_msat: AmountMsat,
    /// What it costs.
    pub fee_msat: AmountMsat,
    /// What becomes of it.
    pub ending: Ending,
}

/// What the peer makes of an HTLC of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Fulfilled by message.
    Fulfilled,
    /// Failed by message.
    Failed,
    /// Claimed on chain as soon as the channel is closed.
    Claimed,
    /// Claimed on chain just before it expires.
    ClaimedLate,
    /// Never claimed: it expires, is trimmed, or is not in the commitment that confirms.
    Lost,
}

impl Ending {
    /// Says whether the recipient shows the preimage.
    pub fn is_paid(self) -> bool {
        matches!(self, Self::Fulfilled | Self::Claimed | Self::ClaimedLate)
    }
}

/// An HTLC that the peer offers: a part of a payment to the node.
#[derive(Debug, Clone, Copy)]
pub struct OfferPlan {
    /// The channel.
    pub channel: u16,
    /// The first part of the same payment.
    pub first: u16,
    /// Its amount.
    pub amount_msat: AmountMsat,
    /// Blocks from the offer to its expiry.
    pub expires_in: u32,
}

/// One thing that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// The node opens a channel.
    Open(u16),
    /// Blocks are mined, and the node follows.
    Mine(u32),
    /// The peer offers an HTLC.
    Offer(u16),
    /// The node pays; a payment that was made before is made once more under the same id.
    Pay(u16),
    /// The node tries a payment again that failed.
    Retry(u16),
    /// The node asks for the peer's changes in a channel.
    Settle(u16),
    /// The node claims the payment of which an offer is the first part.
    Learn(u16),
    /// The node fulfils an offer by message.
    FulfillOffer(u16),
    /// The node fails an offer by message.
    FailOffer(u16),
    /// The peer keeps its revocations in a channel for itself.
    Withhold(u16),
    /// The node fails a channel.
    FailChannel(u16),
    /// The peer broadcasts a commitment of its own.
    PeerClose(u16, Which),
    /// The peer broadcasts a commitment that it has revoked.
    Breach {
        /// The channel.
        channel: u16,
        /// How many of the peer's commitments came after it.
        newer: u16,
        /// Blocks that come before the node hears of it.
        head_start: u32,
    },
    /// Both close a channel together.
    Close(u16),
    /// Blocks leave and others come that hold the same transactions.
    Reorg(u32),
    /// The block with the close of this channel leaves, and the peer's commitment confirms instead.
    ReorgClose(u16),
    /// The block with a claim of the peer in this channel leaves, and another transaction that
    /// claims the same output confirms instead.
    ReorgClaim(u16),
    /// The peer takes something out of a channel; so many tries were made before.
    Splice(u16, u16),
    /// A block comes with this try of a channel's splice and nothing else.
    MineSplice(u16, u16),
    /// The splice of a channel that is confirmed is locked.
    LockSplice(u16),
    /// The block with the splice of a channel leaves, and a commitment that the peer had revoked
    /// before it confirms instead.
    Unsplice {
        /// The channel.
        channel: u16,
        /// How many of the peer's commitments came after it.
        newer: u16,
    },
    /// Blocks are mined until everything is resolved.
    Finish,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open(channel) => write!(f, "opens channel {channel}"),
            Self::Mine(blocks) => write!(f, "{blocks} blocks come"),
            Self::Offer(offer) => write!(f, "the peer offers HTLC {offer}"),
            Self::Pay(payment) => write!(f, "sends payment {payment}"),
            Self::Retry(payment) => write!(f, "tries payment {payment} again"),
            Self::Settle(channel) => write!(f, "hears the peer in channel {channel}"),
            Self::Learn(offer) => write!(f, "claims the payment that offer {offer} begins"),
            Self::FulfillOffer(offer) => write!(f, "fulfils offer {offer}"),
            Self::FailOffer(offer) => write!(f, "fails offer {offer}"),
            Self::Withhold(channel) => write!(f, "the peer falls silent in channel {channel}"),
            Self::FailChannel(channel) => write!(f, "fails channel {channel}"),
            Self::PeerClose(channel, _) => write!(f, "the peer closes channel {channel}"),
            Self::Breach { channel, .. } => {
                write!(f, "the peer breaks its word in channel {channel}")
            }
            Self::Close(channel) => write!(f, "both close channel {channel}"),
            Self::Reorg(depth) => write!(f, "{depth} blocks are reorganised away"),
            Self::ReorgClose(channel) => write!(f, "a reorg changes who closed channel {channel}"),
            Self::ReorgClaim(channel) => write!(f, "a reorg changes a claim in channel {channel}"),
            Self::Splice(channel, 0) => write!(f, "splices channel {channel}"),
            Self::Splice(channel, _) => write!(f, "splices channel {channel} with a higher fee"),
            Self::MineSplice(channel, _) => write!(f, "the splice of channel {channel} is mined"),
            Self::LockSplice(channel) => write!(f, "locks the splice of channel {channel}"),
            Self::Unsplice { channel, .. } => {
                write!(f, "a reorg takes the splice of channel {channel}, and the peer its chance")
            }
            Self::Finish => f.write_str("blocks come until everything is resolved"),
        }
    }
}

/// What a channel of the demo is for.
mod role {
    pub(super) const OURS: [u16; 2] = [0, 1];
    pub(super) const THEIRS: [u16; 2] = [2, 3];
    pub(super) const PREVIOUS: u16 = 4;
    pub(super) const REORGED: u16 = 5;
    pub(super) const MUTUAL: u16 = 6;
    pub(super) const OPEN: u16 = 7;
    pub(super) const BREACHED: [u16; 2] = [8, 9];
    pub(super) const UNSPLICED: u16 = 10;
    pub(super) const COUNT: u16 = 11;
}

/// Draws from a seed.
#[derive(Debug)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// Makes the dice of one purpose.
    pub fn new(seed: Seed, purpose: &str) -> Self {
        Self(ChaCha8Rng::from_seed(seed.bytes(purpose, 0)))
    }

    /// Draws a number below `bound`, which must not be 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0.next_u32() % bound
    }

    /// Draws a number from `low` up to and with `high`.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// Puts a list into another order.
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            let bound = u32::try_from(last + 1).unwrap_or(u32::MAX);
            // The draw is at most `last`, which is an index.
            list.swap(last, self.below(bound) as usize);
        }
    }
}

impl Scenario {
    /// Makes the scenario of the demo: eleven channels, every kind of closing, at least sixteen
    /// payments.
    pub fn demo(seed: Seed) -> Self {
        let mut dice = Dice::new(seed, "scenario");
        let channels = channels(&mut dice);
        let mut builder = Builder { dice, payments: Vec::new(), offers: Vec::new() };
        let mut steps: Vec<Step> = (0..role::COUNT).map(Step::Open).collect();
        steps.push(Step::Mine(builder.dice.between(1, 6)));
        let offers = builder.received(&mut steps);
        builder.by_message(&mut steps);
        builder.splices(&mut steps);
        builder.on_chain(&mut steps);
        builder.closings(&mut steps, &offers);
        builder.unspliced(role::UNSPLICED, &mut steps);
        steps.extend([Step::Unsplice { channel: role::UNSPLICED, newer: 4 }, Step::Finish]);
        let Builder { payments, offers, .. } = builder;
        Self { seed, channels, payments, offers, steps }
    }

    /// Makes a scenario that is small enough to be run with a crash at each of its boundaries: two
    /// channels closed by either side, four payments, among them one of two parts that end
    /// differently.
    pub fn small(seed: Seed) -> Self {
        let mut dice = Dice::new(seed, "small scenario");
        let mut specs = channels(&mut dice);
        specs.truncate(2);
        specs[0].format = CommitmentFormat::AnchorsZeroFeeHtlc;
        specs[1].format = CommitmentFormat::StaticRemoteKey;
        let mut builder = Builder { dice, payments: Vec::new(), offers: Vec::new() };
        let (ours, theirs) = (0, 1);
        let mut steps = vec![Step::Open(ours), Step::Open(theirs), Step::Mine(1)];
        let offer = builder.offers([ours, theirs], &mut steps);
        builder.pay(&[(ours, Ending::Failed)], &mut steps);
        steps.extend([Step::Settle(ours), Step::Pay(0), Step::Settle(ours)]);
        builder.pay(&[(ours, Ending::Claimed), (theirs, Ending::Lost)], &mut steps);
        builder.pay(&[(theirs, Ending::Lost)], &mut steps);
        builder.pay(&[(theirs, Ending::Fulfilled)], &mut steps);
        steps.extend([
            Step::Settle(theirs),
            Step::Learn(offer),
            Step::FailChannel(ours),
            Step::Mine(1),
            Step::PeerClose(theirs, Which::Current),
            Step::Mine(1),
            Step::ReorgClaim(ours),
            Step::Finish,
        ]);
        let Builder { payments, offers, .. } = builder;
        Self { seed, channels: specs, payments, offers, steps }
    }

    /// Makes a scenario of one channel in which the peer breaks its word, small enough to be run
    /// with a crash at each of its boundaries. HTLCs of both directions stand in the revoked
    /// commitment, and the peer takes one of them before the node hears of it.
    pub fn breach(seed: Seed, format: CommitmentFormat) -> Self {
        let mut dice = Dice::new(seed, "breach scenario");
        let mut specs = channels(&mut dice);
        specs.truncate(1);
        specs[0].format = format;
        let mut builder = Builder { dice, payments: Vec::new(), offers: Vec::new() };
        let channel = 0;
        let mut steps = vec![Step::Open(channel), Step::Mine(1)];
        builder.offer(channel, &mut steps);
        builder.pay(&[(channel, Ending::Claimed)], &mut steps);
        builder.pay(&[(channel, Ending::Lost)], &mut steps);
        builder.pay(&[(channel, Ending::Fulfilled)], &mut steps);
        steps.extend([
            Step::Settle(channel),
            Step::Breach { channel, newer: 1, head_start: 2 },
            Step::Mine(1),
            Step::Reorg(2),
            Step::Finish,
        ]);
        let Builder { payments, offers, .. } = builder;
        Self { seed, channels: specs, payments, offers, steps }
    }

    /// Makes a scenario of one channel that is spliced, small enough to be run with a crash at each
    /// of its boundaries. HTLCs of both directions stand before the splice, come while two tries of
    /// it are not locked, and end after it: by message, and on the new funding.
    pub fn splice(seed: Seed, format: CommitmentFormat) -> Self {
        let mut dice = Dice::new(seed, "splice scenario");
        let mut specs = channels(&mut dice);
        specs.truncate(1);
        specs[0].format = format;
        let mut builder = Builder { dice, payments: Vec::new(), offers: Vec::new() };
        let channel = 0;
        let mut steps = vec![Step::Open(channel), Step::Mine(1)];
        let offer = builder.offer(channel, &mut steps);
        builder.pay(&[(channel, Ending::Claimed)], &mut steps);
        steps.push(Step::Splice(channel, 0));
        builder.pay(&[(channel, Ending::Fulfilled)], &mut steps);
        steps.extend([Step::Settle(channel), Step::Splice(channel, 1)]);
        builder.pay(&[(channel, Ending::Lost)], &mut steps);
        builder.offer(channel, &mut steps);
        steps.extend([Step::MineSplice(channel, 1), Step::Reorg(1), Step::LockSplice(channel)]);
        builder.pay(&[(channel, Ending::Failed)], &mut steps);
        builder.pay(&[(channel, Ending::Lost)], &mut steps);
        steps.extend([
            Step::Settle(channel),
            Step::Learn(offer),
            Step::PeerClose(channel, Which::Current),
            Step::Mine(1),
            Step::Finish,
        ]);
        let Builder { payments, offers, .. } = builder;
        Self { seed, channels: specs, payments, offers, steps }
    }

    /// Makes a scenario of one channel whose splice a reorg takes away, so that the peer can break its
    /// word on the funding before it.
    pub fn unsplice(seed: Seed, format: CommitmentFormat) -> Self {
        let mut dice = Dice::new(seed, "unsplice scenario");
        let mut specs = channels(&mut dice);
        specs.truncate(1);
        specs[0].format = format;
        let mut builder = Builder { dice, payments: Vec::new(), offers: Vec::new() };
        let mut steps = vec![Step::Open(0), Step::Mine(1)];
        builder.unspliced(0, &mut steps);
        steps.extend([Step::Unsplice { channel: 0, newer: 4 }, Step::Finish]);
        let Builder { payments, offers, .. } = builder;
        Self { seed, channels: specs, payments, offers, steps }
    }

    /// Makes a scenario of two channels in which every payment fails at first and is tried again,
    /// small enough to be run with a crash at each of its boundaries: the second attempt ends by
    /// message either way, and on chain either way.
    pub fn retried(seed: Seed) -> Self {
        let mut dice = Dice::new(seed, "retried scenario");
        let mut specs = channels(&mut dice);
        specs.truncate(2);
        let mut builder = Builder { dice, payments: Vec::new(), offers: Vec::new() };
        let (open, closed) = (0, 1);
        let mut steps = vec![Step::Open(open), Step::Open(closed), Step::Mine(1)];
        for ending in [Ending::Fulfilled, Ending::Failed, Ending::Claimed, Ending::Lost] {
            let payment = builder.pay(&[(open, Ending::Failed)], &mut steps);
            let plan = &mut builder.payments[usize::from(payment)];
            let fee_msat = AmountMsat(plan.parts[0].fee_msat.0 + 7);
            plan.retry = vec![PartPlan { channel: closed, fee_msat, ending, ..plan.parts[0] }];
            steps.extend([Step::Settle(open), Step::Retry(payment), Step::Settle(closed)]);
        }
        steps.extend([Step::FailChannel(closed), Step::Mine(1), Step::Finish]);
        let Builder { payments, offers, .. } = builder;
        Self { seed, channels: specs, payments, offers, steps }
    }

    /// Says whether the peer breaks its word in a channel.
    pub fn is_breached(&self, channel: u16) -> bool {
        let is_this = |step: &Step| {
            matches!(step, Step::Breach { channel: of, .. } | Step::Unsplice { channel: of, .. }
                if *of == channel)
        };
        self.steps.iter().any(is_this)
    }

    /// Says whether each part of a payment that may be paid for stands where the peer breaks its
    /// word.
    pub fn is_contested(&self, payment: u16) -> bool {
        let parts = &self.payments[usize::from(payment)].parts;
        let is_contested = |part: &PartPlan| match part.ending {
            Ending::Claimed | Ending::ClaimedLate => self.is_breached(part.channel),
            Ending::Fulfilled | Ending::Failed => false,
            Ending::Lost => true,
        };
        parts.iter().all(is_contested)
    }

    /// Returns how many rounds of a payment the steps ask for.
    pub fn rounds_of(&self, payment: u16) -> usize {
        self.steps.iter().filter(|step| **step == Step::Pay(payment)).count()
    }
}

fn channels(dice: &mut Dice) -> Vec<ChannelSpec> {
    // Each format for three channels or four.
    let mut formats = [
        CommitmentFormat::StaticRemoteKey,
        CommitmentFormat::AnchorsZeroFeeHtlc,
        CommitmentFormat::ZeroFee,
    ]
    .repeat(4);
    formats.truncate(usize::from(role::COUNT));
    dice.shuffle(&mut formats);
    formats
        .into_iter()
        .map(|format| ChannelSpec {
            format,
            opener: if dice.below(2) == 0 { Side::Local } else { Side::Remote },
            local_msat: AmountMsat(u64::from(dice.between(600_000, 900_000)) * 1_000),
            remote_msat: AmountMsat(u64::from(dice.between(300_000, 500_000)) * 1_000),
            to_self_delay: u16::try_from(dice.between(4, 9)).unwrap_or(9),
        })
        .collect()
}

/// The offers of the demo, by what becomes of them.
struct Offers {
    learned_before: u16,
    learned_after: u16,
}

struct Builder {
    dice: Dice,
    payments: Vec<PaymentPlan>,
    offers: Vec<OfferPlan>,
}

impl Builder {
    /// HTLCs of the peer: some that we claim on chain, some that it takes back, some by message.
    fn received(&mut self, steps: &mut Vec<Step>) -> Offers {
        let learned_before = self.offers([role::OURS[0], role::THEIRS[0]], steps);
        let learned_after = self.offers([role::THEIRS[1], role::PREVIOUS], steps);
        let [quick, slow] = role::BREACHED;
        for channel in [role::OURS[1], role::THEIRS[1], role::REORGED, quick, slow] {
            self.offer(channel, steps);
        }
        let fulfilled = self.offer(role::OPEN, steps);
        let failed = self.offer(role::OPEN, steps);
        steps.extend([Step::FulfillOffer(fulfilled), Step::FailOffer(failed)]);
        Offers { learned_before, learned_after }
    }

    /// Payments that end by message, and one id that is used again.
    fn by_message(&mut self, steps: &mut Vec<Step>) {
        use Ending::{Failed, Fulfilled};
        self.pay(&[(role::OPEN, Fulfilled)], steps);
        steps.push(Step::Settle(role::OPEN));
        let failed = self.pay(&[(role::OPEN, Failed)], steps);
        steps.push(Step::Settle(role::OPEN));
        self.pay(&[(role::MUTUAL, Fulfilled)], steps);
        steps.extend([Step::Settle(role::MUTUAL), Step::Mine(1)]);
        steps.extend([Step::Pay(failed), Step::Settle(role::OPEN)]);
        self.pay(&[(role::OPEN, Failed), (role::MUTUAL, Failed)], steps);
        steps.extend([Step::Settle(role::OPEN), Step::Settle(role::MUTUAL)]);
    }

    /// Payments that end on chain, in any order; then those that the peer takes and never revokes.
    fn on_chain(&mut self, steps: &mut Vec<Step>) {
        use Ending::{Claimed, ClaimedLate, Failed, Fulfilled, Lost};
        let [ours, ours_too] = role::OURS;
        let [theirs, theirs_too] = role::THEIRS;
        let [quick, slow] = role::BREACHED;
        let mut plans: Vec<Vec<(u16, Ending)>> = vec![
            vec![(ours, Claimed), (theirs, Lost)],
            vec![(ours_too, Lost), (theirs_too, Lost)],
            vec![(role::OPEN, Failed), (ours_too, Claimed)],
            vec![(role::OPEN, Fulfilled), (theirs_too, Claimed)],
            vec![(theirs, Claimed)],
            vec![(theirs, Lost)],
            vec![(ours_too, ClaimedLate)],
            vec![(role::PREVIOUS, Claimed)],
            vec![(role::PREVIOUS, Lost)],
            vec![(role::REORGED, Claimed)],
            vec![(role::REORGED, Lost), (ours, ClaimedLate)],
            vec![(quick, Lost), (slow, Lost)],
            vec![(quick, Claimed)],
            vec![(slow, Claimed)],
            vec![(slow, Lost), (theirs, Claimed)],
        ];
        for _ in 0..self.dice.below(4) {
            let channel = u16::try_from(self.dice.below(u32::from(role::MUTUAL))).unwrap_or(0);
            let ending = [Claimed, ClaimedLate, Lost][self.dice.below(3) as usize];
            plans.push(vec![(channel, ending)]);
        }
        self.dice.shuffle(&mut plans);
        for plan in &plans {
            self.pay(plan, steps);
            if self.dice.below(4) == 0 {
                steps.push(Step::Mine(1));
            }
        }
        self.dust(&[ours, theirs_too], steps);
        // What stands there now is revoked by what comes after it.
        for channel in role::BREACHED {
            self.pay(&[(channel, Fulfilled)], steps);
            steps.push(Step::Settle(channel));
        }
        steps.push(Step::Settle(role::OPEN));
        steps.push(Step::Withhold(role::PREVIOUS));
        let withheld = [(role::PREVIOUS, Lost), (theirs, Claimed)];
        let alone = self.dice.below(2) == 0;
        self.pay(&withheld[..if alone { 1 } else { 2 }], steps);
        steps.push(Step::Mine(1));
    }

    /// Two channels are spliced, the second one by its second try; both pay on meanwhile.
    fn splices(&mut self, steps: &mut Vec<Step>) {
        let [first, second] = [role::OURS[1], role::THEIRS[1]];
        steps.extend([Step::Splice(first, 0), Step::Splice(second, 0), Step::Splice(second, 1)]);
        self.pay(&[(first, Ending::Fulfilled), (second, Ending::Fulfilled)], steps);
        steps.extend([
            Step::Settle(first),
            Step::Settle(second),
            Step::MineSplice(first, 0),
            Step::MineSplice(second, 1),
            Step::Reorg(self.dice.between(1, 2)),
            Step::LockSplice(first),
            Step::LockSplice(second),
        ]);
    }

    /// A channel with HTLCs that is spliced; the peer has revoked what it had before, and four
    /// commitments came after that.
    fn unspliced(&mut self, channel: u16, steps: &mut Vec<Step>) {
        use Ending::{Claimed, Fulfilled, Lost};
        self.offer(channel, steps);
        self.pay(&[(channel, Claimed)], steps);
        self.pay(&[(channel, Lost)], steps);
        for when in 0..2 {
            self.pay(&[(channel, Fulfilled)], steps);
            steps.push(Step::Settle(channel));
            if when == 0 {
                steps.extend([
                    Step::Splice(channel, 0),
                    Step::MineSplice(channel, 0),
                    Step::LockSplice(channel),
                ]);
            }
        }
    }

    /// Payments that are too small to have an output.
    fn dust(&mut self, channels: &[u16], steps: &mut Vec<Step>) {
        for channel in channels {
            let payment = self.pay(&[(*channel, Ending::Lost)], steps);
            let amount = AmountMsat(u64::from(self.dice.between(100_000, 300_000)));
            self.payments[usize::from(payment)].parts[0].amount_msat = amount;
        }
    }

    /// Every kind of closing, in any order, and the reorgs.
    fn closings(&mut self, steps: &mut Vec<Step>, offers: &Offers) {
        steps.push(Step::Learn(offers.learned_before));
        let mut closings = vec![
            Step::FailChannel(role::OURS[1]),
            Step::PeerClose(role::THEIRS[0], Which::Current),
            Step::PeerClose(role::THEIRS[1], Which::Current),
            Step::PeerClose(role::PREVIOUS, Which::Previous),
            Step::Breach { channel: role::BREACHED[0], newer: 1, head_start: 2 },
            Step::Breach { channel: role::BREACHED[1], newer: 2, head_start: 0 },
            Step::Close(role::MUTUAL),
        ];
        self.dice.shuffle(&mut closings);
        for closing in closings {
            steps.push(closing);
            if self.dice.below(2) == 0 {
                steps.push(Step::Mine(1));
            }
        }
        steps.push(Step::Mine(1));
        steps.push(Step::Reorg(self.dice.between(1, 3)));
        steps.push(Step::Learn(offers.learned_after));
        steps.extend([
            Step::FailChannel(role::REORGED),
            Step::Mine(1),
            Step::ReorgClose(role::REORGED),
            Step::FailChannel(role::OURS[0]),
            // The commitment, then the claim.
            Step::Mine(1),
            Step::Mine(1),
            Step::ReorgClaim(role::OURS[0]),
            Step::Mine(1),
            Step::Reorg(self.dice.between(1, 5)),
        ]);
    }

    fn pay(&mut self, parts: &[(u16, Ending)], steps: &mut Vec<Step>) -> u16 {
        let payment = u16::try_from(self.payments.len()).unwrap_or(u16::MAX);
        let parts = parts
            .iter()
            .map(|(channel, ending)| PartPlan {
                channel: *channel,
                amount_msat: AmountMsat(u64::from(self.dice.between(10_000_000, 40_000_000))),
                fee_msat: AmountMsat(u64::from(self.dice.between(1, 5_000))),
                ending: *ending,
            })
            .collect();
        let expires_in = self.dice.between(34, 44);
        self.payments.push(PaymentPlan { parts, retry: Vec::new(), expires_in });
        steps.push(Step::Pay(payment));
        payment
    }

    /// A payment of the peer in two parts; its first part.
    fn offers(&mut self, [first, second]: [u16; 2], steps: &mut Vec<Step>) -> u16 {
        let [first, second] = [first, second].map(|channel| self.offer(channel, steps));
        // The hash is that of the first part.
        self.offers[usize::from(second)].first = first;
        first
    }

    fn offer(&mut self, channel: u16, steps: &mut Vec<Step>) -> u16 {
        let offer = u16::try_from(self.offers.len()).unwrap_or(u16::MAX);
        let amount_msat = AmountMsat(u64::from(self.dice.between(10_000_000, 30_000_000)));
        // Far enough that the channel closes before the node would do it by itself.
        let expires_in = self.dice.between(44, 52);
        self.offers.push(OfferPlan { channel, first: offer, amount_msat, expires_in });
        steps.push(Step::Offer(offer));
        offer
    }
}
