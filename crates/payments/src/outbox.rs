//! [`Outbox`]: what waits to be told, payment by payment.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::ops::Bound;

use lastword_types::{Alarm, Bug, ChannelId, Cursor, Event, EventKind, PaymentId};

use crate::error::CursorError;

/// A volatile queue of events; the plan fills it again after each start and each change (rule R3).
///
/// The events of one payment come in the order of their kinds, one at a time: the next only when
/// the handler of the one before has returned well. A failing event delays only its own payment.
///
/// # Shape
///
/// At most one event in flight for each payment, and one alarm.
///
/// # Crash safety
///
/// Nothing of it is stored, and losing it loses nothing: [`set`](Self::set) is called again with
/// what the ledgers still have to tell.
#[derive(Debug, Clone, Default)]
pub struct Outbox {
    lanes: BTreeMap<PaymentId, Lane>,
    alarms: VecDeque<Alarm>,
    alarms_seen: BTreeSet<Alarm>,
    alarm_in_flight: Option<Alarm>,
    alarms_turn: Option<u64>,
    /// Who is next, each lane at most once and only while it can speak: something waits in it and
    /// nothing of it is in flight. A lane knows its turn, so that taking it back is cheap.
    turns: BTreeMap<u64, Turn>,
    turns_given: u64,
    /// What a reader was given and has not acknowledged, by position.
    read: BTreeMap<u64, Event>,
    /// Where that is for each payment, and for alarms: at most one of each.
    places: BTreeMap<Option<PaymentId>, u64>,
    positions_given: u64,
    epoch: u64,
}

/// The events of one payment.
#[derive(Debug, Clone, Default)]
struct Lane {
    /// By kind: the order in which they are told.
    waiting: BTreeMap<EventKind, Event>,
    in_flight: Option<InFlight>,
    turn: Option<u64>,
}

/// An event whose handler runs.
#[derive(Debug, Clone)]
struct InFlight {
    event: Event,
    /// Whether it is told again if its handler fails: what was set since may have dropped it.
    is_wanted: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Payment(PaymentId),
    Alarms,
}

impl Outbox {
    /// Returns an empty outbox.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns an empty outbox whose cursors belong to an epoch that no outbox had before.
    pub fn with_epoch(epoch: u64) -> Self {
        Self { epoch, ..Self::default() }
    }

    /// Returns the events behind a cursor, oldest first, for a reader who acknowledges them.
    ///
    /// What was read and not acknowledged comes again at its place; then what waits is taken as by
    /// [`next`](Self::next), and with no cursor, or one of another epoch, all of it comes. The next
    /// event of a payment comes when the one before is acknowledged.
    ///
    /// # Shape
    ///
    /// At most `events_max` events.
    pub fn read_after(
        &mut self,
        cursor: Option<Cursor>,
        events_max: usize,
    ) -> Vec<(Cursor, Event)> {
        let known = cursor.filter(|cursor| cursor.epoch == self.epoch);
        let after = known.map_or(0, |cursor| cursor.position);
        let behind = (Bound::Excluded(after), Bound::Unbounded);
        let again = self.read.range(behind).map(|(position, event)| (*position, event.clone()));
        let mut events: Vec<(u64, Event)> = again.take(events_max).collect();
        while events.len() < events_max {
            let Some(event) = self.next() else { break };
            self.positions_given += 1;
            self.read.insert(self.positions_given, event.clone());
            self.places.insert(event.key().map(|key| key.payment_id), self.positions_given);
            events.push((self.positions_given, event));
        }
        let epoch = self.epoch;
        let cursor = |position| Cursor { epoch, position };
        events.into_iter().map(|(position, event)| (cursor(position), event)).collect()
    }

    /// Returns the events that a reader acknowledges with a cursor: all that it was given up to that
    /// place and has not acknowledged before. Each then goes to [`handled`](Self::handled).
    ///
    /// # Errors
    ///
    /// [`CursorError`]: nothing is acknowledged.
    pub fn acknowledged(&self, cursor: Cursor) -> Result<Vec<Event>, CursorError> {
        if cursor.epoch != self.epoch {
            return Err(CursorError::OtherEpoch { cursor, epoch: self.epoch });
        }
        if cursor.position > self.positions_given {
            return Err(CursorError::NeverTold { cursor, last: self.positions_given });
        }
        Ok(self.read.range(..=cursor.position).map(|(_, event)| event.clone()).collect())
    }

    /// Says whether an event was given to somebody who has not returned from it.
    pub fn is_in_flight(&self, event: &Event) -> bool {
        match event.key() {
            None => self.alarm_in_flight.is_some_and(|alarm| *event == Event::Alarm(alarm)),
            Some(key) => self.lanes.get(&key.payment_id).is_some_and(|lane| {
                lane.in_flight.as_ref().is_some_and(|in_flight| in_flight.event == *event)
            }),
        }
    }

    /// Replaces what waits for a payment; an empty list drops it.
    ///
    /// An event whose handler runs is left alone: it does not wait a second time, and if its
    /// handler fails it is told again only if `events` names it.
    ///
    /// # Shape
    ///
    /// `events` are of this payment; they are put into the order of their kinds, each key once.
    /// Events of other payments and alarms have no place in it and are left out.
    pub fn set(&mut self, payment_id: PaymentId, events: Vec<Event>) {
        let lane = self.lanes.entry(payment_id).or_default();
        if !Bug::QueuedIsBelieved.is_planted() {
            lane.waiting.clear();
        }
        if let Some(in_flight) = &mut lane.in_flight {
            in_flight.is_wanted = false;
        }
        for event in events {
            let Some(key) = event.key().filter(|key| key.payment_id == payment_id) else {
                continue;
            };
            match &mut lane.in_flight {
                Some(running) if running.event.key() == Some(key) => running.is_wanted = true,
                Some(_) | None => {
                    lane.waiting.entry(key.kind).or_insert(event);
                }
            }
        }
        self.give_turn(payment_id);
    }

