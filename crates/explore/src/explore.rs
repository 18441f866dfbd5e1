//! The exploration: live once, die everywhere, rise from every image.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use crate::clock::Moment;
use crate::life::Life;
use crate::living::{Error, Living, newborn};
use crate::node::Stores;
use crate::oracle::Tale;
use crate::record::{Case, Crash, Grave, Recorded, Watch};
use crate::scenario::{Scenario, Shape};

/// Of the nodes that die while the chain moves, every how many wakes only when it has moved on.
const SLEEPS_EVERY: usize = 2;

/// How much is explored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Of the lives that rose from a first crash, every how many dies once more at every boundary
    /// of its recovery; 0 for none.
    pub second_every: usize,
    /// Of the crashes of a first life, every how many is risen from; 0 and 1 for all. For a quick look.
    pub first_every: usize,
    /// Whether a crash may also leave monitors from before the last sync, which no log's contract
    /// allows: the node cannot live with that, and an explorer that finds nothing then is blind.
    pub is_lying_disk: bool,
    /// When to stop, although not everything was seen.
    pub until: Option<Instant>,
}

impl Options {
    pub(crate) fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }
}

/// What an exploration did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lives.
    pub scenarios: u64,
    /// Boundaries that the uncrashed lives passed.
    pub boundaries: u64,
    /// Versions of the payment book.
    pub versions: u64,
    /// Crashes: a boundary, an image, a version of the book.
    pub cases: u64,
    /// Those of them that left something new to rise from; the others' ends are known already.
    pub risen: u64,
    /// Inputs that went through the whole order: a payment sent, updates of channels, a block, an
    /// event handled.
    pub steps: u64,
    /// Those of them that no image was taken of, so that their time is the node's alone.
    pub timed_steps: u64,
    /// How many of the steps were blocks: most of them concern no channel.
    pub blocks: u64,
    /// How long those took.
    pub stepping: Duration,
    /// Events that were compared, field for field, with what an uncrashed node told.
    pub compared: u64,
}

impl Counts {
    /// Adds another count.
    pub fn add(&mut self, other: Self) {
        self.scenarios += other.scenarios;
        self.boundaries += other.boundaries;
        self.versions += other.versions;
        self.cases += other.cases;
        self.risen += other.risen;
        self.steps += other.steps;
        self.blocks += other.blocks;
        self.timed_steps += other.timed_steps;
        self.stepping += other.stepping;
        self.compared += other.compared;
    }
}

/// What does not fit the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which scenario, and whether it has one log.
    pub scenario: String,
    /// The crashes that led to it, in words.
    pub crashes: Vec<String>,
    /// What was wrong.
    pub what: String,
}

impl Violation {
    /// Makes one that no crash is known to have led to.
    pub(crate) fn of(scenario: Scenario, is_one: bool, what: String) -> Self {
        Self { scenario: life_name(scenario, is_one), crashes: Vec::new(), what }
    }
}

/// Returns the name of a life: its scenario, and whether it has one log for all or one for the book
/// too.
pub fn life_name(scenario: Scenario, is_one: bool) -> String {
    format!("{scenario}/{}", if is_one { "one-log" } else { "two-logs" })
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.scenario, self.what)?;
        self.crashes.iter().try_for_each(|crash| write!(f, "\n  after a crash at {crash}"))
    }
}

/// One of the lives of a scenario.
struct Rising<'a> {
    life: &'a Life,
    stores: &'a Stores,
    watch: Option<&'a Watch>,
    /// What the uncrashed node told, if this one rises from a crash.
    tales: Option<Tales<'a>>,
}

/// What an uncrashed node told.
#[derive(Clone, Copy)]
struct Tales<'a> {
    /// A user who asks when this one does.
    same: &'a Tale,
    /// A user who handles every event at once.
    heard: &'a Tale,
}

/// Explores scenarios.
#[derive(Debug)]
pub struct Explorer {
    options: Options,
    ends: HashSet<u64>,
    counts: Counts,
}

impl Explorer {
    /// Makes an explorer that has seen nothing.
    pub fn new(options: Options) -> Self {
        Self { options, ends: HashSet::new(), counts: Counts::default() }
    }

    /// Returns how many different final states there were.
    pub fn final_states(&self) -> usize {
        self.ends.len()
    }

    /// Returns the final states by a number that tells them apart.
    pub fn into_final_states(self) -> HashSet<u64> {
        self.ends
    }

