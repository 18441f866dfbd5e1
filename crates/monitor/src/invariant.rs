//! What holds of every state that a run of records leads to, and of what is derived from it.

use alloc::collections::BTreeSet;

use lastword_bolt3::SecretStore;
use lastword_types::{
    Close, Funding, HtlcDirection, HtlcOrigin, HtlcState, MAX_FUNDINGS, MonitorState, PastHtlc,
    PreimageSource, RemovalReason, Side, Spell, Told, UnsignedCommitment,
};

use crate::error::MonitorError;
use crate::index::Index;
use crate::marks::{HtlcRef, spell};
use crate::{deadline, forget, funding, received, update, verdict};

/// Refuses a state that contradicts itself.
pub(crate) fn check_state(state: &MonitorState) -> Result<(), MonitorError> {
    check_commitments(state)?;
    check_fundings(state)?;
    check_secrets(state)?;
    for (key, htlc) in &state.htlcs {
        check_htlc(state, *key, htlc)?;
    }
    let is_opened =
        |(hash, preimage): (&_, &lastword_types::PaymentPreimage)| preimage.payment_hash() == *hash;
    ensure(state.preimages.iter().all(is_opened), "a preimage is kept under another hash")?;
    check_forgotten(state)?;
    let is_over = state.funding_spend.is_some() || !state.is_archived;
    ensure(is_over, "a channel is archived and not closed")?;
    check_spends(state)
}

/// What is left of forgotten HTLCs is of HTLCs that were, and of none that is.
fn check_forgotten(state: &MonitorState) -> Result<(), MonitorError> {
    let is_gone = |key: &HtlcRef| forget::is_spent_id(state, *key);
    let newest = state.remote.number;
    let is_over = |past: &PastHtlc| past.from < past.until && past.until <= newest;
    ensure(state.past.keys().all(is_gone), "an HTLC is forgotten and is not")?;
    ensure(state.past.values().all(is_over), "a forgotten HTLC stands where no commitment was")?;
    let mut buried = state.tombstones.keys().map(|htlc_id| (HtlcDirection::Offered, *htlc_id));
    ensure(buried.all(|key| is_gone(&key)), "a tombstone stands on a living HTLC")
}

/// Refuses derived facts that do not follow from the state.
pub(crate) fn check_index(state: &MonitorState, index: &Index) -> Result<(), MonitorError> {
    for (owner, held, to_local, to_remote, number) in [
        (
            Side::Local,
            index.local,
            state.local.commitment.to_local_msat,
            state.local.commitment.to_remote_msat,
            state.local.commitment.number,
        ),
        (
            Side::Remote,
            index.remote,
            state.remote.to_local_msat,
            state.remote.to_remote_msat,
            state.remote.number,
        ),
    ] {
        for (count, direction) in
            [(held.offered, HtlcDirection::Offered), (held.received, HtlcDirection::Received)]
        {
            if count > lastword_bolt3::MAX_ACCEPTED_HTLCS {
                return Err(MonitorError::TooManyHtlcs { owner, direction });
            }
        }
        let parts = [to_local.0, to_remote.0, held.amount_msat];
        if !update::adds_up(state.parameters.funding_amount, &parts) {
            return Err(MonitorError::WrongBalance { owner, number });
        }
    }
    for funding in state.fundings.iter().filter(|funding| !funding.is_retired) {
        check_amounts(index, funding)?;
    }
    for (key, htlc) in &state.htlcs {
        check_places(state, index, *key, htlc)?;
    }
    let is_known = |set: &BTreeSet<HtlcRef>| set.iter().all(|key| state.htlcs.contains_key(key));
    ensure(
        [&index.open, &index.standing, &index.leaving, &index.violated].into_iter().all(is_known),
        "an HTLC is listed that does not exist",
    )?;
    let is_commitment = state.funding_spend.as_ref().is_some_and(|spend| match spend.close {
        Close::LocalUnilateral { .. }
        | Close::RemoteUnilateral { .. }
        | Close::Revoked { .. }
        | Close::Future { .. } => true,
        Close::Mutual | Close::Unknown => false,
    });
    ensure(index.closing.is_some() == is_commitment, "the confirmed commitment is not at hand")
}

/// The commitments on a pending funding are worth what it is worth.
fn check_amounts(index: &Index, funding: &Funding) -> Result<(), MonitorError> {
    let (local, remote) = (&funding.local.commitment, &funding.remote);
    for (owner, commitment, held) in
        [(Side::Local, local, index.local), (Side::Remote, remote, index.remote)]
    {
        let UnsignedCommitment { number, to_local_msat, to_remote_msat, .. } = commitment;
        let parts = [to_local_msat.0, to_remote_msat.0, held.amount_msat];
        if !update::adds_up(funding.funding_amount, &parts) {
            let funding_txid = funding.funding_outpoint.txid;
            return Err(MonitorError::WrongBalanceOn { funding_txid, owner, number: *number });
        }
    }
    Ok(())
}

