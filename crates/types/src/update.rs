//! What a channel, a consumer and the chain tell a monitor, and what the monitor answers.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Transaction, Txid};
use serde::{Deserialize, Serialize};

use crate::amount::{AmountMsat, FeeRatePerKw};
use crate::block::BlockRef;
use crate::channel::ChannelParameters;
use crate::funding::{LocalCommitmentOn, NewFunding, RemoteCommitmentOn};
use crate::htlc::{Htlc, HtlcDirection, HtlcKey, PaymentPreimage};
use crate::id::{BookEpoch, ChannelId, CommitmentNumber, Generation, HtlcId, PaymentId, UpdateId};
use crate::ledger::Told;
use crate::received::HtlcClaim;

/// Everything that changes a monitor; its state is the fold of these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MonitorRecord {
    /// The channel begins to exist. The first record, once.
    Created(Box<NewChannel>),
    /// The channel moved.
    Update(MonitorUpdate),
    /// The consumer durably knows what became of an HTLC.
    Release(ReleasePaymentComplete),
    /// The chain moved in a way that concerns this channel.
    Chain(ChainDelta),
    /// No further attempt of the payment is made that an offered HTLC belongs to.
    GivenUp(GiveUp),
    /// An unconfirmed transaction showed a preimage.
    Mempool(MempoolEvidence),
    /// Every tombstone is dropped; a book of at least this epoch knows what they said (rule R10).
    PruneTombstones {
        /// The epoch, above that of the time before.
        behind: BookEpoch,
    },
    /// The channel is over and done with: nothing changes it any more (rule R11).
    Archive,
    /// The channel of the inbound half of a forward is closed, so nothing is gained by failing that
    /// half back early: how the outbound half ends is waited for.
    ///
    /// Source: BOLT 5, "HTLC Output Handling: Local Commitment, Local Offers".
    InboundOnChain {
        /// The outbound half, an HTLC of this channel.
        htlc: HtlcKey,
    },
    /// HTLCs that this channel received are claimed, and no others of their hash.
    Claim(HtlcClaim),
    /// The user knows that nobody knows what became of a payment (rule R10). It leaves a tombstone of
    /// its own, which stays: whatever book comes back, that is not told again.
    ToldUnknown {
        /// The caller's key.
        payment_id: PaymentId,
        /// The incarnation of that key.
        generation: Generation,
    },
}

/// The end of a payment's retries, in the ledger of one of its parts: without it a payment that may
/// be tried again cannot fail, whatever the book says.
///
/// Source: `docs/INVARIANTS.md`, R5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiveUp {
    /// Which HTLC.
    pub htlc: HtlcKey,
    /// The incarnation of its payment.
    pub generation: Generation,
}

/// The preimage of an HTLC that we offered, shown by an unconfirmed spend of its output.
///
/// The spend need not confirm: the preimage proves all the same that the recipient can take the HTLC.
///
/// Source: BOLT 5, "Unilateral Close Handling", which allows to watch more than the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MempoolEvidence {
    /// The HTLC whose output is spent.
    pub htlc: HtlcKey,
    /// What was shown.
    pub preimage: PaymentPreimage,
    /// The transaction that showed it.
    pub txid: Txid,
}

/// A channel at its birth: its parameters and the first commitment of each side, without HTLCs.
///
/// Source: BOLT 2, `funding_created` and `funding_signed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewChannel {
    /// Its fixed facts.
    pub parameters: ChannelParameters,
    /// Our first commitment, signed by the peer.
    pub local: LocalCommitment,
    /// The peer's first commitment, as we signed it.
    pub remote: RemoteCommitment,
    /// The tip when the channel was created: the chain is searched from here on.
    pub birth: BlockRef,
}

/// One numbered change to a monitor, all of it or none of it.
///
/// Source: rust-lightning's `ChannelMonitorUpdate`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonitorUpdate {
    /// The channel.
    pub channel_id: ChannelId,
    /// One higher than the update before.
    pub update_id: UpdateId,
    /// What happened, in order.
    pub steps: Vec<UpdateStep>,
}

