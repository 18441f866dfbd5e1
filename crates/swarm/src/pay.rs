//! Payments: begun, tried again, forwarded, claimed.

use std::collections::BTreeMap;

use lastword_engine::EngineError;
use lastword_types::{
    AmountMsat, BlockHeight, ForwardOrigin, Generation, HtlcId, HtlcOrigin, Intent, IntentPart,
    Metadata, PartIndex, PaymentId, PaymentPreimage, Purpose, RemovalReason, RetryPolicy, Terms,
    UpdateStep,
};

use crate::deal::{Attempt, Claim, Deal, Decision};
use crate::dice::Dice;
use crate::htlc::{Fact, Leg, Name};
use crate::marks::Mark;
use crate::node::{Tried, What};
use crate::world::{Broken, Called, Done, World, why};

/// What each node on the way takes.
const HOP_FEE_MSAT: u64 = 1_000;
/// Blocks that each node on the way has for itself: to go on chain downstream, to be outbid for a
/// while, to be away for a while, and still to be in time upstream.
pub(crate) const HOP_BLOCKS: u32 = 44;
const ROUTE_MAX: usize = 3;
const PARTS_MAX: usize = 3;

/// One part on its way.
struct Part {
    route: Vec<usize>,
    amount_msat: u64,
    expiry: u32,
}

impl Part {
    /// What the first node sends.
    fn first_msat(&self) -> u64 {
        self.amount_msat + HOP_FEE_MSAT * (self.route.len() as u64 - 1)
    }

    fn first_expiry(&self) -> u32 {
        self.expiry + HOP_BLOCKS * (u32::try_from(self.route.len()).unwrap_or(1) - 1)
    }
}

impl World {
    /// Somebody pays somebody.
    pub(crate) fn pay(&mut self, dice: &mut Dice) -> Done {
        let people = self.nodes.len() + 1;
        let payer = dice.below(people);
        let recipient = (payer + 1 + dice.below(people - 1)) % people;
        if self.is_own(payer) && !self.nodes[payer].is_up() {
            return Ok(());
        }
        let sat = if dice.percent(12) { 300 } else { u64::from(dice.between(8_000, 40_000)) };
        let Some(parts) = self.draw_parts(dice, payer, recipient, sat * 1_000) else {
            return Ok(());
        };
        let number = self.deals.len();
        let deal = self.draw_deal(dice, (payer, recipient), &parts);
        let (is_dust, is_many) = (sat == 300, parts.len() > 1);
        let is_reused = self.deals.iter().any(|it| it.payment_id == deal.payment_id);
        self.say(|| {
            let routes: Vec<&[usize]> = parts.iter().map(|part| &*part.route).collect();
            let Deal { payment_id, generation, .. } = &deal;
            format!("payment {number}: {payer} pays {recipient} {sat} sat over {routes:?}, id {payment_id}, generation {generation}")
        });
        let is_probe = deal.is_probe;
        self.deals.push(deal);
        if self.attempt(dice, number, &parts, 0)? {
            self.marks.hit(Mark::Payment);
            let hits = [
                (is_dust, Mark::Dust),
                (is_many, Mark::Multipart),
                (is_reused, Mark::Reused),
                (is_probe, Mark::Probe),
                (!self.is_own(payer), Mark::FromPeer),
                (!self.is_own(recipient), Mark::ToPeer),
            ];
            hits.into_iter().filter(|(is, _)| *is).for_each(|(_, mark)| self.marks.hit(mark));
        }
        Ok(())
    }

