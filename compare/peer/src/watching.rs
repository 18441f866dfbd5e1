//! Many monitors that are handed blocks.

use std::sync::Arc;

use bitcoin::Block;
use lightning::chain::{Listen as _, Watch as _};
use lightning::ln::types::ChannelId;

use crate::node::{Recorder, START_HEIGHT, Watcher, Who, keys, watcher};
use crate::{Keys, Monitor};

/// LDK's `ChainMonitor` with many monitors, which nothing stores.
pub struct Watching {
    watcher: Watcher,
    height: u32,
}

impl Watching {
    /// Watches so many monitors. Each is read anew from the bytes of one of a few channels, in turn,
    /// and watched under an id of its own, because opening thousands of channels takes minutes.
    pub fn new(monitors: &[Vec<u8>], count: u32) -> Self {
        let keys = keys(Who::Payer.seed());
        let watcher = watcher(Arc::new(Recorder::default()), &keys);
        let keys = Keys(keys);
        for (number, bytes) in (0..count).zip(monitors.iter().cycle()) {
            let mut id = [0x5A; 32];
            id[..4].copy_from_slice(&number.to_be_bytes());
            let monitor = Monitor::decode(&keys, bytes).0;
            watcher.watch_channel(ChannelId(id), monitor).expect("the id is new");
        }
        Self { watcher, height: START_HEIGHT + 1_000 }
    }

    /// Hands the monitors a block, as if it were the next one.
    pub fn connect(&mut self, block: &Block) {
        self.height += 1;
        self.watcher.block_connected(block, self.height);
    }
}
