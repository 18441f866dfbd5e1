//! What a node stands on, with every fault behind one [`Switch`].

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bitcoin::hashes::Hash as _;
use bitcoin::{Block, BlockHash, OutPoint, ScriptBuf, Transaction};
use lastword_engine::{Boundary, Observer};
use lastword_ports::{
    BlockSource, Broadcaster, CardVisitor, ChainError, ChainErrorKind, ChannelBook, ChannelEntry,
    Coin, CoinSource, Durable, FeeSource, ForwardBook, Frame, Header, InboundState, Lsn, Place,
    Snapshot, SnapshotStore, StoreError, StoreErrorKind, Stream, UpdateLog, Urgency,
};
use lastword_regtest::{Reject, SharedChain};
use lastword_testkit::CrashStore;
use lastword_types::{BlockHeight, BlockRef, ChannelId, FeeRatePerKw, HtlcKey, MonitorUpdate};

use crate::ground::Wallet;
use crate::marks::{Mark, Marks};

/// What a node dies of.
pub(crate) struct Died;

/// What the source of blocks does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SourceFault {
    Error(ChainErrorKind),
    Nonsense,
    /// It names an older block as its tip.
    Repeat(u32),
    /// It names a tip that is not there.
    Vanish,
}

/// What becomes of a transaction instead of being relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BroadcastFault {
    Refused(ChainErrorKind),
    Lost,
    Away,
}

/// The faults of one node: what is set here happens at the next call that it can happen to.
#[derive(Debug, Default)]
pub(crate) struct Switch {
    pub(crate) marks: Marks,
    /// Boundaries until the node dies.
    pub(crate) dies_in: Option<u32>,
    pub(crate) append_fails: bool,
    pub(crate) disk_full: bool,
    /// Whether the sync that fails writes.
    pub(crate) sync_fails: Option<bool>,
    pub(crate) put_fails: bool,
    pub(crate) source: Option<(SourceFault, u32)>,
    pub(crate) broadcast: Option<(BroadcastFault, u32)>,
    /// Thousandths of the usual fee rate.
    pub(crate) fee: u32,
    /// What the node offered to the network since somebody looked, and what was refused.
    pub(crate) offered: Vec<Transaction>,
    pub(crate) rejects: Vec<(Transaction, Reject)>,
}

impl Switch {
    /// Ends every fault.
    pub(crate) fn heal(&mut self) {
        self.dies_in = None;
        self.append_fails = false;
        self.disk_full = false;
        self.sync_fails = None;
        self.put_fails = false;
        self.source = None;
        self.broadcast = None;
        self.fee = 1;
    }
}

/// A handle on the faults of a node.
#[derive(Debug, Default)]
pub(crate) struct Shared<T>(Arc<Mutex<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Shared<T> {
    /// Every change is one step, so a node that died left it whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts boundaries down, and ends the node at the last.
pub(crate) struct Bomb(pub(crate) Shared<Switch>);

impl Observer for Bomb {
    fn at(&mut self, _boundary: Boundary) {
        let is_last = {
            let mut switch = self.0.lock();
            let left = switch.dies_in.map(|left| left.saturating_sub(1));
            switch.dies_in = left.filter(|left| *left > 0);
            left == Some(0)
        };
        if is_last {
            // Without the hook, so that thousands of deaths print nothing.
            resume_unwind(Box::new(Died));
        }
    }
}

const NOWHERE: Place = Place { stream: None, position: None };

/// A store that fails when the switch says so. After a failed sync it refuses everything, as the
/// port wants.
#[derive(Debug)]
pub(crate) struct Disk {
    store: CrashStore,
    switch: Shared<Switch>,
    is_poisoned: bool,
}

impl Disk {
    pub(crate) fn new(store: CrashStore, switch: Shared<Switch>) -> Self {
        Self { store, switch, is_poisoned: false }
    }

    fn usable(&self) -> Result<(), StoreError> {
        if self.is_poisoned {
            return Err(failure(StoreErrorKind::Poisoned));
        }
        Ok(())
    }
}

fn failure(kind: StoreErrorKind) -> StoreError {
    StoreError::new(kind, NOWHERE, "the call was told to fail")
}

impl UpdateLog for Disk {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        self.usable()?;
        if !batch.is_empty() {
            let mut switch = self.switch.lock();
            if switch.disk_full {
                switch.marks.hit(Mark::DiskFull);
                return Err(failure(StoreErrorKind::Full));
            }
            if std::mem::take(&mut switch.append_fails) {
                switch.marks.hit(Mark::AppendFailed);
                return Err(failure(StoreErrorKind::Retry));
            }
        }
        self.store.append(batch)
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.usable()?;
        let fails = self.switch.lock().sync_fails.take();
        if fails == Some(false) {
            self.switch.lock().marks.hit(Mark::SyncFailed);
            self.is_poisoned = true;
            return Err(failure(StoreErrorKind::Full));
        }
        let durable = self.store.sync()?;
        if fails == Some(true) {
            self.switch.lock().marks.hit(Mark::SyncFailedWritten);
            self.is_poisoned = true;
            return Err(failure(StoreErrorKind::Full));
        }
        Ok(durable)
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.usable()?;
        self.store.replay(stream, after, visit)
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        self.usable()?;
        self.store.prune(stream, upto)
    }
}

impl SnapshotStore for Disk {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.usable()?;
        let mut switch = self.switch.lock();
        if std::mem::take(&mut switch.put_fails) {
            switch.marks.hit(Mark::SnapshotFailed);
            return Err(failure(StoreErrorKind::Full));
        }
        drop(switch);
        self.store.put(stream, at, body)
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        self.usable()?;
        self.store.latest(stream)
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        self.usable()?;
        self.store.cards(visit)
    }
}