    fn draw_deal(
        &self,
        dice: &mut Dice,
        (payer, recipient): (usize, usize),
        parts: &[Part],
    ) -> Deal {
        let number = self.deals.len();
        let tag = u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes();
        let mut preimage = [0x70; 32];
        preimage[..2].copy_from_slice(&tag);
        let mut generation = [0x60; 16];
        generation[..2].copy_from_slice(&tag);
        // Few ids, so that they are used again.
        let id = u8::try_from(dice.below(12)).unwrap_or(0);
        let is_probe = self.is_own(payer) && parts.len() == 1 && dice.percent(10);
        let attempts_max = if !is_probe && dice.percent(30) { dice.between(2, 3) } else { 1 };
        Deal {
            payer,
            recipient,
            payment_id: PaymentId([u8::try_from(payer).unwrap_or(0) * 16 + id; 32]),
            generation: Generation(generation),
            preimage: PaymentPreimage(preimage),
            total_msat: AmountMsat(parts.iter().map(|part| part.amount_msat).sum()),
            fee_msat: AmountMsat(HOP_FEE_MSAT * (ROUTE_MAX as u64) * (PARTS_MAX as u64)),
            attempts_max,
            is_probe,
            attempts: Vec::new(),
            is_taken_on: false,
            is_given_up: false,
            decision: is_probe.then_some(Decision::Fail),
            is_claimed_by_hand: dice.percent(25),
            claim: None,
            told: Vec::new(),
            acknowledged: Vec::new(),
            is_over: false,
            answered: None,
        }
    }

    /// Draws parts and their routes over channels that can take them now.
    fn draw_parts(
        &mut self,
        dice: &mut Dice,
        payer: usize,
        recipient: usize,
        total_msat: u64,
    ) -> Option<Vec<Part>> {
        let count = if dice.percent(45) { 1 + dice.below(PARTS_MAX) } else { 1 };
        let routes = self.routes(payer, recipient);
        let expiry = self.height().0 + dice.between(26, 60);
        let share = total_msat / count as u64;
        let mut parts: Vec<Part> = Vec::new();
        for at in 0..count {
            let again = parts.first().map(|part| part.route.clone());
            let route = match again {
                Some(route) if dice.percent(25) => route,
                _ => routes.get(dice.below(routes.len()))?.clone(),
            };
            let amount_msat = if at == 0 { total_msat - share * (count as u64 - 1) } else { share };
            parts.push(Part { route, amount_msat, expiry });
        }
        let have_room = parts.iter().all(|part| {
            let index = part.route[0];
            let same = parts.iter().filter(|other| other.route[0] == index);
            let (sum, number) = same.fold((0, 0), |(sum, n), it| (sum + it.first_msat(), n + 1));
            let channel = &self.channels[index];
            let end = channel.end_of(payer).unwrap_or(0);
            channel.is_idle() && channel.has_room(end, sum, number)
        });
        have_room.then_some(parts)
    }

    /// Returns every way from one to another over channels that are open, ours in between.
    fn routes(&self, from: usize, to: usize) -> Vec<Vec<usize>> {
        let mut found = Vec::new();
        let mut open = vec![(from, Vec::new(), vec![from])];
        while let Some((at, route, seen)) = open.pop() {
            for channel in self.channels.iter().filter(|channel| !channel.is_frozen) {
                let Some(end) = channel.end_of(at) else { continue };
                let next = channel.ends[1 - end];
                let mut route: Vec<usize> = route.clone();
                route.push(channel.index);
                if next == to {
                    found.push(route);
                } else if route.len() < ROUTE_MAX && self.is_own(next) && !seen.contains(&next) {
                    let mut seen = seen.clone();
                    seen.push(next);
                    open.push((next, route, seen));
                }
            }
        }
        found
    }

    /// Makes an attempt; whether its payer began it.
    fn attempt(
        &mut self,
        dice: &mut Dice,
        number: usize,
        parts: &[Part],
        attempt: u32,
    ) -> Result<bool, Broken> {
        let payer = self.deals[number].payer;
        if !self.is_own(payer) {
            return Ok(self.attempt_of_peer(dice, number, parts));
        }
        let (intent, legs) = self.intent_of(number, parts);
        if attempt == 0 {
            return self.send(dice, (number, intent, legs), parts);
        }
        let (id, fee) = (intent.payment_id, intent.fee_msat);
        let owed = self.nodes[payer].call(|driver| driver.next_attempt(id, fee, intent.parts));
        let Some(Some(intent)) = owed else { return Ok(false) };
        self.send(dice, (number, intent, legs), parts)
    }

