//! [`Payments`]: the payment book, a fold of [`PaymentRecord`]s.
//!
//! ```text
//!             Intent, Rebuilt
//!                   │
//!                   ▼        Decided            Handled (terminal)
//!                Pending ─────────────► Decided ─────────────► Handled ──Dropped──► gone
//!              ▲ │  ▲                    │   │                  ▲   ▲
//!      Retried ┘ │  │                    │   │                  │   │
//!                │  └─ Rebuilt (R3) ─────┘   └───── Adopted ────┘   │
//!                └───────────────────────────────── Adopted ────────┘
//! ```
//!
//! `Retried` puts a further attempt in the place of the one before, and so does `Rebuilt` of a later
//! attempt. `EpochRaised` moves the book itself and no payment. `Abandoned` marks a pending payment, a path event's `Handled` is noted in any state, and
//! `Rebuilt` of another generation replaces whatever stands there.

use alloc::collections::BTreeSet;

use lastword_ports::{PaymentBook, PaymentView};
use lastword_types::{
    BookEntry, BookEpoch, BookState, EventKey, EventKind, Generation, Intent, Outcome, OutcomeKind,
    PaymentId, PaymentRecord, PaymentState,
};

use crate::error::{IntentError, PaymentError};
use crate::intent;

/// The payments of a node, one generation for each [`PaymentId`].
///
/// # Invariants
///
/// A recorded outcome never becomes another one: `Decided` and `Handled` refuse it, `Adopted`
/// corrects what was decided and not told, and only an explicit `Rebuilt` reopens it (rule R3).
///
/// # Crash safety
///
/// Equal to the fold of its records; a refused record changes nothing.
///
/// # Examples
///
/// See the crate page.
#[derive(Debug, Clone, Default)]
pub struct Payments {
    state: BookState,
    /// How many records were committed since this value was made; names the state for tokens.
    commits: u64,
}

/// A record that may be committed.
#[must_use = "a checked record changes nothing until it is committed"]
#[derive(Debug)]
pub struct Accepted<'r> {
    change: Change<'r>,
    at: u64,
}

/// What a checked record does to the book.
#[derive(Debug)]
enum Change<'r> {
    /// The book says so already.
    Nothing,
    /// A new entry, in place of whatever stands under its id.
    Insert(&'r Intent),
    /// The entry of the same generation is open, with this intent.
    Reopen(&'r Intent),
    Abandon(PaymentId),
    Move(PaymentId, PaymentState),
    NotePath(PaymentId, EventKind),
    Remove(PaymentId),
    EnterEpoch(BookEpoch),
}

impl Accepted<'_> {
    /// Says whether the record says nothing new: the driver need not write it.
    pub fn is_noop(&self) -> bool {
        matches!(self.change, Change::Nothing)
    }
}

impl Payments {
    /// Returns an empty book.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the book that a snapshot describes.
    ///
    /// # Errors
    ///
    /// [`PaymentError::Misplaced`] or [`PaymentError::NotAPathEvent`] for a state that no sequence
    /// of records could have made.
    pub fn restore(state: BookState) -> Result<Self, PaymentError> {
        for (payment_id, entry) in &state.payments {
            if entry.intent.payment_id != *payment_id {
                return Err(PaymentError::Misplaced { payment_id: entry.intent.payment_id });
            }
            if let Some(kind) = entry.paths_handled.iter().find(|kind| kind.is_terminal()) {
                let key = EventKey {
                    payment_id: *payment_id,
                    generation: entry.intent.generation,
                    kind: *kind,
                };
                return Err(PaymentError::NotAPathEvent { key });
            }
        }
        Ok(Self { state, commits: 0 })
    }

