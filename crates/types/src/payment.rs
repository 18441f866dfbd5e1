//! Payments: intents, records of the payment book, and what the user is told.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::amount::AmountMsat;
use crate::block::BlockHeight;
use crate::htlc::{
    Htlc, HtlcDirection, HtlcKey, HtlcOrigin, Metadata, PaymentHash, PaymentOrigin, PaymentPreimage,
};
use crate::id::{BookEpoch, ChannelId, Generation, HtlcId, PartIndex, PaymentId};
use crate::ledger::{HtlcFailure, Outcome};
use crate::terms::Terms;
use crate::update::Alarm;

/// The decision to pay, durable before an HTLC exists (rule R1).
///
/// # Shape
///
/// At least one part; `part_amount_msat` of all parts sum up to `total_msat`, the HTLC amounts to
/// `total_msat + fee_msat`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intent {
    /// The caller's key.
    pub payment_id: PaymentId,
    /// The incarnation of that key.
    pub generation: Generation,
    /// Counts retries within the generation, from 0.
    pub attempt: u32,
    /// What the recipient's preimage must hash to.
    pub payment_hash: PaymentHash,
    /// What the recipient is to get.
    pub total_msat: AmountMsat,
    /// The fee agreed for all parts.
    pub fee_msat: AmountMsat,
    /// The parts, by their index.
    pub parts: Vec<IntentPart>,
    /// The caller's data.
    pub metadata: Metadata,
    /// What it is for, how often it may be tried, and where it was tried before.
    pub terms: Terms,
}

/// One part of an intent: the HTLC that will carry it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntentPart {
    /// The channel.
    pub channel_id: ChannelId,
    /// The id that the HTLC will have.
    pub htlc_id: HtlcId,
    /// The amount of the HTLC.
    pub amount_msat: AmountMsat,
    /// What of it reaches the recipient.
    pub part_amount_msat: AmountMsat,
    /// Its expiry.
    pub cltv_expiry: BlockHeight,
}

impl Intent {
    /// Returns the origin that the HTLC of a part carries, or `None` for a part that is not there.
    pub fn origin(&self, part: PartIndex) -> Option<HtlcOrigin> {
        let this = self.parts.get(usize::from(part.0))?;
        let metadata = if part.0 == 0 { self.metadata.clone() } else { self.metadata.hashed() };
        Some(HtlcOrigin::Payment(PaymentOrigin {
            payment_id: self.payment_id,
            generation: self.generation,
            attempt: self.attempt,
            part,
            part_channels: self.parts.iter().map(|part| part.channel_id).collect(),
            part_amount_msat: this.part_amount_msat,
            total_msat: self.total_msat,
            fee_msat: self.fee_msat,
            metadata,
            terms: self.terms.clone(),
        }))
    }

    /// Returns the HTLC that carries a part, or `None` for a part that is not there.
    pub fn htlc(&self, part: PartIndex) -> Option<Htlc> {
        let this = self.parts.get(usize::from(part.0))?;
        Some(Htlc {
            direction: HtlcDirection::Offered,
            htlc_id: this.htlc_id,
            amount_msat: this.amount_msat,
            payment_hash: self.payment_hash,
            cltv_expiry: this.cltv_expiry,
            origin: self.origin(part)?,
        })
    }
}

impl IntentPart {
    /// Returns the identity of the HTLC that carries this part.
    pub fn key(&self) -> HtlcKey {
        HtlcKey {
            channel_id: self.channel_id,
            direction: HtlcDirection::Offered,
            htlc_id: self.htlc_id,
        }
    }
}

