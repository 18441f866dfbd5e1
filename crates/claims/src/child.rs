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
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Weight,
    Witness,
};
use lastword_bolt3::{
    Anchors, TRUC_CHILD_MAX_VSIZE, anchor_witness, rules, script_pubkey, scripts,
};
use lastword_ports::{Coin, SigningRequest};
use lastword_types::{ClaimRequest, CommitmentFormat, SigningKey};

use crate::error::ClaimErrorKind;
use crate::fee::{fee_of, longest_signature};
use crate::package::check_size;
use crate::presigned::{coin_input, sign_coin};
use crate::purse::Purse;
use crate::terms::Terms;

/// A child and what it pays.
#[derive(Debug, Clone)]
pub(crate) struct Child {
    pub(crate) transaction: Transaction,
    pub(crate) fee: Amount,
    /// What it weighs with signatures as long as they can be.
    pub(crate) weight: Weight,
    /// The coins that pay it.
    pub(crate) coins: Vec<Coin>,
}

/// Our commitment, signed, for which a child may have to pay.
pub(crate) struct Parent<'a> {
    pub(crate) request: &'a ClaimRequest,
    pub(crate) transaction: &'a Transaction,
    pub(crate) format: CommitmentFormat,
    pub(crate) local_funding_pubkey: &'a PublicKey,
    pub(crate) at_stake: Amount,
}

impl Parent<'_> {
    /// Builds the child that brings parent and child to the rate that is wanted, if the parent does
    /// not reach it alone and has an output for that. In place of another only if it may replace that.
    ///
    /// A child that replaces another has to pay for its own relay on top of what that paid, one
    /// satoshi for each virtual byte (BIP 125, rule 4); so it is not replaced at every twitch of the
    /// rate.
    pub(crate) fn child(
        &self,
        terms: &Terms,
        has_child: bool,
        purse: &mut Purse<'_, '_>,
    ) -> Result<Option<Child>, ClaimErrorKind> {
        let Some(anchor) = self.anchor() else { return Ok(None) };
        if self.fee() >= fee_of(self.transaction, terms.wanted) {
            return Ok(None);
        }
        let destination = purse.destination(terms);
        let first = self.draft(&anchor, &destination, 1);
        if has_child && self.child_fee(&first, terms) < terms.least(&first) {
            return Ok(None);
        }
        let dust = first.output[0].script_pubkey.minimal_non_dust();
        let fee = |child: &Transaction| self.child_fee(child, terms).max(terms.least(child));
        let coins = purse.gather(|count| {
            let fee = fee(&self.draft(&anchor, &destination, count));
            Ok((fee + dust).checked_sub(anchor.output.value).unwrap_or(Amount::ZERO))
        })?;
        let mut child = self.draft(&anchor, &destination, coins.len());
        if self.transaction.version == Version(3) {
            check_size(&child, TRUC_CHILD_MAX_VSIZE)?;
        }
        let (fee, weight) = (fee(&child), child.weight());
        for (place, coin) in places().zip(&coins) {
            child.input[place].previous_output = coin.outpoint;
        }
        let funds: Amount = coins.iter().map(|coin| coin.amount).sum();
        child.output[0].value = funds + anchor.output.value - fee;
        self.sign(&anchor, &mut child, purse)?;
        for (place, coin) in places().zip(&coins) {
            sign_coin(&mut child, place, coin, purse)?;
        }
        purse.reserve(coins.iter().map(|coin| coin.outpoint));
        purse.use_destination(terms);
        Ok(Some(Child { transaction: child, fee, weight, coins }))
    }

    /// What a child pays so that both reach the rate that is wanted: beyond the rate of now no more
    /// than what is at stake.
    fn child_fee(&self, child: &Transaction, terms: &Terms) -> Amount {
        let [asked, wanted] = [terms.asked, terms.wanted].map(|rate| {
            let both = fee_of(self.transaction, rate) + fee_of(child, rate);
            both.checked_sub(self.fee()).unwrap_or(Amount::ZERO)
        });
        wanted.min(asked.max(self.at_stake))
    }

    /// What the parent pays by itself.
    pub(crate) fn fee(&self) -> Amount {
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

    /// The child as heavy as it will be, without the coins' names and without an amount.
    fn draft(&self, anchor: &Anchor, destination: &ScriptBuf, coins: usize) -> Transaction {
        let anchor = TxIn {
            previous_output: anchor.outpoint,
            sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
            witness: self.witness(anchor, &longest_signature()),
            ..TxIn::default()
        };
        let mut input = Vec::from([coin_input(), anchor]);
        input.extend((1..coins).map(|_| coin_input()));
        Transaction {
            // A child of a version-3 transaction has version 3 too (BIP 431, rule 2).
            version: self.transaction.version,
            lock_time: LockTime::ZERO,
            input,
            output: Vec::from([TxOut { value: Amount::ZERO, script_pubkey: destination.clone() }]),
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

/// The input of a child that spends the anchor. A coin comes first: what it holds is what comes back,
/// and what the anchor holds is part of the fee.
const ANCHOR: usize = 1;

/// The inputs of a child that spend coins.
fn places() -> impl Iterator<Item = usize> {
    core::iter::once(0).chain(ANCHOR + 1..)
}