    /// Writes an attempt down as the payer means it.
    fn intent_of(&self, number: usize, parts: &[Part]) -> (Intent, Vec<(usize, Name)>) {
        let deal = &self.deals[number];
        let payer = deal.payer;
        let mut next: Vec<u64> = self
            .channels
            .iter()
            .map(|channel| channel.next_id(channel.end_of(payer).unwrap_or(0)))
            .collect();
        let mut legs = Vec::new();
        let mut written = Vec::new();
        for part in parts {
            let index = part.route[0];
            let end = self.channels[index].end_of(payer).unwrap_or(0);
            legs.push((index, Name { offerer: end, id: next[index] }));
            written.push(IntentPart {
                channel_id: crate::ground::channel_id(index),
                htlc_id: HtlcId(next[index]),
                amount_msat: AmountMsat(part.first_msat()),
                part_amount_msat: AmountMsat(part.amount_msat),
                cltv_expiry: BlockHeight(part.first_expiry()),
            });
            next[index] += 1;
        }
        let attempts_max = deal.attempts_max;
        let intent = Intent {
            payment_id: deal.payment_id,
            generation: deal.generation,
            attempt: 0,
            payment_hash: deal.preimage.payment_hash(),
            total_msat: deal.total_msat,
            fee_msat: AmountMsat(parts.iter().map(|it| it.first_msat() - it.amount_msat).sum()),
            parts: written,
            metadata: Metadata::Here(deal.generation.0[..4].to_vec()),
            terms: Terms {
                retry: RetryPolicy { attempts_max, deadline_height: None },
                purpose: if deal.is_probe { Purpose::Probe } else { Purpose::Payment },
                ..Terms::default()
            },
        };
        (intent, legs)
    }

    /// Hands an attempt over to its node.
    fn send(
        &mut self,
        dice: &mut Dice,
        (number, intent, legs): (usize, Intent, Vec<(usize, Name)>),
        parts: &[Part],
    ) -> Result<bool, Broken> {
        let node = self.deals[number].payer;
        let mut tried: Vec<Tried> = Vec::new();
        let mut begun: Vec<usize> = legs.iter().map(|(index, _)| *index).collect();
        begun.dedup();
        begun.sort_unstable();
        begun.dedup();
        for index in &begun {
            let own = (0..parts.len()).filter(|at| legs[*at].0 == *index);
            let facts = own.map(|at| {
                let part = PartIndex(u16::try_from(at).unwrap_or(0));
                let origin = intent.origin(part).expect("the part was just written");
                self.first_fact(number, &parts[at], origin)
            });
            let facts: Vec<Fact> = facts.collect();
            let alike = |one: &Fact| (one.amount_msat, one.expiry);
            if facts.windows(2).any(|pair| alike(&pair[0]) == alike(&pair[1])) {
                self.marks.hit(Mark::EqualParts);
            }
            let merged = [dice.percent(50), dice.percent(50)];
            let Some(stage) = self.begin_stage(*index, node, facts, merged) else {
                return self.take_back(&begun);
            };
            tried.push(stage);
        }
        let amount_msat = parts.iter().map(Part::first_msat).sum();
        let attempt = self.deals[number].attempts.len();
        self.deals[number].attempts.push(Attempt { legs, exists: None, amount_msat });
        self.nodes[node].tried_attempt = Some((number, attempt));
        let updates = Self::updates_of(&tried);
        let is_retry = intent.attempt > 0;
        let called = self.submit(node, tried, |driver| {
            if is_retry {
                driver.retry_payment(intent, updates)
            } else {
                driver.send_payment(intent, updates)
            }
        })?;
        match called {
            Called::Durable => self.deals[number].is_taken_on = true,
            Called::Unsure => {}
            Called::Refused(error) => {
                self.was_refused(number, &error)?;
                return Ok(false);
            }
        }
        self.check_double_pay(number)?;
        Ok(true)
    }

