//! What a node does when it has time: the dance, forwards, payments that came in, advice.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use lastword_engine::EngineError;
use lastword_ports::InboundState;
use lastword_reload::Action;
use lastword_types::{
    ANTI_REORG_DELAY, AmountMsat, ChannelId, EARLY_FAIL_BACK_BLOCKS, HtlcFailure, HtlcId, HtlcKey,
    PaymentPreimage, RemovalReason, UpdateId, UpdateStep,
};

use crate::channel::Channel;
use crate::dice::Dice;
use crate::ground::{Wallet, channel_id, channel_of};
use crate::htlc::Name;
use crate::marks::Mark;
use crate::node::{Tried, What};
use crate::oracle::{OnChain, on_chain};
use crate::world::{Broken, Done, World, why};

/// Something that a node may do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// The next stage in a channel.
    Advance(usize),
    /// The change that removes what is wanted removed.
    Remove(usize),
    Forward(usize, Name),
    /// What came in of a payment.
    Payment(usize),
    /// Its half of a mutual close.
    Close(usize),
    /// The claims of a channel that closed before it could remove what it has the preimage of.
    Claim(usize),
}

impl World {
    /// Returns what a node may do now.
    pub(crate) fn tasks(&self, node: usize) -> Vec<Task> {
        let mut tasks = Vec::new();
        if self.is_own(node) && !self.nodes[node].is_up() {
            return tasks;
        }
        for channel in &self.channels {
            let Some(end) = channel.end_of(node) else { continue };
            let index = channel.index;
            if !self.is_own(node) && self.silent[index] {
                continue;
            }
            if !channel.is_frozen && channel.turn() == Some(end) {
                tasks.push(Task::Advance(index));
            }
            if channel.is_idle() && !channel.wanted(end).is_empty() {
                tasks.push(Task::Remove(index));
            }
            if self.is_own(node) && channel.mutual.is_some() && !channel.knows_mutual[end] {
                tasks.push(Task::Close(index));
            }
            if self.is_own(node) && channel.is_frozen && !unclaimed(channel, end).is_empty() {
                tasks.push(Task::Claim(index));
            }
            for (name, fact) in &channel.htlcs {
                let is_last = fact.leg.hop + 1 == fact.leg.route.len();
                let is_open = fact.is_committed && fact.removal.is_none() && fact.wanted.is_none();
                let is_mine = name.receiver() == end && !fact.is_claimed;
                if is_mine
                    && !is_last
                    && is_open
                    && fact.leg.outbound.is_none()
                    && !self.is_settled(index, *name)
                {
                    tasks.push(Task::Forward(index, *name));
                }
            }
        }
        for (number, deal) in self.deals.iter().enumerate() {
            if deal.recipient == node && !self.arrived(number).is_empty() {
                tasks.push(Task::Payment(number));
            }
        }
        tasks
    }

    /// Says whether the inbound half of a forward is settled, as the node's own book has it.
    fn is_settled(&self, index: usize, name: Name) -> bool {
        let channel = &self.channels[index];
        let key = channel.key(name, name.receiver());
        let node = &self.nodes[channel.ends[name.receiver()]];
        node.forwards.lock().0.get(&key) == Some(&InboundState::Resolved)
    }

    pub(crate) fn work(&mut self, node: usize, task: Task, dice: &mut Dice) -> Done {
        match task {
            Task::Advance(index) => self.advance(index),
            Task::Remove(index) => {
                let end = self.channels[index].end_of(node).unwrap_or(0);
                if !self.is_open_to(index, node) {
                    return self.look_at_panics();
                }
                let merged = [dice.percent(50), dice.percent(50)];
                self.say(|| format!("node {node} removes HTLCs of channel {index}"));
                self.channels[index].begin_remove(end, merged);
                self.advance(index)
            }
            Task::Forward(index, name) => self.forward(dice, index, name),
            Task::Payment(number) if self.is_own(node) => self.settle_payment(dice, number),
            Task::Payment(number) => {
                self.whim(dice, number);
                Ok(())
            }
            Task::Close(index) => self.tell_close(index, node),
            Task::Claim(index) => {
                let end = self.channels[index].end_of(node).unwrap_or(0);
                let unclaimed = unclaimed(&self.channels[index], end);
                let claim = |(name, preimage): &(Name, PaymentPreimage)| UpdateStep::ClaimHtlc {
                    htlc_id: HtlcId(name.id),
                    preimage: *preimage,
                };
                let steps = unclaimed.iter().map(claim).collect();
                let names = unclaimed.into_iter().map(|(name, _)| name).collect();
                let tried = self.plain(index, end, What::Claim(names), steps);
                self.update(node, vec![tried])
            }
        }
    }

