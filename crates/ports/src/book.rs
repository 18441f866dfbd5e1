//! What the manager's side knows: [`PaymentBook`], [`ForwardBook`], [`ChannelBook`].
//!
//! Each may be of any age or empty; the plan never takes what they lack for evidence.

use lastword_types::{
    BookEpoch, ChannelId, EventKey, HtlcKey, Intent, MonitorUpdate, PaymentId, PaymentState,
    UpdateId,
};

/// A payment as the book knows it.
#[derive(Debug, Clone, Copy)]
pub struct PaymentView<'a> {
    /// What was intended.
    pub intent: &'a Intent,
    /// Where it stands.
    pub state: PaymentState,
    /// Whether the caller gave up.
    pub is_abandoned: bool,
}

/// The payments of a node.
///
/// # To be correct, an implementation must
///
/// - visit in `for_each_pending` every payment whose terminal event is not handled, by id;
/// - answer `is_handled` from records, never from what is only queued.
pub trait PaymentBook {
    /// Returns the book's epoch: tombstones older than it may have been dropped (rule R10).
    fn epoch(&self) -> BookEpoch;

    /// Returns what is known of a payment.
    fn payment(&self, payment_id: PaymentId) -> Option<PaymentView<'_>>;

    /// Visits the payments whose terminal event is not handled.
    fn for_each_pending(&self, visit: &mut dyn FnMut(PaymentView<'_>));

    /// Says whether the user's handler returned from this event.
    fn is_handled(&self, key: EventKey) -> bool;
}

/// What a node knows of the inbound half of a forward.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InboundState {
    /// It waits for the outbound half.
    Open,
    /// It is durably updated with the verdict, or irrevocably resolved.
    Resolved,
    /// Its channel is archived: it counts as resolved.
    Gone,
    /// The node does not know it: keep the outbound entry and report once.
    Unknown,
}

/// The forwards of a node.
///
/// # To be correct, an implementation must
///
/// - say `Resolved` only of what is durable, never of what is in memory (rule R12).
pub trait ForwardBook {
    /// Returns what is known of an inbound HTLC.
    fn inbound_state(&self, htlc: HtlcKey) -> InboundState;

    /// Visits the inbound HTLCs that wait for an outbound half.
    fn for_each_pending(&self, visit: &mut dyn FnMut(HtlcKey));
}

/// A channel as a node knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelEntry {
    /// The channel.
    pub channel_id: ChannelId,
    /// The last update that the node made and knows to be durable.
    pub latest_update: UpdateId,
    /// Whether the node believes it open.
    pub is_open: bool,
}

/// The channels of a node.
///
/// # To be correct, an implementation must
///
/// - visit each channel once, by id;
/// - visit the updates in flight by id, without a gap, the first right behind
///   [`ChannelEntry::latest_update`]. Updates that it made and holds back are not in flight.
pub trait ChannelBook {
    /// Visits every channel.
    fn for_each_channel(&self, visit: &mut dyn FnMut(ChannelEntry));

    /// Visits the updates of a channel that the node handed over and does not know to be durable. A
    /// node that keeps none loses by it what the monitor had not written.
    fn for_each_in_flight(&self, _channel_id: ChannelId, _visit: &mut dyn FnMut(&MonitorUpdate)) {}
}
