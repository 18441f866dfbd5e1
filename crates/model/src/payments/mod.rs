//! Payments: the rules R1 to R11 as a transition system.

mod act;
mod finish;
mod plan;
mod state;

use stateright::{Model, Property};

use crate::disk::{CHANNELS, Entry, Phase, Told, View, stores};
use crate::rules::Mode;
use crate::truth::Fate;

pub(crate) use act::Act;
pub(crate) use state::{Broken, Extra, State, World};
use state::{has_bit, htlc};

impl Model for World {
    type State = State;
    type Action = Act;

    fn init_states(&self) -> Vec<State> {
        vec![self.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Act>) {
        // A broken promise is the end of a trace.
        if state.broken == 0 {
            self.acts(state, actions);
        }
    }

    fn next_state(&self, state: &State, act: Act) -> Option<State> {
        self.step(state, act)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = promises();
        properties.push(Property::always("every payment ends", |world: &Self, state: &State| {
            state.broken != 0 || world.is_ended(state) || !world.is_stuck(state)
        }));
        properties.extend(self.sights());
        properties
    }
}

fn promises() -> Vec<Property<World>> {
    vec![
        Property::always("one outcome for each generation", |_, state: &State| {
            !state.is_broken(Broken::OneOutcome)
        }),
        Property::always("what is durably released is not told again", |_, state: &State| {
            !state.is_broken(Broken::Repeated)
        }),
        Property::always("a reused id does not meet its past", |_, state: &State| {
            !state.is_broken(Broken::MetItsPast)
        }),
        Property::always("sent means taken", |_, state: &State| {
            !state.is_broken(Broken::SentUnpaid)
        }),
        Property::always("failed means that nobody can be paid", |_, state: &State| {
            !state.is_broken(Broken::FailedEarly)
        }),
        Property::always("fulfilled means evidence", |_, state: &State| {
            !state.is_broken(Broken::FalseVerdict)
        }),
        Property::always("unknown is told once", |_, state: &State| {
            !state.is_broken(Broken::UnknownTwice)
        }),
        Property::always("unknown is what no ledger knows", |_, state: &State| {
            !state.is_broken(Broken::UnknownKnowable)
        }),
        Property::always("no failed path is told when it is over", |_, state: &State| {
            !state.is_broken(Broken::PathRepeated)
        }),
        Property::always("no retry after sent", |_, state: &State| {
            !state.is_broken(Broken::RetriedAfterSent)
        }),
    ]
}

fn was_told(state: &State, told: Told) -> bool {
    (0..2).any(|generation| state.was_told(generation, told))
}

fn has_entry(state: &State, is_wanted: fn(Entry) -> bool) -> bool {
    (0..CHANNELS)
        .any(|channel| state.disk.ledger(View::Durable, channel).entries.into_iter().any(is_wanted))
}

impl World {
    /// Names what a search must come past, or it has shown nothing.
    fn sights(&self) -> Vec<Property<Self>> {
        let mut sights = vec![
            Property::sometimes("sent is told", |_, state| was_told(state, Told::Sent)),
            Property::sometimes("failed is told", |_, state| was_told(state, Told::Failed)),
            Property::sometimes("all ends", |world: &Self, state| {
                world.is_ended(state) && state.crashes == world.crashes
            }),
        ];
        if self.reorgs > 0 {
            sights.push(Property::sometimes(
                "a preimage comes after the failure",
                |_, state: &State| state.fates.contains(&Fate::Late),
            ));
        }
        if self.parts.len() > 1 {
            sights.push(Property::sometimes("both generations are told", |_, state: &State| {
                state.told.iter().all(|told| *told != 0)
            }));
        }
        if self.has(Extra::Retry) {
            sights.push(Property::sometimes("the retry is taken", |_, state: &State| {
                state.fate(htlc(0, 2)) == Fate::Taken
            }));
        }
        if self.has(Extra::Paths) {
            sights.push(Property::sometimes("two paths are told", |_, state: &State| {
                state.disk.book(View::Durable).slots[0].paths & 0b11 == 0b11
            }));
        }
        if self.has(Extra::Prune) {
            sights.push(Property::sometimes("an entry becomes a tombstone", |_, state| {
                has_entry(state, |entry| matches!(entry, Entry::Tomb(..)))
            }));
        }
        if self.has(Extra::Archive) {
            sights.push(Property::sometimes("a monitor is archived", |_, state: &State| {
                (0..CHANNELS).any(|channel| state.disk.ledger(View::Durable, channel).is_archived)
            }));
        }
        if self.epochs > 0 {
            sights.push(Property::sometimes("a tombstone goes", |_, state| {
                has_entry(state, |entry| entry == Entry::Gone)
            }));
            if self.mode == Mode::AnyBook {
                sights.push(Property::sometimes("unknown is told", |_, state| {
                    was_told(state, Told::Unknown)
                }));
            }
        }
        sights
    }

    /// Says whether all has been told and nothing is owed.
    pub(crate) fn is_ended(&self, state: &State) -> bool {
        let is_told = |generation: u8| {
            !has_bit(state.accepted, generation)
                || state.told[usize::from(generation)] != 0
                || self.may_vanish(state, generation)
        };
        let slots = state.disk.book(View::Durable).slots;
        state.next_generation == self.generations()
            && (0..stores(self.mode)).all(|store| !state.disk.has_tail(store))
            && (0..state.next_generation).all(is_told)
            && slots.iter().all(|slot| matches!(slot.phase, Phase::Empty | Phase::Handled(_)))
            && !has_entry(state, Entry::is_open)
            && state.damaged.is_none()
            && !self.is_old(state)
    }

    /// Says whether nothing happens any more unless a fault does.
    fn is_stuck(&self, state: &State) -> bool {
        let mut acts = Vec::new();
        self.acts(state, &mut acts);
        let mut steps = acts.into_iter().filter(|act| !act.is_fault());
        steps.all(|act| self.step(state, act).is_none())
    }
}
