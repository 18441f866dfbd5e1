//! Why a transaction or a block was refused: [`Reject`] and [`BlockReject`].

use bitcoin::absolute::LockTime;
use bitcoin::{Amount, BlockHash, OutPoint, Txid, Weight};
use lastword_types::BlockHeight;
use thiserror::Error;

/// Why a transaction may not be in the next block, or not in the mempool.
///
/// # Shape
///
/// `input` and `output` count from 0 within the transaction.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Reject {
    /// It spends nothing.
    #[error("no inputs")]
    NoInputs,
    /// It creates nothing.
    #[error("no outputs")]
    NoOutputs,
    /// It is too large for a block.
    #[error("weighs {weight}, the limit is {limit}")]
    TooHeavy {
        /// What it weighs.
        weight: Weight,
        /// What it may weigh.
        limit: Weight,
    },
    /// The outputs up to this one are worth more than all money there is.
    #[error("the outputs up to {output} are worth more than all money")]
    TooMuchMoney {
        /// Which output.
        output: usize,
    },
    /// It names one outpoint twice.
    #[error("input {input} spends {outpoint} a second time")]
    DuplicateInput {
        /// The second of the two.
        input: usize,
        /// What they both spend.
        outpoint: OutPoint,
    },
    /// Only a coinbase may have an input without an outpoint.
    #[error("input {input} names no output")]
    NullInput {
        /// Which input.
        input: usize,
    },
    /// A coinbase stands where none may stand: in the mempool, or not first in a block.
    #[error("a coinbase belongs at the beginning of a block")]
    Coinbase,
    /// The script of a coinbase has 2 to 100 bytes.
    #[error("the coinbase's script has {bytes} bytes")]
    CoinbaseScript {
        /// How many it has.
        bytes: usize,
    },
    /// Its absolute lock time is not over.
    #[error("locked until {lock_time:?}; the block has height {height} and median time {time}")]
    NotFinal {
        /// The lock.
        lock_time: LockTime,
        /// The height of the block that it would be in.
        height: BlockHeight,
        /// The median time of the block before.
        time: u32,
    },
    /// A relative lock in blocks is not over.
    #[error("input {input} may be spent from height {from} on")]
    LockedToHeight {
        /// Which input.
        input: usize,
        /// The first height at which it may be in a block.
        from: BlockHeight,
    },
    /// A relative lock in time is not over.
    #[error("input {input} may be spent when the median time is at least {from}")]
    LockedToTime {
        /// Which input.
        input: usize,
        /// The least median time of the block before.
        from: u32,
    },
    /// It spends what does not exist.
    #[error("input {input} spends {outpoint}, which does not exist")]
    MissingInput {
        /// Which input.
        input: usize,
        /// What it spends.
        outpoint: OutPoint,
    },
    /// It spends what a confirmed transaction has spent.
    #[error("input {input} spends {outpoint}, which {by} has spent")]
    Spent {
        /// Which input.
        input: usize,
        /// What it spends.
        outpoint: OutPoint,
        /// The confirmed transaction.
        by: Txid,
    },
    /// It spends what a transaction of the mempool spends; the first seen stays.
    #[error("input {input} spends {outpoint}, as {with} does in the mempool")]
    Conflict {
        /// Which input.
        input: usize,
        /// What both spend.
        outpoint: OutPoint,
        /// The transaction that was first.
        with: Txid,
    },
    /// It would replace others without paying more than they do.
    #[error("pays {offered} where a replacement must pay {needed}")]
    FeeTooLow {
        /// What it pays.
        offered: Amount,
        /// What it would have to pay.
        needed: Amount,
    },
    /// It spends a coinbase that is less than 100 blocks old.
    #[error("input {input} spends a coinbase that is mature at height {from}")]
    Immature {
        /// Which input.
        input: usize,
        /// The first height at which it may be spent.
        from: BlockHeight,
    },
    /// It creates more than it spends.
    #[error("spends {spent} and creates {created}")]
    Inflation {
        /// The value of its inputs.
        spent: Amount,
        /// The value of its outputs.
        created: Amount,
    },
    /// It checks too many signatures.
    #[error("signature operations cost {cost}, the limit is {limit}")]
    TooManySigops {
        /// What they cost.
        cost: usize,
        /// What they may cost.
        limit: usize,
    },
    /// The script interpreter says no.
    #[error("the script of input {input}, which spends {outpoint}, fails")]
    Script {
        /// Which input.
        input: usize,
        /// What it spends.
        outpoint: OutPoint,
    },
    /// An unspent output of the same name exists (BIP 30).
    #[error("{outpoint} exists already")]
    OutputExists {
        /// Which output.
        outpoint: OutPoint,
    },
}

/// Why a block may not be the next one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BlockReject {
    /// It does not build on the best block.
    #[error("builds on {previous}, the tip is {tip}")]
    NotOnTip {
        /// What it builds on.
        previous: BlockHash,
        /// The best block.
        tip: BlockHash,
    },
    /// Versions below 4 are over (BIP 65).
    #[error("version {version} is below 4")]
    Version {
        /// Its version.
        version: i32,
    },
    /// It names another difficulty than the chain's.
    #[error("names the target {bits:#x}")]
    Target {
        /// The compact target that it names.
        bits: u32,
    },
    /// Its hash is above the target.
    #[error("the proof of work is missing")]
    ProofOfWork,
    /// It is not later than the median of the eleven blocks before it.
    #[error("its time {time} is not after {median}")]
    Time {
        /// Its time.
        time: u32,
        /// The median time of the block before.
        median: u32,
    },
    /// The header does not commit to these transactions.
    #[error("the merkle root does not match")]
    MerkleRoot,
    /// The first transaction is not a coinbase.
    #[error("no coinbase")]
    NoCoinbase,
    /// The coinbase does not begin with the height (BIP 34).
    #[error("the coinbase does not say height {height}")]
    CoinbaseHeight {
        /// The height that it must say.
        height: BlockHeight,
    },
    /// The coinbase does not commit to these witnesses (BIP 141).
    #[error("the witness commitment does not match")]
    WitnessCommitment,
    /// The block is too large.
    #[error("weighs {weight}, the limit is {limit}")]
    TooHeavy {
        /// What it weighs.
        weight: Weight,
        /// What it may weigh.
        limit: Weight,
    },
    /// Its transactions check too many signatures.
    #[error("signature operations cost {cost}, the limit is {limit}")]
    TooManySigops {
        /// What they cost.
        cost: usize,
        /// What they may cost.
        limit: usize,
    },
    /// The coinbase takes more than the subsidy and the fees.
    #[error("the coinbase takes {claimed} of {allowed}")]
    Reward {
        /// What it takes.
        claimed: Amount,
        /// What it may take.
        allowed: Amount,
    },
    /// One of its transactions is refused.
    #[error("transaction {index}, {txid}, is refused")]
    Transaction {
        /// Its place in the block; the coinbase has 0.
        index: usize,
        /// Which.
        txid: Txid,
        /// Why.
        #[source]
        reject: Reject,
    },
    /// A transaction was chosen that the mempool does not have.
    #[error("{txid} is not in the mempool")]
    NotInMempool {
        /// Which.
        txid: Txid,
    },
}
