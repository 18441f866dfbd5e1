//! [`Driver`]: the synchronous core that owns the machines and takes every input through the one
//! order.

use std::collections::{BTreeSet, VecDeque};

use lastword_chain::Tracker;
use lastword_claims::Claims;
use lastword_monitor::Monitor;
use lastword_payments::{Outbox, Payments};
use lastword_ports::{
    BlockSource, Broadcaster, ChannelBook, ChannelSigner, CoinSource, FeeSource, ForwardBook, Lsn,
    PaymentBook, PaymentView, Stream,
};
use lastword_reload::{Action, Plan, Planned, Scope, View, plan};
use lastword_types::{
    Balances, BlockHeight, BlockRef, BookEntry, Bug, ChannelId, Cursor, Event, EventKey, EventKind,
    Intent, MonitorRecord, MonitorUpdate, NewChannel, PaymentId, PaymentRecord, UpdateId,
};

use lastword_wire as wire;

use crate::apart::Apart;
use crate::channels::{self, Channels};
use crate::damage::Damage;
use crate::error::EngineError;
use crate::finished::Finished;
use crate::growth::Growth;
use crate::handled::WithHandled;
use crate::late::Ticket;
use crate::logs::Logs;
use crate::order::{InFlight, Unsettled};
use crate::pay::check_parts;
use crate::ports::Boundary;
use crate::stage::{Batch, Entry};
use crate::tend::Waiting;

/// The synchronous core of the engine.
///
/// # Shape
///
/// Single-threaded: each call takes its input through the whole order (check, append, commit, sync,
/// release, act, acknowledge) before it returns. [`Engine`](crate::Engine) puts it on a thread.
///
/// # Crash safety
///
/// May be dropped, or its process killed, at any instruction. [`Driver::start`] on the same stores
/// goes on from what survived: the payment book's log may come back at any older age, or empty.
pub struct Driver {
    pub(crate) logs: Logs,
    pub(crate) channels: Channels,
    pub(crate) payments: Payments,
    pub(crate) outbox: Outbox,
    pub(crate) claims: Claims,
    pub(crate) tracker: Tracker,
    pub(crate) source: Box<dyn BlockSource>,
    pub(crate) broadcaster: Box<dyn Broadcaster>,
    pub(crate) signer: Box<dyn ChannelSigner>,
    pub(crate) coins: Box<dyn CoinSource>,
    pub(crate) fees: Box<dyn FeeSource>,
    pub(crate) forwards: Box<dyn ForwardBook + Send>,
    pub(crate) channel_book: Box<dyn ChannelBook + Send>,
    pub(crate) advice: Vec<Planned>,
    /// Channels that are, or were, set apart.
    pub(crate) apart: Apart,
    /// Cards that the start had to rebuild.
    pub(crate) mended: Vec<Damage>,
    pub(crate) books_end: Option<Lsn>,
    pub(crate) book_growth: Growth,
    /// Payments that may leave the book.
    pub(crate) finished: Finished,
    pub(crate) unsettled: Unsettled,
    /// What was committed and waits for a sync, in its order.
    pub(crate) in_flight: VecDeque<InFlight>,
    /// Who staged what has become durable, and has not been told.
    pub(crate) completed: Vec<Ticket>,
    pub(crate) tickets_given: u64,
    /// What housekeeping could not do yet.
    pub(crate) waiting: Waiting,
    /// Channels whose claims may have changed, by what is durable.
    pub(crate) claims_due: BTreeSet<ChannelId>,
    /// When payments are given up that may be tried again until then.
    pub(crate) deadlines: BTreeSet<(BlockHeight, PaymentId)>,
    /// Whether monitors are still to be read that a plan may need: nothing is planned before.
    pub(crate) is_starting: bool,
}

impl core::fmt::Debug for Driver {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Driver").field("tip", &self.tip()).finish_non_exhaustive()
    }
}

impl Driver {
    /// Begins to watch a channel, born at the present [`tip`](Self::tip).
    ///
    /// # Crash safety
    ///
    /// Durable when it returns.
    ///
    /// # Errors
    ///
    /// [`EngineError::NotAtTip`] if a block came in between: the caller tries again with the new
    /// tip. [`EngineError::ChannelExists`], a refusal of the monitor, a failure of the store.
    /// Nothing was changed.
    pub fn open_channel(&mut self, new: NewChannel) -> Result<(), EngineError> {
        if new.birth != self.tip() {
            return Err(EngineError::NotAtTip(self.tip()));
        }
        let channel_id = new.parameters.channel_id;
        let record = MonitorRecord::Created(Box::new(new));
        // The first channel makes the tip durable: from it on every block has to be seen.
        let tip = Some(self.tracker.chain_tip());
        self.submit(Batch { entries: vec![Entry::Monitor(channel_id, record)], tip })
    }

