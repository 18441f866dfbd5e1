//! [`MonitorError`]: every way in which a monitor refuses a record or a state.

use bitcoin::{OutPoint, Txid};
use lastword_bolt3::Bolt3Error;
use lastword_types::{
    BlockHeight, BlockRef, BookEpoch, ChannelId, CommitmentNumber, FundingKind, HtlcDirection,
    HtlcId, Side, UpdateId,
};
use thiserror::Error;

/// What a channel waits for that is to be archived (rule R11).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ArchiveWaits {
    /// No closing is confirmed.
    #[error("its funding output is not spent")]
    Open,
    /// Somebody has to be told what became of an HTLC.
    #[error("nobody was told of the offered HTLC {htlc_id}")]
    Untold {
        /// Its id.
        htlc_id: HtlcId,
    },
    /// Nobody was told of a claimed part of a payment.
    #[error("nobody was told of the claimed HTLC {htlc_id}")]
    UntoldClaim {
        /// Its id.
        htlc_id: HtlcId,
    },
    /// What became of an HTLC is not final.
    #[error("the {direction:?} HTLC {htlc_id} is not decided")]
    Undecided {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// An output should be ours and nobody spent it.
    #[error("output {outpoint} waits to be claimed")]
    Claim {
        /// The output.
        outpoint: OutPoint,
    },
    /// A spend is not deep enough ([`ARCHIVE_DEPTH`](lastword_types::ARCHIVE_DEPTH)).
    #[error("its last spend is deep enough at height {until}")]
    Depth {
        /// The height of the tip from which it is.
        until: BlockHeight,
    },
}

