//! Resolving one payment: from its generations in the ledgers and its entry in the book to actions.
//!
//! # Several generations of one id
//!
//! The book holds one generation of an id, the ledgers may hold several. Nothing is merged across
//! them. By rule R8 an id is given away again only when no ledger holds an undelivered entry of it,
//! and ledgers never go back; so at most one generation has undelivered entries, and if it is not
//! the book's, then the book's is older and was over when it began.
//!
//! - No other generation has undelivered entries: the book's is resolved.
//! - Another one has, and the book's has none: it was handled, told and not recorded, or never
//!   sent. The other is rebuilt in its place and resolved, in silence about the book's.
//! - Both have, which is against R8: the book's comes first. Of the other, if it is over (R6), the
//!   rest is released in silence; if not, it waits.
//!
//! In the second case the book's may be pending with no entry anywhere. Either it was told before
//! the other was accepted, or its only trace was lost with a newer book; and to tell its failure
//! could disturb the payment that took its id.
//!
//! # When the ledgers contradict the book
//!
//! A recorded outcome that was not handled is only told while the ledgers bear it out (R3). They
//! can fail to do so only if one of the two was restored from another history, for what is recorded
//! was decided by final verdicts in durable ledgers. An event leaves only when those verdicts are
//! durable (R4), and a ledger that had them has them still; so a recorded outcome that the ledgers
//! deny was never told, and to follow the ledgers never tells two outcomes. A ledger that cannot be
//! read denies nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use lastword_ports::{LedgerState, PaymentView};
use lastword_types::{
    Bug, ChannelId, Event, EventKind, Generation, GiveUp, HtlcFailure, Intent, Outcome,
    OutcomeKind, PaymentId, PaymentRecord, PaymentState, Purpose, ReleasePaymentComplete, Told,
    Verdict,
};

use crate::action::{Action, Planned};
use crate::gather::{self, Found, Part};
use crate::plan::View;
use crate::reason::Reason;
use crate::story::{Finding, Story};

/// The failure with which a recipient answers an HTLC whose hash it does not know.
///
/// Source: BOLT 4, `incorrect_or_unknown_payment_details` (`PERM|15`).
const REACHED: u16 = 0x400F;

/// Appends what is to be done about one payment.
pub(crate) fn plan_payment(
    view: &View<'_>,
    payment_id: PaymentId,
    found: &Found<'_>,
    actions: &mut Vec<Planned>,
) {
    let book = view.payments.payment(payment_id);
    let held = book.map(|book| book.intent.generation);
    let read = |generation: Generation| {
        let intent = book.map(|book| book.intent).filter(|_| held == Some(generation));
        Story::read(view, (payment_id, generation), found, intent)
    };
    let mut generations = found.generations_of_parts();
    if let (Some(only), None) = (generations.next(), generations.next())
        && held.is_none_or(|held| held == only)
    {
        // Nearly always there is only one, and nothing to choose.
        let story = read(only);
        if held.is_some() || story.has_undelivered() {
            Case { view, story, actions, told_anew: None }.resolve(book);
        }
        return;
    }
    let generations = found.generations_of_parts();
    let mut undelivered: Vec<Story<'_>> =
        generations.map(read).filter(Story::has_undelivered).collect();
    let Some(current) = current_generation(held, &undelivered) else {
        return;
    };
    let place = undelivered.iter().position(|story| story.generation == current);
    let story = place.map_or_else(|| read(current), |place| undelivered.remove(place));
    Case { view, story, actions, told_anew: None }.resolve(book);
    for other in &undelivered {
        plan_other(other, current, actions);
    }
}

