//! LDK, driven through its public API, for figures to stand beside Lastword's.
//!
//! Nothing here is generic, so that LDK's generics are compiled once, in this crate.

mod node;
mod outside;
mod restart;
mod watching;

pub use restart::{Restart, Stored};
pub use watching::Watching;

use std::path::Path;
use std::sync::Arc;

use bitcoin::BlockHash;
use lightning::chain::ChannelMonitorUpdateStatus;
use lightning::chain::Watch as _;
use lightning::chain::chainmonitor::ChainMonitor;
use lightning::chain::channelmonitor::{ChannelMonitor, ChannelMonitorUpdate};
use lightning::ln::types::ChannelId;
use lightning::sign::{InMemorySigner, KeysManager, NodeSigner as _};
use lightning::util::persist::MonitorUpdatingPersister;
use lightning::util::ser::{Readable, ReadableArgs as _, Writeable as _};
use lightning_persister::fs_store::FilesystemStore;

use crate::node::{Pair, Who, keys};
use crate::outside::{LeastFee, NoBroadcast, NoFilter, NoLog};

/// How many updates LDK keeps beside a monitor before it writes the monitor again; LDK's own
/// nodes use this number.
const MAXIMUM_PENDING_UPDATES: u64 = 100;

/// An update of an LDK monitor.
pub struct Update(ChannelMonitorUpdate);

impl Update {
    /// Reads one.
    pub fn decode(bytes: &[u8]) -> Self {
        let update = <ChannelMonitorUpdate as Readable>::read(&mut &*bytes);
        Self(update.expect("LDK reads what it wrote"))
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode()
    }
}

/// An LDK monitor.
pub struct Monitor(ChannelMonitor<InMemorySigner>);

impl Monitor {
    /// Reads one of the payer's.
    pub fn decode(keys: &Keys, bytes: &[u8]) -> Self {
        let arguments = (&*keys.0, &*keys.0);
        let read = <(BlockHash, ChannelMonitor<InMemorySigner>)>::read(&mut &*bytes, arguments);
        Self(read.expect("LDK reads what it wrote").1)
    }

    /// Writes it.
    pub fn encode(&self) -> Vec<u8> {
        self.0.encode()
    }

    /// Applies an update.
    pub fn apply(&self, update: &Update) {
        let (network, fees, log) = (Arc::new(NoBroadcast), Arc::new(LeastFee), Arc::new(NoLog));
        let applied = self.0.update_monitor(&update.0, &network, &fees, &log);
        applied.expect("LDK applies the updates that it made");
    }
}

/// The payer's keys.
pub struct Keys(Arc<KeysManager>);

impl Keys {
    /// Derives them.
    pub fn new() -> Self {
        Self(keys(Who::Payer.seed()))
    }
}

impl Default for Keys {
    fn default() -> Self {
        Self::new()
    }
}

/// The updates that payments make in the payee's monitors.
pub struct Tape {
    /// The monitors before the first update.
    pub monitors: Vec<Vec<u8>>,
    /// The updates of each monitor, in order.
    pub updates: Vec<Vec<Vec<u8>>>,
}

/// Records payments of one hop, each added and fulfilled before the next of its channel.
pub fn record_payments(channels: u32, payments: usize) -> Tape {
    let mut pair = Pair::new();
    let ids = pair.open(channels, 16_000_000, 5_000_000_000);
    pair.take_updates(Who::Payee);
    let monitors = ids.iter().map(|id| pair.monitor(Who::Payee, *id)).collect();
    for _ in 0..payments {
        for channel_id in &ids {
            let preimage = pair.send(*channel_id, 1_000_000);
            pair.claim(preimage);
        }
        pair.tick();
    }
    let mut updates = vec![Vec::new(); ids.len()];
    for (channel_id, bytes) in pair.take_updates(Who::Payee) {
        let index = ids.iter().position(|id| *id == channel_id).expect("it was opened here");
        updates[index].push(bytes);
    }
    Tape { monitors, updates }
}

/// A channel with pending payments that the payer offered.
pub struct Pending {
    /// The payer's monitor, ready for that update.
    pub monitor: Vec<u8>,
    /// One update with the next commitment of both sides, when one payment was just fulfilled.
    pub both: Vec<u8>,
}

