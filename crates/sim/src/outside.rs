//! [`Outside`]: everything that is not the node: chain, peer, wallets, user.
//!
//! It never crashes, and what it remembers is the truth that the node is measured by.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::{OutPoint, Transaction, TxOut};

use crate::error::{SimError, Trying as _};
use crate::link::Link;
use crate::messages::{Command, PeerReply, PeerRequest, Reply, Request};
use crate::peer::{Opening, Peer, Place};
use crate::record::Told;
use crate::seed::{Seed, Wallet};
use crate::world::World;
use crate::world::bank::Bank;
use crate::world::index::ChainIndex;

/// Everything that is not the node.
pub struct Outside {
    /// The seed that everything is made from.
    pub seed: Seed,
    /// The chain.
    pub world: Box<dyn World>,
    /// What the chain holds.
    pub index: ChainIndex,
    /// The wallets.
    pub bank: Bank,
    /// The other half of every channel.
    pub peer: Peer,
    /// What the user was told.
    pub told: Told,
    fundings: BTreeMap<u16, Transaction>,
    blocks_mined: u32,
}

impl std::fmt::Debug for Outside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Outside").field("seed", &self.seed).finish_non_exhaustive()
    }
}

impl Outside {
    /// Makes the outside of a run on a fresh chain, with room for `channels` channels.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain fails.
    pub fn new(seed: Seed, mut world: Box<dyn World>, channels: u16) -> Result<Self, SimError> {
        let bank = Bank::new(seed);
        let mut index = ChainIndex::new();
        bank.endow(&mut *world, &mut index, u32::from(channels))?;
        let blocks_mined = index.height();
        Ok(Self {
            seed,
            world,
            index,
            bank,
            peer: Peer::new(seed),
            told: Told::default(),
            fundings: BTreeMap::new(),
            blocks_mined,
        })
    }

    /// Returns the height of the best block.
    pub fn height(&self) -> u32 {
        self.index.height()
    }

    /// Returns how many blocks were mined, also those that left.
    pub fn blocks_mined(&self) -> u32 {
        self.blocks_mined
    }

    /// Mines blocks with what the mempool holds; the peer acts before each one.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain fails.
    pub fn mine(&mut self, blocks: u32) -> Result<(), SimError> {
        for _ in 0..blocks {
            self.act()?;
            self.world.mine(&self.bank.wallet(Wallet::Miner).script)?;
            self.mined()?;
        }
        self.act()
    }

    /// Mines one block with these transactions and nothing else.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain fails or refuses one of them.
    pub fn mine_with(&mut self, transactions: &[Transaction]) -> Result<(), SimError> {
        self.world.mine_with(&self.bank.wallet(Wallet::Miner).script, transactions)?;
        self.mined()
    }

    /// Takes the best blocks away.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain fails.
    pub fn disconnect(&mut self, depth: u32) -> Result<(), SimError> {
        self.world.disconnect(depth)?;
        self.index.sync(&mut *self.world)
    }

    /// Lets the peer do on chain what it wants to.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain fails or refuses what the peer made.
    pub fn act(&mut self) -> Result<(), SimError> {
        let Self { world, index, bank, peer, .. } = self;
        peer.act(&mut Place { world: &mut **world, index, bank })
    }

    /// Offers a commitment of the peer to the chain, with a child where it pays nothing by itself.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the chain refuses.
    pub fn close(&mut self, commitment: Transaction) -> Result<(), SimError> {
        let Self { world, index, bank, peer, .. } = self;
        peer.close_with(commitment, &mut Place { world: &mut **world, index, bank })
    }

    /// Returns an output of the node's commitment in this channel that the peer has claimed.
    ///
    /// # Errors
    ///
    /// [`SimError`] if there is none.
    pub fn peer_claim(&self, channel: u16) -> Result<OutPoint, SimError> {
        self.peer
            .claimed(channel, &self.index)?
            .ok_or(SimError::new("the peer has claimed nothing in this channel"))
    }

