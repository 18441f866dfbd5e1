//! The oracle: what a user may have been told, from the truth of the scenario alone.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use lastword_types::{Event, EventKind, Generation, HtlcFailure};

use crate::life::{Life, Payment, first_round};

/// Every event that was told in any life of a scenario. They are few and come again and again, so
/// lives remember numbers.
#[derive(Debug, Default)]
pub(crate) struct Heard(RefCell<Vec<(Event, u64)>>);

impl Heard {
    /// Returns a number that tells an event from every other, the same in every run; that of an
    /// event of another incarnation of its payment, which has the same fields but for that, is the same.
    fn print_of(&self, event: &Event) -> u64 {
        let event = &of_first_round(event);
        let mut heard = self.0.borrow_mut();
        if let Some((_, print)) = heard.iter().find(|(known, _)| known == event) {
            return *print;
        }
        let mut hasher = DefaultHasher::new();
        format!("{event:?}").hash(&mut hasher);
        let print = hasher.finish();
        heard.push((event.clone(), print));
        print
    }
}

/// What the user remembers, over all crashes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Memory {
    /// Each event of a payment, in the order told; the number stands for its fields.
    told: Vec<(Generation, EventKind, u64)>,
    /// Generations of which a release is durable.
    over: BTreeSet<Generation>,
    /// Generations that the node accepted.
    sent: BTreeSet<Generation>,
    /// Whether what was remembered of payments that were over may be gone.
    pub(crate) is_pruned: bool,
    /// Whether the book came back older after a crash, or not at all.
    pub(crate) has_older_book: bool,
    /// Alarms, which no scenario but a breach has.
    alarms: usize,
}

/// What was told of each payment in its last incarnation, in order.
#[derive(Debug)]
pub(crate) struct Tale(Vec<Vec<(EventKind, u64)>>);

impl Tale {
    /// Compares what was told in a life that crashed with what an uncrashed node told; returns how
    /// many events were the same, field for field.
    ///
    /// Where the user had heard nothing before the crash, everything is told as by a node that lost
    /// nothing: the same events in the same order. A user who was told some before hears nothing
    /// else than an uncrashed node would have said, and a last word (which the truth judges). What a
    /// crash may swallow are path events of a payment that is durably over (rule R6).
    pub(crate) fn compare(&self, uncrashed: &Self, was_silent: bool) -> Result<u64, String> {
        let mut same = 0;
        for (told, expected) in self.0.iter().zip(&uncrashed.0) {
            let is_right = if was_silent {
                told == expected
            } else {
                told.iter().all(|line| expected.contains(line))
            };
            if !is_right {
                return Err(format!("an uncrashed node tells {expected:?}, this one {told:?}"));
            }
            same += u64::try_from(told.len()).unwrap_or(u64::MAX);
        }
        Ok(same)
    }
}

/// The same event of the payment's first incarnation.
fn of_first_round(event: &Event) -> Event {
    let mut event = event.clone();
    match &mut event {
        Event::PaymentSent { generation, .. }
        | Event::PaymentPathSuccessful { generation, .. }
        | Event::PaymentPathFailed { generation, .. }
        | Event::PaymentFailed { generation, .. }
        | Event::Probed { generation, .. }
        | Event::PaymentUnknown { generation, .. } => *generation = first_round(*generation),
        Event::PaymentClaimed { .. } | Event::Alarm(_) => {}
    }
    event
}

impl Memory {
    /// Returns what was told of the last incarnation of each payment.
    pub(crate) fn tale(&self, life: &Life, rounds: &[usize]) -> Tale {
        let of = |(payment, round): (&Payment, &usize)| {
            let generation = payment.rounds.get(*round).map(|round| round.first.intent.generation);
            let told = self.told.iter().filter(|(of, ..)| Some(*of) == generation);
            told.map(|(_, kind, print)| (*kind, *print)).collect()
        };
        let received = self.told.iter().filter(|(_, kind, _)| *kind == EventKind::Claimed);
        let received = received.map(|(_, kind, print)| (*kind, *print)).collect();
        Tale(life.payments.iter().zip(rounds).map(of).chain([received]).collect())
    }

    /// The user is told an event.
    pub(crate) fn hear(&mut self, event: &Event, heard: &Heard) -> Result<(), String> {
        let Some(key) = event.key() else {
            self.alarms += 1;
            return Ok(());
        };
        // From a book that is older than what was dropped the node can tell no more than this.
        if key.kind == EventKind::Unknown && self.is_pruned {
            return Ok(());
        }
        let line = (key.generation, key.kind, heard.print_of(event));
        if self.over.contains(&key.generation) && is_terminal(key.kind) {
            return Err(format!("told again after it was durably released: {event:?}"));
        }
        let same = |(generation, kind, _): &&(Generation, EventKind, u64)| {
            (*generation, *kind) == (key.generation, key.kind)
        };
        if let Some(earlier) = self.told.iter().find(same)
            && *earlier != line
        {
            return Err(format!("told again with other fields: {event:?}"));
        }
        let contradiction = match key.kind {
            EventKind::Sent => Some(EventKind::Failed),
            EventKind::Failed | EventKind::Probed => Some(EventKind::Sent),
            EventKind::PathFailed { .. }
            | EventKind::PathSuccessful { .. }
            | EventKind::Claimed => None,
            EventKind::Unknown => return Err(format!("no trace was dropped: {event:?}")),
        };
        let is_contradicted = self
            .told
            .iter()
            .any(|(of, kind, _)| *of == key.generation && Some(*kind) == contradiction);
        if is_contradicted {
            return Err(format!("both sent and failed: {event:?}"));
        }
        self.check_order(event, key.kind, key.generation)?;
        self.told.push(line);
        Ok(())
    }

