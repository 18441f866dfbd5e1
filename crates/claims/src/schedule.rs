//! How a rate rises: as a deadline comes near, and after a refusal.
//!
//! ```text
//!   blocks left   18 or more        17 … 6              5 … 1                0
//!   rate          that of now       a quarter more      twice as much        a quarter more than
//!                                   for each block      for each block       the block before
//! ```
//!
//! At a deadline of which one block is left that is 466 times the rate of now, so a claim that is held
//! up reaches what it is worth, and one that is not held up has confirmed long before. What has no
//! past starts at the rate of now, also after its deadline.

use lastword_types::{BlockHeight, FeeRatePerKw};

use crate::penalty::SECURITY_DELAY;

/// The blocks before a deadline from which on a rate rises.
pub(crate) const RAISE_WINDOW: u32 = SECURITY_DELAY;

/// The blocks before a deadline in which it doubles.
const LAST_BLOCKS: u32 = 6;

/// Returns the rate for a transaction whose output somebody else may take `left` blocks after the
/// next.
pub(crate) fn climb(rate: FeeRatePerKw, left: u32) -> FeeRatePerKw {
    if left == 0 || left >= RAISE_WINDOW {
        return rate;
    }
    let quarters = RAISE_WINDOW - left.max(LAST_BLOCKS);
    let doublings = LAST_BLOCKS.saturating_sub(left);
    let rate = (0..quarters).fold(rate, |rate, _| a_quarter_more(rate));
    FeeRatePerKw((0..doublings).fold(rate.0, |rate, _| rate.saturating_mul(2)))
}

/// Returns a rate that the network takes for a replacement that counts.
pub(crate) fn a_quarter_more(rate: FeeRatePerKw) -> FeeRatePerKw {
    FeeRatePerKw(rate.0.saturating_add(rate.0 / 4).saturating_add(1))
}

/// Returns the blocks between the next one and a deadline.
pub(crate) fn blocks_left(next: BlockHeight, deadline: BlockHeight) -> u32 {
    deadline.0.saturating_sub(next.0)
}

#[cfg(test)]
mod tests {
    use super::{RAISE_WINDOW, a_quarter_more, climb};
    use lastword_types::FeeRatePerKw;

    #[test]
    fn a_rate_rises_with_every_block_and_far_away_not_at_all() {
        let rate = FeeRatePerKw(1_000);
        for left in [RAISE_WINDOW, RAISE_WINDOW + 1, u32::MAX, 0] {
            assert_eq!(climb(rate, left), rate);
        }
        for left in 1..RAISE_WINDOW {
            let [before, after] = [left + 1, left].map(|left| climb(rate, left).0);
            assert!(after >= before + before / 4, "{left}: {before} to {after}");
            assert!(after <= before * 2, "{left}: {before} to {after}");
        }
        assert_eq!(climb(rate, 1).0 / rate.0, 466);
        assert_eq!(climb(FeeRatePerKw(u32::MAX), 1).0, u32::MAX);
    }

    #[test]
    fn a_quarter_more_is_more() {
        for rate in [0, 1, 3, 253, u32::MAX - 1] {
            assert!(a_quarter_more(FeeRatePerKw(rate)).0 > rate);
        }
    }
}
