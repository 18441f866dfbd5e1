//! The chain of a soak: blocks as they are mined of what was offered, and a wallet.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::consensus::serialize;
use bitcoin::hashes::Hash as _;
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{
    Amount, Block, BlockHash, Network, OutPoint, ScriptBuf, Transaction, Txid, WPubkeyHash,
    Witness, constants,
};
use lastword_bolt3::{ChannelKeys, InMemorySigner};
use lastword_ports::{
    BlockSource, Broadcaster, ChainError, ChainErrorKind, ChannelSigner, Coin, CoinSource, Header,
    SignerError, SigningRequest,
};
use lastword_types::{BlockRef, ChannelId, CommitmentNumber, PerCommitmentSecret};

use crate::quiet::tip;

/// Blocks that the chain keeps: a node is never further behind.
const KEPT: usize = 200;
/// Coins of the wallet.
const COINS: u32 = 4_000;
const COIN: Amount = Amount::from_sat(100_000);

struct Mined {
    block: BlockRef,
    previous: BlockHash,
    raw: Vec<u8>,
}

struct State {
    blocks: VecDeque<Mined>,
    /// What was offered, by the output that it spends first.
    waiting: BTreeMap<OutPoint, Transaction>,
    /// Outputs of commitments and of what follows from them that are spent.
    spent: BTreeSet<OutPoint>,
    coins: BTreeSet<OutPoint>,
    coins_given: u32,
}

/// The chain; clones share it.
#[derive(Clone)]
pub(crate) struct Chain(Arc<Mutex<State>>);

impl Chain {
    pub(crate) fn new() -> Self {
        let genesis = Mined { block: tip(), previous: BlockHash::all_zeros(), raw: Vec::new() };
        let state = State {
            blocks: VecDeque::from([genesis]),
            waiting: BTreeMap::new(),
            spent: BTreeSet::new(),
            coins: (0..COINS).map(coin).collect(),
            coins_given: COINS,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Offers a transaction of the peer's.
    pub(crate) fn offer(&self, transaction: &Transaction) {
        self.lock().take(transaction);
    }

    pub(crate) fn is_spent(&self, outpoint: OutPoint) -> bool {
        self.lock().spent.contains(&outpoint)
    }

    /// Mines a block of what was offered, but for what `leaves` names.
    pub(crate) fn mine(&self, mut leaves: impl FnMut() -> bool) {
        let mut state = self.lock();
        let mut block: Block = constants::genesis_block(Network::Regtest);
        let waiting = core::mem::take(&mut state.waiting);
        for (place, transaction) in waiting {
            let mut spends = transaction.input.iter().map(|input| input.previous_output);
            if spends.any(|outpoint| state.spent.contains(&outpoint)) {
                continue;
            }
            if leaves() {
                state.waiting.insert(place, transaction);
                continue;
            }
            for input in &transaction.input {
                if state.coins.remove(&input.previous_output) {
                    let next = coin(state.coins_given);
                    state.coins_given += 1;
                    state.coins.insert(next);
                } else {
                    state.spent.insert(input.previous_output);
                }
            }
            block.txdata.push(transaction);
        }
        let best = state.blocks.back().map_or_else(tip, |mined| mined.block);
        block.header.prev_blockhash = best.hash;
        block.header.time = best.height.0;
        if let Some(root) = block.compute_merkle_root() {
            block.header.merkle_root = root;
        }
        let next = BlockRef { height: best.height.plus(1), hash: block.block_hash() };
        state.blocks.push_back(Mined { block: next, previous: best.hash, raw: serialize(&block) });
        if state.blocks.len() > KEPT {
            state.blocks.pop_front();
        }
    }
}

impl State {
    fn take(&mut self, transaction: &Transaction) {
        let Some(first) = transaction.input.first().map(|input| input.previous_output) else {
            return;
        };
        if !self.spent.contains(&first) {
            self.waiting.insert(first, transaction.clone());
        }
    }

    fn find(&self, hash: BlockHash) -> Result<&Mined, ChainError> {
        let mut latest = self.blocks.iter().rev();
        latest
            .find(|mined| mined.block.hash == hash)
            .ok_or_else(|| ChainError::new(ChainErrorKind::NotFound, "no such block"))
    }
}

impl BlockSource for Chain {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        let best = self.lock().blocks.back().map(|mined| mined.block);
        best.ok_or_else(|| ChainError::new(ChainErrorKind::NotFound, "no block"))
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        let state = self.lock();
        state.find(hash).map(|mined| Header { block: mined.block, previous: mined.previous })
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        let raw = self.raw_block(hash)?;
        bitcoin::consensus::deserialize(&raw)
            .map_err(|_| ChainError::new(ChainErrorKind::Nonsense, "no block"))
    }

    fn raw_block(&mut self, hash: BlockHash) -> Result<Vec<u8>, ChainError> {
        self.lock().find(hash).map(|mined| mined.raw.clone())
    }
}

impl Broadcaster for Chain {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        self.lock().take(transaction);
        Ok(())
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        // The child pays, and nobody needs it here.
        package.first().map_or(Ok(()), |parent| self.broadcast(parent))
    }
}

fn coin(number: u32) -> OutPoint {
    let mut txid = [0xC0; 32];
    txid[..4].copy_from_slice(&number.to_le_bytes());
    OutPoint { txid: Txid::from_byte_array(txid), vout: 0 }
}

fn wallet_script() -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&WPubkeyHash::all_zeros())
}

impl CoinSource for Chain {
    fn coins(&mut self) -> Result<Vec<Coin>, ChainError> {
        let script_pubkey = wallet_script();
        let coin = |outpoint| Coin { outpoint, amount: COIN, script_pubkey: script_pubkey.clone() };
        Ok(self.lock().coins.iter().copied().map(coin).collect())
    }

    fn destination(&mut self) -> ScriptBuf {
        wallet_script()
    }

    fn sign(
        &mut self,
        transaction: &mut Transaction,
        input: usize,
        _: &Coin,
    ) -> Result<(), ChainError> {
        let found = transaction.input.get_mut(input);
        let found = found.ok_or_else(|| ChainError::new(ChainErrorKind::NotFound, "no input"))?;
        found.witness = Witness::from_slice(&[vec![0; 72], vec![0; 33]]);
        Ok(())
    }
}

/// Signs for every channel with the keys of one: they differ in their funding outputs alone.
pub(crate) struct OneSigner(InMemorySigner);

impl OneSigner {
    pub(crate) fn new(keys: ChannelKeys) -> Self {
        let mut signer = InMemorySigner::new();
        signer.insert(THE_ONE, keys);
        Self(signer)
    }
}

const THE_ONE: ChannelId = ChannelId([1; 32]);

impl ChannelSigner for OneSigner {
    fn sign(&mut self, request: &SigningRequest<'_>) -> Result<Signature, SignerError> {
        self.0.sign(&SigningRequest { channel_id: THE_ONE, ..*request })
    }

    fn per_commitment_point(
        &mut self,
        _: ChannelId,
        number: CommitmentNumber,
    ) -> Result<PublicKey, SignerError> {
        self.0.per_commitment_point(THE_ONE, number)
    }

    fn revoke(
        &mut self,
        _: ChannelId,
        number: CommitmentNumber,
    ) -> Result<PerCommitmentSecret, SignerError> {
        self.0.revoke(THE_ONE, number)
    }
}
