//! What the peer does on chain once a channel is closed.
//!
//! Nothing is remembered: each time it looks at the best chain and its mempool and submits what its
//! script and the locks allow, so a reorg needs no special care.

use bitcoin::absolute::LockTime;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Txid};
use lastword_bolt3::{
    CommitmentOutput, CommitmentTx, HtlcTx, OutputKind, delayed_witness, htlc_preimage_witness,
    htlc_timeout_witness, htlc_witness, payment_key_hash_witness, payment_key_witness,
    remote_htlc_sighash, rules, scripts,
};
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{
    BlockHeight, CommitmentFormat, Htlc, HtlcDirection, HtlcId, PaymentPreimage, SigningKey,
};

use super::{Fate, Held, OwnCommitment, Peer, unknown};
use crate::error::{SimError, Trying as _};
use crate::seed::{Wallet, WalletKey};
use crate::world::World;
use crate::world::bank::{Bank, sign_p2wpkh, spend};
use crate::world::index::ChainIndex;

/// What the peer pays for a transaction of its own.
const CLAIM_FEE: Amount = Amount::from_sat(1_500);

/// Where the peer acts.
pub(crate) struct Place<'a> {
    pub(crate) world: &'a mut dyn World,
    pub(crate) index: &'a ChainIndex,
    pub(crate) bank: &'a Bank,
}

/// An output that the peer may spend, and how.
struct Claim {
    outpoint: OutPoint,
    amount: Amount,
    script: ScriptBuf,
    key: SigningKey,
    /// Blocks between the output and its spend.
    csv_blocks: u16,
    /// The lowest height of a block that may hold the spend.
    lock_time: u32,
    how: How,
}

/// Which witness opens an output.
enum How {
    Delayed,
    PaymentKeyHash,
    PaymentKey,
    Preimage(PaymentPreimage),
    Timeout,
}

impl Peer {
    /// Submits everything that the peer wants on chain now and that the chain would take.
    pub(crate) fn act(&mut self, place: &mut Place<'_>) -> Result<(), SimError> {
        let channels: Vec<u16> = self.channels.keys().copied().collect();
        for index in channels {
            let Some(spend) = self.channel(index)?.closed(place.index) else { continue };
            let txid = spend.transaction.compute_txid();
            if let Some((commitment, own)) = self.own_commitment(index, txid)? {
                self.act_on_own(index, &commitment, &own, place)?;
            } else if let Some(theirs) = self.their_commitment(index, txid)? {
                self.act_on_theirs(index, &theirs, place)?;
            }
        }
        Ok(())
    }

    /// Builds another transaction for a claim of an offered HTLC on the node's commitment than the
    /// one that is in the chain or mempool: the same output, another fee.
    pub(crate) fn other_claim(
        &mut self,
        outpoint: OutPoint,
        index: &ChainIndex,
    ) -> Result<Option<Transaction>, SimError> {
        let channels: Vec<u16> = self.channels.keys().copied().collect();
        for channel in channels {
            let Some(theirs) = self.their_commitment(channel, outpoint.txid)? else {
                continue;
            };
            let vout = usize::try_from(outpoint.vout).trying("count outputs")?;
            let output = theirs.commitment.outputs.get(vout).ok_or(unknown())?;
            let tip = BlockHeight(index.height());
            let Some(claim) = self.claim_on_theirs(channel, &theirs, (outpoint, output), tip)?
            else {
                continue;
            };
            return self.build_claim(channel, &claim).map(Some);
        }
        Ok(None)
    }

