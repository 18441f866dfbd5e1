//! The one order: check → append → commit → sync → release → act → acknowledge.
//!
//! It is written here and nowhere else; `stage.rs` has its first three steps in detail, `act.rs` its
//! sixth. Whoever calls may wait for the disk or not: what was committed is put behind a gate in
//! either case, and gates open in their order, when the proof is there. A caller who waits has the
//! sync done at once; for one who does not, it completes later (`late.rs`).

use std::collections::BTreeSet;

use lastword_ports::Gated;
use lastword_reload::{Plan, Planned, Scope, View, plan};
use lastword_types::{ChannelId, Effect, Event, PaymentId, UpdateId};

use crate::act::Sorted;
use crate::driver::Driver;
use crate::error::EngineError;
use crate::late::Ticket;
use crate::ports::Boundary;
use crate::stage::{Batch, Staged};

/// Rounds in which a plan's own records may call for another plan. Each round either records, tells
/// or releases something for good, so a handful is enough; the bound turns a defect into an error.
const ROUNDS_MAX: u32 = 64;

/// What a batch set free: acted on only when durable.
pub(crate) type Effects = Vec<(ChannelId, Effect)>;

/// What was committed and is not yet acted on, because the store failed before its end of the
/// order. The same input again says nothing new, so it would be lost until the next start.
#[derive(Debug, Default)]
pub(crate) struct Unsettled {
    pub(crate) staged: Staged,
    scope: Option<Scope>,
}

/// What else happens once something is durable, besides its effects.
#[derive(Debug, Default)]
pub(crate) struct Following {
    tell: Vec<(PaymentId, Vec<Event>)>,
    advice: Vec<Planned>,
    again: Option<Scope>,
    /// Nothing was written: the gate is that of what the plan saw.
    is_quiet: bool,
    pub(crate) completed: Vec<Ticket>,
}

/// Machines are ahead of the disk by this; what it sets free waits for its sync and for everything
/// before it.
#[derive(Debug)]
pub(crate) struct InFlight {
    gated: Gated<(Effects, Following)>,
    pub(crate) has_releases: bool,
    /// How many callers wait for it.
    pub(crate) tickets: usize,
    pub(crate) channels: BTreeSet<ChannelId>,
    pub(crate) updates: Vec<(ChannelId, UpdateId)>,
}

