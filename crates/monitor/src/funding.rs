//! [`Scope`]: one funding with the commitments on it; and which of several fundings counts.
//!
//! ```text
//!                          NewFunding                 FundingLocked
//!   (not known) ──────────────────────► pending ─────────────────────► locked: the parameters' one
//!                                          │                               │
//!                     another is locked    ▼      another is locked        ▼
//!                                       retired ◄──────────────────────────┘
//!                                          │
//!                                          ▼  the locked one's transaction is final
//!                                       (forgotten)
//! ```
//!
//! A pending funding has every new commitment, a retired one no more. Where the transaction of one
//! is confirmed is a fact of the chain and goes with its block; which one is locked is the channel's
//! word and stays. A commitment may be confirmed on any of them.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, Transaction, Txid};
use lastword_types::{
    BlockRef, ChannelParameters, Close, CommitmentNumber, Funding, FundingKind, LocalCommitmentOn,
    MonitorState, NewFunding, RemoteCommitmentOn, Side, SignedCommitment, UnsignedCommitment,
    UpdateStep,
};

use crate::update;

/// One funding of the channel, with the commitments on it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'s> {
    pub(crate) state: &'s MonitorState,
    /// None for the funding of the parameters.
    other: Option<&'s Funding>,
}

impl<'s> Scope<'s> {
    /// The channel's parameters, as a commitment on this funding has them.
    pub(crate) fn parameters(&self) -> Cow<'s, ChannelParameters> {
        let Some(funding) = self.other else { return Cow::Borrowed(&self.state.parameters) };
        let mut parameters = self.state.parameters.clone();
        parameters.funding_outpoint = funding.funding_outpoint;
        parameters.funding_amount = funding.funding_amount;
        parameters.local.funding_pubkey = funding.local_funding_pubkey;
        parameters.remote.funding_pubkey = funding.remote_funding_pubkey;
        Cow::Owned(parameters)
    }

    pub(crate) fn outpoint(&self) -> OutPoint {
        self.other.map_or(self.state.parameters.funding_outpoint, |it| it.funding_outpoint)
    }

    pub(crate) fn amount(&self) -> Amount {
        self.other.map_or(self.state.parameters.funding_amount, |it| it.funding_amount)
    }

    pub(crate) fn local(&self) -> &'s SignedCommitment {
        self.other.map_or(&self.state.local, |it| &it.local)
    }

    /// Where its transaction was seen to spend the funding before it.
    pub(crate) fn confirmed(&self) -> Option<BlockRef> {
        self.other.map_or(self.state.funding_confirmed, |it| it.confirmed)
    }

    /// The commitment of ours on it that has this number.
    pub(crate) fn signed(&self, number: CommitmentNumber) -> Option<&'s SignedCommitment> {
        let previous = self.other.map_or(&self.state.local_previous, |it| &it.local_previous);
        core::iter::once(self.local())
            .chain(previous)
            .find(|signed| signed.commitment.number == number)
    }

    /// The commitments on it that the state holds and the peer has not revoked.
    pub(crate) fn commitments(&self) -> Vec<(Side, &'s UnsignedCommitment)> {
        let state = self.state;
        let (previous, remote, remote_previous) = match self.other {
            None => (&state.local_previous, &state.remote, &state.remote_previous),
            Some(it) => (&it.local_previous, &it.remote, &it.remote_previous),
        };
        let local = core::iter::once(self.local()).chain(previous);
        let oldest_valid = oldest_valid(state);
        let remote = core::iter::once(remote).chain(remote_previous);
        let remote = remote.filter(|commitment| commitment.number >= oldest_valid);
        local
            .map(|signed| (Side::Local, &signed.commitment))
            .chain(remote.map(|commitment| (Side::Remote, commitment)))
            .collect()
    }
}

/// The oldest commitment of the peer that it has not revoked; it has the same number on every
/// funding.
pub(crate) fn oldest_valid(state: &MonitorState) -> CommitmentNumber {
    state.remote_previous.as_ref().unwrap_or(&state.remote).number
}

/// Visits every funding, each after those before it: retired, locked, pending.
pub(crate) fn all(state: &MonitorState) -> impl DoubleEndedIterator<Item = Scope<'_>> {
    let (retired, pending) = state.fundings.split_at(pending_from(&state.fundings));
    let other = move |funding| Scope { state, other: Some(funding) };
    retired.iter().map(other).chain([locked(state)]).chain(pending.iter().map(other))
}

/// The funding of the parameters.
pub(crate) fn locked(state: &MonitorState) -> Scope<'_> {
    Scope { state, other: None }
}

/// Finds a funding by its output.
pub(crate) fn at(state: &MonitorState, outpoint: OutPoint) -> Option<Scope<'_>> {
    all(state).find(|scope| scope.outpoint() == outpoint)
}

