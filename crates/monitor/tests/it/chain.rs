//! Blocks for a channel's two monitors.

use bitcoin::Transaction;
use lastword_types::{ChainDelta, Effect, HtlcDirection, HtlcId, MonitorRecord, Verdict};

use crate::channel::{Channel, Name, US, block, seen};

impl Channel {
    /// Connects a block of a branch on both monitors and returns what the one under test said.
    pub(crate) fn connect_on(
        &mut self,
        branch: u8,
        height: u32,
        transactions: &[&Transaction],
    ) -> Vec<Effect> {
        let transactions: Vec<_> = transactions.iter().copied().cloned().collect();
        let delta = ChainDelta::Connected { block: block(height, branch), transactions };
        self.apply(1, MonitorRecord::Chain(delta.clone()));
        self.apply(US, MonitorRecord::Chain(delta))
    }

    pub(crate) fn connect(&mut self, height: u32, transactions: &[&Transaction]) -> Vec<Effect> {
        self.connect_on(0, height, transactions)
    }

    /// Takes back every block above a height of the first branch.
    pub(crate) fn disconnect(&mut self, fork: u32) -> Vec<Effect> {
        let delta = ChainDelta::Disconnected { fork: block(fork, 0) };
        self.apply(1, MonitorRecord::Chain(delta.clone()));
        self.apply(US, MonitorRecord::Chain(delta))
    }

    /// What became of an HTLC, for the monitor under test.
    pub(crate) fn verdict(&self, name: Name) -> Verdict {
        let (direction, htlc_id): (HtlcDirection, HtlcId) = seen(US, name);
        self.monitor().verdict(direction, htlc_id).unwrap()
    }
}
