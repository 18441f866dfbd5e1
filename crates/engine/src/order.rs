//! The one order: check → append → commit → sync → release → act → acknowledge.
//!
//! [`Driver::submit`] is the only place where it is written. A batch is cut into waves, so that in
//! each wave a machine gets at most one record: a wave is checked whole, appended whole and then
//! committed, so nothing refused is ever written and nothing written is refused on replay. With two
//! logs the books' half is durable before the monitors' log hears of the rest (rule R1).

use std::collections::btree_map::Entry as BTreeEntry;
use std::collections::{BTreeMap, BTreeSet};

use lastword_monitor::Monitor;
use lastword_ports::{Frame, Gated, Lsn, Stream};
use lastword_reload::{Action, Plan, Planned, Reason, Scope, View, plan};
use lastword_types::{
    Card, ChainTip, ChannelId, Effect, Event, MonitorRecord, MonitorUpdate, PaymentId,
    PaymentRecord, UpdateId, UpdateStep,
};
use lastword_wire as wire;

use crate::channels::{Channels, Warm};
use crate::driver::Driver;
use crate::error::EngineError;
use crate::growth::Growth;
use crate::logs::LogKind;
use crate::ports::Boundary;

/// Rounds in which a plan's own records may call for another plan. Each round either records, tells
/// or releases something for good, so a handful is enough; the bound turns a defect into an error.
const ROUNDS_MAX: u32 = 64;

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

/// What a batch set free: acted on only when durable.
pub(crate) type Effects = Vec<(ChannelId, Effect)>;

/// What was committed and is not yet acted on, because the store failed before its end of the
/// order. The same input again says nothing new, so it would be lost until the next start.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    effects: Effects,
    scope: Option<Scope>,
}

/// What was checked, appended and committed, and waits for its sync.
#[derive(Default)]
struct Staged {
    effects: Effects,
    tip: Option<ChainTip>,
    has_releases: bool,
}

impl Driver {
    /// Takes a batch through the whole order, and every plan that follows from it.
    pub(crate) fn submit(&mut self, batch: Batch) -> Result<(), EngineError> {
        self.submit_each(vec![batch], |_, batch| Ok(batch)).pop().unwrap_or(Ok(()))
    }

    /// Takes several inputs through the whole order with one sync for all of them, and returns what
    /// became of each. `batch` says what an input brings when its turn has come; an input that is
    /// refused, there or by a machine, changes nothing for the others.
    pub(crate) fn submit_each<I>(
        &mut self,
        inputs: Vec<I>,
        batch: impl Fn(&Self, I) -> Result<Batch, EngineError>,
    ) -> Vec<Result<(), EngineError>> {
        let effects = core::mem::take(&mut self.unsettled.effects);
        let mut staged = Staged { effects, ..Staged::default() };
        let mut results: Vec<Result<(), EngineError>> = inputs
            .into_iter()
            .map(|input| batch(self, input).and_then(|batch| self.stage(batch, &mut staged)))
            .collect();
        let is_any_in = results.iter().any(Result::is_ok);
        if !is_any_in && staged.effects.is_empty() && self.unsettled.scope.is_none() {
            return results;
        }
        // What was committed before a refusal stands, and is acted on.
        let settled = match self.seal(staged) {
            Ok(gated) => self.settle(gated, None),
            Err(error) => {
                if let Err(later) = self.catch_up() {
                    tracing::warn!(error = %later, "what was committed has to wait for the store");
                }
                Err(error)
            }
        };
        if let Err(error) = settled {
            tracing::debug!(%error, is_any_in, "a sync or what follows from it failed");
            for result in results.iter_mut().filter(|result| result.is_ok()) {
                *result = Err(error.copy());
            }
        } else {
            self.tend();
        }
        results
    }

    /// Acts on what was committed before a store failed.
    pub(crate) fn catch_up(&mut self) -> Result<(), EngineError> {
        if self.unsettled.effects.is_empty() && self.unsettled.scope.is_none() {
            return Ok(());
        }
        let gated = self.write(Batch::default())?;
        self.settle(gated, None)
    }

