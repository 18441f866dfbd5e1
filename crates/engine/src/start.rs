//! The start: from nothing, from monitors alone, or from monitors and a book of any age, by one
//! path.

use std::collections::{BTreeSet, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::ops::ControlFlow;

use lastword_chain::Tracker;
use lastword_claims::Claims;
use lastword_payments::{Outbox, Payments};
use lastword_ports::{
    Frame, Ledgers as _, LogId, Lsn, PaymentBook as _, Snapshot, SnapshotStore as _, Store,
    StoredCard, Stream, UpdateLog as _,
};
use lastword_reload::Scope;
use lastword_types::{
    BlockRef, BookMark, Bug, Card, ChainDelta, ChainTip, ChannelId, MonitorRecord,
};
use lastword_wire as wire;

use crate::apart::Apart;
use crate::channels::{self, Cards};
use crate::damage::{Damage, DamagedPart};
use crate::driver::Driver;
use crate::error::{BookDamage, EngineError};
use crate::finished::Finished;
use crate::growth::Growth;
use crate::logs::{LogKind, Logs};
use crate::order::Unsettled;
use crate::ports::Ports;
use crate::stage::{Batch, Entry};
use crate::starting::Starting;
use crate::tend::Waiting;

impl Driver {
    /// Puts a node together again from its stores.
    ///
    /// Reads the cards, the payment book, and of the monitors only those with something undelivered
    /// or unresolved, and closed ones. Then it plans over all of them and queues what has to be
    /// told; nothing is told or broadcast before the first [`next_event`](Self::next_event) or
    /// [`poll_chain`](Self::poll_chain). The observer is told how far it is
    /// ([`Observer::progress`](crate::Observer::progress)); [`begin`](Self::begin) is for a node that
    /// watches the chain meanwhile.
    ///
    /// # Errors
    ///
    /// A failure of a store, or damaged bytes of the payment book or the tip, or of which nobody can
    /// tell whose they are; of the book [`EngineError::DamagedBook`] with the place. [`EngineError::BookOfAnotherNode`] and
    /// [`EngineError::BookFromTheFuture`] for a book in a log of its own that does not belong to these
    /// monitors; [`start_without_book`](Self::start_without_book) then starts with the monitors
    /// alone. [`EngineError::Misplaced`] for two channels under one name. A damaged channel is set
    /// apart and named by [`damage`](Self::damage); if only its card is damaged, that is rebuilt
    /// ([`mended`](Self::mended)).
    pub fn start(ports: Ports) -> Result<Self, EngineError> {
        let mut starting = Self::begin(ports)?;
        while starting.read_some()? {}
        starting.finish()
    }

    /// Begins to put a node together again: when it returns, the cards and the payment book are read,
    /// and the chain can be followed. The monitors that a start has to read are not.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn begin(ports: Ports) -> Result<Starting, EngineError> {
        let mut logs = Logs::new(ports.monitors, ports.books, ports.observer);
        let mark = check_mark(&mut logs)?;
        let mut source = ports.source;
        let CardsRead { cards, stale, wanted, oldest, tip, mended, apart } = read_cards(&logs)?;
        let tracker = match (tip, oldest) {
            (Some(tip), _) => Tracker::new(tip),
            (None, Some(best)) => Tracker::new(ChainTip { best, recent: Vec::new() }),
            (None, None) => Tracker::begin(&mut *source)?,
        };
        let mut channels = cards.into_channels(tracker.tip().height);
        for (channel_id, damage) in apart {
            channels.set_apart(channel_id, damage);
        }
        let (payments, book_growth) = read_book(logs.store(Stream::Payments))?;
        let finished = Finished::of(&payments, epoch());
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
            apart: Apart::default(),
            mended: Vec::new(),
            books_end: None,
            book_growth,
            finished,
            unsettled: Unsettled::default(),
            in_flight: VecDeque::new(),
            completed: Vec::new(),
            tickets_given: 0,
            waiting: Waiting::default(),
            claims_due: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            is_starting: true,
        };
        driver.note_deadlines();
        driver.write_mended(mended)?;
        for channel_id in stale {
            driver.warm_at_start(channel_id)?;
        }
        driver.read_notes()?;
        driver.leave_unknown_blocks()?;
        Ok(Starting::new(driver, wanted, mark))
    }

    /// Plans over everything, once all is read that has to be, and executes it.
    pub(crate) fn finish_start(&mut self, mark: Option<BookMark>) -> Result<(), EngineError> {
        self.is_starting = false;
        self.write(Batch::default())?;
        self.settle(Some(Scope::All))?;
        // What an older book held open is decided now, and durable: what begins from here on is
        // newer than whatever was dropped (rule R10). While it waits for a damaged channel it is not
        // decided: then the book stays of its age.
        let pruned_behind = self.channels.pruned_behind();
        let is_whole = self.channels.damaged().next().is_none();
        if self.payments.epoch() < pruned_behind && is_whole {
            self.enter_epoch(pruned_behind)?;
        }
        self.give_up_overdue()?;
        self.tend();
        self.cool_quiet();
        self.mark_book(mark)
    }

    /// Puts a node together again without its payment book, whatever that holds: an empty one takes
    /// its place, and what the monitors still have to tell is rebuilt from them.
    ///
    /// For a book that [`start`](Self::start) refuses. What only the book knew is gone: payments of
    /// which no HTLC became durable, and that an event was handled whose release was not durable; it
    /// is told once more. Where the book's own bytes cannot be replaced the store says so; then an
    /// empty store in its place does the same.
    ///
    /// # Crash safety
    ///
    /// The old book is gone once this has returned, or not at all.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start), and a failure of the store.
    pub fn start_without_book(mut ports: Ports) -> Result<Self, EngineError> {
        let Lsn { log, .. } = ports.monitors.append(&[])?;
        let has_own_log = ports.books.is_some();
        let store = ports.books.as_mut().unwrap_or(&mut ports.monitors);
        if has_own_log {
            // It may be of another node.
            let mark = wire::encode_book_mark(&BookMark { log: log.0, position: 0 });
            store.append(&[Frame::Card { stream: Stream::Payments, body: &mark }])?;
        }
        let end = store.sync()?.upto();
        let empty = wire::encode_book_state(Payments::new().state());
        store.put(Stream::Payments, end, &empty)?;
        store.prune(Stream::Payments, end)?;
        // The proof is of no use to anybody: the start syncs again.
        let _proof = store.sync()?;
        Self::start(ports)
    }

    /// Notes in the book's own log which monitors it belongs to, and how far they are durable.
    fn mark_book(&mut self, known: Option<BookMark>) -> Result<(), EngineError> {
        if self.logs.is_one() {
            return Ok(());
        }
        self.logs.sync_all()?;
        let Lsn { log, position } = self.logs.end()?;
        let mark = BookMark { log: log.0, position };
        if known == Some(mark) {
            return Ok(());
        }
        let body = wire::encode_book_mark(&mark);
        let card = Frame::Card { stream: Stream::Payments, body: &body };
        self.logs.append(LogKind::Books, &[card])?;
        Ok(self.logs.sync(LogKind::Books)?)
    }

    /// Writes the cards that were rebuilt.
    fn write_mended(&mut self, mended: Vec<(Card, Damage)>) -> Result<(), EngineError> {
        for (card, damage) in mended {
            let channel_id = card.channel_id;
            tracing::warn!(%channel_id, error = %damage.error, "a card is rebuilt");
            let body = wire::encode_card(&card);
            let frame = Frame::Card { stream: Stream::Channel(channel_id), body: &body };
            self.logs.append(LogKind::Monitors, &[frame])?;
            self.mended.push(damage);
        }
        Ok(())
    }

    fn note_deadlines(&mut self) {
        let mut intents = Vec::new();
        self.payments.for_each_pending(&mut |view| intents.push(view.intent.clone()));
        for intent in &intents {
            self.note_deadline(intent);
        }
    }

    /// Reads one channel; damage sets it apart, anything else stops the start.
    pub(crate) fn warm_at_start(&mut self, channel_id: ChannelId) -> Result<(), EngineError> {
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
        if !Bug::ClaimsForgotten.is_planted() {
            self.refresh_claims(channel_id);
        }
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
        if entries.is_empty() || Bug::UnknownBlocksKept.is_planted() {
            return Ok(());
        }
        self.submit(Batch { entries, tip: None })
    }
}

