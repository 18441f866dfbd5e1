//! Archiving (rule R11): when a channel is over and done with.

use lastword_types::{BlockHeight, HtlcDirection, MonitorState};

use crate::claims;
use crate::error::ArchiveWaits;
use crate::index::Index;
use crate::received;

/// Says whether a channel may be archived, or what still waits; depth is what is looked at last.
pub(crate) fn check(state: &MonitorState, index: &Index) -> Result<(), ArchiveWaits> {
    let Some(funding) = &state.funding_spend else { return Err(ArchiveWaits::Open) };
    if let Some(htlc_id) = index.undelivered.first() {
        return Err(ArchiveWaits::Untold { htlc_id: *htlc_id });
    }
    let untold = index.owed.iter().find(|htlc_id| {
        let htlc = state.htlcs.get(&(HtlcDirection::Received, **htlc_id));
        htlc.is_some_and(received::is_untold)
    });
    if let Some(htlc_id) = untold {
        return Err(ArchiveWaits::UntoldClaim { htlc_id: *htlc_id });
    }
    if let Some((direction, htlc_id)) = index.open.first() {
        return Err(ArchiveWaits::Undecided { direction: *direction, htlc_id: *htlc_id });
    }
    if let Some(outpoint) = claims::wanted(state, index) {
        return Err(ArchiveWaits::Claim { outpoint });
    }
    let spends = state.output_spends.values().map(|spend| spend.block.height);
    let last = spends.fold(funding.block.height, BlockHeight::max);
    let until = last.archived_at();
    if state.best.height < until { Err(ArchiveWaits::Depth { until }) } else { Ok(()) }
}

/// Returns the height from which the channel may be archived, if nothing but depth is missing.
pub(crate) fn due(state: &MonitorState, index: &Index) -> Option<BlockHeight> {
    match check(state, index) {
        Err(ArchiveWaits::Depth { until }) => Some(until),
        Ok(())
        | Err(
            ArchiveWaits::Open
            | ArchiveWaits::Untold { .. }
            | ArchiveWaits::UntoldClaim { .. }
            | ArchiveWaits::Undecided { .. }
            | ArchiveWaits::Claim { .. },
        ) => None,
    }
}
