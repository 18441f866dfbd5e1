//! The start: from nothing, from monitors alone, or from monitors and a book of any age, by one
//! path.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::ops::ControlFlow;

use lastword_chain::Tracker;
use lastword_claims::Claims;
use lastword_payments::{Outbox, Payments};
use lastword_ports::{Lsn, PaymentBook as _, Stream};
use lastword_reload::Scope;
use lastword_types::{Card, ChainDelta, ChainTip, ChannelId, MonitorRecord};
use lastword_wire as wire;

use crate::channels::Channels;
use crate::driver::Driver;
use crate::error::EngineError;
use crate::growth::Growth;
use crate::logs::Logs;
use crate::order::{Batch, Entry, Unsettled};
use crate::ports::Ports;

impl Driver {
    /// Puts a node together again from its stores.
    ///
    /// Reads the cards, the payment book, and of the monitors only those with something undelivered
    /// or unresolved, and closed ones. Then it plans over all of them and queues what has to be
    /// told; nothing is told or broadcast before the first [`next_event`](Self::next_event) or
    /// [`poll_chain`](Self::poll_chain).
    ///
    /// # Errors
    ///
    /// A failure of a store, or damaged bytes of the payment book, the tip or a card. A damaged
    /// channel is set apart and named by [`damaged`](Self::damaged).
    pub fn start(ports: Ports) -> Result<Self, EngineError> {
        let mut logs = Logs::new(ports.monitors, ports.books, ports.observer);
        let mut source = ports.source;
        let end = logs.end()?;
        let (cards, tip) = read_cards(&logs)?;
        let mut channels = Channels::default();
        let mut wanted = Vec::new();
        for card in &cards {
            channels.follow(card);
            let covers = Lsn { log: end.log, position: card.covers };
            let is_stale = logs.has_record_after(Stream::Channel(card.channel_id), covers)?;
            // A closed channel may have nothing left but an alarm that nobody has heard.
            if is_stale || card.has_undelivered || card.has_claims || card.is_closed {
                wanted.push(card.channel_id);
            }
        }
        let tracker = match (tip, oldest(&cards)) {
            (Some(tip), _) => Tracker::new(tip),
            (None, Some(best)) => Tracker::new(ChainTip { best, recent: Vec::new() }),
            (None, None) => Tracker::begin(&mut *source)?,
        };
        let (payments, book_growth) = read_book(&logs)?;
        let mut driver = Self {
            logs,
            channels,
            payments,
            outbox: Outbox::with_epoch(epoch()),
            claims: Claims::new(),
            tracker,
            source,
            broadcaster: ports.broadcaster,
            signer: ports.signer,
            coins: ports.coins,
            fees: ports.fees,
            forwards: ports.forwards,
            channel_book: ports.channels,
            advice: Vec::new(),
            books_end: None,
            book_growth,
            unsettled: Unsettled::default(),
            deadlines: BTreeSet::new(),
        };
        driver.note_deadlines();
        for channel_id in wanted {
            driver.warm_at_start(channel_id)?;
        }
        driver.leave_unknown_blocks()?;
        let gated = driver.write(Batch::default())?;
        driver.settle(gated, Some(Scope::All))?;
        driver.give_up_overdue()?;
        Ok(driver)
    }

    fn note_deadlines(&mut self) {
        let mut intents = Vec::new();
        self.payments.for_each_pending(&mut |view| intents.push(view.intent.clone()));
        for intent in &intents {
            self.note_deadline(intent);
        }
    }

    /// Reads one channel; damage sets it apart, anything else stops the start.
    fn warm_at_start(&mut self, channel_id: ChannelId) -> Result<(), EngineError> {
        match self.warm(channel_id) {
            Ok(()) => {}
            Err(_) if self.channels.is_damaged(channel_id) => return Ok(()),
            Err(error) => return Err(error),
        }
        let warm = self.channels.get(channel_id)?;
        for alarm in warm.monitor.alarms() {
            self.outbox.push_alarm(alarm);
        }
        // The card may be older than the channel's last record.
        let card = warm.monitor.card();
        self.channels.follow(&card);
        self.refresh_claims(channel_id);
        Ok(())
    }

    /// Takes channels that saw blocks beyond the recorded tip back to it: the tip became durable
    /// before those blocks' deltas did, and they may have left the best chain since.
    fn leave_unknown_blocks(&mut self) -> Result<(), EngineError> {
        let fork = self.tracker.tip();
        let entries = self.channels.synced_above(fork.height).into_iter().map(|channel_id| {
            Entry::Monitor(channel_id, MonitorRecord::Chain(ChainDelta::Disconnected { fork }))
        });
        let entries: Vec<Entry> = entries.collect();
        if entries.is_empty() {
            return Ok(());
        }
        self.submit(Batch { entries, tip: None })
    }
}

/// Reads the card of every channel, and the tip.
fn read_cards(logs: &Logs) -> Result<(Vec<Card>, Option<ChainTip>), EngineError> {
    let (mut cards, mut tip, mut failure) = (Vec::new(), None, None);
    logs.store(Stream::Chain).cards(&mut |stream, body| {
        let read = match stream {
            Stream::Channel(_) => wire::decode_card(body).map(|card| cards.push(card)),
            Stream::Chain => wire::decode_chain_tip(body).map(|found| tip = Some(found)),
            Stream::Payments => Ok(()),
        };
        if let Err(source) = read {
            failure = Some(EngineError::Bytes { what: "a card", source });
        }
    })?;
    failure.map_or(Ok((cards, tip)), Err)
}

/// Folds the payment book.
fn read_book(logs: &Logs) -> Result<(Payments, Growth), EngineError> {
    let bytes = |source| EngineError::Bytes { what: "the payment book", source };
    let store = logs.store(Stream::Payments);
    let mut after = None;
    let mut payments = Payments::new();
    let mut growth = Growth::default();
    if let Some(snapshot) = store.latest(Stream::Payments)? {
        let state = wire::decode_book_state(&snapshot.body).map_err(bytes)?;
        payments = Payments::restore(state)?;
        after = Some(snapshot.at);
        growth = Growth::behind(snapshot.body.len());
    }
    let mut failure = None;
    store.replay(Stream::Payments, after, &mut |_, body| {
        growth.add(body.len());
        let step = wire::decode_payment_record(body)
            .map_err(bytes)
            .and_then(|record| payments.apply(&record).map_err(EngineError::Payment));
        match step {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok((payments, growth)), Err)
}

/// Returns the block from which every channel is covered.
fn oldest(cards: &[Card]) -> Option<lastword_types::BlockRef> {
    cards.iter().map(|card| card.synced_to).min_by_key(|block| block.height)
}

/// Draws the epoch of an outbox: random, so that no cursor of an earlier start is taken for one of
/// this start. The standard library seeds its hash maps with it.
fn epoch() -> u64 {
    RandomState::new().build_hasher().finish()
}