/// What the cards say.
#[derive(Default)]
struct CardsRead {
    cards: Cards,
    /// The channels whose cards are older than their logs: what they watch, and which blocks they have
    /// seen, only their monitors know.
    stale: Vec<ChannelId>,
    /// The other channels whose monitors have to be read.
    wanted: Vec<ChannelId>,
    /// The block from which every channel is covered.
    oldest: Option<BlockRef>,
    tip: Option<ChainTip>,
    /// Cards that were damaged and are rebuilt.
    mended: Vec<(Card, Damage)>,
    /// Channels whose cards are damaged and cannot be rebuilt.
    apart: Vec<(ChannelId, Damage)>,
}

impl CardsRead {
    /// Takes in that the card of a channel is damaged: the channel itself says what is on it.
    fn rebuild(
        &mut self,
        channel_id: ChannelId,
        damage: Damage,
        store: &dyn Store,
    ) -> Result<(), EngineError> {
        match channels::load(channel_id, store) {
            Ok(warm) => {
                let last = warm.last.position;
                let card = Card { covers: last, ..warm.monitor.card() };
                self.take_in(&card, last);
                self.mended.push((card, damage));
            }
            Err(why) if why.is_damage() => self.apart.push((channel_id, *why)),
            Err(why) => return Err(why.error),
        }
        Ok(())
    }

