//! [`Run`]: does what a scenario says, to any node.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::Transaction;
use lastword_types::{AmountMsat, BlockHeight, ChannelId, PaymentHash, PaymentPreimage};

use crate::error::SimError;
use crate::messages::{Answer, Command, LedgerLine, PayOrder, PayPart};
use crate::node::{Node, Shell};
use crate::outside::{Outside, SharedOutside};
use crate::peer::{Fate, Which};
use crate::scenario::{Ending, PartPlan, Scenario, Step};
use crate::world::accounts::{Account, account};

/// Blocks that a run may need beyond the last expiry, before it counts as stuck.
const PATIENCE: u32 = 120;

/// The failure code of HTLCs that the peer fails by message (BOLT 4: permanent, 15).
const FAIL_CODE: u16 = 0x400f;

/// Blocks before the expiry in which a late claim is made.
const LATE: u32 = 4;

/// A node that may die, and that is brought back until it has done what it was told.
pub trait Workforce {
    /// Has a command done.
    ///
    /// # Errors
    ///
    /// [`SimError`] if something is broken that should not be.
    fn command(&mut self, command: &Command) -> Result<Answer, SimError>;
}

/// A node that never dies.
impl<S: Shell> Workforce for Node<S> {
    fn command(&mut self, command: &Command) -> Result<Answer, SimError> {
        self.obey(command)
    }
}

/// One try of a payment.
#[derive(Debug, Clone)]
pub struct Try {
    /// Which payment of the scenario.
    pub payment: u16,
    /// Which try.
    pub round: u16,
    /// What the node was told.
    pub order: PayOrder,
    /// Whether an HTLC of it left the node.
    pub has_left: bool,
    /// Whether the recipient is to show the preimage, if it gets the HTLCs.
    pub is_to_be_paid: bool,
    /// Whether the recipient can show it only in a claim that races a penalty.
    pub is_contested: bool,
}

/// An HTLC that the peer offered.
#[derive(Debug, Clone, Copy)]
pub struct OfferEnd {
    /// Which offer of the scenario.
    pub offer: u16,
    /// Its channel.
    pub channel: u16,
    /// Its hash.
    pub payment_hash: PaymentHash,
    /// Whether the node was told to claim it and to leave the rest to the chain.
    pub is_learned: bool,
}

/// A payment that the node was told to claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedEnd {
    /// What it was to be claimed with.
    pub preimage: PaymentPreimage,
    /// What its parts are worth together.
    pub amount_msat: AmountMsat,
    /// Their channels.
    pub channels: BTreeSet<ChannelId>,
}

/// What a run came to.
#[derive(Debug)]
pub struct Outcome {
    /// Every payment that was begun, in order.
    pub tries: Vec<Try>,
    /// What the ledgers hold at the end.
    pub ledger: Vec<LedgerLine>,
    /// Where the value of each channel went.
    pub accounts: Vec<Account>,
    /// Every HTLC that the peer offered.
    pub offers: Vec<OfferEnd>,
    /// Every payment that the node was told to claim.
    pub received: Vec<ReceivedEnd>,
    /// How many reorgs there were.
    pub reorgs: u32,
}

impl Outcome {
    /// Returns how many channels a commitment closed that the peer had revoked.
    pub fn breaches(&self) -> usize {
        self.accounts.iter().filter(|account| account.is_breached).count()
    }
}

/// Does what a scenario says.
#[derive(Debug)]
pub struct Run<'a, W> {
    scenario: &'a Scenario,
    outside: SharedOutside,
    node: &'a mut W,
    tries: Vec<Try>,
    /// Tries of each payment so far.
    rounds: BTreeMap<u16, u16>,
    reorgs: u32,
}

impl<'a, W: Workforce> Run<'a, W> {
    /// Prepares a run.
    pub fn new(scenario: &'a Scenario, outside: SharedOutside, node: &'a mut W) -> Self {
        Self { scenario, outside, node, tries: Vec::new(), rounds: BTreeMap::new(), reorgs: 0 }
    }