    /// Says whether a node may go on in a channel; one that is closing is frozen.
    fn is_open_to(&mut self, index: usize, node: usize) -> bool {
        if !self.is_own(node) {
            return true;
        }
        match self.nodes[node].stand(channel_id(index)) {
            Some((_, true)) => true,
            Some((_, false)) => {
                self.say(|| format!("channel {index} is closing, to node {node}"));
                self.channels[index].is_frozen = true;
                false
            }
            None => false,
        }
    }

    /// The next stage of the dance in a channel.
    fn advance(&mut self, index: usize) -> Done {
        let Some(end) = self.channels[index].turn() else { return Ok(()) };
        let node = self.channels[index].ends[end];
        let stage = self.channels[index].change.as_ref().map_or(0, |change| change.stage);
        self.say(|| format!("channel {index}: stage {stage}, by node {node}"));
        if !self.is_own(node) {
            self.channels[index].stage_said();
            let bound = self.channels[index].stage_done();
            self.bound_by_peer(index, &bound);
            return Ok(());
        }
        if !self.is_open_to(index, node) {
            return self.look_at_panics();
        }
        if stage == 1 {
            self.name_outbound(index, node);
        }
        let Some(update) = self.channels[index].stage_update() else { return Ok(()) };
        self.update(node, vec![Tried { channel: index, end, what: What::Stage, update }])
    }

    /// A node that hears of HTLCs that it may send on names those downstream.
    fn name_outbound(&mut self, index: usize, node: usize) {
        let Some(change) = &self.channels[index].change else { return };
        for name in change.added.clone() {
            let Some(fact) = self.channels[index].htlcs.get(&name) else { continue };
            let leg = fact.leg.clone();
            let Some(next) = leg.route.get(leg.hop + 1).copied() else { continue };
            let Some(end) = self.channels[next].end_of(node) else { continue };
            if !leg.is_named || leg.reserved.is_some() {
                continue;
            }
            let outbound = self.channels[next].reserve(end);
            if let Some(fact) = self.channels[index].htlcs.get_mut(&name) {
                fact.leg.reserved = Some((next, outbound));
            }
        }
    }

    /// Takes the advice of a node's driver.
    pub(crate) fn take_advice(&mut self, node: usize, dice: &mut Dice) -> Done {
        let Some(advice) = self.nodes[node].call(lastword_engine::Driver::take_advice) else {
            return self.look_at_panics();
        };
        for planned in advice {
            self.note(&(node, &planned.action));
            self.say(|| format!("node {node} is advised: {}", planned.action));
            match planned.action {
                Action::ClaimInbound { inbound, outbound, preimage } => {
                    self.claim_inbound((node, inbound, outbound), preimage, dice)?;
                }
                Action::FailInbound { inbound, outbound, reason } => {
                    self.fail_inbound((node, inbound, outbound), reason)?;
                }
                Action::Retry { generation, attempt, .. } => {
                    let Some(number) = self.deal_of(generation) else { continue };
                    if dice.percent(60) {
                        self.retry(dice, number, attempt)?;
                    } else {
                        self.abandon(number)?;
                    }
                }
                Action::FulfillHtlc { htlc, preimage } => self.fulfill(node, &htlc, preimage),
                Action::DecideInbound { inbound, .. } => self.check_undecided(node, &inbound)?,
                Action::ManagerBehind { channel_id, have, durable } => {
                    self.catch_up(node, (channel_id, have, durable))?;
                }
                Action::MonitorBehind { .. } | Action::ReportUnknownForward { .. } => {
                    let what = format!("node {node}: {}", planned.action);
                    return Err(Broken::new("false advice", what));
                }
                Action::Record(_)
                | Action::Tell { .. }
                | Action::Release(_)
                | Action::Wait { .. }
                | Action::Claim(_)
                | Action::WaitForPart { .. }
                | Action::GiveUp(_)
                | Action::NoteUnknown { .. }
                | Action::NoteInboundOnChain { .. }
                | Action::MarkChannelClosed { .. }
                | Action::ReplayUpdate(_)
                | Action::UpdatesDurable { .. } => {}
            }
        }
        Ok(())
    }

