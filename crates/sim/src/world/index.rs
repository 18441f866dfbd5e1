//! [`ChainIndex`]: the best chain, block by block, and who spends what.

use std::collections::BTreeMap;

use bitcoin::{Block, BlockHash, OutPoint, Script, Transaction, TxOut, Txid};
use lastword_ports::BlockSource;

use crate::error::{SimError, Trying as _};

/// A confirmed transaction.
#[derive(Debug, Clone)]
pub struct Confirmed {
    /// The height of its block.
    pub height: u32,
    /// The transaction.
    pub transaction: Transaction,
}

/// Everything that the best chain holds, kept for looking up.
#[derive(Debug, Clone, Default)]
pub struct ChainIndex {
    blocks: Vec<(BlockHash, Block)>,
    transactions: BTreeMap<Txid, Confirmed>,
    spends: BTreeMap<OutPoint, Txid>,
    unspent: BTreeMap<OutPoint, TxOut>,
    /// Every transaction that was ever seen, also in blocks that left.
    seen: BTreeMap<Txid, Transaction>,
}

impl ChainIndex {
    /// Starts empty.
    pub fn new() -> Self {
        Self::default()
    }

    /// Follows the source to its tip.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the source fails.
    pub fn sync(&mut self, source: &mut dyn BlockSource) -> Result<(), SimError> {
        let tip = source.tip().trying("read the tip")?;
        let mut new = Vec::new();
        let mut hash = tip.hash;
        let mut height = tip.height.0;
        // The genesis block is nobody's concern.
        while height > 0 && self.hash_at(height) != Some(hash) {
            let block = source.block(hash).trying("read a block")?;
            let previous = block.header.prev_blockhash;
            new.push((hash, block));
            hash = previous;
            height -= 1;
        }
        let keep = usize::try_from(height).trying("count blocks")?;
        if keep < self.blocks.len() {
            self.truncate(keep);
        }
        for (hash, block) in new.into_iter().rev() {
            self.connect(hash, block);
        }
        Ok(())
    }

    /// Returns the height of the best block.
    pub fn height(&self) -> u32 {
        u32::try_from(self.blocks.len()).unwrap_or(u32::MAX)
    }

    /// Returns a confirmed transaction.
    pub fn transaction(&self, txid: Txid) -> Option<&Confirmed> {
        self.transactions.get(&txid)
    }

    /// Returns the confirmed spend of an output.
    pub fn spend(&self, outpoint: OutPoint) -> Option<&Confirmed> {
        self.spends.get(&outpoint).and_then(|txid| self.transactions.get(txid))
    }

    /// Returns an output that nothing confirmed spends.
    pub fn unspent(&self, outpoint: OutPoint) -> Option<&TxOut> {
        self.unspent.get(&outpoint)
    }

    /// Returns the height of the block that created an output.
    pub fn created_at(&self, outpoint: OutPoint) -> Option<u32> {
        self.transactions.get(&outpoint.txid).map(|confirmed| confirmed.height)
    }

    /// Visits the unspent outputs that a script locks, coinbases left out, ordered by outpoint.
    pub fn coins<'a>(
        &'a self,
        script: &'a Script,
    ) -> impl Iterator<Item = (OutPoint, &'a TxOut)> + 'a {
        self.unspent
            .iter()
            .filter(move |(outpoint, output)| {
                output.script_pubkey.as_script() == script && !self.is_coinbase(outpoint.txid)
            })
            .map(|(outpoint, output)| (*outpoint, output))
    }

    /// Returns the reward of the block at `height`, if nothing confirmed spends it.
    pub fn reward(&self, height: u32) -> Option<(OutPoint, &TxOut)> {
        let below = usize::try_from(height).ok()?.checked_sub(1)?;
        let (_, block) = self.blocks.get(below)?;
        let outpoint = OutPoint { txid: block.txdata.first()?.compute_txid(), vout: 0 };
        Some((outpoint, self.unspent.get(&outpoint)?))
    }

    /// Visits every transaction that ever was in a block, also of blocks that left.
    pub fn ever_seen(&self) -> impl Iterator<Item = &Transaction> {
        self.seen.values()
    }

    /// Returns how many transactions are confirmed, coinbases left out.
    pub fn transaction_count(&self) -> usize {
        self.transactions.len().saturating_sub(self.blocks.len())
    }

    fn hash_at(&self, height: u32) -> Option<BlockHash> {
        let below = usize::try_from(height).ok()?.checked_sub(1)?;
        self.blocks.get(below).map(|(hash, _)| *hash)
    }

    fn is_coinbase(&self, txid: Txid) -> bool {
        self.transactions.get(&txid).is_some_and(|confirmed| confirmed.transaction.is_coinbase())
    }

    fn truncate(&mut self, keep: usize) {
        // A reorg is rare, and the chain of a run is short.
        let mut blocks = std::mem::take(&mut self.blocks);
        blocks.truncate(keep);
        self.transactions.clear();
        self.spends.clear();
        self.unspent.clear();
        for (hash, block) in blocks {
            self.connect(hash, block);
        }
    }

    fn connect(&mut self, hash: BlockHash, block: Block) {
        let height = self.height() + 1;
        for transaction in &block.txdata {
            let txid = transaction.compute_txid();
            for input in &transaction.input {
                self.unspent.remove(&input.previous_output);
                self.spends.insert(input.previous_output, txid);
            }
            for (output, vout) in transaction.output.iter().zip(0..) {
                self.unspent.insert(OutPoint { txid, vout }, output.clone());
            }
            let transaction = transaction.clone();
            self.seen.insert(txid, transaction.clone());
            self.transactions.insert(txid, Confirmed { height, transaction });
        }
        self.blocks.push((hash, block));
    }
}
