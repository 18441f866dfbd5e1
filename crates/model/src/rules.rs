//! [`Rule`]: each clause of R1 to R12 as a switch, and what the first version did instead.

/// A clause of a rule that can be dropped, to see what happens without it.
///
/// `FinalIsFinal` to `OneGeneration` are no R rules: they are what design.md says of verdicts and
/// of generations, and the traces W2, W7, W10, W11 and W13 need them. What `docs/INVARIANTS.md` lists
/// under "What the model added" is here too.
///
/// # Shape
///
/// Fewer than 64; each is one bit of [`Rules`].
///
/// Source: design.md 5, R1 to R12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// R1: a send is accepted, and an HTLC made, when its intent is durable. Without: at once.
    R1Intent,
    /// R1: an HTLC leaves when its ledger entry is durable. Without: when it is in memory.
    R1Entry,
    /// R1: all parts of an attempt are one append. Without: one after the other.
    R1OneAppend,
    /// R2: a part without a trace was never sent. Without: it is waited for.
    R2NeverSent,
    /// R2: a monitor that cannot be read makes the payment wait. Without: it counts as empty.
    R2Monitor,
    /// R2: a monitor that cannot be read holds back a sent payment too. Without: one fulfilled part
    /// in another monitor is told at once.
    R2Whole,
    /// R2: a part matches by its origin. Without: any HTLC of that channel and id does.
    R2Match,
    /// R3: a queued event is recomputed from the ledgers. Without: the book is believed.
    R3Recompute,
    /// R4: what decides an event is durable in the ledgers. Without: in the book is enough.
    R4Gate,
    /// R5: a release follows the handler's return. Without: it may precede it.
    R5AfterHandler,
    /// R5: only final parts are released. Without: all parts at once.
    R5Final,
    /// R5: no release for a path event before the terminal one. Without: a failed part is released
    /// when its path event was handled.
    R5Path,
    /// R5: after sent no retry appends. Without: a retry looks only at its own part.
    R5NoRetry,
    /// R5: a payment is retried by the book that sent it, or one that is known to be the newest.
    /// Without: by any book that says it is pending.
    R5NewestRetries,
    /// R6: one delivered part means over. Without: only when all are delivered.
    R6Over,
    /// R7: what the book does not know is rebuilt. Without: it is released.
    R7Rebuilt,
    /// R8: an id is free when that is durable and no ledger owes. Without: when memory says so.
    R8Free,
    /// R9: the book drops when the releases are durable. Without: when they are made.
    R9Drop,
    /// R10: an entry leaves a tombstone. Without: it leaves nothing.
    R10Tombstone,
    /// R10: a tombstone goes behind a book epoch only. Without: at any time.
    R10Epoch,
    /// R10: an orphan of an old book becomes unknown. Without: it counts as never sent.
    R10Unknown,
    /// R10: a tombstone goes when no sibling is owed. Without: siblings are not asked.
    R10Siblings,
    /// R10: an epoch is recorded by the monitors before the book takes it, so none comes twice.
    /// Without: the book counts for itself.
    R10EpochOnce,
    /// R10: a tombstone is dated by the newest epoch that was drawn. Without: by the book's own.
    R10Dated,
    /// R10: a book enters an epoch when it has adopted what is over. Without: at any time.
    R10Adopted,
    /// R10: an unknown that was handled leaves a tombstone that stays. Without: it leaves nothing.
    R10UnknownStays,
    /// R11: no monitor that owes is archived. Without: one whose outputs are settled is.
    R11Owed,
    /// R11: an archived monitor's tombstones stay. Without: they go with it.
    R11Tombstones,
    /// R11: a monitor that holds a preimage that is owed upstream stays. Without: it goes when its
    /// spends are deep.
    R11Preimage,
    /// R12: released when the inbound update is durable. Without: when it is in memory.
    R12Durable,
    /// R12: an archived inbound channel counts as resolved. Without: as unknown.
    R12Archived,
    /// R12: an inbound HTLC without an outbound entry was never forwarded. Without: it waits.
    R12NeverForwarded,
    /// R12: unknown keeps the entry. Without: it releases it.
    R12Unknown,
    /// R12: unknown is reported once. Without: at every plan.
    R12Once,
    /// Once `Failed` is durable the verdict is frozen. Without: a preimage turns it (W2).
    FinalIsFinal,
    /// Failed off chain when the removal is irrevocable. Without: at the peer's message (W10).
    Irrevocable,
    /// A preimage is evidence for its own HTLC. Without: for every one of that hash (W11).
    OwnEvidence,
    /// A generation is drawn, never counted. Without: one more than what is visible (W7).
    RandomGeneration,
    /// Attempts belong to one generation. Without: the newest attempt decides (W13).
    OneGeneration,
}

impl Rule {
    /// All of them, in the order of the rules.
    pub const ALL: [Self; 39] = [
        Self::R1Intent,
        Self::R1Entry,
        Self::R1OneAppend,
        Self::R2NeverSent,
        Self::R2Monitor,
        Self::R2Whole,
        Self::R2Match,
        Self::R3Recompute,
        Self::R4Gate,
        Self::R5AfterHandler,
        Self::R5Final,
        Self::R5Path,
        Self::R5NoRetry,
        Self::R5NewestRetries,
        Self::R6Over,
        Self::R7Rebuilt,
        Self::R8Free,
        Self::R9Drop,
        Self::R10Tombstone,
        Self::R10Epoch,
        Self::R10Unknown,
        Self::R10Siblings,
        Self::R10EpochOnce,
        Self::R10Dated,
        Self::R10Adopted,
        Self::R10UnknownStays,
        Self::R11Owed,
        Self::R11Tombstones,
        Self::R11Preimage,
        Self::R12Durable,
        Self::R12Archived,
        Self::R12NeverForwarded,
        Self::R12Unknown,
        Self::R12Once,
        Self::FinalIsFinal,
        Self::Irrevocable,
        Self::OwnEvidence,
        Self::RandomGeneration,
        Self::OneGeneration,
    ];
}

/// The clauses in force.
///
/// # Examples
///
/// ```
/// use lastword_model::{Rule, Rules};
/// let rules = Rules::all().without(Rule::R4Gate);
/// assert!(rules.has(Rule::R6Over) && !rules.has(Rule::R4Gate));
/// ```
///
/// Source: design.md 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules(u64);

impl Rules {
    /// Returns all of them: the rules as `docs/INVARIANTS.md` words them.
    pub const fn all() -> Self {
        Self(u64::MAX)
    }

    /// Returns these without one clause.
    #[must_use]
    pub const fn without(self, rule: Rule) -> Self {
        Self(self.0 & !(1 << rule as u64))
    }

    /// Says whether a clause is in force.
    pub const fn has(self, rule: Rule) -> bool {
        self.0 & (1 << rule as u64) != 0
    }
}

/// What a crash leaves of the book and the monitors.
///
/// Source: design.md 4 (`UpdateLog`), 5 (the last paragraph), 7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// One log: a prefix of all batches, with everything synced.
    OneLog,
    /// A store for the book and one for each monitor: of each its own prefix.
    SeparateStores,
    /// The same, and the book may be any that was ever durable, or none.
    AnyBook,
}

impl Mode {
    /// The three.
    pub const ALL: [Self; 3] = [Self::OneLog, Self::SeparateStores, Self::AnyBook];

    /// Returns its name, as reports and `docs/MODEL.md` print it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::OneLog => "one log",
            Self::SeparateStores => "separate stores",
            Self::AnyBook => "any old book",
        }
    }
}