    /// Begins the change that adds HTLCs, unless the node knows better than that the channel is
    /// open.
    fn begin_stage(
        &mut self,
        index: usize,
        node: usize,
        facts: Vec<Fact>,
        merged: [bool; 2],
    ) -> Option<Tried> {
        let end = self.channels[index].end_of(node)?;
        let stand = self.nodes[node].stand(crate::ground::channel_id(index));
        if !matches!(stand, Some((_, true))) {
            self.channels[index].is_frozen |= matches!(stand, Some((_, false)));
            return None;
        }
        self.channels[index].begin_add(end, facts, merged);
        let update = self.channels[index].stage_update()?;
        Some(Tried { channel: index, end, what: What::Stage, update })
    }

    /// The same for the outbound half of a forward, under its name if it has one.
    fn begin_forward(
        &mut self,
        index: usize,
        node: usize,
        (reserved, fact): (Option<Name>, Fact),
        merged: [bool; 2],
    ) -> Option<(Name, Tried)> {
        let end = self.channels[index].end_of(node)?;
        let stand = self.nodes[node].stand(crate::ground::channel_id(index));
        if !matches!(stand, Some((_, true))) {
            self.channels[index].is_frozen |= matches!(stand, Some((_, false)));
            return None;
        }
        let name = reserved.unwrap_or_else(|| self.channels[index].reserve(end));
        self.channels[index].begin_add_as(vec![(name, fact)], merged);
        let update = self.channels[index].stage_update()?;
        Some((name, Tried { channel: index, end, what: What::Stage, update }))
    }

    /// Takes changes back that were begun and never handed over.
    fn take_back(&mut self, begun: &[usize]) -> Result<bool, Broken> {
        for index in begun {
            let channel = &mut self.channels[*index];
            if channel.change.as_ref().is_some_and(|change| change.stage == 0) {
                channel.cancel();
            }
        }
        self.look_at_panics()?;
        Ok(false)
    }

    fn first_fact(&self, number: usize, part: &Part, origin: HtlcOrigin) -> Fact {
        let leg = Leg {
            deal: number,
            route: part.route.clone(),
            hop: 0,
            inbound: None,
            outbound: None,
            is_named: number.is_multiple_of(2),
            reserved: None,
        };
        self.fact(leg, part.first_msat(), part.first_expiry(), origin)
    }

    fn fact(&self, leg: Leg, amount_msat: u64, expiry: u32, origin: HtlcOrigin) -> Fact {
        Fact {
            amount_msat,
            preimage: self.deals[leg.deal].preimage,
            expiry,
            origin,
            leg,
            is_committed: false,
            wanted: None,
            removal: None,
            is_claimed: false,
            is_shown: false,
            is_fulfilled: false,
            is_failed: false,
            is_failed_back: false,
        }
    }

    /// A payment was refused: only a busy id may be, or a retry that is not owed.
    fn was_refused(&mut self, number: usize, error: &EngineError) -> Done {
        self.say(|| format!("payment {number} is refused: {}", why(error)));
        if let EngineError::RetryNotOwed { .. } = error {
            return Ok(());
        }
        // Some part of an earlier one may still be open, or its end not told.
        let same = |deal: &Deal| (deal.payer, deal.payment_id);
        let mut earlier = self.deals[..number].iter();
        let is_used = earlier.any(|deal| same(deal) == same(&self.deals[number]));
        if is_used && matches!(error, EngineError::PaymentIdBusy(_)) {
            return Ok(());
        }
        Err(Broken::new("refusal", format!("payment {number}: {}", why(error))))
    }

