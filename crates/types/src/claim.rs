//! What a monitor wants done on chain, said as requests and not as transactions.

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, EcdsaSighashType, OutPoint, ScriptBuf, Transaction};

use crate::block::BlockHeight;
use crate::channel::CommitmentFormat;
use crate::htlc::PaymentPreimage;
use crate::id::ChannelId;
use crate::update::PerCommitmentSecret;

/// One output that should be spent by us.
///
/// A monitor names all of them at any time as a function of its state. What is no longer named is
/// no longer wanted; nothing about a claim needs to be remembered across a restart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRequest {
    /// The channel, for its keys.
    pub channel_id: ChannelId,
    /// The output to spend.
    pub outpoint: OutPoint,
    /// Its value.
    pub amount: Amount,
    /// The script that its witness must satisfy: the witness script, or for a P2WPKH output the
    /// script pubkey itself.
    pub script: ScriptBuf,
    /// The lowest height of a block that may hold the spend (BOLT 3: CSV, CLTV).
    pub earliest_height: BlockHeight,
    /// From this height on it is lost if somebody else takes it: the peer may then take back what it
    /// offered, or what we offered has to be settled upstream.
    ///
    /// Without one, nobody else can take it, or nothing more than its value hangs on it.
    pub deadline: Option<BlockHeight>,
    /// How to spend it.
    pub kind: ClaimKind,
}

/// How an output is to be spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimKind {
    /// The funding output, by our own commitment transaction.
    Commitment {
        /// The transaction, without witness.
        transaction: Transaction,
        /// The peer's signature on it.
        remote_signature: Signature,
        /// The peer's funding key; the order of the two keys gives that of the signatures.
        remote_funding_pubkey: PublicKey,
        /// Ours.
        local_funding_pubkey: PublicKey,
        /// The format, which says whether and through which output a child can pay for it.
        format: CommitmentFormat,
        /// What is lost if it is not confirmed before the deadline: the outputs that somebody else
        /// can then take.
        at_stake: Amount,
    },
    /// An HTLC output of our own commitment, by an HTLC transaction that the peer has signed.
    SecondStage {
        /// The HTLC-timeout or HTLC-success transaction, without witness.
        transaction: Transaction,
        /// The peer's signature on it.
        remote_signature: Signature,
        /// The sighash of that signature; `SinglePlusAnyoneCanPay` allows inputs for the fee.
        remote_sighash: EcdsaSighashType,
        /// Given: HTLC-success. None: HTLC-timeout.
        preimage: Option<PaymentPreimage>,
        /// Our point of that commitment.
        per_commitment_point: PublicKey,
        /// The format, which says whether the transaction pays a fee by itself.
        format: CommitmentFormat,
    },
    /// Any other output, by a transaction of our own to a destination of our own.
    Sweep {
        /// Which witness opens it.
        witness: SweepWitness,
        /// The relative lock that the input needs, in blocks; 0 for none.
        csv_blocks: u16,
        /// The lock time that the transaction needs; 0 for none.
        lock_time: BlockHeight,
    },
}

/// Which witness opens a swept output, and with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SweepWitness {
    /// `to_local` or the output of an HTLC transaction, after our delay: `<sig> <>`.
    Delayed {
        /// Our point of that commitment.
        per_commitment_point: PublicKey,
    },
    /// `to_remote` as P2WPKH: `<sig> <pubkey>`.
    PaymentKeyHash {
        /// Our payment basepoint, whose hash the output names.
        payment_basepoint: PublicKey,
    },
    /// `to_remote` with anchors, one block after its confirmation: `<sig>`.
    PaymentKey,
    /// Our anchor: `<sig>`.
    Anchor,
    /// An HTLC that the peer offered, on the peer's commitment: `<sig> <preimage>`.
    HtlcPreimage {
        /// The preimage.
        preimage: PaymentPreimage,
        /// The peer's point of that commitment.
        per_commitment_point: PublicKey,
    },
    /// An HTLC that we offered, on the peer's commitment, after its expiry: `<sig> <>`.
    HtlcTimeout {
        /// The peer's point of that commitment.
        per_commitment_point: PublicKey,
    },
    /// `to_local` of a revoked commitment, or the output of an HTLC transaction that spent one of
    /// its outputs, at any time: `<sig> 1`.
    Revocation {
        /// The secret with which the peer revoked that commitment.
        per_commitment_secret: PerCommitmentSecret,
    },
    /// An HTLC of a revoked commitment, at any time: `<sig> <revocationpubkey>`.
    HtlcRevocation {
        /// The secret with which the peer revoked that commitment.
        per_commitment_secret: PerCommitmentSecret,
        /// The key whose hash the output names.
        revocation_pubkey: PublicKey,
    },
}

/// Which of a channel's private keys signs.
///
/// Source: BOLT 3, "Key Derivation".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningKey {
    /// The funding key whose public half stands in the script: a splice may bring a new one.
    Funding,
    /// The payment key (`to_remote`), which never changes.
    Payment,
    /// The delayed payment key of one commitment of ours.
    DelayedPayment {
        /// The point of that commitment.
        per_commitment_point: PublicKey,
    },
    /// The HTLC key of one commitment, ours or the peer's.
    Htlc {
        /// The point of that commitment.
        per_commitment_point: PublicKey,
    },
    /// The revocation key of one commitment of the peer.
    Revocation {
        /// The secret with which the peer revoked it.
        per_commitment_secret: PerCommitmentSecret,
    },
}
