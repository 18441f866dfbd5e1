//! Payments as the caller drives them: begun, tried again, given up, asked for.

use std::collections::{BTreeMap, BTreeSet};

use lastword_payments::PaymentError;
use lastword_ports::{PaymentBook, Stream};
use lastword_reload::{Action, PaymentStatus, RetryOwed, Scope, retry_owed, status};
use lastword_types::{
    AmountMsat, ChannelId, Htlc, HtlcAdded, HtlcDirection, Intent, IntentPart, MonitorRecord,
    MonitorUpdate, PartIndex, PaymentId, PaymentRecord, PaymentState, UpdateStep,
};

use crate::driver::{Driver, Request};
use crate::error::EngineError;
use crate::stage::{Batch, Entry};

impl Driver {
    /// Starts a payment: the intent first, then the updates that hold its HTLCs, as one append.
    ///
    /// # Shape
    ///
    /// One update for each channel of the intent; together they add every part's HTLC as
    /// [`Intent::htlc`] says it, in a `RemoteCommitment`.
    ///
    /// # Crash safety
    ///
    /// The HTLCs may leave this node when it returns `Ok`. After a crash before that, the parts
    /// that did not become durable count as never sent (rule R2).
    ///
    /// # Errors
    ///
    /// [`EngineError::PaymentIdBusy`] until the id's outcome is durably told (rule R8);
    /// [`EngineError::PartWithoutUpdate`], [`EngineError::SeveralUpdates`], and refusals of the book
    /// or a monitor: nothing was written. After a failure of the store the payment may exist; then
    /// its failure is told.
    pub fn send_payment(
        &mut self,
        intent: Intent,
        updates: Vec<MonitorUpdate>,
    ) -> Result<(), EngineError> {
        let request = Request::Send { intent, updates };
        self.submit_requests(vec![request]).pop().unwrap_or(Ok(()))
    }

    /// Gives a payment up: nothing more is tried. HTLCs that left are waited for.
    ///
    /// # Crash safety
    ///
    /// Durable when it returns `Ok`, in the book and, where an HTLC left and another attempt would
    /// be allowed, in its ledger: an older book does not take it back.
    ///
    /// # Errors
    ///
    /// A refusal of the book, a failure of the store.
    pub fn abandon_payment(&mut self, payment_id: PaymentId) -> Result<(), EngineError> {
        self.wait_for_disk()?;
        let Some(view) = self.payments.payment(payment_id) else {
            return Err(EngineError::Payment(PaymentError::UnknownPayment { payment_id }));
        };
        let generation = view.intent.generation;
        let record = PaymentRecord::Abandoned { payment_id, generation };
        self.submit(Batch { entries: vec![Entry::Payment(record)], tip: None })?;
        self.forget_retry(payment_id);
        self.replan(payment_id)
    }

    /// Tries a payment again, with the attempt that [`Action::Retry`] names: its record first, then
    /// the updates that hold its HTLCs, as one append.
    ///
    /// # Shape
    ///
    /// `attempt` is made by [`next_attempt`](Self::next_attempt); `updates` as in
    /// [`send_payment`](Self::send_payment).
    ///
    /// # Crash safety
    ///
    /// As [`send_payment`](Self::send_payment). An attempt of which nothing became durable was not
    /// made: the same number is owed again.
    ///
    /// # Errors
    ///
    /// [`EngineError::RetryNotOwed`] while a part can still be paid, after a last word, once the
    /// terms or the caller allow no more, and while a monitor cannot be read that may know better;
    /// otherwise as [`send_payment`](Self::send_payment).
    pub fn retry_payment(
        &mut self,
        attempt: Intent,
        updates: Vec<MonitorUpdate>,
    ) -> Result<(), EngineError> {
        self.wait_for_disk()?;
        let payment_id = attempt.payment_id;
        self.check_owed(&attempt)?;
        check_parts(&attempt, &updates)?;
        let mut entries = vec![Entry::Payment(PaymentRecord::Retried(attempt))];
        entries.extend(
            updates
                .into_iter()
                .map(|update| Entry::Monitor(update.channel_id, MonitorRecord::Update(update))),
        );
        let result = self.submit(Batch { entries, tip: None });
        match result {
            Ok(()) => self.forget_retry(payment_id),
            // The attempt may be in the book without its HTLCs; then it is owed again.
            Err(_) => self.replan(payment_id)?,
        }
        result
    }

    /// Returns the intent of the attempt that a payment may be tried with now, over these parts, or
    /// `None` if none is owed.
    pub fn next_attempt(
        &mut self,
        payment_id: PaymentId,
        fee_msat: AmountMsat,
        parts: Vec<IntentPart>,
    ) -> Option<Intent> {
        let owed = self.retry_owed(payment_id)?;
        let held = self.payments.payment(payment_id)?.intent;
        Some(owed.intent(held, fee_msat, parts))
    }

    fn retry_owed(&mut self, payment_id: PaymentId) -> Option<RetryOwed> {
        self.warm_for(&scope_of(payment_id));
        retry_owed(payment_id, &self.view())
    }