/// One thing that happened in a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpdateStep {
    /// The peer signed our next commitment (BOLT 2, `commitment_signed` received).
    LocalCommitment(LocalCommitment),
    /// We signed the peer's next commitment (`commitment_signed` to be sent).
    RemoteCommitment(RemoteCommitment),
    /// The peer revoked its previous commitment (`revoke_and_ack` received).
    RemoteRevocation {
        /// The commitment that is revoked.
        number: CommitmentNumber,
        /// Its per-commitment secret.
        secret: PerCommitmentSecret,
    },
    /// The peer fulfilled an HTLC that we offered (`update_fulfill_htlc` received).
    Fulfill {
        /// Which.
        htlc_id: HtlcId,
        /// The proof.
        preimage: PaymentPreimage,
    },
    /// We know the preimage of HTLCs that we received; the outputs of all of its hash may be claimed
    /// with it. Whoever says so vouches for every one of them: it may be that some are only passing
    /// through. [`ClaimHtlc`](Self::ClaimHtlc) says it of one.
    Preimage {
        /// The preimage.
        preimage: PaymentPreimage,
    },
    /// We signed a closing transaction; it may confirm from now on (BOLT 2, `closing_signed`).
    MutualClose {
        /// That transaction.
        txid: Txid,
    },
    /// We fail the channel: our latest commitment is to be broadcast (BOLT 5).
    FailChannel,
    /// The peer proved that it is ahead of us (BOLT 2, `channel_reestablish`), or we have another
    /// reason to suspect that we lost data: our commitment must never be broadcast from now on.
    DataLoss,
    /// Both sides have signed a commitment, of the newest number of each, for one more funding (BOLT
    /// 2, `splice_ack` or `tx_ack_rbf` up to `commitment_signed`).
    NewFunding(Box<NewFunding>),
    /// A funding was locked by both sides (BOLT 2, `splice_locked` or `channel_ready`): from here on
    /// it is the channel's, and commitments are signed for it alone.
    FundingLocked {
        /// Its transaction.
        funding_txid: Txid,
    },
    /// The same commitment as the [`LocalCommitment`](Self::LocalCommitment) before, on a funding
    /// that is not locked. One for each of those has to follow in the same update.
    LocalCommitmentOn {
        /// Which funding.
        funding_txid: Txid,
        /// What is not the same there.
        commitment: LocalCommitmentOn,
    },
    /// The same commitment as the [`RemoteCommitment`](Self::RemoteCommitment) before, on a funding
    /// that is not locked. One for each of those has to follow in the same update.
    RemoteCommitmentOn {
        /// Which funding.
        funding_txid: Txid,
        /// What is not the same there.
        commitment: RemoteCommitmentOn,
    },
    /// We claim one HTLC that we received: it pays an invoice of ours, or the outbound half of its
    /// forward was fulfilled. Others of the same hash are not touched.
    ///
    /// Source: BOLT 5, "HTLC Output Handling: Local Commitment, Remote Offers": a preimage is not
    /// shown for an HTLC of which we are not the recipient.
    ClaimHtlc {
        /// Which.
        htlc_id: HtlcId,
        /// With this.
        preimage: PaymentPreimage,
    },
}

/// A commitment transaction of ours, as the difference to the one before.
///
/// # Shape
///
/// `htlc_signatures` has one for each untrimmed HTLC of the *whole* commitment, in output order.
///
/// Source: BOLT 2, `commitment_signed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalCommitment {
    /// Its number.
    pub number: CommitmentNumber,
    /// Our point for it.
    pub per_commitment_point: PublicKey,
    /// Its fee rate.
    pub feerate_per_kw: FeeRatePerKw,
    /// What `to_local` is worth before fees and anchors: ours.
    pub to_local_msat: AmountMsat,
    /// What `to_remote` is worth before fees and anchors: the peer's.
    pub to_remote_msat: AmountMsat,
    /// HTLCs that the commitment before did not hold.
    pub added: Vec<HtlcAdded>,
    /// HTLCs that only the commitment before held, each with its reason.
    pub removed: Vec<HtlcRemoved>,
    /// The peer's signature.
    pub signature: Signature,
    /// The peer's signatures on our HTLC transactions.
    pub htlc_signatures: Vec<Signature>,
}

/// A commitment transaction of the peer, as the difference to the one before.
///
/// Source: BOLT 2, `commitment_signed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteCommitment {
    /// Its number.
    pub number: CommitmentNumber,
    /// The peer's point for it.
    pub per_commitment_point: PublicKey,
    /// Its fee rate.
    pub feerate_per_kw: FeeRatePerKw,
    /// What its `to_local` is worth before fees and anchors: the peer's.
    pub to_local_msat: AmountMsat,
    /// What its `to_remote` is worth before fees and anchors: ours.
    pub to_remote_msat: AmountMsat,
    /// HTLCs that the commitment before did not hold.
    pub added: Vec<HtlcAdded>,
    /// HTLCs that only the commitment before held, each with its reason.
    pub removed: Vec<HtlcRemoved>,
}

/// An HTLC that enters a commitment.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one update; a box would be one more allocation for each HTLC"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HtlcAdded {
    /// The monitor hears of it for the first time.
    New(Htlc),
    /// The other side's commitment already brought it.
    Known {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
}

impl HtlcAdded {
    /// Returns which HTLC it is.
    pub fn id(&self) -> (HtlcDirection, HtlcId) {
        match self {
            Self::New(htlc) => (htlc.direction, htlc.htlc_id),
            Self::Known { direction, htlc_id } => (*direction, *htlc_id),
        }
    }
}

/// An HTLC that leaves a commitment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HtlcRemoved {
    /// Who offered it.
    pub direction: HtlcDirection,
    /// Its id.
    pub htlc_id: HtlcId,
    /// Why.
    pub reason: RemovalReason,
}