    /// Applies updates of channels; several of one channel in their order.
    ///
    /// # Crash safety
    ///
    /// Durable when it returns `Ok`: that is the permission for the next message to the peer.
    ///
    /// # Errors
    ///
    /// A refusal names its channel; of the same channel, updates before the refused one stay.
    pub fn update(&mut self, updates: Vec<MonitorUpdate>) -> Result<(), EngineError> {
        self.warm_inbound(&updates);
        self.check_forwards(&updates)?;
        self.submit(updating(updates))
    }

    /// Does what several callers ask for with one sync for all of them, in their order, and returns
    /// what became of each: as if [`update`](Self::update) and
    /// [`send_payment`](Self::send_payment) had been called one after the other.
    ///
    /// # Shape
    ///
    /// As many results as requests, in the same order.
    ///
    /// # Crash safety
    ///
    /// As of each call alone. A request that is refused takes nothing from the others; a sync that
    /// fails, fails for all of them.
    #[must_use = "each result is the answer to one caller"]
    pub fn submit_requests(&mut self, requests: Vec<Request>) -> Vec<Result<(), EngineError>> {
        let payment_ids: Vec<Option<PaymentId>> =
            requests.iter().map(Request::payment_id).collect();
        self.warm_for_requests(&requests);
        let mut results = self.submit_each(requests, Self::batch);
        self.fail_unsent(&payment_ids, &mut results);
        results
    }

    /// Plans the payments whose sending failed half-way.
    pub(crate) fn fail_unsent<T>(
        &mut self,
        payment_ids: &[Option<PaymentId>],
        results: &mut [Result<T, EngineError>],
    ) {
        for (result, payment_id) in results.iter_mut().zip(payment_ids) {
            let (Err(error), Some(payment_id)) = (&*result, *payment_id) else { continue };
            if is_refused_unseen(error) || self.payments.payment(payment_id).is_none() {
                continue;
            }
            // The intent is in the book and its HTLCs are not in the ledgers: they were never sent.
            if let Err(error) = self.replan(payment_id) {
                *result = Err(error);
            }
        }
    }

    pub(crate) fn warm_for_requests(&mut self, requests: &[Request]) {
        for request in requests {
            match request {
                Request::Update(updates) => self.warm_inbound(updates),
                Request::Send { .. } => {}
            }
        }
    }

    /// Checks what can be checked before anything is written.
    pub(crate) fn batch(&self, request: Request) -> Result<Batch, EngineError> {
        let (intent, updates) = match request {
            Request::Update(updates) => {
                self.check_forwards(&updates)?;
                return Ok(updating(updates));
            }
            Request::Send { intent, updates } => (intent, updates),
        };
        let payment_id = intent.payment_id;
        let is_busy =
            self.channels.owes(payment_id) || self.payments.check_free(payment_id).is_err();
        if is_busy && !Bug::IdFreeTooEarly.is_planted() {
            return Err(EngineError::PaymentIdBusy(payment_id));
        }
        check_parts(&intent, &updates)?;
        self.check_new(&intent)?;
        let mut batch = updating(updates);
        batch.entries.insert(0, Entry::Payment(PaymentRecord::Intent(intent)));
        Ok(batch)
    }

