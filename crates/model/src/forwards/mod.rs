//! Forwards: R12, and of R11 the preimage that is owed upstream, as a transition system.

mod act;
mod state;

use stateright::{Model, Property};

use crate::disk::View;
use crate::truth::Fate;

pub(crate) use act::Act;
use state::{Broken, Inbound, Outbound, State, Upstream};

pub(crate) use state::World;

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
        let mut properties = vec![
            Property::always("no failure goes back while the next peer can be paid", |_, state| {
                !State::is_broken(state, Broken::MoneyLost)
            }),
            Property::always("nothing is forwarded twice", |_, state| {
                !State::is_broken(state, Broken::ForwardedTwice)
            }),
            Property::always("unknown is reported once", |_, state| {
                !State::is_broken(state, Broken::ReportedTwice)
            }),
            Property::always("every forward ends, and rightly", |world: &Self, state: &State| {
                state.broken != 0 || world.is_ended(state) || !world.is_stuck(state)
            }),
            Property::sometimes("it is paid", |_, state: &State| state.upstream == Upstream::Paid),
            Property::sometimes("it is failed back", |_, state: &State| {
                state.upstream == Upstream::FailedBack
            }),
            Property::sometimes("both monitors forget", |_, state: &State| {
                state.outbound(View::Durable) == Outbound::Gone
                    && state.inbound(View::Durable) == Inbound::Archived
            }),
        ];
        if self.has_damage {
            properties.push(Property::sometimes("unknown is reported", |_, state: &State| {
                state.was_reported
            }));
        }
        properties
    }
}

impl World {
    /// Says whether both halves ended alike and nothing is kept for them.
    fn is_ended(&self, state: &State) -> bool {
        let is_right = match state.upstream {
            Upstream::Live => false,
            Upstream::Paid => state.is_revealed,
            Upstream::FailedBack => state.downstream != Fate::Taken,
        };
        is_right
            && matches!(state.outbound(View::Durable), Outbound::Absent | Outbound::Gone)
            && state.inbound(View::Durable) == Inbound::Archived
            && (0..crate::disk::stores(self.mode)).all(|store| !state.disk.has_tail(store))
            && state.damaged.is_none()
    }

    /// Says whether nothing happens any more unless a fault does.
    fn is_stuck(&self, state: &State) -> bool {
        let mut acts = Vec::new();
        self.acts(state, &mut acts);
        let mut steps = acts.into_iter().filter(|act| !act.is_fault());
        steps.all(|act| self.step(state, act).is_none())
    }
}