    /// Offers a commitment of the peer, with a child where it pays nothing by itself.
    pub(crate) fn close_with(
        &mut self,
        commitment: Transaction,
        place: &mut Place<'_>,
    ) -> Result<(), SimError> {
        let anchor = scripts::shared_anchor();
        let mut outputs = (0..).zip(&commitment.output);
        let Some((vout, _)) = outputs.find(|(_, output)| output.script_pubkey == anchor) else {
            return place.world.broadcast(&commitment).trying("submit a commitment of the peer");
        };
        let wallet = place.bank.wallet(Wallet::Peer);
        let coins = place.bank.coins(Wallet::Peer, &mut *place.world, place.index)?;
        let (coin, amount) =
            *coins.first().ok_or(SimError::new("the peer has no coin left for a fee"))?;
        let value = amount
            .checked_sub(self.fee())
            .ok_or(SimError::new("a coin is worth less than a fee"))?;
        let output = TxOut { value, script_pubkey: wallet.script.clone() };
        let anchor = OutPoint { txid: commitment.compute_txid(), vout };
        // The coin first: the anchor is then what the fee is made of.
        let mut child = spend(&[coin, anchor], vec![output]);
        child.version = commitment.version;
        sign_p2wpkh(&mut child, 0, wallet, amount)?;
        let package = [commitment, child];
        place.world.broadcast_package(&package).trying("submit a commitment and its child")
    }

    pub(super) fn own_commitment(
        &self,
        index: u16,
        txid: Txid,
    ) -> Result<Option<(CommitmentTx, OwnCommitment)>, SimError> {
        let channel = self.channel(index)?;
        // Newest first: it is nearly always one of the last two.
        for own in channel.all_own() {
            if own.held.built.txid() == txid {
                return Ok(Some((own.held.built.clone(), own.clone())));
            }
        }
        Ok(None)
    }

    pub(super) fn their_commitment(
        &self,
        index: u16,
        txid: Txid,
    ) -> Result<Option<Theirs>, SimError> {
        let channel = self.channel(index)?;
        for held in channel.all_theirs() {
            if held.built.txid() == txid {
                let commitment = held.built.clone();
                return Ok(Some(Theirs { commitment, held: held.clone() }));
            }
        }
        Ok(None)
    }

