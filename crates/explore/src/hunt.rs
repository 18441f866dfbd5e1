//! Many scenarios, on several threads, for as long as there is time: [`Hunt`].

use std::any::Any;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::Moment;
use crate::explore::{Counts, Explorer, Options, Violation};
use crate::scenario::{Scenario, scenarios};

/// What to explore, and how.
///
/// # Examples
///
/// ```
/// use std::time::{Duration, Instant};
///
/// use lastword_explore::{Hunt, Options, Scenario};
///
/// let until = Some(Instant::now() + Duration::from_secs(10));
/// let found = Hunt {
///     options: Options { until, ..Options::default() },
///     threads: 1,
///     stops_at_first: true,
///     wanted: &|scenario: &Scenario, _| scenario.to_string() == "direct/fulfilled",
///     progress: &|_| {},
/// }
/// .run();
/// assert!(found.violations.is_empty() && found.counts.cases > 100);
/// ```
#[derive(Clone, Copy)]
pub struct Hunt<'a> {
    /// How much of each scenario is explored, and until when.
    pub options: Options,
    /// How many scenarios at once.
    pub threads: usize,
    /// Whether the first violation ends it; the lives are then mixed, so that it comes soon.
    pub stops_at_first: bool,
    /// Which scenarios, with one log for all or (`false`) with two.
    pub wanted: &'a (dyn Fn(&Scenario, bool) -> bool + Sync),
    /// Called after each life with what there is so far.
    pub progress: &'a (dyn Fn(&Counts) + Sync),
}

/// What a hunt found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// What was done.
    pub counts: Counts,
    /// How many different final states there were, by a number that tells them apart.
    pub final_states: HashSet<u64>,
    /// What did not fit the truth; a panic of the node is one of them.
    pub violations: Vec<Violation>,
    /// How many lives were wanted.
    pub wanted: usize,
    /// How long it took.
    pub took: Duration,
    /// How long all threads ran, together; less than the time that went by on a busy machine.
    pub on_cores: Duration,
}

impl core::fmt::Debug for Hunt<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Hunt").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Hunt<'_> {
    /// Explores.
    pub fn run(&self) -> Found {
        let begun = Instant::now();
        let mut work: Vec<(Scenario, bool)> = scenarios()
            .into_iter()
            .flat_map(|scenario| [(scenario, true), (scenario, false)])
            .filter(|(scenario, is_one)| (self.wanted)(scenario, *is_one))
            .collect();
        if self.stops_at_first {
            work = mixed(work);
        }
        let next = AtomicUsize::new(0);
        let is_over = AtomicBool::new(false);
        let total = Mutex::new(Found { wanted: work.len(), ..Found::default() });
        std::thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(|| {
                    let begun = Moment::now();
                    let mut explorer = Explorer::new(self.options);
                    while let Some(life) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if is_over.load(Ordering::Relaxed) || self.options.is_over() {
                            break;
                        }
                        let outcome = explored(&mut explorer, *life);
                        if outcome.is_err() && self.stops_at_first {
                            is_over.store(true, Ordering::Relaxed);
                        }
                        self.take_in(&total, outcome);
                    }
                    let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
                    total.on_cores += begun.elapsed();
                    total.final_states.extend(explorer.into_final_states());
                });
            }
        });
        let mut found = total.into_inner().unwrap_or_else(PoisonError::into_inner);
        found.took = begun.elapsed();
        found
    }

    fn take_in(&self, total: &Mutex<Found>, outcome: Result<Counts, Box<Violation>>) {
        let mut total = total.lock().unwrap_or_else(PoisonError::into_inner);
        match outcome {
            Ok(counts) => total.counts.add(counts),
            Err(violation) => total.violations.push(*violation),
        }
        (self.progress)(&total.counts);
    }
}

/// The short lives first, and each far from those before it: `place / golden ratio` wanders evenly
/// over the list, so that a few lives are of many families.
fn mixed(work: Vec<(Scenario, bool)>) -> Vec<(Scenario, bool)> {
    let at = |place: usize| place * 618_034 % 1_000_000;
    let mut places: Vec<_> = work.into_iter().enumerate().collect();
    places.sort_by_key(|(place, (scenario, _))| (scenario.shape.has_second_channel(), at(*place)));
    places.into_iter().map(|(_, life)| life).collect()
}

/// Explores one life; a node that panics has broken the truth too.
fn explored(
    explorer: &mut Explorer,
    (scenario, is_one): (Scenario, bool),
) -> Result<Counts, Box<Violation>> {
    let explore = AssertUnwindSafe(|| explorer.explore(scenario, is_one));
    catch_unwind(explore).unwrap_or_else(|panic| {
        let what = format!("a panic: {}", words_of(&*panic));
        Err(Box::new(Violation::of(scenario, is_one, what)))
    })
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without words")
}
