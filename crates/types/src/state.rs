//! What a monitor remembers, as plain data: snapshots and cards are made of these.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, OutPoint, Transaction, Txid};
use serde::{Deserialize, Serialize};

use crate::amount::{AmountMsat, FeeRatePerKw};
use crate::block::{BlockHeight, BlockRef};
use crate::channel::{ChannelParameters, Side};
use crate::funding::Funding;
use crate::htlc::{Htlc, HtlcDirection, PaymentHash, PaymentPreimage};
use crate::id::{
    BookEpoch, ChannelId, CommitmentNumber, Generation, HtlcId, PaymentId, SecretIndex, UpdateId,
};
use crate::ledger::{FulfilledHow, HtlcFailure, PastHtlc, Spell, Told, Tombstone};
use crate::received::PreimageSource;
use crate::update::{PerCommitmentSecret, RemovalReason};

/// What a payment book knows of the log of the monitors that it belongs to.
///
/// Source: `docs/WIRE.md`, "Record kinds".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BookMark {
    /// The identity of that log.
    pub log: [u8; 16],
    /// How far it was durable when a node last started with the two.
    pub position: u64,
}

/// Everything that one monitor remembers.
///
/// # Shape
///
/// The HTLCs of a commitment are those whose [`Spell`] on its side holds its number; they are not
/// listed again. What can be computed from the parameters and numbers (keys, scripts,
/// transactions, claim requests, verdicts) is not stored.
///
/// # Crash safety
///
/// Equal to the fold of the channel's records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorState {
    /// The channel's fixed facts, and the funding that is locked.
    pub parameters: ChannelParameters,
    /// The last update that was applied.
    pub latest_update: UpdateId,
    /// Our current commitment.
    pub local: SignedCommitment,
    /// Our commitment before it.
    pub local_previous: Option<SignedCommitment>,
    /// The peer's newest commitment.
    pub remote: UnsignedCommitment,
    /// The peer's commitment before it, until the peer revokes it.
    pub remote_previous: Option<UnsignedCommitment>,
    /// The peer's secrets, at most 49 (BOLT 3, efficient storage): slot, index, secret.
    pub remote_secrets: Vec<(u8, SecretIndex, PerCommitmentSecret)>,
    /// Every HTLC that must not be forgotten yet.
    pub htlcs: BTreeMap<(HtlcDirection, HtlcId), HtlcState>,
    /// Preimages with which received HTLCs may be claimed. What the chain showed for an offered HTLC
    /// is kept with that HTLC.
    pub preimages: BTreeMap<PaymentHash, PaymentPreimage>,
    /// Closing transactions that we signed.
    pub closing_txids: BTreeSet<Txid>,
    /// Whether we decided to fail the channel. It has no height, so no reorg undoes it.
    pub fail_channel: bool,
    /// Whether the peer is known to be ahead of us: our commitment must then never be broadcast,
    /// because the peer may hold its secret. It has no height, so no reorg undoes it.
    pub data_loss: bool,
    /// Before the first block that concerned this channel: its birth.
    pub best: BlockRef,
    /// The confirmed spend of a funding output that closes the channel: by anything but a known splice.
    pub funding_spend: Option<FundingSpend>,
    /// The confirmed spends of outputs that came from the funding spend, by the output.
    pub output_spends: BTreeMap<OutPoint, OutputSpend>,
    /// The fundings besides that of the parameters on which a commitment may be confirmed, at most
    /// [`MAX_FUNDINGS`](crate::MAX_FUNDINGS): those before it in their order, then those that may
    /// take its place.
    pub fundings: Vec<Funding>,
    /// Where the funding transaction of the parameters was seen to spend the one before it, until
    /// that is final.
    pub funding_confirmed: Option<BlockRef>,
    /// What a penalty needs of HTLCs that are forgotten.
    pub past: BTreeMap<(HtlcDirection, HtlcId), PastHtlc>,
    /// What is left of parts of payments that are forgotten.
    pub tombstones: BTreeMap<HtlcId, Tombstone>,
    /// Payments of which the user knows that nobody knows what became of them. They stay.
    pub told_unknown: BTreeSet<(PaymentId, Generation)>,
    /// The highest id of each direction that is forgotten: an id up to it is not given again
    /// (BOLT 2, `update_add_htlc`).
    pub forgotten: BTreeMap<HtlcDirection, HtlcId>,
    /// Tombstones were dropped that every book of at least this epoch can do without.
    pub pruned_behind: BookEpoch,
    /// Whether the channel is archived: nothing changes it any more.
    pub is_archived: bool,
}

/// Our commitment, signed by the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCommitment {
    /// The commitment.
    pub commitment: UnsignedCommitment,
    /// The peer's signature.
    pub signature: Signature,
    /// The peer's signatures on the HTLC transactions, in output order.
    pub htlc_signatures: Vec<Signature>,
}

/// A commitment without its HTLCs.
///
/// # Units
///
/// `to_local` and `to_remote` are relative to the owner of the commitment (BOLT 3), before fees and
/// anchors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsignedCommitment {
    /// Its number.
    pub number: CommitmentNumber,
    /// Its owner's point.
    pub per_commitment_point: PublicKey,
    /// Its fee rate.
    pub feerate_per_kw: FeeRatePerKw,
    /// Its owner's balance.
    pub to_local_msat: AmountMsat,
    /// The other side's balance.
    pub to_remote_msat: AmountMsat,
}

