//! The card: what must be known of a channel while its monitor sleeps.

use alloc::vec::Vec;

use bitcoin::OutPoint;
use lastword_types::{BlockHeight, BlockRef, Card, MonitorState};

use crate::archive;
use crate::claims;
use crate::deadline;
use crate::funding;
use crate::index::{self, Index};
use crate::outputs;

/// Returns the card of a monitor.
pub(crate) fn of(state: &MonitorState, index: &Index) -> Card {
    Card {
        channel_id: state.parameters.channel_id,
        latest_update: state.latest_update,
        watched: watched(state, index),
        next_deadline: next_deadline(state, index),
        has_undelivered: index.has_undelivered(),
        is_closed: index::is_closed(state),
        has_claims: !state.is_archived && claims::any(state, index),
        synced_to: state.best,
        covers: 0,
        pruned_behind: state.pruned_behind,
        is_archived: state.is_archived,
    }
}

/// The outputs whose spend concerns the channel.
///
/// A spend that is not final may be reorganised away and another may take its place, so its output
/// is watched on. An output whose spend is final is not, nor are those that no output of interest
/// can follow.
fn watched(state: &MonitorState, index: &Index) -> Vec<OutPoint> {
    let mut watched = Vec::new();
    if state.is_archived {
        return watched;
    }
    if !state.funding_spend.as_ref().is_some_and(|spend| is_final(state, spend.block)) {
        watched.extend(funding::all(state).map(|scope| scope.outpoint()));
    }
    if let Some(closing) = &index.closing {
        let outputs = closing.outputs();
        let ours = outputs.filter(|(_, output)| outputs::is_of_interest(closing, output));
        watched.extend(ours.map(|(outpoint, _)| outpoint).filter(|it| is_pending(state, *it)));
    }
    watched.extend(index.second_stages.iter().filter(|it| is_pending(state, **it)));
    watched.sort_unstable();
    watched
}

/// The next height at which a fact of the chain becomes final, so that a verdict may change and an
/// output is no longer watched; at which an HTLC stands too long; or at which the channel can be
/// archived.
///
/// That a claim becomes possible at some height changes nothing that the monitor remembers.
fn next_deadline(state: &MonitorState, index: &Index) -> Option<BlockHeight> {
    if state.is_archived {
        return None;
    }
    let funding = state.funding_spend.as_ref().map(|spend| spend.block);
    let outputs = state.output_spends.values().map(|spend| spend.block);
    let blocks = funding.into_iter().chain(state.funding_confirmed).chain(outputs);
    let finals = blocks.map(|block| block.height.final_at());
    let finals = finals.filter(|height| *height > state.best.height);
    finals.chain(deadline::next(state, index)).chain(archive::due(state, index)).min()
}

fn is_pending(state: &MonitorState, outpoint: OutPoint) -> bool {
    !state.output_spends.get(&outpoint).is_some_and(|spend| is_final(state, spend.block))
}

fn is_final(state: &MonitorState, block: BlockRef) -> bool {
    state.best.height >= block.height.final_at()
}
