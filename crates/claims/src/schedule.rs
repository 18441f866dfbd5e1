//! How a rate rises: as a deadline comes near, and after a refusal.
//!
//! ```text
//!   blocks left   18 or more      17 … 6             5 … 1              0, and past it
//!   rate          stays           a quarter more     twice as much      a quarter more
//!                                 each block         each block         each block
//! ```
//!
//! A claim begins at the rate of now, however near its deadline is, and rises with each block in which
//! it is not confirmed. One that is held up all the time is 465 times as dear when one block is left:
//! it reaches what it is worth, and one that nobody holds up has confirmed long before.

use lastword_types::{BlockHeight, FeeRatePerKw};

use crate::penalty::SECURITY_DELAY;

/// The blocks before a deadline from which on a rate rises.
pub(crate) const RAISE_WINDOW: u32 = SECURITY_DELAY;

/// The blocks before a deadline in which it doubles.
const LAST_BLOCKS: u32 = 6;

/// The blocks of which each counts; then any rate is as high as one can be.
const RISES_MAX: u32 = 128;

/// Returns the rate at the block `next` of what was offered for the block `since` at a rate, and whose
/// output somebody else may take from a height on.
pub(crate) fn risen(
    rate: FeeRatePerKw,
    since: BlockHeight,
    next: BlockHeight,
    deadline: BlockHeight,
) -> FeeRatePerKw {
    let first = since.0.max(next.0.saturating_sub(RISES_MAX)).saturating_add(1);
    (first..=next.0).fold(rate, |rate, height| match blocks_left(BlockHeight(height), deadline) {
        RAISE_WINDOW.. => rate,
        1..LAST_BLOCKS => FeeRatePerKw(rate.0.saturating_mul(2)),
        0 | LAST_BLOCKS..RAISE_WINDOW => a_quarter_more(rate),
    })
}

/// Returns a rate that is a quarter higher, and at least by what the network asks of a replacement.
pub(crate) fn a_quarter_more(rate: FeeRatePerKw) -> FeeRatePerKw {
    FeeRatePerKw(rate.0.saturating_add((rate.0 / 4).max(LEAST_STEP)))
}

/// A little more than the relay floor: a fee is rounded up and so is the rate that it reaches.
const LEAST_STEP: u32 = FeeRatePerKw::FLOOR.0 + 7;

/// Returns the blocks between the next one and a deadline.
pub(crate) fn blocks_left(next: BlockHeight, deadline: BlockHeight) -> u32 {
    deadline.0.saturating_sub(next.0)
}

#[cfg(test)]
mod tests {
    use super::{RAISE_WINDOW, a_quarter_more, risen};
    use lastword_types::{BlockHeight, FeeRatePerKw};

    const DEADLINE: BlockHeight = BlockHeight(1_000);

    fn at(since: u32, left: u32) -> u32 {
        let [since, next] = [since, left].map(|left| BlockHeight(DEADLINE.0 - left));
        risen(FeeRatePerKw(1_000_000), since, next, DEADLINE).0
    }

    #[test]
    fn a_rate_rises_with_every_block_and_far_away_not_at_all() {
        assert_eq!(at(100, RAISE_WINDOW), 1_000_000);
        for left in 1..RAISE_WINDOW {
            let [before, after] = [left + 1, left].map(|left| at(100, left));
            assert!(after >= before + before / 4, "{left}: {before} to {after}");
            assert!(after <= before * 2, "{left}: {before} to {after}");
            assert_eq!(at(left, left), 1_000_000, "it begins where it begins");
        }
        assert_eq!(at(100, 1) / 1_000_000, 465);
        assert_eq!(at(1, 0), 1_250_000);
        let late = risen(FeeRatePerKw(253), DEADLINE, BlockHeight(u32::MAX), DEADLINE);
        assert_eq!(late.0, u32::MAX);
        assert_eq!(risen(FeeRatePerKw(253), DEADLINE, BlockHeight(3), DEADLINE).0, 253);
    }

    #[test]
    fn a_quarter_more_is_more() {
        for rate in [0, 1, 3, 253, u32::MAX - 1] {
            assert!(a_quarter_more(FeeRatePerKw(rate)).0 > rate);
        }
    }
}