    /// Commits a checked record.
    ///
    /// # Panics
    ///
    /// If another record was committed since the check: a mistake of the driver.
    pub fn commit(&mut self, Accepted { change, at }: Accepted<'_>) {
        assert_eq!(self.commits, at, "the token is fresh");
        self.commits += 1;
        match change {
            Change::Nothing => {}
            Change::Insert(intent) => {
                self.state.payments.insert(intent.payment_id, new_entry(intent));
            }
            Change::Reopen(intent) => {
                let entry = self.checked_entry(intent.payment_id);
                entry.intent = intent.clone();
                entry.state = PaymentState::Pending;
            }
            Change::Abandon(payment_id) => self.checked_entry(payment_id).is_abandoned = true,
            Change::Move(payment_id, state) => self.checked_entry(payment_id).state = state,
            Change::NotePath(payment_id, kind) => {
                self.checked_entry(payment_id).paths_handled.insert(kind);
            }
            Change::Remove(payment_id) => {
                self.state.payments.remove(&payment_id);
            }
            Change::EnterEpoch(epoch) => self.state.epoch = epoch,
        }
    }

    /// Checks and commits a record, for replay.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check); the book is unchanged.
    pub fn apply(&mut self, record: &PaymentRecord) -> Result<(), PaymentError> {
        let accepted = self.check(record)?;
        self.commit(accepted);
        Ok(())
    }

    /// Says whether a record may be committed. Changes nothing.
    ///
    /// # Errors
    ///
    /// A [`PaymentError`] that names the rule; the book is unchanged.
    pub fn check<'r>(&self, record: &'r PaymentRecord) -> Result<Accepted<'r>, PaymentError> {
        let change = match record {
            PaymentRecord::Intent(intent) => self.check_intent(intent)?,
            PaymentRecord::Rebuilt(intent) => self.check_rebuilt(intent)?,
            PaymentRecord::Retried(intent) => self.check_retried(intent)?,
            PaymentRecord::Abandoned { payment_id, generation } => {
                let entry = self.entry(*payment_id, *generation)?;
                match entry.state {
                    PaymentState::Pending if !entry.is_abandoned => Change::Abandon(*payment_id),
                    // Giving up comes too late to matter; the outcome stands.
                    PaymentState::Pending | PaymentState::Decided(_) | PaymentState::Handled(_) => {
                        Change::Nothing
                    }
                }
            }
            PaymentRecord::Decided { payment_id, generation, outcome } => {
                let entry = self.entry(*payment_id, *generation)?;
                check_decided(entry, *outcome)?
            }
            PaymentRecord::Handled { key } => {
                check_handled(self.entry(key.payment_id, key.generation)?, *key)?
            }
            PaymentRecord::Adopted { payment_id, generation, outcome } => {
                let entry = self.entry(*payment_id, *generation)?;
                check_adopted(entry, *outcome)?
            }
            PaymentRecord::Dropped { payment_id, generation } => {
                match self.entry(*payment_id, *generation)?.state {
                    PaymentState::Handled(_) => Change::Remove(*payment_id),
                    PaymentState::Pending | PaymentState::Decided(_) => {
                        return Err(PaymentError::NotHandled { payment_id: *payment_id });
                    }
                }
            }
            PaymentRecord::EpochRaised { epoch } if *epoch <= self.state.epoch => Change::Nothing,
            PaymentRecord::EpochRaised { epoch } => Change::EnterEpoch(*epoch),
        };
        Ok(Accepted { change, at: self.commits })
    }

    /// Says whether the book lets a payment begin under this id: the book's half of rule R8.
    ///
    /// The other half is the ledgers': none of them may hold an undelivered entry of the id. The
    /// caller asks both, of durable state.
    ///
    /// # Errors
    ///
    /// [`PaymentError::IdTaken`] while the payment that holds the id is not handled.
    pub fn check_free(&self, payment_id: PaymentId) -> Result<(), PaymentError> {
        match self.state.payments.get(&payment_id) {
            None | Some(BookEntry { state: PaymentState::Handled(_), .. }) => Ok(()),
            Some(entry) => {
                Err(PaymentError::IdTaken { payment_id, generation: entry.intent.generation })
            }
        }
    }

    /// Returns everything that the book remembers.
    pub fn state(&self) -> &BookState {
        &self.state
    }

    fn check_intent<'r>(&self, intent: &'r Intent) -> Result<Change<'r>, PaymentError> {
        intent::check_first(intent)?;
        let Intent { payment_id, generation, .. } = *intent;
        self.check_free(payment_id)?;
        match self.state.payments.get(&payment_id) {
            Some(entry) if entry.intent.generation == generation => {
                Err(PaymentError::GenerationReused { payment_id, generation })
            }
            Some(_) | None => Ok(Change::Insert(intent)),
        }
    }

    fn check_retried<'r>(&self, intent: &'r Intent) -> Result<Change<'r>, PaymentError> {
        let payment_id = intent.payment_id;
        let entry = self.entry(payment_id, intent.generation)?;
        match entry.state {
            PaymentState::Pending if !entry.is_abandoned => {}
            PaymentState::Pending | PaymentState::Decided(_) | PaymentState::Handled(_) => {
                return Err(PaymentError::NoMoreAttempts { payment_id });
            }
        }
        if entry.intent == *intent {
            return Ok(Change::Nothing);
        }
        intent::check_retry(&entry.intent, intent)?;
        Ok(Change::Reopen(intent))
    }

    /// What is rebuilt is evidence of the ledgers, not a wish: its amounts are not judged, and it
    /// replaces an entry of any other generation in any state. That a ledger holds an undelivered
    /// entry of it proves, by rule R8, that the other generation was over when this one began.
    fn check_rebuilt<'r>(&self, intent: &'r Intent) -> Result<Change<'r>, PaymentError> {
        if intent.parts.is_empty() {
            return Err(IntentError::NoParts.into());
        }
        let Some(entry) = self.state.payments.get(&intent.payment_id) else {
            return Ok(Change::Insert(intent));
        };
        if entry.intent.generation != intent.generation {
            return Ok(Change::Insert(intent));
        }
        match entry.state {
            PaymentState::Pending if entry.intent == *intent => Ok(Change::Nothing),
            PaymentState::Decided(_) => Ok(Change::Reopen(intent)),
            // The book is older than an attempt that a ledger holds.
            PaymentState::Pending if entry.intent.attempt < intent.attempt => {
                Ok(Change::Reopen(intent))
            }
            PaymentState::Pending | PaymentState::Handled(_) => {
                Err(PaymentError::NotLost { payment_id: intent.payment_id })
            }
        }
    }

    fn entry(
        &self,
        payment_id: PaymentId,
        generation: Generation,
    ) -> Result<&BookEntry, PaymentError> {
        let entry = self
            .state
            .payments
            .get(&payment_id)
            .ok_or(PaymentError::UnknownPayment { payment_id })?;
        let held = entry.intent.generation;
        if held != generation {
            return Err(PaymentError::OtherGeneration { payment_id, held, named: generation });
        }
        Ok(entry)
    }

    fn checked_entry(&mut self, payment_id: PaymentId) -> &mut BookEntry {
        self.state.payments.get_mut(&payment_id).expect("check found the entry, the token is fresh")
    }
}