    /// The node that is not ours pays.
    fn attempt_of_peer(&mut self, dice: &mut Dice, number: usize, parts: &[Part]) -> bool {
        let peer = self.peer();
        let (_, legs) = self.intent_of(number, parts);
        let mut begun: Vec<usize> = legs.iter().map(|(index, _)| *index).collect();
        begun.sort_unstable();
        begun.dedup();
        if begun.iter().any(|index| self.silent[*index]) {
            return false;
        }
        for index in begun {
            let own = (0..parts.len()).filter(|at| legs[*at].0 == index);
            let facts =
                own.map(|at| self.first_fact(number, &parts[at], HtlcOrigin::Ours)).collect();
            let end = self.channels[index].end_of(peer).unwrap_or(0);
            let merged = [dice.percent(50), dice.percent(50)];
            self.channels[index].begin_add(end, facts, merged);
            self.channels[index].stage_said();
            self.channels[index].stage_done();
        }
        let amount_msat = parts.iter().map(Part::first_msat).sum();
        let attempt = Attempt { legs, exists: Some(true), amount_msat };
        self.deals[number].attempts.push(attempt);
        true
    }

    /// Tries a payment again, or does not.
    pub(crate) fn retry(&mut self, dice: &mut Dice, number: usize, attempt: u32) -> Done {
        let (payer, recipient) = (self.deals[number].payer, self.deals[number].recipient);
        let total = self.deals[number].total_msat.0;
        let parts = (0..4).find_map(|_| self.draw_parts(dice, payer, recipient, total));
        let Some(parts) = parts else { return Ok(()) };
        if self.deals[number].word().is_some() {
            return Err(Broken::new(
                "I2 stability",
                format!("payment {number} is tried after its end"),
            ));
        }
        self.say(|| format!("payment {number} is tried again, as attempt {attempt}"));
        if self.attempt(dice, number, &parts, attempt)? {
            self.marks.hit(Mark::Retry);
        }
        Ok(())
    }

    /// A node sends an inbound HTLC on, or fails it back where it cannot.
    pub(crate) fn forward(&mut self, dice: &mut Dice, index: usize, name: Name) -> Done {
        let channel = &self.channels[index];
        let node = channel.ends[name.receiver()];
        let Some(fact) = channel.htlcs.get(&name).cloned() else { return Ok(()) };
        let next = fact.leg.route[fact.leg.hop + 1];
        let amount_msat = fact.amount_msat - HOP_FEE_MSAT;
        let Some(end) = self.channels[next].end_of(node) else { return Ok(()) };
        let outbound = &self.channels[next];
        let is_late = self.height().0 + HOP_BLOCKS + 12 > fact.expiry;
        let is_closed = outbound.is_frozen || self.channels[index].is_frozen;
        // Ids go up: a name behind which another was used already cannot be used any more.
        let is_passed = |(_, reserved): (usize, Name)| {
            let mut names = outbound.htlcs.keys();
            names.any(|name| name.offerer == end && name.id > reserved.id)
        };
        let is_closed = is_closed || fact.leg.reserved.is_some_and(is_passed);
        if is_late || is_closed || !outbound.has_room(end, amount_msat, 1) {
            self.never_forward(index, name);
            return Ok(());
        }
        if !outbound.is_idle() {
            return Ok(());
        }
        let inbound = self.channels[index].key(name, name.receiver());
        let origin = HtlcOrigin::Forward(ForwardOrigin {
            inbound,
            inbound_amount_msat: AmountMsat(fact.amount_msat),
            inbound_cltv_expiry: BlockHeight(fact.expiry),
        });
        let leg = Leg {
            hop: fact.leg.hop + 1,
            inbound: Some((index, name)),
            outbound: None,
            reserved: None,
            ..fact.leg.clone()
        };
        let new = self.fact(leg, amount_msat, fact.expiry - HOP_BLOCKS, origin);
        let merged = [dice.percent(50), dice.percent(50)];
        let reserved = fact.leg.reserved.map(|(_, outbound)| outbound);
        let Some((outbound, tried)) = self.begin_forward(next, node, (reserved, new), merged)
        else {
            return Ok(());
        };
        if let Some(fact) = self.channels[index].htlcs.get_mut(&name) {
            fact.leg.outbound = Some((next, outbound));
        }
        self.say(|| {
            format!("node {node} forwards {name:?} of channel {index} over channel {next}")
        });
        self.update(node, vec![tried])?;
        if self.channels[next].htlcs.contains_key(&outbound) {
            self.marks.hit(Mark::Forward);
        }
        Ok(())
    }

