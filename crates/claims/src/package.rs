//! [`Package`]: a signed transaction and the requests that it answers.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bitcoin::absolute::LockTime;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, ScriptBuf, Transaction, Txid, Weight};
use lastword_ports::{ChannelSigner, SigningRequest, Urgency};
use lastword_types::{ClaimKind, ClaimRequest, FeeRatePerKw, SigningKey, SweepWitness};

use crate::child::Child;
use crate::error::ClaimErrorKind;
use crate::fee::rate_of;
use crate::offers::Offer;

/// A signed transaction and the requests that it answers, by their outputs.
#[derive(Debug, Clone)]
pub(crate) struct Package {
    pub(crate) transaction: Transaction,
    /// Never empty.
    pub(crate) claimed: BTreeSet<OutPoint>,
    /// The coins of our wallet that pay the fee, where some do.
    pub(crate) coins: Vec<OutPoint>,
    /// What pays for the transaction while it is unconfirmed.
    pub(crate) child: Option<Child>,
    /// What a replacement has to exceed: the fee of the child, or else of the transaction where that
    /// can be replaced.
    pub(crate) fee: Amount,
    /// What transaction and child pay together, for each 1,000 units of their weight.
    pub(crate) rate: FeeRatePerKw,
    /// Whether it, or what it replaced, pays for replacing what others claimed too.
    pub(crate) is_heir: bool,
    /// What it was to replace.
    pub(crate) replaced: Vec<Offer>,
    /// The script of the wallet that it pays, where it pays one.
    pub(crate) destination: Option<ScriptBuf>,
}

impl Package {
    /// A package that spends no coin and has no child, of a transaction that pays `fee` and weighs
    /// as much as a longest signature makes it.
    pub(crate) fn new(
        claimed: BTreeSet<OutPoint>,
        transaction: Transaction,
        fee: Amount,
        weight: Weight,
    ) -> Self {
        let rate = rate_of(fee, weight.to_wu());
        let (coins, replaced) = (Vec::new(), Vec::new());
        let (child, destination) = (None, None);
        let is_heir = false;
        Self { transaction, claimed, coins, child, fee, rate, is_heir, replaced, destination }
    }

    /// A package that answers one request and spends no coin.
    pub(crate) fn alone(
        outpoint: OutPoint,
        transaction: Transaction,
        fee: Amount,
        weight: Weight,
    ) -> Self {
        Self::new(BTreeSet::from([outpoint]), transaction, fee, weight)
    }

    /// Takes a child in, in place of the one before; `paid` is what the transaction pays.
    pub(crate) fn give(&mut self, child: Child, paid: Amount) {
        let weight = self.transaction.weight() + child.weight;
        self.rate = rate_of(paid + child.fee, weight.to_wu());
        self.fee = child.fee;
        self.destination =
            child.transaction.output.first().map(|output| output.script_pubkey.clone());
        self.coins = child.coins.iter().map(|coin| coin.outpoint).collect();
        self.child = Some(child);
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
        ClaimKind::Commitment { transaction, at_stake, .. } => {
            if *at_stake > request.amount {
                return Err(ClaimErrorKind::Request("more is at stake than it spends"));
            }
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
