//! Check → append → commit: how a batch gets into the machines and the logs.
//!
//! A batch is cut into waves, so that in each wave a machine gets at most one record: a wave is
//! checked whole, appended whole and then committed, so nothing refused is ever written and nothing
//! written is refused on replay. With two logs the books' half is durable before the monitors' log
//! hears of the rest (rule R1).

use std::collections::{BTreeMap, BTreeSet};

use lastword_monitor::Monitor;
use lastword_ports::{Frame, Lsn, Stream};
use lastword_types::{
    Bug, Card, ChainTip, ChannelId, Effect, MonitorRecord, PaymentRecord, UpdateId,
};
use lastword_wire as wire;

use crate::channels::Warm;
use crate::driver::Driver;
use crate::error::EngineError;
use crate::growth::Growth;
use crate::logs::LogKind;
use crate::order::Effects;

/// One record on its way into a log.
#[derive(Debug)]
pub(crate) enum Entry {
    Payment(PaymentRecord),
    Monitor(ChannelId, MonitorRecord),
}

/// What a batch brings, besides its records.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) entries: Vec<Entry>,
    /// The chain's tip, once these deltas are in.
    pub(crate) tip: Option<ChainTip>,
}

/// At most one record for each machine.
#[derive(Default)]
struct Wave {
    payment: Option<PaymentRecord>,
    monitors: BTreeMap<ChannelId, MonitorRecord>,
}

/// A wave that nothing refused, with the tokens that commit it.
#[derive(Default)]
struct Checked<'w> {
    payment: Option<(&'w PaymentRecord, lastword_payments::Accepted<'w>)>,
    /// Channels that begin with this wave.
    born: Vec<(&'w MonitorRecord, Monitor)>,
    accepted: Vec<(ChannelId, &'w MonitorRecord, lastword_monitor::Accepted<'w>)>,
}

/// What was checked, appended and committed, and is not yet held for a sync.
#[derive(Debug, Default)]
pub(crate) struct Staged {
    pub(crate) effects: Effects,
    pub(crate) tip: Option<ChainTip>,
    pub(crate) has_releases: bool,
    /// The channels that have a record in it.
    pub(crate) channels: BTreeSet<ChannelId>,
    pub(crate) updates: Vec<(ChannelId, UpdateId)>,
}

impl Driver {
    /// Check, append, commit; what an earlier failure left is in it.
    pub(crate) fn stage_alone(&mut self, batch: Batch) -> Result<Staged, EngineError> {
        let mut staged = core::mem::take(&mut self.unsettled.staged);
        match self.stage_batch(batch, &mut staged) {
            Ok(()) => Ok(staged),
            Err(error) => {
                self.unsettled.staged = staged;
                Err(error)
            }
        }
    }

    /// Check, append, commit. `staged` says also of a failure what was committed before it.
    pub(crate) fn stage_batch(
        &mut self,
        batch: Batch,
        staged: &mut Staged,
    ) -> Result<(), EngineError> {
        let has_releases = batch
            .entries
            .iter()
            .any(|entry| matches!(entry, Entry::Monitor(_, MonitorRecord::Release(_))));
        for wave in waves(batch.entries) {
            self.write_wave(&wave, staged)?;
        }
        staged.has_releases |= has_releases;
        staged.tip = batch.tip.or(staged.tip.take());
        Ok(())
    }

