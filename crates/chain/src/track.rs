//! Following the best chain of a source, one block at a time: [`Tracker`].

use std::collections::VecDeque;

use bitcoin::BlockHash;
use lastword_ports::{BlockSource, ChainError, Header};
use lastword_types::{BlockHeight, BlockRef, ChainTip};
use thiserror::Error;

use crate::raw::{RawBlock, Undecodable};

/// How many ancestors of the tip are remembered: a reorg may go this deep.
pub const RECENT_BLOCKS: usize = 144;
/// The most headers that are walked to reach a source's tip; more than there are blocks so far.
pub const MAX_WALK: u32 = 2_000_000;

/// One move of the best chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The blocks above `fork` are not in the best chain any more.
    Disconnected {
        /// The highest block that stays.
        fork: BlockRef,
    },
    /// A block follows on the tip.
    Connected {
        /// Its place.
        block: BlockRef,
        /// The whole of it.
        body: RawBlock,
    },
}

/// Why the next step could not be had; the tracker is where it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrackError {
    /// The source could not answer; its error says whether to ask again.
    #[error("the block source could not answer")]
    Source(#[source] ChainError),
    /// The source's answer about a block cannot be true.
    #[error("the block source's answer about block {} at {} cannot be true", .block.hash, .block.height)]
    Nonsense {
        /// The block that was asked for.
        block: BlockRef,
        /// What is wrong.
        #[source]
        what: Nonsense,
    },
    /// The source's chain leaves ours below all blocks that are remembered: nothing that was taken
    /// for final is, and the channels must be rescanned.
    #[error("the chain to {} leaves ours, at {}, too far below", .theirs.hash, .ours.hash)]
    ReorgTooDeep {
        /// Our tip.
        ours: BlockRef,
        /// The source's tip.
        theirs: BlockRef,
    },
    /// The source's tip is [`MAX_WALK`] blocks above ours.
    #[error("the tip {} at {} is too far above ours at {}", .theirs.hash, .theirs.height, .ours.height)]
    TooFarAhead {
        /// Our tip.
        ours: BlockRef,
        /// The source's tip.
        theirs: BlockRef,
    },
}

/// What a source said that cannot be true.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Nonsense {
    /// It answered with the place of another block, or another place.
    #[error("got the header of {} at height {}", .got.hash, .got.height)]
    Header {
        /// The place that it told.
        got: BlockRef,
    },
    /// It answered with another block.
    #[error("got block {got}")]
    Block {
        /// The block that came.
        got: BlockHash,
    },
    /// The block does not follow on the block that its header was said to follow on.
    #[error("it follows on {got} and not on {expected}")]
    Previous {
        /// The block before, as the source said earlier.
        expected: BlockHash,
        /// The block before, as the block says.
        got: BlockHash,
    },
    /// The transactions are not those that the header commits to.
    #[error("its transactions are not those of its header")]
    Transactions,
    /// The bytes are no block.
    #[error("its bytes do not decode")]
    Encoding(#[source] Undecodable),
}

/// Follows the best chain of a [`BlockSource`].
///
/// Ask for the next step, make what follows from it durable, then accept it; a crash between the
/// two repeats the step. The tracker trusts a source for the proof of work and checks that what it
/// says fits together.
///
/// # Shape
///
/// Holds the tip and at most [`RECENT_BLOCKS`] ancestors, and while it catches up 36 bytes for each
/// block between.
///
/// # Examples
///
/// ```
/// use lastword_chain::{Step, TrackError, Tracker};
/// use lastword_regtest::{Chain, SharedChain};
///
/// let mut source = SharedChain::new(Chain::new());
/// let mut tracker = Tracker::begin(&mut source)?;
/// let mined = source.lock().mine_empty();
/// while let Some(step) = tracker.next_step(&mut source)? {
///     tracker.accept(&step);
/// }
/// assert_eq!(tracker.tip().hash, mined);
/// # Ok::<(), TrackError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tracker {
    best: BlockRef,
    /// The ancestors of `best`, the newest first, each one lower than the one before.
    recent: VecDeque<BlockRef>,
    /// The way to a tip of the source that was found and not yet walked to its end.
    way: Option<Way>,
}

/// A chain of blocks from one that we have to a tip of the source.
#[derive(Debug, Clone)]
struct Way {
    /// The highest block that we and the source have in common.
    fork: BlockRef,
    /// The blocks above it, the highest first; never empty.
    blocks: Vec<BlockRef>,
}

impl Tracker {
    /// Continues at a tip that was stored.
    ///
    /// # Shape
    ///
    /// Ancestors beyond [`RECENT_BLOCKS`], and from the first on that is not one lower than the one
    /// before, are dropped: a reorg to them is reported as too deep.
    #[must_use]
    pub fn new(tip: ChainTip) -> Self {
        let ChainTip { best, recent } = tip;
        let heights = (0..best.height.0).rev().map(BlockHeight);
        let recent = recent
            .into_iter()
            .zip(heights)
            .take_while(|(block, height)| block.height == *height)
            .map(|(block, _)| block)
            .take(RECENT_BLOCKS)
            .collect();
        Self { best, recent, way: None }
    }

    /// Begins at the source's tip and reads its ancestors.
    ///
    /// # Errors
    ///
    /// [`TrackError::Source`], [`TrackError::Nonsense`].
    pub fn begin(source: &mut dyn BlockSource) -> Result<Self, TrackError> {
        let best = source.tip().map_err(TrackError::Source)?;
        let mut recent = VecDeque::new();
        let mut block = best;
        while recent.len() < RECENT_BLOCKS {
            let Some(parent) = parent_of(source, block)? else { break };
            recent.push_back(parent);
            block = parent;
        }
        Ok(Self { best, recent, way: None })
    }