/// The network as one node sees it.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    chain: SharedChain,
    switch: Shared<Switch>,
    node: usize,
}

impl Network {
    pub(crate) fn new(chain: SharedChain, switch: Shared<Switch>, node: usize) -> Self {
        Self { chain, switch, node }
    }

    fn source_fault(&self) -> Option<SourceFault> {
        let mut switch = self.switch.lock();
        let (fault, left) = switch.source?;
        switch.source = left.checked_sub(1).map(|left| (fault, left));
        let mark = match fault {
            SourceFault::Error(_) => Mark::SourceError,
            SourceFault::Nonsense => Mark::SourceNonsense,
            SourceFault::Repeat(_) => Mark::BlockRepeated,
            SourceFault::Vanish => Mark::TipVanished,
        };
        switch.marks.hit(mark);
        Some(fault)
    }

    fn broadcast_fault(&self) -> Option<BroadcastFault> {
        let mut switch = self.switch.lock();
        let (fault, left) = switch.broadcast?;
        switch.broadcast = left.checked_sub(1).map(|left| (fault, left));
        let mark = match fault {
            BroadcastFault::Refused(_) => Mark::BroadcastRefused,
            BroadcastFault::Lost => Mark::BroadcastLost,
            BroadcastFault::Away => Mark::BroadcastAway,
        };
        switch.marks.hit(mark);
        Some(fault)
    }

    fn offer(&self, transaction: &Transaction) -> Result<(), ChainError> {
        let result = self.chain.lock().submit(transaction.clone());
        let mut switch = self.switch.lock();
        switch.offered.push(transaction.clone());
        result.map_err(|reject| {
            let is_fee = matches!(reject, Reject::FeeTooLow { .. });
            let kind = if is_fee { ChainErrorKind::FeeTooLow } else { ChainErrorKind::Rejected };
            switch.rejects.push((transaction.clone(), reject));
            ChainError::new(kind, "the network refused it")
        })
    }
}

fn away(kind: ChainErrorKind) -> ChainError {
    ChainError::new(kind, "the call was told to fail")
}

impl BlockSource for Network {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        let tip = self.chain.lock().tip();
        match self.source_fault() {
            None => Ok(tip),
            Some(SourceFault::Error(kind)) => Err(away(kind)),
            Some(SourceFault::Nonsense) => {
                Ok(BlockRef { height: tip.height.plus(3), hash: tip.hash })
            }
            Some(SourceFault::Repeat(blocks)) => {
                let chain = self.chain.lock();
                let height = tip.height.minus(blocks);
                let hash = chain.block_at(height).map_or(tip.hash, Block::block_hash);
                Ok(BlockRef { height, hash })
            }
            Some(SourceFault::Vanish) => {
                let hash = BlockHash::from_byte_array([0xee; 32]);
                Ok(BlockRef { height: tip.height.plus(1), hash })
            }
        }
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        self.chain.header(hash)
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        if let Some(SourceFault::Error(kind)) = self.source_fault() {
            return Err(away(kind));
        }
        self.chain.block(hash)
    }

    fn unconfirmed_spends(
        &mut self,
        outpoints: &[OutPoint],
    ) -> Result<Vec<Transaction>, ChainError> {
        self.chain.unconfirmed_spends(outpoints)
    }
}