    fn claim_inbound(
        &mut self,
        (node, inbound, outbound): (usize, HtlcKey, HtlcKey),
        preimage: PaymentPreimage,
        dice: &mut Dice,
    ) -> Done {
        let (down, out) = self.name_of(&outbound, node);
        if !self.is_shown(down, out) {
            return Err(Broken::new(
                "I3 evidence",
                format!("HTLC {out:?} of channel {down} was never paid"),
            ));
        }
        let (index, name) = self.name_of(&inbound, node);
        let end = name.receiver();
        let is_frozen = self.channels[index].is_frozen;
        let Some(fact) = self.channels[index].htlcs.get_mut(&name) else { return Ok(()) };
        if let Some(RemovalReason::Failed { .. }) = fact.removal {
            let is_excused = self.channels[down].htlcs[&out].is_failed_back;
            let what = format!(
                "HTLC {name:?} of channel {index} was failed, and its outbound half is paid"
            );
            return if is_excused { Ok(()) } else { Err(Broken::new("I11 failback", what)) };
        }
        if fact.removal.is_some() || fact.is_claimed {
            self.resolve_inbound(inbound, node);
            return Ok(());
        }
        fact.wanted = Some(RemovalReason::Fulfilled { preimage });
        self.marks.hit(Mark::ForwardClaimed);
        let is_busy = self.channels[index].change.is_some();
        if is_frozen || is_busy || dice.percent(50) {
            let steps = vec![UpdateStep::ClaimHtlc { htlc_id: HtlcId(name.id), preimage }];
            let tried = self.plain(index, end, What::Claim(vec![name]), steps);
            return self.update(node, vec![tried]);
        }
        Ok(())
    }

    /// A part of a payment that is claimed is fulfilled by message.
    fn fulfill(&mut self, node: usize, htlc: &HtlcKey, preimage: PaymentPreimage) {
        let (index, name) = self.name_of(htlc, node);
        if let Some(fact) = self.channels[index].htlcs.get_mut(&name) {
            fact.is_claimed = true;
            fact.wanted.get_or_insert(RemovalReason::Fulfilled { preimage });
        }
    }

    /// An inbound half that is said to have no outbound half has none.
    fn check_undecided(&self, node: usize, inbound: &HtlcKey) -> Done {
        let (index, name) = self.name_of(inbound, node);
        let Some(fact) = self.channels[index].htlcs.get(&name) else { return Ok(()) };
        let Some((next, outbound)) = fact.leg.outbound else { return Ok(()) };
        let channel = &self.channels[next];
        let is_begun =
            |change: &crate::channel::Change| change.stage == 0 && change.added.contains(&outbound);
        if channel.change.as_ref().is_some_and(is_begun) || !channel.htlcs.contains_key(&outbound) {
            return Ok(());
        }
        let what =
            format!("{name:?} of channel {index} was forwarded, and node {node} may decide on it");
        Err(Broken::new("R12 forwards", what))
    }

