//! A peer that broadcasts what it has revoked, and what it can do with it.

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid,
    Witness,
};
use lastword_bolt3::{
    CommitmentTx, HtlcTx, OutputKind, htlc_witness, remote_htlc_sighash, script_pubkey,
};
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{CommitmentFormat, SigningKey};

use crate::channel::{CHANNEL, Channel, Name, Node, PEER, US, seen};

/// Every format.
pub(crate) const FORMATS: [CommitmentFormat; 3] = [
    CommitmentFormat::StaticRemoteKey,
    CommitmentFormat::AnchorsZeroFeeHtlc,
    CommitmentFormat::ZeroFee,
];

/// Says whether the peer may add inputs and outputs to its HTLC transactions.
pub(crate) fn may_aggregate(format: CommitmentFormat) -> bool {
    remote_htlc_sighash(format) == EcdsaSighashType::SinglePlusAnyoneCanPay
}

/// Where inputs and outputs of somebody else stand in an HTLC transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Foreign {
    /// Nowhere: the transaction is as both sides signed it.
    None,
    /// Before those of the HTLCs.
    Before,
    /// After them.
    After,
}

impl Channel {
    /// The output of an HTLC in one of the peer's commitments.
    pub(crate) fn peers_output(&self, number: usize, name: Name) -> Option<OutPoint> {
        let built = self.built(PEER, number);
        let vout = vout_of(&built, name)?;
        Some(OutPoint { txid: built.txid(), vout })
    }

    /// The peer's HTLC transaction for HTLCs of one of its commitments, signed by both sides.
    ///
    /// More than one HTLC, or anything foreign, needs a format that lets the peer add to what we
    /// signed, and all of them the same lock time.
    pub(crate) fn steal(&mut self, number: usize, names: &[Name], foreign: Foreign) -> Transaction {
        let built = self.built(PEER, number);
        let parts: Vec<_> = names
            .iter()
            .map(|name| built.htlc_transaction(vout_of(&built, *name).unwrap()).unwrap())
            .collect();
        let mut transaction = parts[0].transaction.clone();
        transaction.input = parts.iter().map(|part| part.transaction.input[0].clone()).collect();
        transaction.output = parts.iter().map(|part| part.transaction.output[0].clone()).collect();
        let at = match foreign {
            Foreign::None => 0,
            Foreign::Before => {
                transaction.input.insert(0, foreign_input());
                transaction.output.insert(0, foreign_output());
                1
            }
            Foreign::After => {
                transaction.input.push(foreign_input());
                transaction.output.push(foreign_output());
                0
            }
        };
        for (index, (part, name)) in parts.iter().zip(names).enumerate() {
            assert_eq!(part.transaction.lock_time, transaction.lock_time);
            let sighash = remote_htlc_sighash(built.format());
            let per_commitment_point = built.keys.per_commitment_point;
            let alone = &part.transaction;
            let ours = Asked { per_commitment_point, transaction: alone, input: 0, sighash, part };
            let ours = self.signature(US, &ours);
            let (input, all) = (at + index, EcdsaSighashType::All);
            let whole = &transaction;
            let theirs =
                Asked { per_commitment_point, transaction: whole, input, sighash: all, part };
            let theirs = self.signature(PEER, &theirs);
            let preimage = part.is_success.then(|| self.offers[name].preimage);
            let witness = htlc_witness(&ours, sighash, &theirs, preimage, &part.script);
            transaction.input[at + index].witness = witness;
        }
        for (index, part) in parts.iter().enumerate() {
            accepts(&transaction, at + index, &script_pubkey(&part.script), part.amount);
        }
        transaction
    }

    fn signature(&mut self, node: Node, asked: &Asked<'_>) -> Signature {
        let Asked { per_commitment_point, transaction, input, sighash, part } = *asked;
        let request = SigningRequest {
            channel_id: CHANNEL,
            key: SigningKey::Htlc { per_commitment_point },
            transaction,
            input,
            amount: part.amount,
            script: &part.script,
            sighash,
        };
        self.nodes[node].signer.sign(&request).unwrap()
    }
}

/// A signature on one input of an HTLC transaction.
struct Asked<'a> {
    per_commitment_point: PublicKey,
    transaction: &'a Transaction,
    input: usize,
    sighash: EcdsaSighashType,
    part: &'a HtlcTx,
}

/// Proves by Bitcoin Core's interpreter that an input opens an output.
pub(crate) fn accepts(
    transaction: &Transaction,
    input: usize,
    script_pubkey: &ScriptBuf,
    amount: Amount,
) {
    bitcoinconsensus::verify_with_flags(
        script_pubkey.as_bytes(),
        amount.to_sat(),
        &serialize(transaction),
        None,
        input,
        bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT,
    )
    .expect("consensus accepts it");
}

fn vout_of(built: &CommitmentTx, name: Name) -> Option<u32> {
    let wanted = seen(US, name);
    let is_it = |kind: OutputKind| match kind {
        OutputKind::Htlc { direction, htlc_id, .. } => (direction, htlc_id) == wanted,
        OutputKind::ToLocal
        | OutputKind::ToRemote
        | OutputKind::Anchor(_)
        | OutputKind::SharedAnchor => false,
    };
    let vout = built.outputs.iter().position(|output| is_it(output.kind))?;
    Some(u32::try_from(vout).unwrap())
}

fn foreign_input() -> TxIn {
    TxIn {
        previous_output: OutPoint { txid: Txid::from_byte_array([0xf0; 32]), vout: 3 },
        script_sig: ScriptBuf::new(),
        sequence: Sequence::MAX,
        witness: Witness::from_slice(&[[1u8; 71].as_slice(), &[2; 33]]),
    }
}

fn foreign_output() -> TxOut {
    TxOut { value: Amount::from_sat(77_000), script_pubkey: ScriptBuf::from_bytes(vec![0x51]) }
}