    /// Returns what the next move towards the source's tip is, or `None` if we are there.
    ///
    /// Changes nothing that can be seen: the same step comes again until it is accepted, unless
    /// the source moved. The way to a tip is walked to its end before the source is asked for
    /// another tip.
    ///
    /// # Errors
    ///
    /// [`TrackError`]; the tracker is where it was and the next call begins anew.
    pub fn next_step(&mut self, source: &mut dyn BlockSource) -> Result<Option<Step>, TrackError> {
        let way = match self.way.take() {
            Some(way) => way,
            None => match self.find_way(source)? {
                Found::Here => return Ok(None),
                Found::Below(fork) => return Ok(Some(Step::Disconnected { fork })),
                Found::Way(way) => way,
            },
        };
        let fork = way.fork;
        let step =
            if fork == self.best { read_block(source, &way)? } else { Step::Disconnected { fork } };
        self.way = Some(way);
        Ok(Some(step))
    }

    /// Makes a step that [`Tracker::next_step`] returned ours.
    ///
    /// # Panics
    ///
    /// If the step does not begin where the tracker is: it was accepted before, or made up.
    pub fn accept(&mut self, step: &Step) {
        match step {
            Step::Disconnected { fork } => {
                let at = self.recent.iter().position(|block| block == fork);
                let at = at.expect("the step is fresh: its fork is an ancestor of the tip");
                self.recent.drain(..=at);
                self.best = *fork;
            }
            Step::Connected { block, body } => {
                assert_eq!(body.header().prev_blockhash, self.best.hash, "the step is fresh");
                assert_eq!(block.height, self.best.height.plus(1), "the step is fresh");
                self.recent.push_front(self.best);
                self.recent.truncate(RECENT_BLOCKS);
                self.best = *block;
                self.way = self.way.take().and_then(|way| way.after(*block));
            }
        }
        debug_assert!(self.recent.len() <= RECENT_BLOCKS);
    }

    /// Returns our best block.
    pub fn tip(&self) -> BlockRef {
        self.best
    }

    /// Returns what [`Tracker::new`] needs to continue here.
    pub fn chain_tip(&self) -> ChainTip {
        ChainTip { best: self.best, recent: self.recent.iter().copied().collect() }
    }

    /// Walks back from the source's tip to a block that we have.
    fn find_way(&self, source: &mut dyn BlockSource) -> Result<Found, TrackError> {
        let theirs = source.tip().map_err(TrackError::Source)?;
        let ours = self.best;
        if theirs == ours {
            return Ok(Found::Here);
        }
        if self.has(theirs) {
            return Ok(Found::Below(theirs));
        }
        if theirs.height.0.saturating_sub(ours.height.0) > MAX_WALK {
            return Err(TrackError::TooFarAhead { ours, theirs });
        }
        let lowest = self.recent.back().unwrap_or(&self.best).height;
        let mut blocks = vec![theirs];
        let mut block = theirs;
        while block.height > lowest {
            let Some(parent) = parent_of(source, block)? else { break };
            if self.has(parent) {
                return Ok(Found::Way(Way { fork: parent, blocks }));
            }
            blocks.push(parent);
            block = parent;
        }
        Err(TrackError::ReorgTooDeep { ours, theirs })
    }

    /// Says whether a block is the tip or one of its remembered ancestors.
    fn has(&self, block: BlockRef) -> bool {
        let Some(below) = self.best.height.0.checked_sub(block.height.0) else { return false };
        match below.checked_sub(1) {
            None => block == self.best,
            Some(at) => usize::try_from(at).ok().and_then(|at| self.recent.get(at)) == Some(&block),
        }
    }
}

/// Where the source's tip is, seen from ours.
enum Found {
    /// It is ours.
    Here,
    /// It is an ancestor of ours.
    Below(BlockRef),
    /// There are blocks to connect.
    Way(Way),
}

impl Way {
    /// Returns what is left of the way once its next block is connected.
    fn after(mut self, block: BlockRef) -> Option<Self> {
        let is_next = self.blocks.pop() == Some(block);
        (is_next && !self.blocks.is_empty()).then_some(Self { fork: block, ..self })
    }
}

/// Asks for the block before; the genesis block has none.
fn parent_of(
    source: &mut dyn BlockSource,
    block: BlockRef,
) -> Result<Option<BlockRef>, TrackError> {
    let Header { block: got, previous } = source.header(block.hash).map_err(TrackError::Source)?;
    if got != block {
        return Err(TrackError::Nonsense { block, what: Nonsense::Header { got } });
    }
    let below = block.height.0.checked_sub(1).map(BlockHeight);
    Ok(below.map(|height| BlockRef { height, hash: previous }))
}

/// Reads the first block above the fork and checks that it is what the headers promised.
fn read_block(source: &mut dyn BlockSource, way: &Way) -> Result<Step, TrackError> {
    let block = *way.blocks.last().expect("a way has blocks");
    let bytes = source.raw_block(block.hash).map_err(TrackError::Source)?;
    let nonsense = |what| TrackError::Nonsense { block, what };
    let body = RawBlock::parse(bytes).map_err(|error| nonsense(Nonsense::Encoding(error)))?;
    let got = body.block_hash();
    if got != block.hash {
        return Err(nonsense(Nonsense::Block { got }));
    }
    let (expected, got) = (way.fork.hash, body.header().prev_blockhash);
    if got != expected {
        return Err(nonsense(Nonsense::Previous { expected, got }));
    }
    if !body.has_committed_transactions() {
        return Err(nonsense(Nonsense::Transactions));
    }
    Ok(Step::Connected { block, body })
}
