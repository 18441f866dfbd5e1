//! [`SecretStore`]: per-commitment secrets, made from a seed and kept in at most 49 slots.

use alloc::vec::Vec;

use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lastword_types::{PerCommitmentSecret, SecretIndex};

use crate::curve::curve;
use crate::error::Bolt3Error;

/// Bits of a secret's index.
const INDEX_BITS: u8 = 48;

/// Derives our secret of one commitment from the channel's seed.
///
/// # Shape
///
/// The first commitment has [`SecretIndex::FIRST`]; each next one an index lower by one.
///
/// Source: BOLT 3, "Per-commitment Secret Requirements".
pub fn generate_from_seed(seed: &[u8; 32], index: SecretIndex) -> PerCommitmentSecret {
    PerCommitmentSecret(derive(*seed, INDEX_BITS, index.value()))
}

/// Returns the per-commitment point of a secret.
///
/// # Errors
///
/// [`Bolt3Error::NotASecretKey`] if the secret is zero or outside the curve's order.
///
/// Source: BOLT 3, "Per-commitment Secret Requirements".
pub fn point_of(secret: &PerCommitmentSecret) -> Result<PublicKey, Bolt3Error> {
    let secret = SecretKey::from_slice(&secret.0).map_err(|_| Bolt3Error::NotASecretKey)?;
    Ok(secret.public_key(curve()))
}

/// The peer's secrets of every commitment that it revoked, in the space of at most 49.
///
/// # Shape
///
/// Slot `b` holds the newest secret whose index ends in exactly `b` zero bits; it gives all secrets
/// whose index differs from its own in those bits only.
///
/// # Invariants
///
/// The known indices are a run from [`SecretIndex::FIRST`] downwards without a gap, and every secret
/// derives those below it.
///
/// Source: BOLT 3, "Efficient Per-commitment Secret Storage".
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretStore {
    /// After `n` insertions the slots up to the highest bit of `n` are filled, so the place in this
    /// list is the slot.
    slots: Vec<(SecretIndex, PerCommitmentSecret)>,
}

impl SecretStore {
    /// Starts without a secret.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts stored slots back, in any order.
    ///
    /// # Errors
    ///
    /// [`Bolt3Error::SlotInvalid`] or [`Bolt3Error::SecretMismatch`] if no run of insertions leaves
    /// these slots behind.
    ///
    /// Source: BOLT 3, "Efficient Per-commitment Secret Storage".
    pub fn from_slots(
        slots: &[(u8, SecretIndex, PerCommitmentSecret)],
    ) -> Result<Self, Bolt3Error> {
        let mut sorted = slots.to_vec();
        sorted.sort_by_key(|(slot, ..)| *slot);
        let lowest = sorted.iter().map(|(_, index, _)| *index).min();
        let store = Self { slots: sorted.iter().map(|(_, index, it)| (*index, *it)).collect() };
        for (place, (slot, index, _)) in (0u8..).zip(&sorted) {
            if *slot != place || Some(*index) != lowest.and_then(|it| newest_of(*slot, it)) {
                return Err(Bolt3Error::SlotInvalid { slot: *slot });
            }
        }
        if let Some(lowest) = lowest {
            // The next slot must still be empty because nothing went there, not because it is lost.
            let missing = u8::try_from(sorted.len()).unwrap_or(u8::MAX);
            if newest_of(missing, lowest).is_some() {
                return Err(Bolt3Error::SlotInvalid { slot: missing });
            }
        }
        for (slot, index, secret) in &sorted {
            store.check_below(*slot, *index, secret)?;
        }
        Ok(store)
    }

