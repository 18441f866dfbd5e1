//! [`Closing`]: the commitment transaction that spent the funding output; how a spend is recognised.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bitcoin::{OutPoint, Transaction, Txid};
use lastword_bolt3::{
    Bolt3Error, CommitmentInput, CommitmentOutput, CommitmentTx, OutputKind, build_commitment,
    commitment_number,
};
use lastword_types::{
    Close, CommitmentNumber, Htlc, MonitorState, Side, SignedCommitment, UnsignedCommitment,
};

use crate::error::MonitorError;
use crate::marks::{HtlcRef, spell};

/// A confirmed commitment transaction that was not revoked, built again from the state.
#[derive(Debug, Clone)]
pub(crate) struct Closing {
    /// Whose commitment it is.
    pub(crate) owner: Side,
    /// Its number.
    pub(crate) number: CommitmentNumber,
    /// Its name.
    pub(crate) txid: Txid,
    /// The transaction with the meaning of each output.
    pub(crate) built: CommitmentTx,
    /// Where its HTLC outputs are. A trimmed HTLC has none.
    htlcs: BTreeMap<HtlcRef, u32>,
}

impl Closing {
    /// Builds one of the commitments that the state holds.
    pub(crate) fn build(
        state: &MonitorState,
        standing: &BTreeSet<HtlcRef>,
        owner: Side,
        commitment: &UnsignedCommitment,
    ) -> Result<Self, Bolt3Error> {
        let htlcs = htlcs_in(state, standing, owner, commitment.number);
        let built = build_commitment(&CommitmentInput {
            parameters: &state.parameters,
            owner,
            commitment,
            htlcs: &htlcs,
        })?;
        let places =
            built.outputs.iter().zip(0u32..).filter_map(|(output, vout)| match output.kind {
                OutputKind::Htlc { direction, htlc_id, .. } => Some(((direction, htlc_id), vout)),
                OutputKind::ToLocal
                | OutputKind::ToRemote
                | OutputKind::Anchor(_)
                | OutputKind::SharedAnchor => None,
            });
        let htlcs = places.collect();
        Ok(Self { owner, number: commitment.number, txid: built.txid(), built, htlcs })
    }

    /// Builds the commitment that a state says spent the funding output, if it says so.
    pub(crate) fn of_state(
        state: &MonitorState,
        standing: &BTreeSet<HtlcRef>,
    ) -> Result<Option<Self>, MonitorError> {
        let Some(spend) = &state.funding_spend else { return Ok(None) };
        let (owner, number) = match spend.close {
            Close::LocalUnilateral { number } => (Side::Local, number),
            Close::RemoteUnilateral { number } => (Side::Remote, number),
            Close::Mutual | Close::Revoked { .. } | Close::Unknown => return Ok(None),
        };
        let commitment = known(state)
            .into_iter()
            .find(|(side, commitment)| *side == owner && commitment.number == number)
            .ok_or(MonitorError::State("the commitment that closed the channel is not known"))?;
        let closing = Self::build(state, standing, owner, commitment.1)?;
        if closing.txid != spend.transaction.compute_txid() {
            return Err(MonitorError::State("the funding was spent by another transaction"));
        }
        Ok(Some(closing))
    }

    /// Returns the output of an HTLC, if it has one.
    pub(crate) fn outpoint_of(&self, htlc: HtlcRef) -> Option<OutPoint> {
        self.htlcs.get(&htlc).map(|vout| OutPoint { txid: self.txid, vout: *vout })
    }

    /// Returns what an outpoint is, if it is one of this transaction's outputs.
    pub(crate) fn output(&self, outpoint: OutPoint) -> Option<&CommitmentOutput> {
        let index = usize::try_from(outpoint.vout).ok()?;
        if outpoint.txid == self.txid { self.built.outputs.get(index) } else { None }
    }

    /// Visits its outputs.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = (OutPoint, &CommitmentOutput)> {
        let outpoints = (0u32..).map(|vout| OutPoint { txid: self.txid, vout });
        outpoints.zip(&self.built.outputs)
    }
}

/// Returns the commitment of ours that has this number.
pub(crate) fn signed(state: &MonitorState, number: CommitmentNumber) -> Option<&SignedCommitment> {
    core::iter::once(&state.local)
        .chain(&state.local_previous)
        .find(|signed| signed.commitment.number == number)
}

/// Returns the HTLCs that stand in one of the commitments that the state holds.
pub(crate) fn htlcs_in<'s>(
    state: &'s MonitorState,
    standing: &BTreeSet<HtlcRef>,
    owner: Side,
    number: CommitmentNumber,
) -> Vec<&'s Htlc> {
    let standing = standing.iter().filter_map(|key| state.htlcs.get(key));
    standing
        .filter(|htlc| spell(htlc, owner).is_some_and(|spell| spell.holds(number)))
        .map(|htlc| &htlc.htlc)
        .collect()
}

/// Says what a transaction that spends the funding output is.
///
/// The number hidden in its lock time and sequence says which commitment to build; that it is that
/// commitment, its txid says.
///
/// Source: BOLT 5, "General Requirements"; BOLT 3, "Commitment Transaction".
pub(crate) fn recognise(
    state: &MonitorState,
    standing: &BTreeSet<HtlcRef>,
    transaction: &Transaction,
) -> (Close, Option<Closing>) {
    let txid = transaction.compute_txid();
    if state.closing_txids.contains(&txid) {
        return (Close::Mutual, None);
    }
    let Some(number) = commitment_number(&state.parameters, transaction) else {
        return (Close::Unknown, None);
    };
    for (owner, commitment) in known(state) {
        if commitment.number != number {
            continue;
        }
        // A commitment that cannot be built was never signed, so it is not this transaction.
        let Ok(closing) = Closing::build(state, standing, owner, commitment) else { continue };
        if closing.txid == txid {
            let close = match owner {
                Side::Local => Close::LocalUnilateral { number },
                Side::Remote => Close::RemoteUnilateral { number },
            };
            return (close, Some(closing));
        }
    }
    let oldest_valid = state.remote_previous.as_ref().unwrap_or(&state.remote).number;
    let close = if number < oldest_valid { Close::Revoked { number } } else { Close::Unknown };
    (close, None)
}

/// The commitments that the state holds.
fn known(state: &MonitorState) -> Vec<(Side, &UnsignedCommitment)> {
    let local = core::iter::once(&state.local).chain(&state.local_previous);
    let remote = core::iter::once(&state.remote).chain(&state.remote_previous);
    local
        .map(|signed| (Side::Local, &signed.commitment))
        .chain(remote.map(|commitment| (Side::Remote, commitment)))
        .collect()
}
