//! Ledgers with much to tell, for the reports on what a plan costs.

use std::collections::BTreeMap;
use std::error::Error;

use lastword_engine::{NoChannels, NoForwards};
use lastword_monitor::Monitor;
use lastword_payments::Payments;
use lastword_ports::{Ledger, LedgerState, Ledgers};
use lastword_reload::{Plan, Scope, View, plan};
use lastword_types::{BookEpoch, ChannelId, HtlcDirection, HtlcOrigin, MonitorState};

use super::tape::Tape;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// HTLCs in each channel.
pub(crate) const HTLCS: u32 = 100;

/// Monitors, each with HTLCs whose outcome nobody was told.
pub(crate) struct Monitors(BTreeMap<ChannelId, Monitor>);

impl Monitors {
    pub(crate) fn new(channels: u32) -> Result<Self> {
        let mut tape = Tape::new(named(0))?;
        for _ in 0..HTLCS {
            let htlc_id = tape.add(HtlcDirection::Offered)?;
            tape.fulfil(htlc_id)?;
        }
        let pattern = tape.monitor.state();
        let monitor = |number| Ok(Monitor::restore(state_like(pattern, number))?);
        let monitors: Result<Vec<Monitor>> = (0..channels).map(monitor).collect();
        let by_channel = monitors?.into_iter().map(|monitor| (monitor.head().channel_id, monitor));
        Ok(Self(by_channel.collect()))
    }

    /// Visits every entry, and returns how many are decided.
    pub(crate) fn walk(&self) -> u32 {
        self.walk_every(1)
    }

    /// Visits the entries of one monitor of so many.
    pub(crate) fn walk_every(&self, nth: usize) -> u32 {
        let mut count = 0_u32;
        for monitor in self.0.values().step_by(nth) {
            let ledger: &dyn Ledger = monitor;
            ledger.for_each_undelivered(&mut |entry| {
                count += u32::from(entry.verdict.is_final());
            });
        }
        count
    }

    /// Plans for an empty book.
    pub(crate) fn plan(&self) -> Plan {
        let payments = Payments::new();
        let (forwards, channels) = (&NoForwards, &NoChannels);
        plan(&Scope::All, &View { ledgers: self, payments: &payments, forwards, channels })
    }
}

/// Ids in the order of their numbers.
fn named(number: u32) -> ChannelId {
    let mut id = [0x5A; 32];
    id[..4].copy_from_slice(&number.to_be_bytes());
    ChannelId(id)
}

/// The same channel under another name, with payments of its own.
fn state_like(pattern: &MonitorState, number: u32) -> MonitorState {
    let mut state = pattern.clone();
    state.parameters.channel_id = named(number);
    for held in state.htlcs.values_mut() {
        if let HtlcOrigin::Payment(origin) = &mut held.htlc.origin {
            origin.payment_id.0[..4].copy_from_slice(&number.to_be_bytes());
            origin.part_channels = vec![named(number)];
        }
    }
    state
}

impl Ledgers for Monitors {
    fn ledger(&self, channel_id: ChannelId) -> LedgerState<'_> {
        self.0
            .get(&channel_id)
            .map_or(LedgerState::Missing, |monitor| LedgerState::Present(monitor))
    }

    fn for_each(&self, visit: &mut dyn FnMut(&dyn Ledger)) {
        for monitor in self.0.values() {
            visit(monitor);
        }
    }

    fn is_closed(&self, _: ChannelId) -> bool {
        false
    }

    fn pruned_behind(&self) -> BookEpoch {
        BookEpoch::ZERO
    }
}
