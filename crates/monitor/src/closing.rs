//! [`Closing`]: the commitment transaction that spent the funding output; how a spend is recognised.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bitcoin::{OutPoint, Transaction, Txid};
use lastword_bolt3::{
    Bolt3Error, CommitmentInput, CommitmentOutput, CommitmentTx, OutputKind, SecretStore,
    build_commitment, commitment_number,
};
use lastword_types::{Close, CommitmentNumber, Htlc, MonitorState, Side, UnsignedCommitment};

use crate::error::MonitorError;
use crate::funding::{self, Scope};
use crate::marks::{HtlcRef, spell};
use crate::revoked::{self, Revoked};

/// A confirmed commitment transaction, with the meaning of its outputs.
#[derive(Debug, Clone)]
pub(crate) struct Closing {
    /// Whose commitment it is.
    pub(crate) owner: Side,
    /// Its number.
    pub(crate) number: CommitmentNumber,
    /// Its name.
    pub(crate) txid: Txid,
    /// The funding output that it spends.
    pub(crate) funding: OutPoint,
    /// What is known of it.
    pub(crate) body: Body,
    /// Where its HTLC outputs are. A trimmed HTLC has none.
    htlcs: BTreeMap<HtlcRef, u32>,
}

/// Which commitment transaction it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) owner: Side,
    pub(crate) number: CommitmentNumber,
    pub(crate) txid: Txid,
}

/// How much is known of a confirmed commitment transaction.
#[derive(Debug, Clone)]
pub(crate) enum Body {
    /// It may stand: the state holds it, and it was built again.
    Standing(CommitmentTx),
    /// The peer had revoked it: its outputs were recognised by their scripts.
    Revoked(Revoked),
    /// It is newer than all we know: only what is the same in every commitment was recognised.
    Future(Vec<Option<CommitmentOutput>>),
}

impl Closing {
    /// Builds one of the commitments that the state holds.
    pub(crate) fn build(
        scope: &Scope<'_>,
        standing: &BTreeSet<HtlcRef>,
        owner: Side,
        commitment: &UnsignedCommitment,
    ) -> Result<Self, Bolt3Error> {
        let htlcs = htlcs_in(scope.state, standing, owner, commitment.number);
        let built = build_commitment(&CommitmentInput {
            parameters: &scope.parameters(),
            owner,
            commitment,
            htlcs: &htlcs,
        })?;
        let name = Name { owner, number: commitment.number, txid: built.txid() };
        Ok(Self::new(scope, name, Body::Standing(built)))
    }

    /// Puts together what is known of a commitment transaction.
    pub(crate) fn new(scope: &Scope<'_>, name: Name, body: Body) -> Self {
        let Name { owner, number, txid } = name;
        let funding = scope.outpoint();
        let mut closing = Self { owner, number, txid, funding, body, htlcs: BTreeMap::new() };
        let places = closing.outputs().filter_map(|(outpoint, output)| match output.kind {
            OutputKind::Htlc { direction, htlc_id, .. } => {
                Some(((direction, htlc_id), outpoint.vout))
            }
            OutputKind::ToLocal
            | OutputKind::ToRemote
            | OutputKind::Anchor(_)
            | OutputKind::SharedAnchor => None,
        });
        closing.htlcs = places.collect();
        closing
    }

    /// Builds the commitment that a state says spent the funding output, if it says so.
    pub(crate) fn of_state(
        state: &MonitorState,
        standing: &BTreeSet<HtlcRef>,
        secrets: &SecretStore,
    ) -> Result<Option<Self>, MonitorError> {
        let Some(spend) = &state.funding_spend else { return Ok(None) };
        let scope = funding::spent_by(state, &spend.transaction)
            .ok_or(MonitorError::State("the spend of the funding output does not spend it"))?;
        let (owner, number) = match spend.close {
            Close::LocalUnilateral { number } => (Side::Local, number),
            Close::RemoteUnilateral { number } => (Side::Remote, number),
            Close::Revoked { number } => {
                return revoked::closing(&scope, secrets, number, &spend.transaction).map(Some);
            }
            Close::Future { number } => {
                return Ok(Some(revoked::future(&scope, number, &spend.transaction)));
            }
            Close::Mutual | Close::Unknown => return Ok(None),
        };
        let commitment = scope
            .commitments()
            .into_iter()
            .find(|(side, commitment)| *side == owner && commitment.number == number)
            .ok_or(MonitorError::State("the commitment that closed the channel is not known"))?;
        let closing = Self::build(&scope, standing, owner, commitment.1)?;
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
        if outpoint.txid != self.txid {
            return None;
        }
        match &self.body {
            Body::Standing(built) => built.outputs.get(index),
            Body::Revoked(revoked) => revoked.read.outputs.get(index)?.as_ref(),
            Body::Future(outputs) => outputs.get(index)?.as_ref(),
        }
    }

