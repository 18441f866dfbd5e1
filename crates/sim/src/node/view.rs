//! What a monitor's state says about the commitment dance.

use std::collections::BTreeSet;

use bitcoin::secp256k1::PublicKey;
use lastword_types::{
    CommitmentNumber, Htlc, HtlcAdded, HtlcDirection, HtlcId, HtlcRemoved, HtlcState, MonitorState,
    Side,
};

use crate::error::SimError;

/// Which HTLC.
pub(super) type Name = (HtlcDirection, HtlcId);

/// Says whether nothing more may be agreed in a channel.
pub(super) fn is_closing(state: &MonitorState) -> bool {
    state.fail_channel || state.funding_spend.is_some() || !state.closing_txids.is_empty()
}

/// Returns the HTLCs of a commitment.
pub(super) fn htlcs(state: &MonitorState, side: Side, number: CommitmentNumber) -> Vec<&HtlcState> {
    state
        .htlcs
        .values()
        .filter(|entry| {
            let spell = match side {
                Side::Local => entry.local,
                Side::Remote => entry.remote,
            };
            spell.is_some_and(|spell| spell.holds(number))
        })
        .collect()
}

/// Returns the plain HTLCs of a commitment.
pub(super) fn facts(state: &MonitorState, side: Side, number: CommitmentNumber) -> Vec<&Htlc> {
    htlcs(state, side, number).into_iter().map(|entry| &entry.htlc).collect()
}

/// Returns the names of the HTLCs of a commitment.
pub(super) fn names(state: &MonitorState, side: Side, number: CommitmentNumber) -> BTreeSet<Name> {
    facts(state, side, number).into_iter().map(|htlc| (htlc.direction, htlc.htlc_id)).collect()
}

/// The difference between two sets of HTLCs that the monitor knows.
pub(super) struct Difference {
    pub(super) added: Vec<HtlcAdded>,
    pub(super) removed: Vec<HtlcRemoved>,
}

/// Returns what leads from one set to another.
pub(super) fn difference(
    state: &MonitorState,
    from: &BTreeSet<Name>,
    to: &BTreeSet<Name>,
) -> Result<Difference, SimError> {
    let added = to
        .difference(from)
        .map(|(direction, htlc_id)| HtlcAdded::Known { direction: *direction, htlc_id: *htlc_id })
        .collect();
    let removed = from
        .difference(to)
        .map(|name| {
            let reason = state
                .htlcs
                .get(name)
                .and_then(|entry| entry.removal)
                .ok_or(SimError::new("an HTLC left a commitment without a reason"))?;
            Ok(HtlcRemoved { direction: name.0, htlc_id: name.1, reason })
        })
        .collect::<Result<_, SimError>>()?;
    Ok(Difference { added, removed })
}

/// A point or number that must exist.
pub(super) fn next(number: CommitmentNumber) -> Result<CommitmentNumber, SimError> {
    number.next().ok_or(SimError::new("a channel ran out of commitment numbers"))
}

/// What is needed to sign the peer's next commitment.
pub(super) struct PeerStatus {
    pub(super) next_point: PublicKey,
    pub(super) next_htlc_id: HtlcId,
    pub(super) destination: bitcoin::ScriptBuf,
}
