//! A chain of tokens: blocks that hang together, with transactions that nobody verifies.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header as BlockHeader, Version as BlockVersion};
use bitcoin::hashes::Hash as _;
use bitcoin::transaction::Version;
use bitcoin::{
    Block, BlockHash, CompactTarget, ScriptBuf, Sequence, Transaction, TxIn, TxMerkleNode, TxOut,
};
use lastword_ports::{
    BlockSource, Broadcaster, ChainError, ChainErrorKind, Coin, CoinSource, Header,
};
use lastword_types::{BlockHeight, BlockRef};

/// The blocks of a life, all that ever are, and the order in which they become the tip.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    known: BTreeMap<BlockHash, (Header, Vec<u8>)>,
}

impl Blocks {
    /// Makes the first block.
    pub(crate) fn begin() -> (Self, BlockRef) {
        let mut blocks = Self::default();
        let first = blocks.add(BlockHash::all_zeros(), BlockHeight(0), 0, Vec::new());
        (blocks, first)
    }

    /// Puts a block on another; `branch` tells blocks apart that hold the same.
    pub(crate) fn extend(
        &mut self,
        on: BlockRef,
        branch: u32,
        transactions: Vec<Transaction>,
    ) -> BlockRef {
        self.add(on.hash, on.height.plus(1), branch, transactions)
    }

    fn add(
        &mut self,
        previous: BlockHash,
        height: BlockHeight,
        branch: u32,
        mut transactions: Vec<Transaction>,
    ) -> BlockRef {
        transactions.insert(0, coinbase(height));
        let mut block = Block {
            header: BlockHeader {
                version: BlockVersion::TWO,
                prev_blockhash: previous,
                merkle_root: TxMerkleNode::all_zeros(),
                time: height.0,
                bits: CompactTarget::from_consensus(0x207f_ffff),
                nonce: branch,
            },
            txdata: transactions,
        };
        let root = block.compute_merkle_root().expect("it has a transaction");
        block.header.merkle_root = root;
        let hash = block.block_hash();
        let at = BlockRef { height, hash };
        let bytes = bitcoin::consensus::serialize(&block);
        self.known.insert(hash, (Header { block: at, previous }, bytes));
        at
    }
}

fn coinbase(height: BlockHeight) -> Transaction {
    Transaction {
        version: Version::ONE,
        lock_time: LockTime::from_consensus(height.0),
        input: vec![TxIn {
            sequence: Sequence::ZERO,
            script_sig: ScriptBuf::from_bytes(height.0.to_le_bytes().to_vec()),
            ..TxIn::default()
        }],
        output: vec![TxOut { value: bitcoin::Amount::ZERO, script_pubkey: ScriptBuf::new() }],
    }
}

/// The chain as one life of a node sees it: a handle, whose tip the life moves.
#[derive(Debug, Clone)]
pub(crate) struct Chain {
    blocks: Arc<Blocks>,
    tip: Arc<Mutex<BlockRef>>,
    offered: Arc<AtomicUsize>,
    read: Arc<AtomicU64>,
}

impl Chain {
    pub(crate) fn new(blocks: Arc<Blocks>, tip: BlockRef) -> Self {
        Self {
            blocks,
            tip: Arc::new(Mutex::new(tip)),
            offered: Arc::default(),
            read: Arc::default(),
        }
    }

    /// Returns how many blocks were read.
    pub(crate) fn blocks_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    pub(crate) fn move_to(&self, tip: BlockRef) {
        *self.tip.lock().unwrap_or_else(PoisonError::into_inner) = tip;
    }

    fn get(&self, hash: BlockHash) -> Result<&(Header, Vec<u8>), ChainError> {
        let missing = || ChainError::new(ChainErrorKind::NotFound, "there is no such block");
        self.blocks.known.get(&hash).ok_or_else(missing)
    }
}

impl BlockSource for Chain {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        Ok(*self.tip.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        self.get(hash).map(|(header, _)| *header)
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        let bytes = self.raw_block(hash)?;
        bitcoin::consensus::deserialize(&bytes).map_err(|error| {
            ChainError::new(ChainErrorKind::Nonsense, "a block does not decode").with_source(error)
        })
    }

    fn raw_block(&mut self, hash: BlockHash) -> Result<Vec<u8>, ChainError> {
        self.read.fetch_add(1, Ordering::Relaxed);
        self.get(hash).map(|(_, bytes)| bytes.clone())
    }
}

/// What is offered is counted and taken by nobody: the life says what is in the blocks.
impl Broadcaster for Chain {
    fn broadcast(&mut self, _transaction: &Transaction) -> Result<(), ChainError> {
        self.offered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn broadcast_package(&mut self, _package: &[Transaction]) -> Result<(), ChainError> {
        self.offered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A wallet without coins, so that no claim that needs one is built.
#[derive(Debug)]
pub(crate) struct NoCoins;

impl CoinSource for NoCoins {
    fn coins(&mut self) -> Result<Vec<Coin>, ChainError> {
        Ok(Vec::new())
    }

    fn destination(&mut self) -> ScriptBuf {
        ScriptBuf::new_op_return([1; 4])
    }

    fn sign(&mut self, _: &mut Transaction, _: usize, _: &Coin) -> Result<(), ChainError> {
        Err(ChainError::new(ChainErrorKind::NotFound, "there are no coins"))
    }
}
