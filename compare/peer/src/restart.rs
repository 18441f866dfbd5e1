//! What a node reads when it starts.

use std::sync::Arc;

use bitcoin::BlockHash;
use lightning::chain::channelmonitor::ChannelMonitor;
use lightning::ln::channelmanager::ChannelManagerReadArgs;
use lightning::sign::{InMemorySigner, KeysManager};
use lightning::util::ser::ReadableArgs as _;

use crate::node::{Manager, Pair, Recorder, Watcher, Who, config, keys, watcher};
use crate::outside::{LeastFee, NoBroadcast, NoLog, NoMessages, NoRouter};
use crate::{Keys, Monitor};

/// The bytes of a node with open, quiet channels.
pub struct Stored {
    /// Of its monitors.
    pub monitors: Vec<Vec<u8>>,
    /// Of its manager.
    pub manager: Vec<u8>,
}

impl Stored {
    /// Opens channels, and returns the bytes of the payer when each of these numbers was open.
    pub fn with_channels(counts: &[u32]) -> Vec<Self> {
        let mut pair = Pair::new();
        let mut ids = Vec::new();
        let stored = counts.iter().map(|count| {
            let more = count - u32::try_from(ids.len()).expect("they were counted");
            ids.extend(pair.open(more, 16_000_000, 5_000_000_000));
            let monitors = ids.iter().map(|id| pair.monitor(Who::Payer, *id)).collect();
            Self { monitors, manager: pair.manager(Who::Payer) }
        });
        stored.collect()
    }
}

/// A node that starts.
pub struct Restart {
    keys: Arc<KeysManager>,
    watcher: Arc<Watcher>,
    monitors: Vec<ChannelMonitor<InMemorySigner>>,
    manager: Option<Manager>,
}

impl Restart {
    /// A node that has read nothing.
    pub fn new() -> Self {
        let keys = keys(Who::Payer.seed());
        let watcher = Arc::new(watcher(Arc::new(Recorder::default()), &keys));
        Self { keys, watcher, monitors: Vec::new(), manager: None }
    }

    /// Reads a monitor.
    pub fn read_monitor(&mut self, bytes: &[u8]) {
        self.monitors.push(Monitor::decode(&Keys(self.keys.clone()), bytes).0);
    }

    /// Reads the manager, and watches the monitors.
    pub fn read_manager(&mut self, bytes: &[u8]) {
        let arguments = ChannelManagerReadArgs::new(
            self.keys.clone(),
            self.keys.clone(),
            self.keys.clone(),
            Arc::new(LeastFee),
            self.watcher.clone(),
            Arc::new(NoBroadcast),
            Arc::new(NoRouter),
            Arc::new(NoMessages),
            Arc::new(NoLog),
            config(),
            self.monitors.iter().collect(),
        );
        let read = <(BlockHash, Manager)>::read(&mut &*bytes, arguments);
        self.manager = Some(read.expect("LDK reads what it wrote").1);
        for monitor in self.monitors.drain(..) {
            let channel_id = monitor.channel_id();
            self.watcher.load_existing_monitor(channel_id, monitor).expect("it is new");
        }
    }

    /// Returns how many channels it has.
    pub fn channels(&self) -> usize {
        self.manager.as_ref().map_or(0, |manager| manager.list_channels().len())
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self::new()
    }
}
