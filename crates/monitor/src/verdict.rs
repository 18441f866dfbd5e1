//! What became of an HTLC: one predicate, for the live path and for a restart.
//!
//! ```text
//!   frozen failure ─► Failed        evidence ─► Fulfilled        otherwise:
//!
//!   funding unspent, or spent in a way that says nothing of this HTLC
//!       removed as failed, nobody can confirm a commitment with it ─► Failed
//!       removed as failed, somebody still can                      ─► Failing until Revoked
//!       not removed                                                ─► Live
//!   funding spent by a commitment of ours or the peer's, or by a closing transaction
//!       no output for it                  ─► Failing until Depth(spend of the funding) ─► Failed
//!       its output is unspent             ─► Live
//!       its output went to its offerer    ─► Failing until Depth(that spend)           ─► Failed
//!       we took it as a penalty           ─► Failing until Depth(that spend)           ─► Failed
//! ```
//!
//! A revoked commitment resolves HTLCs like any other: by its outputs. What became of an HTLC before
//! is final and stays, whoever gets the output that the HTLC has there.
//!
//! A forward that is not decided when its inbound half is about to expire counts as failed from then
//! on, if the channel is closed and that of its inbound half is not: the one failure without proof.
//!
//! A preimage that is known from elsewhere is not asked for here, nor is what time it is: an HTLC
//! whose output is unspent can be claimed long after its expiry.

use lastword_types::{
    BlockHeight, BlockRef, Bug, Close, CommitmentNumber, FailingUntil, FulfilledHow, HtlcFailure,
    HtlcState, MonitorState, OutputSpendKind, RemovalReason, Side, Verdict,
};

use crate::closing::Closing;
use crate::deadline;
use crate::marks::spell;

/// Returns what became of an HTLC on the evidence in the state, and at its height.
///
/// `closing` is the commitment transaction that spent the funding output, if one did.
pub(crate) fn of(state: &MonitorState, closing: Option<&Closing>, htlc: &HtlcState) -> Verdict {
    let proven = proven(state, closing, htlc);
    if !proven.is_final() && deadline::is_failed_back(state, htlc) {
        return Verdict::Failed { reason: HtlcFailure::FailedBack };
    }
    proven
}

fn proven(state: &MonitorState, closing: Option<&Closing>, htlc: &HtlcState) -> Verdict {
    if let Some(reason) = htlc.failed {
        return Verdict::Failed { reason };
    }
    let is_beaten = state.funding_spend.is_some() && Bug::PreimageNotTerminal.is_planted();
    if let Some((preimage, how)) = htlc.fulfilled.filter(|_| !is_beaten) {
        return Verdict::Fulfilled { preimage, how };
    }
    let Some(spend) = &state.funding_spend else {
        return off_chain(state, htlc);
    };
    match (spend.close, closing) {
        (
            Close::LocalUnilateral { .. } | Close::RemoteUnilateral { .. } | Close::Revoked { .. },
            Some(closing),
        ) => on_chain(state, spend.block, closing, htlc),
        (Close::Mutual, _) => absent(state, spend.block, htlc),
        // What a commitment that we do not know holds for an HTLC cannot be known either.
        (
            Close::Future { .. }
            | Close::Unknown
            | Close::LocalUnilateral { .. }
            | Close::RemoteUnilateral { .. }
            | Close::Revoked { .. },
            _,
        ) => off_chain(state, htlc),
    }
}

/// The verdict as long as no transaction decides it.
///
/// Source: BOLT 2, "Forwarding HTLCs": a removal counts when it is irrevocable.
fn off_chain(state: &MonitorState, htlc: &HtlcState) -> Verdict {
    match htlc.removal {
        Some(RemovalReason::Failed { code }) => {
            let reason = HtlcFailure::Removed { code };
            if may_confirm(state, htlc) && !Bug::FailedAtTheMessage.is_planted() {
                Verdict::Failing { reason, until: FailingUntil::Revoked }
            } else {
                Verdict::Failed { reason }
            }
        }
        // A removal that fulfils is evidence, and evidence was looked at before.
        Some(RemovalReason::Fulfilled { .. }) | None => Verdict::Live,
    }
}