    /// Compares an attempt with the one that the ledgers allow.
    fn check_owed(&mut self, attempt: &Intent) -> Result<(), EngineError> {
        let payment_id = attempt.payment_id;
        let owed = self.retry_owed(payment_id);
        let is_owed = owed.as_ref().is_some_and(|owed| {
            owed.generation == attempt.generation
                && owed.attempt == attempt.attempt
                && owed.earlier_channels.is_subset(&attempt.terms.earlier_channels)
        });
        if is_owed {
            return Ok(());
        }
        let owed = owed.map(|owed| owed.attempt);
        Err(EngineError::RetryNotOwed { payment_id, attempt: attempt.attempt, owed })
    }

    /// Takes advice back that a payment may be tried again.
    fn forget_retry(&mut self, payment_id: PaymentId) {
        self.advice.retain(|planned| {
            !matches!(planned.action, Action::Retry { payment_id: of, .. } if of == payment_id)
        });
    }

    /// Says what is durably known of a payment, live or long finished; what is in flight is waited for.
    ///
    /// One that has left the book costs a read. A payment that nobody knows, or that came to its end
    /// before the last million, costs a look into every monitor.
    ///
    /// # Errors
    ///
    /// A failure of the store. A damaged channel is left out; [`damaged`](Self::damaged) names it.
    pub fn payment_status(&mut self, payment_id: PaymentId) -> Result<PaymentStatus, EngineError> {
        self.wait_for_disk()?;
        let mut channels = self.channels.channels_of(payment_id);
        if self.payments.payment(payment_id).is_none() && channels.is_empty() {
            let past = self.past_of(payment_id)?;
            if !past.is_empty() {
                return Ok(PaymentStatus::Past(past.into_iter().collect()));
            }
            channels = self.search(payment_id)?;
        }
        for channel_id in &channels {
            // One that cannot be read is set apart.
            drop(self.warm(*channel_id));
        }
        self.warm_for(&scope_of(payment_id));
        Ok(status(payment_id, &self.view(), &channels))
    }

    /// Looks into every monitor for a payment, without keeping those in memory that were not.
    fn search(&self, payment_id: PaymentId) -> Result<BTreeSet<ChannelId>, EngineError> {
        let mut found = BTreeSet::new();
        for channel_id in self.channels.ids() {
            let store = self.logs.store(Stream::Channel(channel_id));
            match self.channels.knows(channel_id, payment_id, store) {
                Ok(true) => drop(found.insert(channel_id)),
                Ok(false) => {}
                Err(error @ EngineError::Store(_)) => return Err(error),
                Err(error) => tracing::warn!(%channel_id, %error, "a channel is not searched"),
            }
        }
        Ok(found)
    }

    /// Notes when a payment is given up that may be tried again until then.
    pub(crate) fn note_deadline(&mut self, intent: &Intent) {
        let retry = intent.terms.retry;
        if let Some(height) = retry.deadline_height.filter(|_| retry.attempts_max > 1) {
            self.deadlines.insert((height, intent.payment_id));
        }
    }

    /// Gives up every payment whose deadline the tip has reached.
    pub(crate) fn give_up_overdue(&mut self) -> Result<(), EngineError> {
        let tip = self.tip().height;
        if self.is_starting {
            return Ok(());
        }
        while let Some((height, payment_id)) = self.deadlines.first().copied() {
            if height > tip {
                return Ok(());
            }
            let is_open = self.payments.payment(payment_id).is_some_and(|view| {
                let deadline_height = view.intent.terms.retry.deadline_height;
                view.state == PaymentState::Pending && deadline_height == Some(height)
            });
            if is_open {
                self.abandon_payment(payment_id)?;
            }
            self.deadlines.remove(&(height, payment_id));
        }
        Ok(())
    }
}

fn scope_of(payment_id: PaymentId) -> Scope {
    Scope::of_payment(payment_id)
}

/// Checks that every part of an intent is added by exactly the update of its channel.
pub(crate) fn check_parts(intent: &Intent, updates: &[MonitorUpdate]) -> Result<(), EngineError> {
    let mut added: BTreeMap<ChannelId, Vec<&Htlc>> = BTreeMap::new();
    for update in updates {
        let htlcs = update.steps.iter().flat_map(offered_htlcs).collect();
        if added.insert(update.channel_id, htlcs).is_some() {
            return Err(EngineError::SeveralUpdates(update.channel_id));
        }
    }
    for (index, part) in intent.parts.iter().enumerate() {
        // The book refuses more parts than an index can say.
        let index = PartIndex(u16::try_from(index).unwrap_or(u16::MAX));
        let wanted = intent.htlc(index);
        let htlcs = added.get(&part.channel_id).map_or(&[][..], Vec::as_slice);
        if !htlcs.iter().any(|htlc| Some(*htlc) == wanted.as_ref()) {
            return Err(EngineError::PartWithoutUpdate(index));
        }
    }
    Ok(())
}

pub(crate) fn offered_htlcs(step: &UpdateStep) -> Vec<&Htlc> {
    let UpdateStep::RemoteCommitment(commitment) = step else { return Vec::new() };
    let new = commitment.added.iter().filter_map(|added| match added {
        HtlcAdded::New(htlc) => Some(htlc),
        HtlcAdded::Known { .. } => None,
    });
    new.filter(|htlc| htlc.direction == HtlcDirection::Offered).collect()
}