    /// Returns what the book knows of a payment. One that is long over has left it
    /// ([`drop_finished`](Self::drop_finished)): [`payment_status`](Self::payment_status) knows.
    pub fn payment(&self, payment_id: PaymentId) -> Option<PaymentView<'_>> {
        self.payments.payment(payment_id)
    }

    /// Returns everything that the book remembers of a payment.
    pub fn book_entry(&self, payment_id: PaymentId) -> Option<BookEntry> {
        self.payments.state().payments.get(&payment_id).cloned()
    }

    /// Says whether some part of a payment waits for its release.
    pub fn owes(&self, payment_id: PaymentId) -> bool {
        self.channels.owes(payment_id)
    }

    /// Returns the monitor of a channel, reading it if it is not in memory.
    ///
    /// # Errors
    ///
    /// [`EngineError::UnknownChannel`], [`EngineError::Damaged`] or what damaged it.
    pub fn monitor(&mut self, channel_id: ChannelId) -> Result<&Monitor, EngineError> {
        // Whoever looks at all channels in turn must not have all of them in memory.
        self.cool_quiet();
        self.warm(channel_id)?;
        Ok(&self.channels.get(channel_id)?.monitor)
    }

    /// Returns the updates of a channel behind `have`, for a node that lost them
    /// ([`Action::ManagerBehind`]).
    ///
    /// # Errors
    ///
    /// [`EngineError::UpdatesCompacted`] if some of them are only in a snapshot: the node takes what
    /// it needs from the [`monitor`](Self::monitor). As `monitor`, and a failure of the store.
    pub fn updates_after(
        &mut self,
        channel_id: ChannelId,
        have: UpdateId,
    ) -> Result<Vec<MonitorUpdate>, EngineError> {
        let latest = self.monitor(channel_id)?.state().latest_update;
        let updates = channels::updates_after(
            channel_id,
            have,
            self.logs.store(Stream::Channel(channel_id)),
        )?;
        let first = updates.first().map_or(latest.next(), |first| Some(first.update_id));
        match first {
            Some(first) if have < latest && have.next() != Some(first) => {
                Err(EngineError::UpdatesCompacted { channel_id, first })
            }
            Some(_) | None => Ok(updates),
        }
    }

    /// Returns the bytes of a channel's last snapshot if it is archived: they can be restored and
    /// folded again.
    ///
    /// # Errors
    ///
    /// As [`monitor`](Self::monitor).
    pub fn archived(&mut self, channel_id: ChannelId) -> Result<Option<Vec<u8>>, EngineError> {
        if !self.channels.is_archived(channel_id) {
            return Ok(None);
        }
        let body = wire::encode_monitor_state(self.monitor(channel_id)?.state());
        self.channels.cool(channel_id);
        Ok(Some(body))
    }

    /// Returns whose the value of a channel is at the tip, part by part; together they are its
    /// funding output.
    ///
    /// # Errors
    ///
    /// As [`monitor`](Self::monitor).
    pub fn balances(&mut self, channel_id: ChannelId) -> Result<Balances, EngineError> {
        let tip = self.tip().height;
        Ok(self.monitor(channel_id)?.balances_at(tip))
    }

    /// Returns the channels whose bytes are damaged; each is set apart and the others go on.
    pub fn damaged(&self) -> Vec<ChannelId> {
        self.channels.damaged().collect()
    }

    /// Returns what is damaged of each of them, as it was met: the card, the snapshot or the record,
    /// and where.
    ///
    /// # Crash safety
    ///
    /// Nothing of it is decided, told, claimed or forgotten while it is set apart: what a payment, a
    /// forward or a received payment has there keeps it waiting. Bytes that are put back are read by
    /// the next start, and the first [`poll_chain`](Self::poll_chain) shows the channel every block
    /// that it missed. What is put back must be as new as what was lost.
    pub fn damage(&self) -> impl Iterator<Item = &Damage> {
        self.channels.damage()
    }

    /// Returns the damage that was mended by the start: cards, which were rebuilt from their
    /// channels.
    pub fn mended(&self) -> &[Damage] {
        &self.mended
    }

    /// Returns the best block that was followed.
    pub fn tip(&self) -> BlockRef {
        self.tracker.tip()
    }

    /// Takes the advice for the node out: forwards to settle, channels to close, payments that wait
    /// for a missing monitor.
    pub fn take_advice(&mut self) -> Vec<Planned> {
        core::mem::take(&mut self.advice)
    }

    /// Returns what a plan over everything says now, without doing it.
    pub fn explain(&mut self) -> Plan {
        self.warm_for(&Scope::All);
        self.plan(&Scope::All)
    }

    /// Returns the next event to tell, if one may be told.
    ///
    /// Events of one payment come one at a time: the next after
    /// [`event_returned`](Self::event_returned). After a sync has failed nothing is told any more:
    /// what is durable can only be learned by a new start.
    pub fn next_event(&mut self) -> Option<Event> {
        let event = if self.logs.is_poisoned() { None } else { self.outbox.next() };
        if let (true, Some(event)) = (Bug::DrainedEvent.is_planted(), &event) {
            self.event_returned(event, true).ok()?;
        }
        event
    }

    /// Returns the events behind a cursor, oldest first, for a consumer who reads instead of being
    /// called; see [`Outbox::read_after`]. Nothing after a sync has failed, as
    /// [`next_event`](Self::next_event).
    ///
    /// # Shape
    ///
    /// At most `events_max` events, each payment's in order; the next of a payment comes when the
    /// one before is acknowledged. What [`next_event`](Self::next_event) gave away is not read.
    pub fn read_after(
        &mut self,
        cursor: Option<Cursor>,
        events_max: usize,
    ) -> Vec<(Cursor, Event)> {
        if self.logs.is_poisoned() {
            return Vec::new();
        }
        self.outbox.read_after(cursor, events_max)
    }

    /// Takes note that a reader has handled everything that it was given up to a cursor. A place
    /// that was acknowledged before is no mistake.
    ///
    /// # Crash safety
    ///
    /// As [`event_returned`](Self::event_returned) for each event.
    ///
    /// # Errors
    ///
    /// [`EngineError::Cursor`] for a place where nothing was told, or of another start: nothing was
    /// acknowledged. A failure of the store: call again with the same cursor.
    pub fn acknowledge(&mut self, cursor: Cursor) -> Result<(), EngineError> {
        for event in self.outbox.acknowledged(cursor)? {
            self.event_returned(&event, true)?;
        }
        Ok(())
    }

    /// Says whether a sync has failed: nothing is told any more, and claims from durable facts go
    /// on, until a new start has read back what is really there.
    pub fn is_poisoned(&self) -> bool {
        self.logs.is_poisoned()
    }

    /// Says whether nothing is in flight, queued or being handled.
    pub fn is_idle(&self) -> bool {
        self.outbox.is_idle() && self.in_flight.is_empty()
    }

    /// Takes note that the user's handler returned from an event.
    ///
    /// With one log the handled event and the releases that follow from it are one append.
    ///
    /// # Errors
    ///
    /// [`EngineError::NeverTold`] for an event that nobody was given and the book does not hold as
    /// handled; nothing is changed. A failure of the store; the event stays in flight. Call again
    /// with the same event once the store works; after the next start it is told again.
    pub fn event_returned(&mut self, event: &Event, is_handled: bool) -> Result<(), EngineError> {
        if !self.outbox.is_in_flight(event) {
            return match event.key() {
                Some(_) if self.is_claim_told(event) => self.catch_up(),
                // Said again, because what followed from it could not be written the first time.
                Some(key) if self.payments.is_handled(key) => self.replan(key.payment_id),
                key => Err(EngineError::NeverTold(key)),
            };
        }
        self.logs.observe(Boundary::HandlerReturn);
        if !is_handled {
            self.outbox.failed(event);
            return Ok(());
        }
        self.wait_for_disk()?;
        let Some(key) = event.key() else {
            self.outbox.handled(event);
            self.tend();
            return Ok(());
        };
        if let Event::PaymentClaimed { parts, .. } = event {
            return self.claim_told(event, key, parts);
        }
        let record = PaymentRecord::Handled { key };
        if self.payments.check(&record).is_err() {
            // A restored book may have made the event pointless while the handler ran.
            self.outbox.handled(event);
            return self.replan(key.payment_id);
        }
        let mut entries = vec![Entry::Payment(record)];
        let scope = Scope::of_payment(key.payment_id);
        if key.kind == EventKind::Unknown && !self.logs.is_one() {
            // It is told once, so the ledgers have it before a book can be lost that has it.
            let entries = self.releases_after(key, &scope);
            self.write(Batch { entries, tip: None })?;
        }
        entries.extend(self.releases_after(key, &scope));
        self.write(Batch { entries, tip: None })?;
        self.outbox.handled(event);
        self.settle(None)?;
        self.replan(key.payment_id)?;
        self.tend();
        Ok(())
    }

    /// Returns what becomes due in the ledgers once an event counts as handled.
    pub(crate) fn releases_after(&self, key: EventKey, scope: &Scope) -> Vec<Entry> {
        let book = WithHandled { book: &self.payments, key };
        let view = View {
            ledgers: &self.channels,
            payments: &book,
            forwards: &*self.forwards,
            channels: &*self.channel_book,
        };
        plan(scope, &view)
            .actions
            .into_iter()
            .filter_map(|planned| match planned.action {
                Action::Release(release) => {
                    let record = MonitorRecord::Release(release);
                    Some(Entry::Monitor(release.htlc.channel_id, record))
                }
                Action::NoteUnknown { channel_id, payment_id, generation } => {
                    let record = MonitorRecord::ToldUnknown { payment_id, generation };
                    Some(Entry::Monitor(channel_id, record))
                }
                Action::Record(_)
                | Action::Tell { .. }
                | Action::GiveUp(_)
                | Action::Retry { .. }
                | Action::Wait { .. }
                | Action::ClaimInbound { .. }
                | Action::Claim(_)
                | Action::FulfillHtlc { .. }
                | Action::WaitForPart { .. }
                | Action::DecideInbound { .. }
                | Action::FailInbound { .. }
                | Action::NoteInboundOnChain { .. }
                | Action::ReportUnknownForward { .. }
                | Action::MarkChannelClosed { .. }
                | Action::ManagerBehind { .. }
                | Action::ReplayUpdate(_)
                | Action::UpdatesDurable { .. }
                | Action::MonitorBehind { .. } => None,
            })
            .collect()
    }

    pub(crate) fn replan(&mut self, payment_id: PaymentId) -> Result<(), EngineError> {
        self.replan_scope(Scope::of_payment(payment_id))
    }

    pub(crate) fn replan_scope(&mut self, scope: Scope) -> Result<(), EngineError> {
        self.write(Batch::default())?;
        self.settle(Some(scope))
    }

    pub(crate) fn warm(&mut self, channel_id: ChannelId) -> Result<(), EngineError> {
        let stream = Stream::Channel(channel_id);
        let warmed = self.channels.warm(channel_id, self.logs.store(stream));
        if warmed.is_err() && self.channels.is_damaged(channel_id) {
            self.note_apart(channel_id)?;
        }
        warmed
    }

    /// Reads every monitor that a plan over `scope` may ask for. One that cannot be read is set
    /// apart, and the plan makes its payments wait.
    pub(crate) fn warm_for(&mut self, scope: &Scope) {
        let mut wanted = BTreeSet::new();
        match scope {
            Scope::All => {
                self.payments.for_each_pending(&mut |view| wanted.extend(channels_of(view)));
                wanted.extend(self.channels.channels_of_undelivered());
                wanted.extend(self.channels.channels_of_owed());
                wanted.extend(self.channels.channels_of_forwards());
                // A node that is not where its monitor is learns how far (its channel may be quiet).
                let (channels, book) = (&self.channels, &self.channel_book);
                book.for_each_channel(&mut |entry| {
                    let channel_id = entry.channel_id;
                    let mut is_in_flight = false;
                    book.for_each_in_flight(channel_id, &mut |_| is_in_flight = true);
                    if is_in_flight || !channels.is_at(channel_id, entry.latest_update) {
                        wanted.insert(channel_id);
                    }
                });
            }
            Scope::Changed { payments, forwards, received } => {
                wanted.extend(received.iter().flat_map(|key| self.channels.claim_channels(*key)));
                wanted
                    .extend(forwards.iter().filter_map(|key| self.channels.inbound_channel(*key)));
                for payment_id in payments {
                    if let Some(view) = self.payments.payment(*payment_id) {
                        wanted.extend(channels_of(view));
                    }
                    wanted.extend(self.channels.channels_of(*payment_id));
                }
            }
        }
        for channel_id in wanted {
            if let Err(error) = self.warm(channel_id) {
                tracing::warn!(%channel_id, %error, "a channel that a payment needs is not there");
            }
        }
    }

    pub(crate) fn refresh_claims(&mut self, channel_id: ChannelId) {
        if let Ok(warm) = self.channels.get(channel_id) {
            self.claims.replace(channel_id, warm.monitor.claim_requests());
        }
    }
}

