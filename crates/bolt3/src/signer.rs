//! [`InMemorySigner`]: the private keys of channels, and the signing of the peer's commitments.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt;

use bitcoin::hashes::{Hash as _, HashEngine as _, Hmac, HmacEngine, sha256};
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::secp256k1::{PublicKey, SecretKey};
use bitcoin::{Amount, EcdsaSighashType, Script};
use lastword_ports::{ChannelSigner, SignerError, SigningRequest};
use lastword_types::{
    ChannelId, ChannelParameters, ChannelSide, CommitmentNumber, PerCommitmentSecret, Side,
    SigningKey, ToSelfDelay,
};

use crate::commitment::CommitmentTx;
use crate::curve::curve;
use crate::error::Bolt3Error;
use crate::format::remote_htlc_sighash;
use crate::keys::{derive_revocation_private_key, private_key};
use crate::scripts::funding_script;
use crate::secrets::{generate_from_seed, point_of};
use crate::sighash::message;

/// The private keys of one channel; they do not show themselves in `Debug`.
///
/// Source: BOLT 3, "Key Derivation".
#[derive(Clone, PartialEq, Eq)]
pub struct ChannelKeys {
    /// Signs the funding output.
    pub funding: SecretKey,
    /// Takes the peer's revoked commitments, together with the peer's secret.
    pub revocation_base: SecretKey,
    /// Takes `to_remote` of the peer's commitments.
    pub payment_base: SecretKey,
    /// Takes `to_local` of our own commitments.
    pub delayed_payment_base: SecretKey,
    /// Signs HTLC outputs.
    pub htlc_base: SecretKey,
    /// Gives the secrets of our commitments. Whoever has it may take every commitment of ours.
    pub commitment_seed: [u8; 32],
}

impl fmt::Debug for ChannelKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ChannelKeys(..)")
    }
}

impl ChannelKeys {
    /// Derives the keys of a channel from the node's seed and a name for the channel.
    ///
    /// The same two always give the same keys; the name must never be used for two channels.
    pub fn derive(seed: &[u8; 32], channel: &[u8; 32]) -> Self {
        let secret = |purpose| secret_of(seed, channel, purpose);
        Self {
            funding: secret(b"funding"),
            revocation_base: secret(b"revocation"),
            payment_base: secret(b"payment"),
            delayed_payment_base: secret(b"delayed payment"),
            htlc_base: secret(b"htlc"),
            commitment_seed: hash_of(seed, channel, b"commitment seed", 0),
        }
    }

    /// Returns the public half, as the peer and the channel's parameters see it.
    pub fn side(&self, dust_limit: Amount, to_self_delay: ToSelfDelay) -> ChannelSide {
        let secp = curve();
        ChannelSide {
            funding_pubkey: self.funding.public_key(secp),
            revocation_basepoint: self.revocation_base.public_key(secp),
            payment_basepoint: self.payment_base.public_key(secp),
            delayed_payment_basepoint: self.delayed_payment_base.public_key(secp),
            htlc_basepoint: self.htlc_base.public_key(secp),
            dust_limit,
            to_self_delay,
        }
    }

    /// Returns the funding key of the channel's splice of this number, from 1 on: two fundings after
    /// each other have no key in common.
    ///
    /// All tries of one splice have the same key.
    ///
    /// Source: BOLT 2, `splice_init`: `funding_pubkey`.
    pub fn spliced_funding(&self, splice: u32) -> SecretKey {
        let mut name = [0; 32];
        name[..4].copy_from_slice(&splice.to_be_bytes());
        secret_of(&self.funding.secret_bytes(), &name, b"spliced funding")
    }

    /// Returns the secret that revokes a commitment of ours.
    ///
    /// Source: BOLT 3, "Per-commitment Secret Requirements".
    pub fn per_commitment_secret(&self, number: CommitmentNumber) -> PerCommitmentSecret {
        generate_from_seed(&self.commitment_seed, number.secret_index())
    }
}

