//! What the node says to the world around it and to its peer, and what they answer.
//!
//! Everything here is plain data, so that it crosses a byte stream as well as a function call. Each
//! request may be repeated: a node that died before it heard the answer simply asks again.

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, Txid};
use lastword_types::{
    AmountMsat, BlockHeight, ChannelParameters, ChannelSide, CommitmentFormat, Event, Generation,
    HtlcFailure, HtlcId, HtlcRemoved, PaymentHash, PaymentId, PaymentPreimage, PerCommitmentSecret,
    Side, UnsignedCommitment,
};
use serde::{Deserialize, Serialize};

/// What the node asks of everything outside its process but the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// A message to the peer.
    Peer(Box<PeerRequest>),
    /// The user's handler was called with this.
    Tell(Box<Event>),
    /// Which coins does the node's wallet have?
    Coins,
}

/// The answer to a [`Request`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// From the peer.
    Peer(Box<PeerReply>),
    /// The user has noted it.
    Noted,
    /// The confirmed coins that nothing spends yet, not even in the mempool.
    Coins(Vec<(OutPoint, Amount)>),
    /// It could not be answered.
    Failed(String),
}

/// A message from the node to its peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerRequest {
    /// Let us open a channel (BOLT 2, `open_channel` and `accept_channel` in one).
    Open {
        /// Which.
        channel: u16,
        /// How.
        spec: ChannelSpec,
        /// Our half.
        local: Box<ChannelSide>,
        /// Our point 0.
        first_point: PublicKey,
    },
    /// Our signature on your first commitment; the funding may be broadcast.
    Funded {
        /// Which.
        channel: u16,
        /// The signature.
        signature: Signature,
    },
    /// Where do we stand? (BOLT 2, `channel_reestablish`.)
    Status {
        /// Which.
        channel: u16,
    },
    /// Here is your next commitment (BOLT 2, the updates and `commitment_signed`).
    Commit(Box<Commit>),
    /// Do you want to change something?
    Propose {
        /// Which.
        channel: u16,
        /// The number of our next commitment, which the answer signs.
        number: u64,
        /// Our point for it.
        point: PublicKey,
    },
    /// Here is the secret of our old commitment (BOLT 2, `revoke_and_ack`).
    Revoke {
        /// Which.
        channel: u16,
        /// The commitment that is revoked.
        number: u64,
        /// Its secret.
        secret: PerCommitmentSecret,
    },
    /// Let us close (BOLT 2, `closing_signed`); the signature is on the transaction that
    /// [`closing`](crate::closing) builds.
    Close {
        /// Which.
        channel: u16,
        /// Where our balance goes.
        destination: ScriptBuf,
        /// Our signature.
        signature: Signature,
    },
    /// Take something out of the channel (BOLT 2, `splice_init` up to the first
    /// `commitment_signed`).
    Splice {
        /// Which.
        channel: u16,
        /// Which try of this splice; each pays more than the one before.
        attempt: u16,
        /// Our key in the new funding output.
        funding_pubkey: PublicKey,
    },
    /// Our signatures for a splice; it may be broadcast (BOLT 2, `commitment_signed` and
    /// `tx_signatures`).
    SpliceSigned(Box<SpliceSigned>),
    /// The splice is locked (BOLT 2, `splice_locked`).
    SpliceLocked {
        /// Which channel.
        channel: u16,
        /// Which splice.
        funding_txid: Txid,
    },
}

