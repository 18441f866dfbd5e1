//! Housekeeping: closed channels are archived (rule R11), tombstones are dropped behind an epoch of
//! the book (rule R10), and finished payments leave the book (rule R9). None of it is urgent: what
//! fails is only said, and tried again.

use std::collections::{BTreeMap, BTreeSet};

use lastword_ports::{Ledgers as _, PaymentBook as _, PaymentView, Stream};
use lastword_types::{
    BlockHeight, BookEpoch, ChannelId, MonitorRecord, PaymentRecord, PaymentState, Tombstone,
};
use lastword_wire as wire;

use crate::driver::Driver;
use crate::error::EngineError;
use crate::stage::{Batch, Entry};

/// Tombstones in one channel for which the book enters a new epoch, so that they are dropped: the
/// cost of an epoch is spread over them.
pub(crate) const TOMBSTONES_PER_EPOCH: usize = 256;

/// Channels whose tombstones go together: they are in memory at once.
const CHANNELS_TOGETHER: usize = 1_000;

/// Channels in which something may go, but not yet.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    /// Those that are over, and an event that names them is not told.
    named: BTreeSet<ChannelId>,
    /// Those with many tombstones that may not go, and with how many they are looked at again.
    full: BTreeMap<ChannelId, usize>,
    /// The tip at which all of `full` were looked at.
    looked_at: BlockHeight,
}

impl Driver {
    /// Archives and drops what may go, in the channels that changed since the last time, and in those
    /// that wait as soon as what they wait for may have come.
    ///
    /// # Shape
    ///
    /// Costs what changed. A channel that waits for its events is looked at when nothing is left to
    /// tell; one whose tombstones may not go when there is a new block or a quarter more of them.
    pub(crate) fn tend(&mut self) {
        if self.logs.is_poisoned() || !self.in_flight.is_empty() || self.is_starting {
            return;
        }
        let mut changed = self.channels.take_changed();
        if self.outbox.is_idle() {
            changed.append(&mut self.waiting.named);
        }
        let tip = self.tip().height;
        if self.waiting.looked_at != tip {
            self.waiting.looked_at = tip;
            for look in self.waiting.full.values_mut() {
                *look = 0;
            }
            changed.extend(self.waiting.full.keys());
        }
        let mut full = BTreeSet::new();
        for channel_id in changed {
            let over = self.archive_if_over(channel_id).unwrap_or_else(|error| {
                tracing::warn!(%channel_id, %error, "a channel is not archived this time");
                Over::Named
            });
            match over {
                Over::No => {}
                Over::Named => {
                    self.waiting.named.insert(channel_id);
                }
            }
            let count = self.tombstones(channel_id);
            let look = self.waiting.full.get(&channel_id).copied().unwrap_or(0);
            if count >= TOMBSTONES_PER_EPOCH.max(look) {
                full.insert(channel_id);
            }
        }
        if let Err(error) = self.drop_tombstones_of(&full) {
            tracing::warn!(%error, "no tombstones are dropped this time");
        }
        for channel_id in full {
            match self.tombstones(channel_id) {
                0 => self.waiting.full.remove(&channel_id),
                count => self.waiting.full.insert(channel_id, count + count / 4),
            };
        }
        if let Err(error) = self.drop_finished_if_many() {
            tracing::warn!(%error, "no finished payments are dropped this time");
        }
    }

    /// Returns how many tombstones a channel holds, as far as it is in memory.
    fn tombstones(&self, channel_id: ChannelId) -> usize {
        self.channels.get(channel_id).map_or(0, |warm| warm.monitor.state().tombstones.len())
    }

    /// Archives a channel that is over, once no event names it: after that it is not read at a
    /// start, so an alarm that nobody heard would be lost.
    fn archive_if_over(&mut self, channel_id: ChannelId) -> Result<Over, EngineError> {
        let Ok(warm) = self.channels.get(channel_id) else { return Ok(Over::No) };
        let monitor = &warm.monitor;
        if monitor.state().is_archived || monitor.check(&MonitorRecord::Archive).is_err() {
            return Ok(Over::No);
        }
        if self.outbox.names(channel_id) {
            return Ok(Over::Named);
        }
        let entries = vec![Entry::Monitor(channel_id, MonitorRecord::Archive)];
        self.write(Batch { entries, tip: None })?;
        self.settle(None)?;
        let warm = self.channels.get(channel_id)?;
        let body = wire::encode_monitor_state(warm.monitor.state());
        // Without it the channel is read from its older snapshot and the records behind that.
        if let Err(error) = self.logs.compact(Stream::Channel(channel_id), warm.last, &body) {
            tracing::warn!(%channel_id, %error, "no last snapshot of an archived channel");
        }
        self.channels.cool(channel_id);
        Ok(Over::No)
    }