    /// Does every step, and says before each which it is.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the run cannot go on.
    pub fn run(mut self, progress: &mut dyn FnMut(usize, Step)) -> Result<Outcome, SimError> {
        for (place, step) in self.scenario.steps.iter().enumerate() {
            progress(place, *step);
            self.step(*step)?;
        }
        let ledger = self.look()?;
        let accounts = self.accounts()?;
        let (offers, received) = (self.offers(), self.received());
        let Self { tries, reorgs, .. } = self;
        Ok(Outcome { tries, ledger, accounts, offers, received, reorgs })
    }

    fn offers(&self) -> Vec<OfferEnd> {
        let Scenario { seed, offers, steps, .. } = self.scenario;
        (0..)
            .zip(offers)
            .map(|(offer, plan)| OfferEnd {
                offer,
                channel: plan.channel,
                payment_hash: seed.offer_preimage(plan.first).payment_hash(),
                is_learned: steps.contains(&Step::Learn(plan.first)),
            })
            .collect()
    }

    fn received(&self) -> Vec<ReceivedEnd> {
        let Scenario { seed, offers, steps, .. } = self.scenario;
        let claimed = steps.iter().filter_map(|step| {
            let (Step::Learn(first) | Step::FulfillOffer(first)) = step else { return None };
            Some(*first)
        });
        let parts = |first| offers.iter().filter(move |plan| plan.first == first);
        let end = |first| ReceivedEnd {
            preimage: seed.offer_preimage(first),
            amount_msat: AmountMsat(parts(first).map(|plan| plan.amount_msat.0).sum()),
            channels: parts(first).map(|plan| seed.channel_id(plan.channel)).collect(),
        };
        claimed.map(end).collect()
    }

    fn step(&mut self, step: Step) -> Result<(), SimError> {
        match step {
            Step::Open(channel) => {
                let spec = self.scenario.channels[usize::from(channel)];
                self.done(&Command::Open { channel, spec })
            }
            Step::Mine(blocks) => self.mine(blocks),
            Step::Offer(offer) => self.offer(offer),
            Step::Pay(payment) => self.pay(payment),
            Step::Retry(payment) => self.retry(payment),
            Step::Settle(channel) => self.done(&Command::Settle { channel }),
            Step::Learn(offer) => {
                let parts = self.scenario.offers.iter().filter(|plan| plan.first == offer);
                let channels = parts.map(|plan| plan.channel).collect();
                let preimage = self.scenario.seed.offer_preimage(offer);
                self.done(&Command::Claim { channels, preimage })
            }
            Step::FulfillOffer(offer) => self.remove(offer, true),
            Step::FailOffer(offer) => self.remove(offer, false),
            Step::Withhold(channel) => self.outside.lock().peer.withhold(channel),
            Step::FailChannel(channel) => self.done(&Command::FailChannel { channel }),
            Step::PeerClose(channel, which) => self.peer_close(channel, which, 0),
            Step::Breach { channel, newer, head_start } => {
                self.peer_close(channel, Which::Revoked { newer }, head_start)
            }
            Step::Close(channel) => self.done(&Command::Close { channel }),
            Step::Reorg(depth) => self.reorg(depth),
            Step::ReorgClose(channel) => self.reorg_close(channel),
            Step::ReorgClaim(channel) => self.reorg_claim(channel),
            Step::Splice(channel, attempt) => self.done(&Command::Splice { channel, attempt }),
            Step::MineSplice(channel, attempt) => self.mine_splice(channel, attempt),
            Step::LockSplice(channel) => self.done(&Command::LockSplice { channel }),
            Step::Unsplice { channel, newer } => self.unsplice(channel, newer),
            Step::Finish => self.finish(),
        }
    }

    fn done(&mut self, command: &Command) -> Result<(), SimError> {
        match self.node.command(command)? {
            Answer::Done => Ok(()),
            Answer::IdTaken => Err(SimError::new("the payment id is taken")),
            Answer::Ledger(_) => Err(SimError::new("the node answers something else")),
            Answer::Failed(why) => Err(SimError::with("the node could not obey", why)),
        }
    }

