//! [`search`]: a whole state space, and whether anything in it goes in circles.

use std::collections::HashMap;
use std::fmt::Debug;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// What a search found.
///
/// # Shape
///
/// `violation` is the first broken property with its shortest trace, one step a line; `unseen` are
/// the sights that the search never came past. A space that is closed, without a violation, without
/// a circle and with nothing unseen is what `cargo xtask model` accepts.
///
/// Source: issue 4, Shows 4.
#[derive(Debug, Clone)]
pub struct Found {
    /// Different states.
    pub unique_states: usize,
    /// Steps between them.
    pub steps: usize,
    /// Steps of the longest of the shortest ways to a state.
    pub max_depth: usize,
    /// Every reachable state was visited.
    pub is_closed: bool,
    /// The broken property and the trace that breaks it.
    pub violation: Option<(&'static str, Vec<String>)>,
    /// The properties that were checked in every state.
    pub properties: Vec<&'static str>,
    /// What should have been seen somewhere and was not.
    pub unseen: Vec<&'static str>,
    /// Whether any state comes again; not asked where the space is not closed.
    pub has_circle: Option<bool>,
    /// How long the search took.
    pub time: Duration,
}

impl Found {
    /// Says whether the world is closed and every promise holds in it, and not for want of events.
    pub fn is_good(&self) -> bool {
        self.is_closed
            && self.violation.is_none()
            && self.has_circle == Some(false)
            && self.unseen.is_empty()
    }
}

/// Searches breadth first until the space is closed, a property breaks, or `limit` steps are taken.
pub(crate) fn search<M>(model: &M, limit: usize) -> Found
where
    M: Model + Clone + Send + Sync + 'static,
    M::State: Clone + PartialEq + Debug + Hash + Send + Sync + 'static,
    M::Action: Clone + PartialEq + Debug,
{
    let start = Instant::now();
    let mut found = search_to(model.clone(), limit, None);
    // The checker stops some states after the first bad one: what it has may not be the shortest.
    while let Some((_, trace)) = &found.violation {
        let shorter = search_to(model.clone(), limit, Some(trace.len()));
        if shorter.violation.is_none() {
            break;
        }
        found.violation = shorter.violation;
    }
    Found { time: start.elapsed(), ..found }
}

/// Searches, if asked only where a way takes fewer than `steps` steps.
fn search_to<M>(model: M, limit: usize, steps: Option<usize>) -> Found
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + PartialEq + Debug + Hash + Send + Sync + 'static,
    M::Action: Clone + PartialEq + Debug,
{
    let mut checker =
        model.checker().target_state_count(limit).finish_when(HasDiscoveries::AnyFailures);
    if let Some(steps) = steps {
        checker = checker.target_max_depth(steps + 1);
    }
    let checker = checker.spawn_bfs().join();
    let discoveries = checker.discoveries();
    let mut found = Found {
        unique_states: checker.unique_state_count(),
        steps: checker.state_count(),
        max_depth: checker.max_depth(),
        is_closed: checker.state_count() < limit && steps.is_none(),
        violation: None,
        properties: Vec::new(),
        unseen: Vec::new(),
        has_circle: None,
        time: Duration::ZERO,
    };
    for property in checker.model().properties() {
        let discovery = discoveries.get(property.name);
        match (&property.expectation, discovery) {
            (Expectation::Sometimes, None) => found.unseen.push(property.name),
            (Expectation::Sometimes, Some(_)) => {}
            (Expectation::Always | Expectation::Eventually, discovery) => {
                found.properties.push(property.name);
                let Some(path) = discovery else { continue };
                let steps = path.clone().into_actions();
                let trace: Vec<String> = steps.iter().map(|step| format!("{step:?}")).collect();
                let is_shortest = match &found.violation {
                    Some((_, other)) => trace.len() < other.len(),
                    None => true,
                };
                if is_shortest {
                    found.violation = Some((property.name, trace));
                }
                found.is_closed = false;
            }
        }
    }
    found
}

/// Says whether a model can run for ever: whether any of its reachable states comes again.
///
/// With no circle, "no state is stuck that is not at its end" is liveness: every run ends, and what
/// it ends in has been judged.
pub(crate) fn has_circle<M>(model: &M) -> bool
where
    M: Model,
    M::State: Hash,
{
    // True while the state is on the way that is being walked.
    let mut seen: HashMap<u64, bool> = HashMap::new();
    let mut way: Vec<(u64, Vec<M::State>)> = Vec::new();
    for state in model.init_states() {
        enter(model, state, &mut seen, &mut way);
        while let Some((name, rest)) = way.last_mut() {
            let Some(next) = rest.pop() else {
                seen.insert(*name, false);
                way.pop();
                continue;
            };
            match seen.get(&name_of(&next)) {
                Some(true) => return true,
                Some(false) => {}
                None => enter(model, next, &mut seen, &mut way),
            }
        }
    }
    false
}

fn enter<M: Model>(
    model: &M,
    state: M::State,
    seen: &mut HashMap<u64, bool>,
    way: &mut Vec<(u64, Vec<M::State>)>,
) where
    M::State: Hash,
{
    let name = name_of(&state);
    seen.insert(name, true);
    let mut actions = Vec::new();
    model.actions(&state, &mut actions);
    let next = actions.into_iter().filter_map(|action| model.next_state(&state, action)).collect();
    way.push((name, next));
}

fn name_of(state: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    state.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use stateright::Property;

    use super::*;

    /// Counts up by one or two, and where it is round, from its end to its start.
    #[derive(Clone)]
    struct Counter {
        end: u8,
        is_round: bool,
        forbidden: u8,
    }

    impl Model for Counter {
        type State = u8;
        type Action = u8;

        fn init_states(&self) -> Vec<u8> {
            vec![0]
        }

        fn actions(&self, state: &u8, actions: &mut Vec<u8>) {
            actions.extend([1, 2].into_iter().filter(|step| state + step <= self.end));
            if self.is_round && *state == self.end {
                actions.push(0);
            }
        }

        fn next_state(&self, state: &u8, step: u8) -> Option<u8> {
            Some(if step == 0 { 0 } else { state + step })
        }

        fn properties(&self) -> Vec<Property<Self>> {
            vec![
                Property::always("allowed", |counter: &Self, state| *state < counter.forbidden),
                Property::sometimes("ten", |_, state| *state == 10),
            ]
        }
    }

    #[test]
    fn a_circle_is_found_and_a_join_is_none() {
        let line = Counter { end: 20, is_round: false, forbidden: 99 };
        assert!(!has_circle(&line));

        assert!(has_circle(&Counter { is_round: true, ..line }));
    }

    #[test]
    fn the_shortest_trace_is_given_and_a_bad_space_is_not_closed() {
        let found = search(&Counter { end: 20, is_round: false, forbidden: 15 }, 1_000);

        let (property, trace) = found.violation.unwrap();
        assert_eq!((property, trace.len()), ("allowed", 8));
        assert!(!found.is_closed);
    }

    #[test]
    fn a_whole_space_is_counted_and_what_was_not_seen_is_named() {
        let found = search(&Counter { end: 9, is_round: false, forbidden: 99 }, 1_000);

        assert_eq!((found.unique_states, found.is_closed), (10, true));
        assert_eq!(found.unseen, ["ten"]);
    }
}
