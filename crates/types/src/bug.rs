//! [`Bug`]: bugs on purpose, so that those who look for bugs can be tested.
//!
//! A site reads `if Bug::VerdictErasedByRelease.is_planted()` and stands where the rule stands that
//! it breaks. Without `--cfg lastword_bugs` that is the constant `false`, and nothing of it is in the
//! program. With it, one bug is chosen at run time. No build of this workspace sets the cfg but
//! `cargo xtask bugs`, which requires that every bug is found.

/// Names a bug, says what is wrong and which rule it breaks, where it is from, and who has to find it.
macro_rules! bugs {
    ($($(#[doc = $what:literal])+ $bug:ident, $name:literal, $rule:literal, $source:literal, $finder:ident;)+) => {
        /// A bug that can be planted.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Bug {
            $($(#[doc = $what])+ $bug,)+
        }

        #[cfg(lastword_bugs)]
        impl Bug {
            /// Every bug there is.
            pub const ALL: &[Self] = &[$(Self::$bug),+];

            /// Returns what is known of it.
            pub const fn facts(self) -> BugFacts {
                match self {
                    $(Self::$bug => BugFacts {
                        name: $name,
                        what: concat!($($what),+),
                        rule: $rule,
                        source: $source,
                        finder: Finder::$finder,
                    },)+
                }
            }
        }
    };
}

bugs! {
    /// All that is appended counts as durable; nothing is ever synced.
    AppendIsDurable, "append-is-durable", "R4", "B061", Crash;
    /// Each record of a batch is an append of its own, so a payment may leave in part.
    PartsApart, "parts-apart", "R1", "B039", Crash;
    /// A part that no ledger knows is waited for: it may yet turn up.
    NeverSentHangs, "never-sent-hangs", "R2", "W1, B100", Crash;
    /// A path event that was handled releases its part, before the payment is decided.
    ReleaseOnAPathEvent, "release-on-a-path-event", "R5", "B038", Crash;
    /// A part is released when the payment is decided, whether the user has heard of it or not.
    ReleaseBeforeHandled, "release-before-handled", "R5", "B061", Crash;
    /// An event counts as handled when it is taken from the queue.
    DrainedEvent, "drained-event", "R5", "B036", Crash;
    /// What a ledger says was told is told again if the book does not know.
    ToldAgain, "told-again", "R6", "B081", Crash;
    /// A generation is over only when every part of it is released.
    OnePartIsNotOver, "one-part-is-not-over", "R6", "W8", Crash;
    /// A release takes the verdict with it.
    VerdictErasedByRelease, "verdict-erased-by-release", "R6", "B037", Crash;
    /// The other parts of a payment are not looked for in their channels.
    SiblingForgotten, "sibling-forgotten", "R6", "B082", Crash;
    /// An entry of a payment that the book does not know is released.
    UnknownIsReleased, "unknown-is-released", "R7", "B083", Crash;
    /// A payment that the book does not know is left alone.
    UnknownIsIgnored, "unknown-is-ignored", "R7", "B036", Crash;
    /// A forgotten HTLC leaves no tombstone.
    TombstoneNotKept, "tombstone-not-kept", "R10", "W4", Crash;
    /// An HTLC is forgotten when it has left the commitments, whether it was told of or not.
    ForgottenBeforeTold, "forgotten-before-told", "R10", "B086", Crash;
    /// A payment is resolved with the first of its parts, before the others are seen.
    OnePass, "one-pass", "plan", "B082", Crash;
    /// A payment fails with its first failed part.
    FailedPartDecides, "failed-part-decides", "plan", "B082", Crash;
    /// An HTLC has failed when the peer says so, though it can still confirm a commitment with it.
    FailedAtTheMessage, "failed-at-the-message", "M1", "W10, B045", Crash;
    /// What is on chain is final one block early.
    OneBlockEarly, "one-block-early", "M1", "B058", Crash;
    /// An HTLC without an output in the closing transaction is never decided.
    DustForgotten, "dust-forgotten", "M1", "B101, B087", Crash;
    /// A block that leaves the chain takes nothing back.
    ReorgNotUndone, "reorg-not-undone", "M5", "B055", Crash;
    /// After a start nothing is watched before the next record of its channel.
    WatchLost, "watch-lost", "M6", "B052", Crash;
    /// The tip is written before what its block brought.
    TipBeforeBlock, "tip-before-block", "M6", "B059", Crash;
    /// The events of a payment come last first.
    LastWordFirst, "last-word-first", "order", "B081", Crash;
    /// A preimage that was seen is forgotten with the block that showed it.
    EvidenceNotKept, "evidence-not-kept", "M1", "B039, B059", Crash;
    /// What the chain shows beats a preimage that was seen before.
    PreimageNotTerminal, "preimage-not-terminal", "M1", "B002", Crash;
    /// A preimage counts for every HTLC of its hash.
    HashIsIdentity, "hash-is-identity", "M2", "W11, B001", Crash;
    /// A commitment that the peer has not revoked yet cannot confirm.
    UnrevokedForgotten, "unrevoked-forgotten", "M1", "B003, B086", Crash;
    /// What has no output in the closing transaction has failed at once.
    AbsentIsFailed, "absent-is-failed", "M1", "B045", Crash;
    /// A preimage beats a failure that was told.
    LatePreimageWins, "late-preimage-wins", "M1", "W2", Crash;
    /// The entries of all generations of an id are one payment.
    GenerationsMerged, "generations-merged", "R7", "W7, B062", Crash;
    /// What was queued is told, whatever the ledgers say since.
    QueuedIsBelieved, "queued-is-believed", "R3", "W3", Crash;
    /// Only retries are released, not what was tried first.
    FirstAttemptKept, "first-attempt-kept", "R5", "W13, B108", Crash;
    /// That a payment may be tried again is forgotten.
    RetryLost, "retry-lost", "R5", "B037", Crash;
    /// An id is free while its payment goes on.
    IdFreeTooEarly, "id-free-too-early", "R8", "W6, B062", Crash;
    /// After a start no claim is asked for before something happens.
    ClaimsForgotten, "claims-forgotten", "M4", "B067", Sim;
    /// Blocks that a channel saw beyond the recorded tip are kept, although they may be gone.
    UnknownBlocksKept, "unknown-blocks-kept", "M5", "B134", Crash;
    /// A card is believed although its channel has a later record.
    CardBelieved, "card-believed", "M6", "B064", Crash;
    /// A sync that fails counts as one that did not.
    SyncFailureIgnored, "sync-failure-ignored", "R4", "B061", Sim;
    /// Tombstones are dropped without a note behind which epoch.
    TombstonesWithoutEpoch, "tombstones-without-epoch", "R10", "W4", Crash;
    /// The outbound half of a forward is released before the inbound half is settled.
    OutboundForgotten, "outbound-forgotten", "R12", "B041", Sim;
    /// The inbound half of a forward is failed while the outbound one may still be taken.
    ForwardFailedEarly, "forward-failed-early", "R12", "W10", Sim;
    /// That the inbound half of a forward is to be claimed is told to the node and not kept.
    ClaimNotKept, "claim-not-kept", "R12", "B043", Crash;
    /// A received payment is released when it is claimed, whether the user has heard of it or not.
    ClaimReleasedEarly, "claim-released-early", "R13", "B085", Sim;
}

/// What is known of a bug.
#[cfg(lastword_bugs)]
#[derive(Debug, Clone, Copy)]
pub struct BugFacts {
    /// Its name on the command line.
    pub name: &'static str,
    /// What is wrong.
    pub what: &'static str,
    /// The rule of `docs/INVARIANTS.md` that it breaks, or the invariant.
    pub rule: &'static str,
    /// Who had it: failures of others (B) and traces of the model (W).
    pub source: &'static str,
    /// Who has to find it.
    pub finder: Finder,
}

/// Who has to find a bug.
#[cfg(lastword_bugs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finder {
    /// The crash explorer.
    Crash,
    /// The simulator.
    Sim,
}

/// The bug that is planted, counted from 1.
#[cfg(lastword_bugs)]
static PLANTED: core::sync::atomic::AtomicUsize = core::sync::atomic::AtomicUsize::new(0);

impl Bug {
    /// Says whether this bug is in the program.
    #[cfg(lastword_bugs)]
    #[must_use]
    pub fn is_planted(self) -> bool {
        PLANTED.load(core::sync::atomic::Ordering::Relaxed) == self as usize + 1
    }

    /// Says whether this bug is in the program: it is not.
    #[cfg(not(lastword_bugs))]
    #[inline]
    #[must_use]
    pub const fn is_planted(self) -> bool {
        false
    }

    /// Puts this bug into the program, in place of any other.
    #[cfg(lastword_bugs)]
    pub fn plant(self) {
        PLANTED.store(self as usize + 1, core::sync::atomic::Ordering::Relaxed);
    }

    /// Returns the bug of this name.
    #[cfg(lastword_bugs)]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|bug| bug.facts().name == name)
    }
}
