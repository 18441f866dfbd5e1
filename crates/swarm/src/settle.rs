//! The end of a run: faults are over, and everything comes to its end within a bound.

use lastword_bolt3::OutputKind;
use lastword_types::{EventKind, RemovalReason};

use crate::channel::Channel;
use crate::deal::{Claim, Deal, Decision};
use crate::dice::Dice;
use crate::htlc::Name;
use crate::knobs::Kind;
use crate::marks::Mark;
use crate::user::Manner;
use crate::world::{Broken, Done, World};

/// Blocks within which everything has to end: the longest expiry, and what follows from it.
const BLOCKS_MAX: u32 = 420;
/// No HTLC below it has an output in every commitment.
const DUST_MSAT: u64 = 2_000_000;
/// Times five blocks: more than the depth at which a channel is archived.
const WINTER: u32 = 31;
/// Rounds of work between two blocks.
const ROUNDS_MAX: usize = 40;

impl World {
    /// Lets everything come to its end.
    pub(crate) fn settle(&mut self, dice: &mut Dice) -> Done {
        self.say(|| "from here on nothing fails".to_owned());
        for node in 0..self.nodes.len() {
            let node_ref = &mut self.nodes[node];
            node_ref.book_fault = None;
            node_ref.is_forwards_older = false;
            node_ref.is_channels_older = false;
            self.wake(node, dice)?;
        }
        for deal in &mut self.deals {
            deal.decision.get_or_insert(if dice.percent(60) {
                Decision::Claim
            } else {
                Decision::Fail
            });
        }
        let end = self.height().0 + BLOCKS_MAX;
        let mut still = self.unfinished();
        while !still.is_empty() {
            if self.height().0 > end {
                return Err(Broken::new("L1 everything ends", still.join("; ")));
            }
            let moved = self.round(dice)?;
            let burst = if moved { 1 } else { 3 };
            for _ in 0..burst {
                self.chain.lock().mine(&bitcoin::ScriptBuf::new_op_return([]));
            }
            still = self.unfinished();
        }
        self.judge()?;
        if dice.percent(15) {
            self.winter(dice)?;
            self.judge()?;
        }
        Ok(())
    }

    /// So many blocks that everything is archived that may be; what was over stays over.
    fn winter(&mut self, dice: &mut Dice) -> Done {
        self.say(|| "winter".to_owned());
        for _ in 0..WINTER {
            for _ in 0..5 {
                self.chain.lock().mine_empty();
            }
            for node in 0..self.nodes.len() {
                self.nodes[node].switch.lock().put_fails =
                    self.knobs.kinds.contains(&Kind::Store) && dice.percent(50);
                self.steps += 1;
                self.poll(node, dice)?;
                self.take_advice(node, dice)?;
                self.tell(node, Manner::Well, dice)?;
            }
        }
        for node in 0..self.nodes.len() {
            self.nodes[node].kill();
            self.rise(node, dice)?;
            self.tell(node, Manner::Well, dice)?;
        }
        Ok(())
    }

    /// Everybody does what there is to do; says whether anything was done.
    fn round(&mut self, dice: &mut Dice) -> Result<bool, Broken> {
        let before = self.trace();
        for node in 0..self.nodes.len() {
            self.wake(node, dice)?;
            self.steps += 1;
            self.poll(node, dice)?;
            self.give_up_retries(node)?;
            self.take_advice(node, dice)?;
        }
        self.peer_goes_on_chain();
        self.offer_closings();
        self.peer_claims();
        for _ in 0..ROUNDS_MAX {
            let mark = self.trace();
            for node in 0..=self.nodes.len() {
                for task in self.tasks(node) {
                    // What came before may have done it.
                    if self.tasks(node).contains(&task) {
                        self.work(node, task, dice)?;
                    }
                }
                if self.is_own(node) {
                    self.give_up_retries(node)?;
                    self.take_advice(node, dice)?;
                    self.steps += 1;
                    self.tell(node, Manner::Well, dice)?;
                }
            }
            if self.trace() == mark {
                break;
            }
        }
        Ok(self.trace() != before)
    }

