//! [`Story`]: what the ledgers, taken together, say of one generation of a payment.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use lastword_ports::LedgerState;
use lastword_types::{
    Bug, ChannelId, Event, EventKey, EventKind, Generation, HtlcFailure, Intent, IntentPart,
    Outcome, PartIndex, PaymentId, Told, Verdict,
};

use crate::channel;
use crate::gather::{Found, Part};
use crate::plan::View;
use crate::reason::Reason;

/// The parts of one generation, of all its attempts, and what is known to be missing.
#[derive(Debug)]
pub(crate) struct Story<'a> {
    pub(crate) payment_id: PaymentId,
    pub(crate) generation: Generation,
    /// In the order of attempt and part.
    pub(crate) parts: &'a [Part<'a>],
    /// What the tombstones of its parts say that the user was told, if there are any.
    buried: Option<Outcome>,
    /// The book is older than the last tombstones that were dropped, so that no trace is no proof
    /// (R10).
    is_book_old: bool,
    /// A part has no entry in a ledger that was read to its end, and no update on its way there
    /// can bring one: it was never sent (R2).
    has_unsent: bool,
    /// Channels that should know a part and cannot be read to their end, each with the reason.
    unreadable: BTreeMap<ChannelId, Reason>,
    /// Damaged channels, any of which may know a later attempt than all that were found.
    hidden: BTreeSet<ChannelId>,
}

/// What a story comes to while no part is delivered.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Finding {
    /// The outcome is certain.
    Decided(Outcome, Reason),
    /// A part can still go either way.
    Open,
    /// No part decides it, and a ledger cannot be read.
    Unreadable,
    /// Every attempt failed, and another one of this number may be made.
    RetryOwed(u32),
}

impl<'a> Story<'a> {
    /// Reads a generation; `intent` is the book's, if the book holds this generation.
    ///
    /// A part of the book matches an entry by channel, HTLC id, payment id, generation, attempt and
    /// part (R2). The parts of an attempt are therefore counted by the entries of that attempt: an
    /// entry in another HTLC than the book says is a part of its own, and what the book says was
    /// then never sent, which changes neither the outcome nor its least reason.
    pub(crate) fn read(
        view: &View<'_>,
        (payment_id, generation): (PaymentId, Generation),
        found: &'a Found<'a>,
        intent: Option<&Intent>,
    ) -> Self {
        let parts = found.parts_of(generation);
        let mut story = Self {
            payment_id,
            generation,
            parts,
            buried: found.buried.get(&generation).copied(),
            is_book_old: view.payments.epoch() < view.ledgers.pruned_behind(),
            has_unsent: false,
            unreadable: BTreeMap::new(),
            hidden: BTreeSet::new(),
        };
        for attempt in parts.chunk_by(|one, next| one.origin.attempt == next.origin.attempt) {
            let is_present =
                |index| attempt.binary_search_by_key(&index, |it| it.origin.part).is_ok();
            let channels = attempt.first().map_or(&[][..], |part| &part.origin.part_channels);
            let siblings = (0_u16..).map(PartIndex).zip(channels);
            for (_, channel_id) in siblings.filter(|(index, _)| !is_present(*index)) {
                story.note_absent(view, *channel_id);
            }
        }
        let is_traced = |attempt| parts.iter().any(|part| part.origin.attempt == attempt);
        if let Some(intent) = intent.filter(|intent| !is_traced(intent.attempt)) {
            for part in &intent.parts {
                story.note_absent(view, part.channel_id);
            }
        }
        let earlier = parts.iter().flat_map(|part| &part.origin.terms.earlier_channels);
        for channel_id in earlier.chain(intent.iter().flat_map(|i| &i.terms.earlier_channels)) {
            story.note_unreadable(view, *channel_id);
        }
        if story.may_be_retried() {
            view.ledgers.for_each_damaged(&mut |channel_id| {
                story.hidden.insert(channel_id);
            });
        }
        story
    }

    /// Says whether the terms allow another attempt after all that a ledger holds, and nobody gave
    /// the payment up. Without an HTLC there is nothing to try again (R2).
    pub(crate) fn may_be_retried(&self) -> bool {
        let is_given_up = self.parts.iter().any(|part| part.is_given_up);
        let last = self.parts.last();
        let is_over = is_given_up || Bug::RetryLost.is_planted();
        last.is_some_and(|part| part.origin.terms.allows_after(part.origin.attempt) && !is_over)
    }

    fn note_absent(&mut self, view: &View<'_>, channel_id: ChannelId) {
        if let LedgerState::Present(ledger) = view.ledgers.ledger(channel_id)
            && channel::is_in_flight(view, &ledger.head())
        {
            // An update that is written again may bring the HTLC, so it may yet be sent.
            self.unreadable.insert(channel_id, Reason::InFlight);
        } else if self.note_unreadable(view, channel_id) {
            self.has_unsent = true;
        }
    }

