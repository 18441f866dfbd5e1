//! [`Living`]: a node that lives on with a scenario, and its user.

use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use lastword_engine::{Driver, EngineError, NoObserver, Observer};
use lastword_ports::Ledger as _;
use lastword_reload::{Action, PaymentStatus, Planned};
use lastword_types::{
    EntryState, EventKind, Generation, HtlcDirection, HtlcKey, HtlcOrigin, Intent, MonitorUpdate,
    OutcomeKind, PaymentState, RemovalReason, Verdict,
};

use crate::chain::Chain;
use crate::life::{Forward, Input, Life};
use crate::node::Stores;
use crate::oracle::Tale;
use crate::record::{Case, Watch};

/// Why a life cannot be right, in words.
pub(crate) struct Error(pub(crate) String);

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        let mut words = error.to_string();
        let mut source = core::error::Error::source(&error);
        while let Some(error) = source {
            words = format!("{words}: {error}");
            source = error.source();
        }
        Self(words)
    }
}

/// A node whose channels have just begun.
pub(crate) fn newborn(life: &Life, is_one: bool) -> Result<Stores, EngineError> {
    let stores = Stores::new(is_one);
    let chain = Chain::new(Arc::clone(&life.blocks), life.birth);
    let mut driver = stores.start(&chain, Box::new(NoObserver))?;
    for new in &life.born {
        driver.open_channel(new.clone())?;
    }
    drop(driver);
    Ok(stores)
}

/// A node on its stores, the chain as it sees it, and its user.
pub(crate) struct Living<'a> {
    pub(crate) life: &'a Life,
    pub(crate) driver: Driver,
    chain: Chain,
    pub(crate) case: Case,
    watch: Option<&'a Watch>,
    /// Inputs that the driver took: requests and events handled.
    pub(crate) steps: u64,
}

impl<'a> Living<'a> {
    /// Starts a node.
    pub(crate) fn rise(
        life: &'a Life,
        stores: &Stores,
        case: Case,
        watch: Option<&'a Watch>,
    ) -> Result<Self, Error> {
        // The chain went on; the node learns of it with its next input.
        let seen = life.inputs[..case.position].iter().rev().find_map(|input| match input {
            Input::Tip(tip) => Some(*tip),
            Input::Send(_) | Input::Retry(_) | Input::Claim | Input::Updates(_) | Input::Drop => {
                None
            }
        });
        let chain = Chain::new(Arc::clone(&life.blocks), seen.unwrap_or(life.birth));
        let observer: Box<dyn Observer> = match watch {
            Some(watch) => Box::new(watch.clone()),
            None => Box::new(NoObserver),
        };
        let driver = stores.start(&chain, observer)?;
        let mut living = Self { life, driver, chain, case, watch, steps: 0 };
        living.check_forward()?;
        living.check_receipt()?;
        Ok(living)
    }

    /// Returns how many inputs the driver took, and how many of them were blocks.
    pub(crate) fn steps(&self) -> (u64, u64) {
        let blocks = self.chain.blocks_read();
        (self.steps + blocks, blocks)
    }

    /// What a crash from here on finds.
    fn note(&self) {
        if let Some(watch) = self.watch {
            watch.lock().case = self.case.clone();
        }
    }

    /// Lives through one input.
    pub(crate) fn take(&mut self, input: &Input) -> Result<(), Error> {
        match input {
            Input::Send(payment) => self.send(*payment)?,
            Input::Retry(payment) => self.retry(*payment)?,
            Input::Claim => self.claim()?,
            Input::Updates(updates) => self.update(updates)?,
            Input::Tip(tip) => self.chain.move_to(*tip),
            Input::Drop => {
                self.forget()?;
                self.case.memory.is_pruned = true;
                self.note();
                self.driver.drop_tombstones()?;
            }
        }
        self.check_busy()?;
        self.driver.poll_chain()?;
        self.listen()?;
        if self.life.is_forgetful {
            self.forget()?;
        }
        self.follow_advice()?;
        self.case.position += 1;
        self.note();
        Ok(())
    }

