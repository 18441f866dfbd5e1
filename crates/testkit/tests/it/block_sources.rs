//! The suite of block sources, held against a chain that is right and against wrong answers.

use std::sync::{Arc, Mutex};

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header as BlockHeader, Version};
use bitcoin::hashes::Hash;
use bitcoin::transaction::Version as TransactionVersion;
use bitcoin::{Block, BlockHash, CompactTarget, Transaction, TxMerkleNode};
use lastword_ports::{BlockSource, ChainError, ChainErrorKind, Header};
use lastword_testkit::conformance::{self, ChainHarness, Rule, check_block_source};
use lastword_testkit::{ChainFault, FaultyChain};
use lastword_types::{BlockHeight, BlockRef};

/// What is wrong with a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mistake {
    Nothing,
    TipStandsStill,
    TipIsTheFirstSeen,
    ForgetsBlocksThatLeft,
    ReturnsTheTipForAnyBlock,
    UnknownIsRetry,
    LosesTransactions,
    CutsBytes,
    CountsHeightsWrong,
}

#[derive(Default)]
struct TinyChain {
    /// Every block that ever was, with its height.
    blocks: Vec<(BlockHeight, Block)>,
    /// The best chain, as indices.
    best: Vec<usize>,
}

impl TinyChain {
    fn mine(&mut self, count: u32) {
        for _ in 0..count {
            let previous = self
                .best
                .last()
                .map_or(BlockHash::all_zeros(), |index| self.blocks[*index].1.block_hash());
            let height = BlockHeight(u32::try_from(self.best.len()).expect("a short chain"));
            let block = block_on(previous, u32::try_from(self.blocks.len()).expect("a few"));
            self.best.push(self.blocks.len());
            self.blocks.push((height, block));
        }
    }

    fn tip(&self) -> &(BlockHeight, Block) {
        &self.blocks[*self.best.last().expect("a genesis block")]
    }
}

/// A block with two transactions that no other block has.
fn block_on(previous: BlockHash, number: u32) -> Block {
    let transaction = |lock: u32| Transaction {
        version: TransactionVersion::TWO,
        lock_time: LockTime::from_consensus(lock),
        input: vec![],
        output: vec![],
    };
    let header = BlockHeader {
        version: Version::TWO,
        prev_blockhash: previous,
        merkle_root: TxMerkleNode::all_zeros(),
        time: number,
        bits: CompactTarget::from_consensus(0),
        nonce: 0,
    };
    let txdata = vec![transaction(2 * number), transaction(2 * number + 1)];
    let mut block = Block { header, txdata };
    block.header.merkle_root = block.compute_merkle_root().expect("it has transactions");
    block
}

struct Source {
    chain: Arc<Mutex<TinyChain>>,
    mistake: Mistake,
    start: BlockRef,
    seen_first: Vec<BlockRef>,
}

impl Source {
    fn find(&self, hash: BlockHash) -> Result<(BlockHeight, Block), ChainError> {
        let chain = self.chain.lock().expect("one thread");
        let index = chain.blocks.iter().position(|(_, block)| block.block_hash() == hash);
        let is_best = index.is_some_and(|index| chain.best.contains(&index));
        let index = index.filter(|_| is_best || self.mistake != Mistake::ForgetsBlocksThatLeft);
        let kind = match self.mistake {
            Mistake::UnknownIsRetry => ChainErrorKind::Retry,
            _ => ChainErrorKind::NotFound,
        };
        let index = index.ok_or_else(|| ChainError::new(kind, "no such block"))?;
        Ok(chain.blocks[index].clone())
    }
}