    /// Explores one scenario, with one log for all or with one for the book too: with a user who
    /// handles every event at once, and with one who asks for none before the end.
    ///
    /// # Errors
    ///
    /// The first [`Violation`].
    pub fn explore(&mut self, scenario: Scenario, is_one: bool) -> Result<Counts, Box<Violation>> {
        let life = Life::of(scenario);
        self.counts = Counts { scenarios: 1, ..Counts::default() };
        // Of a forward there is nothing to ask for; and an id that is used again is free only when its
        // first payment was told.
        let has_events = !life.payments.is_empty() || life.receipt.is_some();
        let is_asked = has_events && scenario.shape != Shape::Again;
        let users = if is_asked { &[false, true] } else { &[false][..] };
        let mut heard = None;
        for is_deaf in users.iter().copied() {
            let tale = self.die_everywhere(&life, is_one, is_deaf, heard.as_ref()).map_err(
                |Fault { crashes, what }| {
                    let user =
                        if is_deaf { " (the user asks for nothing before the end)" } else { "" };
                    let crashes = crashes.iter().map(Crash::to_string).collect();
                    let what = format!("{what}{user}");
                    Box::new(Violation { scenario: life_name(scenario, is_one), crashes, what })
                },
            )?;
            heard.get_or_insert(tale);
        }
        Ok(self.counts)
    }

    /// Lives once and dies everywhere; returns what the uncrashed life was told.
    fn die_everywhere(
        &mut self,
        life: &Life,
        is_one: bool,
        is_deaf: bool,
        heard: Option<&Tale>,
    ) -> Result<Tale, Fault> {
        let stores = newborn(life, is_one).map_err(|error| Error::from(error).after(&[]))?;
        let case = Case::new(life.payments.len(), is_deaf);
        let watch = Watch::first(&stores, &case, self.options.is_lying_disk);
        let first = Rising { life, stores: &stores, watch: Some(&watch), tales: None };
        let tale = self.live(first, case).map_err(|error| error.after(&[]))?;
        let tales = Tales { same: &tale, heard: heard.unwrap_or(&tale) };
        let Recorded { graves, boundaries, versions, cases } = watch.take();
        self.counts.boundaries += boundaries;
        self.counts.versions += versions;
        self.counts.cases += cases;
        for (at, mut grave) in graves.into_iter().enumerate() {
            if self.options.is_over() {
                break;
            }
            if at % self.options.first_every.max(1) != 0 {
                continue;
            }
            if at % SLEEPS_EVERY == 0 && life.may_sleep(grave.case.position) {
                grave.case.position += 1;
            }
            let dies_again = self.options.second_every > 0 && at % self.options.second_every == 0;
            let again = dies_again.then(|| watch.again(&grave));
            self.rise(life, grave, again.as_ref(), tales)?;
            let Some(again) = again else { continue };
            let Recorded { graves, cases, .. } = again.take();
            watch.take_back(&again);
            self.counts.cases += cases;
            for grave in graves {
                self.rise(life, grave, None, tales)?;
            }
        }
        Ok(tale)
    }

    fn rise(
        &mut self,
        life: &Life,
        grave: Grave,
        watch: Option<&Watch>,
        tales: Tales<'_>,
    ) -> Result<(), Fault> {
        self.counts.risen += 1;
        let Grave { stores, case, crashes, .. } = grave;
        let rising = Rising { life, stores: &stores, watch, tales: Some(tales) };
        self.live(rising, case).map_err(|error| error.after(&crashes))?;
        Ok(())
    }

    /// Rises, lives from where the case is to the end, and judges; returns what was told in all.
    fn live(
        &mut self,
        Rising { life, stores, watch, tales }: Rising<'_>,
        case: Case,
    ) -> Result<Tale, Error> {
        let was_silent = case.is_deaf;
        let mut living = Living::rise(life, stores, case, watch)?;
        let begun = Moment::now();
        living.check_busy()?;
        living.listen()?;
        living.follow_advice()?;
        while let Some(input) = life.inputs.get(living.case.position) {
            living.take(input)?;
            // A second crash is one in the recovery from the first.
            if let (Some(_), Some(watch)) = (tales, watch) {
                watch.lock().is_on = false;
            }
        }
        let (steps, blocks) = living.steps();
        self.counts.steps += steps;
        self.counts.blocks += blocks;
        if watch.is_none() {
            self.counts.timed_steps += steps;
            self.counts.stepping += begun.elapsed();
        }
        let has_asked = living.case.has_asked;
        let (end, told) = living.finish()?;
        self.ends.insert(end);
        if let Some(Tales { same, heard }) = tales {
            let (tale, is_whole) = if has_asked { (heard, false) } else { (same, was_silent) };
            self.counts.compared += told.compare(tale, is_whole).map_err(Error)?;
        }
        Ok(told)
    }
}

/// What is wrong, and after which crashes.
struct Fault {
    crashes: Vec<Crash>,
    what: String,
}

impl Error {
    fn after(self, crashes: &[Crash]) -> Fault {
        Fault { crashes: crashes.to_vec(), what: self.0 }
    }
}
