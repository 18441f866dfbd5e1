//! The start: from nothing, from monitors alone, or from monitors and a book of any age, by one
//! path.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::ops::ControlFlow;

use lastword_chain::Tracker;
use lastword_claims::Claims;
use lastword_payments::{Outbox, Payments};
use lastword_ports::{Ledgers as _, PaymentBook as _, Store, Stream};
use lastword_reload::Scope;
use lastword_types::{BlockRef, Bug, Card, ChainDelta, ChainTip, ChannelId, MonitorRecord};
use lastword_wire as wire;

use crate::channels::Cards;
use crate::driver::Driver;
use crate::error::EngineError;
use crate::growth::Growth;
use crate::logs::Logs;
use crate::order::Unsettled;
use crate::ports::Ports;
use crate::stage::{Batch, Entry};

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
        let logs = Logs::new(ports.monitors, ports.books, ports.observer);
        let mut source = ports.source;
        let CardsRead { cards, wanted, oldest, tip } = read_cards(&logs)?;
        let tracker = match (tip, oldest) {
            (Some(tip), _) => Tracker::new(tip),
            (None, Some(best)) => Tracker::new(ChainTip { best, recent: Vec::new() }),
            (None, None) => Tracker::begin(&mut *source)?,
        };
        let channels = cards.into_channels(tracker.tip().height);
        let (payments, book_growth) = read_book(logs.store(Stream::Payments))?;
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
            in_flight: VecDeque::new(),
            completed: Vec::new(),
            tickets_given: 0,
            claims_due: BTreeSet::new(),
            deadlines: BTreeSet::new(),
        };
        driver.note_deadlines();
        for channel_id in wanted {
            driver.warm_at_start(channel_id)?;
        }
        driver.leave_unknown_blocks()?;
        driver.write(Batch::default())?;
        driver.settle(Some(Scope::All))?;
        // What an older book held open is decided now, and durable: what begins from here on is
        // newer than whatever was dropped (rule R10).
        let pruned_behind = driver.channels.pruned_behind();
        if driver.payments.epoch() < pruned_behind {
            driver.enter_epoch(pruned_behind)?;
        }
        driver.give_up_overdue()?;
        driver.tend();
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
        if warm.monitor.state().is_archived {
            self.channels.cool(channel_id);
            return Ok(());
        }
        for alarm in warm.monitor.alarms() {
            self.outbox.push_alarm(alarm);
        }
        // The card may be older than the channel's last record.
        let card = warm.monitor.card();
        self.channels.follow(&card);
        if Bug::WatchLost.is_planted() {
            self.channels.index.set(channel_id, &[], None);
        }
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

/// What the cards say.
#[derive(Default)]
struct CardsRead {
    cards: Cards,
    /// The channels whose monitors have to be read.
    wanted: Vec<ChannelId>,
    /// The block from which every channel is covered.
    oldest: Option<BlockRef>,
    tip: Option<ChainTip>,
}

impl CardsRead {
    /// Takes in the card of a channel whose log ends at `last`.
    fn take_in(&mut self, card: &Card, last: u64) {
        self.cards.take_in(card);
        let is_stale = last > card.covers;
        // A closed channel may have nothing left but an alarm that nobody has heard.
        let is_open_matter = card.has_undelivered || card.has_claims || card.is_closed;
        if is_stale || (is_open_matter && !card.is_archived) {
            self.wanted.push(card.channel_id);
        }
        let is_older = |oldest: BlockRef| card.synced_to.height < oldest.height;
        if !card.is_archived && self.oldest.is_none_or(is_older) {
            self.oldest = Some(card.synced_to);
        }
    }
}

/// Reads the card of every channel, and the tip; no more than one card is in memory at a time.
fn read_cards(logs: &Logs) -> Result<CardsRead, EngineError> {
    let (mut read, mut failure) = (CardsRead::default(), None);
    logs.store(Stream::Chain).cards(&mut |stored| {
        let result = match stored.stream {
            Stream::Channel(_) => {
                wire::decode_card(stored.body).map(|card| read.take_in(&card, stored.last))
            }
            Stream::Chain => wire::decode_chain_tip(stored.body).map(|tip| read.tip = Some(tip)),
            Stream::Payments => Ok(()),
        };
        if let Err(source) = result {
            failure = Some(EngineError::Bytes { what: "a card", source });
        }
    })?;
    failure.map_or(Ok(read), Err)
}

/// Folds the payment book.
pub(crate) fn read_book(store: &dyn Store) -> Result<(Payments, Growth), EngineError> {
    let bytes = |source| EngineError::Bytes { what: "the payment book", source };
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

/// Draws the epoch of an outbox: random, so that no cursor of an earlier start is taken for one of
/// this start. The standard library seeds its hash maps with it.
fn epoch() -> u64 {
    RandomState::new().build_hasher().finish()
}