    /// Payments that are over leave the book; a query goes on to tell what the user was told.
    fn forget(&mut self) -> Result<(), Error> {
        self.driver.drop_finished()?;
        for (at, payment) in self.life.payments.iter().enumerate() {
            let Intent { payment_id, generation, .. } =
                payment.rounds[self.case.rounds[at].0].first.intent;
            let Some(word) = self.case.memory.word(generation) else { continue };
            if self.driver.payment(payment_id).is_some() {
                continue;
            }
            let PaymentStatus::Past(past) = self.driver.payment_status(payment_id)? else {
                return Err(Error(format!("{payment_id} was {word:?}, and nobody knows it")));
            };
            let outcome = past.into_iter().find(|(of, _)| *of == generation);
            let is_same = match outcome.map(|(_, outcome)| outcome.kind()) {
                Some(OutcomeKind::Sent) => word == EventKind::Sent,
                Some(OutcomeKind::Failed) => matches!(word, EventKind::Failed | EventKind::Probed),
                // A book that came back older asks when nobody knows any more, or was told of another
                // incarnation alone.
                Some(OutcomeKind::Unknown) => {
                    word == EventKind::Unknown || self.case.memory.has_older_book
                }
                None => self.case.memory.has_older_book,
            };
            if !is_same {
                return Err(Error(format!("{payment_id} was {word:?}, and is {outcome:?}")));
            }
        }
        Ok(())
    }

    pub(crate) fn update(&mut self, updates: &[MonitorUpdate]) -> Result<(), Error> {
        let mut news = Vec::new();
        for update in updates {
            let state = self.driver.monitor(update.channel_id)?.state();
            if state.latest_update < update.update_id {
                news.push(update.clone());
            }
        }
        self.steps += u64::from(!news.is_empty());
        Ok(self.driver.update(news)?)
    }

    fn send(&mut self, payment: usize) -> Result<(), Error> {
        let (mut round, was_tried) = self.case.rounds[payment];
        let rounds = &self.life.payments[payment].rounds;
        if was_tried {
            let intent = &rounds[round].first.intent;
            let is_busy = self.is_busy(intent);
            if self.has_left(intent)? {
                self.case.memory.was_sent(intent.generation);
                if self.case.memory.must_be_busy(intent.generation) && !is_busy {
                    return Err(Error(format!("id {} is given away", intent.payment_id)));
                }
                return Ok(());
            }
            // It did not survive, so the caller begins anew, as another incarnation; and hears first
            // what became of this one, for its id is busy until then.
            self.case.has_asked = true;
            self.tell()?;
            round += 1;
        }
        self.case.rounds[payment] = (round, true);
        self.note();
        self.steps += 1;
        let attempt = &rounds[round].first;
        self.driver.send_payment(attempt.intent.clone(), attempt.updates.clone())?;
        self.case.memory.was_sent(attempt.intent.generation);
        self.note();
        Ok(())
    }

    /// A payment that was accepted and not told of holds its id: another one is refused (rule R8).
    pub(crate) fn check_busy(&mut self) -> Result<(), Error> {
        let life = self.life;
        for (at, payment) in life.payments.iter().enumerate() {
            let intent = &payment.rounds[self.case.rounds[at].0].first.intent;
            if self.case.memory.must_be_busy(intent.generation) && !self.is_busy(intent) {
                return Err(Error(format!("id {} is given away", intent.payment_id)));
            }
        }
        Ok(())
    }

    /// Says whether another payment of the same id is refused as that, before anything else is said.
    fn is_busy(&mut self, intent: &Intent) -> bool {
        let other = Intent { generation: Generation([0; 16]), ..intent.clone() };
        let refused = self.driver.send_payment(other, Vec::new());
        matches!(refused, Err(EngineError::PaymentIdBusy(_)))
    }

