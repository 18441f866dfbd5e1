//! A node as a test wants it: P2WPKH coins, rates, and keys that may be away.

use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, SecretKey};
use bitcoin::sighash::SighashCache;
use bitcoin::{
    Amount, CompressedPublicKey, EcdsaSighashType, OutPoint, ScriptBuf, Transaction, TxOut, Txid,
    Witness,
};
use lastword_bolt3::InMemorySigner;
use lastword_claims::{Claims, Due, Wallet};
use lastword_ports::{
    ChainError, ChainErrorKind, ChannelSigner, Coin, CoinSource, FeeSource, SignerError,
    SigningRequest, Urgency,
};
use lastword_types::{
    BlockHeight, ChannelId, CommitmentNumber, FeeRatePerKw, PerCommitmentSecret, SigningKey,
};

use crate::world::{LATE, World};

/// The ports of one node.
pub(crate) struct Node {
    pub(crate) signer: TestSigner,
    pub(crate) coins: TestCoins,
    pub(crate) fees: TestFees,
}

impl Node {
    /// A node with the keys of `world` and coins of these values, which the world gets to know.
    pub(crate) fn new(world: &mut World, values: &[u64]) -> Self {
        let mut node = Self {
            signer: TestSigner { inner: InMemorySigner::new(), refused: None, asked: 0 },
            coins: TestCoins::new(values),
            fees: TestFees { relaxed: 500, contended: 1_000 },
        };
        node.joins(world);
        node
    }

    /// Gives the node the keys of one more world, and that world the node's coins.
    pub(crate) fn joins(&mut self, world: &mut World) {
        let (channel_id, keys) = world.keys();
        self.signer.inner.insert(channel_id, keys);
        for Coin { outpoint, amount, script_pubkey } in self.coins.coins.clone() {
            world.outputs.insert(outpoint, TxOut { value: amount, script_pubkey });
        }
    }

    pub(crate) fn due(&mut self, claims: &mut Claims, tip: BlockHeight) -> Due {
        let mut wallet =
            Wallet { signer: &mut self.signer, coins: &mut self.coins, fees: &mut self.fees };
        claims.due(tip, &mut wallet)
    }

    /// Calls `due` and expects packages and nothing else.
    pub(crate) fn packages(&mut self, claims: &mut Claims) -> Vec<[Transaction; 2]> {
        let due = self.due(claims, LATE);
        assert!(due.errors.is_empty(), "{:?}", due.errors);
        assert!(due.transactions.is_empty(), "{:?}", due.transactions);
        due.packages
    }

    /// Calls `due` and expects no error.
    pub(crate) fn transactions(
        &mut self,
        claims: &mut Claims,
        tip: BlockHeight,
    ) -> Vec<Transaction> {
        let due = self.due(claims, tip);
        assert!(due.errors.is_empty(), "{:?}", due.errors);
        due.transactions
    }
}

/// Keys that may be away for one output or for all.
pub(crate) struct TestSigner {
    inner: InMemorySigner,
    pub(crate) refused: Option<Refused>,
    /// How often it was asked to sign.
    pub(crate) asked: usize,
}

/// What a [`TestSigner`] does not sign.
#[derive(Clone, Copy)]
pub(crate) enum Refused {
    All,
    Key(SigningKey),
}

impl ChannelSigner for TestSigner {
    fn sign(&mut self, request: &SigningRequest<'_>) -> Result<Signature, SignerError> {
        self.asked += 1;
        match self.refused {
            Some(Refused::All) => Err(SignerError::Away),
            Some(Refused::Key(key)) if key == request.key => Err(SignerError::Invalid("not this")),
            Some(Refused::Key(_)) | None => self.inner.sign(request),
        }
    }

    fn per_commitment_point(
        &mut self,
        channel_id: ChannelId,
        number: CommitmentNumber,
    ) -> Result<PublicKey, SignerError> {
        self.inner.per_commitment_point(channel_id, number)
    }

    fn revoke(
        &mut self,
        channel_id: ChannelId,
        number: CommitmentNumber,
    ) -> Result<PerCommitmentSecret, SignerError> {
        self.inner.revoke(channel_id, number)
    }
}

/// Coins of one key, and a new destination for every question.
pub(crate) struct TestCoins {
    key: SecretKey,
    pub(crate) coins: Vec<Coin>,
    pub(crate) is_away: bool,
    pub(crate) signs: bool,
    /// Makes every destination a script of this many bytes.
    pub(crate) long: Option<usize>,
    /// How many destinations were asked for.
    pub(crate) destinations: u8,
}

impl TestCoins {
    fn new(values: &[u64]) -> Self {
        let key = SecretKey::from_slice(&[0x42; 32]).unwrap();
        let pubkey = CompressedPublicKey(PublicKey::from_secret_key(&Secp256k1::new(), &key));
        let script_pubkey = ScriptBuf::new_p2wpkh(&pubkey.wpubkey_hash());
        let coin = |(number, sat): (u32, &u64)| Coin {
            outpoint: OutPoint::new(Txid::from_byte_array([0xc0; 32]), number),
            amount: Amount::from_sat(*sat),
            script_pubkey: script_pubkey.clone(),
        };
        let coins = (0..).zip(values).map(coin).collect();
        Self { key, coins, is_away: false, signs: true, long: None, destinations: 0 }
    }
}

impl CoinSource for TestCoins {
    fn coins(&mut self) -> Result<Vec<Coin>, ChainError> {
        if self.is_away {
            return Err(ChainError::new(ChainErrorKind::Retry, "the wallet is away"));
        }
        Ok(self.coins.clone())
    }

    fn destination(&mut self) -> ScriptBuf {
        self.destinations += 1;
        if let Some(bytes) = self.long {
            return ScriptBuf::from_bytes(vec![0x51; bytes]);
        }
        ScriptBuf::new_p2wpkh(&bitcoin::WPubkeyHash::from_byte_array([self.destinations; 20]))
    }

    fn sign(
        &mut self,
        transaction: &mut Transaction,
        input: usize,
        coin: &Coin,
    ) -> Result<(), ChainError> {
        if !self.signs {
            return Err(ChainError::new(ChainErrorKind::NotFound, "no such coin"));
        }
        assert!(transaction.input[input].witness.is_empty(), "it is the wallet's to fill in");
        let sighash = SighashCache::new(&*transaction)
            .p2wpkh_signature_hash(input, &coin.script_pubkey, coin.amount, EcdsaSighashType::All)
            .unwrap();
        let context = Secp256k1::new();
        let message = Message::from_digest(sighash.to_byte_array());
        let signature =
            bitcoin::ecdsa::Signature::sighash_all(context.sign_ecdsa(&message, &self.key));
        let pubkey = PublicKey::from_secret_key(&context, &self.key);
        transaction.input[input].witness = Witness::p2wpkh(&signature, &pubkey);
        Ok(())
    }
}

/// Rates in satoshi for 1,000 weight units.
pub(crate) struct TestFees {
    pub(crate) relaxed: u32,
    pub(crate) contended: u32,
}

impl FeeSource for TestFees {
    fn feerate(&mut self, urgency: Urgency) -> FeeRatePerKw {
        match urgency {
            Urgency::Relaxed => FeeRatePerKw(self.relaxed),
            Urgency::Contended => FeeRatePerKw(self.contended),
        }
    }
}