    /// Takes in the card of a channel whose log ends at `last`.
    fn take_in(&mut self, card: &Card, last: u64) {
        self.cards.take_in(card);
        let is_stale = last > card.covers && !Bug::CardBelieved.is_planted();
        // A closed channel may have nothing left but an alarm that nobody has heard.
        let is_open_matter = card.has_undelivered || card.has_claims || card.is_closed;
        if is_stale {
            self.stale.push(card.channel_id);
        } else if is_open_matter && !card.is_archived {
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
    let store = logs.store(Stream::Chain);
    let (mut read, mut failure, mut damaged) = (CardsRead::default(), None, Vec::new());
    store.cards(&mut |stored| {
        let stored = stored.map_err(|error| Box::new(Damage::reported(error, DamagedPart::Card)));
        let Err(damage) = stored.and_then(|stored| take_card(&mut read, stored)) else { return };
        match damage.stream {
            Some(Stream::Channel(channel_id)) if damage.is_damage() => {
                damaged.push((channel_id, *damage));
            }
            Some(Stream::Channel(_) | Stream::Payments | Stream::Chain | Stream::Finished(_))
            | None => {
                failure = Some(damage.error);
            }
        }
    })?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    for (channel_id, damage) in damaged {
        read.rebuild(channel_id, damage, store)?;
    }
    Ok(read)
}

/// Takes one card in. Only of what is damaged in a channel's own card the channel is named.
fn take_card(read: &mut CardsRead, stored: StoredCard<'_>) -> Result<(), Box<Damage>> {
    let (part, position) = (DamagedPart::Card, None);
    let damage = |stream, error| Box::new(Damage { stream, part, position, error });
    let bytes = |source| damage(Some(stored.stream), EngineError::Bytes { what: "a card", source });
    match stored.stream {
        Stream::Channel(named) => {
            let card = wire::decode_card(stored.body).map_err(bytes)?;
            let found = card.channel_id;
            if found != named {
                return Err(damage(None, EngineError::Misplaced { named, found }));
            }
            read.take_in(&card, stored.last);
        }
        Stream::Chain => read.tip = Some(wire::decode_chain_tip(stored.body).map_err(bytes)?),
        Stream::Payments | Stream::Finished(_) => {}
    }
    Ok(())
}

/// Folds the payment book.
pub(crate) fn read_book(store: &dyn Store) -> Result<(Payments, Growth), EngineError> {
    let damaged = |position| move |source| EngineError::DamagedBook { position, source };
    let mut after = None;
    let mut payments = Payments::new();
    let mut growth = Growth::default();
    if let Some(Snapshot { at, body }) = store.latest(Stream::Payments)? {
        let state = wire::decode_book_state(&body).map_err(BookDamage::Bytes);
        let restored = state.and_then(|state| Payments::restore(state).map_err(BookDamage::Order));
        payments = restored.map_err(damaged(at.position))?;
        after = Some(at);
        growth = Growth::behind(body.len());
    }
    let mut failure = None;
    store.replay(Stream::Payments, after, &mut |lsn, body| {
        growth.add(body.len());
        let record = wire::decode_payment_record(body).map_err(BookDamage::Bytes);
        let step = record.and_then(|record| payments.apply(&record).map_err(BookDamage::Order));
        match step.map_err(damaged(lsn.position)) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        }
    })?;
    failure.map_or(Ok((payments, growth)), Err)
}

/// Compares what a book in a log of its own knows of the monitors' log with that log.
fn check_mark(logs: &mut Logs) -> Result<Option<BookMark>, EngineError> {
    if logs.is_one() {
        return Ok(None);
    }
    let what = "the card of the payment book";
    let mut read = Ok(None);
    logs.store(Stream::Payments).cards(&mut |stored| match stored {
        Ok(stored) if stored.stream == Stream::Payments => {
            let mark = wire::decode_book_mark(stored.body).map(Some);
            read = mark.map_err(|source| EngineError::Bytes { what, source });
        }
        Ok(_) => {}
        Err(error) => read = Err(error.into()),
    })?;
    let mark = read?;
    let Lsn { log, position: end } = logs.end()?;
    match mark {
        Some(BookMark { log: book, .. }) if book != log.0 => {
            Err(EngineError::BookOfAnotherNode { book: LogId(book), monitors: log })
        }
        Some(BookMark { position: seen, .. }) if seen > end => {
            Err(EngineError::BookFromTheFuture { seen, end })
        }
        Some(_) | None => Ok(mark),
    }
}

/// Draws the epoch of an outbox: random, so that no cursor of an earlier start is taken for one of
/// this start. The standard library seeds its hash maps with it.
fn epoch() -> u64 {
    RandomState::new().build_hasher().finish()
}