/// Why a record, or a state, was refused. The monitor is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum MonitorError {
    /// The record is for another channel.
    #[error("the record is for channel {got}, this is {expected}")]
    WrongChannel {
        /// This monitor's channel.
        expected: ChannelId,
        /// The record's.
        got: ChannelId,
    },
    /// The channel exists already: `Created` is the first record and comes once.
    #[error("the channel was created before")]
    AlreadyCreated,
    /// An update between is missing; get it first.
    #[error("update {got} does not follow {latest}")]
    UpdateGap {
        /// The last update that was applied.
        latest: UpdateId,
        /// The record's.
        got: UpdateId,
    },
    /// A commitment does not have the number that comes next.
    #[error("the {owner:?} commitment after {latest} cannot be {got}")]
    WrongCommitmentNumber {
        /// Whose commitment.
        owner: Side,
        /// The newest one that is known.
        latest: CommitmentNumber,
        /// The record's.
        got: CommitmentNumber,
    },
    /// The peer has to revoke its previous commitment before it gets another.
    #[error("the peer has not revoked commitment {previous}")]
    NotRevoked {
        /// The commitment that is still valid.
        previous: CommitmentNumber,
    },
    /// The commitment that is to be revoked is not the peer's previous one.
    #[error("commitment {got} cannot be revoked: the peer's previous one is {previous:?}")]
    WrongRevocation {
        /// The peer's previous commitment, if it has one.
        previous: Option<CommitmentNumber>,
        /// The record's.
        got: CommitmentNumber,
    },
    /// The secret does not give the point of the commitment that it revokes.
    #[error("the secret does not give the point of commitment {number}")]
    WrongSecret {
        /// The commitment.
        number: CommitmentNumber,
    },
    /// The secret is no secret, or does not derive the ones before it (BOLT 3).
    #[error("the secret of commitment {number} does not fit those before it")]
    SecretMismatch {
        /// The commitment.
        number: CommitmentNumber,
        /// What is wrong with it.
        #[source]
        source: Bolt3Error,
    },
    /// The record names an HTLC that this monitor never heard of.
    #[error("there is no {direction:?} HTLC {htlc_id}")]
    UnknownHtlc {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// The HTLC is there already, or was.
    #[error("the {direction:?} HTLC {htlc_id} is or was there already")]
    HtlcPresent {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// The HTLC does not stand in the commitment that it should leave.
    #[error("the {direction:?} HTLC {htlc_id} is not in the {owner:?} commitment")]
    HtlcAbsent {
        /// Whose commitment.
        owner: Side,
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// The HTLC was removed on the other side for another reason.
    #[error("the {direction:?} HTLC {htlc_id} was removed for another reason")]
    OtherReason {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// The preimage does not hash to the HTLC's payment hash.
    #[error("the preimage does not open the {direction:?} HTLC {htlc_id}")]
    WrongPreimage {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// The HTLC's origin is one of the other direction.
    #[error("the origin of the {direction:?} HTLC {htlc_id} is one of the other direction")]
    WrongOrigin {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// The expiry is a time and no height (BOLT 2: below 500,000,000).
    #[error("the expiry of the {direction:?} HTLC {htlc_id} is no height")]
    ExpiryIsNoHeight {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// More than 483 HTLCs of one direction in one commitment (BOLT 2).
    #[error("the {owner:?} commitment would hold too many {direction:?} HTLCs")]
    TooManyHtlcs {
        /// Whose commitment.
        owner: Side,
        /// Which HTLCs.
        direction: HtlcDirection,
    },
    /// The two balances and the HTLCs are not worth what the funding output is worth.
    #[error("the amounts of the {owner:?} commitment {number} do not add up to the funding")]
    WrongBalance {
        /// Whose commitment.
        owner: Side,
        /// Its number.
        number: CommitmentNumber,
    },
    /// More HTLC signatures than HTLCs.
    #[error("{signatures} signatures for {htlcs} HTLCs")]
    TooManySignatures {
        /// How many signatures.
        signatures: usize,
        /// How many HTLCs.
        htlcs: usize,
    },
    /// A release names an HTLC that the peer offered, and of which nobody has to be told: it is no
    /// claimed part of a payment.
    #[error("the received HTLC {htlc_id} has nothing to release")]
    NothingToRelease {
        /// Its id.
        htlc_id: HtlcId,
    },
    /// A release came before the verdict was final (rule R5).
    #[error("the offered HTLC {htlc_id} is not resolved")]
    NotFinal {
        /// Its id.
        htlc_id: HtlcId,
    },
    /// A release speaks of another payment, another generation, or of a forward that is none.
    #[error("what was told is not about the offered HTLC {htlc_id}")]
    WrongTold {
        /// Its id.
        htlc_id: HtlcId,
    },
    /// What is said of the other half of a forward names an HTLC that is the outbound half of none.
    #[error("the {direction:?} HTLC {htlc_id} is no outbound half of a forward")]
    NoForward {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// A claim names no part of its own, or too many, or an HTLC that is none of its parts.
    #[error("the claim is of no parts of its payment or forward")]
    WrongParts,
    /// A received HTLC is claimed already as a part of something else, or it is claimed as a part of a
    /// payment and is only passing through.
    #[error("the received HTLC {htlc_id} cannot be claimed by this right")]
    OtherSource {
        /// Its id.
        htlc_id: HtlcId,
    },
    /// A received HTLC is over, and its offerer has it back for good.
    #[error("the received HTLC {htlc_id} went back to its offerer")]
    TooLate {
        /// Its id.
        htlc_id: HtlcId,
    },
    /// A release contradicts an earlier one.
    #[error("something else was told of the offered HTLC {htlc_id} before")]
    ToldOtherwise {
        /// Its id.
        htlc_id: HtlcId,
    },
    /// The block is not on top of what was seen: disconnect first.
    #[error("the block at height {} does not connect to the one known at height {}",
        .block.height, .known.height)]
    BlockDoesNotConnect {
        /// The record's.
        block: BlockRef,
        /// What it contradicts.
        known: BlockRef,
    },
    /// An output was spent a second time: disconnect the first spend before.
    #[error("output {outpoint} was spent before, in the block at height {}", .known.height)]
    SpentTwice {
        /// The output.
        outpoint: OutPoint,
        /// Where the known spend is.
        known: BlockRef,
    },
    /// The two balances and the HTLCs are not worth what a funding that is not locked is worth.
    #[error("the amounts of the {owner:?} commitment {number} do not add up on {funding_txid}")]
    WrongBalanceOn {
        /// The funding.
        funding_txid: Txid,
        /// Whose commitment.
        owner: Side,
        /// Its number.
        number: CommitmentNumber,
    },
    /// The record names a funding that is not pending: unknown, locked, or retired.
    #[error("there is no pending funding {funding_txid}")]
    FundingNotPending {
        /// The funding.
        funding_txid: Txid,
    },
    /// A new funding is known already.
    #[error("the funding {funding_txid} is known already")]
    FundingKnown {
        /// The funding.
        funding_txid: Txid,
    },
    /// The channel has as many fundings as it may have
    /// ([`MAX_FUNDINGS`](lastword_types::MAX_FUNDINGS)).
    #[error("there are too many fundings for {funding_txid}")]
    TooManyFundings {
        /// The new one.
        funding_txid: Txid,
    },
    /// Splices and replacements of the first funding exclude each other.
    #[error("the funding {funding_txid} cannot be a {kind:?} now")]
    WrongFundingKind {
        /// The new one.
        funding_txid: Txid,
        /// What it is said to be.
        kind: FundingKind,
    },
    /// A pending funding is left without a commitment that the locked one has.
    #[error("the {owner:?} commitment {number} is missing on {funding_txid}")]
    CommitmentMissing {
        /// The funding.
        funding_txid: Txid,
        /// Whose commitment.
        owner: Side,
        /// Its number.
        number: CommitmentNumber,
    },
    /// Tombstones are dropped behind an epoch that the book had when others were dropped: it is
    /// raised before (rule R10).
    #[error("tombstones were dropped behind epoch {latest}, and {got} is not above it")]
    EpochNotRaised {
        /// The epoch of the time before.
        latest: BookEpoch,
        /// The record's.
        got: BookEpoch,
    },
    /// The channel cannot be archived yet (rule R11).
    #[error("the channel cannot be archived")]
    NotArchivable(#[source] ArchiveWaits),
    /// The channel is archived: no update changes it any more (rule R11).
    #[error("the channel is archived")]
    Archived,
    /// A state contradicts itself; it was damaged, or written by something else.
    #[error("the state contradicts itself: {0}")]
    State(&'static str),
    /// What a state says cannot be built.
    #[error("the state describes no transaction")]
    Bolt3(#[from] Bolt3Error),
}
