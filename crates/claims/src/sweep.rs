//! Transactions of our own that bring outputs to a destination of our own.

use alloc::vec::Vec;

use bitcoin::absolute::LockTime;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{Amount, Sequence, Transaction, TxIn, TxOut, Witness};
use lastword_bolt3::{
    anchor_witness, delayed_witness, htlc_preimage_witness, htlc_revocation_witness,
    htlc_timeout_witness, payment_key_hash_witness, payment_key_witness, revocation_witness,
};
use lastword_ports::Urgency;
use lastword_types::{
    BlockHeight, ClaimKind, ClaimRequest, FeeRatePerKw, SigningKey, SweepWitness,
};

use crate::error::ClaimErrorKind;
use crate::fee::{fee_ceil, longest_signature};
use crate::package::{Package, sign, urgency};
use crate::purse::Purse;
use crate::terms::Terms;

/// One output to sweep: its request, taken apart.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sweep<'a> {
    pub(crate) request: &'a ClaimRequest,
    witness: &'a SweepWitness,
    csv_blocks: u16,
    lock_time: BlockHeight,
}

impl<'a> Sweep<'a> {
    /// Takes a request apart; `None` if it is no sweep.
    pub(crate) fn new(request: &'a ClaimRequest) -> Option<Self> {
        match &request.kind {
            ClaimKind::Commitment { .. } | ClaimKind::SecondStage { .. } => None,
            ClaimKind::Sweep { witness, csv_blocks, lock_time } => {
                Some(Self { request, witness, csv_blocks: *csv_blocks, lock_time: *lock_time })
            }
        }
    }

    /// Says whether it may share a transaction with others of its channel.
    ///
    /// A batch is void as soon as anybody else takes one of its inputs, so what others can take
    /// stays alone.
    pub(crate) fn is_sociable(&self) -> bool {
        urgency(self.request) == Urgency::Relaxed && self.lock_time == BlockHeight(0)
    }

    /// Says whether it is our anchor, which nobody misses while it does not pay.
    pub(crate) fn is_anchor(&self) -> bool {
        matches!(self.witness, SweepWitness::Anchor)
    }

    fn input(&self) -> TxIn {
        let sequence = match self.csv_blocks {
            // It may be replaced (BIP 125) and leaves the lock time in force.
            0 => Sequence::ENABLE_RBF_NO_LOCKTIME,
            blocks => Sequence::from_height(blocks),
        };
        TxIn {
            previous_output: self.request.outpoint,
            sequence,
            witness: self.stack(&longest_signature()),
            ..TxIn::default()
        }
    }

    /// What its input costs.
    fn cost(&self, rate: FeeRatePerKw) -> Amount {
        fee_ceil(rate, self.input().segwit_weight().to_wu())
    }

    fn key(&self) -> SigningKey {
        match *self.witness {
            SweepWitness::Delayed { per_commitment_point } => {
                SigningKey::DelayedPayment { per_commitment_point }
            }
            SweepWitness::PaymentKeyHash { .. } | SweepWitness::PaymentKey => SigningKey::Payment,
            SweepWitness::Anchor => SigningKey::Funding,
            SweepWitness::HtlcPreimage { per_commitment_point, .. }
            | SweepWitness::HtlcTimeout { per_commitment_point } => {
                SigningKey::Htlc { per_commitment_point }
            }
            SweepWitness::Revocation { per_commitment_secret }
            | SweepWitness::HtlcRevocation { per_commitment_secret, .. } => {
                SigningKey::Revocation { per_commitment_secret }
            }
        }
    }

    fn stack(&self, signature: &Signature) -> Witness {
        let script = &self.request.script;
        match self.witness {
            SweepWitness::Delayed { .. } => delayed_witness(signature, script),
            SweepWitness::PaymentKeyHash { payment_basepoint } => {
                payment_key_hash_witness(signature, payment_basepoint)
            }
            SweepWitness::PaymentKey => payment_key_witness(signature, script),
            SweepWitness::Anchor => anchor_witness(signature, script),
            SweepWitness::HtlcPreimage { preimage, .. } => {
                htlc_preimage_witness(signature, preimage, script)
            }
            SweepWitness::HtlcTimeout { .. } => htlc_timeout_witness(signature, script),
            SweepWitness::Revocation { .. } => revocation_witness(signature, script),
            SweepWitness::HtlcRevocation { revocation_pubkey, .. } => {
                htlc_revocation_witness(signature, revocation_pubkey, script)
            }
        }
    }
}

/// Splits sweeps into those that are worth their own input and, with what they cost, those that are
/// not.
pub(crate) fn weigh(
    sweeps: Vec<Sweep<'_>>,
    rate: FeeRatePerKw,
) -> (Vec<Sweep<'_>>, Vec<(Sweep<'_>, Amount)>) {
    let (mut worth, mut not_worth) = (Vec::new(), Vec::new());
    for sweep in sweeps {
        let cost = sweep.cost(rate);
        if sweep.request.amount > cost {
            worth.push(sweep);
        } else {
            not_worth.push((sweep, cost));
        }
    }
    (worth, not_worth)
}

/// Why a transaction of several sweeps was not made.
pub(crate) enum Failure {
    /// What all of them bring together is not worth the fee.
    NotWorthItsFee(Amount),
    /// The signer refused this one of them.
    Signer(usize, ClaimErrorKind),
}

/// Builds and signs one transaction for `sweeps`, of which there is at least one, all with the same
/// lock time.
pub(crate) fn build(
    sweeps: &[Sweep<'_>],
    terms: &Terms,
    purse: &mut Purse<'_, '_>,
) -> Result<Package, Failure> {
    let mut transaction = Transaction {
        version: Version::TWO,
        lock_time: sweeps.first().map_or(LockTime::ZERO, |sweep| lock_time(sweep.lock_time)),
        input: sweeps.iter().map(Sweep::input).collect(),
        output: Vec::from([TxOut { value: Amount::ZERO, script_pubkey: purse.destination(terms) }]),
    };
    // A request holds at most 21 million coins and a transaction a hundred requests: it fits.
    let total: Amount = sweeps.iter().map(|sweep| sweep.request.amount).sum();
    let least_left = transaction.output[0].script_pubkey.minimal_non_dust().max(Amount::ONE_SAT);
    let budget = total.checked_sub(least_left).unwrap_or(Amount::ZERO);
    let fee = terms.fee(&transaction, budget).map_err(Failure::NotWorthItsFee)?;
    transaction.output[0].value = total - fee;
    let weight = transaction.weight();
    for (input, sweep) in sweeps.iter().enumerate() {
        let signer = &mut *purse.wallet.signer;
        let signature = sign(sweep.request, sweep.key(), &transaction, input, signer)
            .map_err(|kind| Failure::Signer(input, kind))?;
        transaction.input[input].witness = sweep.stack(&signature);
    }
    purse.use_destination(terms);
    let claimed = sweeps.iter().map(|sweep| sweep.request.outpoint).collect();
    let destination = transaction.output.first().map(|output| output.script_pubkey.clone());
    Ok(Package { destination, ..Package::new(claimed, transaction, fee, weight) })
}

fn lock_time(height: BlockHeight) -> LockTime {
    LockTime::from_height(height.0).expect("a request is checked before it is built")
}