    /// Notes a channel that cannot be read, and says whether this one can.
    fn note_unreadable(&mut self, view: &View<'_>, channel_id: ChannelId) -> bool {
        let reason = match view.ledgers.ledger(channel_id) {
            LedgerState::Present(_) => return true,
            LedgerState::Missing => Reason::MonitorMissing,
            LedgerState::Damaged => Reason::MonitorDamaged,
        };
        self.unreadable.insert(channel_id, reason);
        false
    }

    pub(crate) fn has_undelivered(&self) -> bool {
        self.parts.iter().any(Part::is_undelivered)
    }

    /// Returns what the user was told, if a ledger proves it by an entry or a tombstone (R6).
    ///
    /// All releases of a generation name one outcome. Should two differ, the one that says sent is
    /// taken: a preimage cannot be invented.
    pub(crate) fn told(&self) -> Option<Outcome> {
        let told = self.parts.iter().filter_map(|part| match part.delivered {
            Some(Told::Payment { generation, outcome }) if generation == self.generation => {
                Some(outcome)
            }
            Some(Told::Payment { .. } | Told::Forward | Told::Claimed) | None => None,
        });
        if Bug::OnePartIsNotOver.is_planted() && self.has_undelivered() {
            return None;
        }
        told.chain(self.buried).min_by_key(Outcome::kind)
    }

    /// Returns what the ledgers come to, whatever any book says (R3, R4).
    pub(crate) fn finding(&self, is_abandoned: bool) -> Finding {
        let seen = if Bug::OnePass.is_planted() { 1 } else { self.parts.len() };
        // One fulfilled part decides, even while another monitor cannot be read.
        if let Some(outcome) = self.parts.iter().take(seen).find_map(sent_by) {
            return Finding::Decided(outcome, Reason::PartFulfilled);
        }
        // Tombstones are dropped of what is over and released in every ledger; an entry that is not
        // released therefore says that nothing of its generation was dropped. A damaged ledger may hold
        // just such an entry.
        if self.parts.is_empty() && self.is_book_old && !self.is_damaged() {
            return Finding::Decided(Outcome::Unknown, Reason::TracesDropped);
        }
        if !self.unreadable.is_empty() || !self.hidden.is_empty() {
            return Finding::Unreadable;
        }
        if self.parts.is_empty() && Bug::NeverSentHangs.is_planted() {
            return Finding::Open;
        }
        if self.parts.is_empty() {
            // An older book may not know that it was abandoned, so that is no reason to be told.
            let reason = HtlcFailure::NeverSent;
            let why = if is_abandoned { Reason::Abandoned } else { Reason::NeverSent };
            return Finding::Decided(Outcome::Failed { reason }, why);
        }
        // Where HTLCs exist, the reason is a function of the ledgers alone, so that it is the same
        // with a book, with an older one and with none.
        let mut least = self.has_unsent.then_some(HtlcFailure::NeverSent);
        for part in self.parts.iter().take(seen) {
            match part.verdict {
                Verdict::Live | Verdict::Failing { .. } if Bug::FailedPartDecides.is_planted() => {}
                Verdict::Failed { reason } => {
                    least = Some(least.map_or(reason, |least| least.min(reason)));
                }
                Verdict::Live | Verdict::Failing { .. } | Verdict::Fulfilled { .. } => {
                    return Finding::Open;
                }
            }
        }
        if let Some(last) = self.parts.last().filter(|_| self.may_be_retried()) {
            return Finding::RetryOwed(last.origin.attempt.saturating_add(1));
        }
        least.map_or(Finding::Open, |reason| {
            Finding::Decided(Outcome::Failed { reason }, Reason::AllPartsFailed)
        })
    }

    fn is_damaged(&self) -> bool {
        self.unreadable.values().any(|reason| *reason == Reason::MonitorDamaged)
    }

    pub(crate) fn key(&self, kind: EventKind) -> EventKey {
        EventKey { payment_id: self.payment_id, generation: self.generation, kind }
    }