/// Makes a channel with pending payments.
pub fn pending(count: usize) -> Pending {
    let mut pair = Pair::new();
    let ids = pair.open(1, 16_000_000, 5_000_000_000);
    let preimages: Vec<_> = (0..count).map(|_| pair.send(ids[0], 5_000_000)).collect();
    let before = Monitor::decode(&Keys::new(), &pair.monitor(Who::Payer, ids[0]));
    pair.take_updates(Who::Payer);
    pair.claim(preimages[0]);
    let updates = pair.take_updates(Who::Payer);
    // The payer answers the fulfilment and the peer's signature with its own, in one update.
    let longest = updates.iter().enumerate().max_by_key(|(_, (_, bytes))| bytes.len());
    let place = longest.map(|(place, _)| place).expect("the payer's monitor was updated");
    for (_, bytes) in &updates[..place] {
        before.apply(&Update::decode(bytes));
    }
    Pending { monitor: before.encode(), both: updates[place].1.clone() }
}

/// Returns the bytes of the monitors of a channel, the payer's and the payee's, after each of these
/// numbers of settled payments.
pub fn monitor_bytes_after(payments: &[usize]) -> Vec<[usize; 2]> {
    let mut pair = Pair::new();
    let id = pair.open(1, 16_000_000, 5_000_000_000)[0];
    let mut settled = 0;
    let mut bytes = Vec::new();
    for until in payments {
        while settled < *until {
            let preimage = pair.send(id, 1_000_000);
            pair.claim(preimage);
            pair.tick();
            settled += 1;
        }
        bytes.push([Who::Payer, Who::Payee].map(|who| pair.monitor(who, id).len()));
    }
    bytes
}

type Persister = MonitorUpdatingPersister<
    Arc<FilesystemStore>,
    Arc<NoLog>,
    Arc<KeysManager>,
    Arc<KeysManager>,
    Arc<NoBroadcast>,
    Arc<LeastFee>,
>;

type Watcher = ChainMonitor<
    InMemorySigner,
    Arc<NoFilter>,
    Arc<NoBroadcast>,
    Arc<LeastFee>,
    Arc<NoLog>,
    Arc<Persister>,
    Arc<KeysManager>,
>;

/// LDK's `ChainMonitor` over its `MonitorUpdatingPersister` and `FilesystemStore`.
pub struct Durable {
    watcher: Watcher,
    ids: Vec<ChannelId>,
}

impl Durable {
    /// Takes the monitors of a tape in, and stores them in a folder.
    pub fn new(folder: &Path, monitors: &[Vec<u8>]) -> Self {
        let keys = keys(Who::Payee.seed());
        let persister = MonitorUpdatingPersister::new(
            Arc::new(FilesystemStore::new(folder.to_owned())),
            Arc::new(NoLog),
            MAXIMUM_PENDING_UPDATES,
            keys.clone(),
            keys.clone(),
            Arc::new(NoBroadcast),
            Arc::new(LeastFee),
        );
        let watcher: Watcher = ChainMonitor::new(
            None,
            Arc::new(NoBroadcast),
            Arc::new(NoLog),
            Arc::new(LeastFee),
            Arc::new(persister),
            keys.clone(),
            keys.get_peer_storage_key(),
        );
        let taken = Keys(keys);
        let ids = monitors.iter().map(|bytes| {
            let monitor = Monitor::decode(&taken, bytes).0;
            let channel_id = monitor.channel_id();
            let status = watcher.watch_channel(channel_id, monitor).expect("it is new");
            assert_eq!(status, ChannelMonitorUpdateStatus::Completed, "the store is synchronous");
            channel_id
        });
        let ids = ids.collect();
        Self { watcher, ids }
    }

    /// Applies an update; it is durable when this returns.
    pub fn update(&self, channel: usize, update: &Update) {
        let status = self.watcher.update_channel(self.ids[channel], &update.0);
        assert_eq!(status, ChannelMonitorUpdateStatus::Completed, "the store is synchronous");
    }
}
