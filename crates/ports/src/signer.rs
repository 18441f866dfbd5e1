//! [`ChannelSigner`]: who holds the private keys of channels.

use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, EcdsaSighashType, Script, Transaction};
use lastword_types::{ChannelId, CommitmentNumber, PerCommitmentSecret, SigningKey};
use thiserror::Error;

/// What a signer is asked to sign: one input, with all that its sighash covers.
#[derive(Debug, Clone, Copy)]
pub struct SigningRequest<'a> {
    /// The channel whose keys are meant.
    pub channel_id: ChannelId,
    /// Which of its keys.
    pub key: SigningKey,
    /// The transaction.
    pub transaction: &'a Transaction,
    /// Which of its inputs.
    pub input: usize,
    /// The value that the input spends.
    pub amount: Amount,
    /// The witness script, or for a P2WPKH output its script pubkey.
    pub script: &'a Script,
    /// What the signature covers.
    pub sighash: EcdsaSighashType,
}

/// A signer refused or failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SignerError {
    /// The signer has no keys for this channel.
    #[error("no keys for channel {0}")]
    UnknownChannel(ChannelId),
    /// The request makes no sense: an input that is not there, a point that gives no key.
    #[error("the request cannot be signed: {0}")]
    Invalid(&'static str),
    /// The signer is away; the same call may work later.
    #[error("the signer is away")]
    Away,
}

/// The private keys of channels.
///
/// # To be correct, an implementation must
///
/// - compute the sighash by itself from the request (BIP 143);
/// - sign deterministically (RFC 6979), so that a repetition after a crash is identical;
/// - give the secret of a commitment only when asked, and never sign that commitment afterwards.
pub trait ChannelSigner: Send {
    /// Signs one input.
    ///
    /// # Errors
    ///
    /// [`SignerError`]; nothing was signed.
    fn sign(&mut self, request: &SigningRequest<'_>) -> Result<Signature, SignerError>;

    /// Returns the point of one of our commitments.
    ///
    /// # Errors
    ///
    /// [`SignerError::UnknownChannel`].
    fn per_commitment_point(
        &mut self,
        channel_id: ChannelId,
        number: CommitmentNumber,
    ) -> Result<PublicKey, SignerError>;

    /// Returns the secret of one of our commitments, which revokes it.
    ///
    /// # Errors
    ///
    /// [`SignerError::UnknownChannel`].
    fn revoke(
        &mut self,
        channel_id: ChannelId,
        number: CommitmentNumber,
    ) -> Result<PerCommitmentSecret, SignerError>;
}