/// Everything that changes the payment book; its state is the fold of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PaymentRecord {
    /// A payment begins.
    Intent(Intent),
    /// A payment that only the monitors knew (rule R7). Parts that no ledger names any more are
    /// missing.
    Rebuilt(Intent),
    /// The caller gives up: no further attempt.
    Abandoned {
        /// Which payment.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
    },
    /// The one outcome; durable before it is told.
    Decided {
        /// Which payment.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
        /// What it came to.
        outcome: Outcome,
    },
    /// The user's handler returned from an event.
    Handled {
        /// Which event.
        key: EventKey,
    },
    /// The monitors prove that the user knows the outcome (rule R6): decided and handled at once.
    Adopted {
        /// Which payment.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
        /// What the user was told.
        outcome: Outcome,
    },
    /// A finished payment leaves the book (rule R9).
    Dropped {
        /// Which payment.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
    },
    /// A further attempt of a pending payment, in place of the one before; durable before its
    /// HTLCs exist (rule R1).
    Retried(Intent),
    /// The book enters an epoch: what monitors drop behind it, this book can do without (rule R10).
    EpochRaised {
        /// The epoch, above the one before.
        epoch: BookEpoch,
    },
}

/// Where a payment stands in the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaymentState {
    /// No outcome yet.
    Pending,
    /// The outcome is recorded and not yet handled.
    Decided(Outcome),
    /// The user's handler returned from the terminal event.
    Handled(Outcome),
}

/// Everything that the payment book remembers.
///
/// # Crash safety
///
/// Equal to the fold of the book's records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BookState {
    /// Tombstones of finished payments may have been dropped up to this epoch (rule R10).
    pub epoch: BookEpoch,
    /// The payments, by id: at most one generation of each.
    pub payments: BTreeMap<PaymentId, BookEntry>,
}

/// What the book remembers of one payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookEntry {
    /// What was intended.
    pub intent: Intent,
    /// Where it stands.
    pub state: PaymentState,
    /// Whether the caller gave up.
    pub is_abandoned: bool,
    /// The path events that the user's handler returned from.
    pub paths_handled: BTreeSet<EventKind>,
}

/// The name of an event, the same each time it is told: an idempotency key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventKey {
    /// Which payment.
    pub payment_id: PaymentId,
    /// Which incarnation.
    pub generation: Generation,
    /// What is told.
    pub kind: EventKind,
}

/// What an event is about; the order is the one in which a payment's events are told.
///
/// `PaymentPathFailed` comes before `PaymentFailed`, `PaymentSent` before `PaymentPathSuccessful`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, Hash)]
pub enum EventKind {
    /// A part failed.
    PathFailed {
        /// Which attempt.
        attempt: u32,
        /// Which part.
        part: PartIndex,
    },
    /// The payment failed.
    Failed,
    /// The payment was made.
    Sent,
    /// A part was taken.
    PathSuccessful {
        /// Which attempt.
        attempt: u32,
        /// Which part.
        part: PartIndex,
    },
    /// A probe ended.
    Probed,
    /// What became of the payment is not known any more.
    Unknown,
    /// A received payment is claimed.
    Claimed,
}

impl EventKind {
    /// Says whether this is a payment's last word.
    pub fn is_terminal(&self) -> bool {
        matches!(self, Self::Sent | Self::Failed | Self::Probed | Self::Unknown | Self::Claimed)
    }
}

