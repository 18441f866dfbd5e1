//! The chain itself: [`Chain`].

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, Block, BlockHash, Network, OutPoint, Transaction, Txid, Weight};
use lastword_types::{BlockHeight, BlockRef};

use crate::block::{MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, check_block, median_time, outputs_of};
use crate::mempool::{Mempool, Replacement};
use crate::reject::{BlockReject, Reject};
use crate::rules::{Checked, Context, Unspent, check_final, check_shape, check_spend};

/// A chain on its own, with a mempool and a miner.
///
/// # Shape
///
/// Begins with the genesis block of Bitcoin's regtest network and follows that network's rules.
/// The same calls give the same chain, byte for byte: times follow from heights.
///
/// # Examples
///
/// ```
/// use bitcoin::ScriptBuf;
/// use lastword_regtest::Chain;
///
/// let mut chain = Chain::new();
/// let block = chain.mine(&ScriptBuf::new());
/// assert_eq!(chain.tip().hash, block);
/// chain.reorg(1);
/// assert_eq!(chain.height().0, 0);
/// assert!(chain.block(block).is_some());
/// ```
#[derive(Debug, Clone)]
pub struct Chain {
    /// Every block that ever was in the best chain.
    blocks: BTreeMap<BlockHash, (BlockHeight, Block)>,
    /// The best chain, the genesis block first.
    best: Vec<Best>,
    /// The median time at each block of the best chain.
    median_times: Vec<u32>,
    unspent: BTreeMap<OutPoint, Unspent>,
    /// Where each confirmed transaction is.
    confirmed: BTreeMap<Txid, (BlockHeight, usize)>,
    /// Who spent each spent outpoint, in the best chain.
    spenders: BTreeMap<OutPoint, Txid>,
    pub(crate) mempool: Mempool,
    replacement: Replacement,
    /// Counts blocks made here, so that no two coinbases are alike.
    pub(crate) made: u32,
}