    /// Visits its outputs.
    pub(crate) fn outputs(&self) -> impl Iterator<Item = (OutPoint, &CommitmentOutput)> {
        let (built, read) = match &self.body {
            Body::Standing(built) => (&built.outputs[..], &[][..]),
            Body::Revoked(revoked) => (&[][..], &revoked.read.outputs[..]),
            Body::Future(outputs) => (&[][..], &outputs[..]),
        };
        let outpoints = (0u32..).map(|vout| OutPoint { txid: self.txid, vout });
        let outputs = built.iter().map(Some).chain(read.iter().map(Option::as_ref));
        outpoints.zip(outputs).filter_map(|(outpoint, output)| Some((outpoint, output?)))
    }

    /// The transaction, if it is one that may stand.
    pub(crate) fn built(&self) -> Option<&CommitmentTx> {
        match &self.body {
            Body::Standing(built) => Some(built),
            Body::Revoked(_) | Body::Future(_) => None,
        }
    }

    /// What is known of it, if the peer had revoked it.
    pub(crate) fn revoked(&self) -> Option<&Revoked> {
        match &self.body {
            Body::Revoked(revoked) => Some(revoked),
            Body::Standing(_) | Body::Future(_) => None,
        }
    }
}

/// Returns the HTLCs that stand in a commitment.
///
/// For one that is older than those on the locked funding this walks the whole history.
pub(crate) fn htlcs_in<'s>(
    state: &'s MonitorState,
    standing: &BTreeSet<HtlcRef>,
    owner: Side,
    number: CommitmentNumber,
) -> Vec<&'s Htlc> {
    let is_kept = match owner {
        Side::Local => funding::locked(state).signed(number).is_some(),
        Side::Remote => number >= funding::oldest_valid(state),
    };
    if !is_kept {
        return revoked::htlcs_in(state, owner, number);
    }
    let standing = standing.iter().filter_map(|key| state.htlcs.get(key));
    standing
        .filter(|htlc| spell(htlc, owner).is_some_and(|spell| spell.holds(number)))
        .map(|htlc| &htlc.htlc)
        .collect()
}

/// Says what a transaction is that spends a funding output and is no splice.
///
/// The number hidden in its lock time and sequence says which commitment to build; that it is that
/// commitment, its txid says.
///
/// Source: BOLT 5, "General Requirements"; BOLT 3, "Commitment Transaction".
pub(crate) fn recognise(
    scope: &Scope<'_>,
    standing: &BTreeSet<HtlcRef>,
    secrets: &SecretStore,
    transaction: &Transaction,
) -> (Close, Option<Closing>) {
    let txid = transaction.compute_txid();
    if scope.state.closing_txids.contains(&txid) {
        return (Close::Mutual, None);
    }
    let Some(number) = commitment_number(&scope.parameters(), transaction) else {
        return (Close::Unknown, None);
    };
    for (owner, commitment) in scope.commitments() {
        if commitment.number != number {
            continue;
        }
        // A commitment that cannot be built was never signed, so it is not this transaction.
        let Ok(closing) = Closing::build(scope, standing, owner, commitment) else { continue };
        if closing.txid == txid {
            let close = match owner {
                Side::Local => Close::LocalUnilateral { number },
                Side::Remote => Close::RemoteUnilateral { number },
            };
            return (close, Some(closing));
        }
    }
    revoked::recognise(scope, secrets, number, transaction)
}
