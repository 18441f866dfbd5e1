//! The oracle: what may be told of a payment, from the chain, from what the ends of each channel
//! said to each other, and from what callers asked. It never looks into a node.

use bitcoin::{OutPoint, Transaction};
use lastword_regtest::Chain;
use lastword_reload::PaymentStatus;
use lastword_types::{
    ANTI_REORG_DELAY, Alarm, Event, EventKind, Generation, HtlcDirection, HtlcKey, Outcome,
    PaymentHash, PaymentPreimage,
};

use crate::channel::Channel;
use crate::deal::Deal;
use crate::ground::channel_of;
use crate::htlc::Name;
use crate::marks::Mark;
use crate::world::{Broken, Done, World};

/// What the best chain says of an HTLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnChain {
    /// The channel is open, or closed by both.
    Nothing,
    /// A commitment without an output for it is confirmed at this height.
    Absent(u32),
    /// Its output is unspent.
    Unspent(OutPoint),
    /// Its output was spent at this height, with the preimage or without.
    Spent(u32, bool),
}

/// Returns what the best chain says of an HTLC.
pub(crate) fn on_chain(channel: &Channel, chain: &Chain, name: Name) -> OnChain {
    let funding = channel.parameters[0].funding_outpoint;
    let Some((txid, height)) = chain.spender(funding) else { return OnChain::Nothing };
    let Some(which) = channel.find(txid) else { return OnChain::Nothing };
    let Some(outpoint) = channel.output(which, name) else { return OnChain::Absent(height.0) };
    let Some((spender, height)) = chain.spender(outpoint) else {
        return OnChain::Unspent(outpoint);
    };
    let spend = chain.transaction(spender);
    let fact = &channel.htlcs[&name];
    let is_shown =
        spend.is_some_and(|(spend, _)| shows(spend, outpoint, fact.preimage.payment_hash()));
    OnChain::Spent(height.0, is_shown)
}

/// Says whether a transaction spends an output and shows the preimage of a hash there.
fn shows(transaction: &Transaction, outpoint: OutPoint, hash: PaymentHash) -> bool {
    let spends = transaction.input.iter().filter(|input| input.previous_output == outpoint);
    spends.flat_map(|input| input.witness.iter()).any(|element| {
        <[u8; 32]>::try_from(element)
            .is_ok_and(|bytes| PaymentPreimage(bytes).payment_hash() == hash)
    })
}

impl World {
    /// Says whether nobody can be paid by an HTLC any more, for all that may still happen.
    pub(crate) fn may_fail(&self, index: usize, name: Name) -> bool {
        let channel = &self.channels[index];
        let Some(fact) = channel.htlcs.get(&name) else { return true };
        if fact.is_failed {
            return true;
        }
        let chain = self.chain.lock();
        let is_deep = |height: u32| chain.height().0 + 1 >= height + ANTI_REORG_DELAY;
        match on_chain(channel, &chain, name) {
            OnChain::Nothing | OnChain::Unspent(_) | OnChain::Spent(_, true) => false,
            OnChain::Absent(height) => is_deep(height) && !fact.is_fulfilled,
            OnChain::Spent(height, false) => is_deep(height),
        }
    }

    /// Says whether the preimage was ever shown for this very HTLC.
    pub(crate) fn is_shown(&self, index: usize, name: Name) -> bool {
        self.channels[index].htlcs.get(&name).is_some_and(|fact| fact.is_shown)
    }

    /// Says whether the recipient has been paid by an HTLC, as far as its offerer must know by now.
    pub(crate) fn is_paid(&self, index: usize, name: Name) -> bool {
        let channel = &self.channels[index];
        let Some(fact) = channel.htlcs.get(&name) else { return false };
        let chain = self.chain.lock();
        fact.is_fulfilled || matches!(on_chain(channel, &chain, name), OnChain::Spent(_, true))
    }

    /// Takes note of the preimages that a transaction shows, whether it confirms or not.
    pub(crate) fn saw(&mut self, transaction: &Transaction) {
        for input in &transaction.input {
            let outpoint = input.previous_output;
            for channel in &mut self.channels {
                let Some(which) = channel.find(outpoint.txid) else { continue };
                let shown: Vec<Name> = channel
                    .htlcs
                    .iter()
                    .filter(|(name, fact)| {
                        channel.output(which, **name) == Some(outpoint)
                            && shows(transaction, outpoint, fact.preimage.payment_hash())
                    })
                    .map(|(name, _)| *name)
                    .collect();
                for name in shown {
                    if let Some(fact) = channel.htlcs.get_mut(&name) {
                        fact.is_shown = true;
                    }
                }
            }
        }
    }

