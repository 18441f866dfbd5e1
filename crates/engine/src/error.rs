//! [`EngineError`]: what can go wrong, by what the caller should do.

use lastword_chain::TrackError;
use lastword_monitor::MonitorError;
use lastword_payments::{CursorError, PaymentError};
use lastword_ports::{ChainError, LogId, Lsn, StoreError};
use lastword_types::{BlockRef, ChannelId, EventKey, HtlcKey, PartIndex, PaymentId, UpdateId};
use lastword_wire::WireError;
use thiserror::Error;

/// What is wrong with a record of the payment book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BookDamage {
    /// Its bytes are no record.
    #[error("its bytes cannot be read")]
    Bytes(#[source] WireError),
    /// It does not follow from those before it.
    #[error("it does not follow from those before it")]
    Order(#[source] PaymentError),
}

/// The engine could not do what it was asked.
///
/// Unless a variant says otherwise nothing was changed and the next good input works.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The store failed; its kind says what to do.
    #[error("the store failed")]
    Store(#[from] StoreError),
    /// A monitor refused a record.
    #[error("the monitor of channel {channel_id} refused")]
    Monitor {
        /// Which channel.
        channel_id: ChannelId,
        /// Why.
        #[source]
        source: MonitorError,
    },
    /// The payment book refused.
    #[error("the payment book refused")]
    Payment(#[from] PaymentError),
    /// The best chain could not be followed.
    #[error("the chain could not be followed")]
    Track(#[from] TrackError),
    /// A chain adapter failed.
    #[error("the chain source failed")]
    Chain(#[from] ChainError),
    /// Stored bytes could not be read.
    #[error("stored bytes of {what} cannot be read")]
    Bytes {
        /// Which bytes.
        what: &'static str,
        /// Why.
        #[source]
        source: WireError,
    },
    /// A record of the payment book cannot be read, or does not follow from those before it. A node
    /// can start without the book ([`Driver::start_without_book`](crate::Driver::start_without_book)):
    /// the monitors alone suffice.
    #[error("the payment book is damaged at position {position}")]
    DamagedBook {
        /// Where in its log the record, or the snapshot, lies.
        position: u64,
        /// What is wrong with it.
        #[source]
        source: BookDamage,
    },
    /// The payment book belongs to the monitors of another node. Nothing was changed; the node starts
    /// with its own book, with an empty one, or without one.
    #[error("the payment book belongs to log {book:?}, and the monitors are {monitors:?}")]
    BookOfAnotherNode {
        /// The log that the book names.
        book: LogId,
        /// The log of the monitors.
        monitors: LogId,
    },
    /// The payment book has seen more of the monitors' log than there is: the monitors are an older
    /// copy, which must never be used, or the book is a mistaken one. Nothing was changed.
    #[error("the payment book has seen position {seen}, and the monitors' log ends at {end}")]
    BookFromTheFuture {
        /// How far the monitors' log was durable when a node last started with this book.
        seen: u64,
        /// How far it goes.
        end: u64,
    },
    /// The store has under the name of one channel what is of another: two channels with one id.
    #[error("the store has channel {found} under the name of channel {named}")]
    Misplaced {
        /// The name under which it was found.
        named: ChannelId,
        /// The channel that it is.
        found: ChannelId,
    },
    /// An update offers an HTLC for an inbound one that nobody knows: there is no such channel here,
    /// and the node's forward book has not heard of it. Nobody could ever settle that half.
    #[error("HTLC {outbound:?} is for one of an unknown channel, {inbound:?}")]
    UnknownInbound {
        /// The half that was to be offered.
        outbound: HtlcKey,
        /// The half that it names.
        inbound: HtlcKey,
    },
    /// There is no such channel.
    #[error("channel {0} is unknown")]
    UnknownChannel(ChannelId),
    /// There already is such a channel.
    #[error("channel {0} exists")]
    ChannelExists(ChannelId),
    /// A channel was to begin at another block than the present tip.
    #[error("the tip is {0:?}")]
    NotAtTip(BlockRef),
    /// The bytes of this channel are damaged; it is set apart.
    #[error("the bytes of channel {0} are damaged")]
    Damaged(ChannelId),
    /// The payment id is in use: an outcome is not durably told (rule R8).
    #[error("payment id {0} is busy")]
    PaymentIdBusy(PaymentId),
    /// This attempt of a payment is not owed.
    #[error("attempt {attempt} of payment {payment_id} is not owed, but {owed:?}")]
    RetryNotOwed {
        /// Which payment.
        payment_id: PaymentId,
        /// The attempt that was to be made.
        attempt: u32,
        /// The number of the one that may be made, if any.
        owed: Option<u32>,
    },
    /// A part of the payment has no update that adds its HTLC, field for field.
    #[error("part {0} has no update that adds its HTLC")]
    PartWithoutUpdate(PartIndex),
    /// Several updates of one channel were given where one is allowed.
    #[error("several updates for channel {0} in one payment")]
    SeveralUpdates(ChannelId),
    /// A received payment was to be claimed that has no part.
    #[error("a received payment has no parts")]
    NoParts,
    /// A part of a received payment that was to be claimed left its channel before.
    #[error("{0:?} has left its channel")]
    PartGone(HtlcKey),
    /// The inbound half of a forward was sent on before, and that can still be paid.
    #[error("{inbound:?} was forwarded as {outbound:?} before")]
    ForwardedBefore {
        /// The inbound half.
        inbound: HtlcKey,
        /// The outbound half that there is.
        outbound: HtlcKey,
    },
    /// The inbound half of a forward is settled: nothing pays for sending it on.
    #[error("{0:?} is settled and cannot be forwarded")]
    InboundSettled(HtlcKey),
    /// Updates that the node asked for are only in a snapshot.
    #[error("the updates of channel {channel_id} before {first} are only in a snapshot")]
    UpdatesCompacted {
        /// Which channel.
        channel_id: ChannelId,
        /// The first update that the log still holds.
        first: UpdateId,
    },
    /// An event is said to have been handled, or not, that nobody was given; an alarm has no key.
    #[error("the event {0:?} is not being handled")]
    NeverTold(Option<EventKey>),
    /// A reader acknowledges what it cannot have read.
    #[error("the cursor cannot be acknowledged")]
    Cursor(#[from] CursorError),
    /// A sync that ran elsewhere proves something of a log that the driver does not stand on.
    #[error("log {0:?} is none of this driver's")]
    UnknownLog(LogId),
    /// A sync that ran elsewhere proves more than was ever appended.
    #[error("{proven:?} is proven, and the log ends at {end:?}")]
    ProvenAhead {
        /// What is said to be durable.
        proven: Lsn,
        /// Where the log ends.
        end: Lsn,
    },
    /// There is no such update of the channel yet.
    #[error("channel {channel_id} is at update {latest}, not at {update_id}")]
    UnknownUpdate {
        /// Which channel.
        channel_id: ChannelId,
        /// The update that was asked for.
        update_id: UpdateId,
        /// The last that there is.
        latest: UpdateId,
    },
    /// Too many requests wait for a sync, or for the caller to take note that they are done.
    #[error("too many requests are in flight")]
    InFlightFull,
    /// An effect was asked for before its cause was durable.
    #[error("an effect was asked for before its cause was durable")]
    NotDurable,
    /// The plan did not come to rest; this is a defect of Lastword.
    #[error("the plan did not come to rest")]
    Restless,
    /// The engine was stopped.
    #[error("the engine was stopped")]
    Stopped,
}

impl EngineError {
    /// Returns the same error for another caller who shared the sync; what lay beneath a failure of
    /// a store or a chain source stays with the first.
    pub(crate) fn copy(&self) -> Self {
        match self {
            Self::Store(error) => {
                Self::Store(StoreError::new(error.kind, error.place, error.detail))
            }
            Self::Chain(error) => Self::Chain(ChainError::new(error.kind, error.detail)),
            Self::Monitor { channel_id, source } => {
                Self::Monitor { channel_id: *channel_id, source: source.clone() }
            }
            Self::Payment(error) => Self::Payment(*error),
            Self::Bytes { what, source } => Self::Bytes { what, source: *source },
            Self::UnknownChannel(channel_id) => Self::UnknownChannel(*channel_id),
            Self::ChannelExists(channel_id) => Self::ChannelExists(*channel_id),
            Self::NotAtTip(tip) => Self::NotAtTip(*tip),
            Self::Damaged(channel_id) => Self::Damaged(*channel_id),
            Self::PaymentIdBusy(payment_id) => Self::PaymentIdBusy(*payment_id),
            Self::PartWithoutUpdate(part) => Self::PartWithoutUpdate(*part),
            Self::SeveralUpdates(channel_id) => Self::SeveralUpdates(*channel_id),
            Self::RetryNotOwed { payment_id, attempt, owed } => {
                Self::RetryNotOwed { payment_id: *payment_id, attempt: *attempt, owed: *owed }
            }
            Self::ForwardedBefore { inbound, outbound } => {
                Self::ForwardedBefore { inbound: *inbound, outbound: *outbound }
            }
            Self::InboundSettled(inbound) => Self::InboundSettled(*inbound),
            Self::NoParts => Self::NoParts,
            Self::PartGone(part) => Self::PartGone(*part),
            Self::NeverTold(key) => Self::NeverTold(*key),
            Self::Cursor(error) => Self::Cursor(*error),
            Self::UpdatesCompacted { channel_id, first } => {
                Self::UpdatesCompacted { channel_id: *channel_id, first: *first }
            }
            Self::DamagedBook { position, source } => {
                Self::DamagedBook { position: *position, source: *source }
            }
            Self::BookOfAnotherNode { book, monitors } => {
                Self::BookOfAnotherNode { book: *book, monitors: *monitors }
            }
            Self::BookFromTheFuture { seen, end } => {
                Self::BookFromTheFuture { seen: *seen, end: *end }
            }
            Self::Misplaced { named, found } => Self::Misplaced { named: *named, found: *found },
            Self::UnknownInbound { outbound, inbound } => {
                Self::UnknownInbound { outbound: *outbound, inbound: *inbound }
            }
            Self::UnknownLog(log) => Self::UnknownLog(*log),
            Self::ProvenAhead { proven, end } => Self::ProvenAhead { proven: *proven, end: *end },
            Self::UnknownUpdate { channel_id, update_id, latest } => Self::UnknownUpdate {
                channel_id: *channel_id,
                update_id: *update_id,
                latest: *latest,
            },
            Self::InFlightFull => Self::InFlightFull,
            // Nothing follows the chain between a sync and its acknowledgement.
            Self::NotDurable | Self::Track(_) => Self::NotDurable,
            Self::Restless => Self::Restless,
            Self::Stopped => Self::Stopped,
        }
    }
}
