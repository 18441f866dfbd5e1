//! The names of things: channels, payments, HTLCs, updates and commitments.

use core::fmt;

use serde::{Deserialize, Serialize};

/// Writes bytes as lower-case hex.
pub(crate) fn write_hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! byte_id {
    ($(#[$meta:meta])* $name:ident, $size:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; $size]);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                write_hex(f, &self.0)?;
                f.write_str(")")
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }
    };
}

macro_rules! counter {
    ($(#[$meta:meta])* $name:ident, $int:ty) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    };
}

byte_id! {
    /// The name of a channel.
    ///
    /// Source: BOLT 2, `channel_id`.
    ChannelId, 32
}

byte_id! {
    /// The caller's idempotency key for a payment.
    ///
    /// Free again when the payment's outcome is durably told (rule R8).
    ///
    /// Source: rust-lightning's `PaymentId`.
    PaymentId, 32
}

byte_id! {
    /// One incarnation of a [`PaymentId`]: 16 random bytes drawn with each intent.
    ///
    /// Nothing is merged or adopted across generations, so a reused id never meets its past.
    ///
    /// Source: `docs/INVARIANTS.md`, R1.
    Generation, 16
}

counter! {
    /// The id of an HTLC: counts the HTLCs that one side offered in one channel, from 0.
    ///
    /// Source: BOLT 2, `update_add_htlc`.
    HtlcId, u64
}

counter! {
    /// The place of a part among the parts of one attempt, from 0.
    ///
    /// Source: BOLT 4, basic multi-part payments.
    PartIndex, u16
}

counter! {
    /// Counts what a channel told its monitor; the first update is 1, each next one higher by one.
    ///
    /// Source: rust-lightning's `ChannelMonitorUpdate::update_id`.
    UpdateId, u64
}

counter! {
    /// Counts how often the payment book let the monitors drop tombstones: what is dropped behind an
    /// epoch, every book of at least that epoch knows (rule R10).
    ///
    /// Source: `docs/INVARIANTS.md`, R10.
    BookEpoch, u64
}

impl Default for BookEpoch {
    fn default() -> Self {
        Self::ZERO
    }
}

impl BookEpoch {
    /// Before the first.
    pub const ZERO: Self = Self(0);

    /// Returns the epoch after this one, or `None` at the end of the numbers.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl UpdateId {
    /// Before the first update.
    pub const ZERO: Self = Self(0);

    /// Returns the id that must come next, or `None` at the end of the numbers.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// The number of a commitment transaction of one side: 48 bits, counting up from 0.
///
/// Source: BOLT 3, "Commitment Transaction".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct CommitmentNumber(u64);

impl CommitmentNumber {
    /// The first commitment of a channel.
    pub const ZERO: Self = Self(0);
    /// The last number that 48 bits can say.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// Returns the number, or `None` if it needs more than 48 bits.
    pub fn new(number: u64) -> Option<Self> {
        (number <= Self::MAX.0).then_some(Self(number))
    }

    /// Returns the plain number.
    pub fn value(self) -> u64 {
        self.0
    }

    /// Returns the number after this one, or `None` after the last.
    pub fn next(self) -> Option<Self> {
        Self::new(self.0 + 1)
    }

    /// Returns the number before this one, or `None` before the first.
    pub fn previous(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }

    /// Returns the index of this commitment's per-commitment secret, which counts down.
    pub fn secret_index(self) -> SecretIndex {
        SecretIndex(Self::MAX.0 - self.0)
    }
}

/// A number that does not fit into 48 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberTooLarge(pub u64);

impl fmt::Display for NumberTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} does not fit into 48 bits", self.0)
    }
}

impl core::error::Error for NumberTooLarge {}

impl TryFrom<u64> for CommitmentNumber {
    type Error = NumberTooLarge;

    fn try_from(number: u64) -> Result<Self, NumberTooLarge> {
        Self::new(number).ok_or(NumberTooLarge(number))
    }
}

impl From<CommitmentNumber> for u64 {
    fn from(number: CommitmentNumber) -> Self {
        number.0
    }
}

impl fmt::Display for CommitmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The index of a per-commitment secret: 48 bits, counting down from 2^48 - 1.
///
/// Source: BOLT 3, "Per-commitment Secret Requirements".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct SecretIndex(u64);

impl SecretIndex {
    /// The index of the first commitment's secret.
    pub const FIRST: Self = Self((1 << 48) - 1);

    /// Returns the index, or `None` if it needs more than 48 bits.
    pub fn new(index: u64) -> Option<Self> {
        (index <= Self::FIRST.0).then_some(Self(index))
    }

    /// Returns the plain index.
    pub fn value(self) -> u64 {
        self.0
    }
}

impl TryFrom<u64> for SecretIndex {
    type Error = NumberTooLarge;

    fn try_from(index: u64) -> Result<Self, NumberTooLarge> {
        Self::new(index).ok_or(NumberTooLarge(index))
    }
}

impl From<SecretIndex> for u64 {
    fn from(index: SecretIndex) -> Self {
        index.0
    }
}
