//! [`InProcess`]: the in-process chain as a [`World`].

use bitcoin::{Block, BlockHash, OutPoint, Script, Transaction};
use lastword_ports::{BlockSource, Broadcaster, ChainError, Header};
use lastword_regtest::{Chain, SharedChain};
use lastword_types::BlockRef;

use crate::error::{SimError, Trying as _};
use crate::world::World;

/// The in-process chain, which accepts only what consensus accepts.
#[derive(Debug, Clone)]
pub struct InProcess(SharedChain);

impl InProcess {
    /// Makes a new chain.
    pub fn new() -> Self {
        Self(SharedChain::new(Chain::new()))
    }

    /// Stands on a chain that is there already.
    pub fn on(chain: SharedChain) -> Self {
        Self(chain)
    }

    /// Returns another handle on the chain.
    pub fn chain(&self) -> SharedChain {
        self.0.clone()
    }
}

impl Default for InProcess {
    fn default() -> Self {
        Self::new()
    }
}

impl World for InProcess {
    fn mine(&mut self, reward: &Script) -> Result<(), SimError> {
        self.0.lock().mine(reward);
        Ok(())
    }

    fn mine_with(&mut self, reward: &Script, transactions: &[Transaction]) -> Result<(), SimError> {
        self.0
            .lock()
            .mine_transactions(reward, transactions.to_vec())
            .map(drop)
            .trying("mine these transactions")
    }

    fn disconnect(&mut self, depth: u32) -> Result<(), SimError> {
        let depth = usize::try_from(depth).trying("count blocks")?;
        if self.0.lock().reorg(depth).len() == depth {
            Ok(())
        } else {
            Err(SimError::new("the chain is too short for this reorg"))
        }
    }

    fn is_unspent(&mut self, outpoint: OutPoint) -> Result<bool, SimError> {
        let chain = self.0.lock();
        Ok(chain.utxo(outpoint).is_some() && chain.mempool_spender(outpoint).is_none())
    }
}

impl BlockSource for InProcess {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        self.0.tip()
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        self.0.header(hash)
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        self.0.block(hash)
    }
}

impl Broadcaster for InProcess {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        self.0.broadcast(transaction)
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        self.0.broadcast_package(package)
    }
}
