//! [`Child`]: a transaction of ours that pays for our commitment while that is unconfirmed.
//!
//! It spends one output of the commitment and one coin of the wallet, and pays the wallet alone, so
//! nobody else can build on it and hold the commitment back (F-6).
//!
//! Source: BOLT 5, "Failing a Channel".

use alloc::vec::Vec;

use bitcoin::absolute::LockTime;
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};
use lastword_bolt3::{
    Anchors, TRUC_CHILD_MAX_VSIZE, anchor_witness, rules, script_pubkey, scripts,
};
use lastword_ports::{Coin, SigningRequest};
use lastword_types::{ClaimRequest, CommitmentFormat, FeeRatePerKw, SigningKey};

use crate::error::ClaimErrorKind;
use crate::fee::{fee_of, longest_signature};
use crate::package::{check_size, urgency};
use crate::presigned::{coin_input, sign_coin};
use crate::purse::Purse;

/// A child and what it pays.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) transaction: Transaction,
    pub(crate) fee: Amount,
    /// The coin that pays it.
    pub(crate) coin: Coin,
}

/// Our commitment, signed, for which a child may have to pay.
pub(crate) struct Parent<'a> {
    pub(crate) request: &'a ClaimRequest,
    pub(crate) transaction: &'a Transaction,
    pub(crate) format: CommitmentFormat,
    pub(crate) local_funding_pubkey: &'a PublicKey,
}

impl Parent<'_> {
    /// Builds the child that brings parent and child to the rate of now, if the parent does not
    /// reach it alone and has an output for that. With `last`, only one that may replace it.
    ///
    /// A child that replaces another has to pay for its own relay on top of what that paid, one
    /// satoshi for each virtual byte (BIP 125, rule 4); so it is not replaced at every twitch of the
    /// rate.
    pub(crate) fn child(
        &self,
        last: Option<&Child>,
        purse: &mut Purse<'_, '_>,
    ) -> Result<Option<Child>, ClaimErrorKind> {
        let rate = purse.rate(urgency(self.request));
        let Some(anchor) = self.anchor() else { return Ok(None) };
        let paid = self.fee();
        if paid >= fee_of(self.transaction, rate) {
            return Ok(None);
        }
        let mut child = self.draft(&anchor, purse.destination());
        if self.transaction.version == Version(3) {
            check_size(&child, TRUC_CHILD_MAX_VSIZE)?;
        }
        let both = fee_of(self.transaction, rate) + fee_of(&child, rate);
        let fee = both.checked_sub(paid).unwrap_or(Amount::ZERO);
        let relay = fee_of(&child, FeeRatePerKw::FLOOR);
        if last.is_some_and(|last| fee < last.fee + relay) {
            return Ok(None);
        }
        let dust = child.output[0].script_pubkey.minimal_non_dust();
        let needed = (fee + dust).checked_sub(anchor.output.value).unwrap_or(Amount::ZERO);
        let coin = purse.choose(needed)?;
        child.input[COIN].previous_output = coin.outpoint;
        child.output[0].value = coin.amount + anchor.output.value - fee;
        self.sign(&anchor, &mut child, purse)?;
        sign_coin(&mut child, COIN, &coin, purse)?;
        purse.reserve(&coin);
        purse.use_destination();
        Ok(Some(Child { transaction: child, fee, coin }))
    }

    /// What the parent pays by itself.
    fn fee(&self) -> Amount {
        let outputs = self.transaction.output.iter().map(|output| output.value);
        self.request.amount.checked_sub(outputs.sum()).unwrap_or(Amount::ZERO)
    }

    /// The output of the parent that a child of ours may spend.
    fn anchor(&self) -> Option<Anchor> {
        let script = match rules(self.format).anchors {
            Anchors::None => return None,
            Anchors::OneForEachSide(_) => scripts::anchor(self.local_funding_pubkey),
            Anchors::Shared(_) => scripts::shared_anchor(),
        };
        let expected = script_pubkey(&script);
        let mut outputs = (0..).zip(&self.transaction.output);
        let (vout, output) = outputs.find(|(_, output)| output.script_pubkey == expected)?;
        let outpoint = OutPoint { txid: self.transaction.compute_txid(), vout };
        Some(Anchor { outpoint, output: output.clone(), script })
    }

    /// The child as heavy as it will be, without the coin's name and without an amount.
    fn draft(&self, anchor: &Anchor, destination: ScriptBuf) -> Transaction {
        let anchor = TxIn {
            previous_output: anchor.outpoint,
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: self.witness(anchor, &longest_signature()),
            ..TxIn::default()
        };
        Transaction {
            // A child of a version-3 transaction has version 3 too (BIP 431, rule 2).
            version: self.transaction.version,
            lock_time: LockTime::ZERO,
            input: Vec::from([coin_input(), anchor]),
            output: Vec::from([TxOut { value: Amount::ZERO, script_pubkey: destination }]),
        }
    }

    fn sign(
        &self,
        anchor: &Anchor,
        child: &mut Transaction,
        purse: &mut Purse<'_, '_>,
    ) -> Result<(), ClaimErrorKind> {
        if let Anchors::OneForEachSide(_) = rules(self.format).anchors {
            let request = SigningRequest {
                channel_id: self.request.channel_id,
                key: SigningKey::Funding,
                transaction: child,
                input: ANCHOR,
                amount: anchor.output.value,
                script: &anchor.script,
                sighash: EcdsaSighashType::All,
            };
            let signature = purse.wallet.signer.sign(&request).map_err(ClaimErrorKind::Signer)?;
            child.input[ANCHOR].witness = self.witness(anchor, &signature);
        }
        Ok(())
    }

    fn witness(&self, anchor: &Anchor, signature: &Signature) -> Witness {
        match rules(self.format).anchors {
            Anchors::OneForEachSide(_) => anchor_witness(signature, &anchor.script),
            Anchors::None | Anchors::Shared(_) => Witness::new(),
        }
    }
}

/// The output of the parent that the child spends.
struct Anchor {
    outpoint: OutPoint,
    output: TxOut,
    script: ScriptBuf,
}

/// The inputs of a child. The coin comes first: what it holds is what comes back, and what the anchor
/// holds is part of the fee.
const COIN: usize = 0;
const ANCHOR: usize = 1;
