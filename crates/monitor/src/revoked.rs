//! [`Revoked`]: a commitment that the peer had revoked, read from the chain; and one from the future.
//!
//! Nothing is stored of a commitment once it is revoked. Its secret comes from the store of secrets,
//! its HTLCs are those whose spell holds its number, its outputs are found by the scripts that these
//! give, and its balances are what the outputs are worth. One walk over the HTLCs that ever were,
//! forgotten ones too, once for each closing.

use alloc::vec::Vec;

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction};
use lastword_bolt3::{
    CommitmentOutput, HtlcFacts, OutputKind, ReadCommitment, SecretStore, commitment_number,
    point_of, read_commitment, read_static_outputs,
};
use lastword_types::{
    BlockHeight, ClaimRequest, Close, CommitmentNumber, Htlc, HtlcDirection, MonitorState,
    OutputSpend, OutputSpendKind, PerCommitmentSecret, Side, SweepWitness,
};

use crate::claims::{How, sweep};
use crate::closing::{Body, Closing, Name};
use crate::error::MonitorError;
use crate::funding::{self, Scope};
use crate::index::Index;
use crate::marks::{HtlcRef, spell};

/// What is known of a commitment that the peer had revoked.
#[derive(Debug, Clone)]
pub(crate) struct Revoked {
    secret: PerCommitmentSecret,
    /// Its outputs and keys.
    pub(crate) read: ReadCommitment,
    /// The script pubkey of the output of every HTLC transaction of the peer.
    delayed_pubkey: ScriptBuf,
}

impl Revoked {
    /// Returns the witness that takes an output with the revocation key.
    pub(crate) fn witness(&self, kind: OutputKind) -> SweepWitness {
        let per_commitment_secret = self.secret;
        match kind {
            OutputKind::Htlc { .. } => {
                let revocation_pubkey = self.read.keys.revocation_pubkey;
                SweepWitness::HtlcRevocation { per_commitment_secret, revocation_pubkey }
            }
            OutputKind::ToLocal
            | OutputKind::ToRemote
            | OutputKind::Anchor(_)
            | OutputKind::SharedAnchor => SweepWitness::Revocation { per_commitment_secret },
        }
    }

    /// Says whether an output is that of an HTLC transaction of the peer.
    pub(crate) fn is_second_stage(&self, script_pubkey: &ScriptBuf) -> bool {
        *script_pubkey == self.delayed_pubkey
    }
}

/// Says what a commitment transaction is that the state does not hold.
///
/// The number alone does not say whose it is: an old commitment of ours pays the peer's payment key
/// and none of the keys of the peer's commitment.
///
/// Source: BOLT 5, "Revoked Transaction Close Handling" and "Unilateral Close Handling: Remote
/// Commitment Transaction" (data loss).
pub(crate) fn recognise(
    scope: &Scope<'_>,
    secrets: &SecretStore,
    number: CommitmentNumber,
    transaction: &Transaction,
) -> (Close, Option<Closing>) {
    let state = scope.state;
    if number < funding::oldest_valid(state) {
        return match closing(scope, secrets, number, transaction) {
            Ok(closing) if is_the_peers(&closing) => (Close::Revoked { number }, Some(closing)),
            Ok(_) | Err(_) => (Close::Unknown, None),
        };
    }
    let may_be_ours = number <= state.local.commitment.number
        && read_static_outputs(&scope.parameters(), Side::Local, transaction)
            .iter()
            .flatten()
            .any(|output| output.kind == OutputKind::ToRemote);
    if number <= state.remote.number || may_be_ours {
        return (Close::Unknown, None);
    }
    (Close::Future { number }, Some(future(scope, number, transaction)))
}

/// Reads a commitment that the peer had revoked.
pub(crate) fn closing(
    scope: &Scope<'_>,
    secrets: &SecretStore,
    number: CommitmentNumber,
    transaction: &Transaction,
) -> Result<Closing, MonitorError> {
    let parameters = scope.parameters();
    if commitment_number(&parameters, transaction) != Some(number) {
        return Err(MonitorError::State("the funding was spent by another transaction"));
    }
    let secret = secrets
        .get(number.secret_index())
        .ok_or(MonitorError::State("the commitment that closed the channel is not revoked"))?;
    let point = point_of(&secret)?;
    let live = htlcs_in(scope.state, Side::Remote, number).into_iter().map(HtlcFacts::from);
    let htlcs: Vec<HtlcFacts> = live.chain(past_in(scope.state, number)).collect();
    let read = read_commitment(&parameters, Side::Remote, &point, &htlcs, transaction)?;
    let delayed_pubkey = read.delayed_script.to_p2wsh();
    let body = Body::Revoked(Revoked { secret, read, delayed_pubkey });
    Ok(Closing::new(scope, name(number, transaction), body))
}

/// Reads the confirmed commitment again, which an update has just revoked.
pub(crate) fn reread(
    state: &MonitorState,
    index: &Index,
    number: CommitmentNumber,
) -> Option<Closing> {
    let spend = state.funding_spend.as_ref()?;
    let scope = funding::spent_by(state, &spend.transaction)?;
    closing(&scope, &index.secrets, number, &spend.transaction).ok()
}