    fn fail_inbound(
        &mut self,
        (node, inbound, outbound): (usize, HtlcKey, HtlcKey),
        reason: HtlcFailure,
    ) -> Done {
        let (down, out) = self.name_of(&outbound, node);
        let (index, name) = self.name_of(&inbound, node);
        if reason == HtlcFailure::FailedBack {
            let expiry = self.channels[index].htlcs.get(&name).map_or(0, |fact| fact.expiry);
            // A node may be some blocks behind, never ahead.
            if self.height().0 + EARLY_FAIL_BACK_BLOCKS < expiry {
                return Err(Broken::new(
                    "I11 failback",
                    format!("{name:?} of channel {index}: too early"),
                ));
            }
            if let Some(fact) = self.channels[down].htlcs.get_mut(&out) {
                fact.is_failed_back = true;
            }
        } else {
            self.check_fail_back(node, &outbound)?;
        }
        let Some(fact) = self.channels[index].htlcs.get_mut(&name) else { return Ok(()) };
        if fact.removal.is_some() {
            self.resolve_inbound(inbound, node);
            return Ok(());
        }
        if fact.wanted.is_none() && !fact.is_claimed {
            self.marks.hit(Mark::ForwardFailed);
            fact.wanted = Some(RemovalReason::Failed { code: 0x2002 });
        }
        Ok(())
    }

    /// A manager that was older hears how far its channel is, and gets the updates.
    fn catch_up(
        &mut self,
        node: usize,
        (id, have, durable): (ChannelId, UpdateId, UpdateId),
    ) -> Done {
        let index = channel_of(id);
        let Some(end) = self.channels[index].end_of(node) else { return Ok(()) };
        let latest = self.channels[index].latest[end];
        let updates = self.nodes[node].call(|driver| driver.updates_after(id, have));
        let wrong =
            |what: String| Err(Broken::new("manager behind", format!("channel {index}: {what}")));
        match updates {
            None | Some(Err(EngineError::Store(_) | EngineError::UpdatesCompacted { .. })) => {
                self.look_at_panics()
            }
            Some(Err(error)) => wrong(why(&error)),
            Some(Ok(updates)) => {
                let ids: Vec<u64> = updates.iter().map(|update| update.update_id.0).collect();
                let wanted: Vec<u64> = (have.0 + 1..=durable.0.max(latest.0)).collect();
                if ids == wanted { Ok(()) } else { wrong(format!("{ids:?} instead of {wanted:?}")) }
            }
        }
    }

    /// Gives a payment up.
    pub(crate) fn abandon(&mut self, number: usize) -> Done {
        let (payer, id) = (self.deals[number].payer, self.deals[number].payment_id);
        self.say(|| format!("payment {number} is given up"));
        let result = self.nodes[payer].call(|driver| driver.abandon_payment(id));
        self.look_at_panics()?;
        match result {
            None | Some(Err(EngineError::Store(_) | EngineError::Payment(_))) => Ok(()),
            Some(Ok(())) => {
                self.marks.hit(Mark::Abandoned);
                Ok(())
            }
            Some(Err(error)) => Err(Broken::new("refusal", why(&error))),
        }
    }

    /// A node fails a channel.
    pub(crate) fn fail_channel(&mut self, index: usize, node: usize) -> Done {
        let Some(end) = self.channels[index].end_of(node) else { return Ok(()) };
        if !self.nodes[node].is_up() || !self.is_open_to(index, node) {
            return self.look_at_panics();
        }
        self.say(|| format!("node {node} fails channel {index}"));
        self.marks.hit(Mark::ForceClose);
        let tried = self.plain(index, end, What::Fail, vec![UpdateStep::FailChannel]);
        self.update(node, vec![tried])
    }