    /// Takes in the secret of the next revoked commitment.
    ///
    /// A secret that is known already changes nothing, so a repetition after a crash is harmless.
    ///
    /// # Errors
    ///
    /// [`Bolt3Error::SecretOutOfOrder`] if it is not the next one downwards;
    /// [`Bolt3Error::SecretMismatch`] if it does not give the ones before it. The store is
    /// unchanged.
    ///
    /// Source: BOLT 3, "Efficient Per-commitment Secret Storage", `insert_secret`.
    pub fn insert(
        &mut self,
        index: SecretIndex,
        secret: PerCommitmentSecret,
    ) -> Result<(), Bolt3Error> {
        if let Some(known) = self.get(index) {
            let same = known == secret;
            return if same { Ok(()) } else { Err(Bolt3Error::SecretMismatch { index }) };
        }
        let expected = self.expected();
        if expected != Some(index) {
            return Err(Bolt3Error::SecretOutOfOrder { expected, got: index });
        }
        let slot = slot_of(index);
        self.check_below(slot, index, &secret)?;
        match self.slots.get_mut(usize::from(slot)) {
            Some(place) => *place = (index, secret),
            None => self.slots.push((index, secret)),
        }
        Ok(())
    }

    /// Returns the secret of a revoked commitment, or `None` if it is not known.
    ///
    /// Source: BOLT 3, "Efficient Per-commitment Secret Storage", `derive_old_secret`.
    pub fn get(&self, index: SecretIndex) -> Option<PerCommitmentSecret> {
        (0u8..).zip(&self.slots).find_map(|(slot, (known, secret))| {
            let prefix = index.value() & !low_bits(slot);
            (prefix == known.value())
                .then(|| PerCommitmentSecret(derive(secret.0, slot, index.value())))
        })
    }

    /// Returns the only new index that [`insert`](Self::insert) takes, or `None` after index 0.
    pub fn expected(&self) -> Option<SecretIndex> {
        match self.slots.iter().map(|(index, _)| *index).min() {
            None => Some(SecretIndex::FIRST),
            Some(lowest) => lowest.value().checked_sub(1).and_then(SecretIndex::new),
        }
    }

    /// Returns the filled slots, ascending: slot, index, secret.
    pub fn slots(&self) -> Vec<(u8, SecretIndex, PerCommitmentSecret)> {
        (0u8..).zip(&self.slots).map(|(slot, (index, secret))| (slot, *index, *secret)).collect()
    }

    /// Checks that a secret that goes into `slot` gives all secrets of the slots below.
    fn check_below(
        &self,
        slot: u8,
        index: SecretIndex,
        secret: &PerCommitmentSecret,
    ) -> Result<(), Bolt3Error> {
        let prefix = index.value();
        let fits = self.slots.iter().take(usize::from(slot)).all(|(below, known)| {
            below.value() & !low_bits(slot) != prefix
                || derive(secret.0, slot, below.value()) == known.0
        });
        if fits { Ok(()) } else { Err(Bolt3Error::SecretMismatch { index }) }
    }
}

/// Returns the slot of an index: the number of zero bits at its end, at most 48.
fn slot_of(index: SecretIndex) -> u8 {
    // A u64 has at most 64 of them, so the number fits; index 0 has all 48 of its own.
    u8::try_from(index.value().trailing_zeros()).unwrap_or(INDEX_BITS).min(INDEX_BITS)
}

/// Returns the index that `slot` holds when every index from the first down to `lowest` is known,
/// or `None` if nothing went there yet.
fn newest_of(slot: u8, lowest: SecretIndex) -> Option<SecretIndex> {
    if slot >= INDEX_BITS {
        return (slot == INDEX_BITS && lowest.value() == 0).then_some(lowest);
    }
    // Indices of this slot are the odd multiples of 2^slot. Values stay below 2^50.
    let unit = 1u64 << slot;
    let multiple = lowest.value().div_ceil(unit) | 1;
    SecretIndex::new(multiple * unit)
}

fn low_bits(count: u8) -> u64 {
    (1u64 << count) - 1
}

/// Walks from a secret down the tree: for each set bit of the index, highest first, flips that bit
/// and hashes.
fn derive(mut value: [u8; 32], bits: u8, index: u64) -> [u8; 32] {
    for bit in (0..bits).rev() {
        if index & (1 << bit) != 0 {
            value[usize::from(bit / 8)] ^= 1 << (bit % 8);
            value = sha256::Hash::hash(&value).to_byte_array();
        }
    }
    value
}
