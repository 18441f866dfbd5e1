//! Resolving forwards (rule R12): what the outbound half means for the inbound one.
//!
//! What became of the inbound half is read from its monitor where that is here: the preimage is in its
//! ledger before anything downstream may forget it. Only of a channel that is not here the node's own
//! book is asked; one that is here and damaged waits.
//!
//! An inbound HTLC without an outbound entry was never forwarded; failing it back or forwarding it
//! is a decision of the node that forwards.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use lastword_ports::{InboundState, LedgerState};
use lastword_types::{
    Bug, EntryState, HtlcClaim, HtlcDirection, HtlcFailure, HtlcKey, LedgerEntry, PaymentHash,
    PaymentPreimage, PreimageSource, ReleasePaymentComplete, Told, Verdict,
};

use crate::action::{Action, Planned};
use crate::channel;
use crate::gather::{Inbound, Outbound};
use crate::plan::View;
use crate::reason::Reason;

/// Where the inbound half of a forward stands.
enum InboundHalf {
    /// It waits for the outbound half.
    Waits {
        /// What a preimage must hash to with which its ledger takes a claim, if that is here.
        claimable: Option<PaymentHash>,
    },
    /// It is durably updated with the verdict, or irrevocably resolved.
    Settled(Reason),
    /// Nobody knows it.
    Unknown,
}

impl InboundHalf {
    fn read(view: &View<'_>, inbound: HtlcKey) -> Self {
        let ledger = match view.ledgers.ledger(inbound.channel_id) {
            LedgerState::Present(ledger) => ledger,
            LedgerState::Missing => return Self::of_book(view, inbound),
            // Whatever the book says, the half may be live in bytes that nobody can read; and a node
            // that has lost sight of the channel must not forget the preimage for it.
            LedgerState::Damaged => return Self::Waits { claimable: None },
        };
        match ledger.entry(HtlcDirection::Received, inbound.htlc_id) {
            _ if ledger.head().is_archived => Self::Settled(Reason::InboundGone),
            EntryState::Entry(entry) => Self::of_entry(&entry),
            EntryState::Forgotten => Self::Settled(Reason::InboundResolved),
            EntryState::Unknown => Self::of_book(view, inbound),
        }
    }

    fn of_entry(entry: &LedgerEntry<'_>) -> Self {
        if entry.is_removed || entry.verdict.is_final() || entry.claim.is_some() {
            return Self::Settled(Reason::InboundResolved);
        }
        Self::Waits { claimable: entry.is_claimable.then_some(entry.htlc.payment_hash) }
    }

    fn of_book(view: &View<'_>, inbound: HtlcKey) -> Self {
        match view.forwards.inbound_state(inbound) {
            InboundState::Open => Self::Waits { claimable: None },
            InboundState::Resolved => Self::Settled(Reason::InboundResolved),
            InboundState::Gone => Self::Settled(Reason::InboundGone),
            InboundState::Unknown => Self::Unknown,
        }
    }
}

