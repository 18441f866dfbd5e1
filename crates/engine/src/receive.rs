//! Received payments: claimed in all their parts, and told of.

use std::collections::{BTreeMap, BTreeSet};

use lastword_ports::{LedgerState, Ledgers as _};
use lastword_reload::Scope;
use lastword_types::{
    AmountMsat, ChannelId, EntryState, Event, EventKey, HtlcClaim, HtlcDirection, HtlcId, HtlcKey,
    MonitorRecord, PaymentPreimage, PreimageSource,
};

use crate::driver::Driver;
use crate::error::EngineError;
use crate::stage::{Batch, Entry};

impl Driver {
    /// Claims a received payment: every one of its parts, in all channels, as one append.
    ///
    /// From then on each part is ours: the node gives its peer the preimage
    /// ([`Action::FulfillHtlc`](lastword_reload::Action::FulfillHtlc)), and on chain it is claimed by
    /// itself. [`Event::PaymentClaimed`] is told until it is handled.
    ///
    /// # Shape
    ///
    /// `parts` are all HTLCs that the node accepted for the invoice, each once, in any channels;
    /// what they are worth together is what was received.
    ///
    /// # Crash safety
    ///
    /// When it returns `Ok`, every part's claim is durable. After a crash before that, the next start
    /// claims all parts if one is claimed, and else none. The same call again changes nothing.
    ///
    /// # Errors
    ///
    /// [`EngineError::NoParts`], [`EngineError::UnknownChannel`], [`EngineError::Damaged`],
    /// [`EngineError::PartGone`] and refusals of a monitor (the preimage is of another hash, the HTLC is
    /// only passing through, was failed back, or went back to its offerer): nothing was claimed. After
    /// a failure of the store it may be claimed; then that is told.
    pub fn claim_payment(
        &mut self,
        preimage: PaymentPreimage,
        parts: BTreeSet<HtlcKey>,
    ) -> Result<(), EngineError> {
        self.wait_for_disk()?;
        let channels: BTreeSet<ChannelId> = parts.iter().map(|part| part.channel_id).collect();
        for channel_id in channels {
            self.warm(channel_id)?;
        }
        let Some(source) = self.invoice(preimage, &parts)? else {
            // It was claimed before: what may be missing is claimed by the plan, as after a crash.
            return self.replan_scope(received(parts));
        };
        let mut here: BTreeMap<ChannelId, BTreeSet<HtlcId>> = BTreeMap::new();
        for part in parts {
            here.entry(part.channel_id).or_default().insert(part.htlc_id);
        }
        let claim = |(channel_id, htlc_ids)| {
            let source = source.clone();
            let claim = HtlcClaim { channel_id, htlc_ids, preimage, source };
            Entry::Monitor(channel_id, MonitorRecord::Claim(claim))
        };
        self.submit(Batch { entries: here.into_iter().map(claim).collect(), tip: None })
    }

    /// Returns by what right a payment of these parts is claimed, or `None` if it is already.
    fn invoice(
        &self,
        preimage: PaymentPreimage,
        parts: &BTreeSet<HtlcKey>,
    ) -> Result<Option<PreimageSource>, EngineError> {
        let mut amount_msat = AmountMsat(0);
        let mut forgotten = BTreeSet::new();
        for part in parts {
            let LedgerState::Present(ledger) = self.channels.ledger(part.channel_id) else {
                return Err(EngineError::UnknownChannel(part.channel_id));
            };
            match ledger.entry(HtlcDirection::Received, part.htlc_id) {
                EntryState::Entry(entry) => {
                    let is_claimed = entry.claim == Some(&preimage) && is_of(entry.source, parts);
                    if is_claimed {
                        return Ok(None);
                    }
                    let sum = amount_msat.0.saturating_add(entry.htlc.amount_msat.0);
                    amount_msat = AmountMsat(sum);
                }
                EntryState::Forgotten => drop(forgotten.insert(*part)),
                // Its monitor refuses it.
                EntryState::Unknown => {}
            }
        }
        match forgotten.first() {
            _ if parts.is_empty() => Err(EngineError::NoParts),
            // A claim that was told of leaves all of them together.
            Some(_) if forgotten.len() == parts.len() => Ok(None),
            Some(part) => Err(EngineError::PartGone(*part)),
            None => Ok(Some(PreimageSource::Invoice { parts: parts.clone(), amount_msat })),
        }
    }

    /// Takes note that the user's handler returned from the event of a received payment: its parts
    /// are released, all in one append.
    pub(crate) fn claim_told(
        &mut self,
        event: &Event,
        key: EventKey,
        parts: &BTreeSet<HtlcKey>,
    ) -> Result<(), EngineError> {
        let scope = received(parts.clone());
        self.warm_for(&scope);
        let entries = self.releases_after(key, &scope);
        self.write(Batch { entries, tip: None })?;
        self.outbox.handled(event);
        self.settle(Some(scope))?;
        self.tend();
        Ok(())
    }

    /// Says whether an event is of a received payment that the user was durably told of.
    pub(crate) fn is_claim_told(&self, event: &Event) -> bool {
        match event {
            Event::PaymentClaimed { parts, .. } => self.channels.is_told(parts),
            Event::PaymentSent { .. }
            | Event::PaymentPathSuccessful { .. }
            | Event::PaymentPathFailed { .. }
            | Event::PaymentFailed { .. }
            | Event::Alarm(_)
            | Event::Probed { .. }
            | Event::PaymentUnknown { .. } => false,
        }
    }
}

/// Says whether an HTLC is claimed as a part of just this payment.
fn is_of(source: Option<&PreimageSource>, parts: &BTreeSet<HtlcKey>) -> bool {
    match source {
        Some(PreimageSource::Invoice { parts: all, amount_msat: _ }) => all == parts,
        Some(PreimageSource::Downstream { .. }) | None => false,
    }
}

fn received(received: BTreeSet<HtlcKey>) -> Scope {
    Scope::Changed { payments: BTreeSet::new(), forwards: BTreeSet::new(), received }
}