    /// Returns the events of the failed parts that are not handled.
    pub(crate) fn paths_failed<'s>(
        &'s self,
        view: &'s View<'_>,
    ) -> impl Iterator<Item = Event> + 's {
        let events = self.parts.iter().filter_map(|part| match part.verdict {
            Verdict::Failed { reason } => Some(Event::PaymentPathFailed {
                payment_id: self.payment_id,
                generation: self.generation,
                attempt: part.origin.attempt,
                part: part.origin.part,
                htlc: part.key,
                reason,
            }),
            Verdict::Live | Verdict::Failing { .. } | Verdict::Fulfilled { .. } => None,
        });
        unhandled(view, events)
    }

    /// Returns the events of the fulfilled, undelivered parts that are not handled.
    pub(crate) fn paths_taken<'s>(
        &'s self,
        view: &'s View<'_>,
    ) -> impl Iterator<Item = Event> + 's {
        let undelivered = self.parts.iter().filter(|part| part.is_undelivered());
        let events = undelivered.filter_map(|part| match part.verdict {
            Verdict::Fulfilled { .. } => Some(Event::PaymentPathSuccessful {
                payment_id: self.payment_id,
                generation: self.generation,
                attempt: part.origin.attempt,
                part: part.origin.part,
                htlc: part.key,
                amount_msat: part.origin.part_amount_msat,
            }),
            Verdict::Live | Verdict::Failing { .. } | Verdict::Failed { .. } => None,
        });
        unhandled(view, events)
    }

    /// Returns the intent as far as the entries tell it, or `None` if there is no entry.
    ///
    /// Of several attempts it is the last. Parts that no ledger names are missing, so a part's
    /// place in the list need not be its index.
    pub(crate) fn intent(&self) -> Option<Intent> {
        let of_attempt = self.last_attempt();
        let first = of_attempt.first()?;
        // Two entries that claim the same part are one.
        let of_parts = of_attempt.chunk_by(|one, next| one.origin.part == next.origin.part);
        let mut parts = Vec::with_capacity(of_attempt.len());
        parts.extend(of_parts.filter_map(|same| same.first().map(intent_part)));
        // The first part carries the caller's data itself, the others its hash.
        let metadata = first.origin.metadata.clone();
        Some(Intent {
            payment_id: self.payment_id,
            generation: self.generation,
            attempt: first.origin.attempt,
            payment_hash: first.htlc.payment_hash,
            total_msat: first.origin.total_msat,
            fee_msat: first.origin.fee_msat,
            parts,
            metadata,
            terms: first.origin.terms.clone(),
        })
    }

    /// Returns the parts of the last attempt that a ledger holds.
    pub(crate) fn last_attempt(&self) -> &'a [Part<'a>] {
        let last = self.parts.last().map(|part| part.origin.attempt);
        let first = self.parts.partition_point(|part| Some(part.origin.attempt) < last);
        self.parts.get(first..).unwrap_or_default()
    }

    /// Returns the channels of earlier attempts that cannot be read, while a later one has something
    /// to release.
    pub(crate) fn unreadable_earlier(&self) -> BTreeMap<ChannelId, Reason> {
        let undelivered = self.parts.iter().filter(|part| part.is_undelivered());
        let earlier = undelivered.flat_map(|part| &part.origin.terms.earlier_channels);
        earlier.filter_map(|id| self.unreadable.get(id).map(|reason| (*id, *reason))).collect()
    }

    /// Returns what has to be looked at again before the payment can be decided, with reasons.
    pub(crate) fn waits_for(&self) -> impl Iterator<Item = (ChannelId, Reason)> + '_ {
        let unreadable = self.unreadable.iter().map(|(channel_id, reason)| (*channel_id, *reason));
        let hidden = self.hidden.iter().filter(|id| !self.unreadable.contains_key(id));
        unreadable.chain(hidden.map(|channel_id| (*channel_id, Reason::AttemptHidden)))
    }
}

fn sent_by(part: &Part<'_>) -> Option<Outcome> {
    match part.verdict {
        Verdict::Fulfilled { preimage, .. } => Some(Outcome::Sent {
            preimage,
            amount_msat: part.origin.total_msat,
            fee_msat: part.origin.fee_msat,
        }),
        Verdict::Live | Verdict::Failing { .. } | Verdict::Failed { .. } => None,
    }
}

/// Leaves out what the user handled. Two entries that claim the same part share one event; the events
/// come in the order of the parts.
fn unhandled<'s>(
    view: &'s View<'_>,
    events: impl Iterator<Item = Event> + 's,
) -> impl Iterator<Item = Event> + 's {
    let mut last = None;
    events.filter(move |event| {
        let key = event.key();
        let is_new = key != core::mem::replace(&mut last, key);
        is_new && key.is_some_and(|key| !view.payments.is_handled(key))
    })
}

fn intent_part(part: &Part<'_>) -> IntentPart {
    IntentPart {
        channel_id: part.key.channel_id,
        htlc_id: part.key.htlc_id,
        amount_msat: part.htlc.amount_msat,
        part_amount_msat: part.origin.part_amount_msat,
        cltv_expiry: part.htlc.cltv_expiry,
    }
}
