//! Transactions that the peer has signed: our commitment and our HTLC transactions.

use alloc::sync::Arc;

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{Amount, EcdsaSighashType, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use lastword_bolt3::{TRUC_PARENT_MAX_VSIZE, funding_witness, htlc_witness, rules};
use lastword_ports::Coin;
use lastword_types::{
    ClaimKind, ClaimRequest, CommitmentFormat, FeeRatePerKw, PaymentPreimage, SigningKey,
};

use crate::child::Parent;
use crate::error::ClaimErrorKind;
use crate::fee::{fee_of, longest_coin_witness, longest_signature};
use crate::package::{Package, check_size, sign, urgency};
use crate::purse::Purse;

/// What a request says about our commitment.
pub(crate) struct Commitment<'a> {
    pub(crate) transaction: &'a Transaction,
    pub(crate) remote_signature: &'a Signature,
    pub(crate) remote_funding_pubkey: &'a PublicKey,
    pub(crate) local_funding_pubkey: &'a PublicKey,
    pub(crate) format: CommitmentFormat,
}

impl<'a> Commitment<'a> {
    /// Takes a request apart; `None` if it is for something else.
    pub(crate) fn of(kind: &'a ClaimKind) -> Option<Self> {
        match kind {
            ClaimKind::Commitment {
                transaction,
                remote_signature,
                remote_funding_pubkey,
                local_funding_pubkey,
                format,
            } => Some(Self {
                transaction,
                remote_signature,
                remote_funding_pubkey,
                local_funding_pubkey,
                format: *format,
            }),
            ClaimKind::SecondStage { .. } | ClaimKind::Sweep { .. } => None,
        }
    }

    /// Signs the commitment, and gives it a child where it pays too little by itself.
    ///
    /// One that pays something goes without the child if there is none to be had, and the error is
    /// returned beside it.
    pub(crate) fn build(
        &self,
        request: &ClaimRequest,
        purse: &mut Purse<'_, '_>,
    ) -> Result<(Package, Option<ClaimErrorKind>), ClaimErrorKind> {
        let mut transaction = self.transaction.clone();
        let signature = sign(request, SigningKey::Funding, &transaction, 0, purse.wallet.signer)?;
        transaction.input[0].witness = funding_witness(
            &request.script,
            &signature,
            self.local_funding_pubkey,
            self.remote_signature,
            self.remote_funding_pubkey,
        );
        let mut package = Package::alone(request.outpoint, transaction);
        let error = match self.parent(request, &package.transaction).child(None, purse) {
            Ok(child) => {
                package.give(child);
                None
            }
            // Nobody relays what pays nothing.
            Err(error) if !rules(self.format).commitment_pays_fee => return Err(error),
            Err(error) => Some(error),
        };
        Ok((package, error))
    }

    /// Gives the commitment a child that pays more, if that is asked for now.
    pub(crate) fn raise(
        &self,
        request: &ClaimRequest,
        package: &mut Package,
        purse: &mut Purse<'_, '_>,
    ) -> Result<(), ClaimErrorKind> {
        // The child that is replaced gives its coin back.
        let last = package.child.as_ref();
        if let Some(last) = last {
            purse.release(&last.coin);
        }
        let raised = self.parent(request, &package.transaction).child(last, purse);
        if let (Some(last), Ok(None) | Err(_)) = (last, &raised) {
            purse.reserve(&last.coin);
        }
        package.give(raised?);
        Ok(())
    }

    fn parent<'p>(&'p self, request: &'p ClaimRequest, transaction: &'p Transaction) -> Parent<'p> {
        let (format, local_funding_pubkey) = (self.format, self.local_funding_pubkey);
        Parent { request, transaction, format, local_funding_pubkey }
    }
}

/// What a request says about an HTLC transaction of ours.
pub(crate) struct SecondStage<'a> {
    pub(crate) transaction: &'a Transaction,
    pub(crate) remote_signature: &'a Signature,
    pub(crate) remote_sighash: EcdsaSighashType,
    pub(crate) preimage: Option<PaymentPreimage>,
    pub(crate) per_commitment_point: PublicKey,
    pub(crate) format: CommitmentFormat,
}

impl<'a> SecondStage<'a> {
    /// Takes a request apart; `None` if it is for something else.
    pub(crate) fn of(kind: &'a ClaimKind) -> Option<Self> {
        match kind {
            ClaimKind::SecondStage {
                transaction,
                remote_signature,
                remote_sighash,
                preimage,
                per_commitment_point,
                format,
            } => Some(Self {
                transaction,
                remote_signature,
                remote_sighash: *remote_sighash,
                preimage: *preimage,
                per_commitment_point: *per_commitment_point,
                format: *format,
            }),
            ClaimKind::Commitment { .. } | ClaimKind::Sweep { .. } => None,
        }
    }

