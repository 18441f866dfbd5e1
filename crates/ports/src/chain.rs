//! The chain and the wallet: [`BlockSource`], [`Broadcaster`], [`FeeSource`], [`CoinSource`].

use alloc::boxed::Box;
use alloc::vec::Vec;

use bitcoin::{Amount, Block, BlockHash, OutPoint, ScriptBuf, Transaction};
use lastword_types::{BlockRef, FeeRatePerKw};
use thiserror::Error;

/// What the caller of a chain adapter should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainErrorKind {
    /// The other side is away or busy; the same call may work later.
    Retry,
    /// The other side refuses us: wrong cookie or password.
    Refused,
    /// The other side answers what cannot be true; `detail` says what.
    Nonsense,
    /// The other side does not have what was asked for.
    NotFound,
    /// The transaction was refused by the mempool or by consensus; `source` says why.
    Rejected,
    /// The transaction was refused because it pays too little: less than the mempool takes now, or
    /// not enough to replace what is there. One that pays more may be taken.
    FeeTooLow,
}

/// A chain adapter could not do what it was asked.
#[derive(Debug, Error)]
#[error("{kind:?}: {detail}")]
pub struct ChainError {
    /// What to do about it.
    pub kind: ChainErrorKind,
    /// What it is, for a person.
    pub detail: &'static str,
    /// What lies beneath.
    #[source]
    pub source: Option<Box<dyn core::error::Error + Send + Sync>>,
}

impl ChainError {
    /// Makes an error without a cause beneath.
    pub fn new(kind: ChainErrorKind, detail: &'static str) -> Self {
        Self { kind, detail, source: None }
    }

    /// Adds what lies beneath.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// A block's place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The block.
    pub block: BlockRef,
    /// The block before it.
    pub previous: BlockHash,
}

/// Where blocks come from.
///
/// The engine asks for the tip, walks headers back to a block that it knows, and reads the blocks
/// between; it checks that what it gets connects.
///
/// # To be correct, an implementation must
///
/// - return from `tip` the block with the most work that it has validated;
/// - still know the headers of blocks that left the best chain;
/// - return the block that was asked for, or an error.
pub trait BlockSource: Send {
    /// Returns the best block.
    ///
    /// # Errors
    ///
    /// [`ChainError`].
    fn tip(&mut self) -> Result<BlockRef, ChainError>;

    /// Returns the place of a block.
    ///
    /// # Errors
    ///
    /// [`ChainErrorKind::NotFound`] if the source never had it.
    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError>;

    /// Returns a block.
    ///
    /// # Errors
    ///
    /// [`ChainErrorKind::NotFound`] if the source does not have it.
    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError>;

    /// Returns unconfirmed transactions that spend some of these outputs, as far as the source sees
    /// any.
    ///
    /// A hint and no more: a source without a mempool has none, and so has this default. Nothing is
    /// promised of what is returned; whoever asks reads it as a stranger's.
    ///
    /// # Errors
    ///
    /// [`ChainError`]; nothing is lost by asking later.
    fn unconfirmed_spends(
        &mut self,
        _outpoints: &[OutPoint],
    ) -> Result<Vec<Transaction>, ChainError> {
        Ok(Vec::new())
    }

    /// Returns a block's bytes, as consensus encodes it.
    ///
    /// What the engine asks for: it walks the bytes and builds only the transactions that concern
    /// somebody. A source that has the bytes hands them out as they are; they need not be checked.
    ///
    /// # Errors
    ///
    /// As [`block`](Self::block).
    fn raw_block(&mut self, hash: BlockHash) -> Result<Vec<u8>, ChainError> {
        self.block(hash).map(|block| bitcoin::consensus::serialize(&block))
    }
}

/// Where transactions go.
///
/// # To be correct, an implementation must
///
/// - take a transaction that it already has, or that is already confirmed, as a success, also one
///   of a package;
/// - judge the fee of a package as a whole, so that a child can pay for a parent that pays nothing;
/// - report a refusal as [`ChainErrorKind::FeeTooLow`] if the fee is the reason and nothing else, for
///   only then the engine offers more, and any other as [`ChainErrorKind::Rejected`].
pub trait Broadcaster: Send {
    /// Offers a transaction to the network.
    ///
    /// # Errors
    ///
    /// [`ChainError`]; the engine offers it again later.
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError>;

    /// Offers transactions to the network as one: parents first, and last the child that spends an
    /// output of each and pays for all.
    ///
    /// After a refusal some of them may have been taken all the same.
    ///
    /// # Errors
    ///
    /// [`ChainError`]; the engine offers them again later.
    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError>;
}

/// How soon a claim should confirm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nobody else can take the output.
    Relaxed,
    /// Somebody else can take it from some height on.
    Contended,
}

/// Where fee rates come from.
pub trait FeeSource: Send {
    /// Returns the rate to use; at least the relay floor.
    fn feerate(&mut self, urgency: Urgency) -> FeeRatePerKw;
}

/// A confirmed P2WPKH output of our wallet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coin {
    /// Which.
    pub outpoint: OutPoint,
    /// Its value.
    pub amount: Amount,
    /// Its script pubkey.
    pub script_pubkey: ScriptBuf,
}

/// A wallet that pays fees of transactions that cannot pay them by themselves, and takes sweeps in.
///
/// # To be correct, an implementation must
///
/// - return only confirmed P2WPKH coins that are unspent as far as it knows;
/// - sign with `SIGHASH_ALL` (BOLT 5: our own signature must be ALL).
pub trait CoinSource: Send {
    /// Returns the coins that may be spent, each at most once.
    ///
    /// # Errors
    ///
    /// [`ChainError`].
    fn coins(&mut self) -> Result<Vec<Coin>, ChainError>;

    /// Returns the script that receives what is swept and what is left over.
    fn destination(&mut self) -> ScriptBuf;

    /// Fills in the witness of one input that spends `coin`.
    ///
    /// # Errors
    ///
    /// [`ChainErrorKind::NotFound`] if the coin is not this wallet's.
    fn sign(
        &mut self,
        transaction: &mut Transaction,
        input: usize,
        coin: &Coin,
    ) -> Result<(), ChainError>;
}

impl<T: BlockSource + ?Sized> BlockSource for Box<T> {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        (**self).tip()
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        (**self).header(hash)
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        (**self).block(hash)
    }

    fn raw_block(&mut self, hash: BlockHash) -> Result<Vec<u8>, ChainError> {
        (**self).raw_block(hash)
    }

    fn unconfirmed_spends(
        &mut self,
        outpoints: &[OutPoint],
    ) -> Result<Vec<Transaction>, ChainError> {
        (**self).unconfirmed_spends(outpoints)
    }
}

impl<T: Broadcaster + ?Sized> Broadcaster for Box<T> {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        (**self).broadcast(transaction)
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        (**self).broadcast_package(package)
    }
}