/// A signer that holds its keys in memory.
///
/// A request does not say whose commitment it is, so this signer cannot tell one of ours that was
/// revoked from the peer's of the same number. Its caller must never ask for a signature on a
/// commitment that it has revoked.
///
/// # Crash safety
///
/// Remembers nothing but the keys, and signs deterministically (RFC 6979): after a restart with the
/// same keys every signature is the same.
#[derive(Debug)]
pub struct InMemorySigner {
    channels: BTreeMap<ChannelId, Channel>,
}

/// Keys with the basepoints that deriving from them needs again and again.
#[derive(Debug)]
struct Channel {
    keys: ChannelKeys,
    delayed_payment_basepoint: PublicKey,
    htlc_basepoint: PublicKey,
    /// The funding keys of splices, by the bytes with which a script names them.
    spliced: BTreeMap<[u8; 33], SecretKey>,
}

impl InMemorySigner {
    /// Starts without keys.
    pub fn new() -> Self {
        Self { channels: BTreeMap::new() }
    }

    /// Takes in the keys of a channel; keys that it had for that channel are replaced.
    pub fn insert(&mut self, channel_id: ChannelId, keys: ChannelKeys) {
        let channel = Channel {
            delayed_payment_basepoint: keys.delayed_payment_base.public_key(curve()),
            htlc_basepoint: keys.htlc_base.public_key(curve()),
            keys,
            spliced: BTreeMap::new(),
        };
        self.channels.insert(channel_id, channel);
    }

    /// Takes in the funding key of a splice, beside those that the channel has.
    ///
    /// A request for the funding key is answered with the one that its script names.
    ///
    /// # Errors
    ///
    /// [`SignerError::UnknownChannel`] if the channel has no keys yet; nothing is kept.
    pub fn insert_funding(
        &mut self,
        channel_id: ChannelId,
        funding: SecretKey,
    ) -> Result<(), SignerError> {
        let name = funding.public_key(curve()).serialize();
        let channel = self.channels.get_mut(&channel_id);
        let channel = channel.ok_or(SignerError::UnknownChannel(channel_id))?;
        channel.spliced.insert(name, funding);
        Ok(())
    }

    fn channel(&self, channel_id: ChannelId) -> Result<&Channel, SignerError> {
        self.channels.get(&channel_id).ok_or(SignerError::UnknownChannel(channel_id))
    }
}

impl Default for InMemorySigner {
    fn default() -> Self {
        Self::new()
    }
}

impl Channel {
    /// The funding key that a script names; the channel's first where it names none of the others.
    fn funding(&self, script: &Script) -> SecretKey {
        let named = script.instructions().flatten().find_map(|instruction| {
            let name: &[u8; 33] = instruction.push_bytes()?.as_bytes().try_into().ok()?;
            self.spliced.get(name)
        });
        *named.unwrap_or(&self.keys.funding)
    }

    fn secret(&self, key: SigningKey, script: &Script) -> Result<SecretKey, SignerError> {
        let (base, basepoint, point) = match key {
            SigningKey::Funding => return Ok(self.funding(script)),
            SigningKey::Payment => return Ok(self.keys.payment_base),
            SigningKey::DelayedPayment { per_commitment_point } => (
                &self.keys.delayed_payment_base,
                &self.delayed_payment_basepoint,
                per_commitment_point,
            ),
            SigningKey::Htlc { per_commitment_point } => {
                (&self.keys.htlc_base, &self.htlc_basepoint, per_commitment_point)
            }
            SigningKey::Revocation { per_commitment_secret } => {
                let secret = SecretKey::from_slice(&per_commitment_secret.0)
                    .map_err(|_| SignerError::Invalid("the secret is no secret"))?;
                return derive_revocation_private_key(&self.keys.revocation_base, &secret)
                    .map_err(|_| SignerError::Invalid("the secret gives no key"));
            }
        };
        private_key(base, basepoint, &point)
            .map_err(|_| SignerError::Invalid("the point gives no key"))
    }
}

