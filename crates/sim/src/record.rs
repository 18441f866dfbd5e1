//! [`Told`]: what the user was told, in a record that the node never reads.

use std::collections::BTreeMap;

use lastword_types::{Event, EventKey, EventKind, Generation, PaymentId};

/// Every event that the user's handler was called with, in order.
#[derive(Debug, Default)]
pub struct Told {
    events: Vec<Event>,
}

/// What the user was told of one incarnation of a payment.
#[derive(Debug, Clone, Default)]
pub struct Story {
    /// How often a terminal event came.
    pub terminal_count: usize,
    /// The different terminal events.
    pub distinct_terminal: Vec<Event>,
    /// Events that came again under the same key with other fields.
    pub contradictions: usize,
}

impl Told {
    /// Notes one event.
    pub fn note(&mut self, event: &Event) {
        self.events.push(event.clone());
    }

    /// Returns how many events came.
    pub fn count(&self) -> usize {
        self.events.len()
    }

    /// Returns how many of them were no alarms; an alarm comes again at every start, as long as its
    /// cause is there.
    pub fn words(&self) -> usize {
        self.events.iter().filter(|event| !matches!(event, Event::Alarm(_))).count()
    }

    /// Returns every event, in order.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Returns what was told of each incarnation of each payment.
    pub fn stories(&self) -> BTreeMap<(PaymentId, Generation), Story> {
        let mut stories: BTreeMap<(PaymentId, Generation), Story> = BTreeMap::new();
        let mut first: BTreeMap<EventKey, &Event> = BTreeMap::new();
        for event in &self.events {
            let Some(key) = event.key() else { continue };
            if key.kind == EventKind::Claimed {
                continue;
            }
            let story = stories.entry((key.payment_id, key.generation)).or_default();
            if *first.entry(key).or_insert(event) != event {
                story.contradictions += 1;
            }
            if key.kind.is_terminal() {
                story.terminal_count += 1;
                if !story.distinct_terminal.contains(event) {
                    story.distinct_terminal.push(event.clone());
                }
            }
        }
        stories
    }

    /// Returns what was told of received payments: the different events, each with how often it came.
    pub fn received(&self) -> BTreeMap<EventKey, Vec<(Event, usize)>> {
        let mut received: BTreeMap<EventKey, Vec<(Event, usize)>> = BTreeMap::new();
        for event in &self.events {
            let Some(key) = event.key().filter(|key| key.kind == EventKind::Claimed) else {
                continue;
            };
            let told = received.entry(key).or_default();
            match told.iter_mut().find(|(known, _)| known == event) {
                Some((_, count)) => *count += 1,
                None => told.push((event.clone(), 1)),
            }
        }
        received
    }

    /// Says whether a terminal event of this incarnation came.
    pub fn is_told(&self, payment_id: PaymentId, generation: Generation) -> bool {
        self.events.iter().filter_map(Event::key).any(|key| {
            key.payment_id == payment_id && key.generation == generation && key.kind.is_terminal()
        })
    }
}