    /// Says whether the caller would not give this command any more: a payment whose last word it
    /// has heard. It pays again only with a new generation.
    pub fn is_over(&self, command: &Command) -> bool {
        match command {
            Command::Pay(order) => self.told.is_told(order.payment_id, order.generation),
            Command::Open { .. }
            | Command::Resume
            | Command::Poll
            | Command::Settle { .. }
            | Command::Claim { .. }
            | Command::Remove { .. }
            | Command::FailChannel { .. }
            | Command::Close { .. }
            | Command::Splice { .. }
            | Command::LockSplice { .. }
            | Command::Look => false,
        }
    }

    /// Answers the node.
    pub fn answer(&mut self, request: &Request) -> Reply {
        let answer = match request {
            Request::Peer(request) => self.peer(request).map(|reply| Reply::Peer(Box::new(reply))),
            Request::Tell(event) => {
                self.told.note(event);
                Ok(Reply::Noted)
            }
            Request::Coins => {
                let Self { bank, world, index, .. } = self;
                bank.coins(Wallet::Node, &mut **world, index).map(Reply::Coins)
            }
        };
        answer.unwrap_or_else(|error| Reply::Failed(error.chain()))
    }

    fn mined(&mut self) -> Result<(), SimError> {
        self.blocks_mined += 1;
        self.index.sync(&mut *self.world)
    }

    /// Does what the peer does together with its bank and its chain.
    fn peer(&mut self, request: &PeerRequest) -> Result<PeerReply, SimError> {
        if let PeerRequest::Open { channel, spec, local, first_point } = request
            && let Some(script_pubkey) = self.peer.funding_script(*channel, local)
        {
            let total = spec
                .local_msat
                .checked_add(spec.remote_msat)
                .ok_or(SimError::new("the balances of a channel do not fit"))?;
            let output = TxOut { value: total.to_sat_floor(), script_pubkey };
            // The first coinbase paid for the coins.
            let funding = self.bank.pay(&self.index, u32::from(*channel) + 2, vec![output])?;
            let funding_outpoint = OutPoint { txid: funding.compute_txid(), vout: 0 };
            let first_point = *first_point;
            let opening = Opening { spec, node: local, first_point, funding_outpoint };
            self.peer.open(*channel, &opening)?;
            self.fundings.insert(*channel, funding);
        }
        let reply = self.peer.answer(request)?;
        match request {
            PeerRequest::Funded { channel, .. } => {
                let funding = self
                    .fundings
                    .get(channel)
                    .ok_or(SimError::new("the channel has no funding transaction"))?;
                self.world.broadcast(funding).trying("broadcast a funding transaction")?;
            }
            PeerRequest::Close { channel, .. } => {
                let closing = self
                    .peer
                    .closing_transaction(*channel)
                    .ok_or(SimError::new("the peer has no closing transaction"))?;
                self.world.broadcast(closing).trying("broadcast a closing transaction")?;
            }
            PeerRequest::SpliceSigned(signed) => {
                // A later try waits for who mines it: what pays less is in the way.
                if let Ok(splice) = self.peer.splice_transaction(signed.channel, 0)
                    && splice.compute_txid() == signed.funding_txid
                {
                    self.world.broadcast(splice).trying("broadcast a splice")?;
                }
            }
            PeerRequest::Open { .. }
            | PeerRequest::Splice { .. }
            | PeerRequest::SpliceLocked { .. }
            | PeerRequest::Status { .. }
            | PeerRequest::Commit(_)
            | PeerRequest::Propose { .. }
            | PeerRequest::Revoke { .. } => {}
        }
        Ok(reply)
    }
}

/// [`Outside`] in the process of the node.
#[derive(Debug, Clone)]
pub struct SharedOutside(Arc<Mutex<Outside>>);

impl SharedOutside {
    /// Shares it.
    pub fn new(outside: Outside) -> Self {
        Self(Arc::new(Mutex::new(outside)))
    }

    /// Takes it; the node waits until the guard is dropped.
    pub fn lock(&self) -> MutexGuard<'_, Outside> {
        // A node that died in the middle of a request left the outside as it was after the answer.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Link for SharedOutside {
    fn call(&mut self, request: Request) -> Result<Reply, SimError> {
        Ok(self.lock().answer(&request))
    }
}