    /// The user of a node is told an event.
    pub(crate) fn hear(&mut self, node: usize, event: &Event) -> Done {
        self.note(&(node, event));
        self.say(|| format!("node {node} tells {}", brief(event)));
        let Some(key) = event.key() else {
            let Event::Alarm(alarm) = event else { return Ok(()) };
            return self.hear_alarm(*alarm);
        };
        if let Event::PaymentClaimed { payment_hash, .. } = event {
            return self.hear_claimed(node, *payment_hash, event);
        }
        let Some(at) = self.deal_of(key.generation) else {
            return Err(Broken::new(
                "I1 uniqueness",
                format!("nobody made that payment: {event:?}"),
            ));
        };
        if self.deals[at].payer != node || self.deals[at].payment_id != key.payment_id {
            return Err(Broken::new("I1 uniqueness", format!("told by node {node}: {event:?}")));
        }
        self.check_repetition(at, node, event, key.kind)?;
        self.check_evidence(at, node, event)?;
        match key.kind {
            EventKind::Sent => self.marks.hit(Mark::Sent),
            EventKind::Failed => self.marks.hit(Mark::Failed),
            EventKind::PathFailed { .. }
            | EventKind::PathSuccessful { .. }
            | EventKind::Probed
            | EventKind::Claimed
            | EventKind::Unknown => {}
        }
        self.deals[at].told.push((key.kind, event.clone()));
        Ok(())
    }

    /// The user of a node is told that it was paid: what it claimed, alike each time, never after that
    /// was released.
    fn hear_claimed(&mut self, node: usize, hash: PaymentHash, event: &Event) -> Done {
        let wrong = |rule, why: &str| Err(Broken::new(rule, format!("{why}: {event:?}")));
        let is_it = |deal: &Deal| deal.recipient == node && deal.preimage.payment_hash() == hash;
        let Some(at) = self.deals.iter().position(is_it) else {
            return wrong("I3 evidence", "nobody paid that");
        };
        let Some(claim) = self.deals[at].claim.clone() else {
            return wrong("I3 evidence", "nobody claimed that");
        };
        let Event::PaymentClaimed { preimage, amount_msat, lost_msat, parts, .. } = event else {
            return Ok(());
        };
        let worth = claim.parts.iter().map(|key| {
            let (index, name) = self.name_of(key, node);
            self.channels[index].htlcs.get(&name).map_or(0, |fact| fact.amount_msat)
        });
        if *preimage != self.deals[at].preimage
            || *parts != claim.parts
            || amount_msat.0 + lost_msat.0 != worth.sum::<u64>()
        {
            return wrong("I3 evidence", "not what was claimed");
        }
        let mut named = claim.parts.iter().map(|key| self.name_of(key, node));
        if lost_msat.0 > 0 && !named.any(|(index, name)| self.is_gone(index, name)) {
            return wrong("I3 evidence", "nothing was lost");
        }
        if claim.is_over {
            return wrong("I6 delivery", "told after it was handled");
        }
        if claim.told.is_some_and(|told| told != *event) {
            return wrong("I6 delivery", "told before, with other words");
        }
        if let Some(claim) = &mut self.deals[at].claim {
            claim.told = Some(event.clone());
        }
        self.marks.hit(Mark::Claimed);
        Ok(())
    }

    /// Says whether the chain may have taken an HTLC from its recipient, for now or for good.
    pub(crate) fn is_gone(&self, index: usize, name: Name) -> bool {
        let chain = self.chain.lock();
        let channel = &self.channels[index];
        let is_failed = channel.htlcs.get(&name).is_none_or(|fact| fact.is_failed);
        is_failed || chain.spender(channel.parameters[0].funding_outpoint).is_some()
    }

