//! [`PaymentError`] and [`IntentError`]: every way in which the book says no.

use lastword_types::{
    AmountMsat, ChannelId, Cursor, EventKey, Generation, HtlcKey, OutcomeKind, PaymentId,
};
use thiserror::Error;

/// A record that the payment book refuses; the book is unchanged.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PaymentError {
    /// The id belongs to a payment whose outcome is not handled: wait for it (rule R8).
    #[error("payment id {payment_id} is taken by generation {generation}")]
    IdTaken {
        /// The id.
        payment_id: PaymentId,
        /// Who holds it.
        generation: Generation,
    },
    /// The generation was used before: draw 16 new random bytes for each intent.
    #[error("generation {generation} of payment {payment_id} was used before")]
    GenerationReused {
        /// The id.
        payment_id: PaymentId,
        /// The generation.
        generation: Generation,
    },
    /// The intent cannot be sent as it is.
    #[error("the intent is not valid")]
    Intent(#[from] IntentError),
    /// The book does not know this payment.
    #[error("payment {payment_id} is not known")]
    UnknownPayment {
        /// The id.
        payment_id: PaymentId,
    },
    /// The record speaks of another generation than the book holds.
    #[error("payment {payment_id} is at generation {held}, not {named}")]
    OtherGeneration {
        /// The id.
        payment_id: PaymentId,
        /// What the book holds.
        held: Generation,
        /// What the record names.
        named: Generation,
    },
    /// Another outcome is recorded already, and an outcome never changes.
    #[error("payment {payment_id} already came to {recorded:?}")]
    DecidedOtherwise {
        /// The id.
        payment_id: PaymentId,
        /// What is recorded.
        recorded: OutcomeKind,
    },
    /// The preimage does not open the payment's hash.
    #[error("the preimage does not belong to payment {payment_id}")]
    PreimageMismatch {
        /// The id.
        payment_id: PaymentId,
    },
    /// An event cannot have been told yet: what comes before it is missing.
    #[error("the event {key:?} cannot have been told yet")]
    NotToldYet {
        /// Which event.
        key: EventKey,
    },
    /// The payment is not finished, so it cannot leave the book (rule R9).
    #[error("payment {payment_id} is not handled")]
    NotHandled {
        /// The id.
        payment_id: PaymentId,
    },
    /// The caller gave the payment up, or its outcome is recorded: it is not tried again.
    #[error("payment {payment_id} is not tried again")]
    NoMoreAttempts {
        /// The id.
        payment_id: PaymentId,
    },
    /// The payment is finished or the book knows it otherwise: nothing is left to rebuild.
    #[error("payment {payment_id} is known and was not lost")]
    NotLost {
        /// The id.
        payment_id: PaymentId,
    },
    /// A stored entry stands under an id that is not its own.
    #[error("the entry of payment {payment_id} stands under another id")]
    Misplaced {
        /// The entry's own id.
        payment_id: PaymentId,
    },
    /// A stored entry names a terminal event among its path events.
    #[error("the event {key:?} is not a path event")]
    NotAPathEvent {
        /// Which event.
        key: EventKey,
    },
}

/// What is wrong with an intent.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum IntentError {
    /// It has no part.
    #[error("the intent has no part")]
    NoParts,
    /// It has too many parts.
    #[error("the intent has {parts_count} parts, more than {max}")]
    TooManyParts {
        /// How many it has.
        parts_count: usize,
        /// How many it may have.
        max: usize,
    },
    /// A first attempt has the number 0.
    #[error("the first attempt has number {attempt}, not 0")]
    NotTheFirstAttempt {
        /// Its number.
        attempt: u32,
    },
    /// Nothing was tried before a first attempt.
    #[error("a first attempt names channels of earlier ones")]
    NothingCameBefore,
    /// The terms allow no attempt of this number, or a later one was made.
    #[error("an attempt of number {attempt} is not allowed")]
    AttemptNotAllowed {
        /// Its number.
        attempt: u32,
    },
    /// A retry does not name a channel in which the payment was tried before.
    #[error("the retry does not name channel {channel_id}, in which it was tried before")]
    EarlierChannelMissing {
        /// The channel.
        channel_id: ChannelId,
    },
    /// A retry pays something else, or changes its terms.
    #[error("the retry is another payment")]
    AnotherPayment,
    /// The number of attempts is none, or too high.
    #[error("a payment cannot have {attempts_max} attempts, only 1 to {max}")]
    WrongAttemptsMax {
        /// How many were asked for.
        attempts_max: u32,
        /// How many there may be.
        max: u32,
    },
    /// A probe has one part and one attempt.
    #[error("a probe has one part and one attempt")]
    ProbeTooLarge,
    /// A part carries nothing (BOLT 2: an HTLC's amount is greater than 0).
    #[error("the part in HTLC {htlc:?} delivers nothing")]
    EmptyPart {
        /// Which HTLC.
        htlc: HtlcKey,
    },
    /// A part's HTLC is smaller than what it is to deliver.
    #[error("the HTLC {htlc:?} carries less than it is to deliver")]
    PartAboveHtlc {
        /// Which HTLC.
        htlc: HtlcKey,
    },
    /// Two parts name one HTLC.
    #[error("two parts name HTLC {htlc:?}")]
    SameHtlcTwice {
        /// Which HTLC.
        htlc: HtlcKey,
    },
    /// A sum of amounts does not fit into 64 bits.
    #[error("the amounts do not fit into 64 bits")]
    AmountOverflow,
    /// The parts do not deliver what the recipient is to get.
    #[error("the parts deliver {parts}, not {total}")]
    PartsMissTotal {
        /// What the parts deliver.
        parts: AmountMsat,
        /// What they should.
        total: AmountMsat,
    },
    /// The HTLCs do not carry the total and the fee.
    #[error("the HTLCs carry {htlcs}, not {expected}")]
    HtlcsMissTotal {
        /// What the HTLCs carry.
        htlcs: AmountMsat,
        /// What they should.
        expected: AmountMsat,
    },
    /// The metadata is only a hash: an intent brings the data itself.
    #[error("the metadata is only a hash")]
    MetadataHashed,
    /// The metadata is too long.
    #[error("the metadata has {bytes} bytes, more than {max}")]
    MetadataTooLong {
        /// Its length.
        bytes: usize,
        /// How long it may be.
        max: usize,
    },
}

/// A reader acknowledges what it cannot have read; nothing is acknowledged.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CursorError {
    /// The cursor is from another start of the node: read from the start.
    #[error("the cursor {cursor:?} is not of epoch {epoch}")]
    OtherEpoch {
        /// The cursor.
        cursor: Cursor,
        /// The epoch of the outbox.
        epoch: u64,
    },
    /// Nothing was told at this place yet.
    #[error("nothing was told at {cursor:?}, only up to position {last}")]
    NeverTold {
        /// The cursor.
        cursor: Cursor,
        /// The last position that was given to a reader.
        last: u64,
    },
}
