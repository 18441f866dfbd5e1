//! [`CommitmentKeys`]: the keys of one commitment, and how they are derived.

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::secp256k1::{PublicKey, Scalar, SecretKey};
use lastword_types::{ChannelParameters, Side};

use crate::curve::curve;
use crate::error::Bolt3Error;

/// The public keys that the outputs of one commitment pay.
///
/// # Shape
///
/// Relative to the owner of the commitment, as in BOLT 3: "owner" is who can broadcast it, "other"
/// is who signed it for the owner.
///
/// Source: BOLT 3, "Key Derivation".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitmentKeys {
    /// The owner's point for this commitment.
    pub per_commitment_point: PublicKey,
    /// Takes everything once the owner has revoked the commitment; the other side's.
    pub revocation_pubkey: PublicKey,
    /// Takes `to_local` and the outputs of HTLC transactions, after the delay; the owner's.
    pub delayed_pubkey: PublicKey,
    /// The owner's key in HTLC outputs.
    pub owner_htlc_pubkey: PublicKey,
    /// The other side's key in HTLC outputs.
    pub other_htlc_pubkey: PublicKey,
    /// The other side's payment basepoint, which takes `to_remote`.
    pub to_remote_pubkey: PublicKey,
}

impl CommitmentKeys {
    /// Derives the keys of the commitment of `owner` that belongs to `point`.
    ///
    /// # Errors
    ///
    /// [`Bolt3Error::NoKey`]
    ///
    /// Source: BOLT 3, "Key Derivation".
    pub fn derive(
        parameters: &ChannelParameters,
        owner: Side,
        point: &PublicKey,
    ) -> Result<Self, Bolt3Error> {
        let (own, other) = (parameters.side(owner), parameters.side(owner.other()));
        Ok(Self {
            per_commitment_point: *point,
            revocation_pubkey: revocation_public_key(&other.revocation_basepoint, point)?,
            delayed_pubkey: public_key(&own.delayed_payment_basepoint, point)?,
            owner_htlc_pubkey: public_key(&own.htlc_basepoint, point)?,
            other_htlc_pubkey: public_key(&other.htlc_basepoint, point)?,
            to_remote_pubkey: other.payment_basepoint,
        })
    }
}

/// Derives a key of one commitment from its basepoint: `basepoint + SHA256(point ∥ basepoint) · G`.
///
/// # Errors
///
/// [`Bolt3Error::NoKey`]
///
/// Source: BOLT 3, "`localpubkey`, `local_htlcpubkey`, … Derivation".
pub fn derive_public_key(
    basepoint: &PublicKey,
    per_commitment_point: &PublicKey,
) -> Result<PublicKey, Bolt3Error> {
    public_key(basepoint, per_commitment_point)
}

/// Derives the private key that belongs to [`derive_public_key`].
///
/// # Errors
///
/// [`Bolt3Error::NoKey`]
///
/// Source: BOLT 3, "`localpubkey`, `local_htlcpubkey`, … Derivation".
pub fn derive_private_key(
    base_secret: &SecretKey,
    per_commitment_point: &PublicKey,
) -> Result<SecretKey, Bolt3Error> {
    let basepoint = base_secret.public_key(curve());
    private_key(base_secret, &basepoint, per_commitment_point)
}

/// Derives the key that takes everything of a revoked commitment.
///
/// Only the side that owns the basepoint can hold its private key, and only once the other side has
/// given away the per-commitment secret.
///
/// # Errors
///
/// [`Bolt3Error::NoKey`]
///
/// Source: BOLT 3, "`revocationpubkey` Derivation".
pub fn derive_revocation_public_key(
    revocation_basepoint: &PublicKey,
    per_commitment_point: &PublicKey,
) -> Result<PublicKey, Bolt3Error> {
    revocation_public_key(revocation_basepoint, per_commitment_point)
}

/// Derives the private key that belongs to [`derive_revocation_public_key`].
///
/// # Errors
///
/// [`Bolt3Error::NoKey`]
///
/// Source: BOLT 3, "`revocationpubkey` Derivation".
pub fn derive_revocation_private_key(
    base_secret: &SecretKey,
    per_commitment_secret: &SecretKey,
) -> Result<SecretKey, Bolt3Error> {
    let secp = curve();
    let (base, point) = (base_secret.public_key(secp), per_commitment_secret.public_key(secp));
    let (base_factor, point_factor) = revocation_factors(&base, &point)?;
    let left = base_secret.mul_tweak(&base_factor).map_err(|_| Bolt3Error::NoKey)?;
    let right = per_commitment_secret.mul_tweak(&point_factor).map_err(|_| Bolt3Error::NoKey)?;
    left.add_tweak(&Scalar::from(right)).map_err(|_| Bolt3Error::NoKey)
}

/// [`derive_private_key`] for those who know the basepoint and need not compute it each time.
pub(crate) fn private_key(
    base_secret: &SecretKey,
    basepoint: &PublicKey,
    point: &PublicKey,
) -> Result<SecretKey, Bolt3Error> {
    base_secret.add_tweak(&hash_of(point, basepoint)?).map_err(|_| Bolt3Error::NoKey)
}

fn public_key(basepoint: &PublicKey, point: &PublicKey) -> Result<PublicKey, Bolt3Error> {
    basepoint.add_exp_tweak(curve(), &hash_of(point, basepoint)?).map_err(|_| Bolt3Error::NoKey)
}

fn revocation_public_key(base: &PublicKey, point: &PublicKey) -> Result<PublicKey, Bolt3Error> {
    let (base_factor, point_factor) = revocation_factors(base, point)?;
    let left = base.mul_tweak(curve(), &base_factor).map_err(|_| Bolt3Error::NoKey)?;
    let right = point.mul_tweak(curve(), &point_factor).map_err(|_| Bolt3Error::NoKey)?;
    left.combine(&right).map_err(|_| Bolt3Error::NoKey)
}

fn revocation_factors(base: &PublicKey, point: &PublicKey) -> Result<(Scalar, Scalar), Bolt3Error> {
    Ok((hash_of(base, point)?, hash_of(point, base)?))
}

fn hash_of(first: &PublicKey, second: &PublicKey) -> Result<Scalar, Bolt3Error> {
    let mut engine = sha256::Hash::engine();
    engine.input(&first.serialize());
    engine.input(&second.serialize());
    let hash = sha256::Hash::from_engine(engine).to_byte_array();
    Scalar::from_be_bytes(hash).map_err(|_| Bolt3Error::NoKey)
}
