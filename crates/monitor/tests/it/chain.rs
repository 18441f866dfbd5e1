//! Blocks for a channel's two monitors.

use bitcoin::Transaction;
use lastword_types::{
    AmountMsat, ChainDelta, Effect, HtlcDirection, HtlcId, HtlcKey, MonitorRecord, Outcome,
    ReleasePaymentComplete, Told, Verdict,
};

use crate::channel::{CHANNEL, Channel, Name, US, block, origin, seen};

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

    /// Releases an HTLC that we offered, as the plan does once the user was told.
    pub(crate) fn tell(&mut self, name: Name) {
        let (direction, htlc_id) = seen(US, name);
        let amount_msat = AmountMsat(self.offers[&name].amount_msat);
        let outcome = match self.verdict(name) {
            Verdict::Fulfilled { preimage, .. } => {
                Outcome::Sent { preimage, amount_msat, fee_msat: AmountMsat(0) }
            }
            Verdict::Failed { reason } => Outcome::Failed { reason },
            verdict @ (Verdict::Live | Verdict::Failing { .. }) => panic!("{verdict:?}"),
        };
        let told = if self.forwards.contains_key(&name) {
            Told::Forward
        } else {
            let generation = origin(name.1, amount_msat.0).generation;
            Told::Payment { generation, outcome }
        };
        let htlc = HtlcKey { channel_id: CHANNEL, direction, htlc_id };
        self.apply(US, MonitorRecord::Release(ReleasePaymentComplete { htlc, told }));
    }

    /// Says whether our monitor has forgotten an HTLC.
    pub(crate) fn is_forgotten(&self, name: Name) -> bool {
        let key @ (direction, htlc_id) = seen(US, name);
        let state = self.monitor().state();
        let highest = state.forgotten.get(&direction);
        highest.is_some_and(|highest| htlc_id <= *highest) && !state.htlcs.contains_key(&key)
    }
}
