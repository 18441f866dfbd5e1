//! Resolving forwards (rule R12): what the outbound half means for the inbound one.
//!
//! An inbound HTLC without an outbound entry was never forwarded; failing it back or forwarding it
//! is a decision of the node that forwards, and no entry of a ledger speaks of it.

use alloc::vec::Vec;

use lastword_ports::InboundState;
use lastword_types::{HtlcFailure, HtlcKey, ReleasePaymentComplete, Told, Verdict};

use crate::action::{Action, Planned};
use crate::gather::Outbound;
use crate::plan::View;
use crate::reason::Reason;

/// Appends what is to be done about one forward.
pub(crate) fn plan_forward(
    view: &View<'_>,
    outbound: HtlcKey,
    Outbound { inbound, verdict, is_inbound_on_chain }: Outbound,
    actions: &mut Vec<Planned>,
) {
    let state = view.forwards.inbound_state(inbound);
    let is_settled = match state {
        InboundState::Open | InboundState::Unknown => false,
        InboundState::Resolved | InboundState::Gone => true,
    };
    // Closed is state: it holds whatever the node knows of the forward.
    let is_news = !is_inbound_on_chain && view.ledgers.is_closed(inbound.channel_id);
    if is_news && !is_settled && !verdict.is_final() {
        let action = Action::NoteInboundOnChain { inbound, outbound };
        actions.push(Planned { action, reason: Reason::InboundOnChain });
    }
    let release = |reason| {
        // The outbound half is kept until its own verdict is final, whatever became of the other.
        verdict.is_final().then(|| {
            let told = Told::Forward;
            (Action::Release(ReleasePaymentComplete { htlc: outbound, told }), reason)
        })
    };
    let planned = match state {
        InboundState::Open => match verdict {
            Verdict::Live | Verdict::Failing { .. } => None,
            Verdict::Fulfilled { preimage, .. } => Some((
                Action::ClaimInbound { inbound, outbound, preimage },
                Reason::OutboundFulfilled,
            )),
            Verdict::Failed { reason } => {
                Some((Action::FailInbound { inbound, outbound, reason }, why(reason)))
            }
        },
        InboundState::Resolved => release(Reason::InboundResolved),
        InboundState::Gone => release(Reason::InboundGone),
        InboundState::Unknown => {
            Some((Action::ReportUnknownForward { outbound }, Reason::InboundUnknown))
        }
    };
    actions.extend(planned.map(|(action, reason)| Planned { action, reason }));
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