/// The peer's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PeerReply {
    /// Noted.
    Done,
    /// To [`PeerRequest::Open`].
    Opened {
        /// The channel, seen from the node.
        parameters: Box<ChannelParameters>,
        /// The peer's point 0.
        first_point: PublicKey,
        /// The peer's signature on the node's first commitment.
        signature: Signature,
    },
    /// To [`PeerRequest::Status`].
    Status {
        /// The peer's point for its next commitment.
        next_point: PublicKey,
        /// The id that the node's next HTLC gets.
        next_htlc_id: HtlcId,
        /// Where the peer's balance goes in a mutual close.
        destination: ScriptBuf,
    },
    /// To [`PeerRequest::Commit`]: the old commitment is revoked.
    Revoked(Box<Revoked>),
    /// To [`PeerRequest::Commit`]: no answer, and there will be none.
    Withheld,
    /// To [`PeerRequest::Propose`].
    Proposed(Option<Box<Proposal>>),
    /// The request makes no sense: one of the two has a bug.
    Refused(String),
    /// To [`PeerRequest::Splice`].
    Spliced(Box<Spliced>),
}

/// A splice as the peer wants it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spliced {
    /// The channel after it, seen from the node.
    pub parameters: ChannelParameters,
    /// Its transaction, unsigned.
    pub transaction: Transaction,
    /// The peer's signatures on the node's newest commitment, as it is after the splice.
    pub signed: Signed,
}

/// The node's signatures for a splice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpliceSigned {
    /// Which channel.
    pub channel: u16,
    /// Which splice.
    pub funding_txid: Txid,
    /// On the peer's newest commitment, as it is after the splice.
    pub signature: Signature,
    /// On the HTLC transactions of that commitment.
    pub htlc_signatures: Vec<Signature>,
    /// On the splice itself.
    pub funding_signature: Signature,
}

/// How a channel is to be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSpec {
    /// The shape of its commitments.
    pub format: CommitmentFormat,
    /// Who pays commitment fees.
    pub opener: Side,
    /// The node's balance.
    pub local_msat: AmountMsat,
    /// The peer's.
    pub remote_msat: AmountMsat,
    /// The delay on the outputs of both.
    pub to_self_delay: u16,
}

/// An HTLC as both sides know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WireHtlc {
    /// Who offered it, seen from the node.
    pub offered_by: WireSide,
    /// Its id.
    pub htlc_id: HtlcId,
    /// Its amount.
    pub amount_msat: AmountMsat,
    /// Its hash.
    pub payment_hash: PaymentHash,
    /// Its expiry.
    pub cltv_expiry: BlockHeight,
}

/// One of the two nodes, seen from neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum WireSide {
    /// The node.
    Node,
    /// The peer.
    Peer,
}

/// The peer's next commitment, with the node's signatures.
///
/// # Shape
///
/// The whole of it, so that a repetition is the same message; `removed` is the difference to the
/// commitment before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// Which channel.
    pub channel: u16,
    /// The commitment, relative to its owner, the peer.
    pub commitment: UnsignedCommitment,
    /// Its HTLCs, sorted.
    pub htlcs: Vec<WireHtlc>,
    /// Those that it leaves out, with reasons.
    pub removed: Vec<HtlcRemoved>,
    /// The node's signature.
    pub signature: Signature,
    /// The node's signatures on the HTLC transactions.
    pub htlc_signatures: Vec<Signature>,
    /// The node's point for its own next commitment.
    pub next_point: PublicKey,
    /// The same commitment after each splice that is not locked, in their order.
    pub batch: Vec<OnSplice>,
}

/// A commitment as it is after a splice that is not locked.
///
/// # Shape
///
/// What a splice takes out is the peer's, so its balances follow from those on the locked funding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OnSplice {
    /// The signature on it.
    pub signature: Signature,
    /// The signatures on its HTLC transactions.
    pub htlc_signatures: Vec<Signature>,
}

/// The peer revoked its old commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// The secret of the commitment before.
    pub secret: PerCommitmentSecret,
    /// The node's next commitment, where it must follow.
    pub local: Option<Signed>,
}

/// The peer's signatures on a commitment of the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed {
    /// The commitment, relative to its owner, the node.
    pub commitment: UnsignedCommitment,
    /// The signature.
    pub signature: Signature,
    /// The signatures on the HTLC transactions, in output order.
    pub htlc_signatures: Vec<Signature>,
    /// The same commitment after each splice that is not locked, in their order.
    pub batch: Vec<OnSplice>,
}