/// Appends what is to be done about one forward.
pub(crate) fn plan_forward(
    view: &View<'_>,
    (outbound, Outbound { inbound, verdict, is_inbound_on_chain }): (HtlcKey, Outbound),
    claimed: &mut BTreeSet<HtlcKey>,
    actions: &mut Vec<Planned>,
) {
    let half = if Bug::OutboundForgotten.is_planted() {
        InboundHalf::Settled(Reason::InboundResolved)
    } else {
        InboundHalf::read(view, inbound)
    };
    let is_settled = match half {
        InboundHalf::Waits { .. } | InboundHalf::Unknown => false,
        InboundHalf::Settled(_) => true,
    };
    let mut act = |action, reason| actions.push(Planned { action, reason });
    // Closed is state: it holds whatever the node knows of the forward.
    let is_news = !is_inbound_on_chain && view.ledgers.is_closed(inbound.channel_id);
    if is_news && !is_settled && !verdict.is_final() {
        act(Action::NoteInboundOnChain { inbound, outbound }, Reason::InboundOnChain);
    }
    match (half, verdict) {
        (InboundHalf::Waits { claimable }, Verdict::Fulfilled { preimage, .. }) => {
            let is_kept = !Bug::ClaimNotKept.is_planted();
            let is_it = claimable == Some(preimage.payment_hash()) && is_kept;
            if is_it && claimed.insert(inbound) {
                act(claim(inbound, outbound, preimage), Reason::OutboundFulfilled);
            }
            let action = Action::ClaimInbound { inbound, outbound, preimage };
            act(action, Reason::OutboundFulfilled);
        }
        (InboundHalf::Waits { .. }, Verdict::Failing { reason, .. })
            if Bug::ForwardFailedEarly.is_planted() =>
        {
            act(Action::FailInbound { inbound, outbound, reason }, why(reason));
        }
        (InboundHalf::Waits { .. }, Verdict::Failed { reason }) => {
            act(Action::FailInbound { inbound, outbound, reason }, why(reason));
        }
        // The outbound half is kept until its own verdict is final, whatever became of the other.
        (InboundHalf::Settled(reason), Verdict::Fulfilled { .. } | Verdict::Failed { .. }) => {
            let release = ReleasePaymentComplete { htlc: outbound, told: Told::Forward };
            act(Action::Release(release), reason);
        }
        (
            InboundHalf::Waits { .. } | InboundHalf::Settled(_),
            Verdict::Live | Verdict::Failing { .. },
        ) => {}
        (InboundHalf::Unknown, _) => {
            act(Action::ReportUnknownForward { outbound }, Reason::InboundUnknown);
        }
    }
}

/// Appends what is to be done about inbound halves whose outbound half has nothing to say any more:
/// the peer of a claimed one has to hear the preimage. At a start, also about those of which none
/// ever left.
pub(crate) fn plan_inbound(
    view: &View<'_>,
    waiting: &BTreeMap<HtlcKey, Inbound>,
    forwards: Option<&BTreeMap<HtlcKey, Outbound>>,
    actions: &mut Vec<Planned>,
) {
    let forwarded: BTreeSet<HtlcKey> = match forwards {
        Some(forwards) if !waiting.is_empty() => forwards.values().map(|it| it.inbound).collect(),
        Some(_) | None => BTreeSet::new(),
    };
    for (inbound, Inbound { claim, outbound }) in waiting {
        let (inbound, outbound) = (*inbound, *outbound);
        let planned = if let Some(preimage) = *claim {
            let action = Action::ClaimInbound { inbound, outbound, preimage };
            let is_open = !view.ledgers.is_closed(inbound.channel_id);
            is_open.then_some(Planned { action, reason: Reason::OutboundFulfilled })
        } else {
            let action = Action::DecideInbound { inbound, outbound };
            let is_alone = forwards.is_some() && !forwarded.contains(&inbound);
            (is_alone && never_left(view, outbound))
                .then_some(Planned { action, reason: Reason::NeverForwarded })
        };
        actions.extend(planned);
    }
}

/// Says whether the outbound half of a forward has no entry in a ledger that was read to its end, and
/// no update on its way there can bring one.
fn never_left(view: &View<'_>, outbound: HtlcKey) -> bool {
    match view.ledgers.ledger(outbound.channel_id) {
        LedgerState::Present(ledger) => {
            let is_unknown = match ledger.entry(outbound.direction, outbound.htlc_id) {
                EntryState::Unknown => true,
                EntryState::Forgotten | EntryState::Entry(_) => false,
            };
            is_unknown && !channel::is_in_flight(view, &ledger.head())
        }
        LedgerState::Missing | LedgerState::Damaged => false,
    }
}

fn claim(inbound: HtlcKey, outbound: HtlcKey, preimage: PaymentPreimage) -> Action {
    let source = PreimageSource::Downstream { outbound };
    let HtlcKey { channel_id, htlc_id, direction: _ } = inbound;
    Action::Claim(HtlcClaim { channel_id, htlc_ids: [htlc_id].into(), preimage, source })
}

fn why(reason: HtlcFailure) -> Reason {
    match reason {
        HtlcFailure::FailedBack => Reason::FailedBack,
        HtlcFailure::Removed { .. }
        | HtlcFailure::TimedOut
        | HtlcFailure::Absent
        | HtlcFailure::NeverSent
        | HtlcFailure::Abandoned => Reason::OutboundFailed,
    }
}
