//! Transactions that the peer has signed: our commitment and our HTLC transactions.

use alloc::sync::Arc;

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::transaction::Version;
use bitcoin::{Amount, EcdsaSighashType, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness};
use lastword_bolt3::{TRUC_PARENT_MAX_VSIZE, funding_witness, htlc_witness, rules};
use lastword_ports::Coin;
use lastword_types::{ClaimKind, ClaimRequest, CommitmentFormat, PaymentPreimage, SigningKey};

use crate::child::Parent;
use crate::error::ClaimErrorKind;
use crate::fee::{longest_coin_witness, longest_signature};
use crate::package::{Package, check_size, sign};
use crate::purse::Purse;
use crate::terms::Terms;

/// What a request says about our commitment.
pub(crate) struct Commitment<'a> {
    pub(crate) transaction: &'a Transaction,
    pub(crate) remote_signature: &'a Signature,
    pub(crate) remote_funding_pubkey: &'a PublicKey,
    pub(crate) local_funding_pubkey: &'a PublicKey,
    pub(crate) format: CommitmentFormat,
    pub(crate) at_stake: Amount,
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
                at_stake,
            } => Some(Self {
                transaction,
                remote_signature,
                remote_funding_pubkey,
                local_funding_pubkey,
                format: *format,
                at_stake: *at_stake,
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
        terms: &Terms,
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
        let parent = self.parent(request, &transaction);
        let paid = parent.fee();
        let (child, error) = match terms.afford(|terms| parent.child(terms, false, purse)) {
            Ok((child, error)) => (child, error),
            // Nobody relays what pays nothing.
            Err(error) if !rules(self.format).commitment_pays_fee => return Err(error),
            Err(error) => (None, Some(error)),
        };
        let weight = transaction.weight();
        let package = Package::alone(request.outpoint, transaction, paid, weight);
        let mut package = Package { fee: Amount::ZERO, ..package };
        if let Some(child) = child {
            package.give(child, paid);
        }
        Ok((package, error))
    }

    /// Returns the same commitment with a child that pays more, if that is asked for now, and what it
    /// had to do without.
    pub(crate) fn raise(
        &self,
        request: &ClaimRequest,
        package: &Package,
        terms: &Terms,
        purse: &mut Purse<'_, '_>,
    ) -> Result<(Option<Package>, Option<ClaimErrorKind>), ClaimErrorKind> {
        let parent = self.parent(request, &package.transaction);
        let has_child = package.child.is_some();
        let (child, error) = terms.afford(|terms| parent.child(terms, has_child, purse))?;
        let raised = child.map(|child| {
            let mut raised = package.clone();
            raised.give(child, parent.fee());
            raised
        });
        Ok((raised, error))
    }

    fn parent<'p>(&'p self, request: &'p ClaimRequest, transaction: &'p Transaction) -> Parent<'p> {
        let Self { format, local_funding_pubkey, at_stake, .. } = *self;
        Parent { request, transaction, format, local_funding_pubkey, at_stake }
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

    /// Signs the HTLC transaction, and gives it a fee where its format leaves that to us; returns also
    /// what it had to do without.
    pub(crate) fn build(
        &self,
        request: &ClaimRequest,
        terms: &Terms,
        purse: &mut Purse<'_, '_>,
    ) -> Result<(Package, Option<ClaimErrorKind>), ClaimErrorKind> {
        if self.pays_by_itself() {
            return self.as_it_is(request, purse).map(|package| (package, None));
        }
        if self.remote_sighash != EcdsaSighashType::SinglePlusAnyoneCanPay {
            return Err(ClaimErrorKind::Request("the peer's signature allows no further input"));
        }
        terms.afford(|terms| self.with_coins(request, terms, purse))
    }

    /// Says whether its fee was agreed with the peer, so that nothing can be added.
    pub(crate) fn pays_by_itself(&self) -> bool {
        rules(self.format).htlc_pays_fee
    }

    /// Signs the transaction without touching it: the peer's signature covers all of it (H-4).
    fn as_it_is(
        &self,
        request: &ClaimRequest,
        purse: &mut Purse<'_, '_>,
    ) -> Result<Package, ClaimErrorKind> {
        let mut transaction = self.transaction.clone();
        self.sign(request, &mut transaction, purse)?;
        let (fee, weight) = (self.paid(request), transaction.weight());
        Ok(Package::alone(request.outpoint, transaction, fee, weight))
    }

    /// Adds coins for the fee, and change where it is above dust (H-2).
    ///
    /// The peer's signature covers the input and the output at index 0 and no other (H-1), and the
    /// version. Where that is 3, the rules for children of unconfirmed transactions never apply: the
    /// commitment is confirmed before its HTLC outputs are claimed, and so are the coins.
    fn with_coins(
        &self,
        request: &ClaimRequest,
        terms: &Terms,
        purse: &mut Purse<'_, '_>,
    ) -> Result<Package, ClaimErrorKind> {
        // The HTLC brings its whole value to its output, and no fee may be as much.
        let budget = request.amount.checked_sub(Amount::ONE_SAT).unwrap_or(Amount::ZERO);
        let not_worth = |fee| ClaimErrorKind::NotWorthItsFee { amount: request.amount, fee };
        // What the HTLC transaction pays by itself is zero in this format, but it is not ours to say.
        let paid = self.paid(request);
        let coins = purse.gather(|count| {
            let fee = terms
                .fee(&self.draft(request, count), budget)
                .map_err(|fee| ClaimErrorKind::NotWorthItsFee { amount: request.amount, fee })?;
            Ok(fee.checked_sub(paid).unwrap_or(Amount::ZERO))
        })?;
        let mut transaction = self.draft(request, coins.len());
        for (input, coin) in transaction.input.iter_mut().skip(1).zip(&coins) {
            input.previous_output = coin.outpoint;
        }
        let funds = paid + coins.iter().map(|coin| coin.amount).sum::<Amount>();
        let change = Change { funds, budget, script_pubkey: purse.destination(terms) };
        let has_change = change.add(&mut transaction, terms).map_err(not_worth)?;
        if transaction.version == Version(3) {
            check_size(&transaction, TRUC_PARENT_MAX_VSIZE)?;
        }
        let weight = transaction.weight();
        self.sign(request, &mut transaction, purse)?;
        for (input, coin) in (1..).zip(&coins) {
            sign_coin(&mut transaction, input, coin, purse)?;
        }
        purse.reserve(coins.iter().map(|coin| coin.outpoint));
        if has_change {
            purse.use_destination(terms);
        }
        let change = transaction.output.get(1);
        let left = change.map_or(Amount::ZERO, |output| output.value);
        let destination = change.map(|output| output.script_pubkey.clone());
        let coins = coins.iter().map(|coin| coin.outpoint).collect();
        let package = Package::alone(request.outpoint, transaction, funds - left, weight);
        Ok(Package { coins, destination, ..package })
    }

    /// What the HTLC transaction pays by itself.
    fn paid(&self, request: &ClaimRequest) -> Amount {
        request.amount - self.transaction.output[0].value
    }

    /// The transaction as heavy as it will be, with inputs for coins that are not chosen yet.
    fn draft(&self, request: &ClaimRequest, coins: usize) -> Transaction {
        let mut transaction = self.transaction.clone();
        transaction.input[0].witness = self.witness(request, &longest_signature());
        transaction.input.extend((0..coins).map(|_| coin_input()));
        transaction
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

/// What may come back of the coins that pay a fee.
struct Change {
    /// What the coins bring in for the fee.
    funds: Amount,
    /// The most that the fee may be.
    budget: Amount,
    script_pubkey: ScriptBuf,
}

impl Change {
    /// Adds an output for what is left over after the fee, if that is above dust; otherwise it goes
    /// to the fee. Says whether it did, or what a transaction with change costs that cannot pay for
    /// the change.
    fn add(self, transaction: &mut Transaction, terms: &Terms) -> Result<bool, Amount> {
        let dust = self.script_pubkey.minimal_non_dust().max(Amount::ONE_SAT);
        let output = TxOut { value: Amount::ZERO, script_pubkey: self.script_pubkey };
        transaction.output.push(output);
        let left = match terms.fee(transaction, self.budget) {
            Ok(fee) => self.funds.checked_sub(fee),
            // Everything that the coins hold would go to the fee.
            Err(fee) if self.funds >= self.budget + dust => return Err(fee),
            Err(_) => None,
        };
        match left {
            Some(left) if left >= dust => {
                transaction.output[1].value = left;
                Ok(true)
            }
            Some(_) | None => {
                transaction.output.truncate(1);
                Ok(false)
            }
        }
    }
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