/// Finds a funding by its transaction.
pub(crate) fn made_by(state: &MonitorState, txid: Txid) -> Option<Scope<'_>> {
    all(state).find(|scope| scope.outpoint().txid == txid)
}

/// Finds the funding that a transaction spends.
pub(crate) fn spent_by<'s>(
    state: &'s MonitorState,
    transaction: &Transaction,
) -> Option<Scope<'s>> {
    transaction.input.iter().find_map(|input| at(state, input.previous_output))
}

/// The funding that the chain holds, as far as it was seen: the last one whose transaction was.
pub(crate) fn confirmed(state: &MonitorState) -> Option<Scope<'_>> {
    all(state).rev().find(|scope| scope.confirmed().is_some())
}

/// The funding that says whose the value of the open channel is.
pub(crate) fn in_force(state: &MonitorState) -> Scope<'_> {
    confirmed(state).unwrap_or_else(|| locked(state))
}

/// The fundings on which our commitment is to be broadcast if it has to be: the one that the chain
/// holds; else the locked one, and the others of which any may be the channel's first.
///
/// On a funding that was retired our commitment may be revoked, and is then not broadcast.
pub(crate) fn to_broadcast(state: &MonitorState) -> Vec<Scope<'_>> {
    let is_newest =
        |scope: &Scope<'_>| scope.local().commitment.number == state.local.commitment.number;
    if let Some(scope) = confirmed(state) {
        return Some(scope).into_iter().filter(is_newest).collect();
    }
    let is_first = |scope: &Scope<'_>| match scope.other {
        None => true,
        Some(funding) => !funding.is_retired && funding.kind == FundingKind::Replacement,
    };
    all(state).filter(is_first).collect()
}

/// Returns where the pending fundings begin, in the order of [`MonitorState::fundings`].
pub(crate) fn pending_from(fundings: &[Funding]) -> usize {
    fundings.iter().take_while(|funding| funding.is_retired).count()
}

/// Writes what a step changes about commitments and fundings; it was checked.
pub(crate) fn write(state: &mut MonitorState, step: &UpdateStep) {
    match step {
        UpdateStep::LocalCommitment(local) => {
            let confirmed = confirmed_commitment(state);
            let next = update::local_of(local);
            replace(&mut state.local, &mut state.local_previous, next, confirmed);
        }
        UpdateStep::RemoteCommitment(remote) => {
            let next = update::remote_of(remote);
            state.remote_previous = Some(core::mem::replace(&mut state.remote, next));
        }
        UpdateStep::RemoteRevocation { .. } => {
            state.remote_previous = None;
            for funding in &mut state.fundings {
                funding.remote_previous = None;
            }
        }
        UpdateStep::NewFunding(new) => {
            let funding = begin(state, new);
            state.fundings.push(funding);
        }
        UpdateStep::FundingLocked { funding_txid } => lock(state, *funding_txid),
        UpdateStep::LocalCommitmentOn { funding_txid, commitment } => {
            let confirmed = confirmed_commitment(state);
            let next = local_on(&state.local.commitment, commitment);
            if let Some(funding) = made_mut(state, *funding_txid) {
                replace(&mut funding.local, &mut funding.local_previous, next, confirmed);
            }
        }
        UpdateStep::RemoteCommitmentOn { funding_txid, commitment } => {
            let next = remote_on(&state.remote, commitment);
            if let Some(funding) = made_mut(state, *funding_txid) {
                funding.remote_previous = Some(core::mem::replace(&mut funding.remote, next));
            }
        }
        UpdateStep::Fulfill { .. }
        | UpdateStep::Preimage { .. }
        | UpdateStep::ClaimHtlc { .. }
        | UpdateStep::MutualClose { .. }
        | UpdateStep::FailChannel
        | UpdateStep::DataLoss => {}
    }
}

/// Takes a confirmed splice for what it is, if the monitor heard of it only afterwards. Says whether
/// there was one.
pub(crate) fn recall(state: &mut MonitorState) -> bool {
    let Some(spend) = &state.funding_spend else { return false };
    let (txid, block) = (spend.transaction.compute_txid(), spend.block);
    if made_by(state, txid).is_none() {
        return false;
    }
    state.funding_spend = None;
    state.output_spends.clear();
    confirm(state, txid, block);
    true
}

/// Takes in that the transaction of a funding is confirmed.
pub(crate) fn confirm(state: &mut MonitorState, txid: Txid, block: BlockRef) {
    if state.parameters.funding_outpoint.txid == txid {
        state.funding_confirmed = Some(block);
    } else if let Some(funding) = made_mut(state, txid) {
        funding.confirmed = Some(block);
    }
}

