//! Paying: the intent and every part in one append, and only then a word to the peer.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use lastword_engine::EngineError;
use lastword_types::{
    HtlcAdded, HtlcId, HtlcOrigin, Intent, IntentPart, Metadata, MonitorUpdate, PartIndex,
    RemoteCommitment, Terms,
};

use super::splice::remote_steps;
use super::view::{Difference, PeerStatus, is_closing};
use super::{Node, Shell, numbered};
use crate::channel::Balances;
use crate::error::{SimError, Trying as _};
use crate::messages::{Answer, PayOrder};

impl<S: Shell> Node<S> {
    pub(super) fn pay(&mut self, order: &PayOrder) -> Result<Answer, SimError> {
        for part in &order.parts {
            self.advance(part.channel)?;
        }
        if !self.has_begun(order)? {
            match self.begin(order)? {
                Answer::Done => {}
                other @ (Answer::IdTaken | Answer::Ledger(_) | Answer::Failed(_)) => {
                    return Ok(other);
                }
            }
        }
        // The HTLCs are durable: they may leave.
        for part in &order.parts {
            self.advance(part.channel)?;
        }
        Ok(Answer::Done)
    }

    /// Says whether this incarnation of the payment is known: by the book, or by a ledger.
    fn has_begun(&mut self, order: &PayOrder) -> Result<bool, SimError> {
        let (payment_id, generation) = (order.payment_id, order.generation);
        // A further attempt that only the book holds was never sent, and is made again.
        let is_first = order.attempt == 0;
        let in_book = self.shell.with(move |driver| {
            driver.payment(payment_id).is_some_and(|view| view.intent.generation == generation)
        })?;
        if in_book && is_first {
            return Ok(true);
        }
        for part in &order.parts {
            let state = self.known(part.channel)?;
            let is_there = state.htlcs.values().any(|entry| match &entry.htlc.origin {
                HtlcOrigin::Payment(origin) => {
                    origin.payment_id == payment_id
                        && origin.generation == generation
                        && origin.attempt >= order.attempt
                }
                HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => false,
            });
            if is_there {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn begin(&mut self, order: &PayOrder) -> Result<Answer, SimError> {
        let (payment_id, fee_msat) = (order.payment_id, order.fee_msat);
        let parts = self.plan_parts(order)?;
        let intent = if order.attempt == 0 {
            first_attempt(order, parts)
        } else {
            self.shell
                .with(move |driver| driver.next_attempt(payment_id, fee_msat, parts))?
                .ok_or(SimError::new("no retry is owed"))?
        };
        let mut updates = Vec::new();
        for channel in order.parts.iter().map(|part| part.channel).collect::<BTreeSet<u16>>() {
            updates.push(self.plan_channel(channel, &intent)?);
        }
        let is_first = order.attempt == 0;
        let sent = self.shell.with(move |driver| {
            if is_first {
                driver.send_payment(intent, updates)
            } else {
                driver.retry_payment(intent, updates)
            }
        })?;
        match sent {
            Ok(()) => Ok(Answer::Done),
            Err(EngineError::PaymentIdBusy(_)) => Ok(Answer::IdTaken),
            Err(error) => Err(error).trying("send a payment"),
        }
    }

    /// Gives each part the next id of its channel.
    fn plan_parts(&mut self, order: &PayOrder) -> Result<Vec<IntentPart>, SimError> {
        let mut statuses: BTreeMap<u16, (PeerStatus, u64)> = BTreeMap::new();
        let mut parts = Vec::new();
        for part in &order.parts {
            let (status, used) = match statuses.entry(part.channel) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert((self.peer_status(part.channel)?, 0)),
            };
            let htlc_id = HtlcId(status.next_htlc_id.0 + *used);
            *used += 1;
            parts.push(IntentPart {
                channel_id: self.seed.channel_id(part.channel),
                htlc_id,
                amount_msat: part.amount_msat,
                part_amount_msat: part.part_amount_msat,
                cltv_expiry: part.cltv_expiry,
            });
        }
        Ok(parts)
    }

    fn plan_channel(&mut self, channel: u16, intent: &Intent) -> Result<MonitorUpdate, SimError> {
        let state = self.known(channel)?;
        if is_closing(&state) || state.remote_previous.is_some() {
            return Err(SimError::new("the channel takes no new HTLC"));
        }
        let mut balances = Balances::of(&state.remote);
        let mut added = Vec::new();
        for (index, part) in (0..).zip(&intent.parts) {
            if part.channel_id == state.parameters.channel_id {
                balances.lock(false, part.amount_msat)?;
                let htlc = intent.htlc(PartIndex(index)).ok_or(SimError::new("no such part"))?;
                added.push(HtlcAdded::New(htlc));
            }
        }
        let change = Difference { added, removed: Vec::new() };
        let commitment: RemoteCommitment =
            self.remote_commitment(channel, &state, balances, change)?;
        numbered(&state, remote_steps(&state, commitment)?)
    }
}

fn first_attempt(order: &PayOrder, parts: Vec<IntentPart>) -> Intent {
    let mut terms = Terms::default();
    terms.retry.attempts_max = order.attempts_max;
    Intent {
        payment_id: order.payment_id,
        generation: order.generation,
        attempt: 0,
        payment_hash: order.payment_hash,
        total_msat: order.total_msat,
        fee_msat: order.fee_msat,
        parts,
        metadata: Metadata::Here(order.metadata.clone()),
        terms,
    }
}
