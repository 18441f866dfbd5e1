//! Claims of received HTLCs: each of one HTLC, by a right of its own, and told of until the consumer's
//! durable word.
//!
//! ```text
//!   Ours ── Claim, as a part of a payment ─► claimed ── Release ─► told ─┐
//!   Forwarded ── Claim, from downstream ───► claimed ────────────────────┴─► forgotten, when it has
//!                                                                            left every commitment
//! ```

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use lastword_types::{
    HtlcClaim, HtlcDirection, HtlcId, HtlcOrigin, HtlcState, MAX_CLAIM_PARTS, MonitorState,
    PreimageSource, RemovalReason, Told, Verdict,
};

use crate::closing::Closing;
use crate::error::MonitorError;
use crate::forget;
use crate::verdict;

/// Says whether a claim may be committed, and of which HTLCs it says something new.
///
/// An HTLC that is forgotten has nothing left to claim: if it was ours, it was told of.
pub(crate) fn check(
    state: &MonitorState,
    closing: Option<&Closing>,
    claim: &HtlcClaim,
) -> Result<BTreeSet<HtlcId>, MonitorError> {
    check_source(claim)?;
    let direction = HtlcDirection::Received;
    let mut new = BTreeSet::new();
    for htlc_id in claim.htlc_ids.iter().copied() {
        let key = (direction, htlc_id);
        let Some(htlc) = state.htlcs.get(&key) else {
            if forget::is_spent_id(state, key) {
                continue;
            }
            return Err(MonitorError::UnknownHtlc { direction, htlc_id });
        };
        if claim.preimage.payment_hash() != htlc.htlc.payment_hash {
            return Err(MonitorError::WrongPreimage { direction, htlc_id });
        }
        if htlc.source.as_ref() == Some(&claim.source) {
            continue;
        }
        if htlc.source.is_some() || !fits(&htlc.htlc.origin, &claim.source) {
            return Err(MonitorError::OtherSource { htlc_id });
        }
        check_standing(&verdict::of(state, closing, htlc), htlc)?;
        new.insert(htlc_id);
    }
    Ok(new)
}

/// Says whether an HTLC may be claimed by the right that its origin gives.
pub(crate) fn is_claimable(verdict: &Verdict, htlc: &HtlcState) -> bool {
    htlc.htlc.direction == HtlcDirection::Received
        && htlc.source.is_none()
        && check_standing(verdict, htlc).is_ok()
}

/// Refuses what was failed back, and what is over and was not taken by us.
fn check_standing(verdict: &Verdict, htlc: &HtlcState) -> Result<(), MonitorError> {
    let (direction, htlc_id) = (htlc.htlc.direction, htlc.htlc.htlc_id);
    match htlc.removal {
        Some(RemovalReason::Failed { .. }) => {
            return Err(MonitorError::OtherReason { direction, htlc_id });
        }
        Some(RemovalReason::Fulfilled { .. }) | None => {}
    }
    match verdict {
        Verdict::Failed { .. } => Err(MonitorError::TooLate { htlc_id }),
        Verdict::Live | Verdict::Failing { .. } | Verdict::Fulfilled { .. } => Ok(()),
    }
}

/// Refuses a claim that contradicts itself.
fn check_source(claim: &HtlcClaim) -> Result<(), MonitorError> {
    let is_sound = match &claim.source {
        PreimageSource::Invoice { parts, amount_msat: _ } => {
            let is_received = parts.iter().all(|it| it.direction == HtlcDirection::Received);
            let here: BTreeSet<HtlcId> = parts
                .iter()
                .filter(|part| part.channel_id == claim.channel_id)
                .map(|part| part.htlc_id)
                .collect();
            is_received && parts.len() <= MAX_CLAIM_PARTS && claim.htlc_ids.is_subset(&here)
        }
        PreimageSource::Downstream { outbound } => {
            outbound.direction == HtlcDirection::Offered && claim.htlc_ids.len() == 1
        }
    };
    if is_sound && !claim.htlc_ids.is_empty() { Ok(()) } else { Err(MonitorError::WrongParts) }
}

/// Says whether an HTLC of this origin may be claimed by such a right.
pub(crate) fn fits(origin: &HtlcOrigin, source: &PreimageSource) -> bool {
    match (origin, source) {
        // A node may decide to forward what it took for its own; then the outbound half says so.
        (HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. }, PreimageSource::Downstream { .. })
        | (HtlcOrigin::Ours, PreimageSource::Invoice { .. }) => true,
        (HtlcOrigin::Forwarded { .. }, PreimageSource::Invoice { .. })
        | (HtlcOrigin::Payment(_) | HtlcOrigin::Forward(_), _) => false,
    }
}

/// Says whether the user has to be told of a received HTLC.
pub(crate) fn is_untold(htlc: &HtlcState) -> bool {
    matches!(htlc.source, Some(PreimageSource::Invoice { .. })) && htlc.delivered.is_none()
}

/// Says whether somebody has to look at a received HTLC after a start: the user, to be told; the
/// node, whose peer has not heard the preimage, or that has not settled it as the inbound half of a
/// forward.
pub(crate) fn is_owed(verdict: &Verdict, htlc: &HtlcState) -> bool {
    let is_waiting = htlc.htlc.direction == HtlcDirection::Received
        && htlc.removal.is_none()
        && !verdict.is_final();
    let is_passing_through = matches!(htlc.htlc.origin, HtlcOrigin::Forwarded { .. });
    is_untold(htlc) || (is_waiting && (htlc.source.is_some() || is_passing_through))
}

/// Returns the parts of a payment in this channel of which its release speaks: all that are claimed
/// with it and not told of. Nothing for a release that comes again.
pub(crate) fn check_release(
    state: &MonitorState,
    htlc_id: HtlcId,
    told: Told,
) -> Result<Vec<HtlcId>, MonitorError> {
    let direction = HtlcDirection::Received;
    let key = (direction, htlc_id);
    match told {
        Told::Claimed => {}
        Told::Payment { .. } | Told::Forward => {
            return Err(MonitorError::NothingToRelease { htlc_id });
        }
    }
    let Some(htlc) = state.htlcs.get(&key) else {
        let is_forgotten = forget::is_spent_id(state, key);
        let unknown = MonitorError::UnknownHtlc { direction, htlc_id };
        return is_forgotten.then(Vec::new).ok_or(unknown);
    };
    let Some(PreimageSource::Invoice { parts, .. }) = &htlc.source else {
        return Err(MonitorError::NothingToRelease { htlc_id });
    };
    let channel_id = state.parameters.channel_id;
    let here = parts.iter().filter(|part| part.channel_id == channel_id);
    let owed = here.filter(|part| {
        let sibling = state.htlcs.get(&(direction, part.htlc_id));
        sibling.is_some_and(|it| it.source == htlc.source && is_untold(it))
    });
    Ok(owed.map(|part| part.htlc_id).collect())
}
