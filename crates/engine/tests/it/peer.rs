//! What the peer puts on chain: its commitment, and claims of the HTLCs that we offered.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut};
use bitcoin::{Txid, Witness};
use lastword_bolt3::{
    CommitmentTx, OutputKind, funding_script, funding_witness, htlc_preimage_witness, htlc_witness,
    remote_htlc_sighash, rules, sign_commitment,
};
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{HtlcId, PaymentPreimage, Side, SigningKey};

use crate::channel::{Channel, Held};

/// What the peer pays for a claim.
const FEE: Amount = Amount::from_sat(1_500);

impl Channel {
    /// Returns the peer's newest commitment, signed by both.
    pub(crate) fn peers_commitment(&mut self) -> Transaction {
        let held = self.remote.last().unwrap().clone();
        self.peers_commitment_of(&held)
    }

    /// Returns one of the peer's commitments, signed by both.
    pub(crate) fn peers_commitment_of(&mut self, held: &Held) -> Transaction {
        let seen_by_us = self.build(Side::Remote, held);
        let (our_signature, _) =
            sign_commitment(&mut self.our_signer, &self.ours, &seen_by_us).unwrap();
        let mut transaction = seen_by_us.transaction;
        let (ours, theirs) = (self.ours.local.funding_pubkey, self.ours.remote.funding_pubkey);
        let script = funding_script(&ours, &theirs);
        let signature = self
            .peers_signer
            .sign(&SigningRequest {
                channel_id: self.id,
                key: SigningKey::Funding,
                transaction: &transaction,
                input: 0,
                amount: self.ours.funding_amount,
                script: &script,
                sighash: EcdsaSighashType::All,
            })
            .unwrap();
        transaction.input[0].witness =
            funding_witness(&script, &signature, &theirs, &our_signature, &ours);
        transaction
    }

    /// Returns a spend of the funding output that is no commitment, signed by both.
    pub(crate) fn unknown_spend(&mut self) -> Transaction {
        let mut transaction = spend(
            self.ours.funding_outpoint,
            Sequence::MAX,
            self.ours.funding_amount - FEE,
            ScriptBuf::new_op_return([7; 4]),
        );
        let (ours, theirs) = (self.ours.local.funding_pubkey, self.ours.remote.funding_pubkey);
        let script = funding_script(&ours, &theirs);
        let request = SigningRequest {
            channel_id: self.id,
            key: SigningKey::Funding,
            transaction: &transaction,
            input: 0,
            amount: self.ours.funding_amount,
            script: &script,
            sighash: EcdsaSighashType::All,
        };
        let signatures =
            [self.our_signer.sign(&request).unwrap(), self.peers_signer.sign(&request).unwrap()];
        let witness = funding_witness(&script, &signatures[0], &ours, &signatures[1], &theirs);
        transaction.input[0].witness = witness;
        transaction
    }

    /// Returns the commitment of either side that a txid names.
    fn confirmed(&self, txid: Txid) -> Option<(Side, Held)> {
        let all = self.local.iter().map(|held| (Side::Local, held));
        let mut all = all.chain(self.remote.iter().map(|held| (Side::Remote, held)));
        all.find(|(owner, held)| self.build(*owner, held).txid() == txid)
            .map(|(owner, held)| (owner, held.clone()))
    }

    /// Returns the output of an HTLC of ours in a confirmed commitment.
    pub(crate) fn htlc_output(&self, commitment: Txid, htlc_id: HtlcId) -> OutPoint {
        let (owner, held) = self.confirmed(commitment).expect("a commitment of this channel");
        outpoint_of(&self.build(owner, &held), htlc_id)
    }

    /// Returns the peer's claim of an HTLC of ours with its preimage, from whosever commitment.
    pub(crate) fn peers_claim(
        &mut self,
        commitment: Txid,
        htlc_id: HtlcId,
        preimage: PaymentPreimage,
    ) -> Transaction {
        let (owner, held) = self.confirmed(commitment).expect("a commitment of this channel");
        let built = self.build_for_peer(owner, &held);
        let outpoint = outpoint_of(&built, htlc_id);
        match owner {
            Side::Local => self.direct_claim(&built, outpoint, preimage),
            Side::Remote => self.success_claim(&held, &built, outpoint, preimage),
        }
    }

    /// The peer's claim on our commitment.
    fn direct_claim(
        &mut self,
        built: &CommitmentTx,
        outpoint: OutPoint,
        preimage: PaymentPreimage,
    ) -> Transaction {
        let output = &built.outputs[usize::try_from(outpoint.vout).unwrap()];
        let sequence = Sequence::from_height(rules(self.ours.format).csv_blocks);
        let mut transaction = spend(outpoint, sequence, output.amount - FEE, anybody());
        let per_commitment_point = built.keys.per_commitment_point;
        let request = SigningRequest {
            channel_id: self.id,
            key: SigningKey::Htlc { per_commitment_point },
            transaction: &transaction,
            input: 0,
            amount: output.amount,
            script: &output.script,
            sighash: EcdsaSighashType::All,
        };
        let signature = self.peers_signer.sign(&request).unwrap();
        transaction.input[0].witness = htlc_preimage_witness(&signature, &preimage, &output.script);
        transaction
    }

    /// The peer's HTLC-success transaction on its own commitment.
    fn success_claim(
        &mut self,
        held: &Held,
        built: &CommitmentTx,
        outpoint: OutPoint,
        preimage: PaymentPreimage,
    ) -> Transaction {
        let seen_by_us = self.build(Side::Remote, held);
        let (_, our_signatures) =
            sign_commitment(&mut self.our_signer, &self.ours, &seen_by_us).unwrap();
        let at = built.htlc_vouts().position(|vout| vout == outpoint.vout).unwrap();
        let second = built.htlc_transaction(outpoint.vout).unwrap();
        let mut transaction = second.transaction;
        let per_commitment_point = built.keys.per_commitment_point;
        let request = SigningRequest {
            channel_id: self.id,
            key: SigningKey::Htlc { per_commitment_point },
            transaction: &transaction,
            input: 0,
            amount: second.amount,
            script: &second.script,
            sighash: EcdsaSighashType::All,
        };
        let signature = self.peers_signer.sign(&request).unwrap();
        transaction.input[0].witness = htlc_witness(
            &our_signatures[at],
            remote_htlc_sighash(self.ours.format),
            &signature,
            Some(preimage),
            &second.script,
        );
        transaction
    }
}

fn outpoint_of(built: &CommitmentTx, wanted: HtlcId) -> OutPoint {
    let found = built.outputs.iter().position(|output| match output.kind {
        OutputKind::Htlc { htlc_id, .. } => htlc_id == wanted,
        OutputKind::ToLocal
        | OutputKind::ToRemote
        | OutputKind::Anchor(_)
        | OutputKind::SharedAnchor => false,
    });
    let vout = u32::try_from(found.expect("the HTLC has an output")).unwrap();
    OutPoint { txid: built.txid(), vout }
}

/// A script that anybody may spend: what the tests do not look at any further goes there.
pub(crate) fn anybody() -> ScriptBuf {
    anybodys_script().to_p2wsh()
}

pub(crate) fn anybodys_script() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

fn spend(from: OutPoint, sequence: Sequence, value: Amount, to: ScriptBuf) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: from,
            script_sig: ScriptBuf::new(),
            sequence,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value, script_pubkey: to }],
    }
}