/// What the user is told.
///
/// A repetition after a crash is identical, field for field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The recipient was paid. A payment's last word.
    PaymentSent {
        /// Which payment.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
        /// What was paid.
        payment_hash: PaymentHash,
        /// The proof.
        preimage: PaymentPreimage,
        /// What the recipient was to get.
        amount_msat: AmountMsat,
        /// The fee as agreed for the attempt.
        fee_msat: AmountMsat,
    },
    /// A part was taken; follows `PaymentSent`.
    PaymentPathSuccessful {
        /// Which payment.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
        /// Which attempt.
        attempt: u32,
        /// Which part.
        part: PartIndex,
        /// The HTLC that carried it.
        htlc: HtlcKey,
        /// What of it reached the recipient.
        amount_msat: AmountMsat,
    },
    /// A part failed; the payment may still be made by others.
    PaymentPathFailed {
        /// Which payment.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
        /// Which attempt.
        attempt: u32,
        /// Which part.
        part: PartIndex,
        /// The HTLC that carried it.
        htlc: HtlcKey,
        /// Why.
        reason: HtlcFailure,
    },
    /// Nobody was paid and nobody can be. A payment's last word.
    PaymentFailed {
        /// Which payment.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
        /// What was to be paid.
        payment_hash: PaymentHash,
        /// The least of the parts' reasons.
        reason: HtlcFailure,
    },
    /// Something that a person should hear of; told once after each start while it holds.
    Alarm(Alarm),
    /// A probe ended, and nobody was paid. A probe's last word, and the only one.
    ///
    /// Should a recipient take a probe after all, that is told as
    /// [`PaymentSent`](Self::PaymentSent): money went.
    Probed {
        /// Which probe.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
        /// The hash that it was made with.
        payment_hash: PaymentHash,
        /// Whether it failed at the recipient, as it is meant to.
        is_reached: bool,
        /// Why its HTLC failed.
        reason: HtlcFailure,
    },
    /// The payment is over, and the payment book that came back is too old to say how: the ledgers
    /// have dropped what they knew. A payment's last word; it is never made again by itself.
    PaymentUnknown {
        /// Which payment.
        payment_id: PaymentId,
        /// Which incarnation.
        generation: Generation,
        /// What was to be paid.
        payment_hash: PaymentHash,
    },
    /// A payment was received: the claim of every part that could still be claimed is durable. From
    /// then on each of them is taken, from the peer or on chain; its channel's balances say how far
    /// that is. A received payment's last word.
    PaymentClaimed {
        /// What was paid.
        payment_hash: PaymentHash,
        /// What it is claimed with.
        preimage: PaymentPreimage,
        /// What the parts are worth that are claimed.
        amount_msat: AmountMsat,
        /// What the parts were worth that were over when their turn came, and are lost; 0 unless
        /// something else went wrong.
        lost_msat: AmountMsat,
        /// All parts.
        parts: BTreeSet<HtlcKey>,
    },
}

impl Event {
    /// Returns the channel that the event names, if it names one alone.
    pub fn channel_id(&self) -> Option<ChannelId> {
        match self {
            Self::PaymentPathSuccessful { htlc, .. } | Self::PaymentPathFailed { htlc, .. } => {
                Some(htlc.channel_id)
            }
            Self::Alarm(alarm) => Some(alarm.channel_id()),
            Self::PaymentSent { .. }
            | Self::PaymentFailed { .. }
            | Self::PaymentUnknown { .. }
            | Self::PaymentClaimed { .. }
            | Self::Probed { .. } => None,
        }
    }

    /// Returns the idempotency key of an event about a payment, made or received; alarms have none.
    pub fn key(&self) -> Option<EventKey> {
        let (payment_id, generation, kind) = match self {
            Self::PaymentSent { payment_id, generation, .. } => {
                (payment_id, generation, EventKind::Sent)
            }
            Self::PaymentPathSuccessful { payment_id, generation, attempt, part, .. } => (
                payment_id,
                generation,
                EventKind::PathSuccessful { attempt: *attempt, part: *part },
            ),
            Self::PaymentPathFailed { payment_id, generation, attempt, part, .. } => {
                (payment_id, generation, EventKind::PathFailed { attempt: *attempt, part: *part })
            }
            Self::PaymentFailed { payment_id, generation, .. } => {
                (payment_id, generation, EventKind::Failed)
            }
            Self::Probed { payment_id, generation, .. } => {
                (payment_id, generation, EventKind::Probed)
            }
            Self::Alarm(_) => return None,
            Self::PaymentUnknown { payment_id, generation, .. } => {
                (payment_id, generation, EventKind::Unknown)
            }
            Self::PaymentClaimed { payment_hash, parts, .. } => {
                return Some(EventKey::of_received(*payment_hash, parts));
            }
        };
        Some(EventKey { payment_id: *payment_id, generation: *generation, kind })
    }
}