    fn mine(&mut self, blocks: u32) -> Result<(), SimError> {
        self.outside.lock().mine(blocks)?;
        self.done(&Command::Poll)
    }

    fn offer(&mut self, offer: u16) -> Result<(), SimError> {
        let plan = self.scenario.offers[usize::from(offer)];
        {
            let mut outside = self.outside.lock();
            let hash = self.scenario.seed.offer_preimage(plan.first).payment_hash();
            let expiry = BlockHeight(outside.height() + plan.expires_in);
            outside.peer.offer(plan.channel, plan.amount_msat, hash, expiry)?;
        }
        self.done(&Command::Settle { channel: plan.channel })
    }

    fn remove(&mut self, offer: u16, is_fulfilled: bool) -> Result<(), SimError> {
        let channel = self.scenario.offers[usize::from(offer)].channel;
        let preimage = self.scenario.seed.offer_preimage(offer);
        let payment_hash = preimage.payment_hash();
        let preimage = is_fulfilled.then_some(preimage);
        self.done(&Command::Remove { channel, payment_hash, preimage })
    }

    /// Pays, once more where a crash came before anything left; each try is a payment of its own
    /// with the same id, as a caller would do it.
    fn pay(&mut self, payment: u16) -> Result<(), SimError> {
        // A kill between the intent and the HTLCs is rare, and several in a row are rarer.
        for _ in 0..8 {
            let round = *self.rounds.get(&payment).unwrap_or(&0);
            let (order, is_to_be_paid) = self.order(payment, round);
            let is_contested = is_to_be_paid && self.scenario.is_contested(payment);
            self.done_paying(&order)?;
            let has_left = {
                let outside = self.outside.lock();
                let hash = order.payment_hash;
                order.parts.iter().any(|part| outside.peer.has_seen(part.channel, hash))
            };
            self.rounds.insert(payment, round + 1);
            self.tries.push(Try { payment, round, order, has_left, is_to_be_paid, is_contested });
            if has_left {
                return Ok(());
            }
        }
        Err(SimError::new("a payment did not leave the node in eight tries"))
    }

    /// The id may be taken for a moment: an older book that came back must first hear that the
    /// payment before is over.
    fn done_paying(&mut self, order: &PayOrder) -> Result<(), SimError> {
        for _ in 0..4 {
            match self.node.command(&Command::Pay(Box::new(order.clone())))? {
                Answer::Done => return Ok(()),
                Answer::IdTaken => {}
                Answer::Ledger(_) => {
                    return Err(SimError::new("the node answers something else"));
                }
                Answer::Failed(why) => {
                    return Err(SimError::with("the node could not pay", why));
                }
            }
        }
        Err(SimError::new("the payment id stays taken"))
    }

    /// Makes the order of one try and tells the peer what to do with its HTLCs.
    fn order(&self, payment: u16, round: u16) -> (PayOrder, bool) {
        let plan = &self.scenario.payments[usize::from(payment)];
        let preimage = self.scenario.seed.preimage(payment, round);
        self.outside.lock().peer.learn(preimage);
        self.order_of((payment, round, 0), &plan.parts)
    }

    /// Tries the last round of a payment again; both attempts are one try of the payment.
    fn retry(&mut self, payment: u16) -> Result<(), SimError> {
        let place = self.tries.iter().rposition(|one| one.payment == payment);
        let place = place.ok_or(SimError::new("a payment is tried again that never began"))?;
        let round = self.tries[place].round;
        let retry = &self.scenario.payments[usize::from(payment)].retry;
        let (order, is_to_be_paid) = self.order_of((payment, round, 1), retry);
        self.done_paying(&order)?;
        let one = &mut self.tries[place];
        one.is_to_be_paid |= is_to_be_paid;
        one.order.fee_msat = order.fee_msat;
        one.order.parts.extend(order.parts);
        Ok(())
    }

