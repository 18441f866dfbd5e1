//! A chain that several hold: [`SharedChain`].

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::{Block, BlockHash, OutPoint, Transaction};
use lastword_ports::{BlockSource, Broadcaster, ChainError, ChainErrorKind, Header};
use lastword_types::BlockRef;

use crate::chain::Chain;
use crate::reject::Reject;

/// One [`Chain`] behind a lock, for those who speak to it through ports.
///
/// A clone is another handle on the same chain.
///
/// # Examples
///
/// ```
/// use lastword_ports::BlockSource;
/// use lastword_regtest::{Chain, SharedChain};
///
/// let shared = SharedChain::new(Chain::new());
/// let mut source = shared.clone();
/// let block = shared.lock().mine_empty();
/// assert_eq!(source.tip()?.hash, block);
/// # Ok::<(), lastword_ports::ChainError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct SharedChain(Arc<Mutex<Chain>>);

impl SharedChain {
    /// Shares a chain.
    #[must_use]
    pub fn new(chain: Chain) -> Self {
        Self(Arc::new(Mutex::new(chain)))
    }

    /// Takes the chain; everybody else waits until the guard is dropped.
    pub fn lock(&self) -> MutexGuard<'_, Chain> {
        // A chain checks before it changes, so a holder that panicked left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockSource for SharedChain {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        Ok(self.lock().tip())
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        let chain = self.lock();
        match (chain.height_of(hash), chain.block(hash)) {
            (Some(height), Some(block)) => Ok(Header {
                block: BlockRef { height, hash },
                previous: block.header.prev_blockhash,
            }),
            (None, _) | (_, None) => Err(unknown_block()),
        }
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        self.lock().block(hash).cloned().ok_or_else(unknown_block)
    }

    fn unconfirmed_spends(
        &mut self,
        outpoints: &[OutPoint],
    ) -> Result<Vec<Transaction>, ChainError> {
        Ok(self.lock().unconfirmed_spends(outpoints))
    }
}

impl Broadcaster for SharedChain {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        self.lock().submit(transaction.clone()).map_err(|reject| {
            ChainError::new(kind_of(&reject), "the mempool refused the transaction")
                .with_source(reject)
        })
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        self.lock().submit_package(package).map_err(|reject| {
            ChainError::new(kind_of(&reject), "the mempool refused the package").with_source(reject)
        })
    }
}

fn kind_of(reject: &Reject) -> ChainErrorKind {
    match reject {
        Reject::FeeTooLow { .. } => ChainErrorKind::FeeTooLow,
        Reject::NoInputs
        | Reject::NoOutputs
        | Reject::TooHeavy { .. }
        | Reject::TooMuchMoney { .. }
        | Reject::DuplicateInput { .. }
        | Reject::NullInput { .. }
        | Reject::Coinbase
        | Reject::CoinbaseScript { .. }
        | Reject::NotFinal { .. }
        | Reject::LockedToHeight { .. }
        | Reject::LockedToTime { .. }
        | Reject::MissingInput { .. }
        | Reject::Spent { .. }
        | Reject::Conflict { .. }
        | Reject::Immature { .. }
        | Reject::Inflation { .. }
        | Reject::TooManySigops { .. }
        | Reject::Script { .. }
        | Reject::OutputExists { .. } => ChainErrorKind::Rejected,
    }
}

fn unknown_block() -> ChainError {
    ChainError::new(ChainErrorKind::NotFound, "the chain never had this block")
}