/// Returns the generation that is resolved; see the list at the head of this module.
pub(crate) fn current_generation(
    held: Option<Generation>,
    undelivered: &[Story<'_>],
) -> Option<Generation> {
    let holds_held = undelivered.iter().any(|story| Some(story.generation) == held);
    if holds_held || undelivered.is_empty() {
        return held;
    }
    // One that is not over comes first: it has something to tell. Only one can be here (R8); should
    // there be more, the order of their ids does not depend on the order of the ledgers.
    let open = undelivered.iter().find(|story| story.told().is_none());
    open.or(undelivered.first()).map(|story| story.generation)
}

/// Says what becomes of a generation that is not the one to be resolved.
fn plan_other(story: &Story<'_>, current: Generation, actions: &mut Vec<Planned>) {
    let undelivered = story.parts.iter().filter(|part| part.is_undelivered());
    match story.told() {
        Some(outcome) => {
            for part in undelivered.filter(|part| part.verdict.is_final()) {
                actions.push(release(story.generation, part, outcome, Reason::Over));
            }
        }
        None => actions.extend(undelivered.take(1).map(|part| Planned {
            action: Action::Wait { payment_id: story.payment_id, channel_id: part.key.channel_id },
            reason: Reason::GenerationInTheWay { unfinished: current },
        })),
    }
}

/// One generation on its way to actions.
struct Case<'a, 'v> {
    view: &'a View<'v>,
    story: Story<'a>,
    actions: &'a mut Vec<Planned>,
    /// Why what is queued for the payment may be of another tale: it is replaced even by nothing.
    told_anew: Option<Reason>,
}

impl Case<'_, '_> {
    fn resolve(&mut self, book: Option<PaymentView<'_>>) {
        let own = book.filter(|book| book.intent.generation == self.story.generation);
        if own.is_none() && self.story.parts.is_empty() {
            // Neither a book nor an entry: there is nothing to speak of.
            return;
        }
        let state = own.map_or(PaymentState::Pending, |own| own.state);
        if book.is_none() && Bug::UnknownIsIgnored.is_planted() {
            return;
        }
        if own.is_none() {
            let reason = book.map_or(Reason::Unknown, |book| Reason::Superseded {
                earlier: book.intent.generation,
            });
            self.told_anew = book.map(|_| reason);
            if let Some(rebuilt) = self.story.intent() {
                self.record(PaymentRecord::Rebuilt(rebuilt), reason);
            }
        }
        let told = self.story.told().filter(|_| !Bug::ToldAgain.is_planted());
        let later = self.later_attempt(own);
        if let (Some(later), PaymentState::Pending) = (&later, state) {
            // Also of what was told: from then on the book alone leads to the last attempt, which may
            // have something to release when all that led to the book is released.
            self.record(PaymentRecord::Rebuilt(later.clone()), Reason::AttemptLost);
        }
        // That of a payment that was rebuilt in this plan is what the ledgers say, and nothing else.
        let intent = later.as_ref().or(own.map(|own| own.intent));
        if book.is_none() && Bug::UnknownIsReleased.is_planted() {
            return self.adopt(Outcome::Unknown);
        }
        match (state, told) {
            (PaymentState::Handled(Outcome::Unknown), None) if self.story.parts.is_empty() => {
                self.note_unknown(intent);
            }
            (PaymentState::Handled(outcome), told) => self.finish(outcome, told),
            (PaymentState::Pending | PaymentState::Decided(_), Some(told)) => self.adopt(told),
            (PaymentState::Pending, None) => {
                self.decide(intent, None, own.is_some_and(|own| own.is_abandoned));
            }
            (PaymentState::Decided(recorded), None) => {
                self.decide(intent, Some(recorded), own.is_some_and(|own| own.is_abandoned));
            }
        }
    }

    /// Returns the last attempt of the ledgers if the book is older than it.
    fn later_attempt(&self, own: Option<PaymentView<'_>>) -> Option<Intent> {
        let held = own?.intent.attempt;
        let is_older = self.story.parts.last().is_some_and(|part| part.origin.attempt > held);
        is_older.then(|| self.story.intent())?
    }

    /// The user handled the outcome: path events of parts that were taken, then releases (R5).
    ///
    /// The book and the ledgers cannot differ here, for neither takes another outcome than the one
    /// that was told. Should they, nothing is told and the ledgers stay of one mind.
    fn finish(&mut self, handled: Outcome, told: Option<Outcome>) {
        let outcome = told.unwrap_or(handled);
        let events = match (handled.kind(), outcome.kind()) {
            (OutcomeKind::Sent, OutcomeKind::Sent) => self.story.paths_taken(self.view).collect(),
            (OutcomeKind::Sent | OutcomeKind::Failed | OutcomeKind::Unknown, _) => Vec::new(),
        };
        let untold: Vec<_> = events.iter().filter_map(Event::key).collect();
        self.tell(events, Reason::PathTaken);
        // A later attempt names the channels of the earlier ones and not the other way round: an
        // earlier one that is not released with it would one day look like the whole story.
        let unreadable = self.story.unreadable_earlier();
        if !unreadable.is_empty() {
            return self.wait_for(unreadable);
        }
        self.release_final(outcome, Reason::Handled, &|story, part| {
            matches!(part.verdict, Verdict::Fulfilled { .. })
                && untold.contains(&story.key(path_taken(part)))
        });
    }

    /// The user heard that nobody knows. No entry says so, for there is none; so every ledger that
    /// the book names keeps it, and an older book finds it there (R10).
    fn note_unknown(&mut self, intent: Option<&Intent>) {
        let Story { payment_id, generation, .. } = self.story;
        let channels: BTreeSet<ChannelId> =
            intent.into_iter().flat_map(gather::channels_of).collect();
        for channel_id in channels {
            if let LedgerState::Present(_) = self.view.ledgers.ledger(channel_id) {
                let action = Action::NoteUnknown { channel_id, payment_id, generation };
                self.actions.push(Planned { action, reason: Reason::Handled });
            }
        }
    }

    /// The user knows the outcome, and this book did not: no event, release the rest (R6).
    ///
    /// The path events of parts that were taken are noted as known in the same breath, so that a
    /// crash before the releases does not bring them up again.
    fn adopt(&mut self, outcome: Outcome) {
        let Story { payment_id, generation, .. } = self.story;
        self.record(PaymentRecord::Adopted { payment_id, generation, outcome }, Reason::Over);
        self.told_anew = Some(Reason::Over);
        if outcome.kind() == OutcomeKind::Sent {
            let taken = self.story.paths_taken(self.view).filter_map(|event| event.key());
            let keys: Vec<_> = taken.collect();
            for key in keys {
                self.record(PaymentRecord::Handled { key }, Reason::Over);
            }
        }
        self.tell_nothing();
        self.release_final(outcome, Reason::Over, &|_, _| false);
    }

    /// No part is delivered and the user handled no outcome: the ledgers decide (R2, R3, R4).
    fn decide(&mut self, intent: Option<&Intent>, recorded: Option<Outcome>, is_abandoned: bool) {
        let mut finding = self.story.finding(is_abandoned);
        if recorded == Some(Outcome::Unknown) && self.story.parts.is_empty() {
            // The book may have entered a later epoch since; there is still no trace to follow.
            finding = Finding::Decided(Outcome::Unknown, Reason::TracesDropped);
        }
        let recorded = match (recorded, finding) {
            (Some(recorded), Finding::Decided(found, _)) if recorded.kind() != found.kind() => {
                self.reopen(intent)
            }
            (Some(_), Finding::Open | Finding::RetryOwed(_)) => self.reopen(intent),
            // A ledger that cannot be read denies nothing; and of one kind there is one outcome.
            (
                recorded,
                Finding::Decided(..) | Finding::Unreadable | Finding::Open | Finding::RetryOwed(_),
            ) => recorded,
        };
        match finding {
            Finding::Decided(found, reason) => {
                if recorded.is_none() {
                    let Story { payment_id, generation, .. } = self.story;
                    let outcome = found;
                    self.record(PaymentRecord::Decided { payment_id, generation, outcome }, reason);
                }
                let events = self.last_words(intent, recorded.unwrap_or(found));
                self.tell(events, reason);
                if Bug::ReleaseBeforeHandled.is_planted() {
                    self.release_final(recorded.unwrap_or(found), reason, &|_, _| false);
                }
            }
            Finding::Open => {
                let events = self.story.paths_failed(self.view).collect();
                self.tell(events, Reason::SomePartsFailed);
                if Bug::ReleaseOnAPathEvent.is_planted() {
                    let outcome = Outcome::Failed { reason: HtlcFailure::TimedOut };
                    self.release_final(outcome, Reason::SomePartsFailed, &|_, _| false);
                }
                if is_abandoned && self.story.may_be_retried() {
                    self.give_up();
                }
            }
            Finding::RetryOwed(attempt) => {
                let events = self.story.paths_failed(self.view).collect();
                self.tell(events, Reason::SomePartsFailed);
                if is_abandoned {
                    self.give_up();
                } else {
                    let Story { payment_id, generation, .. } = self.story;
                    let action = Action::Retry { payment_id, generation, attempt };
                    self.actions.push(Planned { action, reason: Reason::RetryOwed });
                }
            }
            Finding::Unreadable => self.wait(),
        }
    }

    /// Notes the end of the retries where every later plan finds it, with a book and without: only
    /// then can the payment fail (R5).
    fn give_up(&mut self) {
        let Story { generation, parts, .. } = self.story;
        let last = parts.last().map(|part| part.origin.attempt);
        for part in parts.iter().filter(|part| Some(part.origin.attempt) == last) {
            let action = Action::GiveUp(GiveUp { htlc: part.key, generation });
            self.actions.push(Planned { action, reason: Reason::GivenUp });
        }
    }

    /// What decides the payment cannot be read (R2). It may be a last word that was told already,
    /// after which failed parts are silent; so they are silent until it can be read.
    fn wait(&mut self) {
        self.tell_nothing();
        self.wait_for(self.story.waits_for().collect());
    }

    fn wait_for(&mut self, channels: BTreeMap<ChannelId, Reason>) {
        let payment_id = self.story.payment_id;
        for (channel_id, reason) in channels {
            let action = Action::Wait { payment_id, channel_id };
            self.actions.push(Planned { action, reason });
        }
    }

    fn reopen(&mut self, intent: Option<&Intent>) -> Option<Outcome> {
        if let Some(intent) = intent {
            self.record(PaymentRecord::Rebuilt(intent.clone()), Reason::Contradicted);
        }
        self.told_anew = Some(Reason::Contradicted);
        None
    }

    /// Returns what is to be told of a payment whose outcome is certain and not handled.
    fn last_words(&self, intent: Option<&Intent>, outcome: Outcome) -> Vec<Event> {
        let Story { payment_id, generation, .. } = self.story;
        let first = self.story.last_attempt().first();
        let Some((payment_hash, purpose)) = intent
            .map(|intent| (intent.payment_hash, intent.terms.purpose))
            .or(first.map(|part| (part.htlc.payment_hash, part.origin.terms.purpose)))
        else {
            return Vec::new();
        };
        let mut events = Vec::with_capacity(1 + self.story.parts.len());
        match outcome {
            Outcome::Sent { preimage, amount_msat, fee_msat } => {
                events.push(Event::PaymentSent {
                    payment_id,
                    generation,
                    payment_hash,
                    preimage,
                    amount_msat,
                    fee_msat,
                });
                events.extend(self.story.paths_taken(self.view));
            }
            Outcome::Failed { reason } if purpose == Purpose::Probe => {
                let is_reached = reason == HtlcFailure::Removed { code: REACHED };
                let probed =
                    Event::Probed { payment_id, generation, payment_hash, is_reached, reason };
                events.push(probed);
            }
            Outcome::Failed { reason } => {
                events.extend(self.story.paths_failed(self.view));
                events.push(Event::PaymentFailed { payment_id, generation, payment_hash, reason });
            }
            Outcome::Unknown => {
                events.push(Event::PaymentUnknown { payment_id, generation, payment_hash });
            }
        }
        events
    }

    fn record(&mut self, record: PaymentRecord, reason: Reason) {
        self.actions.push(Planned { action: Action::Record(record), reason });
    }

    fn tell(&mut self, events: Vec<Event>, reason: Reason) {
        if events.is_empty() {
            self.tell_nothing();
        } else {
            let action = Action::Tell { payment_id: self.story.payment_id, events };
            self.actions.push(Planned { action, reason });
        }
    }

    fn tell_nothing(&mut self) {
        let (payment_id, events) = (self.story.payment_id, Vec::new());
        let planned = |reason| Planned { action: Action::Tell { payment_id, events }, reason };
        self.actions.extend(self.told_anew.map(planned));
    }

    fn release_final(
        &mut self,
        outcome: Outcome,
        reason: Reason,
        must_wait: &dyn Fn(&Story<'_>, &Part<'_>) -> bool,
    ) {
        let undelivered = self.story.parts.iter().filter(|part| part.is_undelivered());
        let is_kept =
            |part: &Part<'_>| Bug::FirstAttemptKept.is_planted() && part.origin.attempt == 0;
        for part in undelivered.filter(|part| part.verdict.is_final() && !is_kept(part)) {
            if !must_wait(&self.story, part) {
                self.actions.push(release(self.story.generation, part, outcome, reason));
            }
        }
    }
}

fn release(generation: Generation, part: &Part<'_>, outcome: Outcome, reason: Reason) -> Planned {
    let told = Told::Payment { generation, outcome };
    Planned { action: Action::Release(ReleasePaymentComplete { htlc: part.key, told }), reason }
}

fn path_taken(part: &Part<'_>) -> EventKind {
    EventKind::PathSuccessful { attempt: part.origin.attempt, part: part.origin.part }
}
