//! What time alone decides: when the channel is failed because an HTLC stands in it too long, and
//! when a forward is failed back although nobody knows yet how it ends.
//!
//! ```text
//!   we offered it                                   expiry   + OFFERED_GRACE_BLOCKS   go on chain
//!   we fulfil it             expiry - FULFIL_DEADLINE_BLOCKS                          go on chain
//!   we forwarded it,   inbound expiry - EARLY_FAIL_BACK_BLOCKS                        fail back
//!     and it is open on chain
//! ```
//!
//! A forward is not failed back early where the channel of its inbound half is closed: that half is
//! on chain too, and no channel is saved. Its monitor knows by a record of its own, for it sees no
//! other channel.
//!
//! A height counts when a record reaches it, so a replay decides the same. The card names the next
//! one; between them no block concerns the channel.
//!
//! A trimmed HTLC that we offered counts: only a confirmed commitment without an output for it ends
//! it, and until then its payment, or the inbound half of its forward, hangs. A received one counts
//! where a live commitment has an output for it; else there is nothing to claim on chain.

use lastword_bolt3::CommitmentInput;
use lastword_types::{
    BlockHeight, EARLY_FAIL_BACK_BLOCKS, FULFIL_DEADLINE_BLOCKS, Htlc, HtlcDirection, HtlcOrigin,
    HtlcState, MonitorState, OFFERED_GRACE_BLOCKS, Overdue, Side, UnsignedCommitment,
};

use crate::claims;
use crate::index::{self, Index};
use crate::marks::{HtlcRef, spell};

/// The height at which an HTLC must have left every live commitment, if it can be on chain's turn.
///
/// Source: BOLT 2, "`cltv_expiry_delta` Selection".
pub(crate) fn of(htlc: &Htlc) -> BlockHeight {
    match htlc.direction {
        HtlcDirection::Offered => htlc.cltv_expiry.plus(OFFERED_GRACE_BLOCKS),
        HtlcDirection::Received => htlc.cltv_expiry.minus(FULFIL_DEADLINE_BLOCKS),
    }
}

/// Says whether an HTLC stands in a commitment that is not revoked: ours, or one of the peer's.
pub(crate) fn is_live(state: &MonitorState, htlc: &HtlcState) -> bool {
    live(state).any(|(owner, commitment)| holds(htlc, owner, commitment))
}

/// Visits the HTLCs for which the channel has to be failed at the best block's height; none if our
/// commitment must not be broadcast.
///
/// Source: BOLT 2, "`cltv_expiry_delta` Selection"; BOLT 5, "Failing a Channel".
pub(crate) fn overdue(
    state: &MonitorState,
    index: &Index,
) -> impl Iterator<Item = (HtlcRef, Overdue)> {
    let best = state.best.height;
    let past = index.deadlines.iter().take_while(move |(height, _)| *height <= best);
    let past = past.filter(|_| !state.data_loss);
    past.filter_map(|(_, key)| Some((*key, why(state, state.htlcs.get(key)?)?)))
}

/// Says what is gained on chain for an HTLC whose deadline is past.
fn why(state: &MonitorState, htlc: &HtlcState) -> Option<Overdue> {
    match htlc.htlc.direction {
        HtlcDirection::Offered => Some(Overdue::Expired),
        HtlcDirection::Received => {
            let is_claimable = claims::preimage_for(state, htlc).is_some();
            (is_claimable && has_output(state, htlc)).then_some(Overdue::Fulfilment)
        }
    }
}

/// Returns the height of the next block that must not pass without a record.
///
/// A received HTLC is looked at whether its preimage is known or not: one that becomes known
/// afterwards then finds how late it is.
pub(crate) fn next(state: &MonitorState, index: &Index) -> Option<BlockHeight> {
    let after = state.best.height.plus(1);
    if index::is_closed(state) {
        let open = index.open.iter().filter_map(|key| state.htlcs.get(key));
        let heights = open.filter_map(fail_back_due);
        return heights.min().map(|height| height.max(after));
    }
    if state.data_loss {
        return None;
    }
    // An update brings no decision of its own, so what came too late is decided by the next block.
    if overdue(state, index).next().is_some() {
        return Some(after);
    }
    let first = (after, (HtlcDirection::Offered, lastword_types::HtlcId(0)));
    index.deadlines.range(first..).next().map(|(height, _)| *height)
}

/// Says whether a forward that is open on chain is to be failed back now.
pub(crate) fn is_failed_back(state: &MonitorState, htlc: &HtlcState) -> bool {
    index::is_closed(state) && fail_back_due(htlc).is_some_and(|height| state.best.height >= height)
}

/// The height at which a forward is failed back; none where its inbound half is on chain too.
fn fail_back_due(htlc: &HtlcState) -> Option<BlockHeight> {
    if htlc.is_inbound_on_chain { None } else { fail_back_height(&htlc.htlc) }
}

/// The height at which the inbound half of a forward is about to expire: what the peer downstream
/// takes from then on, we may pay for.
pub(crate) fn fail_back_height(htlc: &Htlc) -> Option<BlockHeight> {
    match &htlc.origin {
        HtlcOrigin::Forward(forward) => {
            Some(forward.inbound_cltv_expiry.minus(EARLY_FAIL_BACK_BLOCKS))
        }
        HtlcOrigin::Payment(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => None,
    }
}

/// Says whether an HTLC has an output in a live commitment.
fn has_output(state: &MonitorState, htlc: &HtlcState) -> bool {
    let mut holding = live(state).filter(|(owner, it)| holds(htlc, *owner, it));
    holding.any(|(owner, commitment)| {
        let parameters = &state.parameters;
        !CommitmentInput { parameters, owner, commitment, htlcs: &[] }.is_trimmed(&htlc.htlc)
    })
}

fn live(state: &MonitorState) -> impl Iterator<Item = (Side, &UnsignedCommitment)> {
    let local = core::iter::once((Side::Local, &state.local.commitment));
    let remote = core::iter::once(&state.remote).chain(&state.remote_previous);
    local.chain(remote.map(|commitment| (Side::Remote, commitment)))
}

fn holds(htlc: &HtlcState, owner: Side, commitment: &UnsignedCommitment) -> bool {
    spell(htlc, owner).is_some_and(|spell| spell.holds(commitment.number))
}