    /// `PaymentSent` comes before any successful path, failed paths before `PaymentFailed`.
    fn check_order(
        &self,
        event: &Event,
        kind: EventKind,
        generation: Generation,
    ) -> Result<(), String> {
        let was_told =
            |wanted| self.told.iter().any(|(of, kind, _)| (*of, *kind) == (generation, wanted));
        match kind {
            EventKind::PathSuccessful { .. } if !was_told(EventKind::Sent) => {
                Err(format!("a path before its payment: {event:?}"))
            }
            EventKind::PathSuccessful { .. }
            | EventKind::Sent
            | EventKind::Failed
            | EventKind::Probed
            | EventKind::Unknown
            | EventKind::Claimed
            | EventKind::PathFailed { .. } => Ok(()),
        }
    }

    /// Returns the last word that the user heard of an incarnation.
    pub(crate) fn word(&self, generation: Generation) -> Option<EventKind> {
        let mut told =
            self.told.iter().filter(|(of, kind, _)| *of == generation && is_terminal(*kind));
        told.next().map(|(_, kind, _)| *kind)
    }

    /// The node accepted a payment.
    pub(crate) fn was_sent(&mut self, generation: Generation) {
        self.sent.insert(generation);
    }

    /// Says whether a payment was accepted and its last word not told.
    pub(crate) fn must_be_busy(&self, generation: Generation) -> bool {
        let mut told = self.told.iter();
        self.sent.contains(&generation)
            && !told.any(|(of, kind, _)| *of == generation && is_terminal(*kind))
    }

    /// The node came back from recording that the user had handled an event.
    ///
    /// From here on a ledger has a release: of a failed payment with its last word, of one that was
    /// sent with the first part that was taken (rule R5).
    ///
    /// A payment of which no HTLC left has no ledger; an older book tells its failure once more.
    pub(crate) fn was_recorded(&mut self, event: &Event) {
        let Some(key) = event.key() else { return };
        if let Event::PaymentFailed { reason, .. } | Event::Probed { reason, .. } = event
            && *reason == HtlcFailure::NeverSent
        {
            return;
        }
        match key.kind {
            EventKind::Failed
            | EventKind::Probed
            | EventKind::Unknown
            | EventKind::Claimed
            | EventKind::PathSuccessful { .. } => {
                self.over.insert(key.generation);
            }
            EventKind::Sent | EventKind::PathFailed { .. } => {}
        }
    }

    /// Judges the end: `rounds` says how many times each payment was begun, the last time for good.
    pub(crate) fn judge(&self, life: &Life, rounds: &[usize]) -> Result<(), String> {
        let mut words: BTreeMap<Generation, BTreeSet<EventKind>> = BTreeMap::new();
        for (generation, kind, _) in self.told.iter().filter(|(_, kind, _)| is_terminal(*kind)) {
            words.entry(*generation).or_default().insert(*kind);
        }
        for (payment, last) in life.payments.iter().zip(rounds) {
            for (round, begun) in payment.rounds.iter().enumerate() {
                let intent = &begun.first.intent;
                let told: Vec<EventKind> =
                    words.remove(&intent.generation).into_iter().flatten().collect();
                let truth = if payment.is_paid { EventKind::Sent } else { payment.failure };
                let is_right = match round.cmp(last) {
                    // It never left: told as that, or, with its book, forgotten.
                    std::cmp::Ordering::Less => told.is_empty() || told == [payment.failure],
                    std::cmp::Ordering::Equal => told == [truth],
                    std::cmp::Ordering::Greater => told.is_empty(),
                };
                if !is_right {
                    let id = intent.payment_id;
                    return Err(format!(
                        "payment {id} round {round} of {last}: {told:?}, truth {truth:?}"
                    ));
                }
            }
        }
        if let Some(receipt) = &life.receipt
            && words.remove(&receipt.key().generation) != Some([EventKind::Claimed].into())
        {
            return Err("nobody was told of the payment that was received".into());
        }
        match words.first_key_value() {
            Some((generation, _)) => {
                Err(format!("told of a payment that nobody made: {generation}"))
            }
            None => Ok(()),
        }
    }
}

fn is_terminal(kind: EventKind) -> bool {
    match kind {
        EventKind::Sent
        | EventKind::Failed
        | EventKind::Probed
        | EventKind::Unknown
        | EventKind::Claimed => true,
        EventKind::PathFailed { .. } | EventKind::PathSuccessful { .. } => false,
    }
}