    /// Acts on effects and plans until there is nothing new.
    pub(crate) fn settle(
        &mut self,
        gated: Gated<Effects>,
        first: Option<Scope>,
    ) -> Result<(), EngineError> {
        let effects = gated.release(self.logs.proofs()).map_err(|_| EngineError::NotDurable)?;
        self.logs.observe(Boundary::Release);
        let mut scope = self.act(effects);
        for more in first.into_iter().chain(self.unsettled.scope.take()) {
            scope = merge(scope, more);
        }
        for _ in 0..ROUNDS_MAX {
            if is_empty(&scope) {
                return Ok(());
            }
            self.warm_for(&scope);
            let plan = self.plan(&scope);
            let Sorted { entries, tell, has_replays } = self.sort_actions(plan);
            let is_quiet = entries.is_empty();
            let gated = match self.write(Batch { entries, tip: None }) {
                Ok(gated) => gated,
                Err(error) => {
                    self.unsettled.scope = Some(scope);
                    return Err(error);
                }
            };
            for (payment_id, events) in tell {
                self.outbox.set(payment_id, events);
            }
            if is_quiet {
                return Ok(());
            }
            let effects = gated.release(self.logs.proofs()).map_err(|_| EngineError::NotDurable)?;
            self.logs.observe(Boundary::Release);
            let again = match scope {
                // What was in flight is durable now, and the node has to learn of it.
                Scope::All if has_replays => Scope::All,
                Scope::All => {
                    Scope::Changed { payments: BTreeSet::new(), forwards: BTreeSet::new() }
                }
                Scope::Changed { payments, .. } => {
                    Scope::Changed { payments, forwards: BTreeSet::new() }
                }
            };
            scope = merge(self.act(effects), again);
        }
        Err(EngineError::Restless)
    }

    pub(crate) fn plan(&self, scope: &Scope) -> Plan {
        plan(scope, &self.view())
    }