impl PaymentBook for Payments {
    fn epoch(&self) -> BookEpoch {
        self.state.epoch
    }

    fn payment(&self, payment_id: PaymentId) -> Option<PaymentView<'_>> {
        self.state.payments.get(&payment_id).map(view)
    }

    fn for_each_pending(&self, visit: &mut dyn FnMut(PaymentView<'_>)) {
        for entry in self.state.payments.values() {
            match entry.state {
                PaymentState::Pending | PaymentState::Decided(_) => visit(view(entry)),
                PaymentState::Handled(_) => {}
            }
        }
    }

    fn is_handled(&self, key: EventKey) -> bool {
        let Ok(entry) = self.entry(key.payment_id, key.generation) else {
            return false;
        };
        match key.kind {
            EventKind::Sent => is_handled_as(entry.state, OutcomeKind::Sent),
            EventKind::Failed | EventKind::Probed => {
                is_handled_as(entry.state, OutcomeKind::Failed)
            }
            EventKind::Unknown => is_handled_as(entry.state, OutcomeKind::Unknown),
            EventKind::PathFailed { .. } | EventKind::PathSuccessful { .. } => {
                entry.paths_handled.contains(&key.kind)
            }
            // What was received is no payment of the book: the ledgers know what was told of it.
            EventKind::Claimed => false,
        }
    }
}

