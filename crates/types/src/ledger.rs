//! What became of an HTLC, and what the user was told of it.
//!
//! ```text
//!             evidence on this HTLC                    (final at once)
//!   Live ────────────────────────────► Fulfilled
//!    ▲ │                                   ▲
//!    │ │ removed, timed out, absent        │ a preimage beats a failure that is not final
//!    │ ▼                                   │
//!    └ Failing { until } ──────────────────┘
//!         │ revoked, or deep enough
//!         ▼
//!       Failed                                         (final: a later preimage is only a fact)
//! ```
//!
//! A forward that hangs on chain goes to `Failed` by time alone, shortly before its inbound half
//! expires ([`HtlcFailure::FailedBack`]), unless that half is on chain too.
//!
//! The way back from `Failing` to `Live` is a reorg that removes what the failure rests on.

use bitcoin::{Amount, Txid};
use serde::{Deserialize, Serialize};

use crate::amount::AmountMsat;
use crate::block::BlockHeight;
use crate::htlc::{Htlc, HtlcKey, PaymentHash160, PaymentPreimage};
use crate::id::{CommitmentNumber, Generation, PaymentId};
use crate::received::PreimageSource;

/// The commitments of one side in which an HTLC stands: from a number on, until before another.
///
/// Source: BOLT 3, commitment numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spell {
    /// The first commitment that holds it.
    pub from: CommitmentNumber,
    /// The first later commitment that does not, if any.
    pub until: Option<CommitmentNumber>,
}

impl Spell {
    /// Says whether the commitment of this number holds the HTLC.
    pub fn holds(&self, number: CommitmentNumber) -> bool {
        self.from <= number && self.until.is_none_or(|until| number < until)
    }
}

/// What became of an HTLC, on the evidence known so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Nothing is decided.
    Live,
    /// The preimage was shown for this very HTLC. Final.
    Fulfilled {
        /// What was shown.
        preimage: PaymentPreimage,
        /// Where it was shown.
        how: FulfilledHow,
    },
    /// It will have failed unless something changes before `until`.
    Failing {
        /// Why.
        reason: HtlcFailure,
        /// What it waits for.
        until: FailingUntil,
    },
    /// No transaction can pay the other side any more, or it no longer counts
    /// ([`HtlcFailure::FailedBack`]). Final.
    Failed {
        /// Why.
        reason: HtlcFailure,
    },
}

impl Verdict {
    /// Says whether the verdict will never change.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Fulfilled { .. } | Self::Failed { .. })
    }
}

/// Where the preimage of a fulfilled HTLC was shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FulfilledHow {
    /// By a peer's message, or by ours (BOLT 2, `update_fulfill_htlc`).
    Message,
    /// By a transaction that spent this HTLC's output.
    Chain {
        /// That transaction.
        txid: Txid,
    },
    /// By a transaction that spent this HTLC's output and was not confirmed when it was seen.
    Mempool {
        /// That transaction.
        txid: Txid,
    },
}

/// What a failing HTLC waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailingUntil {
    /// No commitment that holds it can be confirmed any more (BOLT 2, removal is irrevocable).
    Revoked,
    /// A tip of this height.
    Depth(BlockHeight),
}

/// Why an HTLC failed.
///
/// The order is total: of several parts' reasons a payment reports the least, so that the report
/// does not depend on the order in which they were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum HtlcFailure {
    /// Removed off chain with a failure.
    Removed {
        /// The failure code, 0 where it could not be read (BOLT 4, failure messages).
        code: u16,
    },
    /// Its output went back to its offerer: after the expiry, or as the penalty for a revoked
    /// commitment.
    TimedOut,
    /// The confirmed closing has no output for it: trimmed, or not in that transaction.
    Absent,
    /// No HTLC of this part ever left this node (rule R2).
    NeverSent,
    /// The caller gave up before anything left this node. Only the book knows that, and an older one
    /// does not; so that every book tells the same, what is told is [`NeverSent`](Self::NeverSent).
    Abandoned,
    /// The outbound half of a forward was open on chain when the inbound half was about to expire:
    /// the inbound half is failed back, and the peer can still be paid. The one failure that is
    /// final without proof, and never that of a payment of our own.
    FailedBack,
}