fn check_commitments(state: &MonitorState) -> Result<(), MonitorError> {
    if let Some(previous) = &state.local_previous {
        let is_before = previous.commitment.number < state.local.commitment.number;
        ensure(is_before, "our previous commitment is not before the newest")?;
    }
    if let Some(previous) = &state.remote_previous {
        let is_before = previous.number.next() == Some(state.remote.number);
        ensure(is_before, "the peer's previous commitment is not before the newest")?;
    }
    Ok(())
}

/// The fundings are in order, and those that are pending have the same commitments as the locked one.
fn check_fundings(state: &MonitorState) -> Result<(), MonitorError> {
    let fundings = &state.fundings;
    ensure(fundings.len() <= MAX_FUNDINGS, "there are too many fundings")?;
    let txids: BTreeSet<_> = funding::all(state).map(|scope| scope.outpoint().txid).collect();
    ensure(txids.len() == fundings.len() + 1, "a funding is there twice")?;
    let (_, pending) = fundings.split_at(funding::pending_from(fundings));
    ensure(
        pending.iter().all(|it| !it.is_retired),
        "a retired funding stands after a pending one",
    )?;
    let is_one_kind = pending.windows(2).all(|two| matches!(two, [a, b] if a.kind == b.kind));
    ensure(is_one_kind, "a splice is pending beside a replacement")?;
    let is_confirmed = |it: &&Funding| it.confirmed.is_some();
    ensure(pending.iter().filter(is_confirmed).count() <= 1, "two fundings are one's successor")?;
    ensure(pending.iter().all(|it| is_level(state, it)), "a funding is without a commitment")?;
    let is_older = |it: &Funding| {
        let local = it.local.commitment.number <= state.local.commitment.number;
        local && it.remote.number <= state.remote.number
    };
    ensure(fundings.iter().all(is_older), "a retired funding is ahead")?;
    let mut blocks = funding::all(state).filter_map(|scope| scope.confirmed());
    ensure(
        blocks.all(|block| block.height <= state.best.height),
        "a splice is confirmed above the best block",
    )
}

fn is_level(state: &MonitorState, funding: &Funding) -> bool {
    let same = |ours: &UnsignedCommitment, its: &UnsignedCommitment| {
        ours.number == its.number
            && ours.per_commitment_point == its.per_commitment_point
            && ours.feerate_per_kw == its.feerate_per_kw
    };
    same(&state.local.commitment, &funding.local.commitment) && same(&state.remote, &funding.remote)
}

/// The secrets are exactly those of the commitments that are revoked.
fn check_secrets(state: &MonitorState) -> Result<(), MonitorError> {
    let secrets = SecretStore::from_slots(&state.remote_secrets)?;
    let oldest_valid = state.remote_previous.as_ref().unwrap_or(&state.remote).number;
    let is_known =
        |number: lastword_types::CommitmentNumber| secrets.get(number.secret_index()).is_some();
    ensure(!is_known(oldest_valid), "a commitment that counts as valid is revoked")?;
    ensure(oldest_valid.previous().is_none_or(is_known), "a secret is missing")
}

fn check_htlc(state: &MonitorState, key: HtlcRef, htlc: &HtlcState) -> Result<(), MonitorError> {
    ensure(key == (htlc.htlc.direction, htlc.htlc.htlc_id), "an HTLC is kept under another name")?;
    update::check_new(&htlc.htlc)?;
    let newest = [(htlc.local, state.local.commitment.number), (htlc.remote, state.remote.number)];
    for (spell, newest) in newest {
        let is_possible = |spell: Spell| {
            let until = spell.until.is_none_or(|until| spell.from < until && until <= newest);
            spell.from <= newest && until
        };
        ensure(spell.is_none_or(is_possible), "an HTLC stands where no commitment is")?;
    }
    ensure(htlc.local.is_some() || htlc.remote.is_some(), "an HTLC never stood anywhere")?;
    let has_left = |owner| spell(htlc, owner).is_some_and(|spell| spell.until.is_some());
    ensure(
        htlc.removal.is_some() == (has_left(Side::Local) || has_left(Side::Remote)),
        "an HTLC was removed without a reason, or has a reason and was not removed",
    )?;
    check_outcome(htlc)
}