    /// Drops the tombstones of every channel in which no payment with a tombstone waits for anything;
    /// a driver does so by itself where there are many.
    ///
    /// From then on a payment book of before that comes back says of a payment it holds open that it
    /// is unknown (rule R10).
    ///
    /// # Crash safety
    ///
    /// The book has durably entered a new epoch before the first tombstone goes.
    ///
    /// # Errors
    ///
    /// A failure of the store; what is not dropped is dropped another time.
    pub fn drop_tombstones(&mut self) -> Result<(), EngineError> {
        self.wait_for_disk()?;
        let all: Vec<ChannelId> = self.channels.ids().collect();
        for some in all.chunks(CHANNELS_TOGETHER) {
            let mut full = BTreeSet::new();
            for channel_id in some {
                if let Err(error) = self.warm(*channel_id) {
                    tracing::warn!(%channel_id, %error, "its tombstones are not dropped");
                }
                if self.tombstones(*channel_id) > 0 {
                    full.insert(*channel_id);
                }
            }
            self.drop_tombstones_of(&full)?;
            for channel_id in some {
                self.channels.cool_if_quiet(*channel_id);
            }
        }
        Ok(())
    }

    /// Has the book enter a new epoch and, once that is durable, drops the tombstones of some
    /// channels behind it: a book without the epoch is then known to be older than what they said.
    fn drop_tombstones_of(&mut self, full: &BTreeSet<ChannelId>) -> Result<(), EngineError> {
        let channels: Vec<ChannelId> =
            full.iter().copied().filter(|channel_id| self.may_drop(*channel_id)).collect();
        if channels.is_empty() {
            return Ok(());
        }
        let Some(behind) = self.draw_epoch()? else { return Ok(()) };
        self.enter_epoch(behind)?;
        let record = MonitorRecord::PruneTombstones { behind };
        let entries = channels.into_iter().map(|id| Entry::Monitor(id, record.clone())).collect();
        self.write(Batch { entries, tip: None })?;
        self.settle(None)
    }

    /// Returns an epoch that no book ever entered which is older than a tombstone that is there: the
    /// durable end of the monitors' log. That never goes back, whatever becomes of the books, so an
    /// epoch comes twice only while nothing was written between.
    fn draw_epoch(&mut self) -> Result<Option<BookEpoch>, EngineError> {
        self.logs.sync_all()?;
        let end = BookEpoch(self.logs.end()?.position);
        // A log that was begun anew counts from the start.
        let latest = self.payments.epoch().max(self.channels.pruned_behind());
        Ok(if end < latest { latest.next() } else { Some(end) })
    }

    /// Makes it durable that the book has entered an epoch.
    pub(crate) fn enter_epoch(&mut self, epoch: BookEpoch) -> Result<(), EngineError> {
        let entries = vec![Entry::Payment(PaymentRecord::EpochRaised { epoch })];
        self.write(Batch { entries, tip: None })?;
        self.settle(None)
    }

    /// Says whether every payment with a tombstone in a channel is over and released everywhere: an
    /// entry that is not released then proves that no tombstone of its generation was dropped.
    fn may_drop(&self, channel_id: ChannelId) -> bool {
        // A channel that cannot be read may hold such an entry.
        let is_whole = self.channels.damaged().next().is_none();
        let Ok(warm) = self.channels.get(channel_id) else { return false };
        let mut tombstones = warm.monitor.state().tombstones.values();
        is_whole && tombstones.len() > 0 && tombstones.all(|tombstone| self.is_over(tombstone))
    }

    fn is_over(&self, tombstone: &Tombstone) -> bool {
        let own = |view: &PaymentView<'_>| view.intent.generation == tombstone.generation;
        let view = self.payments.payment(tombstone.payment_id).filter(own);
        let is_known = view.is_none_or(|view| {
            let mut parts = view.intent.parts.iter();
            matches!(view.state, PaymentState::Handled(_))
                && parts.all(|part| self.channels.contains(part.channel_id))
        });
        is_known && !self.channels.owes(tombstone.payment_id)
    }
}

/// Whether a channel is over and still waits to be archived.
enum Over {
    /// It is not over, or it is archived.
    No,
    /// It is over, and an event that names it is not told yet.
    Named,
}