    /// Makes the order of one attempt.
    fn order_of(
        &self,
        (payment, round, attempt): (u16, u16, u32),
        part_plans: &[PartPlan],
    ) -> (PayOrder, bool) {
        let seed = self.scenario.seed;
        let plan = &self.scenario.payments[usize::from(payment)];
        let payment_hash = seed.preimage(payment, round).payment_hash();
        let mut outside = self.outside.lock();
        let cltv_expiry = BlockHeight(outside.height() + plan.expires_in);
        let is_last = self.is_last_use(payment);
        let (mut total_msat, mut fee_msat, mut is_to_be_paid) = (0, 0, false);
        let mut parts = Vec::new();
        for part in part_plans {
            let fate = match part.ending {
                // The second use of an id ends the other way.
                Ending::Failed if is_last && self.scenario.rounds_of(payment) > 1 => {
                    Fate::FulfillByMessage
                }
                Ending::Fulfilled => Fate::FulfillByMessage,
                Ending::Failed => Fate::FailByMessage { code: FAIL_CODE },
                Ending::Claimed => Fate::ClaimOnChain { from: BlockHeight(0) },
                Ending::ClaimedLate => {
                    Fate::ClaimOnChain { from: BlockHeight(cltv_expiry.0 - LATE) }
                }
                Ending::Lost => Fate::Ignore,
            };
            is_to_be_paid |= matches!(fate, Fate::FulfillByMessage | Fate::ClaimOnChain { .. });
            outside.peer.decide(part.channel, payment_hash, fate);
            total_msat += part.amount_msat.0;
            fee_msat += part.fee_msat.0;
            parts.push(PayPart {
                channel: part.channel,
                amount_msat: AmountMsat(part.amount_msat.0 + part.fee_msat.0),
                part_amount_msat: part.amount_msat,
                cltv_expiry,
            });
        }
        let order = PayOrder {
            payment_id: seed.payment_id(payment),
            generation: seed.generation(payment, round),
            attempt,
            attempts_max: if plan.retry.is_empty() { 1 } else { 2 },
            payment_hash,
            total_msat: AmountMsat(total_msat),
            fee_msat: AmountMsat(fee_msat),
            parts,
            metadata: format!("payment {payment}").into_bytes(),
        };
        (order, is_to_be_paid)
    }

    /// Says whether the steps ask for no further payment under this id; tries that never left do
    /// not count.
    fn is_last_use(&self, payment: u16) -> bool {
        let left = self.tries.iter().filter(|one| one.payment == payment && one.has_left).count();
        left + 1 == self.scenario.rounds_of(payment)
    }

    fn peer_close(&mut self, channel: u16, which: Which, head_start: u32) -> Result<(), SimError> {
        {
            let mut outside = self.outside.lock();
            let commitment = outside.peer.commitment(channel, which)?;
            outside.close(commitment)?;
            outside.mine(head_start)?;
        }
        self.done(&Command::Poll)
    }

    fn reorg(&mut self, depth: u32) -> Result<(), SimError> {
        {
            let mut outside = self.outside.lock();
            outside.disconnect(depth)?;
            outside.mine(depth + 1)?;
        }
        self.reorgs += 1;
        self.done(&Command::Poll)
    }

    fn reorg_close(&mut self, channel: u16) -> Result<(), SimError> {
        {
            let mut outside = self.outside.lock();
            let depth = depth_of(&outside, |outside| {
                let close = outside.peer.closed(channel, &outside.index)?;
                Some(close.height)
            })?;
            let commitment = outside.peer.commitment(channel, Which::Current)?;
            replace(&mut outside, depth, &[commitment])?;
        }
        self.reorgs += 1;
        self.done(&Command::Poll)
    }

    fn mine_splice(&mut self, channel: u16, attempt: u16) -> Result<(), SimError> {
        {
            let mut outside = self.outside.lock();
            let splice = outside.peer.splice_transaction(channel, attempt)?.clone();
            outside.mine_with(&[splice])?;
        }
        self.done(&Command::Poll)
    }