    /// Signs the HTLC transaction, and gives it a fee where its format leaves that to us.
    pub(crate) fn build(
        &self,
        request: &ClaimRequest,
        purse: &mut Purse<'_, '_>,
    ) -> Result<Package, ClaimErrorKind> {
        if rules(self.format).htlc_pays_fee {
            self.as_it_is(request, purse)
        } else {
            self.with_a_coin(request, purse)
        }
    }

    /// Signs the transaction without touching it: the peer's signature covers all of it (H-4).
    fn as_it_is(
        &self,
        request: &ClaimRequest,
        purse: &mut Purse<'_, '_>,
    ) -> Result<Package, ClaimErrorKind> {
        let mut transaction = self.transaction.clone();
        self.sign(request, &mut transaction, purse)?;
        Ok(Package::alone(request.outpoint, transaction))
    }

    /// Adds a coin for the fee, and change where it is above dust (H-2).
    ///
    /// The peer's signature covers the input and the output at index 0 and no other (H-1), and the
    /// version. Where that is 3, the rules for children of unconfirmed transactions never apply: the
    /// commitment is confirmed before its HTLC outputs are claimed, and so is the coin.
    fn with_a_coin(
        &self,
        request: &ClaimRequest,
        purse: &mut Purse<'_, '_>,
    ) -> Result<Package, ClaimErrorKind> {
        if self.remote_sighash != EcdsaSighashType::SinglePlusAnyoneCanPay {
            return Err(ClaimErrorKind::Request("the peer's signature allows no further input"));
        }
        let rate = purse.rate(urgency(request));
        let mut transaction = self.transaction.clone();
        transaction.input[0].witness = self.witness(request, &longest_signature());
        transaction.input.push(coin_input());
        let fee = fee_of(&transaction, rate);
        if fee >= request.amount {
            return Err(ClaimErrorKind::NotWorthItsFee { amount: request.amount, fee });
        }
        // What the HTLC transaction pays by itself is zero in this format, but it is not ours to say.
        let paid = request.amount - transaction.output[0].value;
        let coin = purse.choose(fee.checked_sub(paid).unwrap_or(Amount::ZERO))?;
        transaction.input[1].previous_output = coin.outpoint;
        let has_change =
            add_change(&mut transaction, coin.amount + paid, rate, purse.destination());
        if transaction.version == Version(3) {
            check_size(&transaction, TRUC_PARENT_MAX_VSIZE)?;
        }
        self.sign(request, &mut transaction, purse)?;
        sign_coin(&mut transaction, 1, &coin, purse)?;
        purse.reserve(&coin);
        if has_change {
            purse.use_destination();
        }
        let package = Package::alone(request.outpoint, transaction);
        Ok(Package { coin: Some(coin.outpoint), ..package })
    }

    /// Signs the HTLC input, which is the first.
    fn sign(
        &self,
        request: &ClaimRequest,
        transaction: &mut Transaction,
        purse: &mut Purse<'_, '_>,
    ) -> Result<(), ClaimErrorKind> {
        let key = SigningKey::Htlc { per_commitment_point: self.per_commitment_point };
        let signature = sign(request, key, transaction, 0, purse.wallet.signer)?;
        transaction.input[0].witness = self.witness(request, &signature);
        Ok(())
    }

    fn witness(&self, request: &ClaimRequest, local_signature: &Signature) -> Witness {
        htlc_witness(
            self.remote_signature,
            self.remote_sighash,
            local_signature,
            self.preimage,
            &request.script,
        )
    }
}

/// An input for a coin that is not chosen yet, as heavy as it will be.
///
/// It signals that it may be replaced (BIP 125), so a later transaction can pay more.
pub(crate) fn coin_input() -> TxIn {
    TxIn {
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: longest_coin_witness(),
        ..TxIn::default()
    }
}

/// Adds an output for what `funds` leave over after the fee, if that is above dust; otherwise it
/// goes to the fee. Says whether it did.
fn add_change(
    transaction: &mut Transaction,
    funds: Amount,
    rate: FeeRatePerKw,
    destination: ScriptBuf,
) -> bool {
    let dust = destination.minimal_non_dust();
    transaction.output.push(TxOut { value: Amount::ZERO, script_pubkey: destination });
    let left = funds.checked_sub(fee_of(transaction, rate)).unwrap_or(Amount::ZERO);
    let has_change = left >= dust && left > Amount::ZERO;
    if has_change {
        transaction.output[1].value = left;
    } else {
        transaction.output.truncate(1);
    }
    has_change
}

/// Has the wallet sign its coin, which is the input at this index.
pub(crate) fn sign_coin(
    transaction: &mut Transaction,
    input: usize,
    coin: &Coin,
    purse: &mut Purse<'_, '_>,
) -> Result<(), ClaimErrorKind> {
    transaction.input[input].witness.clear();
    purse
        .wallet
        .coins
        .sign(transaction, input, coin)
        .map_err(|error| ClaimErrorKind::Wallet(Arc::new(error)))
}
