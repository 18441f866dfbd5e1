//! [`Stage`]: the chain on which cases are played, the wallets, and what the node hands to it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut, Txid};
use lastword_bolt3::InMemorySigner;
use lastword_engine::{NoChannels, NoForwards, Observer, Ports};
use lastword_ports::{
    BlockSource as _, Broadcaster, ChainError, ChainErrorKind, Coin, CoinSource, Store,
};
use lastword_regtest::SharedChain;
use lastword_types::{ChannelId, Side};

use super::channel::{FUNDING, keys_of, script_of};
use super::scene::Setting;
use crate::error::{SimError, Trying as _};
use crate::link::FixedFees;
use crate::seed::{Seed, Wallet, WalletKey};
use crate::world::World;
use crate::world::bank::{Bank, sign_p2wpkh};
use crate::world::bitcoind::Bitcoind;
use crate::world::index::ChainIndex;
use crate::world::inprocess::InProcess;

/// What one coin is worth that pays fees.
const COIN: Amount = Amount::from_sat(30_000);
/// The coins of the node and of the peer for each channel.
const COINS: [usize; 2] = [10, 6];

/// The chain that a stage stands on.
#[derive(Debug, Clone)]
pub enum Place {
    /// One in this process, which accepts only what consensus accepts.
    InProcess(InProcess),
    /// A bitcoind that somebody else started, on an empty regtest chain.
    Bitcoind {
        /// Where its RPC is.
        url: String,
        /// The file with its cookie.
        cookie: PathBuf,
    },
}

impl Place {
    fn connect(&self) -> Result<Box<dyn World>, SimError> {
        Ok(match self {
            Self::InProcess(chain) => Box::new(chain.clone()),
            Self::Bitcoind { url, cookie } => Box::new(Bitcoind::connect(url, cookie)?),
        })
    }
}

/// The chain of some cases, and everybody's wallets.
pub struct Stage {
    place: Place,
    pub(super) world: Box<dyn World>,
    pub(super) index: ChainIndex,
    bank: Bank,
    /// The coinbase that funds the next channels.
    coinbase: u32,
    pub(super) channels: Vec<ChannelId>,
    pub(super) books: Books,
    peers_coins: Vec<OutPoint>,
}

impl std::fmt::Debug for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stage").field("place", &self.place).finish_non_exhaustive()
    }
}

/// What the node handed to the chain, and its coins. It never crashes.
#[derive(Debug, Clone, Default)]
pub(super) struct Books(Arc<Mutex<Open>>);

#[derive(Debug, Clone, Default)]
pub(super) struct Open {
    coins: Vec<OutPoint>,
    spent: BTreeSet<OutPoint>,
    /// Every transaction of the node that was taken.
    pub(super) accepted: BTreeMap<Txid, Transaction>,
    /// How often the node offered something.
    pub(super) offered: usize,
    /// What no chain would ever have taken (M4).
    pub(super) invalid: Vec<String>,
}

impl Books {
    pub(super) fn lock(&self) -> MutexGuard<'_, Open> {
        // Every change is one step, so a node that died left it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    /// Makes a stage with the money for `rounds` rounds of channels.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain fails.
    pub fn new(place: Place, rounds: u32) -> Result<Self, SimError> {
        let bank = Bank::new(Seed(0));
        let mut world = place.connect()?;
        let mut index = ChainIndex::new();
        bank.endow(&mut *world, &mut index, rounds)?;
        Ok(Self {
            place,
            world,
            index,
            bank,
            coinbase: 1,
            channels: Vec::new(),
            books: Books::default(),
            peers_coins: Vec::new(),
        })
    }

    /// Makes another stage that is like this one and goes its own way.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain is not in this process.
    pub fn fork(&self) -> Result<Self, SimError> {
        let Place::InProcess(chain) = &self.place else {
            return Err(SimError::new("a real chain cannot be copied"));
        };
        let chain = chain.chain().lock().clone();
        let place = Place::InProcess(InProcess::on(SharedChain::new(chain)));
        Ok(Self {
            world: place.connect()?,
            place,
            index: self.index.clone(),
            bank: self.bank.clone(),
            coinbase: self.coinbase,
            channels: self.channels.clone(),
            books: Books(Arc::new(Mutex::new(self.books.lock().clone()))),
            peers_coins: self.peers_coins.clone(),
        })
    }

    /// Builds the transaction that funds `count` channels and gives everybody coins; returns where
    /// each channel is.
    pub(super) fn fund(
        &mut self,
        first: u16,
        count: u16,
    ) -> Result<(Transaction, Vec<OutPoint>), SimError> {
        self.channels = (first..first + count).map(Setting::channel_id).collect();
        let scripts = self.channels.iter().map(|id| script_of(*id));
        let mut outputs: Vec<TxOut> =
            scripts.map(|script_pubkey| TxOut { value: FUNDING, script_pubkey }).collect();
        let places = [self.script(Side::Local), self.script(Side::Remote)].map(Clone::clone);
        for (script, coins) in places.iter().zip(COINS) {
            let coin = TxOut { value: COIN, script_pubkey: script.clone() };
            outputs.extend(std::iter::repeat_n(coin, coins * usize::from(count)));
        }
        self.coinbase += 1;
        let funding = self.bank.pay(&self.index, self.coinbase, outputs)?;
        let txid = funding.compute_txid();
        let mut outpoints = (0..).map(|vout| OutPoint { txid, vout });
        let channels = outpoints.by_ref().take(usize::from(count)).collect();
        let [ours, theirs] = COINS.map(|coins| coins * usize::from(count));
        let coins = outpoints.by_ref().take(ours).collect();
        *self.books.lock() = Open { coins, ..Open::default() };
        self.peers_coins = outpoints.take(theirs).collect();
        Ok((funding, channels))
    }