    pub(crate) fn view(&self) -> View<'_> {
        View {
            ledgers: &self.channels,
            payments: &self.payments,
            forwards: &*self.forwards,
            channels: &*self.channel_book,
        }
    }

    /// Check, append, commit, sync. What may become visible comes back gated.
    pub(crate) fn write(&mut self, batch: Batch) -> Result<Gated<Effects>, EngineError> {
        let effects = core::mem::take(&mut self.unsettled.effects);
        let mut staged = Staged { effects, ..Staged::default() };
        match self.stage(batch, &mut staged) {
            Ok(()) => self.seal(staged),
            Err(error) => {
                self.unsettled.effects = staged.effects;
                Err(error)
            }
        }
    }

    /// Check, append, commit. `staged` says also of a failure what was committed before it.
    fn stage(&mut self, batch: Batch, staged: &mut Staged) -> Result<(), EngineError> {
        let has_releases = batch
            .entries
            .iter()
            .any(|entry| matches!(entry, Entry::Monitor(_, MonitorRecord::Release(_))));
        for wave in waves(batch.entries) {
            self.write_wave(&wave, &mut staged.effects)?;
        }
        staged.has_releases |= has_releases;
        staged.tip = batch.tip.or(staged.tip.take());
        Ok(())
    }

    /// Sync, for everything that was staged. What may become visible comes back gated.
    fn seal(&mut self, staged: Staged) -> Result<Gated<Effects>, EngineError> {
        let Staged { effects, tip, has_releases } = staged;
        match self.make_durable(&effects, tip, has_releases) {
            Ok(monitors_end) => {
                let gated = Gated::new(effects, monitors_end);
                Ok(match self.books_end {
                    Some(books_end) => gated.and_after(books_end),
                    None => gated,
                })
            }
            Err(error) => {
                self.unsettled.effects = effects;
                Err(error)
            }
        }
    }

    /// Appends the cards and the tip, and syncs.
    fn make_durable(
        &mut self,
        effects: &Effects,
        tip: Option<ChainTip>,
        has_releases: bool,
    ) -> Result<Lsn, EngineError> {
        self.append_cards(effects, tip)?;
        let monitors_end = self.logs.end()?;
        self.logs.sync_all()?;
        if has_releases {
            self.logs.observe(Boundary::PaymentReleased);
        }
        self.compact_where_due(effects);
        Ok(monitors_end)
    }

    fn write_wave(&mut self, wave: &Wave, effects: &mut Effects) -> Result<(), EngineError> {
        for (channel_id, record) in &wave.monitors {
            if !matches!(record, MonitorRecord::Created(_)) {
                self.warm(*channel_id)?;
            }
        }
        // Check.
        let Checked { mut payment, born, accepted } = self.check_wave(wave)?;
        // Append: the books first, and durable before the monitors when they have their own log.
        let payment_body = payment.as_ref().map(|(record, _)| wire::encode_payment_record(record));
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
            self.append_payment(body)?;
            // The book's log has it, whatever becomes of the monitors' half.
            self.commit_payment(payment.take(), body.len());
            if !bodies.is_empty() {
                self.logs.sync(LogKind::Books)?;
            }
        }
        let last = self.append_wave(payment_body.as_deref(), &bodies, &cards)?;
        // Commit.
        self.commit_payment(payment, payment_body.as_ref().map_or(0, Vec::len));
        let mut sizes = bodies.iter().map(|(_, body)| body.len());
        for ((_, monitor), bytes) in born.into_iter().zip(&mut sizes) {
            let channel_id = monitor.state().parameters.channel_id;
            let mut growth = Growth::default();
            growth.add(bytes);
            self.channels.insert(channel_id, Warm { monitor, last, growth });
            effects.push((channel_id, Effect::CardChanged));
        }
        for ((channel_id, _, token), bytes) in accepted.into_iter().zip(sizes) {
            let warm = self.channels.get_mut(channel_id)?;
            warm.last = last;
            warm.growth.add(bytes);
            effects
                .extend(warm.monitor.commit(token).into_iter().map(|effect| (channel_id, effect)));
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

    /// Appends a record of the book to the log that is the books' alone.
    fn append_payment(&mut self, body: &[u8]) -> Result<(), EngineError> {
        let frame = Frame::Record { stream: Stream::Payments, body };
        self.books_end = Some(self.logs.append(LogKind::Books, &[frame])?);
        Ok(())
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
            PaymentRecord::Abandoned { .. }
            | PaymentRecord::Decided { .. }
            | PaymentRecord::Handled { .. }
            | PaymentRecord::Adopted { .. }
            | PaymentRecord::Dropped { .. }
            | PaymentRecord::EpochRaised { .. } => {}
        }
    }

    /// Appends one wave to the monitors' log, with the book's record where they share it, and
    /// returns the end of that log.
    fn append_wave(
        &mut self,
        payment: Option<&[u8]>,
        monitors: &[(ChannelId, Vec<u8>)],
        cards: &[(ChannelId, Vec<u8>)],
    ) -> Result<Lsn, EngineError> {
        let mut frames = Vec::with_capacity(monitors.len() + cards.len() + 1);
        let payment = payment.filter(|_| self.logs.is_one());
        if let Some(body) = payment {
            frames.push(Frame::Record { stream: Stream::Payments, body });
        }
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
        let last = self.logs.append(LogKind::Monitors, &frames)?;
        if payment.is_some() {
            self.books_end = Some(last);
        }
        Ok(last)
    }

    /// Appends the cards that changed, behind the records that changed them, and the tip.
    ///
    /// A crash between the two leaves a card that is older than a record of its channel; the start
    /// finds that by the position that a card covers, and reads the channel instead.
    fn append_cards(
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
    fn compact_where_due(&mut self, effects: &Effects) {
        let touched: BTreeSet<ChannelId> = effects.iter().map(|(id, _)| *id).collect();
        for channel_id in touched {
            let Ok(warm) = self.channels.get_mut(channel_id) else { continue };
            if !warm.growth.is_due() {
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
        let Some(at) = self.books_end else { return };
        let body = wire::encode_book_state(self.payments.state());
        match self.logs.compact(Stream::Payments, at, &body) {
            Ok(()) => self.book_growth = Growth::behind(body.len()),
            Err(error) => tracing::warn!(%error, "no snapshot of the book this time"),
        }
    }

    /// Acts on released effects and returns what has to be planned again.
    fn act(&mut self, effects: Effects) -> Scope {
        let (mut payments, mut forwards) = (BTreeSet::new(), BTreeSet::new());
        let mut claims = BTreeSet::new();
        for (channel_id, effect) in effects {
            match effect {
                Effect::LedgerChanged(key) => {
                    payments.extend(self.channels.payment_of(key));
                    if self.channels.is_forward(key) {
                        forwards.insert(key);
                    }
                    self.channels.recount(key);
                }
                Effect::ClaimsChanged => {
                    claims.insert(channel_id);
                }
                // The indexes follow a card when it is written.
                Effect::CardChanged => {}
                Effect::Alarm(alarm) => self.outbox.push_alarm(alarm),
            }
        }
        for channel_id in claims {
            self.refresh_claims(channel_id);
        }
        forwards.extend(self.channels.take_newly_on_chain());
        Scope::Changed { payments, forwards }
    }

    /// Splits a plan into what is written and what is told; advice for the node is kept for it.
    fn sort_actions(&mut self, plan: Plan) -> Sorted {
        let Sorted { mut entries, mut tell, mut has_replays } = Sorted::default();
        let mut rehearsed = Rehearsal::default();
        for planned in plan.actions {
            tracing::debug!(%planned, "planned");
            match planned.action {
                Action::Record(record) => entries.push(Entry::Payment(record)),
                Action::Tell { payment_id, events } => tell.push((payment_id, events)),
                Action::Release(release) => entries
                    .push(Entry::Monitor(release.htlc.channel_id, MonitorRecord::Release(release))),
                Action::ReplayUpdate(ref update) => match rehearsed.allow(&self.channels, update) {
                    Ok(()) => {
                        let record = MonitorRecord::Update(update.clone());
                        entries.push(Entry::Monitor(update.channel_id, record));
                        has_replays = true;
                    }
                    Err(error) => {
                        tracing::error!(%error, "an update that was in flight is refused");
                        self.advise(planned);
                    }
                },
                Action::MonitorBehind { channel_id, durable, .. } => {
                    entries.extend(self.data_loss(channel_id, durable));
                    self.advise(planned);
                }
                // It waits for what this very plan writes.
                Action::Wait { .. } if planned.reason == Reason::InFlight => {}
                Action::GiveUp(given_up) => entries.push(Entry::Monitor(
                    given_up.htlc.channel_id,
                    MonitorRecord::GivenUp(given_up),
                )),
                Action::NoteInboundOnChain { outbound: htlc, inbound: _ } => entries
                    .push(Entry::Monitor(htlc.channel_id, MonitorRecord::InboundOnChain { htlc })),
                Action::Wait { .. }
                | Action::Retry { .. }
                | Action::ClaimInbound { .. }
                | Action::FailInbound { .. }
                | Action::ReportUnknownForward { .. }
                | Action::MarkChannelClosed { .. }
                | Action::ManagerBehind { .. }
                | Action::UpdatesDurable { .. } => self.advise(planned),
            }
        }
        Sorted { entries, tell, has_replays }
    }

    fn advise(&mut self, planned: Planned) {
        if !self.advice.contains(&planned) {
            self.advice.push(planned);
        }
    }

    /// What makes sure that a commitment which may be revoked is never broadcast.
    fn data_loss(&self, channel_id: ChannelId, durable: UpdateId) -> Option<Entry> {
        let is_known = self.channels.get(channel_id).ok()?.monitor.state().data_loss;
        let update_id = durable.next().filter(|_| !is_known)?;
        let update = MonitorUpdate { channel_id, update_id, steps: vec![UpdateStep::DataLoss] };
        Some(Entry::Monitor(channel_id, MonitorRecord::Update(update)))
    }
}

/// A plan, sorted by what is done with it.
#[derive(Default)]
struct Sorted {
    /// What is written.
    entries: Vec<Entry>,
    /// What is told of each payment.
    tell: Vec<(PaymentId, Vec<Event>)>,
    /// Whether updates that were in flight are among what is written.
    has_replays: bool,
}

/// Monitors as they will be when updates are in: a plan may hold several of one channel, and one that
/// is refused must not stop the others.
#[derive(Default)]
struct Rehearsal(BTreeMap<ChannelId, Monitor>);

impl Rehearsal {
    fn allow(&mut self, channels: &Channels, update: &MonitorUpdate) -> Result<(), EngineError> {
        let channel_id = update.channel_id;
        let monitor = match self.0.entry(channel_id) {
            BTreeEntry::Occupied(known) => known.into_mut(),
            BTreeEntry::Vacant(place) => place.insert(channels.get(channel_id)?.monitor.clone()),
        };
        let record = MonitorRecord::Update(update.clone());
        let refused = |source| EngineError::Monitor { channel_id, source };
        monitor.apply(&record).map(|_| ()).map_err(refused)
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

fn is_empty(scope: &Scope) -> bool {
    match scope {
        Scope::All => false,
        Scope::Changed { payments, forwards } => payments.is_empty() && forwards.is_empty(),
    }
}

fn merge(one: Scope, other: Scope) -> Scope {
    match (one, other) {
        (Scope::All, _) | (_, Scope::All) => Scope::All,
        (
            Scope::Changed { mut payments, mut forwards },
            Scope::Changed { payments: p, forwards: f },
        ) => {
            payments.extend(p);
            forwards.extend(f);
            Scope::Changed { payments, forwards }
        }
    }
}