/// What a payment came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The recipient was paid.
    Sent {
        /// The proof.
        preimage: PaymentPreimage,
        /// What the recipient was to get in all.
        amount_msat: AmountMsat,
        /// The fee as agreed for the attempt.
        fee_msat: AmountMsat,
    },
    /// Nobody was paid and nobody can be.
    Failed {
        /// The least of the parts' reasons.
        reason: HtlcFailure,
    },
    /// It was over before the payment book that is there was written, and nothing is left that says
    /// how: the book is older than the last traces in the ledgers (rule R10).
    Unknown,
}

impl Outcome {
    /// Returns the outcome without its details.
    pub fn kind(&self) -> OutcomeKind {
        match self {
            Self::Sent { .. } => OutcomeKind::Sent,
            Self::Failed { .. } => OutcomeKind::Failed,
            Self::Unknown => OutcomeKind::Unknown,
        }
    }
}

/// An outcome without its details.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OutcomeKind {
    /// The recipient was paid.
    Sent,
    /// Nobody was paid.
    Failed,
    /// Nobody knows any more.
    Unknown,
}

/// What the consumer durably knows of an HTLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// A part of a payment: the outcome that its generation came to.
    Payment {
        /// The generation.
        generation: Generation,
        /// What the user was told.
        outcome: Outcome,
    },
    /// The outbound half of a forward: the inbound half is settled.
    Forward,
    /// A part of a received payment: that the payment is claimed.
    Claimed,
}

/// One line of a monitor's ledger: an HTLC, what became of it, what was told.
///
/// Verdict and delivery are two facts: a release does not erase the verdict.
///
/// Source: `docs/ARCHITECTURE.md`, the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct LedgerEntry<'a> {
    /// Which HTLC.
    pub key: HtlcKey,
    /// Its facts and whom it is for.
    pub htlc: &'a Htlc,
    /// What became of it.
    pub verdict: Verdict,
    /// What the consumer durably knows, once it does.
    pub delivered: Option<Told>,
    /// Whether no further attempt of its payment is made.
    pub is_given_up: bool,
    /// Whether it is noted that the channel of the inbound half of its forward is closed.
    pub is_inbound_on_chain: bool,
    /// Whether it was removed off chain: one commitment is without it.
    pub is_removed: bool,
    /// With what it is claimed by itself, if it was received and is.
    pub claim: Option<&'a PaymentPreimage>,
    /// By what right, if that was said.
    pub source: Option<&'a PreimageSource>,
    /// Whether it was received and may be claimed by the right that its origin gives: it is not over,
    /// it was not failed back, and no such claim holds it.
    pub is_claimable: bool,
}

impl<'a> LedgerEntry<'a> {
    /// Returns the entry of an HTLC of which nobody was told and nothing else is known.
    pub fn undelivered(key: HtlcKey, htlc: &'a Htlc, verdict: Verdict) -> Self {
        Self {
            key,
            htlc,
            verdict,
            delivered: None,
            is_given_up: false,
            is_inbound_on_chain: false,
            is_removed: false,
            claim: None,
            source: None,
            is_claimable: false,
        }
    }
}

/// What is left in the ledger of a part of a payment that is forgotten: that it is over, and what
/// the user was told (rules R6 and R10).
///
/// # Shape
///
/// At most 100 bytes when encoded, with the HTLC's id that it is kept under.
///
/// Source: `docs/INVARIANTS.md`, R10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The caller's key.
    pub payment_id: PaymentId,
    /// The incarnation of that key.
    pub generation: Generation,
    /// What the user was told.
    pub outcome: Outcome,
}

/// What is left of a forgotten HTLC for as long as the peer may broadcast a revoked commitment that
/// held it: all that is needed to find its output and to take it.
///
/// # Shape
///
/// None is kept of an HTLC that never stood in a commitment of the peer, or never can have had an
/// output there because it is below the peer's dust limit.
///
/// Source: BOLT 3, "Commitment Transaction Outputs"; BOLT 5, "Revoked Transaction Close Handling".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PastHtlc {
    /// All that the script of its output says of its payment hash.
    pub payment_hash160: PaymentHash160,
    /// What its output was worth.
    pub amount: Amount,
    /// The height from which its offerer may take it back.
    pub cltv_expiry: BlockHeight,
    /// The first commitment of the peer that held it.
    pub from: CommitmentNumber,
    /// The first later commitment of the peer that did not.
    pub until: CommitmentNumber,
    /// Whether it had failed: a preimage that is shown for it afterwards is then alarming.
    pub is_failed: bool,
}

impl PastHtlc {
    /// Says whether the peer's commitment of this number held the HTLC.
    pub fn stood_in(&self, number: CommitmentNumber) -> bool {
        self.from <= number && number < self.until
    }
}
