//! [`Ledger`]: what a monitor knows of the outcomes of its HTLCs.

use lastword_types::{
    BookEpoch, ChannelId, EntryState, HtlcDirection, HtlcId, LedgerEntry, PaymentId, Tombstone,
    UpdateId,
};

/// What is known of a ledger without reading its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerHead {
    /// The channel.
    pub channel_id: ChannelId,
    /// The last update that the monitor applied.
    pub latest_update: UpdateId,
    /// Tombstones were dropped that every book of at least this epoch can do without (rule R10).
    pub pruned_behind: BookEpoch,
    /// Whether the channel is archived: no update changes it any more (rule R11).
    pub is_archived: bool,
}

/// The ledger of one channel.
///
/// # To be correct, an implementation must
///
/// - visit entries in the order of their HTLC ids, each once, the offered ones first;
/// - name in `for_each_undelivered` every offered entry whose outcome was not durably told, whatever
///   its verdict; every received one that is claimed as a part of a payment and was not told of; and
///   every received one of which the peer waits to hear, if it is claimed or to be forwarded;
/// - answer `entry` of every HTLC there ever was; who keeps none of those that were received leaves
///   it out, and tells of no received payment;
/// - name in `entries_of` delivered entries too, and in `tombstones_of` what is left of those that
///   it has forgotten: one of the two names a part until its tombstone is dropped behind an epoch
///   of the book, and that of a payment that was told as unknown for ever;
/// - answer from what the log holds, so that two readings without a record between are equal.
pub trait Ledger {
    /// Returns what is known without reading the entries.
    fn head(&self) -> LedgerHead;

    /// Visits the entries that are not delivered.
    fn for_each_undelivered(&self, visit: &mut dyn FnMut(LedgerEntry<'_>));

    /// Visits every entry of a payment, of every generation, delivered or not.
    fn entries_of<'a>(&'a self, payment_id: PaymentId, visit: &mut dyn FnMut(LedgerEntry<'a>));

    /// Visits the tombstones of a payment, of every generation: of parts that are forgotten, and of
    /// payments that were told as unknown, which stay (rule R10).
    fn tombstones_of(&self, payment_id: PaymentId, visit: &mut dyn FnMut(Tombstone));

    /// Returns what is known of one HTLC.
    fn entry(&self, _direction: HtlcDirection, _htlc_id: HtlcId) -> EntryState<'_> {
        EntryState::Unknown
    }
}

/// What can be said about the ledger of a channel.
pub enum LedgerState<'a> {
    /// It was read to its durable end.
    Present(&'a dyn Ledger),
    /// The channel is not known here.
    Missing,
    /// Its bytes are damaged and set apart.
    Damaged,
}

impl core::fmt::Debug for LedgerState<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Present(_) => "Present",
            Self::Missing => "Missing",
            Self::Damaged => "Damaged",
        })
    }
}

/// The ledgers of all channels.
///
/// # To be correct, an implementation must
///
/// - visit in `for_each` every channel that may hold an undelivered entry, each once; it may leave
///   out channels that it knows to hold none;
/// - answer `ledger` for every channel there is, those too that `for_each` leaves out;
/// - answer `is_closed` for every channel there is; who leaves it out never has a closed channel
///   reported to the node that believes it open;
/// - visit in `for_each_damaged` every channel for which `ledger` says `Damaged`: any of them may
///   hold a later attempt of a payment.
pub trait Ledgers {
    /// Returns the ledger of one channel.
    fn ledger(&self, channel_id: ChannelId) -> LedgerState<'_>;

    /// Visits the ledgers that may hold an undelivered entry.
    fn for_each(&self, visit: &mut dyn FnMut(&dyn Ledger));

    /// Visits the channels whose bytes are damaged and set apart: what they hold is not known.
    fn for_each_damaged(&self, _visit: &mut dyn FnMut(ChannelId)) {}
    /// Returns the highest epoch behind which any ledger there is dropped tombstones, those too that
    /// `for_each` leaves out (rule R10). A card knows it.
    fn pruned_behind(&self) -> BookEpoch;

    /// Says whether a channel is closed: its funding output is spent, or we decided to fail it. A
    /// card knows it.
    fn is_closed(&self, _channel_id: ChannelId) -> bool {
        false
    }
}
