//! Sources that lie, and coins that anybody may spend.

use bitcoin::absolute::LockTime;
use bitcoin::{
    Amount, Block, BlockHash, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
    transaction,
};
use lastword_chain::{Step, Tracker};
use lastword_ports::{BlockSource, ChainError, ChainErrorKind, Header};
use lastword_regtest::{Chain, SharedChain};
use lastword_types::{BlockHeight, BlockRef};

/// A witness script that is always satisfied.
pub(crate) fn anybody() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

/// A transaction that spends what anybody may spend, and pays `amounts` to anybody.
pub(crate) fn pay(coins: &[OutPoint], amounts: &[u64]) -> Transaction {
    let inputs = coins.iter().map(|previous_output| TxIn {
        previous_output: *previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
        witness: Witness::from_slice(&[anybody().as_bytes()]),
    });
    let outputs = amounts.iter().map(|amount| TxOut {
        value: Amount::from_sat(*amount),
        script_pubkey: anybody().to_p2wsh(),
    });
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: inputs.collect(),
        output: outputs.collect(),
    }
}

/// A chain with this many empty blocks.
pub(crate) fn chain_of(blocks: usize) -> SharedChain {
    let mut chain = Chain::new();
    for _ in 0..blocks {
        chain.mine_empty();
    }
    SharedChain::new(chain)
}

/// Follows the source to its tip and returns the steps.
pub(crate) fn follow(tracker: &mut Tracker, source: &mut dyn BlockSource) -> Vec<Step> {
    let mut steps = Vec::new();
    while let Some(step) = tracker.next_step(source).expect("the source is honest") {
        tracker.accept(&step);
        steps.push(step);
    }
    steps
}

/// Writes steps as heights: a block that is connected, or back to a fork.
pub(crate) fn heights(steps: &[Step]) -> Vec<(&'static str, u32)> {
    let one = |step: &Step| match step {
        Step::Disconnected { fork } => ("back", fork.height.0),
        Step::Connected { block, .. } => ("on", block.height.0),
    };
    steps.iter().map(one).collect()
}

/// Changes one kind of answer.
pub(crate) enum Lie {
    None,
    Tip(BlockRef),
    /// Says something else of the header of this block.
    Header(BlockHash, Header),
    /// Gives another block for this one.
    Block(BlockHash, Box<Block>),
    /// Does not know this block, though it told of it.
    Gone(BlockHash),
    /// Is away from the n-th call on.
    AwayAfter(u32),
}

/// A source that tells the truth but for one lie.
pub(crate) struct Liar {
    pub(crate) chain: SharedChain,
    pub(crate) lie: Lie,
    pub(crate) calls: u32,
}

impl Liar {
    pub(crate) fn new(chain: &SharedChain, lie: Lie) -> Self {
        Self { chain: chain.clone(), lie, calls: 0 }
    }

    fn call(&mut self, asked: Option<BlockHash>) -> Result<(), ChainError> {
        self.calls += 1;
        match self.lie {
            Lie::AwayAfter(calls) if self.calls > calls => {
                Err(ChainError::new(ChainErrorKind::Retry, "away"))
            }
            Lie::Gone(hash) if asked == Some(hash) => {
                Err(ChainError::new(ChainErrorKind::NotFound, "gone"))
            }
            Lie::None
            | Lie::Tip(_)
            | Lie::Header(..)
            | Lie::Block(..)
            | Lie::Gone(_)
            | Lie::AwayAfter(_) => Ok(()),
        }
    }
}

impl BlockSource for Liar {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        self.call(None)?;
        if let Lie::Tip(tip) = self.lie { Ok(tip) } else { self.chain.tip() }
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        self.call(Some(hash))?;
        if let Lie::Header(asked, header) = self.lie
            && asked == hash
        {
            return Ok(header);
        }
        self.chain.header(hash)
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        self.call(Some(hash))?;
        if let Lie::Block(asked, block) = &self.lie
            && *asked == hash
        {
            return Ok((**block).clone());
        }
        self.chain.block(hash)
    }
}

/// The place of a block in the best chain.
pub(crate) fn place(chain: &SharedChain, height: u32) -> BlockRef {
    let height = BlockHeight(height);
    let chain = chain.lock();
    let block = chain.block_at(height).expect("the chain is that long");
    BlockRef { height, hash: block.block_hash() }
}
