//! [`Package`]: a signed transaction and the requests that it answers.

use alloc::collections::BTreeSet;

use bitcoin::absolute::LockTime;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, Transaction, Txid};
use lastword_ports::{ChannelSigner, SigningRequest, Urgency};
use lastword_types::{ClaimKind, ClaimRequest, SigningKey, SweepWitness};

use crate::child::Child;
use crate::error::ClaimErrorKind;

/// A signed transaction and the requests that it answers, by their outputs.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) transaction: Transaction,
    /// Never empty.
    pub(crate) claimed: BTreeSet<OutPoint>,
    /// The coin of our wallet that pays the fee, where one does.
    pub(crate) coin: Option<OutPoint>,
    /// What pays for the transaction while it is unconfirmed.
    pub(crate) child: Option<Child>,
}

impl Package {
    /// A package that answers one request and spends no coin.
    pub(crate) fn alone(outpoint: OutPoint, transaction: Transaction) -> Self {
        Self { transaction, claimed: BTreeSet::from([outpoint]), coin: None, child: None }
    }

    /// Takes a child in, in place of the one before, if there is one to take in.
    pub(crate) fn give(&mut self, child: Option<Child>) {
        if let Some(child) = child {
            self.coin = Some(child.coin.outpoint);
            self.child = Some(child);
        }
    }

    /// Says whether this transaction is in it.
    pub(crate) fn holds(&self, txid: Txid) -> bool {
        let child = self.child.as_ref().map(|child| &child.transaction);
        core::iter::once(&self.transaction).chain(child).any(|it| it.compute_txid() == txid)
    }
}

/// Refuses a request that contradicts itself.
///
/// What passes can be turned into a transaction without arithmetic that overflows or an index that
/// is not there.
pub(crate) fn check(request: &ClaimRequest) -> Result<(), ClaimErrorKind> {
    if request.amount > Amount::MAX_MONEY {
        return Err(ClaimErrorKind::Request("there is no such amount"));
    }
    match &request.kind {
        ClaimKind::Commitment { transaction, .. } => {
            check_spends(transaction, request.outpoint)?;
            let mut outputs = transaction.output.iter().map(|output| output.value);
            let paid = outputs.try_fold(Amount::ZERO, Amount::checked_add);
            if paid.is_none_or(|paid| paid > request.amount) {
                return Err(ClaimErrorKind::Request("it pays more than it spends"));
            }
            Ok(())
        }
        ClaimKind::SecondStage { transaction, .. } => {
            check_spends(transaction, request.outpoint)?;
            if transaction.output.len() != 1 {
                return Err(ClaimErrorKind::Request("an HTLC transaction has one output"));
            }
            if transaction.output[0].value > request.amount {
                return Err(ClaimErrorKind::Request("it pays more than it spends"));
            }
            Ok(())
        }
        ClaimKind::Sweep { lock_time, .. } => {
            if LockTime::from_height(lock_time.0).is_err() {
                return Err(ClaimErrorKind::Request("the lock time is no height"));
            }
            Ok(())
        }
    }
}

/// Refuses a transaction that does not spend `outpoint` and nothing else.
fn check_spends(transaction: &Transaction, outpoint: OutPoint) -> Result<(), ClaimErrorKind> {
    match transaction.input.as_slice() {
        [input] if input.previous_output == outpoint => Ok(()),
        _ => Err(ClaimErrorKind::Request("the transaction does not spend this output alone")),
    }
}

/// Refuses a transaction that is larger than what is relayed.
pub(crate) fn check_size(transaction: &Transaction, limit: usize) -> Result<(), ClaimErrorKind> {
    let vsize = transaction.vsize();
    if vsize > limit { Err(ClaimErrorKind::TooLarge { vsize, limit }) } else { Ok(()) }
}

/// Returns how soon the spend of an output should confirm.
///
/// An HTLC output is always contended: the peer has a way of its own to take it, deadline or not. Our
/// anchor is not: anybody may take it after 16 blocks, and nobody misses it.
pub(crate) fn urgency(request: &ClaimRequest) -> Urgency {
    match &request.kind {
        ClaimKind::Commitment { .. } | ClaimKind::SecondStage { .. } => Urgency::Contended,
        ClaimKind::Sweep { witness, .. } => match witness {
            SweepWitness::HtlcPreimage { .. }
            | SweepWitness::HtlcTimeout { .. }
            | SweepWitness::Revocation { .. }
            | SweepWitness::HtlcRevocation { .. } => Urgency::Contended,
            SweepWitness::Anchor => Urgency::Relaxed,
            SweepWitness::Delayed { .. }
            | SweepWitness::PaymentKeyHash { .. }
            | SweepWitness::PaymentKey => match request.deadline {
                None => Urgency::Relaxed,
                Some(_) => Urgency::Contended,
            },
        },
    }
}

/// Has one input signed that spends the output of `request`, with a signature that covers all.
///
/// Source: BOLT 5, "Generation of HTLC Transactions" (H-1): our own signature is `SIGHASH_ALL`.
pub(crate) fn sign(
    request: &ClaimRequest,
    key: SigningKey,
    transaction: &Transaction,
    input: usize,
    signer: &mut dyn ChannelSigner,
) -> Result<Signature, ClaimErrorKind> {
    let request = SigningRequest {
        channel_id: request.channel_id,
        key,
        transaction,
        input,
        amount: request.amount,
        script: &request.script,
        sighash: EcdsaSighashType::All,
    };
    signer.sign(&request).map_err(ClaimErrorKind::Signer)
}