impl ChannelSigner for InMemorySigner {
    fn sign(&mut self, request: &SigningRequest<'_>) -> Result<Signature, SignerError> {
        let secret = self.channel(request.channel_id)?.secret(request.key, request.script)?;
        let SigningRequest { transaction, input, script, amount, sighash, .. } = *request;
        let message = message(transaction, input, script, amount, sighash)
            .map_err(|_| SignerError::Invalid("the transaction has no such input"))?;
        Ok(curve().sign_ecdsa(&message, &secret))
    }

    fn per_commitment_point(
        &mut self,
        channel_id: ChannelId,
        number: CommitmentNumber,
    ) -> Result<PublicKey, SignerError> {
        point_of(&self.channel(channel_id)?.keys.per_commitment_secret(number))
            .map_err(|_| SignerError::Invalid("the seed gives no point for this number"))
    }

    fn revoke(
        &mut self,
        channel_id: ChannelId,
        number: CommitmentNumber,
    ) -> Result<PerCommitmentSecret, SignerError> {
        Ok(self.channel(channel_id)?.keys.per_commitment_secret(number))
    }
}

/// Signs the peer's commitment and its HTLC transactions, as `commitment_signed` carries them.
///
/// # Shape
///
/// The signature on the commitment, and one for each untrimmed HTLC in output order.
///
/// # Errors
///
/// [`Bolt3Error::OwnCommitment`] if the commitment is ours: it leaves this node only with the
/// peer's signature in its witness. [`Bolt3Error::Signer`] if the signer did not sign.
///
/// Source: BOLT 2, "Committing Updates So Far: `commitment_signed`".
pub fn sign_commitment(
    signer: &mut dyn ChannelSigner,
    parameters: &ChannelParameters,
    commitment: &CommitmentTx,
) -> Result<(Signature, Vec<Signature>), Bolt3Error> {
    if commitment.owner() == Side::Local {
        return Err(Bolt3Error::OwnCommitment);
    }
    let script =
        funding_script(&parameters.local.funding_pubkey, &parameters.remote.funding_pubkey);
    let signature = signer.sign(&SigningRequest {
        channel_id: parameters.channel_id,
        key: SigningKey::Funding,
        transaction: &commitment.transaction,
        input: 0,
        amount: parameters.funding_amount,
        script: &script,
        sighash: EcdsaSighashType::All,
    })?;
    let key = SigningKey::Htlc { per_commitment_point: commitment.keys.per_commitment_point };
    let htlc_signatures = commitment.htlc_vouts().map(|vout| {
        let htlc = commitment.htlc_transaction(vout)?;
        let signature = signer.sign(&SigningRequest {
            channel_id: parameters.channel_id,
            key,
            transaction: &htlc.transaction,
            input: 0,
            amount: htlc.amount,
            script: &htlc.script,
            sighash: remote_htlc_sighash(commitment.format()),
        })?;
        Ok(signature)
    });
    Ok((signature, htlc_signatures.collect::<Result<_, Bolt3Error>>()?))
}

/// Returns a private key. A hash is none with a chance of 2^-128; then the next one is taken.
fn secret_of(seed: &[u8; 32], channel: &[u8; 32], purpose: &[u8]) -> SecretKey {
    let mut attempt = 0;
    loop {
        if let Ok(secret) = SecretKey::from_slice(&hash_of(seed, channel, purpose, attempt)) {
            return secret;
        }
        attempt += 1;
    }
}

fn hash_of(seed: &[u8; 32], channel: &[u8; 32], purpose: &[u8], attempt: u32) -> [u8; 32] {
    let mut engine = HmacEngine::<sha256::Hash>::new(seed);
    engine.input(b"lastword channel key ");
    engine.input(channel);
    engine.input(&attempt.to_be_bytes());
    engine.input(purpose);
    Hmac::from_engine(engine).to_byte_array()
}