/// Reads what can be read of a commitment of the peer that is newer than all we know.
///
/// Our balance needs no point of that commitment: its key never changes.
pub(crate) fn future(
    scope: &Scope<'_>,
    number: CommitmentNumber,
    transaction: &Transaction,
) -> Closing {
    let outputs = read_static_outputs(&scope.parameters(), Side::Remote, transaction);
    Closing::new(scope, name(number, transaction), Body::Future(outputs))
}

fn name(number: CommitmentNumber, transaction: &Transaction) -> Name {
    Name { owner: Side::Remote, number, txid: transaction.compute_txid() }
}

/// Returns the HTLCs of the ledger that stood in a commitment, whether the state still holds that or
/// not.
pub(crate) fn htlcs_in(state: &MonitorState, owner: Side, number: CommitmentNumber) -> Vec<&Htlc> {
    let all = state.htlcs.values();
    all.filter(|htlc| spell(htlc, owner).is_some_and(|spell| spell.holds(number)))
        .map(|htlc| &htlc.htlc)
        .collect()
}

/// Returns what is left of the forgotten HTLCs that stood in a commitment of the peer.
fn past_in(state: &MonitorState, number: CommitmentNumber) -> impl Iterator<Item = HtlcFacts> {
    let past = state.past.iter().filter(move |(_, past)| past.stood_in(number));
    past.map(|((direction, htlc_id), past)| HtlcFacts {
        direction: *direction,
        htlc_id: *htlc_id,
        payment_hash160: past.payment_hash160,
        amount: past.amount,
        cltv_expiry: past.cltv_expiry,
    })
}

/// Returns the expiry of an HTLC, whether it is forgotten or not.
pub(crate) fn expiry(state: &MonitorState, key: HtlcRef) -> Option<BlockHeight> {
    let live = state.htlcs.get(&key).map(|htlc| htlc.htlc.cltv_expiry);
    live.or_else(|| state.past.get(&key).map(|past| past.cltv_expiry))
}

/// Says how an output of a revoked commitment should be claimed, if it is for us to claim.
///
/// Everything is ours, whatever became of its HTLC. What we offered the peer can take with the
/// preimage at any time, what it offered from the expiry on, both into an HTLC transaction whose
/// output can be taken again.
///
/// Source: BOLT 5, "Revoked Transaction Close Handling".
pub(crate) fn how(
    state: &MonitorState,
    confirmed: BlockHeight,
    output: &CommitmentOutput,
) -> Option<How> {
    match output.kind {
        OutputKind::ToLocal => Some(How::Penalty { deadline: delayed(state, confirmed) }),
        OutputKind::ToRemote => Some(How::ToRemote),
        OutputKind::Anchor(owner) => (owner == Side::Local).then_some(How::Anchor),
        OutputKind::SharedAnchor => None,
        OutputKind::Htlc { direction, htlc_id, .. } => {
            let deadline = match direction {
                HtlcDirection::Offered => confirmed.plus(1),
                HtlcDirection::Received => expiry(state, (direction, htlc_id))?,
            };
            Some(How::Penalty { deadline })
        }
    }
}

/// The request for the output of the peer's HTLC transaction that made a spend.
///
/// Source: BOLT 5, "Revoked Transaction Close Handling" (V-6).
pub(crate) fn second_stage(
    state: &MonitorState,
    closing: &Closing,
    outpoint: OutPoint,
    spend: &OutputSpend,
) -> Option<ClaimRequest> {
    let revoked = closing.revoked()?;
    let amount = stolen(spend)?;
    Some(ClaimRequest {
        channel_id: state.parameters.channel_id,
        outpoint,
        amount,
        script: revoked.read.delayed_script.clone(),
        earliest_height: spend.block.height,
        deadline: Some(delayed(state, spend.block.height)),
        kind: sweep(SweepWitness::Revocation { per_commitment_secret: revoked.secret }, 0),
    })
}

/// What the peer's HTLC transaction brought to its output.
fn stolen(spend: &OutputSpend) -> Option<Amount> {
    match spend.kind {
        OutputSpendKind::PeerHtlcTransaction { amount, .. } => Some(amount),
        OutputSpendKind::HtlcPreimage { .. }
        | OutputSpendKind::HtlcTimeout { .. }
        | OutputSpendKind::HtlcOther { .. }
        | OutputSpendKind::Swept { .. }
        | OutputSpendKind::HtlcPenalty { .. } => None,
    }
}

/// The height from which the peer can take an output of its own that was confirmed at another.
fn delayed(state: &MonitorState, confirmed: BlockHeight) -> BlockHeight {
    confirmed.plus(u32::from(state.parameters.remote.to_self_delay.0))
}

/// Says whether an output shows that the commitment is the peer's.
fn is_the_peers(closing: &Closing) -> bool {
    closing.outputs().any(|(_, output)| match output.kind {
        OutputKind::ToLocal | OutputKind::ToRemote | OutputKind::Htlc { .. } => true,
        OutputKind::Anchor(_) | OutputKind::SharedAnchor => false,
    })
}
