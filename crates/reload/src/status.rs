//! [`status`]: what is known of a payment, asked at any time.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use lastword_types::{
    AmountMsat, ChannelId, Generation, HtlcKey, Intent, IntentPart, Outcome, PartIndex, PaymentId,
    PaymentState, Told, Verdict,
};

use crate::gather::{Part, gather};
use crate::payment::current_generation;
use crate::plan::View;
use crate::story::{Finding, Story};

/// What is known of a payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentStatus {
    /// No book and no ledger that was read knows it.
    Unknown,
    /// It has no outcome yet.
    Live(LivePayment),
    /// It came to its outcome.
    Finished {
        /// Which incarnation.
        generation: Generation,
        /// What it came to.
        outcome: Outcome,
        /// Whether the user's handler has durably returned from its last word.
        is_told: bool,
        /// Its parts, as far as a ledger still holds them, by attempt and index.
        parts: Vec<PartStatus>,
    },
    /// No book knows it any more, and ledgers remember what was told of it: each incarnation with
    /// its outcome, by generation.
    Past(Vec<(Generation, Outcome)>),
}

/// A payment without an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePayment {
    /// Its last attempt, by the book, or else as far as the ledgers tell it.
    pub intent: Intent,
    /// Whether the caller gave it up.
    pub is_abandoned: bool,
    /// The number of the attempt that may be made, if every one before failed.
    pub retry_owed: Option<u32>,
    /// The channels that have to be read before it can go on.
    pub waits_for: Vec<ChannelId>,
    /// Its parts by attempt and index; a part of which no HTLC ever left has none.
    pub parts: Vec<PartStatus>,
}

/// One part of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartStatus {
    /// Which attempt.
    pub attempt: u32,
    /// Which part of it.
    pub part: PartIndex,
    /// The HTLC that carries it.
    pub htlc: HtlcKey,
    /// What of it is to reach the recipient.
    pub part_amount_msat: AmountMsat,
    /// What it costs: the HTLC's amount less that.
    pub fee_msat: AmountMsat,
    /// What became of it.
    pub verdict: Verdict,
    /// Whether the consumer's durable word is in its ledger.
    pub is_released: bool,
}

/// Says what is known of a payment.
///
/// # Shape
///
/// Looks into the channels that the book names, into `channels`, and from each entry into those of
/// its siblings.
pub fn status(
    payment_id: PaymentId,
    view: &View<'_>,
    channels: &BTreeSet<ChannelId>,
) -> PaymentStatus {
    let found = gather(view, payment_id, channels.iter().copied());
    let book = view.payments.payment(payment_id);
    let held = book.map(|book| book.intent.generation);
    let read = |generation: Generation| {
        let intent = book.map(|book| book.intent).filter(|_| held == Some(generation));
        Story::read(view, (payment_id, generation), &found, intent)
    };
    let stories: Vec<Story<'_>> = found.generations().into_iter().map(&read).collect();
    let undelivered: Vec<Story<'_>> = stories
        .iter()
        .filter(|story| story.has_undelivered())
        .map(|story| read(story.generation))
        .collect();
    let Some(current) = current_generation(held, &undelivered) else {
        let told = |story: &Story<'_>| story.told().map(|outcome| (story.generation, outcome));
        let past: Vec<_> = stories.iter().filter_map(told).collect();
        return if past.is_empty() { PaymentStatus::Unknown } else { PaymentStatus::Past(past) };
    };
    let story = read(current);
    let own = book.filter(|_| held == Some(current));
    let state = own.map_or(PaymentState::Pending, |own| own.state);
    let parts: Vec<PartStatus> = story.parts.iter().map(part_status).collect();
    let finished = |outcome, is_told| PaymentStatus::Finished {
        generation: current,
        outcome,
        is_told,
        parts: parts.clone(),
    };
    match (story.told(), state) {
        (Some(outcome), _) | (None, PaymentState::Handled(outcome)) => finished(outcome, true),
        (None, PaymentState::Decided(outcome)) => finished(outcome, false),
        (None, PaymentState::Pending) => {
            let is_abandoned = own.is_some_and(|own| own.is_abandoned);
            let intent = own.map(|own| own.intent.clone()).or_else(|| story.intent());
            intent.map_or(PaymentStatus::Unknown, |intent| {
                PaymentStatus::Live(LivePayment {
                    retry_owed: owed(&story, is_abandoned),
                    waits_for: story.waits_for().map(|(channel_id, _)| channel_id).collect(),
                    intent,
                    is_abandoned,
                    parts,
                })
            })
        }
    }
}

/// Returns the number of the attempt that a payment may be tried with now, and the channels of all
/// attempts before it.
///
/// `None` while a part can still be paid, when the terms or the caller allow no further attempt,
/// when a ledger that may know better cannot be read, and for a payment that the book does not hold.
///
/// # Crash safety
///
/// The ledgers must be durable when it is called, and a plan over everything must have been executed
/// since the book was read: only then does an older book know of every attempt.
pub fn retry_owed(payment_id: PaymentId, view: &View<'_>) -> Option<RetryOwed> {
    let book = view.payments.payment(payment_id)?;
    match book.state {
        PaymentState::Pending => {}
        PaymentState::Decided(_) | PaymentState::Handled(_) => return None,
    }
    let generation = book.intent.generation;
    let found = gather(view, payment_id, []);
    let parts = found.parts_of(generation);
    if parts.is_empty() {
        return None;
    }
    let story = Story::read(view, (payment_id, generation), &found, Some(book.intent));
    let is_over = story.told().is_some();
    let attempt = owed(&story, book.is_abandoned).filter(|_| !is_over)?;
    let mut earlier_channels: BTreeSet<ChannelId> = parts.iter().flat_map(Part::channels).collect();
    earlier_channels.extend(&book.intent.terms.earlier_channels);
    if attempt > book.intent.attempt {
        earlier_channels.extend(book.intent.parts.iter().map(|part| part.channel_id));
    }
    Some(RetryOwed { generation, attempt, earlier_channels })
}

/// The attempt that a payment may be tried with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryOwed {
    /// Of which incarnation.
    pub generation: Generation,
    /// Its number.
    pub attempt: u32,
    /// The channels of all attempts before.
    pub earlier_channels: BTreeSet<ChannelId>,
}

impl RetryOwed {
    /// Returns the intent of this attempt over these parts; `held` is what the book holds.
    pub fn intent(self, held: &Intent, fee_msat: AmountMsat, parts: Vec<IntentPart>) -> Intent {
        let mut intent = Intent { attempt: self.attempt, fee_msat, parts, ..held.clone() };
        intent.terms.earlier_channels = self.earlier_channels;
        intent
    }
}

fn owed(story: &Story<'_>, is_abandoned: bool) -> Option<u32> {
    match story.finding(is_abandoned) {
        Finding::RetryOwed(attempt) if !is_abandoned => Some(attempt),
        Finding::RetryOwed(_) | Finding::Decided(..) | Finding::Open | Finding::Unreadable => None,
    }
}

fn part_status(part: &Part<'_>) -> PartStatus {
    let amount = part.htlc.amount_msat.0.saturating_sub(part.origin.part_amount_msat.0);
    PartStatus {
        attempt: part.origin.attempt,
        part: part.origin.part,
        htlc: part.key,
        part_amount_msat: part.origin.part_amount_msat,
        fee_msat: AmountMsat(amount),
        verdict: part.verdict,
        is_released: matches!(part.delivered, Some(Told::Payment { .. })),
    }
}