/// Takes back every confirmation above a block.
pub(crate) fn disconnect(state: &mut MonitorState, fork: BlockRef) {
    let is_gone = |block: &mut BlockRef| block.height > fork.height;
    state.funding_confirmed.take_if(is_gone);
    for funding in &mut state.fundings {
        funding.confirmed.take_if(is_gone);
    }
}

/// Forgets the fundings before the locked one, once that is final.
pub(crate) fn forget(state: &mut MonitorState) {
    let is_final = |block: &mut BlockRef| state.best.height >= block.height.final_at();
    if state.funding_confirmed.take_if(is_final).is_some() {
        state.fundings.retain(|funding| !funding.is_retired);
    }
}

/// Puts our next commitment in the place of the one before it, which is kept.
///
/// The commitment that was confirmed is kept instead: it has to be built again at every start.
fn replace(
    newest: &mut SignedCommitment,
    previous: &mut Option<SignedCommitment>,
    next: SignedCommitment,
    confirmed: Option<CommitmentNumber>,
) {
    let before = core::mem::replace(newest, next);
    let kept = previous.as_ref().map(|kept| kept.commitment.number);
    if kept.is_none() || kept != confirmed {
        *previous = Some(before);
    }
}

/// The number of our commitment that is confirmed, if one is.
fn confirmed_commitment(state: &MonitorState) -> Option<CommitmentNumber> {
    match state.funding_spend.as_ref()?.close {
        Close::LocalUnilateral { number } => Some(number),
        Close::Mutual
        | Close::RemoteUnilateral { .. }
        | Close::Revoked { .. }
        | Close::Unknown
        | Close::Future { .. } => None,
    }
}

fn begin(state: &MonitorState, new: &NewFunding) -> Funding {
    Funding {
        funding_outpoint: new.funding_outpoint,
        funding_amount: new.funding_amount,
        local_funding_pubkey: new.local_funding_pubkey,
        remote_funding_pubkey: new.remote_funding_pubkey,
        kind: new.kind,
        is_retired: false,
        local: local_on(&state.local.commitment, &new.local),
        local_previous: None,
        remote: remote_on(&state.remote, &new.remote),
        remote_previous: None,
        confirmed: None,
    }
}

/// Puts a pending funding in the place of the locked one. That and the other pending ones retire:
/// a reorg may bring each of them back, but no commitment is signed for them any more.
fn lock(state: &mut MonitorState, txid: Txid) {
    let from = pending_from(&state.fundings);
    let place = state.fundings.iter().position(|it| it.funding_outpoint.txid == txid);
    if let Some(place) = place {
        let mut funding = state.fundings.remove(place);
        let parameters = &mut state.parameters;
        core::mem::swap(&mut parameters.funding_outpoint, &mut funding.funding_outpoint);
        core::mem::swap(&mut parameters.funding_amount, &mut funding.funding_amount);
        let keys = (&mut parameters.local.funding_pubkey, &mut parameters.remote.funding_pubkey);
        core::mem::swap(keys.0, &mut funding.local_funding_pubkey);
        core::mem::swap(keys.1, &mut funding.remote_funding_pubkey);
        core::mem::swap(&mut state.local, &mut funding.local);
        core::mem::swap(&mut state.local_previous, &mut funding.local_previous);
        core::mem::swap(&mut state.remote, &mut funding.remote);
        core::mem::swap(&mut state.remote_previous, &mut funding.remote_previous);
        core::mem::swap(&mut state.funding_confirmed, &mut funding.confirmed);
        state.fundings.insert(from, funding);
    }
    for funding in &mut state.fundings {
        funding.is_retired = true;
    }
}

fn made_mut(state: &mut MonitorState, txid: Txid) -> Option<&mut Funding> {
    state.fundings.iter_mut().find(|funding| funding.funding_outpoint.txid == txid)
}

/// Our commitment on one more funding: what is the same on all of them, and what is not.
fn local_on(same: &UnsignedCommitment, on: &LocalCommitmentOn) -> SignedCommitment {
    SignedCommitment {
        commitment: UnsignedCommitment {
            number: on.number,
            per_commitment_point: same.per_commitment_point,
            feerate_per_kw: same.feerate_per_kw,
            to_local_msat: on.to_local_msat,
            to_remote_msat: on.to_remote_msat,
        },
        signature: on.signature,
        htlc_signatures: on.htlc_signatures.clone(),
    }
}

/// The peer's commitment on one more funding.
fn remote_on(same: &UnsignedCommitment, on: &RemoteCommitmentOn) -> UnsignedCommitment {
    UnsignedCommitment {
        number: on.number,
        per_commitment_point: same.per_commitment_point,
        feerate_per_kw: same.feerate_per_kw,
        to_local_msat: on.to_local_msat,
        to_remote_msat: on.to_remote_msat,
    }
}