impl BlockSource for Source {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        let chain = self.chain.lock().expect("one thread");
        let (height, block) = chain.tip();
        let tip = BlockRef { height: *height, hash: block.block_hash() };
        let is_longer = self.seen_first.last().is_none_or(|seen| seen.height < tip.height);
        if is_longer && self.seen_first.len() < 2 {
            self.seen_first.push(tip);
        }
        Ok(match self.mistake {
            Mistake::TipStandsStill => self.start,
            Mistake::TipIsTheFirstSeen => *self.seen_first.last().expect("one was pushed"),
            _ => tip,
        })
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        let (height, block) = self.find(hash)?;
        let wrong = u32::from(self.mistake == Mistake::CountsHeightsWrong) * (height.0 % 2);
        let block_ref = BlockRef { height: height.plus(wrong), hash };
        Ok(Header { block: block_ref, previous: block.header.prev_blockhash })
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        let (_, mut block) = self.find(hash)?;
        match self.mistake {
            Mistake::ReturnsTheTipForAnyBlock => {
                Ok(self.chain.lock().expect("one thread").tip().1.clone())
            }
            Mistake::LosesTransactions => {
                block.txdata.pop();
                Ok(block)
            }
            _ => Ok(block),
        }
    }

    fn raw_block(&mut self, hash: BlockHash) -> Result<Vec<u8>, ChainError> {
        let mut bytes = self.block(hash).map(|block| bitcoin::consensus::serialize(&block))?;
        if self.mistake == Mistake::CutsBytes {
            bytes.pop();
        }
        Ok(bytes)
    }
}

struct Tiny {
    chain: Arc<Mutex<TinyChain>>,
    mistake: Mistake,
}

impl Tiny {
    fn new(mistake: Mistake) -> Self {
        let mut chain = TinyChain::default();
        chain.mine(3);
        Self { chain: Arc::new(Mutex::new(chain)), mistake }
    }

    fn source(&self) -> Source {
        let (height, block) = self.chain.lock().expect("one thread").tip().clone();
        let start = BlockRef { height, hash: block.block_hash() };
        let chain = Arc::clone(&self.chain);
        Source { chain, mistake: self.mistake, start, seen_first: Vec::new() }
    }
}

impl ChainHarness for Tiny {
    type Source = Source;

    fn open(&mut self) -> Source {
        self.source()
    }

    fn mine(&mut self, blocks: u32) {
        self.chain.lock().expect("one thread").mine(blocks);
    }

    fn reorganise(&mut self, depth: u32) {
        let mut chain = self.chain.lock().expect("one thread");
        let left = chain.best.len() - usize::try_from(depth).expect("a few");
        chain.best.truncate(left);
        chain.mine(depth + 1);
    }
}

#[test]
fn a_right_source_passes_and_every_mistake_is_found() {
    conformance::block_source(&mut Tiny::new(Mistake::Nothing));
    let expected = [
        (Mistake::TipStandsStill, Rule::TipIsBest),
        (Mistake::TipIsTheFirstSeen, Rule::TipIsBest),
        (Mistake::ForgetsBlocksThatLeft, Rule::Works),
        (Mistake::ReturnsTheTipForAnyBlock, Rule::BlockAsAsked),
        (Mistake::UnknownIsRetry, Rule::UnknownIsNotFound),
        (Mistake::LosesTransactions, Rule::BlockAsAsked),
        (Mistake::CutsBytes, Rule::BlockAsAsked),
        (Mistake::CountsHeightsWrong, Rule::HeaderConnects),
    ];
    for (mistake, rule) in expected {
        let violation = check_block_source(&mut Tiny::new(mistake)).expect_err("it is wrong");
        assert_eq!(violation.rule, rule, "{mistake:?}: {violation}");
    }
}

#[test]
fn a_faulty_chain_fails_at_the_chosen_call_and_at_no_other() {
    let source = Tiny::new(Mistake::Nothing).source();
    let tip = source.start;
    let mut chain = FaultyChain::new(source);
    chain.fail_at(1, ChainFault::Error(ChainErrorKind::Retry));
    chain.fail_at(3, ChainFault::Nonsense);
    chain.fail_at(5, ChainFault::Nonsense);
    chain.fail_at(7, ChainFault::Nonsense);

    assert_eq!(chain.tip().expect_err("the first call").kind, ChainErrorKind::Retry);
    assert_eq!(chain.tip().expect("the second"), tip);
    assert_ne!(chain.tip().expect("the third"), tip);
    let sound = chain.header(tip.hash).expect("the fourth");
    assert_ne!(chain.header(tip.hash).expect("the fifth").previous, sound.previous);
    assert!(chain.block(tip.hash).expect("the sixth").check_merkle_root());
    assert!(!chain.block(tip.hash).expect("the seventh").check_merkle_root());
    assert_eq!(chain.calls(), 7);
}
