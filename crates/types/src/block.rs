//! Heights and blocks.

use core::fmt;

use bitcoin::BlockHash;
use serde::{Deserialize, Serialize};

use crate::bug::Bug;

/// Blocks that a fact needs to be buried under, itself included, before it is final: a transaction
/// at height `h` is final when the tip is at least `h + ANTI_REORG_DELAY - 1`.
///
/// Source: BOLT 5 says "reasonable depth"; six is rust-lightning's constant of this name.
pub const ANTI_REORG_DELAY: u32 = 6;

/// Blocks after the expiry of an HTLC that we offered, at the end of which it must have left every
/// live commitment; else the channel is failed (BOLT 2 calls it the grace period `G`).
///
/// Source: BOLT 2, "`cltv_expiry_delta` Selection": 1 or 2.
pub const OFFERED_GRACE_BLOCKS: u32 = 2;

/// Blocks before the expiry of an HTLC that we fulfil, at whose beginning it must have left every
/// live commitment; else the channel is failed, so that its output is ours before the peer may take
/// it back.
///
/// Source: BOLT 2, "`cltv_expiry_delta` Selection": `2R+G+S`, for which it suggests 18.
pub const FULFIL_DEADLINE_BLOCKS: u32 = 18;

/// Blocks before the expiry of the inbound half of a forward, from which it is failed back although
/// the outbound half is open on chain: else the upstream peer closes that channel too.
///
/// Source: rust-lightning's `LATENCY_GRACE_PERIOD_BLOCKS`, in its second use.
pub const EARLY_FAIL_BACK_BLOCKS: u32 = 3;

/// Blocks that every spend of a closed channel needs to be buried under, itself included, before the
/// channel is archived: a spend at height `h` is deep enough when the tip is at least
/// `h + ARCHIVE_DEPTH - 1`.
///
/// Source: a day of blocks; BOLT 5 calls 100 irrevocable.
pub const ARCHIVE_DEPTH: u32 = 144;

/// The height of a block; the genesis block has 0.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct BlockHeight(pub u32);

impl BlockHeight {
    /// Returns the height of the tip at which something confirmed here is final.
    #[must_use]
    pub fn final_at(self) -> Self {
        let early = u32::from(Bug::OneBlockEarly.is_planted());
        Self(self.0.saturating_add(ANTI_REORG_DELAY - 1 - early))
    }

    /// Returns the height of the tip at which a channel whose last spend is here may be archived.
    #[must_use]
    pub fn archived_at(self) -> Self {
        Self(self.0.saturating_add(ARCHIVE_DEPTH - 1))
    }

    /// Returns the height `blocks` later, or the last height there is.
    #[must_use]
    pub fn plus(self, blocks: u32) -> Self {
        Self(self.0.saturating_add(blocks))
    }

    /// Returns the height `blocks` earlier, or 0 if there is none.
    #[must_use]
    pub fn minus(self, blocks: u32) -> Self {
        Self(self.0.saturating_sub(blocks))
    }
}

impl fmt::Display for BlockHeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A block by height and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockRef {
    /// Its height.
    pub height: BlockHeight,
    /// Its hash.
    pub hash: BlockHash,
}
