//! Amounts in millisatoshi and fee rates; satoshi are `bitcoin::Amount`.

use core::fmt;

use bitcoin::Amount;
use serde::{Deserialize, Serialize};

/// An amount in millisatoshi.
///
/// Source: BOLT 2, `amount_msat`.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct AmountMsat(pub u64);

impl AmountMsat {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// Returns the amount in satoshi, rounded down, as every output on chain is.
    ///
    /// Source: BOLT 3, "Commitment Transaction Outputs".
    pub fn to_sat_floor(self) -> Amount {
        Amount::from_sat(self.0 / 1000)
    }

    /// Returns a whole number of satoshi as millisatoshi, or `None` if it does not fit.
    pub fn from_sat(amount: Amount) -> Option<Self> {
        amount.to_sat().checked_mul(1000).map(Self)
    }

    /// Returns the sum, or `None` if it does not fit.
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// Returns the difference, or `None` below zero.
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.0.checked_sub(other.0).map(Self)
    }
}

impl fmt::Display for AmountMsat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} msat", self.0)
    }
}

/// A fee rate in satoshi for 1,000 weight units.
///
/// Source: BOLT 2, `feerate_per_kw`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeeRatePerKw(pub u32);

impl FeeRatePerKw {
    /// The lowest rate that Bitcoin Core relays by default, 1 sat/vB rounded up (BOLT 3: 253).
    pub const FLOOR: Self = Self(253);

    /// Returns the fee of `weight` weight units, rounded down.
    ///
    /// Source: BOLT 3, "Fee Calculation".
    pub fn fee_floor(self, weight: u64) -> Amount {
        // The product of a u32 and a weight below 2^32 fits, and a block has 4,000,000.
        Amount::from_sat(u64::from(self.0).saturating_mul(weight) / 1000)
    }
}
