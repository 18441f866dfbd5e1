//! Several fundings of one channel: splices, and replacements of a first funding.

use alloc::vec::Vec;

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, OutPoint};
use serde::{Deserialize, Serialize};

use crate::amount::AmountMsat;
use crate::block::BlockRef;
use crate::id::CommitmentNumber;
use crate::state::{SignedCommitment, UnsignedCommitment};

/// How many fundings a channel may have besides the locked one: candidates, and those before it that
/// a reorg may bring back.
///
/// Every one of them costs a signature with each commitment, and bytes in each snapshot.
///
/// Source: none; the fee of a replacement rises by at least a 24th each time (BOLT 2, `tx_init_rbf`), so
/// twenty more than double it.
pub const MAX_FUNDINGS: usize = 20;

/// How a funding transaction comes to be beside another.
///
/// Source: BOLT 2, "Channel Splicing" and "Fee Bumping: `tx_init_rbf` and `tx_ack_rbf`".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum FundingKind {
    /// It spends the locked funding output: a splice, or another try of one.
    Splice,
    /// It takes the place of a first funding transaction that is not locked, and spends no funding
    /// output.
    Replacement,
}

/// A funding besides the one that the channel's parameters name, with the commitments on it.
///
/// # Shape
///
/// All fundings of a channel have the same commitment numbers, points, fee rate and HTLCs; what
/// differs is here. A retired one stays as it was when another was locked.
///
/// Source: BOLT 2, "Channel Splicing".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Funding {
    /// Its output.
    pub funding_outpoint: OutPoint,
    /// The value of that output.
    pub funding_amount: Amount,
    /// Our key in it.
    pub local_funding_pubkey: PublicKey,
    /// The peer's key in it.
    pub remote_funding_pubkey: PublicKey,
    /// How it came to be. A first funding counts as a replacement of its replacements.
    pub kind: FundingKind,
    /// Whether another funding was locked: it lives on only until that one is final.
    pub is_retired: bool,
    /// Our current commitment on it.
    pub local: SignedCommitment,
    /// Our commitment before it.
    pub local_previous: Option<SignedCommitment>,
    /// The peer's newest commitment on it.
    pub remote: UnsignedCommitment,
    /// The peer's commitment before it, until the peer revokes it.
    pub remote_previous: Option<UnsignedCommitment>,
    /// Where its transaction was seen to spend another funding of this channel.
    pub confirmed: Option<BlockRef>,
}

/// A funding that both sides have signed first commitments for.
///
/// # Crash safety
///
/// Durable before our signatures of the funding transaction leave: the monitor must know a splice
/// before it can confirm.
///
/// Source: BOLT 2, "Channel Splicing".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFunding {
    /// Its output.
    pub funding_outpoint: OutPoint,
    /// The value of that output.
    pub funding_amount: Amount,
    /// Our key in it.
    pub local_funding_pubkey: PublicKey,
    /// The peer's key in it.
    pub remote_funding_pubkey: PublicKey,
    /// How it comes to be.
    pub kind: FundingKind,
    /// Our newest commitment on it.
    pub local: LocalCommitmentOn,
    /// The peer's newest commitment on it.
    pub remote: RemoteCommitmentOn,
}

/// A commitment of ours on one more funding: what is not the same on all of them.
///
/// # Shape
///
/// `htlc_signatures` has one for each untrimmed HTLC, in output order.
///
/// Source: BOLT 2, `commitment_signed` and `start_batch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCommitmentOn {
    /// Its number, which says of which commitment this is a part.
    pub number: CommitmentNumber,
    /// What `to_local` is worth before fees and anchors: ours.
    pub to_local_msat: AmountMsat,
    /// What `to_remote` is worth before fees and anchors: the peer's.
    pub to_remote_msat: AmountMsat,
    /// The peer's signature.
    pub signature: Signature,
    /// The peer's signatures on our HTLC transactions.
    pub htlc_signatures: Vec<Signature>,
}

/// A commitment of the peer on one more funding: what is not the same on all of them.
///
/// Source: BOLT 2, `commitment_signed` and `start_batch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteCommitmentOn {
    /// Its number, which says of which commitment this is a part.
    pub number: CommitmentNumber,
    /// What its `to_local` is worth before fees and anchors: the peer's.
    pub to_local_msat: AmountMsat,
    /// What its `to_remote` is worth before fees and anchors: ours.
    pub to_remote_msat: AmountMsat,
}