    /// The caller makes the attempt that it is advised to make.
    fn retry(&mut self, payment: usize) -> Result<(), Error> {
        let (round, _) = self.case.rounds[payment];
        let Some(attempt) = &self.life.payments[payment].rounds[round].second else {
            return Err(Error("the scenario has no second attempt".into()));
        };
        let Intent { payment_id, fee_msat, parts, .. } = &attempt.intent;
        if self.has_left(&attempt.intent)? {
            return Ok(());
        }
        match self.driver.next_attempt(*payment_id, *fee_msat, parts.clone()) {
            Some(intent) if intent == attempt.intent => {}
            Some(intent) => return Err(Error(format!("another attempt is owed: {intent:?}"))),
            None => return Err(Error("no other attempt is owed".into())),
        }
        self.steps += 1;
        Ok(self.driver.retry_payment(attempt.intent.clone(), attempt.updates.clone())?)
    }

    /// The node does what it is advised to do: it answers the peers that pay it.
    pub(crate) fn follow_advice(&mut self) -> Result<(), Error> {
        let Some(forward) = &self.life.forward else { return self.give_preimages() };
        let mut is_due = false;
        for Planned { action, .. } in self.driver.take_advice() {
            match action {
                Action::ClaimInbound { .. } if forward.is_paid => is_due = true,
                Action::FailInbound { .. } if !forward.is_paid => is_due = true,
                Action::ClaimInbound { .. }
                | Action::FailInbound { .. }
                | Action::ReportUnknownForward { .. } => {
                    return Err(Error(format!("this is wrong: {action}")));
                }
                // The node still means to pass it on.
                Action::DecideInbound { .. }
                | Action::Record(_)
                | Action::Tell { .. }
                | Action::Release(_)
                | Action::Wait { .. }
                | Action::GiveUp(_)
                | Action::Retry { .. }
                | Action::NoteInboundOnChain { .. }
                | Action::MarkChannelClosed { .. }
                | Action::ManagerBehind { .. }
                | Action::ReplayUpdate(_)
                | Action::UpdatesDurable { .. }
                | Action::MonitorBehind { .. }
                | Action::Claim(_)
                | Action::FulfillHtlc { .. }
                | Action::WaitForPart { .. }
                | Action::NoteUnknown { .. } => {}
            }
        }
        // What was begun before a crash goes on: the peer asks for it.
        if let Some(first) = forward.answers.first() {
            let latest = self.driver.monitor(first.channel_id)?.state().latest_update;
            is_due |= first.update_id <= latest;
        }
        if is_due {
            for answer in &forward.answers {
                self.update(core::slice::from_ref(answer))?;
            }
        }
        Ok(())
    }

    /// The outbound half of a forward is forgotten only when the inbound half is durably settled
    /// (rule R12).
    fn check_forward(&mut self) -> Result<(), Error> {
        let Some(forward) = &self.life.forward else { return Ok(()) };
        if self.is_forward_released(forward)? && !self.is_settled(forward)? {
            return Err(Error("the outbound half is released before the inbound one".into()));
        }
        Ok(())
    }

    fn is_forward_released(&mut self, forward: &Forward) -> Result<bool, Error> {
        let outbound = forward.outbound;
        let monitor = self.driver.monitor(outbound.channel_id)?;
        Ok(match monitor.entry(outbound.direction, outbound.htlc_id) {
            EntryState::Entry(entry) => entry.delivered.is_some(),
            EntryState::Forgotten => true,
            EntryState::Unknown => false,
        })
    }