    fn write_wave(&mut self, wave: &Wave, staged: &mut Staged) -> Result<(), EngineError> {
        for (channel_id, record) in &wave.monitors {
            if !matches!(record, MonitorRecord::Created(_)) {
                self.warm(*channel_id)?;
            }
        }
        // Check.
        let Checked { mut payment, born, accepted } = self.check_wave(wave)?;
        // Append: the books first, and durable before the monitors when they have their own log.
        let payment_body = payment.as_ref().map(|(record, _)| wire::encode_payment_record(record));
        let word = payment.as_ref().and_then(|(record, _)| self.word_replaced_by(record));
        let book: Vec<Frame<'_>> = payment_body
            .iter()
            .map(|body| (Stream::Payments, body))
            .chain(word.iter().map(|(stream, body)| (*stream, body)))
            .map(|(stream, body)| Frame::Record { stream, body })
            .collect();
        let records = born
            .iter()
            .map(|(record, monitor)| (monitor.state().parameters.channel_id, *record))
            .chain(accepted.iter().map(|(channel_id, record, _)| (*channel_id, *record)));
        let bodies: Vec<(ChannelId, Vec<u8>)> = records
            .map(|(channel_id, record)| (channel_id, wire::encode_monitor_record(record)))
            .collect();
        // Without a card a start would not know of the channel, so its first one is in this append;
        // it covers nothing yet.
        let cards: Vec<(ChannelId, Vec<u8>)> = born
            .iter()
            .map(|(_, monitor)| monitor.card())
            .map(|card| (card.channel_id, wire::encode_card(&card)))
            .collect();
        if let (Some(body), false) = (&payment_body, self.logs.is_one()) {
            self.books_end = Some(self.logs.append(LogKind::Books, &book)?);
            // The book's log has it, whatever becomes of the monitors' half.
            self.commit_payment(payment.take(), body.len());
            if !bodies.is_empty() {
                self.logs.sync(LogKind::Books)?;
            }
        }
        let last = self.append_wave(&book, &bodies, &cards)?;
        // Commit.
        self.commit_payment(payment, payment_body.as_ref().map_or(0, Vec::len));
        let mut sizes = bodies.iter().map(|(_, body)| body.len());
        for ((_, monitor), bytes) in born.into_iter().zip(&mut sizes) {
            let channel_id = monitor.state().parameters.channel_id;
            let mut growth = Growth::default();
            growth.add(bytes);
            self.channels.insert(channel_id, Warm { monitor, last, growth });
            staged.channels.insert(channel_id);
            staged.effects.push((channel_id, Effect::CardChanged));
        }
        for ((channel_id, record, token), bytes) in accepted.into_iter().zip(sizes) {
            let warm = self.channels.get_mut(channel_id)?;
            warm.last = last;
            warm.growth.add(bytes);
            staged.channels.insert(channel_id);
            if let MonitorRecord::Update(update) = record {
                staged.updates.push((channel_id, update.update_id));
            }
            let effects = warm.monitor.commit(token).into_iter();
            staged.effects.extend(effects.map(|effect| (channel_id, effect)));
            self.channels.touch(channel_id);
        }
        Ok(())
    }

