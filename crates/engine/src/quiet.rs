//! Which monitors stay in memory: all with something to do, and of the quiet ones those that were
//! needed last, up to a number of bytes.

use std::collections::BTreeMap;

use lastword_monitor::Monitor;
use lastword_types::{ChannelId, HtlcState, MonitorState, PastHtlc, Tombstone};

use crate::channels::Channels;
use crate::driver::Driver;

/// What quiet monitors may take of memory, unless somebody says otherwise.
const QUIET_BYTES: usize = 64 << 20;

/// Monitors that are looked at in one call: what is too much goes over several.
const LOOKS_MAX: usize = 256;

/// What a monitor takes besides what it holds of HTLCs: keys, commitments, secrets, its indexes.
const BARE_BYTES: usize = size_of::<Monitor>() + size_of::<MonitorState>() + 4_096;

/// What an entry of a map takes besides its value: its key, and room that nothing fills yet.
const ENTRY_BYTES: usize = 64;

/// Monitors in memory, by when they were needed last.
#[derive(Debug)]
pub(crate) struct Quiet {
    seats: BTreeMap<ChannelId, Seat>,
    turns: BTreeMap<u64, ChannelId>,
    turns_given: u64,
    bytes: usize,
    bytes_max: usize,
}

/// When a monitor was needed last, and what it took then.
#[derive(Debug, Clone, Copy)]
struct Seat {
    turn: u64,
    bytes: usize,
}

impl Default for Quiet {
    fn default() -> Self {
        Self {
            seats: BTreeMap::new(),
            turns: BTreeMap::new(),
            turns_given: 0,
            bytes: 0,
            bytes_max: QUIET_BYTES,
        }
    }
}

impl Quiet {
    /// Takes note that a monitor is needed.
    pub(crate) fn touch(&mut self, channel_id: ChannelId, bytes: usize) {
        self.forget(channel_id);
        self.turns_given += 1;
        let turn = self.turns_given;
        self.seats.insert(channel_id, Seat { turn, bytes });
        self.turns.insert(turn, channel_id);
        self.bytes += bytes;
    }

    pub(crate) fn forget(&mut self, channel_id: ChannelId) {
        if let Some(Seat { turn, bytes }) = self.seats.remove(&channel_id) {
            self.turns.remove(&turn);
            self.bytes -= bytes;
        }
    }

    /// Returns the monitor that was needed least lately, of those needed after a turn.
    fn least_after(&self, turn: u64) -> Option<(u64, ChannelId)> {
        let mut later = self.turns.range(turn + 1..);
        later.next().map(|(turn, channel_id)| (*turn, *channel_id))
    }
}

/// Returns about how many bytes of memory a monitor takes.
pub(crate) fn footprint(monitor: &Monitor) -> usize {
    let state = monitor.state();
    let of = |count: usize, each: usize| count * (each + ENTRY_BYTES);
    // Origins hold lists, and the indexes name every HTLC that stands.
    let htlcs = of(state.htlcs.len(), size_of::<HtlcState>() + 4 * ENTRY_BYTES);
    BARE_BYTES
        + htlcs
        + of(state.past.len(), size_of::<PastHtlc>())
        + of(state.tombstones.len(), size_of::<Tombstone>())
        + of(state.output_spends.len(), 4 * ENTRY_BYTES)
}

impl Channels {
    /// Takes monitors out of memory that have nothing to do, those that were needed least lately
    /// first, until the others fit. One that is busy stays.
    fn cool_quiet(&mut self, is_busy: &dyn Fn(ChannelId) -> bool) {
        let mut turn = 0;
        for _ in 0..LOOKS_MAX {
            if self.quiet.bytes <= self.quiet.bytes_max {
                return;
            }
            let Some((least, channel_id)) = self.quiet.least_after(turn) else { return };
            turn = least;
            if is_busy(channel_id) {
                continue;
            }
            // One that has something to do comes back when a record changes that.
            self.quiet.forget(channel_id);
            if self.is_quiet(channel_id) {
                self.cool(channel_id);
            }
        }
    }

    /// Says whether a monitor has nothing to do: a start would not read it.
    fn is_quiet(&self, channel_id: ChannelId) -> bool {
        let Ok(warm) = self.get(channel_id) else { return false };
        let card = warm.monitor.card();
        let is_open_matter = card.has_undelivered || card.has_claims || card.is_closed;
        !self.holds_untold(channel_id) && (card.is_archived || !is_open_matter)
    }

    /// Takes a monitor out of memory if it has nothing to do.
    pub(crate) fn cool_if_quiet(&mut self, channel_id: ChannelId) {
        if self.is_quiet(channel_id) {
            self.cool(channel_id);
        }
    }
}

impl Driver {
    /// Sets how many bytes of memory the monitors of quiet channels may take; what is more is let go,
    /// those that were needed least lately first, and read again on need. Without a word it is
    /// 64 MiB.
    ///
    /// Channels with something to do (undelivered HTLCs, claims, a closing) stay in memory whatever
    /// this says.
    ///
    /// # Crash safety
    ///
    /// Changes nothing that is durable: what was let go is what a start leaves on the disk.
    pub fn keep_quiet_bytes(&mut self, bytes_max: usize) {
        self.channels.quiet.bytes_max = bytes_max;
        self.cool_quiet();
    }

    pub(crate) fn cool_quiet(&mut self) {
        let Self { channels, in_flight, unsettled, claims_due, .. } = self;
        channels.cool_quiet(&|channel_id| {
            claims_due.contains(&channel_id)
                || unsettled.staged.channels.contains(&channel_id)
                || in_flight.iter().any(|held| held.channels.contains(&channel_id))
        });
    }
}