    /// Both ends agree to close a channel without HTLCs.
    pub(crate) fn agree_to_close(&mut self, index: usize) -> Done {
        let channel = &self.channels[index];
        let is_empty =
            channel.commitments.iter().all(|of| of.last().is_some_and(|it| it.names.is_empty()));
        if !channel.is_idle() || !is_empty || self.silent[index] {
            return Ok(());
        }
        let ends = channel.ends;
        if ends.iter().any(|node| self.is_own(*node) && !self.nodes[*node].is_up())
            || !ends.iter().all(|node| self.is_open_to(index, *node))
        {
            return self.look_at_panics();
        }
        self.say(|| format!("the ends of channel {index} agree to close it"));
        self.marks.hit(Mark::MutualClose);
        let transaction = self.closing(index);
        let own = ends.map(|node| self.is_own(node));
        let channel = &mut self.channels[index];
        channel.mutual = Some(transaction);
        channel.is_frozen = true;
        channel.knows_mutual = own.map(|is_own| !is_own);
        for node in ends {
            if self.is_own(node) {
                self.tell_close(index, node)?;
            }
        }
        Ok(())
    }

    fn closing(&mut self, index: usize) -> Transaction {
        let channel = &mut self.channels[index];
        let balances = channel.balances(0).map(AmountMsat::to_sat_floor);
        let fee = Amount::from_sat(1_000);
        let output = |node: usize, value: Amount| TxOut {
            value,
            script_pubkey: Wallet::sweeps_of(node).script,
        };
        let own = balances[0].checked_sub(fee).unwrap_or(Amount::ZERO);
        let mut transaction = Transaction {
            version: Version::TWO,
            lock_time: LockTime::ZERO,
            input: vec![TxIn {
                previous_output: channel.parameters[0].funding_outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::MAX,
                witness: Witness::new(),
            }],
            output: vec![output(channel.ends[0], own), output(channel.ends[1], balances[1])],
        };
        channel.sign_closing(&mut transaction);
        transaction
    }

    /// A node writes down that a channel is closed by both; when both have, it is.
    fn tell_close(&mut self, index: usize, node: usize) -> Done {
        let channel = &self.channels[index];
        let (Some(end), Some(transaction)) = (channel.end_of(node), channel.mutual.clone()) else {
            return Ok(());
        };
        if !self.nodes[node].is_up() {
            return Ok(());
        }
        let steps = vec![UpdateStep::MutualClose { txid: transaction.compute_txid() }];
        let tried = self.plain(index, end, What::Mutual, steps);
        self.update(node, vec![tried])
    }

    /// Offers the closing transactions that both ends durably know; a commitment may be quicker.
    pub(crate) fn offer_closings(&self) {
        for channel in self.channels.iter().filter(|it| it.knows_mutual == [true, true]) {
            if let Some(transaction) = channel.mutual.clone() {
                drop(self.chain.lock().submit(transaction));
            }
        }
    }

    /// Brings a node's forward book up to date with what the chain has settled for good.
    pub(crate) fn bury_forwards(&mut self, node: usize) {
        let open: Vec<HtlcKey> = {
            let forwards = self.nodes[node].forwards.lock();
            let open = forwards.0.iter().filter(|(_, state)| **state == InboundState::Open);
            open.map(|(key, _)| *key).collect()
        };
        for key in open {
            let (index, name) = self.name_of(&key, node);
            let is_over = {
                let chain = self.chain.lock();
                let is_deep = |height: u32| chain.height().0 + 1 >= height + ANTI_REORG_DELAY;
                match on_chain(&self.channels[index], &chain, name) {
                    OnChain::Nothing | OnChain::Unspent(_) => false,
                    OnChain::Absent(height) | OnChain::Spent(height, _) => is_deep(height),
                }
            };
            if is_over {
                self.resolve_inbound(key, node);
            }
        }
    }
}

/// Returns the HTLCs that an end wants to fulfil and its monitor does not know how.
fn unclaimed(channel: &Channel, end: usize) -> Vec<(Name, PaymentPreimage)> {
    let theirs = channel.htlcs.iter().filter(|(name, fact)| {
        name.receiver() == end && fact.removal.is_none() && !fact.is_claimed
    });
    let claims = theirs.filter_map(|(name, fact)| match fact.wanted {
        Some(RemovalReason::Fulfilled { preimage }) => Some((*name, preimage)),
        Some(RemovalReason::Failed { .. }) | None => None,
    });
    claims.collect()
}