    /// Nothing is tried any more.
    fn give_up_retries(&mut self, node: usize) -> Done {
        let open: Vec<usize> = (0..self.deals.len())
            .filter(|at| {
                let deal = &self.deals[*at];
                deal.payer == node && deal.attempts_max > 1 && !deal.is_given_up
            })
            .collect();
        for at in open {
            self.deals[at].is_given_up = true;
            if self.deals[at].word().is_none() {
                self.abandon(at)?;
            }
        }
        Ok(())
    }

    /// Returns what has not come to its end.
    fn unfinished(&mut self) -> Vec<String> {
        let mut still = Vec::new();
        for number in 0..self.deals.len() {
            let deal = &self.deals[number];
            if !self.is_own(deal.payer) {
                continue;
            }
            if self.must_be_told(deal) && deal.word().is_none() && !deal.is_over {
                still.push(format!("payment {number} is not over"));
            }
            let (payer, id) = (deal.payer, deal.payment_id);
            if self.nodes[payer].call(|driver| driver.owes(id)) != Some(false) {
                still.push(format!("the id of payment {number} is not free"));
            }
        }
        for (number, deal) in self.deals.iter().enumerate() {
            let is_untold = |claim: &Claim| claim.is_durable && claim.told.is_none();
            if deal.claim.as_ref().is_some_and(is_untold) {
                still.push(format!("the claim of payment {number} is not told"));
            }
        }
        for channel in &self.channels {
            let index = channel.index;
            let is_stuck = self.silent[index] || channel.is_frozen;
            if channel.change.is_some() && !is_stuck {
                still.push(format!("channel {index} is in the middle of a change"));
            }
            let is_closed =
                self.chain.lock().spender(channel.parameters[0].funding_outpoint).is_some();
            let must_close = channel.is_frozen || channel.mutual.is_some();
            if must_close && !is_closed {
                still.push(format!("channel {index} is not closed"));
            }
            let live = channel
                .commitments
                .iter()
                .any(|of| of.last().is_some_and(|it| !it.names.is_empty()));
            if !is_closed && live {
                still.push(format!("HTLCs stand in channel {index}"));
            }
            still.extend(self.unswept(channel));
        }
        still
    }

    fn must_be_told(&self, deal: &Deal) -> bool {
        // Of a payment of which nothing was ever durable but the intent, an older book knows nothing.
        let is_forgettable = self.nodes[deal.payer].had_older_book && !deal.ever_left();
        !is_forgettable && (deal.ever_left() || deal.is_taken_on)
    }

    /// Returns the outputs of a closed channel that belong to one of our nodes and are not spent.
    fn unswept(&self, channel: &Channel) -> Vec<String> {
        let chain = self.chain.lock();
        let funding = channel.parameters[0].funding_outpoint;
        let closed = chain.spender(funding).and_then(|(txid, _)| channel.find(txid));
        let Some((owner, number)) = closed else { return Vec::new() };
        let built = &channel.commitments[owner][number].built;
        let is_revoked = (number as u64) < channel.revoked[owner];
        let is_own = |end: usize| self.is_own(channel.ends[end]);
        let mut unspent = Vec::new();
        for (output, vout) in built.outputs.iter().zip(0..) {
            let is_ours = match output.kind {
                OutputKind::ToLocal if is_revoked => is_own(1 - owner),
                OutputKind::ToLocal => is_own(owner),
                OutputKind::ToRemote => is_own(1 - owner),
                OutputKind::Htlc { .. } => true,
                OutputKind::Anchor(_) | OutputKind::SharedAnchor => false,
            };
            let outpoint = bitcoin::OutPoint { txid: built.txid(), vout };
            if is_ours && chain.utxo(outpoint).is_some() {
                let kind = &output.kind;
                unspent.push(format!(
                    "output {vout} ({kind:?}) of channel {} is unspent",
                    channel.index
                ));
            }
        }
        unspent
    }