    /// Returns the script of a side's wallet.
    pub(super) fn script(&self, side: Side) -> &ScriptBuf {
        &self.wallet(side).script
    }

    pub(super) fn wallet(&self, side: Side) -> &WalletKey {
        self.bank.wallet(match side {
            Side::Local => Wallet::Node,
            Side::Remote => Wallet::Peer,
        })
    }

    /// Takes a coin out of the peer's purse.
    pub(super) fn peers_coin(&mut self) -> Result<(OutPoint, Amount), SimError> {
        let coin = self.peers_coins.pop().ok_or(SimError::new("the peer has no coin left"))?;
        Ok((coin, COIN))
    }

    /// Returns the height of the best block.
    pub(super) fn height(&self) -> u32 {
        self.index.height()
    }

    /// Mines a block with what waits.
    pub(super) fn mine(&mut self) -> Result<(), SimError> {
        self.world.mine(&self.bank.wallet(Wallet::Miner).script)?;
        self.index.sync(&mut *self.world)
    }

    /// Mines a block with these transactions.
    pub(super) fn mine_with(&mut self, transactions: &[Transaction]) -> Result<(), SimError> {
        self.world.mine_with(&self.bank.wallet(Wallet::Miner).script, transactions)?;
        self.index.sync(&mut *self.world)
    }

    /// Takes the best blocks away.
    pub(super) fn disconnect(&mut self, depth: u32) -> Result<(), SimError> {
        self.world.disconnect(depth)?;
        self.index.sync(&mut *self.world)
    }

    /// Says whether the best block holds more than its reward.
    pub(super) fn tip_holds_something(&mut self) -> Result<bool, SimError> {
        let tip = self.world.tip().trying("read the tip")?;
        let block = self.world.block(tip.hash).trying("read the best block")?;
        Ok(block.txdata.len() > 1)
    }

    /// Returns the ports of a node on these stores.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain is away.
    pub fn ports(
        &self,
        monitors: Box<dyn Store>,
        books: Option<Box<dyn Store>>,
        observer: Box<dyn Observer>,
    ) -> Result<Ports, SimError> {
        let mut signer = InMemorySigner::new();
        for channel_id in &self.channels {
            signer.insert(*channel_id, keys_of(Side::Local, *channel_id));
        }
        let key = self.wallet(Side::Local).clone();
        let mouth = Mouth { world: self.place.connect()?, books: self.books.clone() };
        Ok(Ports {
            monitors,
            books,
            source: Box::new(self.place.connect()?),
            broadcaster: Box::new(mouth),
            signer: Box::new(signer),
            coins: Box::new(Purse { key, books: self.books.clone() }),
            fees: Box::new(FixedFees),
            forwards: Box::new(NoForwards),
            channels: Box::new(NoChannels),
            observer,
        })
    }
}

/// The node's wallet.
struct Purse {
    key: WalletKey,
    books: Books,
}

impl CoinSource for Purse {
    fn coins(&mut self) -> Result<Vec<Coin>, ChainError> {
        let open = self.books.lock();
        let free = open.coins.iter().filter(|coin| !open.spent.contains(coin));
        let coin = |outpoint: &OutPoint| Coin {
            outpoint: *outpoint,
            amount: COIN,
            script_pubkey: self.key.script.clone(),
        };
        Ok(free.map(coin).collect())
    }

    fn destination(&mut self) -> ScriptBuf {
        self.key.script.clone()
    }

    fn sign(
        &mut self,
        transaction: &mut Transaction,
        input: usize,
        coin: &Coin,
    ) -> Result<(), ChainError> {
        sign_p2wpkh(transaction, input, &self.key, coin.amount).map_err(|error| {
            ChainError::new(ChainErrorKind::NotFound, "the input is not there").with_source(error)
        })
    }
}

/// Hands to the chain what the node says, and looks at every refusal.
struct Mouth {
    world: Box<dyn World>,
    books: Books,
}

impl Mouth {
    /// A refusal is good only if somebody else spends one of the inputs, in a block or before.
    fn note(
        &mut self,
        package: &[Transaction],
        result: Result<(), ChainError>,
    ) -> Result<(), ChainError> {
        let made: Vec<Txid> = package.iter().map(Transaction::compute_txid).collect();
        let inputs = package.iter().flat_map(|transaction| &transaction.input);
        let inputs = inputs.map(|input| input.previous_output);
        let inputs: Vec<OutPoint> = inputs.filter(|it| !made.contains(&it.txid)).collect();
        let mut is_contested = false;
        if result.is_err() {
            for outpoint in &inputs {
                let is_free = self.world.is_unspent(*outpoint).map_err(|error| {
                    ChainError::new(ChainErrorKind::Retry, "the chain is away").with_source(error)
                })?;
                is_contested |= !is_free;
            }
        }
        let mut open = self.books.lock();
        open.offered += 1;
        match &result {
            Ok(()) => {
                open.spent.extend(inputs);
                for (txid, transaction) in made.into_iter().zip(package) {
                    open.accepted.insert(txid, transaction.clone());
                }
            }
            Err(error) if error.kind == ChainErrorKind::Rejected && !is_contested => {
                let mut words = error.to_string();
                let mut next = std::error::Error::source(error);
                while let Some(source) = next {
                    words = format!("{words}: {source}");
                    next = source.source();
                }
                open.invalid.push(format!("M4: {made:?} can never confirm: {words}"));
            }
            Err(_) => {}
        }
        result
    }
}

impl Broadcaster for Mouth {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        let result = self.world.broadcast(transaction);
        self.note(core::slice::from_ref(transaction), result)
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        let result = self.world.broadcast_package(package);
        self.note(package, result)
    }
}