fn channels_of(view: PaymentView<'_>) -> impl Iterator<Item = ChannelId> {
    let parts = view.intent.parts.iter().map(|part| part.channel_id);
    parts.chain(view.intent.terms.earlier_channels.iter().copied())
}

/// Something that a node asks of the driver and that may share a sync with what others ask.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one call; a box would be one more allocation for each payment"
)]
#[derive(Debug, Clone)]
pub enum Request {
    /// See [`Driver::update`].
    Update(Vec<MonitorUpdate>),
    /// See [`Driver::send_payment`].
    Send {
        /// What is to be paid.
        intent: Intent,
        /// The updates that hold its HTLCs.
        updates: Vec<MonitorUpdate>,
    },
}

impl Request {
    pub(crate) fn payment_id(&self) -> Option<PaymentId> {
        match self {
            Self::Update(_) => None,
            Self::Send { intent, .. } => Some(intent.payment_id),
        }
    }
}

/// Says whether a payment was refused before the book or a monitor saw it.
fn is_refused_unseen(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::PaymentIdBusy(_)
            | EngineError::PartWithoutUpdate(_)
            | EngineError::SeveralUpdates(_)
            | EngineError::UnknownInbound { .. }
    )
}

fn updating(updates: Vec<MonitorUpdate>) -> Batch {
    let record =
        |update: MonitorUpdate| Entry::Monitor(update.channel_id, MonitorRecord::Update(update));
    Batch { entries: updates.into_iter().map(record).collect(), tip: None }
}
