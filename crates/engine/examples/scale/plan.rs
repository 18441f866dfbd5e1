//! What a plan over everything costs, beside a walk over the same entries.

use std::collections::BTreeMap;

use lastword_engine::{NoChannels, NoForwards};
use lastword_monitor::Monitor;
use lastword_payments::Payments;
use lastword_ports::{Ledger, LedgerState, Ledgers};
use lastword_reload::{Plan, Scope, View, plan};
use lastword_types::{BookEpoch, ChannelId, HtlcDirection, HtlcOrigin, MonitorState};

use crate::memory::channel_id;
use crate::tape::Tape;
use crate::{Line, Result, least, ratio};

const CHANNELS: u32 = 1_000;
const HTLCS: u32 = 100;
const ROUNDS: u32 = 5;

pub(crate) fn measure() -> Result<Vec<Line>> {
    let monitors = Monitors::new(CHANNELS)?;
    let walk = least(
        ROUNDS,
        || (),
        |()| assert_eq!(monitors.walk(), CHANNELS * HTLCS, "each was fulfilled, nobody knows"),
    );
    let planned = least(ROUNDS, || (), |()| monitors.plan());
    let what = "planning 100,000 undelivered HTLCs in 1,000 monitors".into();
    let unit = "of walking them";
    Ok(vec![
        Line { id: "plan", what, unit, ours: ratio(planned, walk), bar: Some(10.0) },
        Line {
            id: "plan-walk",
            what: "walking them, each".into(),
            unit: "ns",
            ours: walk.as_secs_f64() * 1e9 / f64::from(CHANNELS * HTLCS),
            bar: None,
        },
    ])
}

/// Monitors, each with HTLCs whose outcome nobody was told.
pub(crate) struct Monitors(BTreeMap<ChannelId, Monitor>);

impl Monitors {
    pub(crate) fn new(channels: u32) -> Result<Self> {
        let mut tape = Tape::new(channel_id(0))?;
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
        let mut count = 0_u32;
        self.for_each(&mut |ledger| {
            ledger.for_each_undelivered(&mut |entry| {
                count += u32::from(entry.verdict.is_final());
            });
        });
        count
    }

    /// Plans for an empty book.
    pub(crate) fn plan(&self) -> Plan {
        let payments = Payments::new();
        let (forwards, channels) = (&NoForwards, &NoChannels);
        plan(&Scope::All, &View { ledgers: self, payments: &payments, forwards, channels })
    }
}

/// The same channel under another name, with payments of its own.
fn state_like(pattern: &MonitorState, number: u32) -> MonitorState {
    let mut state = pattern.clone();
    state.parameters.channel_id = channel_id(number);
    for held in state.htlcs.values_mut() {
        if let HtlcOrigin::Payment(origin) = &mut held.htlc.origin {
            origin.payment_id.0[..4].copy_from_slice(&number.to_be_bytes());
            origin.part_channels = vec![channel_id(number)];
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