    /// The peer's own commitment is in the chain: second-stage transactions, then delayed sweeps.
    fn act_on_own(
        &mut self,
        index: u16,
        commitment: &CommitmentTx,
        own: &OwnCommitment,
        place: &mut Place<'_>,
    ) -> Result<(), SimError> {
        let delay = self.channel(index)?.parameters.local.to_self_delay.0;
        let point = commitment.keys.per_commitment_point;
        let delayed = |outpoint, amount, script| Claim {
            outpoint,
            amount,
            script,
            key: SigningKey::DelayedPayment { per_commitment_point: point },
            csv_blocks: delay,
            lock_time: 0,
            how: How::Delayed,
        };
        for (outpoint, output) in outputs(commitment) {
            match output.kind {
                OutputKind::ToLocal => {
                    let claim = delayed(outpoint, output.amount, output.script.clone());
                    self.sweep(index, &claim, place)?;
                }
                OutputKind::ToRemote | OutputKind::Anchor(_) | OutputKind::SharedAnchor => {}
                OutputKind::Htlc { direction, htlc_id, signature_index } => {
                    let htlc = find(&own.held, direction, htlc_id)?;
                    let second = commitment
                        .htlc_transaction(outpoint.vout)
                        .trying("build an HTLC transaction")?;
                    if let Some(spend) = place.index.spend(outpoint) {
                        let at = OutPoint { txid: spend.transaction.compute_txid(), vout: 0 };
                        let is_ours = spend.transaction.output.first().is_some_and(|output| {
                            output.script_pubkey == second.output_script.to_p2wsh()
                        });
                        if is_ours {
                            let amount = spend.transaction.output[0].value;
                            let claim = delayed(at, amount, second.output_script.clone());
                            self.sweep(index, &claim, place)?;
                        }
                    } else if place.world.is_unspent(outpoint)? {
                        let signature = own.htlc_signatures.get(signature_index).ok_or(unknown())?;
                        let stage = Stage { htlc: &htlc, second, signature, point };
                        self.second_stage(index, stage, place)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Submits HTLC-success or HTLC-timeout if the script and the locks allow it.
    fn second_stage(
        &mut self,
        index: u16,
        stage: Stage<'_>,
        place: &mut Place<'_>,
    ) -> Result<(), SimError> {
        let Stage { htlc, second, signature, point } = stage;
        let next = place.index.height() + 1;
        let preimage = match htlc.direction {
            HtlcDirection::Received => {
                let Some(preimage) = self.willing(index, htlc, BlockHeight(next - 1)) else {
                    return Ok(());
                };
                Some(preimage)
            }
            HtlcDirection::Offered if htlc.cltv_expiry.0 < next => None,
            HtlcDirection::Offered => return Ok(()),
        };
        let mut transaction = second.transaction;
        let format = self.channel(index)?.parameters.format;
        if !rules(format).htlc_pays_fee {
            let wallet = place.bank.wallet(Wallet::Peer);
            let coins = place.bank.coins(Wallet::Peer, &mut *place.world, place.index)?;
            let Some((coin, amount)) = coins.first().copied() else {
                return Err(SimError::new("the peer has no coin left for a fee"));
            };
            add_fee(&mut transaction, wallet, coin, amount, self.fee())?;
        }
        let channel_id = self.channel(index)?.parameters.channel_id;
        let local_signature = self
            .signer
            .sign(&SigningRequest {
                channel_id,
                key: SigningKey::Htlc { per_commitment_point: point },
                transaction: &transaction,
                input: 0,
                amount: second.amount,
                script: &second.script,
                sighash: EcdsaSighashType::All,
            })
            .trying("sign an HTLC transaction")?;
        transaction.input[0].witness = htlc_witness(
            signature,
            remote_htlc_sighash(format),
            &local_signature,
            preimage,
            &second.script,
        );
        self.shown.extend(preimage.map(|preimage| preimage.payment_hash()));
        place.world.broadcast(&transaction).trying("submit an HTLC transaction of the peer")
    }

    /// The node's commitment is in the chain: direct claims.
    fn act_on_theirs(
        &mut self,
        index: u16,
        theirs: &Theirs,
        place: &mut Place<'_>,
    ) -> Result<(), SimError> {
        let tip = BlockHeight(place.index.height());
        for at in outputs(&theirs.commitment) {
            if let Some(claim) = self.claim_on_theirs(index, theirs, at, tip)? {
                self.sweep(index, &claim, place)?;
            }
        }
        Ok(())
    }

    fn claim_on_theirs(
        &self,
        index: u16,
        Theirs { commitment, held }: &Theirs,
        (outpoint, output): (OutPoint, &CommitmentOutput),
        tip: BlockHeight,
    ) -> Result<Option<Claim>, SimError> {
        let format = self.channel(index)?.parameters.format;
        let csv_blocks = rules(format).csv_blocks;
        let point = commitment.keys.per_commitment_point;
        let claim = |key, lock_time, how| Claim {
            outpoint,
            amount: output.amount,
            script: output.script.clone(),
            key,
            csv_blocks,
            lock_time,
            how,
        };
        let htlc_key = SigningKey::Htlc { per_commitment_point: point };
        Ok(match output.kind {
            OutputKind::ToLocal | OutputKind::Anchor(_) | OutputKind::SharedAnchor => None,
            OutputKind::ToRemote => {
                let how = match format {
                    CommitmentFormat::StaticRemoteKey | CommitmentFormat::ZeroFee => {
                        How::PaymentKeyHash
                    }
                    CommitmentFormat::AnchorsZeroFeeHtlc => How::PaymentKey,
                };
                Some(claim(SigningKey::Payment, 0, how))
            }
            OutputKind::Htlc { direction, htlc_id, .. } => {
                let htlc = find(held, direction, htlc_id)?;
                match direction {
                    HtlcDirection::Received => self
                        .willing(index, &htlc, tip)
                        .map(|preimage| claim(htlc_key, 0, How::Preimage(preimage))),
                    HtlcDirection::Offered => {
                        Some(claim(htlc_key, htlc.cltv_expiry.0, How::Timeout))
                    }
                }
            }
        })
    }

    /// Returns the preimage if the script lets the peer claim an HTLC of the node now.
    fn willing(&self, index: u16, htlc: &Htlc, tip: BlockHeight) -> Option<PaymentPreimage> {
        match self.fates.get(&(index, htlc.payment_hash))? {
            Fate::ClaimOnChain { from } if *from <= tip => {
                self.preimages.get(&htlc.payment_hash).copied()
            }
            Fate::ClaimOnChain { .. }
            | Fate::FulfillByMessage
            | Fate::FailByMessage { .. }
            | Fate::Ignore => None,
        }
    }

    /// Submits a claim if its output is there and the next block may hold it.
    fn sweep(&mut self, index: u16, claim: &Claim, place: &mut Place<'_>) -> Result<(), SimError> {
        let next = place.index.height() + 1;
        let Some(created) = place.index.created_at(claim.outpoint) else { return Ok(()) };
        let is_mature = claim.lock_time < next && created + u32::from(claim.csv_blocks) <= next;
        if !is_mature || !place.world.is_unspent(claim.outpoint)? {
            return Ok(());
        }
        let transaction = self.build_claim(index, claim)?;
        if let How::Preimage(preimage) = &claim.how {
            self.shown.insert(preimage.payment_hash());
        }
        place.world.broadcast(&transaction).trying("submit a claim of the peer")
    }

    fn build_claim(&mut self, index: u16, claim: &Claim) -> Result<Transaction, SimError> {
        let value = claim
            .amount
            .checked_sub(self.fee())
            .ok_or(SimError::new("an output is worth less than the fee of its claim"))?;
        let output = TxOut { value, script_pubkey: self.destination() };
        let mut transaction = spend(&[claim.outpoint], vec![output]);
        transaction.lock_time = LockTime::from_consensus(claim.lock_time);
        if claim.csv_blocks > 0 {
            transaction.input[0].sequence = Sequence::from_height(claim.csv_blocks);
        }
        let channel = self.channel(index)?;
        let payment_key = channel.parameters.local.payment_basepoint;
        let signature = self
            .signer
            .sign(&SigningRequest {
                channel_id: self.seed.channel_id(index),
                key: claim.key,
                transaction: &transaction,
                input: 0,
                amount: claim.amount,
                script: &claim.script,
                sighash: EcdsaSighashType::All,
            })
            .trying("sign a claim")?;
        transaction.input[0].witness = match &claim.how {
            How::Delayed => delayed_witness(&signature, &claim.script),
            How::PaymentKeyHash => payment_key_hash_witness(&signature, &payment_key),
            How::PaymentKey => payment_key_witness(&signature, &claim.script),
            How::Preimage(preimage) => htlc_preimage_witness(&signature, preimage, &claim.script),
            How::Timeout => htlc_timeout_witness(&signature, &claim.script),
        };
        Ok(transaction)
    }

    fn fee(&self) -> Amount {
        CLAIM_FEE + Amount::from_sat(500 * self.fee_bump)
    }
}

/// A commitment of the node, from the peer's view.
pub(super) struct Theirs {
    pub(super) commitment: CommitmentTx,
    pub(super) held: Held,
}

/// An HTLC output of the peer's own commitment, and its HTLC transaction.
struct Stage<'a> {
    htlc: &'a Htlc,
    second: HtlcTx,
    signature: &'a bitcoin::secp256k1::ecdsa::Signature,
    point: bitcoin::secp256k1::PublicKey,
}

pub(super) fn outputs(
    commitment: &CommitmentTx,
) -> impl Iterator<Item = (OutPoint, &CommitmentOutput)> {
    let txid = commitment.txid();
    commitment.outputs.iter().zip(0..).map(move |(output, vout)| (OutPoint { txid, vout }, output))
}

fn find(held: &Held, direction: HtlcDirection, htlc_id: HtlcId) -> Result<Htlc, SimError> {
    held.htlcs
        .iter()
        .find(|htlc| htlc.direction == direction && htlc.htlc_id == htlc_id)
        .cloned()
        .ok_or(unknown())
}

/// Adds a wallet input for the fee, and its change.
fn add_fee(
    transaction: &mut Transaction,
    wallet: &WalletKey,
    coin: OutPoint,
    amount: Amount,
    fee: Amount,
) -> Result<(), SimError> {
    let input = spend(&[coin], Vec::new()).input;
    transaction.input.extend(input);
    let change = amount.checked_sub(fee).ok_or(SimError::new("a coin is worth less than a fee"))?;
    let script_pubkey: ScriptBuf = wallet.script.clone();
    transaction.output.push(TxOut { value: change, script_pubkey });
    sign_p2wpkh(transaction, 1, wallet, amount)
}
