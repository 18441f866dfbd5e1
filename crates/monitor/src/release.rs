//! Releases: the consumer's durable word that it knows (rule R5).

use alloc::vec::Vec;

use lastword_types::{
    GiveUp, HtlcDirection, HtlcId, HtlcOrigin, MonitorState, ReleasePaymentComplete, Told,
};

use crate::closing::Closing;
use crate::error::MonitorError;
use crate::forget;
use crate::marks::HtlcRef;
use crate::received;
use crate::verdict;

/// Says whether a release may be committed, and of which HTLCs it says anything new.
pub(crate) fn check(
    state: &MonitorState,
    closing: Option<&Closing>,
    release: &ReleasePaymentComplete,
) -> Result<Option<(Vec<HtlcRef>, Told)>, MonitorError> {
    let (direction, htlc_id) = (release.htlc.direction, release.htlc.htlc_id);
    match direction {
        HtlcDirection::Offered => {}
        HtlcDirection::Received => {
            let owed = received::check_release(state, htlc_id, release.told)?;
            let owed: Vec<HtlcRef> = owed.into_iter().map(|id| (direction, id)).collect();
            return Ok((!owed.is_empty()).then_some((owed, release.told)));
        }
    }
    let key = (direction, htlc_id);
    let Some(htlc) = state.htlcs.get(&key) else {
        check_forgotten(state, htlc_id, release.told)?;
        return Ok(None);
    };
    if !is_about(&htlc.htlc.origin, &release.told) {
        return Err(MonitorError::WrongTold { htlc_id });
    }
    match htlc.delivered {
        Some(told) if told == release.told => return Ok(None),
        Some(_) => return Err(MonitorError::ToldOtherwise { htlc_id }),
        None => {}
    }
    if !verdict::of(state, closing, htlc).is_final() {
        return Err(MonitorError::NotFinal { htlc_id });
    }
    Ok(Some((Vec::from([key]), release.told)))
}

/// What is forgotten was told of; as far as a tombstone remembers it, it was this.
fn check_forgotten(state: &MonitorState, htlc_id: HtlcId, told: Told) -> Result<(), MonitorError> {
    let direction = HtlcDirection::Offered;
    if !forget::is_spent_id(state, (direction, htlc_id)) {
        return Err(MonitorError::UnknownHtlc { direction, htlc_id });
    }
    let Some(tombstone) = state.tombstones.get(&htlc_id) else { return Ok(()) };
    match told {
        Told::Payment { generation, outcome } if generation == tombstone.generation => {
            let is_same = outcome == tombstone.outcome;
            if is_same { Ok(()) } else { Err(MonitorError::ToldOtherwise { htlc_id }) }
        }
        Told::Payment { .. } | Told::Forward | Told::Claimed => {
            Err(MonitorError::WrongTold { htlc_id })
        }
    }
}

/// Says whether the end of a payment's retries may be noted, and whether that says anything new.
///
/// After the consumer's word there is nothing left to give up.
pub(crate) fn check_given_up(
    state: &MonitorState,
    given_up: &GiveUp,
) -> Result<Option<HtlcId>, MonitorError> {
    let (direction, htlc_id) = (given_up.htlc.direction, given_up.htlc.htlc_id);
    match direction {
        HtlcDirection::Offered => {}
        HtlcDirection::Received => return Err(MonitorError::NothingToRelease { htlc_id }),
    }
    let Some(htlc) = state.htlcs.get(&(direction, htlc_id)) else {
        let is_forgotten = forget::is_spent_id(state, (direction, htlc_id));
        return is_forgotten
            .then_some(None)
            .ok_or(MonitorError::UnknownHtlc { direction, htlc_id });
    };
    match &htlc.htlc.origin {
        HtlcOrigin::Payment(origin) if origin.generation == given_up.generation => {}
        HtlcOrigin::Payment(_)
        | HtlcOrigin::Forward(_)
        | HtlcOrigin::Ours
        | HtlcOrigin::Forwarded { .. } => return Err(MonitorError::WrongTold { htlc_id }),
    }
    Ok((!htlc.is_given_up && htlc.delivered.is_none()).then_some(htlc_id))
}

/// Says whether it may be noted that the inbound half of a forward is on chain, and whether that says
/// anything new.
///
/// Once the outbound half is decided nothing is failed back any more.
pub(crate) fn check_inbound_on_chain(
    state: &MonitorState,
    closing: Option<&Closing>,
    key: HtlcRef,
) -> Result<Option<HtlcId>, MonitorError> {
    let (direction, htlc_id) = key;
    let Some(htlc) = state.htlcs.get(&key) else {
        return forget::is_spent_id(state, key)
            .then_some(None)
            .ok_or(MonitorError::UnknownHtlc { direction, htlc_id });
    };
    match &htlc.htlc.origin {
        HtlcOrigin::Forward(_) => {}
        HtlcOrigin::Payment(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => {
            return Err(MonitorError::NoForward { direction, htlc_id });
        }
    }
    let is_new = !htlc.is_inbound_on_chain && !verdict::of(state, closing, htlc).is_final();
    Ok(is_new.then_some(htlc_id))
}

/// Says whether what was told is about this HTLC, and not about another incarnation of its payment.
fn is_about(origin: &HtlcOrigin, told: &Told) -> bool {
    match (origin, told) {
        (HtlcOrigin::Payment(origin), Told::Payment { generation, .. }) => {
            origin.generation == *generation
        }
        (HtlcOrigin::Forward(_), Told::Forward) => true,
        (HtlcOrigin::Payment(_), Told::Forward | Told::Claimed)
        | (HtlcOrigin::Forward(_), Told::Payment { .. } | Told::Claimed)
        | (HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. }, _) => false,
    }
}