/// Says whether a commitment that holds the HTLC may still be confirmed.
///
/// Our previous commitment is revoked as soon as its successor is durable, unless we have failed
/// the channel: then it may be the one that was broadcast, and its successor came too late.
fn may_confirm(state: &MonitorState, htlc: &HtlcState) -> bool {
    let remote_previous = state.remote_previous.as_ref();
    let remote_previous = remote_previous.filter(|_| !Bug::UnrevokedForgotten.is_planted());
    let local_previous = state.local_previous.as_ref().filter(|_| state.fail_channel);
    holds(htlc, Side::Local, state.local.commitment.number)
        || holds(htlc, Side::Remote, state.remote.number)
        || remote_previous.is_some_and(|previous| holds(htlc, Side::Remote, previous.number))
        || local_previous
            .is_some_and(|previous| holds(htlc, Side::Local, previous.commitment.number))
}

/// The verdict once a commitment transaction is confirmed whose outputs are known.
///
/// Source: BOLT 5, "HTLC Output Handling", for both commitments and both directions.
fn on_chain(
    state: &MonitorState,
    closed: BlockRef,
    closing: &Closing,
    htlc: &HtlcState,
) -> Verdict {
    let Some(outpoint) = closing.outpoint_of((htlc.htlc.direction, htlc.htlc.htlc_id)) else {
        return absent(state, closed, htlc);
    };
    match state.output_spends.get(&outpoint) {
        None => Verdict::Live,
        Some(spend) => match spend.kind {
            OutputSpendKind::HtlcTimeout { .. }
            | OutputSpendKind::HtlcPenalty { .. }
            | OutputSpendKind::PeerHtlcTransaction { preimage: None, .. } => {
                failing(state, spend.block, HtlcFailure::TimedOut)
            }
            OutputSpendKind::HtlcPreimage { preimage, .. }
            | OutputSpendKind::PeerHtlcTransaction { preimage: Some(preimage), .. } => {
                Verdict::Fulfilled { preimage, how: FulfilledHow::Chain { txid: spend.txid } }
            }
            // Only somebody with the revocation key can spend the output so: the peer, if this
            // commitment is one of ours that we had revoked. It shows no preimage and it is no timeout, so
            // it proves nothing about the recipient.
            OutputSpendKind::HtlcOther { .. } | OutputSpendKind::Swept { .. } => Verdict::Live,
        },
    }
}

/// The verdict of an HTLC that has no output in the confirmed closing: trimmed, or not in it.
///
/// Source: BOLT 5, LL-5 to LL-7.
fn absent(state: &MonitorState, closed: BlockRef, htlc: &HtlcState) -> Verdict {
    let reason = match htlc.removal {
        Some(RemovalReason::Failed { code }) => HtlcFailure::Removed { code },
        Some(RemovalReason::Fulfilled { .. }) | None => HtlcFailure::Absent,
    };
    if Bug::AbsentIsFailed.is_planted() {
        return Verdict::Failed { reason };
    }
    if Bug::DustForgotten.is_planted() { Verdict::Live } else { failing(state, closed, reason) }
}

/// Failing until what it rests on is deep enough.
fn failing(state: &MonitorState, since: BlockRef, reason: HtlcFailure) -> Verdict {
    let depth: BlockHeight = since.height.final_at();
    if state.best.height >= depth {
        Verdict::Failed { reason }
    } else {
        Verdict::Failing { reason, until: FailingUntil::Depth(depth) }
    }
}

fn holds(htlc: &HtlcState, owner: Side, number: CommitmentNumber) -> bool {
    spell(htlc, owner).is_some_and(|spell| spell.holds(number))
}
