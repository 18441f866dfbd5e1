//! Housekeeping: closed channels are archived (rule R11), tombstones are dropped behind an epoch of
//! the book (rule R10). None of it is urgent: what fails is only said, and tried again.

use std::collections::BTreeSet;

use lastword_ports::{Ledgers as _, PaymentBook as _, PaymentView, Stream};
use lastword_types::{BookEpoch, ChannelId, MonitorRecord, PaymentRecord, PaymentState, Tombstone};
use lastword_wire as wire;

use crate::driver::Driver;
use crate::error::EngineError;
use crate::stage::{Batch, Entry};

/// Tombstones in one channel for which the book enters a new epoch, so that they are dropped: the
/// cost of an epoch is spread over them.
pub(crate) const TOMBSTONES_PER_EPOCH: usize = 256;

impl Driver {
    /// Archives and drops what may go, in the channels that changed since the last time or have
    /// waited since then.
    pub(crate) fn tend(&mut self) {
        if self.logs.is_poisoned() || !self.in_flight.is_empty() {
            return;
        }
        let mut waiting = BTreeSet::new();
        let mut full = BTreeSet::new();
        for channel_id in self.channels.take_changed() {
            match self.archive_if_over(channel_id) {
                Ok(Over::No) => {}
                Ok(Over::Named) => {
                    waiting.insert(channel_id);
                }
                Err(error) => {
                    tracing::warn!(%channel_id, %error, "a channel is not archived this time");
                    waiting.insert(channel_id);
                }
            }
            let warm = self.channels.get(channel_id);
            if warm.is_ok_and(|warm| warm.monitor.state().tombstones.len() >= TOMBSTONES_PER_EPOCH)
            {
                full.insert(channel_id);
            }
        }
        if let Err(error) = self.drop_tombstones_of(&full) {
            tracing::warn!(%error, "no tombstones are dropped this time");
        }
        let is_full = |channel_id: &ChannelId| {
            let warm = self.channels.get(*channel_id);
            warm.is_ok_and(|warm| !warm.monitor.state().tombstones.is_empty())
        };
        waiting.extend(full.into_iter().filter(is_full));
        self.channels.wait_with(waiting);
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
        let all: BTreeSet<ChannelId> = self.channels.ids().collect();
        for channel_id in &all {
            if let Err(error) = self.warm(*channel_id) {
                tracing::warn!(%channel_id, %error, "the tombstones of a channel are not dropped");
            }
        }
        self.drop_tombstones_of(&all)
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