/// Who waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// The caller: every sync is done on the way.
    AtOnce,
    /// Nobody: syncs complete later, elsewhere.
    Late,
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
        let (mut results, staged) = self.take_in(inputs, batch);
        let is_any_in = results.iter().any(Result::is_ok);
        if !is_any_in && staged.effects.is_empty() && self.unsettled.scope.is_none() {
            return results;
        }
        // What was committed before a refusal stands, and is acted on.
        let settled = match self.seal(staged) {
            Ok(()) => self.settle(None),
            Err(error) => {
                if let Err(later) = self.catch_up() {
                    tracing::warn!(error = %later, "what was committed has to wait for the store");
                }
                Err(error)
            }
        };
        if let Err(error) = settled {
            tracing::debug!(%error, is_any_in, "a sync or what follows from it failed");
            fail_all(&mut results, &error);
        } else {
            self.tend();
            self.cool_quiet();
        }
        results
    }

    /// Takes several inputs as far as the sync, which is somebody else's: what they set free is held
    /// until [`completed`](Self::completed). Each that is in gets its ticket.
    pub(crate) fn hold_each<I>(
        &mut self,
        inputs: Vec<I>,
        batch: impl Fn(&Self, I) -> Result<Batch, EngineError>,
    ) -> Vec<Result<Ticket, EngineError>> {
        let (mut results, staged) = self.take_in(inputs, batch);
        let tickets: Vec<Ticket> = results.iter().map(|_| self.draw_ticket()).collect();
        let is_in = |(ticket, result): (&Ticket, &Result<(), EngineError>)| {
            result.is_ok().then_some(*ticket)
        };
        let completed: Vec<Ticket> = tickets.iter().zip(&results).filter_map(is_in).collect();
        if !completed.is_empty() || !staged.effects.is_empty() {
            let following = Following { completed, ..Following::default() };
            if let Err(error) = self.hold(staged, following) {
                fail_all(&mut results, &error);
            }
        }
        self.cool_quiet();
        results.into_iter().zip(tickets).map(|(result, ticket)| result.map(|()| ticket)).collect()
    }

    /// Check, append, commit, for each of several inputs.
    fn take_in<I>(
        &mut self,
        inputs: Vec<I>,
        batch: impl Fn(&Self, I) -> Result<Batch, EngineError>,
    ) -> (Vec<Result<(), EngineError>>, Staged) {
        let mut staged = core::mem::take(&mut self.unsettled.staged);
        let results = inputs
            .into_iter()
            .map(|input| batch(self, input).and_then(|batch| self.stage_batch(batch, &mut staged)))
            .collect();
        (results, staged)
    }

    /// Acts on what was committed before a store failed, and on what is in flight.
    pub(crate) fn catch_up(&mut self) -> Result<(), EngineError> {
        let is_settled = self.unsettled.staged.effects.is_empty() && self.unsettled.scope.is_none();
        if is_settled && self.in_flight.is_empty() {
            return Ok(());
        }
        let caught_up = self.write(Batch::default()).and_then(|()| self.settle(None));
        if caught_up.is_err() {
            // A full disk must not let a thief go.
            self.refresh_due_claims();
        }
        caught_up
    }

    /// Acts on what is durable and plans until there is nothing new, with a sync for each plan.
    pub(crate) fn settle(&mut self, first: Option<Scope>) -> Result<(), EngineError> {
        self.advance(first, Pace::AtOnce)
    }

    /// Acts on what has become durable, and plans. What the plans write is in flight when this
    /// returns, and goes on from here when that is durable.
    pub(crate) fn completed(&mut self) -> Result<(), EngineError> {
        let advanced = self.advance(None, Pace::Late);
        self.cool_quiet();
        advanced
    }

    /// Release, act, and the order again for what a plan writes.
    ///
    /// A plan sees machines that may be ahead of the disk. What it tells and advises is held behind
    /// everything that it saw, and what it writes lies behind that in the same log: no crash takes
    /// the cause and leaves the consequence. Two logs have no such order, so that a plan that writes
    /// has everything synced first, and is made again.
    fn advance(&mut self, first: Option<Scope>, pace: Pace) -> Result<(), EngineError> {
        let mut scope = self.open_gates();
        if self.is_starting {
            // What a monitor would say that is not read yet may change every word; the plan over
            // everything comes when all are.
            return Ok(());
        }
        for more in first.into_iter().chain(self.unsettled.scope.take()) {
            scope = scope.and(more);
        }
        for _ in 0..ROUNDS_MAX {
            if pace == Pace::AtOnce && !self.in_flight.is_empty() {
                self.unsettled.scope = Some(scope);
                return Err(EngineError::NotDurable);
            }
            if scope.is_empty() {
                return Ok(());
            }
            self.warm_for(&scope);
            let plan = self.plan(&scope);
            let sorted = self.sort_actions(plan);
            let writes = !sorted.entries.is_empty();
            if writes && !self.in_flight.is_empty() && !self.logs.is_one() {
                if let Err(error) = self.logs.sync_all() {
                    self.unsettled.scope = Some(scope);
                    return Err(error.into());
                }
                scope = self.open_gates().and(scope);
                continue;
            }
            let written = self.follow_plan(sorted, &scope).and_then(|()| match pace {
                Pace::AtOnce => Ok(self.logs.sync_all()?),
                Pace::Late => Ok(()),
            });
            if let Err(error) = written {
                self.unsettled.scope = Some(scope);
                return Err(error);
            }
            scope = self.open_gates();
        }
        Err(EngineError::Restless)
    }

    /// Check, append, commit what a plan says is written, and hold what it says is told.
    fn follow_plan(&mut self, sorted: Sorted, scope: &Scope) -> Result<(), EngineError> {
        let Sorted { entries, tell, advice, has_replays } = sorted;
        let is_quiet = entries.is_empty();
        let again = match scope {
            _ if is_quiet => None,
            // What was in flight is durable then, and the node has to learn of it.
            Scope::All if has_replays => Some(Scope::All),
            Scope::All => None,
            Scope::Changed { payments, .. } => Some(Scope::Changed {
                payments: payments.clone(),
                forwards: BTreeSet::new(),
                received: BTreeSet::new(),
            }),
        };
        let following = Following { tell, advice, again, is_quiet, completed: Vec::new() };
        let staged = self.stage_alone(Batch { entries, tip: None })?;
        self.hold(staged, following)
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

    /// Check, append, commit, sync. What may become visible is held until [`settle`](Self::settle).
    pub(crate) fn write(&mut self, batch: Batch) -> Result<(), EngineError> {
        let staged = self.stage_alone(batch)?;
        self.seal(staged)
    }

    /// Sync, for everything that was staged.
    fn seal(&mut self, staged: Staged) -> Result<(), EngineError> {
        self.hold(staged, Following::default())?;
        Ok(self.logs.sync_all()?)
    }

    /// Appends the cards and the tip, and puts what was staged behind the gate of its place.
    fn hold(&mut self, staged: Staged, following: Following) -> Result<(), EngineError> {
        let held = self.append_cards(&staged.effects, staged.tip);
        match held.and_then(|()| Ok(self.logs.end()?)) {
            Ok(monitors_end) => {
                let Staged { effects, tip: _, has_releases, channels, updates } = staged;
                let tickets = following.completed.len();
                let gated = Gated::new((effects, following), monitors_end);
                let gated = match self.books_end {
                    Some(books_end) => gated.and_after(books_end),
                    None => gated,
                };
                let held = InFlight { gated, has_releases, tickets, channels, updates };
                self.in_flight.push_back(held);
                Ok(())
            }
            Err(error) => {
                // A later tip comes with its own block.
                self.unsettled.staged = Staged { tip: None, ..staged };
                Err(error)
            }
        }
    }

    /// Releases what is durable, in the order in which it was staged, and acts on it. Returns what
    /// has to be planned again.
    fn open_gates(&mut self) -> Scope {
        let mut scope = Scope::nothing();
        while let Some(held) = self.in_flight.pop_front() {
            match held.gated.release(self.logs.proofs()) {
                Ok((effects, following)) => {
                    if held.has_releases {
                        self.logs.observe(Boundary::PaymentReleased);
                    }
                    scope = scope.and(self.let_out(effects, following));
                }
                Err(gated) => {
                    self.in_flight.push_front(InFlight { gated, ..held });
                    break;
                }
            }
        }
        self.refresh_due_claims();
        scope
    }

    fn let_out(&mut self, effects: Effects, following: Following) -> Scope {
        let Following { tell, advice, again, is_quiet, completed } = following;
        self.compact_where_due(&effects);
        for (payment_id, events) in tell {
            self.outbox.set(payment_id, events);
        }
        for planned in advice {
            self.advise(planned);
        }
        if !is_quiet {
            self.logs.observe(Boundary::Release);
        }
        self.completed.extend(completed);
        let scope = self.act(effects);
        again.into_iter().fold(scope, Scope::and)
    }

    /// Asks for the claims of the channels that changed. Where a later record of a channel is in
    /// flight, its machine may want what is not durable yet, its own commitment broadcast above all:
    /// then its claims wait. Not behind a sync that failed, for it may be long until the next start;
    /// of a channel that is spent, what is wanted is a confirmed output.
    fn refresh_due_claims(&mut self) {
        let due = core::mem::take(&mut self.claims_due);
        for channel_id in due {
            let is_ahead = self.in_flight.iter().any(|later| later.channels.contains(&channel_id))
                || self.unsettled.staged.channels.contains(&channel_id);
            let is_spent = || {
                let warm = self.channels.get(channel_id);
                warm.is_ok_and(|warm| warm.monitor.state().funding_spend.is_some())
            };
            if !is_ahead || (self.logs.is_poisoned() && is_spent()) {
                self.refresh_claims(channel_id);
            } else {
                self.claims_due.insert(channel_id);
            }
        }
    }
}

/// Fails what shared a sync that failed.
fn fail_all(results: &mut [Result<(), EngineError>], error: &EngineError) {
    for result in results.iter_mut().filter(|result| result.is_ok()) {
        *result = Err(error.copy());
    }
}