fn check_decided(entry: &BookEntry, outcome: Outcome) -> Result<Change<'static>, PaymentError> {
    let payment_id = entry.intent.payment_id;
    check_preimage(entry, outcome)?;
    match entry.state {
        PaymentState::Pending => Ok(Change::Move(payment_id, PaymentState::Decided(outcome))),
        PaymentState::Decided(recorded) | PaymentState::Handled(recorded) => {
            if recorded == outcome {
                Ok(Change::Nothing)
            } else {
                Err(PaymentError::DecidedOtherwise { payment_id, recorded: recorded.kind() })
            }
        }
    }
}

fn check_adopted(entry: &BookEntry, outcome: Outcome) -> Result<Change<'static>, PaymentError> {
    let payment_id = entry.intent.payment_id;
    check_preimage(entry, outcome)?;
    match entry.state {
        // What was decided and not handled yields to what the user was told (rule R6).
        PaymentState::Pending | PaymentState::Decided(_) => {
            Ok(Change::Move(payment_id, PaymentState::Handled(outcome)))
        }
        PaymentState::Handled(recorded) if recorded == outcome => Ok(Change::Nothing),
        PaymentState::Handled(recorded) => {
            Err(PaymentError::DecidedOtherwise { payment_id, recorded: recorded.kind() })
        }
    }
}

fn check_handled(entry: &BookEntry, key: EventKey) -> Result<Change<'static>, PaymentError> {
    match key.kind {
        EventKind::Sent => check_terminal_handled(entry, key, OutcomeKind::Sent),
        EventKind::Failed | EventKind::Probed => {
            check_terminal_handled(entry, key, OutcomeKind::Failed)
        }
        EventKind::Unknown => check_terminal_handled(entry, key, OutcomeKind::Unknown),
        EventKind::PathFailed { .. } => Ok(note_path(entry, key)),
        // Its path events follow `PaymentSent`, so that was handled before.
        EventKind::PathSuccessful { .. } => {
            if is_handled_as(entry.state, OutcomeKind::Sent) {
                Ok(note_path(entry, key))
            } else {
                Err(PaymentError::NotToldYet { key })
            }
        }
        EventKind::Claimed => Err(PaymentError::NotToldYet { key }),
    }
}

fn check_terminal_handled(
    entry: &BookEntry,
    key: EventKey,
    told: OutcomeKind,
) -> Result<Change<'static>, PaymentError> {
    let (recorded, change) = match entry.state {
        PaymentState::Pending => return Err(PaymentError::NotToldYet { key }),
        PaymentState::Decided(outcome) => {
            (outcome, Change::Move(key.payment_id, PaymentState::Handled(outcome)))
        }
        PaymentState::Handled(outcome) => (outcome, Change::Nothing),
    };
    if recorded.kind() == told {
        Ok(change)
    } else {
        Err(PaymentError::DecidedOtherwise {
            payment_id: key.payment_id,
            recorded: recorded.kind(),
        })
    }
}

fn note_path(entry: &BookEntry, key: EventKey) -> Change<'static> {
    if entry.paths_handled.contains(&key.kind) {
        Change::Nothing
    } else {
        Change::NotePath(key.payment_id, key.kind)
    }
}

fn check_preimage(entry: &BookEntry, outcome: Outcome) -> Result<(), PaymentError> {
    match outcome {
        Outcome::Sent { preimage, .. } if preimage.payment_hash() != entry.intent.payment_hash => {
            Err(PaymentError::PreimageMismatch { payment_id: entry.intent.payment_id })
        }
        Outcome::Sent { .. } | Outcome::Failed { .. } | Outcome::Unknown => Ok(()),
    }
}

fn is_handled_as(state: PaymentState, kind: OutcomeKind) -> bool {
    match state {
        PaymentState::Handled(outcome) => outcome.kind() == kind,
        PaymentState::Pending | PaymentState::Decided(_) => false,
    }
}

fn new_entry(intent: &Intent) -> BookEntry {
    BookEntry {
        intent: intent.clone(),
        state: PaymentState::Pending,
        is_abandoned: false,
        paths_handled: BTreeSet::new(),
    }
}

fn view(entry: &BookEntry) -> PaymentView<'_> {
    PaymentView { intent: &entry.intent, state: entry.state, is_abandoned: entry.is_abandoned }
}