/// Why an HTLC leaves a commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RemovalReason {
    /// It was fulfilled (BOLT 2, `update_fulfill_htlc`).
    Fulfilled {
        /// With this.
        preimage: PaymentPreimage,
    },
    /// It was failed (BOLT 2, `update_fail_htlc`).
    Failed {
        /// The failure code, 0 where it could not be read.
        code: u16,
    },
}

/// A per-commitment secret; it does not show itself in `Debug`.
///
/// Source: BOLT 3, "Per-commitment Secret Requirements".
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PerCommitmentSecret(pub [u8; 32]);

impl fmt::Debug for PerCommitmentSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PerCommitmentSecret(..)")
    }
}

/// The consumer's durable word that it knows what became of an HTLC.
///
/// It ends the duty to tell, and erases nothing: the verdict stays (rule R5). Of a received payment it
/// is one word for all the parts that the channel received, so that one append says it of all parts in
/// all channels.
///
/// Source: rust-lightning's `ChannelMonitorUpdateStep::ReleasePaymentComplete`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleasePaymentComplete {
    /// Which HTLC.
    pub htlc: HtlcKey,
    /// What was told.
    pub told: Told,
}

/// A move of the chain, as far as one channel is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChainDelta {
    /// A block joined the best chain.
    Connected {
        /// Which.
        block: BlockRef,
        /// Its transactions that may concern this channel, in block order.
        transactions: Vec<Transaction>,
    },
    /// Every block above this one left the best chain.
    Disconnected {
        /// The block that is the tip after it.
        fork: BlockRef,
    },
}

/// What a monitor asks of its driver after a record was committed.
///
/// Effects are hints: each can be recomputed from the monitor's state, so losing all of them in a
/// crash loses nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// The verdict or delivery of an HTLC changed: plan its payment or forward again.
    LedgerChanged(HtlcKey),
    /// What must be done on chain changed: ask for the claim requests again.
    ClaimsChanged,
    /// The card changed: watch, wake and store by the new one.
    CardChanged,
    /// Something happened that a person should hear of.
    Alarm(Alarm),
}

/// Something that a person should hear of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Alarm {
    /// The funding output was spent by a transaction that nobody of us signed for (BOLT 5: warn the
    /// user). The HTLCs stay as they are.
    UnknownFundingSpend {
        /// The channel.
        channel_id: ChannelId,
        /// The spend.
        txid: Txid,
    },
    /// The peer broadcast a commitment that it had revoked.
    RevokedCommitment {
        /// The channel.
        channel_id: ChannelId,
        /// The commitment transaction.
        txid: Txid,
        /// Its number.
        number: CommitmentNumber,
    },
    /// A preimage appeared for an HTLC whose failure was final: a reorg was deeper than
    /// [`ANTI_REORG_DELAY`](crate::ANTI_REORG_DELAY), or the HTLC stood in a revoked commitment that
    /// the peer broadcast. Verdict and outcome stand.
    FinalityViolated {
        /// Which HTLC.
        htlc: HtlcKey,
    },
    /// The peer's commitment on the chain is newer than all that we know: we lost data. Our balance
    /// is claimed; what it held for HTLCs we cannot know, and they stay as they are.
    FutureCommitment {
        /// The channel.
        channel_id: ChannelId,
        /// The commitment transaction.
        txid: Txid,
        /// Its number.
        number: CommitmentNumber,
    },
    /// We lost data, or have reason to suspect it: our commitment is not broadcast, and the peer has
    /// to be asked to close.
    DataLoss {
        /// The channel.
        channel_id: ChannelId,
    },
    /// We go on chain by ourselves: an HTLC stands in a live commitment past its deadline.
    GoingOnChain {
        /// Which HTLC.
        htlc: HtlcKey,
        /// Which deadline.
        overdue: Overdue,
    },
    /// A forward was paid for by us: the peer downstream claimed its half with the preimage after
    /// the inbound half was failed back early ([`HtlcFailure::FailedBack`]).
    ///
    /// [`HtlcFailure::FailedBack`]: crate::HtlcFailure::FailedBack
    ForwardLost {
        /// The outbound half.
        htlc: HtlcKey,
    },
}

impl Alarm {
    /// Returns the channel that it is about.
    pub fn channel_id(&self) -> ChannelId {
        match self {
            Self::UnknownFundingSpend { channel_id, .. }
            | Self::RevokedCommitment { channel_id, .. }
            | Self::FutureCommitment { channel_id, .. }
            | Self::DataLoss { channel_id } => *channel_id,
            Self::FinalityViolated { htlc }
            | Self::GoingOnChain { htlc, .. }
            | Self::ForwardLost { htlc } => htlc.channel_id,
        }
    }
}

/// What an HTLC should have left every live commitment before.
///
/// Source: BOLT 2, "`cltv_expiry_delta` Selection".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Overdue {
    /// We offered it: its expiry and [`OFFERED_GRACE_BLOCKS`](crate::OFFERED_GRACE_BLOCKS) more.
    Expired,
    /// We know its preimage: its expiry less
    /// [`FULFIL_DEADLINE_BLOCKS`](crate::FULFIL_DEADLINE_BLOCKS).
    Fulfilment,
}