    /// Checks a wave whole; what says nothing new is left out.
    fn check_wave<'w>(&self, wave: &'w Wave) -> Result<Checked<'w>, EngineError> {
        let mut checked = Checked::default();
        if let Some(record) = &wave.payment {
            let token = self.payments.check(record)?;
            checked.payment = (!token.is_noop()).then_some((record, token));
        }
        for (channel_id, record) in &wave.monitors {
            let channel_id = *channel_id;
            let refused = |source| EngineError::Monitor { channel_id, source };
            if let MonitorRecord::Created(new) = record {
                if self.channels.contains(channel_id) {
                    return Err(EngineError::ChannelExists(channel_id));
                }
                let monitor = Monitor::create((**new).clone()).map_err(refused)?;
                checked.born.push((record, monitor));
                continue;
            }
            let monitor = &self.channels.get(channel_id)?.monitor;
            let token = monitor.check(record).map_err(refused)?;
            if !token.is_noop() {
                checked.accepted.push((channel_id, record, token));
            }
        }
        Ok(checked)
    }

    fn commit_payment(
        &mut self,
        payment: Option<(&PaymentRecord, lastword_payments::Accepted<'_>)>,
        bytes: usize,
    ) {
        let Some((record, token)) = payment else { return };
        self.payments.commit(token);
        self.book_growth.add(bytes);
        match record {
            PaymentRecord::Intent(intent)
            | PaymentRecord::Rebuilt(intent)
            | PaymentRecord::Retried(intent) => self.note_deadline(intent),
            PaymentRecord::Handled { key } if key.kind.is_terminal() => {
                self.finished.add(key.payment_id, key.generation);
            }
            PaymentRecord::Adopted { payment_id, generation, .. } => {
                self.finished.add(*payment_id, *generation);
            }
            PaymentRecord::Abandoned { .. }
            | PaymentRecord::Decided { .. }
            | PaymentRecord::Handled { .. }
            | PaymentRecord::Dropped { .. }
            | PaymentRecord::EpochRaised { .. } => {}
        }
    }

    /// Appends one wave to the monitors' log, with the book's record where they share it, and
    /// returns the end of that log.
    fn append_wave(
        &mut self,
        book: &[Frame<'_>],
        monitors: &[(ChannelId, Vec<u8>)],
        cards: &[(ChannelId, Vec<u8>)],
    ) -> Result<Lsn, EngineError> {
        let mut frames = Vec::with_capacity(monitors.len() + cards.len() + book.len());
        let book = if self.logs.is_one() { book } else { &[] };
        frames.extend_from_slice(book);
        frames.extend(monitors.iter().map(|(channel_id, body)| Frame::Record {
            stream: Stream::Channel(*channel_id),
            body,
        }));
        frames.extend(
            cards.iter().map(|(channel_id, body)| Frame::Card {
                stream: Stream::Channel(*channel_id),
                body,
            }),
        );
        if frames.is_empty() {
            return Ok(self.logs.end()?);
        }
        while Bug::PartsApart.is_planted() && frames.len() > 1 {
            self.logs.append(LogKind::Monitors, &[frames.remove(0)])?;
        }
        let last = self.logs.append(LogKind::Monitors, &frames)?;
        if !book.is_empty() {
            self.books_end = Some(last);
        }
        Ok(last)
    }

    /// Appends the cards that changed, behind the records that changed them, and the tip.
    ///
    /// A crash between the two leaves a card that is older than a record of its channel; the start
    /// finds that by the position that a card covers, and reads the channel instead.
    pub(crate) fn append_cards(
        &mut self,
        effects: &Effects,
        tip: Option<ChainTip>,
    ) -> Result<(), EngineError> {
        let changed: BTreeSet<ChannelId> = effects
            .iter()
            .filter(|(_, effect)| matches!(effect, Effect::CardChanged))
            .map(|(channel_id, _)| *channel_id)
            .collect();
        let mut cards = Vec::with_capacity(changed.len());
        for channel_id in changed {
            let warm = self.channels.get(channel_id)?;
            let card = Card { covers: warm.last.position, ..warm.monitor.card() };
            cards.push((Stream::Channel(channel_id), wire::encode_card(&card)));
            self.channels.follow(&card);
        }
        if let Some(tip) = tip {
            cards.push((Stream::Chain, wire::encode_chain_tip(&tip)));
        }
        if cards.is_empty() {
            return Ok(());
        }
        let frames: Vec<Frame<'_>> =
            cards.iter().map(|(stream, body)| Frame::Card { stream: *stream, body }).collect();
        self.logs.append(LogKind::Monitors, &frames)?;
        Ok(())
    }

    /// Appends the tip after blocks that concerned no channel. It need not be synced: an older tip
    /// only means that they are looked at again.
    pub(crate) fn append_tip(&mut self) -> Result<(), EngineError> {
        let tip = wire::encode_chain_tip(&self.tracker.chain_tip());
        let frame = Frame::Card { stream: Stream::Chain, body: &tip };
        self.logs.append(LogKind::Monitors, &[frame])?;
        Ok(())
    }

    /// Puts snapshots of what has grown long; the next sync makes them durable. A failure costs replay time at the next start and
    /// nothing else, so it is only said.
    pub(crate) fn compact_where_due(&mut self, effects: &Effects) {
        let touched: BTreeSet<ChannelId> = effects.iter().map(|(id, _)| *id).collect();
        for channel_id in touched {
            let Ok(warm) = self.channels.get_mut(channel_id) else { continue };
            // A record that is in flight is in the state and may be lost.
            if !warm.growth.is_due() || !self.logs.proofs().cover(warm.last) {
                continue;
            }
            let body = wire::encode_monitor_state(warm.monitor.state());
            match self.logs.compact(Stream::Channel(channel_id), warm.last, &body) {
                Ok(()) => warm.growth = Growth::behind(body.len()),
                Err(error) => tracing::warn!(%channel_id, %error, "no snapshot this time"),
            }
        }
        if !self.book_growth.is_due() {
            return;
        }
        let durable = self.books_end.filter(|end| self.logs.proofs().cover(*end));
        let Some(at) = durable else { return };
        let body = wire::encode_book_state(self.payments.state());
        match self.logs.compact(Stream::Payments, at, &body) {
            Ok(()) => self.book_growth = Growth::behind(body.len()),
            Err(error) => tracing::warn!(%error, "no snapshot of the book this time"),
        }
    }
}

/// Cuts a batch so that in each wave a machine gets at most one record, in order.
fn waves(entries: Vec<Entry>) -> Vec<Wave> {
    let mut waves: Vec<Wave> = Vec::new();
    let mut payments = 0;
    let mut monitors: BTreeMap<ChannelId, usize> = BTreeMap::new();
    for entry in entries {
        let index = match &entry {
            Entry::Payment(_) => &mut payments,
            Entry::Monitor(channel_id, _) => monitors.entry(*channel_id).or_default(),
        };
        if *index == waves.len() {
            waves.push(Wave::default());
        }
        if let Some(wave) = waves.get_mut(*index) {
            match entry {
                Entry::Payment(record) => wave.payment = Some(record),
                Entry::Monitor(channel_id, record) => {
                    wave.monitors.insert(channel_id, record);
                }
            }
        }
        *index += 1;
    }
    waves
}
