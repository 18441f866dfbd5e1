//! The suite of [`BlockSource`].

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash;
use bitcoin::{Block, BlockHash};
use lastword_ports::{BlockSource, ChainError, ChainErrorKind, Header};
use lastword_types::BlockRef;

use super::{Rule, Violation, ensure, expect_equal};

/// How the suite gets a block source, and moves the chain that it follows.
pub trait ChainHarness {
    /// The implementation.
    type Source;

    /// Opens a source on the chain.
    fn open(&mut self) -> Self::Source;

    /// Adds so many blocks to the best chain.
    fn mine(&mut self, blocks: u32);

    /// Replaces the last `depth` blocks by `depth + 1` others.
    fn reorganise(&mut self, depth: u32);
}

/// Checks everything that [`BlockSource`] promises, and returns the first rule that is broken.
///
/// # Errors
///
/// The [`Violation`].
pub fn check_block_source<H: ChainHarness>(harness: &mut H) -> Result<(), Violation>
where
    H::Source: BlockSource,
{
    const MINED: u32 = 5;
    const DEPTH: u32 = 3;

    let mut source = harness.open();
    let start = source.tip().map_err(|error| refused("tip", &error))?;
    harness.mine(MINED);
    let old_tip = source.tip().map_err(|error| refused("tip", &error))?;
    expect_equal(
        Rule::TipIsBest,
        "the height of the tip after mining",
        &old_tip.height,
        &start.height.plus(MINED),
    )?;
    let old_branch = walk_back(&mut source, old_tip, MINED)?;
    let what = "the block that the mined ones stand on";
    expect_equal(Rule::HeaderConnects, what, &old_branch[0], &start)?;

    harness.reorganise(DEPTH);
    let new_tip = source.tip().map_err(|error| refused("tip", &error))?;
    expect_equal(
        Rule::TipIsBest,
        "the height of the tip after a reorganisation",
        &new_tip.height,
        &old_tip.height.plus(1),
    )?;
    let new_branch = walk_back(&mut source, new_tip, MINED + 1)?;
    let common = old_branch.iter().zip(&new_branch).filter(|(old, new)| old == new).count();
    let expected = Ok(MINED - DEPTH + 1);
    expect_equal(Rule::HeaderConnects, "blocks below the fork", &u32::try_from(common), &expected)?;
    blocks_that_left_have_their_place(&mut source, &old_branch)?;
    unknown_blocks_are_not_found(&mut source)
}

/// Follows the headers back and returns the blocks, oldest first, one more than `count`.
fn walk_back<S: BlockSource>(
    source: &mut S,
    tip: BlockRef,
    count: u32,
) -> Result<Vec<BlockRef>, Violation> {
    let mut blocks = vec![tip];
    let mut at = tip;
    for _ in 0..count {
        let header = header_of(source, at)?;
        let block = block_of(source, at)?;
        let previous = block.header.prev_blockhash;
        expect_equal(Rule::HeaderConnects, "the block before", &header.previous, &previous)?;
        let before = source.header(previous).map_err(|error| refused("header", &error))?;
        let height = before.block.height.plus(1);
        expect_equal(Rule::HeaderConnects, "the height of the next block", &height, &at.height)?;
        at = before.block;
        blocks.push(at);
    }
    blocks.reverse();
    Ok(blocks)
}

fn header_of<S: BlockSource>(source: &mut S, block: BlockRef) -> Result<Header, Violation> {
    let header = source.header(block.hash).map_err(|error| refused("header", &error))?;
    expect_equal(Rule::HeaderConnects, "the header's block", &header.block, &block)?;
    Ok(header)
}

fn block_of<S: BlockSource>(source: &mut S, at: BlockRef) -> Result<Block, Violation> {
    let block = source.block(at.hash).map_err(|error| refused("block", &error))?;
    expect_equal(Rule::BlockAsAsked, "the block's hash", &block.block_hash(), &at.hash)?;
    ensure(block.check_merkle_root(), Rule::BlockAsAsked, || {
        format!("the transactions of {at:?} are not those of its header")
    })?;
    let bytes = source.raw_block(at.hash).map_err(|error| refused("raw_block", &error))?;
    ensure(bytes == serialize(&block), Rule::BlockAsAsked, || {
        format!("the bytes of {at:?} are not those of the block")
    })?;
    Ok(block)
}

fn blocks_that_left_have_their_place<S: BlockSource>(
    source: &mut S,
    branch: &[BlockRef],
) -> Result<(), Violation> {
    for block in branch {
        header_of(source, *block)?;
        // The body of a block that left may be gone, but it may not be another one.
        match source.block(block.hash) {
            Ok(body) => {
                expect_equal(Rule::BlockAsAsked, "a hash", &body.block_hash(), &block.hash)?;
            }
            Err(error) if error.kind == ChainErrorKind::NotFound => {}
            Err(error) => return Err(refused("block", &error)),
        }
    }
    Ok(())
}

fn unknown_blocks_are_not_found<S: BlockSource>(source: &mut S) -> Result<(), Violation> {
    let unknown = BlockHash::from_byte_array([0xAB; 32]);
    let answers = [
        source.header(unknown).map(|_| ()),
        source.block(unknown).map(|_| ()),
        source.raw_block(unknown).map(|_| ()),
    ];
    let kinds = answers.map(|answer| answer.map_err(|error| error.kind));
    let expected = [Err(ChainErrorKind::NotFound); 3];
    expect_equal(Rule::UnknownIsNotFound, "an unknown hash", &kinds, &expected)
}

fn refused(call: &str, error: &ChainError) -> Violation {
    Violation { rule: Rule::Works, detail: format!("{call} was refused: {error}") }
}
