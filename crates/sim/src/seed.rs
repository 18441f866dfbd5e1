//! [`Seed`]: every secret and every id of a run, from one number.

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use bitcoin::secp256k1::{PublicKey, Secp256k1, SecretKey};
use bitcoin::{CompressedPublicKey, ScriptBuf};
use lastword_types::{ChannelId, Generation, PaymentId, PaymentPreimage};
use serde::{Deserialize, Serialize};

/// The number that a run is made from; the same number gives the same run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Seed(pub u64);

impl Seed {
    /// Returns 32 bytes for a purpose.
    pub fn bytes(self, purpose: &str, index: u64) -> [u8; 32] {
        let mut engine = sha256::Hash::engine();
        engine.input(b"lastword sim");
        engine.input(&self.0.to_be_bytes());
        engine.input(&index.to_be_bytes());
        engine.input(purpose.as_bytes());
        sha256::Hash::from_engine(engine).to_byte_array()
    }

    /// Returns a wallet key.
    pub fn wallet(self, owner: Wallet) -> WalletKey {
        let mut index = 0;
        loop {
            // Of all 32-byte strings about one in 2^128 is no key.
            if let Ok(secret) = SecretKey::from_slice(&self.bytes(owner.purpose(), index)) {
                return WalletKey::new(secret);
            }
            index += 1;
        }
    }

    /// Returns the name of a channel.
    ///
    /// It is drawn from the seed and not from the funding outpoint, so that a node that comes back
    /// can fill its signer before it has read anything.
    pub fn channel_id(self, channel: u16) -> ChannelId {
        ChannelId(self.bytes("channel", u64::from(channel)))
    }

    /// Returns the id of a payment.
    pub fn payment_id(self, payment: u16) -> PaymentId {
        PaymentId(self.bytes("payment", u64::from(payment)))
    }

    /// Returns the generation of one try of a payment.
    pub fn generation(self, payment: u16, round: u16) -> Generation {
        let bytes = self.bytes("generation", u64::from(payment) << 16 | u64::from(round));
        let mut generation = [0; 16];
        generation.copy_from_slice(&bytes[..16]);
        Generation(generation)
    }

    /// Returns the preimage of one try of a payment.
    pub fn preimage(self, payment: u16, round: u16) -> PaymentPreimage {
        PaymentPreimage(self.bytes("preimage", u64::from(payment) << 16 | u64::from(round)))
    }

    /// Returns the preimage of a payment that the peer offers, by its first part.
    pub fn offer_preimage(self, offer: u16) -> PaymentPreimage {
        PaymentPreimage(self.bytes("offer", u64::from(offer)))
    }
}

/// Whose wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wallet {
    /// Mines the first blocks and funds everything.
    Bank,
    /// The node's.
    Node,
    /// The peer's.
    Peer,
    /// Takes the rewards of all later blocks.
    Miner,
}

impl Wallet {
    fn purpose(self) -> &'static str {
        match self {
            Self::Bank => "wallet of the bank",
            Self::Node => "wallet of the node",
            Self::Peer => "wallet of the peer",
            Self::Miner => "wallet of the miner",
        }
    }
}

/// A wallet of one key, with P2WPKH outputs.
#[derive(Debug, Clone)]
pub struct WalletKey {
    /// Its secret.
    pub secret: SecretKey,
    /// Its public key.
    pub public: PublicKey,
    /// The script that pays it.
    pub script: ScriptBuf,
}

impl WalletKey {
    fn new(secret: SecretKey) -> Self {
        let public = PublicKey::from_secret_key(&Secp256k1::signing_only(), &secret);
        let script = ScriptBuf::new_p2wpkh(&CompressedPublicKey(public).wpubkey_hash());
        Self { secret, public, script }
    }
}
