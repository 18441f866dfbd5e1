//! Releases: the consumer's durable word that it knows (rule R5).

use lastword_types::{
    HtlcDirection, HtlcId, HtlcOrigin, MonitorState, ReleasePaymentComplete, Told,
};

use crate::closing::Closing;
use crate::error::MonitorError;
use crate::verdict;

/// Says whether a release may be committed, and whether it says anything new.
pub(crate) fn check(
    state: &MonitorState,
    closing: Option<&Closing>,
    release: &ReleasePaymentComplete,
) -> Result<Option<(HtlcId, Told)>, MonitorError> {
    let htlc_id = release.htlc.htlc_id;
    match release.htlc.direction {
        HtlcDirection::Offered => {}
        HtlcDirection::Received => return Err(MonitorError::NothingToRelease { htlc_id }),
    }
    let key = (HtlcDirection::Offered, htlc_id);
    let Some(htlc) = state.htlcs.get(&key) else {
        return Err(MonitorError::UnknownHtlc { direction: HtlcDirection::Offered, htlc_id });
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
    Ok(Some((htlc_id, release.told)))
}

/// Says whether what was told is about this HTLC, and not about another incarnation of its payment.
fn is_about(origin: &HtlcOrigin, told: &Told) -> bool {
    match (origin, told) {
        (HtlcOrigin::Payment(origin), Told::Payment { generation, .. }) => {
            origin.generation == *generation
        }
        (HtlcOrigin::Forward(_), Told::Forward) => true,
        (HtlcOrigin::Payment(_), Told::Forward)
        | (HtlcOrigin::Forward(_), Told::Payment { .. })
        | (HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. }, _) => false,
    }
}