    /// An HTLC that was not sent on is failed back.
    fn never_forward(&mut self, index: usize, name: Name) {
        self.say(|| format!("{name:?} of channel {index} is not forwarded"));
        let key = self.channels[index].key(name, name.receiver());
        let node = self.channels[index].ends[name.receiver()];
        if let Some(fact) = self.channels[index].htlcs.get_mut(&name) {
            fact.wanted = Some(RemovalReason::Failed { code: 0x1007 });
        }
        if self.channels[index].is_frozen {
            self.resolve_inbound(key, node);
        }
    }

    /// Returns the HTLCs that carry a payment into its recipient.
    pub(crate) fn arrived(&self, number: usize) -> Vec<(usize, Name)> {
        let mut arrived = Vec::new();
        for channel in &self.channels {
            for (name, fact) in &channel.htlcs {
                let is_last = fact.leg.hop + 1 == fact.leg.route.len();
                if fact.leg.deal == number && is_last && fact.is_committed && fact.removal.is_none()
                {
                    arrived.push((channel.index, *name));
                }
            }
        }
        arrived
    }

    /// The recipient, one of ours, does what it has decided with a payment.
    pub(crate) fn settle_payment(&mut self, dice: &mut Dice, number: usize) -> Done {
        let arrived = self.arrived(number);
        let recipient = self.deals[number].recipient;
        let amount: u64 =
            arrived.iter().map(|(index, name)| self.channels[*index].htlcs[name].amount_msat).sum();
        let is_whole = amount >= self.deals[number].total_msat.0;
        if self.deals[number].decision.is_none() && is_whole {
            let decision = match dice.below(10) {
                0..=5 => Decision::Claim,
                6..=8 => Decision::Fail,
                _ => Decision::Keep,
            };
            self.say(|| format!("recipient {recipient} decides on payment {number}: {decision:?}"));
            self.deals[number].decision = Some(decision);
        }
        let soon =
            arrived.iter().map(|(index, name)| self.channels[*index].htlcs[name].expiry).min();
        let is_late = soon.is_some_and(|expiry| expiry < self.height().0 + 22);
        match self.deals[number].decision {
            Some(Decision::Claim) => self.claim(number, &arrived),
            Some(Decision::Fail) => {
                self.fail_arrived(&arrived);
                Ok(())
            }
            None if is_late => {
                self.fail_arrived(&arrived);
                Ok(())
            }
            Some(Decision::Keep) | None => Ok(()),
        }
    }

    fn fail_arrived(&mut self, arrived: &[(usize, Name)]) {
        for (index, name) in arrived {
            if let Some(fact) = self.channels[*index].htlcs.get_mut(name)
                && fact.wanted.is_none()
                && !fact.is_claimed
            {
                fact.wanted = Some(RemovalReason::Failed { code: 0x400f });
            }
        }
    }

