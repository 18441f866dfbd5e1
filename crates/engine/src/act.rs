//! What a released effect and a plan's action do: the "act" of the one order.

use std::collections::btree_map::Entry as BTreeEntry;
use std::collections::{BTreeMap, BTreeSet};

use lastword_monitor::Monitor;
use lastword_reload::{Action, Plan, Planned, Reason, Scope};
use lastword_types::{
    ChannelId, Effect, Event, MonitorRecord, MonitorUpdate, PaymentId, UpdateId, UpdateStep,
};

use crate::channels::Channels;
use crate::driver::Driver;
use crate::error::EngineError;
use crate::order::Effects;
use crate::stage::Entry;

impl Driver {
    /// Acts on released effects and returns what has to be planned again.
    pub(crate) fn act(&mut self, effects: Effects) -> Scope {
        let (mut payments, mut forwards) = (BTreeSet::new(), BTreeSet::new());
        let mut received = BTreeSet::new();
        for (channel_id, effect) in effects {
            match effect {
                Effect::LedgerChanged(key) => {
                    payments.extend(self.channels.payment_of(key));
                    if self.channels.is_forward(key) {
                        forwards.insert(key);
                    }
                    forwards.extend(self.channels.forwards_of(key));
                    if self.channels.is_claimed(key) {
                        received.insert(key);
                    }
                    self.channels.recount(key);
                }
                Effect::ClaimsChanged => {
                    self.claims_due.insert(channel_id);
                }
                // The indexes follow a card when it is written.
                Effect::CardChanged => {}
                Effect::Alarm(alarm) => self.outbox.push_alarm(alarm),
            }
        }
        forwards.extend(self.channels.take_newly_on_chain());
        Scope::Changed { payments, forwards, received }
    }

    /// Splits a plan into what is written, what is told, and advice for the node.
    pub(crate) fn sort_actions(&self, plan: Plan) -> Sorted {
        let Sorted { mut entries, mut tell, mut advice, mut has_replays } = Sorted::default();
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
                        advice.push(planned);
                    }
                },
                Action::MonitorBehind { channel_id, durable, .. } => {
                    entries.extend(self.data_loss(channel_id, durable));
                    advice.push(planned);
                }
                // It waits for what this very plan writes.
                Action::Wait { .. } | Action::WaitForPart { .. }
                    if planned.reason == Reason::InFlight => {}
                Action::GiveUp(given_up) => entries.push(Entry::Monitor(
                    given_up.htlc.channel_id,
                    MonitorRecord::GivenUp(given_up),
                )),
                Action::NoteUnknown { channel_id, payment_id, generation } => {
                    entries.push(Entry::Monitor(
                        channel_id,
                        MonitorRecord::ToldUnknown { payment_id, generation },
                    ));
                }
                Action::NoteInboundOnChain { outbound: htlc, inbound: _ } => entries
                    .push(Entry::Monitor(htlc.channel_id, MonitorRecord::InboundOnChain { htlc })),
                Action::Claim(claim) => {
                    entries.push(Entry::Monitor(claim.channel_id, MonitorRecord::Claim(claim)));
                }
                Action::Wait { .. }
                | Action::WaitForPart { .. }
                | Action::FulfillHtlc { .. }
                | Action::DecideInbound { .. }
                | Action::Retry { .. }
                | Action::ClaimInbound { .. }
                | Action::FailInbound { .. }
                | Action::ReportUnknownForward { .. }
                | Action::MarkChannelClosed { .. }
                | Action::ManagerBehind { .. }
                | Action::UpdatesDurable { .. } => advice.push(planned),
            }
        }
        Sorted { entries, tell, advice, has_replays }
    }

    pub(crate) fn advise(&mut self, planned: Planned) {
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
pub(crate) struct Sorted {
    /// What is written.
    pub(crate) entries: Vec<Entry>,
    /// What is told of each payment.
    pub(crate) tell: Vec<(PaymentId, Vec<Event>)>,
    /// What the node has to do.
    pub(crate) advice: Vec<Planned>,
    /// Whether updates that were in flight are among what is written.
    pub(crate) has_replays: bool,
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
