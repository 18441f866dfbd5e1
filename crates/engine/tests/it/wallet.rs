//! The node's wallet: P2WPKH coins of the in-process chain.

use bitcoin::secp256k1::{Message, PublicKey, Secp256k1, SecretKey};
use bitcoin::sighash::SighashCache;
use bitcoin::{
    Amount, CompressedPublicKey, EcdsaSighashType, ScriptBuf, Transaction, Witness, ecdsa,
};
use lastword_ports::{ChainError, ChainErrorKind, Coin, CoinSource};
use lastword_regtest::SharedChain;

/// What one coin is worth; the claims' machine pays fees with them.
pub(crate) const COIN: Amount = Amount::from_sat(40_000);

pub(crate) struct Wallet {
    chain: SharedChain,
    secret: SecretKey,
}

impl Wallet {
    pub(crate) fn new(chain: SharedChain) -> Self {
        Self { chain, secret: SecretKey::from_slice(&[0x77; 32]).unwrap() }
    }

    pub(crate) fn script(&self) -> ScriptBuf {
        ScriptBuf::new_p2wpkh(&CompressedPublicKey(self.public()).wpubkey_hash())
    }

    fn public(&self) -> PublicKey {
        self.secret.public_key(&Secp256k1::signing_only())
    }
}

impl CoinSource for Wallet {
    fn coins(&mut self) -> Result<Vec<Coin>, ChainError> {
        let (script_pubkey, chain) = (self.script(), self.chain.lock());
        let coins = chain.utxos().filter(|(outpoint, unspent)| {
            unspent.output.script_pubkey == script_pubkey
                && unspent.output.value == COIN
                && chain.mempool_spender(*outpoint).is_none()
        });
        let coin = |outpoint| Coin { outpoint, amount: COIN, script_pubkey: script_pubkey.clone() };
        Ok(coins.map(|(outpoint, _)| coin(outpoint)).collect())
    }

    fn destination(&mut self) -> ScriptBuf {
        self.script()
    }

    fn sign(
        &mut self,
        transaction: &mut Transaction,
        input: usize,
        coin: &Coin,
    ) -> Result<(), ChainError> {
        let unknown = |_| ChainError::new(ChainErrorKind::NotFound, "no such input");
        let sighash = SighashCache::new(&*transaction)
            .p2wpkh_signature_hash(input, &coin.script_pubkey, coin.amount, EcdsaSighashType::All)
            .map_err(unknown)?;
        let signature = ecdsa::Signature {
            signature: Secp256k1::signing_only().sign_ecdsa(&Message::from(sighash), &self.secret),
            sighash_type: EcdsaSighashType::All,
        };
        transaction.input[input].witness = Witness::p2wpkh(&signature, &self.public());
        Ok(())
    }
}