    /// Queues an alarm; the same alarm is told only once.
    pub fn push_alarm(&mut self, alarm: Alarm) {
        if self.alarms_seen.insert(alarm) {
            self.alarms.push_back(alarm);
            self.give_turn_to_alarms();
        }
    }

    /// Takes the next event and marks it as in flight.
    ///
    /// Every event that is taken comes back by [`handled`](Self::handled) or
    /// [`failed`](Self::failed).
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator would invite `for` loops that never give the events back"
    )]
    pub fn next(&mut self) -> Option<Event> {
        let (_, turn) = self.turns.pop_first()?;
        match turn {
            Turn::Payment(payment_id) => {
                let lane = self.lanes.get_mut(&payment_id)?;
                lane.turn = None;
                let (_, event) = if Bug::LastWordFirst.is_planted() {
                    lane.waiting.pop_last()?
                } else {
                    lane.waiting.pop_first()?
                };
                lane.in_flight = Some(InFlight { event: event.clone(), is_wanted: true });
                Some(event)
            }
            Turn::Alarms => {
                self.alarms_turn = None;
                let alarm = self.alarms.pop_front()?;
                self.alarm_in_flight = Some(alarm);
                Some(Event::Alarm(alarm))
            }
        }
    }

    /// Notes that the handler of an event returned well.
    ///
    /// An event that is not in flight is ignored.
    pub fn handled(&mut self, event: &Event) {
        self.take_in_flight(event);
        self.give_turn_after(event);
    }

    /// Notes that the handler of an event failed: it comes again after all others had their turn.
    ///
    /// An event that is not in flight is ignored.
    pub fn failed(&mut self, event: &Event) {
        if let Some(in_flight) = self.take_in_flight(event)
            && in_flight.is_wanted
        {
            match (in_flight.event, event.key()) {
                (Event::Alarm(alarm), _) => self.alarms.push_back(alarm),
                (again, Some(key)) => {
                    let lane = self.lanes.entry(key.payment_id).or_default();
                    lane.waiting.entry(key.kind).or_insert(again);
                }
                (_, None) => {}
            }
        }
        self.give_turn_after(event);
    }

    /// Says whether an event that waits, or whose handler runs, names a channel.
    pub fn names(&self, channel_id: ChannelId) -> bool {
        let alarms = self.alarms.iter().chain(&self.alarm_in_flight);
        let mut events = self.lanes.values().flat_map(|lane| {
            let in_flight = lane.in_flight.as_ref().map(|running| &running.event);
            lane.waiting.values().chain(in_flight)
        });
        alarms.into_iter().any(|alarm| alarm.channel_id() == channel_id)
            || events.any(|event| event.channel_id() == Some(channel_id))
    }

    /// Says whether nothing waits and no handler runs.
    pub fn is_idle(&self) -> bool {
        self.turns.is_empty() && self.lanes.is_empty() && self.alarm_in_flight.is_none()
    }

    fn take_in_flight(&mut self, event: &Event) -> Option<InFlight> {
        let taken = match event.key() {
            None => {
                let alarm = self.alarm_in_flight.take_if(|alarm| *event == Event::Alarm(*alarm))?;
                InFlight { event: Event::Alarm(alarm), is_wanted: true }
            }
            Some(key) => {
                let lane = self.lanes.get_mut(&key.payment_id)?;
                lane.in_flight.take_if(|in_flight| in_flight.event.key() == Some(key))?
            }
        };
        let whose = event.key().map(|key| key.payment_id);
        if let Some(position) = self.places.remove(&whose) {
            self.read.remove(&position);
        }
        Some(taken)
    }

    fn give_turn_after(&mut self, event: &Event) {
        match event.key() {
            None => self.give_turn_to_alarms(),
            Some(key) => self.give_turn(key.payment_id),
        }
    }

    /// Keeps the promise of `turns` for one payment.
    fn give_turn(&mut self, payment_id: PaymentId) {
        let Some(lane) = self.lanes.get_mut(&payment_id) else {
            return;
        };
        let can_speak = lane.in_flight.is_none() && !lane.waiting.is_empty();
        match lane.turn {
            None if can_speak => {
                lane.turn = Some(self.turns_given);
                self.turns.insert(self.turns_given, Turn::Payment(payment_id));
                self.turns_given += 1;
            }
            Some(turn) if !can_speak => {
                lane.turn = None;
                self.turns.remove(&turn);
            }
            None | Some(_) => {}
        }
        if lane.in_flight.is_none() && lane.waiting.is_empty() {
            self.lanes.remove(&payment_id);
        }
    }

    fn give_turn_to_alarms(&mut self) {
        let can_speak = self.alarm_in_flight.is_none() && !self.alarms.is_empty();
        if can_speak && self.alarms_turn.is_none() {
            self.alarms_turn = Some(self.turns_given);
            self.turns.insert(self.turns_given, Turn::Alarms);
            self.turns_given += 1;
        }
    }
}
