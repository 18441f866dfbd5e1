//! Signed transactions from claim requests, and proof that consensus accepts them.

use bitcoin::absolute::LockTime;
use bitcoin::consensus::serialize;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};
use lastword_bolt3::{
    anchor_witness, delayed_witness, funding_witness, htlc_preimage_witness,
    htlc_revocation_witness, htlc_timeout_witness, htlc_witness, payment_key_hash_witness,
    payment_key_witness, revocation_witness, script_pubkey,
};
use lastword_ports::{ChannelSigner as _, SigningRequest};
use lastword_types::{ClaimKind, ClaimRequest, SigningKey, SweepWitness};

use crate::channel::{CHANNEL, Channel, Node};

impl Channel {
    /// The request of a node for an output.
    pub(crate) fn request(&self, node: Node, outpoint: OutPoint) -> Option<ClaimRequest> {
        let requests = self.nodes[node].monitor.claim_requests();
        requests.into_iter().find(|request| request.outpoint == outpoint)
    }

    /// Answers a request with a transaction that consensus accepts once its locks allow it.
    pub(crate) fn answer(&mut self, node: Node, request: &ClaimRequest) -> Transaction {
        let (mut transaction, key) = draft(request);
        let signature = self.nodes[node]
            .signer
            .sign(&SigningRequest {
                channel_id: CHANNEL,
                key,
                transaction: &transaction,
                input: 0,
                amount: request.amount,
                script: &request.script,
                sighash: EcdsaSighashType::All,
            })
            .unwrap();
        let script = &request.script;
        transaction.input[0].witness = match &request.kind {
            ClaimKind::Commitment {
                remote_signature,
                remote_funding_pubkey,
                local_funding_pubkey,
                ..
            } => funding_witness(
                script,
                &signature,
                local_funding_pubkey,
                remote_signature,
                remote_funding_pubkey,
            ),
            ClaimKind::SecondStage { remote_signature, remote_sighash, preimage, .. } => {
                htlc_witness(remote_signature, *remote_sighash, &signature, *preimage, script)
            }
            ClaimKind::Sweep { witness, .. } => match witness {
                SweepWitness::Delayed { .. } => delayed_witness(&signature, script),
                SweepWitness::PaymentKeyHash { payment_basepoint } => {
                    payment_key_hash_witness(&signature, payment_basepoint)
                }
                SweepWitness::PaymentKey => payment_key_witness(&signature, script),
                SweepWitness::Anchor => anchor_witness(&signature, script),
                SweepWitness::HtlcPreimage { preimage, .. } => {
                    htlc_preimage_witness(&signature, preimage, script)
                }
                SweepWitness::HtlcTimeout { .. } => htlc_timeout_witness(&signature, script),
                SweepWitness::Revocation { .. } => revocation_witness(&signature, script),
                SweepWitness::HtlcRevocation { revocation_pubkey, .. } => {
                    htlc_revocation_witness(&signature, revocation_pubkey, script)
                }
            },
        };
        verify(&transaction, request);
        transaction
    }

    /// The transaction with which a node claims an output, which it must want.
    pub(crate) fn claim(&mut self, node: Node, outpoint: OutPoint) -> Transaction {
        let request = self.request(node, outpoint).expect("the node wants this output");
        self.answer(node, &request)
    }
}

fn draft(request: &ClaimRequest) -> (Transaction, SigningKey) {
    match &request.kind {
        ClaimKind::Commitment { transaction, .. } => (transaction.clone(), SigningKey::Funding),
        ClaimKind::SecondStage { transaction, per_commitment_point, .. } => {
            let per_commitment_point = *per_commitment_point;
            (transaction.clone(), SigningKey::Htlc { per_commitment_point })
        }
        ClaimKind::Sweep { witness, csv_blocks, lock_time } => {
            let key = match *witness {
                SweepWitness::Delayed { per_commitment_point } => {
                    SigningKey::DelayedPayment { per_commitment_point }
                }
                SweepWitness::PaymentKeyHash { .. } | SweepWitness::PaymentKey => {
                    SigningKey::Payment
                }
                SweepWitness::Anchor => SigningKey::Funding,
                SweepWitness::HtlcPreimage { per_commitment_point, .. }
                | SweepWitness::HtlcTimeout { per_commitment_point } => {
                    SigningKey::Htlc { per_commitment_point }
                }
                SweepWitness::Revocation { per_commitment_secret }
                | SweepWitness::HtlcRevocation { per_commitment_secret, .. } => {
                    SigningKey::Revocation { per_commitment_secret }
                }
            };
            (spend(request.outpoint, *csv_blocks, lock_time.0), key)
        }
    }
}

/// A transaction without witness that spends one output.
pub(crate) fn spend(outpoint: OutPoint, csv_blocks: u16, lock_time: u32) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::from_consensus(lock_time),
        input: vec![TxIn {
            previous_output: outpoint,
            script_sig: ScriptBuf::new(),
            sequence: Sequence(u32::from(csv_blocks)),
            witness: Witness::new(),
        }],
        output: vec![TxOut {
            value: Amount::from_sat(1),
            script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
        }],
    }
}

/// Proves by Bitcoin Core's interpreter that the first input opens the requested output.
fn verify(transaction: &Transaction, request: &ClaimRequest) {
    bitcoinconsensus::verify_with_flags(
        script_pubkey(&request.script).as_bytes(),
        request.amount.to_sat(),
        &serialize(transaction),
        None,
        0,
        bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT,
    )
    .expect("consensus accepts the claim");
}
