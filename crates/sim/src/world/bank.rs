//! [`Bank`]: the wallets of a run, and the transactions that fund it.

use bitcoin::absolute::LockTime;
use bitcoin::secp256k1::{Message, Secp256k1};
use bitcoin::sighash::SighashCache;
use bitcoin::transaction::Version;
use bitcoin::{
    Amount, EcdsaSighashType, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness,
};

use crate::error::{SimError, Trying as _};
use crate::seed::{Seed, Wallet, WalletKey};
use crate::world::World;
use crate::world::index::ChainIndex;

/// Blocks that a coinbase must wait (consensus).
pub const COINBASE_MATURITY: u32 = 100;

/// What a transaction of the bank pays as its fee.
const BANK_FEE: Amount = Amount::from_sat(2_000);

/// The coins that each wallet starts with.
const COIN_COUNT: usize = 24;

/// The value of each.
const COIN_AMOUNT: Amount = Amount::from_sat(30_000);

/// At most this many coins are offered for fees at once.
const OFFERED_COINS: usize = 16;

/// The keys of all wallets.
#[derive(Debug, Clone)]
pub struct Bank {
    source: WalletKey,
    node: WalletKey,
    peer: WalletKey,
    miner: WalletKey,
}

impl Bank {
    /// Makes the wallets of a run.
    pub fn new(seed: Seed) -> Self {
        let [source, node, peer, miner] =
            [Wallet::Bank, Wallet::Node, Wallet::Peer, Wallet::Miner].map(|who| seed.wallet(who));
        Self { source, node, peer, miner }
    }

    /// Returns a wallet.
    pub fn wallet(&self, owner: Wallet) -> &WalletKey {
        match owner {
            Wallet::Bank => &self.source,
            Wallet::Node => &self.node,
            Wallet::Peer => &self.peer,
            Wallet::Miner => &self.miner,
        }
    }

    /// Mines until the bank has `count` mature coinbases, and gives node and peer their coins.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain fails.
    pub fn endow(
        &self,
        world: &mut dyn World,
        index: &mut ChainIndex,
        count: u32,
    ) -> Result<(), SimError> {
        // One more, for the coins.
        for _ in 0..=count {
            world.mine(&self.source.script)?;
        }
        for _ in 0..COINBASE_MATURITY {
            world.mine(&self.miner.script)?;
        }
        index.sync(world)?;
        let outputs: Vec<TxOut> = [&self.node.script, &self.peer.script]
            .into_iter()
            .flat_map(|script| std::iter::repeat_n(script, COIN_COUNT))
            .map(|script| TxOut { value: COIN_AMOUNT, script_pubkey: script.clone() })
            .collect();
        let coins = self.pay(index, 1, outputs)?;
        world.broadcast(&coins).trying("broadcast the coins of node and peer")?;
        world.mine(&self.miner.script)?;
        index.sync(world)
    }

    /// Builds and signs a transaction that pays `outputs` from the coinbase of one block.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the bank does not have that coinbase or too little is in it.
    pub fn pay(
        &self,
        index: &ChainIndex,
        height: u32,
        mut outputs: Vec<TxOut>,
    ) -> Result<Transaction, SimError> {
        let (outpoint, coin) = index
            .reward(height)
            .filter(|(_, output)| output.script_pubkey == self.source.script)
            .ok_or(SimError::new("the bank does not have that coinbase"))?;
        let spent: Amount = outputs.iter().map(|output| output.value).sum();
        let change = coin
            .value
            .checked_sub(spent + BANK_FEE)
            .ok_or(SimError::new("the bank's coinbase is too small"))?;
        outputs.push(TxOut { value: change, script_pubkey: self.source.script.clone() });
        let mut transaction = spend(&[outpoint], outputs);
        sign_p2wpkh(&mut transaction, 0, &self.source, coin.value)?;
        Ok(transaction)
    }

    /// Returns the confirmed coins of a wallet that nothing spends, not even in the mempool.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain fails.
    pub fn coins(
        &self,
        owner: Wallet,
        world: &mut dyn World,
        index: &ChainIndex,
    ) -> Result<Vec<(OutPoint, Amount)>, SimError> {
        let mut coins = Vec::new();
        for (outpoint, output) in index.coins(&self.wallet(owner).script) {
            if coins.len() == OFFERED_COINS {
                break;
            }
            // What was swept is left alone, so that fees are paid from the coins meant for them.
            if output.value <= COIN_AMOUNT && world.is_unspent(outpoint)? {
                coins.push((outpoint, output.value));
            }
        }
        Ok(coins)
    }
}

/// Builds an unsigned transaction, version 2, without locks.
pub(crate) fn spend(inputs: &[OutPoint], outputs: Vec<TxOut>) -> Transaction {
    Transaction {
        version: Version::TWO,
        lock_time: LockTime::ZERO,
        input: inputs
            .iter()
            .map(|outpoint| TxIn {
                previous_output: *outpoint,
                script_sig: ScriptBuf::new(),
                sequence: Sequence::ENABLE_RBF_NO_LOCKTIME,
                witness: Witness::new(),
            })
            .collect(),
        output: outputs,
    }
}

/// Signs a P2WPKH input with `SIGHASH_ALL`.
///
/// # Errors
///
/// [`SimError`] if the input is not there.
pub fn sign_p2wpkh(
    transaction: &mut Transaction,
    input: usize,
    key: &WalletKey,
    amount: Amount,
) -> Result<(), SimError> {
    let sighash = SighashCache::new(&*transaction)
        .p2wpkh_signature_hash(input, &key.script, amount, EcdsaSighashType::All)
        .trying("compute a sighash")?;
    let signature = bitcoin::ecdsa::Signature {
        signature: Secp256k1::signing_only().sign_ecdsa(&Message::from(sighash), &key.secret),
        sighash_type: EcdsaSighashType::All,
    };
    transaction.input[input].witness = Witness::p2wpkh(&signature, &key.public);
    Ok(())
}