/// A block of the best chain, and what must come back when it leaves.
#[derive(Debug, Clone)]
struct Best {
    hash: BlockHash,
    time: u32,
    spent: Vec<(OutPoint, Unspent)>,
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl Chain {
    /// Begins a chain with the genesis block of regtest, whose coinbase nobody can spend.
    #[must_use]
    pub fn new() -> Self {
        let genesis = bitcoin::constants::genesis_block(Network::Regtest);
        let (hash, time) = (genesis.block_hash(), genesis.header.time);
        Self {
            blocks: BTreeMap::from([(hash, (BlockHeight(0), genesis))]),
            best: vec![Best { hash, time, spent: Vec::new() }],
            median_times: vec![time],
            unspent: BTreeMap::new(),
            confirmed: BTreeMap::new(),
            spenders: BTreeMap::new(),
            mempool: Mempool::default(),
            replacement: Replacement::Never,
            made: 0,
        }
    }

    /// Says what happens to later transactions that spend what one in the mempool spends.
    pub fn set_replacement(&mut self, replacement: Replacement) {
        self.replacement = replacement;
    }

    /// Offers a transaction to the mempool.
    ///
    /// It may spend outputs of transactions that wait there. One that waits there already, or is
    /// confirmed, is a success and changes nothing.
    ///
    /// # Errors
    ///
    /// [`Reject`] if it may not be in the next block, or conflicts with one that waits; the chain
    /// is unchanged.
    pub fn submit(&mut self, transaction: Transaction) -> Result<(), Reject> {
        let replacement = self.replacement;
        self.submit_with(transaction, replacement)
    }

    /// Offers transactions to the mempool in their order, as one package.
    ///
    /// Nothing here has to pay a fee, so a package is taken as its transactions would be alone.
    ///
    /// # Errors
    ///
    /// The first [`Reject`]; what came before it stays, as in any node, and what comes after it is
    /// not tried.
    pub fn submit_package(&mut self, package: &[Transaction]) -> Result<(), Reject> {
        package.iter().try_for_each(|transaction| self.submit(transaction.clone()))
    }

    fn submit_with(
        &mut self,
        transaction: Transaction,
        replacement: Replacement,
    ) -> Result<(), Reject> {
        let txid = transaction.compute_txid();
        if self.mempool.entry(txid).is_some() || self.confirmed.contains_key(&txid) {
            return Ok(());
        }
        let checked = self.check_for_mempool(&transaction, replacement)?;
        for evicted in self.mempool.check_replacement(&transaction, checked.fee)? {
            self.mempool.evict(evicted);
        }
        self.mempool.insert(transaction, checked.fee, checked.sigops_cost);
        Ok(())
    }

    /// Returns the transactions of the mempool that spend some of these outputs, each once.
    pub fn unconfirmed_spends(&self, outpoints: &[OutPoint]) -> Vec<Transaction> {
        let txids: BTreeSet<Txid> =
            outpoints.iter().filter_map(|outpoint| self.mempool.spender(*outpoint)).collect();
        let entries = txids.into_iter().filter_map(|txid| self.mempool.entry(txid));
        entries.map(|entry| entry.transaction.clone()).collect()
    }

    fn check_for_mempool(
        &self,
        transaction: &Transaction,
        replacement: Replacement,
    ) -> Result<Checked, Reject> {
        check_shape(transaction)?;
        if transaction.is_coinbase() {
            return Err(Reject::Coinbase);
        }
        let weight = transaction.weight();
        if weight > MAX_MEMPOOL_WEIGHT {
            return Err(Reject::TooHeavy { weight, limit: MAX_MEMPOOL_WEIGHT });
        }
        let context = self.next_context();
        check_final(transaction, &context)?;
        let mut spent = Vec::with_capacity(transaction.input.len());
        for (input, txin) in transaction.input.iter().enumerate() {
            let outpoint = txin.previous_output;
            if let (Some(with), Replacement::Never) = (self.mempool.spender(outpoint), replacement)
            {
                return Err(Reject::Conflict { input, outpoint, with });
            }
            spent.push((outpoint, self.find_for_mempool(input, outpoint)?));
        }
        let checked = check_spend(transaction, &context, spent)?;
        if checked.sigops_cost > MAX_MEMPOOL_SIGOPS_COST {
            let (cost, limit) = (checked.sigops_cost, MAX_MEMPOOL_SIGOPS_COST);
            return Err(Reject::TooManySigops { cost, limit });
        }
        Ok(checked)
    }

    /// Finds an output in the mempool, as if confirmed in the next block, or in the chain.
    fn find_for_mempool(&self, input: usize, outpoint: OutPoint) -> Result<Unspent, Reject> {
        let Some(entry) = self.mempool.entry(outpoint.txid) else {
            return self.find(input, outpoint);
        };
        let height = self.height().plus(1);
        usize::try_from(outpoint.vout)
            .ok()
            .and_then(|vout| entry.transaction.output.get(vout))
            .map(|output| Unspent { output: output.clone(), height, is_coinbase: false })
            .ok_or(Reject::MissingInput { input, outpoint })
    }

    fn find(&self, input: usize, outpoint: OutPoint) -> Result<Unspent, Reject> {
        if let Some(unspent) = self.unspent.get(&outpoint) {
            return Ok(unspent.clone());
        }
        match self.spenders.get(&outpoint) {
            Some(by) => Err(Reject::Spent { input, outpoint, by: *by }),
            None => Err(Reject::MissingInput { input, outpoint }),
        }
    }

    /// Checks a block and makes it the new tip; the mempool drops what it confirms or contradicts.
    ///
    /// # Errors
    ///
    /// [`BlockReject`]; the chain is unchanged.
    pub fn connect(&mut self, block: &Block) -> Result<(), BlockReject> {
        let (previous, tip) = (block.header.prev_blockhash, self.tip().hash);
        if previous != tip {
            return Err(BlockReject::NotOnTip { previous, tip });
        }
        let checked = check_block(block, &self.next_context(), &|input, outpoint| {
            self.find(input, outpoint)
        })?;
        self.commit(block, checked);
        Ok(())
    }

    /// Takes a checked block in.
    fn commit(&mut self, block: &Block, checked: Vec<Checked>) {
        let height = self.height().plus(1);
        let mut undo = Vec::new();
        for (index, (transaction, checked)) in block.txdata.iter().zip(checked).enumerate() {
            let txid = transaction.compute_txid();
            self.mempool.remove(txid);
            for (outpoint, unspent) in checked.spent {
                self.unspent.remove(&outpoint);
                self.spenders.insert(outpoint, txid);
                if let Some(loser) = self.mempool.spender(outpoint) {
                    self.mempool.evict(loser);
                }
                undo.push((outpoint, unspent));
            }
            for (outpoint, output) in outputs_of(txid, transaction) {
                let is_coinbase = index == 0;
                let unspent = Unspent { output: output.clone(), height, is_coinbase };
                self.unspent.insert(outpoint, unspent);
            }
            self.confirmed.insert(txid, (height, index));
        }
        let (hash, time) = (block.block_hash(), block.header.time);
        self.best.push(Best { hash, time, spent: undo });
        let recent: Vec<u32> = self.best.iter().rev().take(11).map(|best| best.time).collect();
        self.median_times.push(median_time(&recent));
        self.blocks.insert(hash, (height, block.clone()));
        debug_assert_eq!(self.median_times.len(), self.best.len());
    }

    /// Takes the last blocks off the chain and returns them, the highest first.
    ///
    /// Their transactions go back to the mempool in their order, ahead of what waits there, where
    /// they are still valid in the next block. The blocks stay known by hash. Mine as many blocks
    /// or more to complete what the world sees of a reorg.
    ///
    /// # Shape
    ///
    /// At most `depth` hashes; the genesis block always stays.
    pub fn reorg(&mut self, depth: usize) -> Vec<BlockHash> {
        let mut gone = Vec::new();
        let mut returning = Vec::new();
        while gone.len() < depth {
            let Some((hash, transactions)) = self.disconnect() else { break };
            gone.push(hash);
            returning.push(transactions);
        }
        let waiting = core::mem::take(&mut self.mempool);
        let waiting = waiting.in_order().map(|(_, entry)| entry.transaction.clone());
        for transaction in returning.into_iter().rev().flatten().chain(waiting) {
            // What is not valid any more is lost, as in any node.
            drop(self.submit_with(transaction, Replacement::Never));
        }
        gone
    }

    /// Takes the last block off, unless it is the genesis block; returns its transactions but the
    /// coinbase.
    fn disconnect(&mut self) -> Option<(BlockHash, Vec<Transaction>)> {
        if self.best.len() == 1 {
            return None;
        }
        let Best { hash, spent, .. } = self.best.pop()?;
        self.median_times.pop();
        let (_, block) = self.blocks.get(&hash)?;
        for transaction in &block.txdata {
            let txid = transaction.compute_txid();
            self.confirmed.remove(&txid);
            for (outpoint, _) in outputs_of(txid, transaction) {
                self.unspent.remove(&outpoint);
            }
        }
        for (outpoint, unspent) in spent {
            self.spenders.remove(&outpoint);
            // What the block itself created is gone with it.
            if unspent.height.0 as usize != self.best.len() {
                self.unspent.insert(outpoint, unspent);
            }
        }
        Some((hash, block.txdata[1..].to_vec()))
    }

    /// Returns the best block.
    pub fn tip(&self) -> BlockRef {
        let height = self.height();
        BlockRef { height, hash: self.best[self.best.len() - 1].hash }
    }

    /// Returns the height of the best block.
    pub fn height(&self) -> BlockHeight {
        // Memory ends long before the numbers do.
        BlockHeight(u32::try_from(self.best.len() - 1).unwrap_or(u32::MAX))
    }

    /// Returns a block by its hash, also one that left the best chain.
    pub fn block(&self, hash: BlockHash) -> Option<&Block> {
        self.blocks.get(&hash).map(|(_, block)| block)
    }

    /// Returns the height of a block, also of one that left the best chain.
    pub fn height_of(&self, hash: BlockHash) -> Option<BlockHeight> {
        self.blocks.get(&hash).map(|(height, _)| *height)
    }

    /// Returns the block of the best chain at this height.
    pub fn block_at(&self, height: BlockHeight) -> Option<&Block> {
        let best = self.best.get(usize::try_from(height.0).ok()?)?;
        self.block(best.hash)
    }

    /// Visits the best chain, the genesis block first.
    pub fn blocks(&self) -> impl DoubleEndedIterator<Item = &Block> {
        self.best.iter().filter_map(|best| self.block(best.hash))
    }

    /// Returns a confirmed output that no confirmed transaction spends.
    pub fn utxo(&self, outpoint: OutPoint) -> Option<&Unspent> {
        self.unspent.get(&outpoint)
    }

    /// Visits all confirmed outputs that no confirmed transaction spends, in order of outpoint.
    pub fn utxos(&self) -> impl Iterator<Item = (OutPoint, &Unspent)> {
        self.unspent.iter().map(|(outpoint, unspent)| (*outpoint, unspent))
    }

    /// Returns a transaction of the best chain with its height, or one of the mempool without.
    pub fn transaction(&self, txid: Txid) -> Option<(&Transaction, Option<BlockHeight>)> {
        if let Some(entry) = self.mempool.entry(txid) {
            return Some((&entry.transaction, None));
        }
        let (height, index) = *self.confirmed.get(&txid)?;
        Some((self.block_at(height)?.txdata.get(index)?, Some(height)))
    }

    /// Returns what a transaction of the best chain or of the mempool pays; a coinbase pays nothing.
    pub fn fee(&self, txid: Txid) -> Option<Amount> {
        let (transaction, _) = self.transaction(txid)?;
        if transaction.is_coinbase() {
            return Some(Amount::ZERO);
        }
        let spent = transaction.input.iter().map(|input| {
            let OutPoint { txid, vout } = input.previous_output;
            let parent = self.transaction(txid)?.0;
            parent.output.get(usize::try_from(vout).ok()?).map(|output| output.value)
        });
        let spent: Amount = spent.sum::<Option<Amount>>()?;
        spent.checked_sub(transaction.output.iter().map(|output| output.value).sum())
    }

    /// Returns the confirmed transaction that spends an outpoint, and its height.
    pub fn spender(&self, outpoint: OutPoint) -> Option<(Txid, BlockHeight)> {
        let txid = *self.spenders.get(&outpoint)?;
        Some((txid, self.confirmed.get(&txid)?.0))
    }

    /// Returns the transactions that wait, in the order of their arrival, parents before children.
    pub fn mempool(&self) -> Vec<Txid> {
        self.mempool.in_order().map(|(txid, _)| txid).collect()
    }

    /// Returns the waiting transaction that spends an outpoint.
    pub fn mempool_spender(&self, outpoint: OutPoint) -> Option<Txid> {
        self.mempool.spender(outpoint)
    }

    /// Returns the median time of the best block, against which locks in time are measured.
    ///
    /// Source: BIP 113.
    pub fn median_time(&self) -> u32 {
        self.median_times[self.median_times.len() - 1]
    }

    /// Where a transaction of the next block stands.
    pub(crate) fn next_context(&self) -> Context<'_> {
        Context { height: self.height().plus(1), median_times: &self.median_times }
    }
}

/// Room that a block keeps for its header and a usual coinbase.
const RESERVED_WEIGHT: Weight = Weight::from_wu(4_000);
/// The most that a waiting transaction may weigh, so that a block with it alone is possible.
const MAX_MEMPOOL_WEIGHT: Weight =
    Weight::from_wu(MAX_BLOCK_WEIGHT.to_wu() - RESERVED_WEIGHT.to_wu());
/// The most that a waiting transaction's signature operations may cost, for the same reason.
const MAX_MEMPOOL_SIGOPS_COST: usize = MAX_BLOCK_SIGOPS_COST - 400;