impl Broadcaster for Network {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        match self.broadcast_fault() {
            None => self.offer(transaction),
            Some(BroadcastFault::Refused(kind)) => Err(away(kind)),
            Some(BroadcastFault::Lost) => Ok(()),
            Some(BroadcastFault::Away) => Err(away(ChainErrorKind::Retry)),
        }
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        match self.broadcast_fault() {
            None => package.iter().try_for_each(|transaction| self.offer(transaction)),
            Some(BroadcastFault::Refused(kind)) => Err(away(kind)),
            Some(BroadcastFault::Lost) => Ok(()),
            Some(BroadcastFault::Away) => Err(away(ChainErrorKind::Retry)),
        }
    }
}

impl FeeSource for Network {
    fn feerate(&mut self, urgency: Urgency) -> FeeRatePerKw {
        let usual = match urgency {
            Urgency::Relaxed => 253,
            Urgency::Contended => 500,
        };
        FeeRatePerKw(usual * self.switch.lock().fee.max(1))
    }
}

impl CoinSource for Network {
    fn coins(&mut self) -> Result<Vec<Coin>, ChainError> {
        let wallet = Wallet::coins_of(self.node);
        let chain = self.chain.lock();
        let own =
            chain.utxos().filter(|(_, unspent)| unspent.output.script_pubkey == wallet.script);
        let free = own.filter(|(outpoint, _)| chain.mempool_spender(*outpoint).is_none());
        let coins = free.map(|(outpoint, unspent)| Coin {
            outpoint,
            amount: unspent.output.value,
            script_pubkey: wallet.script.clone(),
        });
        Ok(coins.take(16).collect())
    }

    fn destination(&mut self) -> ScriptBuf {
        Wallet::sweeps_of(self.node).script
    }

    fn sign(
        &mut self,
        transaction: &mut Transaction,
        input: usize,
        coin: &Coin,
    ) -> Result<(), ChainError> {
        Wallet::coins_of(self.node).sign(transaction, input, coin.amount);
        Ok(())
    }
}

/// What the node's manager knows of its forwards.
#[derive(Debug, Default)]
pub(crate) struct Forwards(pub(crate) BTreeMap<HtlcKey, InboundState>);

impl ForwardBook for Shared<Forwards> {
    fn inbound_state(&self, htlc: HtlcKey) -> InboundState {
        self.lock().0.get(&htlc).copied().unwrap_or(InboundState::Unknown)
    }

    fn for_each_pending(&self, visit: &mut dyn FnMut(HtlcKey)) {
        let open: Vec<HtlcKey> = {
            let forwards = self.lock();
            let open = forwards.0.iter().filter(|(_, state)| **state == InboundState::Open);
            open.map(|(key, _)| *key).collect()
        };
        open.into_iter().for_each(visit);
    }
}

/// What the node's manager knows of its channels.
#[derive(Debug, Default)]
pub(crate) struct Channels {
    pub(crate) entries: BTreeMap<ChannelId, ChannelEntry>,
    pub(crate) in_flight: Vec<MonitorUpdate>,
}

impl ChannelBook for Shared<Channels> {
    fn for_each_channel(&self, visit: &mut dyn FnMut(ChannelEntry)) {
        let entries: Vec<ChannelEntry> = self.lock().entries.values().copied().collect();
        entries.into_iter().for_each(visit);
    }

    fn for_each_in_flight(&self, channel_id: ChannelId, visit: &mut dyn FnMut(&MonitorUpdate)) {
        let updates = self.lock().in_flight.clone();
        updates.iter().filter(|update| update.channel_id == channel_id).for_each(visit);
    }
}

/// The height of a chain.
pub(crate) fn height(chain: &SharedChain) -> BlockHeight {
    chain.lock().height()
}