    /// What must hold at the end of everything.
    fn judge(&mut self) -> Done {
        for at in 0..self.deals.len() {
            self.judge_payment(at)?;
            self.ask(at)?;
        }
        for index in 0..self.channels.len() {
            self.judge_forwards(index)?;
        }
        for at in 0..self.deals.len() {
            self.judge_claim(at)?;
        }
        for node in 0..self.nodes.len() {
            let ids: Vec<_> = (0..self.channels.len()).map(crate::ground::channel_id).collect();
            for id in ids {
                let archived = self.nodes[node].call(|driver| driver.archived(id));
                if let Some(Ok(Some(_))) = archived {
                    self.marks.hit(Mark::Archived);
                }
            }
        }
        Ok(())
    }

    /// I10: a payment that was paid is told as sent, and one that was not is told as failed.
    fn judge_payment(&self, at: usize) -> Done {
        let deal = &self.deals[at];
        if !self.is_own(deal.payer) {
            return Ok(());
        }
        let is_paid = deal.legs().any(|(index, name)| {
            self.is_paid(index, name) && !self.channels[index].htlcs[&name].is_failed
        });
        let unpaid = match deal.word() {
            Some(EventKind::Sent) => return Ok(()),
            Some(_) => is_paid,
            None => false,
        };
        if unpaid {
            let what = format!("payment {at} was paid, and told {:?}", deal.word());
            return Err(Broken::new("I10 conservation", what));
        }
        Ok(())
    }

    /// Says whether the recipient of an HTLC has what it is worth: by message, by its output, or as a
    /// part of its balance in the commitment that closed the channel.
    fn took(&self, index: usize, name: Name) -> bool {
        let channel = &self.channels[index];
        let funding = channel.parameters[0].funding_outpoint;
        let spend = self.chain.lock().spender(funding);
        let closed = spend.and_then(|(txid, _)| channel.find(txid));
        let removal = channel.htlcs.get(&name).and_then(|fact| fact.removal);
        let is_in_balance = closed.is_some_and(|(owner, number)| {
            matches!(removal, Some(RemovalReason::Fulfilled { .. }))
                && !channel.commitments[owner][number].names.contains(&name)
        });
        is_in_balance || self.is_paid(index, name)
    }

    /// Says whether a channel was closed by a commitment that its owner had revoked: then all that is
    /// in it is ours.
    fn took_all(&self, index: usize) -> bool {
        let channel = &self.channels[index];
        let funding = channel.parameters[0].funding_outpoint;
        let spend = self.chain.lock().spender(funding);
        let closed = spend.and_then(|(txid, _)| channel.find(txid));
        closed.is_some_and(|(owner, number)| (number as u64) < channel.revoked[owner])
    }

    /// I10: every part of a claimed payment was taken.
    fn judge_claim(&self, at: usize) -> Done {
        let deal = &self.deals[at];
        let Some(claim) = deal.claim.as_ref().filter(|claim| claim.is_durable) else {
            return Ok(());
        };
        for key in &claim.parts {
            let (index, name) = self.name_of(key, deal.recipient);
            let amount_msat = self.channels[index].htlcs[&name].amount_msat;
            let is_excused = amount_msat < DUST_MSAT || self.took_all(index);
            if !is_excused && !self.took(index, name) {
                let what =
                    format!("payment {at} is claimed, {name:?} of channel {index} is not paid");
                return Err(Broken::new("I10 conservation", what));
            }
        }
        Ok(())
    }

    /// I10: what was taken from us downstream, we took upstream.
    fn judge_forwards(&self, index: usize) -> Done {
        for (name, fact) in &self.channels[index].htlcs {
            let Some((upstream, inbound)) = fact.leg.inbound else { continue };
            let is_taken = self.is_paid(index, *name) && !fact.is_failed;
            // What has no output on chain is nobody's there.
            let is_dust = fact.amount_msat < DUST_MSAT;
            let is_excused = fact.is_failed_back || is_dust || self.took_all(upstream);
            if !is_taken || is_excused || self.took(upstream, inbound) {
                continue;
            }
            let what = format!(
                "{name:?} of channel {index} was taken, {inbound:?} of channel {upstream} was not"
            );
            return Err(Broken::new("I10 conservation", what));
        }
        Ok(())
    }
}