    /// I1, I2 and I6: one outcome, told alike each time, never after it was released.
    fn check_repetition(&self, at: usize, node: usize, event: &Event, kind: EventKind) -> Done {
        let deal = &self.deals[at];
        let has_older = self.nodes[node].had_older_book;
        if let Some((_, earlier)) = deal.told.iter().find(|(told, _)| *told == kind)
            && earlier != event
        {
            return Err(Broken::new("I6 delivery", format!("{earlier:?} and then {event:?}")));
        }
        let is_forgettable = has_older && !deal.ever_left();
        if deal.is_over && kind.is_terminal() && kind != EventKind::Unknown && !is_forgettable {
            return Err(Broken::new("I6 delivery", format!("told after it was over: {event:?}")));
        }
        if deal.acknowledged.contains(&kind) && !has_older {
            return Err(Broken::new(
                "I6 delivery",
                format!("told after it was handled: {event:?}"),
            ));
        }
        let is_path =
            matches!(kind, EventKind::PathFailed { .. } | EventKind::PathSuccessful { .. });
        if matches!(kind, EventKind::PathSuccessful { .. }) && deal.word() != Some(EventKind::Sent)
        {
            return Err(Broken::new("order", format!("a path before its payment: {event:?}")));
        }
        let other = deal.word().filter(|word| !is_path && *word != kind);
        match other {
            Some(word) if kind != EventKind::Unknown => {
                Err(Broken::new("I1 uniqueness", format!("{word:?} and then {event:?}")))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// I3: what is told is true.
    fn check_evidence(&self, at: usize, node: usize, event: &Event) -> Done {
        let deal = &self.deals[at];
        let untrue = |why: &str| Err(Broken::new("I3 evidence", format!("{why}: {event:?}")));
        match event {
            Event::PaymentSent { preimage, amount_msat, .. } => {
                if deal.is_probe {
                    return untrue("a probe pays nobody");
                }
                if *preimage != deal.preimage || *amount_msat != deal.total_msat {
                    return untrue("not what was paid");
                }
                if !deal.legs().any(|(index, name)| self.is_shown(index, name)) {
                    return untrue("no part was paid");
                }
                Ok(())
            }
            Event::PaymentFailed { .. } | Event::Probed { .. } => {
                if matches!(event, Event::Probed { .. }) != deal.is_probe {
                    return untrue("a probe ends as a probe");
                }
                match deal.legs().find(|(index, name)| !self.may_fail(*index, *name)) {
                    Some((index, name)) => {
                        untrue(&format!("HTLC {name:?} of channel {index} can still be paid"))
                    }
                    None => Ok(()),
                }
            }
            Event::PaymentPathSuccessful { htlc, .. } => {
                let (index, name) = self.name_of(htlc, node);
                if self.is_shown(index, name) { Ok(()) } else { untrue("the part was not paid") }
            }
            Event::PaymentPathFailed { htlc, attempt, .. } => {
                let attempt = usize::try_from(*attempt).unwrap_or(usize::MAX);
                let left = deal.attempts.iter().filter(|it| it.exists == Some(true));
                let (index, name) = self.name_of(htlc, node);
                let is_leg = left.clone().any(|it| it.legs.contains(&(index, name)));
                if is_leg && !self.may_fail(index, name) {
                    return untrue(&format!("the part of attempt {attempt} can still be paid"));
                }
                Ok(())
            }
            Event::PaymentUnknown { .. } => {
                let node = &self.nodes[node];
                if node.dropped_tombstones && node.had_older_book {
                    return Ok(());
                }
                untrue("no trace of it was dropped")
            }
            Event::PaymentClaimed { .. } => untrue("nobody claims a payment of its own"),
            Event::Alarm(_) => Ok(()),
        }
    }

    fn hear_alarm(&self, alarm: Alarm) -> Done {
        let false_alarm = || Err(Broken::new("alarm", format!("{alarm:?}")));
        match alarm {
            Alarm::RevokedCommitment { channel_id, .. } => {
                if self.breached[channel_of(channel_id)] { Ok(()) } else { false_alarm() }
            }
            Alarm::GoingOnChain { .. } => Ok(()),
            // No reorg of a run is as deep as the finality, and no disk loses what it promised.
            Alarm::UnknownFundingSpend { .. }
            | Alarm::FinalityViolated { .. }
            | Alarm::FutureCommitment { .. }
            | Alarm::DataLoss { .. }
            | Alarm::ForwardLost { .. } => false_alarm(),
        }
    }

    /// Returns the HTLC that a node calls so.
    pub(crate) fn name_of(&self, key: &HtlcKey, node: usize) -> (usize, Name) {
        let index = channel_of(key.channel_id).min(self.channels.len() - 1);
        let end = self.channels[index].end_of(node).unwrap_or(0);
        (index, Channel::name(key, end))
    }

    pub(crate) fn deal_of(&self, generation: Generation) -> Option<usize> {
        self.deals.iter().position(|deal| deal.generation == generation)
    }

    /// The node durably knows that its user handled an event.
    pub(crate) fn acknowledged(&mut self, event: &Event) {
        let Some(key) = event.key() else { return };
        if let Event::PaymentClaimed { payment_hash, parts, .. } = event {
            let is_it = |deal: &&mut Deal| {
                deal.preimage.payment_hash() == *payment_hash
                    && deal.claim.as_ref().is_some_and(|claim| claim.parts == *parts)
            };
            if let Some(deal) = self.deals.iter_mut().find(is_it)
                && let Some(claim) = &mut deal.claim
            {
                claim.is_over = true;
            }
            return;
        }
        let Some(at) = self.deal_of(key.generation) else { return };
        let deal = &mut self.deals[at];
        deal.acknowledged.push(key.kind);
        match key.kind {
            // The first release: of a failed payment with its last word, of one that was sent with
            // the first path (rule R5).
            EventKind::Failed
            | EventKind::Probed
            | EventKind::Unknown
            | EventKind::PathSuccessful { .. } => deal.is_over = true,
            EventKind::Sent | EventKind::Claimed | EventKind::PathFailed { .. } => {}
        }
    }

    /// Somebody asked what became of a payment.
    pub(crate) fn check_answer(&mut self, at: usize, status: &PaymentStatus) -> Done {
        let generation = self.deals[at].generation;
        let outcome = match status {
            PaymentStatus::Finished { generation: of, outcome, .. } if *of == generation => {
                *outcome
            }
            PaymentStatus::Past(past) => match past.iter().find(|(of, _)| *of == generation) {
                Some((_, outcome)) => *outcome,
                None => return Ok(()),
            },
            PaymentStatus::Finished { .. } | PaymentStatus::Unknown => return Ok(()),
            PaymentStatus::Live(live) => {
                let deal = &self.deals[at];
                let is_forgettable = self.nodes[deal.payer].had_older_book && !deal.ever_left();
                if live.intent.generation == generation && deal.is_over && !is_forgettable {
                    let what = format!("payment {at} is over and answers that it is live");
                    return Err(Broken::new("I2 stability", what));
                }
                return Ok(());
            }
        };
        let deal = &self.deals[at];
        let kind = match outcome {
            Outcome::Sent { .. } => EventKind::Sent,
            Outcome::Failed { .. } if deal.is_probe => EventKind::Probed,
            Outcome::Failed { .. } => EventKind::Failed,
            Outcome::Unknown => return Ok(()),
        };
        let contradicts = |what: String| Err(Broken::new("I1 uniqueness", what));
        if deal.word().is_some_and(|word| word != kind) {
            return contradicts(format!("told {:?}, and the query says {outcome:?}", deal.word()));
        }
        if deal.answered.is_some_and(|answered| answered != outcome) {
            return contradicts(format!("{:?} and then {outcome:?}", deal.answered));
        }
        let is_true = if kind == EventKind::Sent {
            deal.legs().any(|(index, name)| self.is_shown(index, name))
        } else {
            deal.legs().all(|(index, name)| self.may_fail(index, name))
        };
        if !is_true {
            return Err(Broken::new("I3 evidence", format!("payment {at} answers {outcome:?}")));
        }
        self.deals[at].answered = Some(outcome);
        Ok(())
    }

    /// I5: what may still be paid, with a new attempt, is no more than the payer allowed.
    pub(crate) fn check_double_pay(&self, at: usize) -> Done {
        let deal = &self.deals[at];
        let open = deal.attempts.iter().filter(|attempt| attempt.exists != Some(false));
        let open = open.filter(|attempt| {
            attempt.legs.iter().any(|(index, name)| !self.may_fail(*index, *name))
        });
        let at_stake: u64 = open.map(|attempt| attempt.amount_msat).sum();
        if at_stake > deal.total_msat.0 + deal.fee_msat.0 {
            return Err(Broken::new("I5 no double pay", format!("payment {at}: {at_stake} msat")));
        }
        Ok(())
    }

    /// I11: a forward's inbound half is failed only when nobody can take its outbound half.
    pub(crate) fn check_fail_back(&self, node: usize, outbound: &HtlcKey) -> Done {
        debug_assert_eq!(outbound.direction, HtlcDirection::Offered);
        let (index, name) = self.name_of(outbound, node);
        if self.may_fail(index, name) {
            return Ok(());
        }
        Err(Broken::new(
            "I11 failback",
            format!("HTLC {name:?} of channel {index} can still be paid"),
        ))
    }

    /// I19: what one of our nodes offered was worth offering.
    pub(crate) fn check_offers(&mut self, node: usize) -> Done {
        let (offered, rejects) = {
            let mut switch = self.nodes[node].switch.lock();
            (std::mem::take(&mut switch.offered), std::mem::take(&mut switch.rejects))
        };
        for transaction in &offered {
            self.note(&(node, transaction.compute_txid()));
            self.saw(transaction);
        }
        let is_level =
            self.nodes[node].driver.as_ref().is_some_and(|it| it.tip() == self.chain.lock().tip());
        for (transaction, reject) in rejects {
            if crate::wild::is_invalid(&reject, is_level) {
                let txid = transaction.compute_txid();
                return Err(Broken::new(
                    "I19 valid spends",
                    format!("node {node}, {txid}: {reject}"),
                ));
            }
        }
        Ok(())
    }
}

fn brief(event: &Event) -> String {
    match event.key() {
        Some(key) => format!("{:?} of generation {}", key.kind, key.generation),
        None => format!("{event:?}"),
    }
}
