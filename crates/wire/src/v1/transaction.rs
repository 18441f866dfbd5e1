//! A transaction as a byte string in its consensus encoding.

use bitcoin::Transaction;
use bitcoin::consensus::encode;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::prim::NOT_A_TRANSACTION;

/// A transaction with its witnesses.
pub(crate) struct Consensus(pub(crate) Transaction);

impl Serialize for Consensus {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&encode::serialize(&self.0))
    }
}

impl<'de> Deserialize<'de> for Consensus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        Shape(bytes)
            .transaction()
            .and_then(|()| encode::deserialize(bytes).ok())
            .map(Self)
            .ok_or_else(|| D::Error::custom(NOT_A_TRANSACTION))
    }
}

impl From<&Transaction> for Consensus {
    fn from(transaction: &Transaction) -> Self {
        Self(transaction.clone())
    }
}

impl From<Consensus> for Transaction {
    fn from(Consensus(transaction): Consensus) -> Self {
        transaction
    }
}

/// Walks over a transaction and allocates nothing: what is left of it.
///
/// The decoder proper reserves room for as many witness elements as a length claims, up to 16 MB,
/// before it reads one. After this walk every claim is known to be true.
///
/// Source: BIP 144.
struct Shape<'a>(&'a [u8]);

impl Shape<'_> {
    /// Steps over a whole transaction, which must end where the bytes do.
    fn transaction(&mut self) -> Option<()> {
        self.skip(4)?;
        let mut inputs = self.compact_size()?;
        let is_segwit = inputs == 0;
        if is_segwit {
            self.skip(1)?;
            inputs = self.compact_size()?;
        }
        for _ in 0..inputs {
            self.skip(36)?;
            self.string()?;
            self.skip(4)?;
        }
        for _ in 0..self.compact_size()? {
            self.skip(8)?;
            self.string()?;
        }
        if is_segwit {
            for _ in 0..inputs {
                for _ in 0..self.compact_size()? {
                    self.string()?;
                }
            }
        }
        self.skip(4)?;
        self.0.is_empty().then_some(())
    }

    fn skip(&mut self, length: usize) -> Option<()> {
        self.0 = self.0.get(length..)?;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        let length = self.compact_size()?;
        self.skip(usize::try_from(length).ok()?)
    }

    fn compact_size(&mut self) -> Option<u64> {
        let (first, rest) = self.0.split_first()?;
        let width = match first {
            0..=0xFC => 0,
            0xFD => 2,
            0xFE => 4,
            0xFF => 8,
        };
        let digits = rest.get(..width)?;
        self.0 = rest.get(width..)?;
        if width == 0 {
            return Some(u64::from(*first));
        }
        Some(digits.iter().rev().fold(0, |value, digit| value << 8 | u64::from(*digit)))
    }
}
