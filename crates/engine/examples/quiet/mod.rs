//! A node with many open, quiet channels, none of which is kept anywhere.

use std::ops::ControlFlow;

use bitcoin::{ScriptBuf, Transaction};
use lastword_bolt3::InMemorySigner;
use lastword_engine::{NoChannels, NoForwards, NoObserver, Ports};
use lastword_ports::{
    CardVisitor, ChainError, ChainErrorKind, Coin, CoinSource, Durable, Frame, LogId, Lsn,
    Snapshot, SnapshotStore, StoreError, StoredCard, Stream, UpdateLog,
};
use lastword_regtest::{Chain, SharedChain};
use lastword_testkit::FixedFees;
use lastword_types::{
    BlockHeight, BlockRef, BookEpoch, Card, ChainTip, ChannelId, FeeRatePerKw, UpdateId,
};
use lastword_wire::{encode_card, encode_chain_tip};

use crate::tape;

/// Returns a node's ports on a store; its chain is a new one that nobody asks.
pub(crate) fn ports(store: Box<dyn lastword_ports::Store>) -> Ports {
    let chain = SharedChain::new(Chain::new());
    Ports {
        monitors: store,
        books: None,
        source: Box::new(chain.clone()),
        broadcaster: Box::new(chain.clone()),
        signer: Box::new(InMemorySigner::new()),
        coins: Box::new(NoCoins),
        fees: Box::new(FixedFees(FeeRatePerKw(5_000))),
        forwards: Box::new(NoForwards),
        channels: Box::new(NoChannels),
        observer: Box::new(NoObserver),
    }
}

/// A wallet with nothing in it.
struct NoCoins;

impl CoinSource for NoCoins {
    fn coins(&mut self) -> Result<Vec<Coin>, ChainError> {
        Ok(Vec::new())
    }

    fn destination(&mut self) -> ScriptBuf {
        ScriptBuf::new()
    }

    fn sign(&mut self, _: &mut Transaction, _: usize, _: &Coin) -> Result<(), ChainError> {
        Err(ChainError::new(ChainErrorKind::NotFound, "there are no coins"))
    }
}

/// The block at which every channel here stands.
pub(crate) fn tip() -> BlockRef {
    let hash = bitcoin::hashes::Hash::all_zeros();
    BlockRef { height: BlockHeight(tape::BIRTH), hash }
}

/// A store with the cards of open, quiet channels, none of which is kept anywhere.
pub(crate) struct Cards {
    pub(crate) channels: u32,
}

const LOG: LogId = LogId([1; 16]);

impl UpdateLog for Cards {
    fn append(&mut self, _: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        Ok(Lsn { log: LOG, position: u64::from(self.channels) })
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.append(&[]).map(Durable::attest)
    }

    fn replay(
        &self,
        _: Stream,
        _: Option<Lsn>,
        _: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn prune(&mut self, _: Stream, _: Lsn) -> Result<(), StoreError> {
        Ok(())
    }
}

impl SnapshotStore for Cards {
    fn put(&mut self, _: Stream, _: Lsn, _: &[u8]) -> Result<(), StoreError> {
        Ok(())
    }

    fn latest(&self, _: Stream) -> Result<Option<Snapshot>, StoreError> {
        Ok(None)
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        for number in 0..self.channels {
            let channel_id = channel_id(number);
            let card = quiet_card(channel_id, u64::from(number) + 1);
            let stream = Stream::Channel(channel_id);
            visit(Ok(StoredCard { stream, last: card.covers, body: &encode_card(&card) }));
        }
        let tip = encode_chain_tip(&ChainTip { best: tip(), recent: Vec::new() });
        visit(Ok(StoredCard { stream: Stream::Chain, last: 0, body: &tip }));
        Ok(())
    }
}

/// Ids in the order of their numbers, as a store visits them.
pub(crate) fn channel_id(number: u32) -> ChannelId {
    let mut id = [0x5A; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    ChannelId(id)
}

/// The card of an open channel with nothing to do.
pub(crate) fn quiet_card(channel_id: ChannelId, covers: u64) -> Card {
    Card {
        channel_id,
        latest_update: UpdateId(0),
        watched: vec![tape::funding_outpoint(channel_id)],
        next_deadline: None,
        has_undelivered: false,
        is_closed: false,
        has_claims: false,
        synced_to: tip(),
        covers,
        is_archived: false,
        pruned_behind: BookEpoch(0),
    }
}