/// What the peer wants changed, and the node's commitment after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// HTLCs that the peer offers.
    pub added: Vec<WireHtlc>,
    /// HTLCs of the node that the peer fulfils or fails.
    pub removed: Vec<HtlcRemoved>,
    /// The node's commitment after it.
    pub signed: Signed,
}

/// What the parent tells the node to do. Each may be repeated until it is answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Open a channel.
    Open {
        /// Which.
        channel: u16,
        /// How.
        spec: ChannelSpec,
    },
    /// Finish what was begun with the peer in every channel.
    Resume,
    /// Follow the chain to its tip.
    Poll,
    /// Pay.
    Pay(Box<PayOrder>),
    /// Ask the peer of a channel for its changes and take them in.
    Settle {
        /// Which.
        channel: u16,
    },
    /// Claim a payment that the peer offered, all its parts; on chain they are taken without more.
    Claim {
        /// The channels of its parts.
        channels: Vec<u16>,
        /// The preimage.
        preimage: PaymentPreimage,
    },
    /// Remove an HTLC that the peer offered: with a preimage fulfil it, without one fail it.
    Remove {
        /// Which channel.
        channel: u16,
        /// Its hash.
        payment_hash: PaymentHash,
        /// Its preimage.
        preimage: Option<PaymentPreimage>,
    },
    /// Fail a channel: broadcast our commitment.
    FailChannel {
        /// Which.
        channel: u16,
    },
    /// Close a channel together with the peer.
    Close {
        /// Which.
        channel: u16,
    },
    /// Let the peer take something out of a channel.
    Splice {
        /// Which.
        channel: u16,
        /// Which try of this splice.
        attempt: u16,
    },
    /// Lock the splice of a channel that is confirmed.
    LockSplice {
        /// Which.
        channel: u16,
    },
    /// Say what the ledgers hold.
    Look,
}

/// A payment to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayOrder {
    /// The caller's key.
    pub payment_id: PaymentId,
    /// The incarnation, drawn by the caller.
    pub generation: Generation,
    /// The number of this attempt: 0 begins the payment, a higher one tries it again.
    pub attempt: u32,
    /// How often it may be tried.
    pub attempts_max: u32,
    /// What is paid.
    pub payment_hash: PaymentHash,
    /// What the recipient is to get.
    pub total_msat: AmountMsat,
    /// The fee of all parts.
    pub fee_msat: AmountMsat,
    /// The parts.
    pub parts: Vec<PayPart>,
    /// The caller's data.
    pub metadata: Vec<u8>,
}

/// One part of a payment to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayPart {
    /// The channel.
    pub channel: u16,
    /// The amount of the HTLC.
    pub amount_msat: AmountMsat,
    /// What of it reaches the recipient.
    pub part_amount_msat: AmountMsat,
    /// Its expiry.
    pub cltv_expiry: BlockHeight,
}

/// What the node answers to a [`Command`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done, and durable.
    Done,
    /// The payment cannot be made now: its id is taken.
    IdTaken,
    /// What the ledgers hold.
    Ledger(Vec<LedgerLine>),
    /// It failed.
    Failed(String),
}

/// One offered HTLC of the ledgers, as the node's answer to [`Command::Look`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// Which channel.
    pub channel: u16,
    /// Its id.
    pub htlc_id: HtlcId,
    /// The payment.
    pub payment_id: PaymentId,
    /// The incarnation.
    pub generation: Generation,
    /// What became of it, where that is final.
    pub verdict: Option<FinalVerdict>,
    /// Whether the consumer's durable word is there.
    pub is_released: bool,
}

/// What finally became of an HTLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FinalVerdict {
    /// The preimage was shown.
    Fulfilled(PaymentPreimage),
    /// It failed.
    Failed(HtlcFailure),
}