    /// All parts are claimed with one write; only then is any of them taken.
    fn claim(&mut self, number: usize, arrived: &[(usize, Name)]) -> Done {
        let recipient = self.deals[number].recipient;
        let preimage = self.deals[number].preimage;
        if !self.deals[number].is_claimed_by_hand {
            return self.claim_payment(number, arrived);
        }
        let late = self.height().0 + 20;
        let mut by_channel: BTreeMap<usize, Vec<Name>> = BTreeMap::new();
        for (index, name) in arrived {
            let Some(fact) = self.channels[*index].htlcs.get_mut(name) else { continue };
            if fact.is_claimed {
                fact.wanted = Some(RemovalReason::Fulfilled { preimage });
            } else if fact.wanted.is_none() && fact.expiry > late {
                by_channel.entry(*index).or_default().push(*name);
            }
        }
        if by_channel.is_empty() || !self.nodes[recipient].is_up() {
            return Ok(());
        }
        let mut tried = Vec::new();
        let is_many = arrived.len() > 1;
        for (index, names) in by_channel {
            let end = self.channels[index].end_of(recipient).unwrap_or(0);
            let claim = |name: &Name| UpdateStep::ClaimHtlc { htlc_id: HtlcId(name.id), preimage };
            let steps = names.iter().map(claim).collect();
            tried.push(self.plain(index, end, What::Claim(names), steps));
        }
        self.say(|| format!("recipient {recipient} claims payment {number}"));
        self.marks.hit(Mark::Received);
        if is_many {
            self.marks.hit(Mark::ReceivedParts);
        }
        self.update(recipient, tried)
    }

    /// The driver claims all parts.
    fn claim_payment(&mut self, number: usize, arrived: &[(usize, Name)]) -> Done {
        let (recipient, preimage) = (self.deals[number].recipient, self.deals[number].preimage);
        if self.deals[number].claim.is_none() {
            let late = self.height().0 + 20;
            let all = arrived.iter().map(|(index, name)| &self.channels[*index].htlcs[name]);
            let is_whole = all.clone().map(|fact| fact.amount_msat).sum::<u64>()
                >= self.deals[number].total_msat.0;
            if !is_whole || all.clone().any(|fact| fact.expiry <= late || fact.wanted.is_some()) {
                return Ok(());
            }
            let key =
                |(index, name): &(usize, Name)| self.channels[*index].key(*name, name.receiver());
            let parts = arrived.iter().map(key).collect();
            self.deals[number].claim = Some(Claim { parts, ..Claim::default() });
            self.marks.hit(Mark::Received);
            if arrived.len() > 1 {
                self.marks.hit(Mark::ReceivedParts);
            }
        }
        let Some(claim) = self.deals[number].claim.clone() else { return Ok(()) };
        if claim.is_durable || !self.nodes[recipient].is_up() {
            return Ok(());
        }
        self.say(|| format!("recipient {recipient} claims all parts of payment {number}"));
        let parts = claim.parts.clone();
        let called = self.nodes[recipient].call(|driver| driver.claim_payment(preimage, parts));
        self.look_at_panics()?;
        match called {
            Some(Ok(())) => self.was_claimed(number, &claim),
            None | Some(Err(EngineError::Store(_))) => {}
            Some(Err(error)) => {
                let mut parts = claim.parts.iter().map(|key| self.name_of(key, recipient));
                let is_gone = parts.any(|(index, name)| self.is_gone(index, name));
                if !is_gone {
                    let what = format!("claim of payment {number}: {}", why(&error));
                    return Err(Broken::new("refusal", what));
                }
                self.deals[number].decision = Some(Decision::Keep);
            }
        }
        Ok(())
    }

    fn was_claimed(&mut self, number: usize, claim: &Claim) {
        let (recipient, preimage) = (self.deals[number].recipient, self.deals[number].preimage);
        self.deals[number].claim = Some(Claim { is_durable: true, ..claim.clone() });
        for key in &claim.parts {
            let (index, name) = self.name_of(key, recipient);
            if let Some(fact) = self.channels[index].htlcs.get_mut(&name) {
                fact.is_claimed = true;
                fact.wanted.get_or_insert(RemovalReason::Fulfilled { preimage });
            }
        }
    }
}
