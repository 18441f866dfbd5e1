//! [`FaultyChain`]: a block source or broadcaster that fails when it is told to; [`FixedFees`].

use std::collections::BTreeMap;

use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash, Transaction};
use lastword_ports::{
    BlockSource, Broadcaster, ChainError, ChainErrorKind, FeeSource, Header, Urgency,
};
use lastword_types::{BlockRef, FeeRatePerKw};

/// What a call to a chain does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainFault {
    /// It fails, and says this.
    Error(ChainErrorKind),
    /// It answers what cannot be true: a tip at the wrong height, a header that stands on a block
    /// that is not there, a block without its last transaction. A broadcast has no answer to spoil,
    /// so it reports success and drops the transaction.
    Nonsense,
}

/// A chain that fails at chosen calls, and otherwise does what the chain within does.
///
/// All calls count together, from 1, so that "the n-th call" means the same as in a log of them.
///
/// # Examples
///
/// ```
/// use bitcoin::absolute::LockTime;
/// use bitcoin::{Transaction, transaction::Version};
/// use lastword_ports::{Broadcaster, ChainError, ChainErrorKind};
/// use lastword_testkit::{ChainFault, FaultyChain};
///
/// struct Everything;
/// impl Broadcaster for Everything {
///     fn broadcast(&mut self, _: &Transaction) -> Result<(), ChainError> {
///         Ok(())
///     }
///
///     fn broadcast_package(&mut self, _: &[Transaction]) -> Result<(), ChainError> {
///         Ok(())
///     }
/// }
///
/// let transaction = Transaction {
///     version: Version::TWO,
///     lock_time: LockTime::ZERO,
///     input: vec![],
///     output: vec![],
/// };
/// let mut chain = FaultyChain::new(Everything);
/// chain.fail_at(2, ChainFault::Error(ChainErrorKind::Retry));
/// assert!(chain.broadcast(&transaction).is_ok());
/// let error = chain.broadcast(&transaction).expect_err("the second call");
/// assert_eq!(error.kind, ChainErrorKind::Retry);
/// assert!(chain.broadcast(&transaction).is_ok());
/// ```
#[derive(Debug)]
pub struct FaultyChain<C> {
    inner: C,
    calls: u64,
    faults: BTreeMap<u64, ChainFault>,
}

impl<C> FaultyChain<C> {
    /// Wraps a chain that does not fail yet.
    pub fn new(inner: C) -> Self {
        Self { inner, calls: 0, faults: BTreeMap::new() }
    }

    /// Makes one call fail, counted from 1 over the life of this wrapper.
    pub fn fail_at(&mut self, call: u64, fault: ChainFault) {
        self.faults.insert(call, fault);
    }

    /// Returns how many calls there were.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// Counts a call, and says whether its answer is to be nonsense.
    fn count(&mut self) -> Result<bool, ChainError> {
        self.calls += 1;
        match self.faults.get(&self.calls) {
            None => Ok(false),
            Some(ChainFault::Nonsense) => Ok(true),
            Some(ChainFault::Error(kind)) => {
                Err(ChainError::new(*kind, "the call was told to fail"))
            }
        }
    }
}

impl<C: BlockSource> BlockSource for FaultyChain<C> {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        let is_nonsense = self.count()?;
        let mut tip = self.inner.tip()?;
        if is_nonsense {
            tip.height = tip.height.plus(1_000);
        }
        Ok(tip)
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        let is_nonsense = self.count()?;
        let mut header = self.inner.header(hash)?;
        if is_nonsense {
            header.previous = BlockHash::from_byte_array([0xBA; 32]);
        }
        Ok(header)
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        let is_nonsense = self.count()?;
        let mut block = self.inner.block(hash)?;
        if is_nonsense {
            block.txdata.pop();
        }
        Ok(block)
    }
}

impl<C: Broadcaster> Broadcaster for FaultyChain<C> {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        if self.count()? { Ok(()) } else { self.inner.broadcast(transaction) }
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        if self.count()? { Ok(()) } else { self.inner.broadcast_package(package) }
    }
}

/// A fee source that always says the same.
///
/// # Units
///
/// Satoshi for 1,000 weight units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedFees(pub FeeRatePerKw);

impl FeeSource for FixedFees {
    fn feerate(&mut self, _urgency: Urgency) -> FeeRatePerKw {
        self.0
    }
}