fn check_outcome(htlc: &HtlcState) -> Result<(), MonitorError> {
    let removed_with = match htlc.removal {
        Some(RemovalReason::Fulfilled { preimage }) => Some(preimage),
        Some(RemovalReason::Failed { .. }) | None => None,
    };
    let evidence = htlc.fulfilled.map(|(preimage, _)| preimage);
    let shown = [removed_with, evidence, htlc.late_preimage, htlc.claim];
    ensure(
        shown.iter().flatten().all(|it| it.payment_hash() == htlc.htlc.payment_hash),
        "a preimage does not open its HTLC",
    )?;
    ensure(
        htlc.fulfilled.is_none() || htlc.failed.is_none(),
        "an HTLC is both fulfilled and failed",
    )?;
    ensure(
        htlc.late_preimage.is_none() || htlc.failed.is_some(),
        "a preimage is late for an HTLC that did not fail",
    )?;
    ensure(
        removed_with.is_none() || htlc.fulfilled.is_some() || htlc.late_preimage.is_some(),
        "the preimage that removed an HTLC is no evidence",
    )?;
    let is_final = htlc.fulfilled.is_some() || htlc.failed.is_some();
    let is_told = match htlc.delivered {
        None => true,
        Some(Told::Claimed) => matches!(htlc.source, Some(PreimageSource::Invoice { .. })),
        Some(Told::Payment { .. } | Told::Forward) => {
            is_final && htlc.htlc.direction == HtlcDirection::Offered
        }
    };
    ensure(is_told, "an HTLC was told of that has nothing to tell")?;
    let is_by_right = htlc
        .source
        .as_ref()
        .is_none_or(|source| htlc.claim.is_some() && received::fits(&htlc.htlc.origin, source));
    ensure(is_by_right, "an HTLC is claimed by no right")?;
    let is_payment = matches!(htlc.htlc.origin, HtlcOrigin::Payment(_))
        && htlc.htlc.direction == HtlcDirection::Offered;
    let is_received = htlc.htlc.direction == HtlcDirection::Received;
    ensure(is_received || htlc.claim.is_none(), "an HTLC is claimed that we offered")?;
    ensure(is_payment || !htlc.is_given_up, "an HTLC was given up that is no part of a payment")?;
    let is_forward = matches!(htlc.htlc.origin, HtlcOrigin::Forward(_))
        && htlc.htlc.direction == HtlcDirection::Offered;
    ensure(is_forward || !htlc.is_inbound_on_chain, "an inbound half is on chain of no forward")
}

fn check_spends(state: &MonitorState) -> Result<(), MonitorError> {
    let Some(funding) = &state.funding_spend else {
        return ensure(state.output_spends.is_empty(), "outputs are spent that do not exist");
    };
    let spends_funding = funding::spent_by(state, &funding.transaction).is_some();
    ensure(spends_funding, "the spend of the funding output does not spend it")?;
    let is_future = matches!(funding.close, Close::Future { .. });
    ensure(!is_future || state.data_loss, "the peer is ahead of us and we do not know it")?;
    let span = funding.block.height..=state.best.height;
    ensure(
        !span.is_empty() && state.output_spends.values().all(|it| span.contains(&it.block.height)),
        "a spend is above the best block or below the closing",
    )
}

fn check_places(
    state: &MonitorState,
    index: &Index,
    key: HtlcRef,
    htlc: &HtlcState,
) -> Result<(), MonitorError> {
    let verdict = verdict::of(state, index.closing.as_ref(), htlc);
    ensure(
        !verdict.is_final() || htlc.failed.is_some() || htlc.fulfilled.is_some(),
        "a final verdict is not kept",
    )?;
    ensure(index.open.contains(&key) != verdict.is_final(), "an open HTLC is not listed")?;
    let (direction, htlc_id) = key;
    let owes = direction == HtlcDirection::Offered && htlc.delivered.is_none();
    let is_listed = direction == HtlcDirection::Offered && index.undelivered.contains(&htlc_id);
    ensure(owes == is_listed, "an HTLC that is owed is not listed")?;
    let is_listed = direction == HtlcDirection::Received && index.owed.contains(&htlc_id);
    ensure(received::is_owed(&verdict, htlc) == is_listed, "an HTLC that is owed is not listed")?;
    let is_removed = htlc.removal.is_some() && index.standing.contains(&key);
    ensure(index.leaving.contains(&key) == is_removed, "an HTLC that leaves is not listed")?;
    let is_timed = index.deadlines.contains(&(deadline::of(&htlc.htlc), key));
    ensure(is_timed == deadline::is_live(state, htlc), "an HTLC with a deadline is not listed")
}

fn ensure(holds: bool, otherwise: &'static str) -> Result<(), MonitorError> {
    if holds { Ok(()) } else { Err(MonitorError::State(otherwise)) }
}