/// What a monitor remembers of one HTLC; the verdict is computed from it and the chain facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HtlcState {
    /// Its facts and whom it is for.
    pub htlc: Htlc,
    /// Where it stands in our commitments.
    pub local: Option<Spell>,
    /// Where it stands in the peer's commitments.
    pub remote: Option<Spell>,
    /// How it was removed off chain, once one commitment is without it.
    pub removal: Option<RemovalReason>,
    /// The evidence that it was fulfilled. Never taken back.
    pub fulfilled: Option<(PaymentPreimage, FulfilledHow)>,
    /// The final failure. Never taken back.
    pub failed: Option<HtlcFailure>,
    /// A preimage that came after the final failure.
    pub late_preimage: Option<PaymentPreimage>,
    /// What the consumer durably knows.
    pub delivered: Option<Told>,
    /// Whether no further attempt of the payment is made that it belongs to.
    pub is_given_up: bool,
    /// The preimage with which this very HTLC may be claimed; of one that we received.
    pub claim: Option<PaymentPreimage>,
    /// Whether the channel of the inbound half of its forward is closed.
    pub is_inbound_on_chain: bool,
    /// By what right it is claimed, if that was said; never without a `claim`.
    pub source: Option<PreimageSource>,
}

/// A confirmed spend of the funding output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FundingSpend {
    /// The transaction.
    pub transaction: Transaction,
    /// Where it is.
    pub block: BlockRef,
    /// What it means.
    pub close: Close,
}

/// How a channel was closed.
///
/// Source: BOLT 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Close {
    /// By a closing transaction that we signed.
    Mutual,
    /// By a commitment of ours.
    LocalUnilateral {
        /// Its number.
        number: CommitmentNumber,
    },
    /// By a commitment of the peer that it had not revoked.
    RemoteUnilateral {
        /// Its number.
        number: CommitmentNumber,
    },
    /// By a commitment of the peer that it had revoked.
    Revoked {
        /// Its number.
        number: CommitmentNumber,
    },
    /// By a transaction that we do not know.
    Unknown,
    /// By a commitment of the peer that is newer than all we know: we lost data.
    Future {
        /// Its number.
        number: CommitmentNumber,
    },
}

/// A confirmed spend of an output that came from the funding spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputSpend {
    /// The transaction.
    pub txid: Txid,
    /// Where it is.
    pub block: BlockRef,
    /// What it means.
    pub kind: OutputSpendKind,
}

/// What the spend of an output means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OutputSpendKind {
    /// An HTLC was claimed with its preimage.
    HtlcPreimage {
        /// Which.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
        /// What the witness showed.
        preimage: PaymentPreimage,
        /// The output of our HTLC-success transaction, where it was ours.
        second_stage: Option<OutPoint>,
    },
    /// An HTLC was taken back by its offerer.
    HtlcTimeout {
        /// Which.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
        /// The output of our HTLC-timeout transaction, where it was ours.
        second_stage: Option<OutPoint>,
    },
    /// An HTLC output was spent by a witness of neither shape.
    HtlcOther {
        /// Which.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// Any other output: a main output, an anchor, or the output of an HTLC transaction.
    Swept {
        /// Who got it.
        owner: Side,
    },
    /// An HTLC on the peer's commitment went into an HTLC transaction of the peer.
    PeerHtlcTransaction {
        /// Which.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
        /// What the witness of an HTLC-success transaction showed; none for HTLC-timeout.
        preimage: Option<PaymentPreimage>,
        /// The output of that transaction, which is ours if the commitment was revoked.
        output: OutPoint,
        /// What it is worth.
        amount: Amount,
    },
    /// An HTLC of a commitment that the peer had revoked was taken with the revocation key.
    HtlcPenalty {
        /// Which.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
}

/// What must be known of a channel while its monitor is not in memory.
///
/// # Crash safety
///
/// Written in the batch of the record that changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, with its own TLV")]
pub struct Card {
    /// The channel.
    pub channel_id: ChannelId,
    /// The last update that was applied.
    pub latest_update: UpdateId,
    /// The outputs whose spend concerns it, sorted.
    pub watched: Vec<OutPoint>,
    /// The next height at which time alone changes something.
    pub next_deadline: Option<BlockHeight>,
    /// Whether somebody has to look at the ledger after a start: a verdict or a claim is not yet
    /// delivered, or a peer waits to hear of an HTLC that it offered.
    pub has_undelivered: bool,
    /// Whether the funding output is spent or we decided to fail the channel.
    pub is_closed: bool,
    /// Whether something must be done on chain.
    pub has_claims: bool,
    /// The block up to which it has seen the chain.
    pub synced_to: BlockRef,
    /// The position in the log of the last record that this card reflects: a card with a later
    /// record behind it is stale. A monitor says 0; its driver fills it in.
    pub covers: u64,
    /// Tombstones were dropped that every book of at least this epoch can do without.
    pub pruned_behind: BookEpoch,
    /// Whether the channel is archived: it is read on demand and nothing changes it any more.
    pub is_archived: bool,
}

impl Card {
    /// Says whether two cards say the same of their channel: all but where in the log it was said.
    ///
    /// A card is the one record that may be repaired, for everything in it follows from the channel's
    /// snapshot and records. This is how a repaired one is compared with what was there before.
    ///
    /// Source: `docs/WIRE.md`, "Repair".
    pub fn is_equivalent(&self, other: &Self) -> bool {
        *self == Self { covers: self.covers, ..other.clone() }
    }
}

/// The best chain as far as this node has followed it.
///
/// # Shape
///
/// `recent` holds the blocks below the best one, newest first, as far as a reorg may reach.
///
/// # Crash safety
///
/// Written in the batch of the deltas that it brings, or after them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainTip {
    /// The best block.
    pub best: BlockRef,
    /// Its ancestors.
    pub recent: Vec<BlockRef>,
}