    fn unsplice(&mut self, channel: u16, newer: u16) -> Result<(), SimError> {
        {
            let mut outside = self.outside.lock();
            let depth = depth_of(&outside, |outside| {
                outside.peer.first_spend(channel, &outside.index).map(|spend| spend.height)
            })?;
            let commitment = outside.peer.commitment(channel, Which::Revoked { newer })?;
            replace(&mut outside, depth, &[commitment])?;
        }
        self.reorgs += 1;
        self.done(&Command::Poll)
    }

    fn reorg_claim(&mut self, channel: u16) -> Result<(), SimError> {
        {
            let mut outside = self.outside.lock();
            let claimed = outside.peer_claim(channel)?;
            let depth = depth_of(&outside, |outside| {
                outside.index.spend(claimed).map(|spend| spend.height)
            })?;
            outside.peer.bump();
            let Outside { peer, index, .. } = &mut *outside;
            let other = peer
                .other_claim(claimed, index)?
                .ok_or(SimError::new("the peer cannot claim this output in another way"))?;
            replace(&mut outside, depth, &[other])?;
        }
        self.reorgs += 1;
        self.done(&Command::Poll)
    }

    /// Mines until every payment is released and every output is where it belongs.
    fn finish(&mut self) -> Result<(), SimError> {
        let last_expiry =
            self.tries.iter().flat_map(|one| &one.order.parts).map(|part| part.cltv_expiry.0);
        let stop = last_expiry.max().unwrap_or(0) + PATIENCE;
        loop {
            let height = self.outside.lock().height();
            if self.is_resolved()? {
                return Ok(());
            }
            if height >= stop {
                return Err(SimError::with("the run is stuck", self.open_ends()?));
            }
            // Now and then a burst of blocks.
            self.mine(if height.is_multiple_of(7) { 3 } else { 1 })?;
        }
    }

    fn is_resolved(&mut self) -> Result<bool, SimError> {
        // The accounts cost more than a look at the ledgers.
        Ok(self.look()?.iter().all(|line| line.is_released)
            && self.accounts()?.iter().all(|account| account.unresolved_sat == 0))
    }

    fn open_ends(&mut self) -> Result<String, SimError> {
        let mut ends = Vec::new();
        for account in self.accounts()? {
            if account.unresolved_sat > 0 {
                ends.push(format!(
                    "{} sat of channel {} are unresolved",
                    account.unresolved_sat, account.channel
                ));
            }
        }
        for line in self.look()?.iter().filter(|line| !line.is_released) {
            ends.push(format!(
                "HTLC {} of channel {} is not released ({:?})",
                line.htlc_id, line.channel, line.verdict
            ));
        }
        Ok(ends.join("; "))
    }

    fn look(&mut self) -> Result<Vec<LedgerLine>, SimError> {
        match self.node.command(&Command::Look)? {
            Answer::Ledger(lines) => Ok(lines),
            Answer::Failed(why) => Err(SimError::with("the node could not look", why)),
            Answer::Done | Answer::IdTaken => Err(SimError::new("the node answers something else")),
        }
    }

    fn accounts(&self) -> Result<Vec<Account>, SimError> {
        let outside = self.outside.lock();
        outside.peer.channels().map(|channel| account(&outside, channel)).collect()
    }
}

/// Returns how many blocks must leave so that the block at a height is gone.
fn depth_of(outside: &Outside, height: impl Fn(&Outside) -> Option<u32>) -> Result<u32, SimError> {
    let height = height(outside).ok_or(SimError::new("nothing is there to be reorganised away"))?;
    Ok(outside.height() - height + 1)
}

/// Takes blocks away and mines others, the first one with these transactions alone.
fn replace(
    outside: &mut Outside,
    depth: u32,
    transactions: &[Transaction],
) -> Result<(), SimError> {
    outside.disconnect(depth)?;
    outside.mine_with(transactions)?;
    outside.mine(depth)
}
