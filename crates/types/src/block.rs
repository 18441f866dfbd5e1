//! Heights and blocks.

use core::fmt;

use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};

/// Blocks that a fact needs to be buried under, itself included, before it is final: a transaction
/// at height `h` is final when the tip is at least `h + ANTI_REORG_DELAY - 1`.
///
/// Source: BOLT 5 says "reasonable depth"; six is rust-lightning's constant of this name.
pub const ANTI_REORG_DELAY: u32 = 6;

/// The height of a block; the genesis block has 0.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct BlockHeight(pub u32);

impl BlockHeight {
    /// Returns the height of the tip at which something confirmed here is final.
    #[must_use]
    pub fn final_at(self) -> Self {
        Self(self.0.saturating_add(ANTI_REORG_DELAY - 1))
    }

    /// Returns the height `blocks` later, or the last height there is.
    #[must_use]
    pub fn plus(self, blocks: u32) -> Self {
        Self(self.0.saturating_add(blocks))
    }
}

impl fmt::Display for BlockHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A block by height and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlockRef {
    /// Its height.
    pub height: BlockHeight,
    /// Its hash.
    pub hash: BlockHash,
}