    /// Says whether the inbound half has what the truth wants it to have.
    fn is_settled(&mut self, forward: &Forward) -> Result<bool, Error> {
        let HtlcKey { channel_id, direction, htlc_id } = forward.inbound;
        let monitor = self.driver.monitor(channel_id)?;
        let verdict = monitor.verdict(direction, htlc_id);
        let Some(htlc) = monitor.state().htlcs.get(&(direction, htlc_id)) else { return Ok(true) };
        let preimage = match htlc.removal {
            Some(RemovalReason::Fulfilled { preimage }) => Some(preimage),
            Some(RemovalReason::Failed { .. }) => return Ok(!forward.is_paid),
            None => htlc.claim,
        };
        Ok(if forward.is_paid {
            preimage.is_some_and(|preimage| preimage.payment_hash() == htlc.htlc.payment_hash)
        } else {
            preimage.is_none() && matches!(verdict, Some(Verdict::Failed { .. }))
        })
    }

    /// Says whether the HTLCs of an attempt are in the ledgers: all of them or none.
    fn has_left(&mut self, intent: &Intent) -> Result<bool, Error> {
        let mut found = BTreeSet::new();
        for part in &intent.parts {
            let state = self.driver.monitor(part.channel_id)?.state();
            let entry = state.htlcs.get(&(HtlcDirection::Offered, part.htlc_id));
            found.insert(entry.is_some_and(|entry| match &entry.htlc.origin {
                HtlcOrigin::Payment(origin) => {
                    origin.generation == intent.generation && origin.attempt == intent.attempt
                }
                HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => false,
            }));
        }
        if found.len() > 1 {
            return Err(Error("some parts of one attempt are durable and some are not".into()));
        }
        Ok(found.contains(&true))
    }

    /// Tells the user what there is to tell, unless nobody asks.
    pub(crate) fn listen(&mut self) -> Result<(), Error> {
        if self.case.is_deaf { Ok(()) } else { self.tell() }
    }

    /// The user hears everything there is to hear, and handles it at once.
    fn tell(&mut self) -> Result<(), Error> {
        while let Some(event) = self.driver.next_event() {
            self.check_claimed(&event)?;
            self.case.memory.hear(&event, &self.life.heard).map_err(Error)?;
            self.steps += 1;
            self.note();
            self.driver.event_returned(&event, true)?;
            self.case.memory.was_recorded(&event);
            self.note();
        }
        Ok(())
    }

    /// Judges the end; returns a number that tells final states apart, and what the user was told.
    pub(crate) fn finish(mut self) -> Result<(u64, Tale), Error> {
        if self.case.is_deaf {
            self.case.is_deaf = false;
            self.note();
            self.tell()?;
        }
        self.judge_receipt()?;
        if let Some(forward) = &self.life.forward {
            if !self.is_settled(forward)? {
                return Err(Error("the inbound half is not settled as it must be".into()));
            }
            if !self.is_forward_released(forward)? {
                return Err(Error("the outbound half is kept for ever".into()));
            }
        }
        let rounds: Vec<usize> = self.case.rounds.iter().map(|(round, _)| *round).collect();
        self.case.memory.judge(self.life, &rounds).map_err(Error)?;
        let mut hasher = DefaultHasher::new();
        self.case.memory.hash(&mut hasher);
        for payment in &self.life.payments {
            let payment_id = payment.rounds[0].first.intent.payment_id;
            if self.driver.owes(payment_id) {
                return Err(Error(format!("payment {payment_id} is still owed")));
            }
            let state = self.driver.payment(payment_id).map(|view| view.state);
            match state {
                None | Some(PaymentState::Handled(_)) => {}
                Some(PaymentState::Pending | PaymentState::Decided(_)) => {
                    return Err(Error(format!("the id of payment {payment_id} is not free")));
                }
            }
            matches!(state, Some(PaymentState::Handled(_))).hash(&mut hasher);
        }
        for new in &self.life.born {
            let card = self.driver.monitor(new.parameters.channel_id)?.card();
            (card.latest_update, card.next_deadline, card.synced_to, &card.watched)
                .hash(&mut hasher);
            (card.has_undelivered, card.is_closed, card.has_claims, card.is_archived)
                .hash(&mut hasher);
        }
        Ok((hasher.finish(), self.case.memory.tale(self.life, &rounds)))
    }
}
