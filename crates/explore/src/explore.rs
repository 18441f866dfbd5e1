//! The exploration: live once, die everywhere, rise from every image.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lastword_engine::{Boundary, Driver, EngineError, NoObserver, Observer};
use lastword_testkit::{CrashStore, Survivors};
use lastword_types::{HtlcDirection, HtlcOrigin, Intent, PaymentState};

use crate::chain::Chain;
use crate::life::{Input, Life};
use crate::node::Stores;
use crate::oracle::Memory;
use crate::scenario::Scenario;

/// How much is explored.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Of the lives that rose from a first crash, every how many dies once more at every boundary
    /// of its recovery; 0 for none.
    pub second_every: usize,
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
    }
}

/// A crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Crash {
    /// The boundary, counted from 1 since the start of the process that dies.
    boundary: usize,
    /// How many unsynced batches of the monitors' log survive.
    monitors: usize,
    /// What there is of the book.
    book: Book,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Book {
    /// It is in the monitors' log.
    Shared,
    /// So many of its unsynced batches survive.
    Own(usize),
    /// An older version.
    Version(usize),
    /// Nothing.
    None,
}

impl fmt::Display for Crash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "boundary {}, {} unsynced batches survive, book ", self.boundary, self.monitors)?;
        match self.book {
            Book::Shared => f.write_str("in the same log"),
            Book::Own(batches) => write!(f, "own with {batches} unsynced batches"),
            Book::Version(version) => write!(f, "of version {version}"),
            Book::None => f.write_str("none"),
        }
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

/// A life on its way.
#[derive(Debug, Clone)]
struct Case {
    /// The next input.
    position: usize,
    /// In which round each payment is, and whether it was handed over in that round.
    rounds: Vec<(usize, bool)>,
    memory: Memory,
}

/// What is left of a life that ended, to rise from.
struct Grave {
    stores: Stores,
    case: Case,
    crashes: Vec<Crash>,
}

/// Takes an image of every kind at every boundary.
struct Recorder {
    stores: Stores,
    versions: Vec<CrashStore>,
    version_prints: BTreeSet<u64>,
    has_versions: bool,
    /// On a lying disk: the monitors as they were durable before.
    lost_syncs: Option<Vec<CrashStore>>,
    case: Case,
    crashes: Vec<Crash>,
    boundaries: usize,
    is_on: bool,
    graves: Vec<Grave>,
    seen: HashSet<u64>,
    cases: u64,
}

#[derive(Clone)]
struct Watch(Arc<Mutex<Recorder>>);

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn at(&mut self, _boundary: Boundary) {
        let mut recorder = self.lock();
        recorder.boundaries += 1;
        if recorder.is_on {
            recorder.record();
        }
    }
}

impl Recorder {
    fn record(&mut self) {
        let boundary = self.boundaries;
        let books = self.books();
        for (monitors, image) in self.monitors() {
            for (book, store) in &books {
                self.cases += 1;
                let crash = Crash { boundary, monitors, book: *book };
                let stores = Stores { monitors: image.clone(), books: store.clone() };
                let mut hasher = DefaultHasher::new();
                stores.monitors.fingerprint().hash(&mut hasher);
                stores.books.as_ref().map(CrashStore::fingerprint).hash(&mut hasher);
                (self.case.position, &self.case.rounds, &self.case.memory).hash(&mut hasher);
                if self.seen.insert(hasher.finish()) {
                    let crashes = self.crashes.iter().copied().chain([crash]).collect();
                    self.graves.push(Grave {
                        stores: stores.copy(),
                        case: self.case.clone(),
                        crashes,
                    });
                }
            }
        }
    }

    /// Every monitors' log that may be there after a crash now, with how many of its unsynced batches
    /// survived.
    fn monitors(&mut self) -> Vec<(usize, CrashStore)> {
        let monitors = &self.stores.monitors;
        let prefixes = 0..=monitors.unsynced_batches();
        let mut all: Vec<_> =
            prefixes.map(|batches| (batches, monitors.image(Survivors::Prefix(batches)))).collect();
        if let Some(lost) = &mut self.lost_syncs {
            let durable = monitors.image(Survivors::SyncedOnly);
            if lost.last().is_none_or(|last| last.fingerprint() != durable.fingerprint()) {
                lost.push(durable);
            }
            all.extend(lost.iter().rev().nth(1).map(|older| (0, older.clone())));
        }
        all
    }

    /// Every book that may be there after a crash now.
    fn books(&mut self) -> Vec<(Book, Option<CrashStore>)> {
        let Some(books) = self.stores.books.clone() else { return vec![(Book::Shared, None)] };
        let own = (0..=books.unsynced_batches())
            .map(|batches| (Book::Own(batches), Some(books.image(Survivors::Prefix(batches)))));
        let mut all: Vec<_> = own.collect();
        let versions = self.versions.iter().enumerate();
        all.extend(versions.map(|(at, version)| (Book::Version(at), Some(version.clone()))));
        all.push((Book::None, Some(Stores::no_book())));
        let durable = books.image(Survivors::SyncedOnly);
        if self.has_versions && self.version_prints.insert(durable.fingerprint()) {
            self.versions.push(durable);
        }
        all
    }
}

/// One of the lives of a scenario.
struct Rising<'a> {
    life: &'a Life,
    stores: &'a Stores,
    watch: Option<&'a Watch>,
    /// Whether it rises from a crash.
    is_recovery: bool,
}

/// Explores scenarios.
#[derive(Debug)]
pub struct Explorer {
    options: Options,
    ends: HashSet<u64>,
}

impl Explorer {
    /// Makes an explorer that has seen nothing.
    pub fn new(options: Options) -> Self {
        Self { options, ends: HashSet::new() }
    }

    /// Returns how many different final states there were.
    pub fn final_states(&self) -> usize {
        self.ends.len()
    }

    /// Returns the final states by a number that tells them apart.
    pub fn into_final_states(self) -> HashSet<u64> {
        self.ends
    }

    /// Explores one scenario, with one log for all or with one for the book too.
    ///
    /// # Errors
    ///
    /// The first [`Violation`].
    pub fn explore(&mut self, scenario: Scenario, is_one: bool) -> Result<Counts, Box<Violation>> {
        let name = life_name(scenario, is_one);
        let life = Life::of(scenario);
        let refused = |crashes: &[Crash], what| {
            let crashes = crashes.iter().map(Crash::to_string).collect();
            Box::new(Violation { scenario: name.clone(), crashes, what })
        };
        let stores = newborn(&life, is_one).map_err(|error| refused(&[], Error::from(error).0))?;
        let case = Case {
            position: 0,
            rounds: vec![(0, false); life.payments.len()],
            memory: Memory::default(),
        };
        let watch = Watch(Arc::new(Mutex::new(Recorder {
            stores: stores.clone(),
            versions: Vec::new(),
            version_prints: BTreeSet::new(),
            has_versions: true,
            lost_syncs: self.options.is_lying_disk.then(Vec::new),
            case: case.clone(),
            crashes: Vec::new(),
            boundaries: 0,
            is_on: true,
            graves: Vec::new(),
            seen: HashSet::new(),
            cases: 0,
        })));
        let mut counts = Counts { scenarios: 1, ..Counts::default() };
        let life = &life;
        let first = Rising { life, stores: &stores, watch: Some(&watch), is_recovery: false };
        self.live(first, case, &mut counts).map_err(|what| refused(&[], what.0))?;
        counts.boundaries = u64::try_from(watch.lock().boundaries).unwrap_or(u64::MAX);
        counts.versions = u64::try_from(watch.lock().versions.len()).unwrap_or(u64::MAX);
        let graves = core::mem::take(&mut watch.lock().graves);
        for (at, grave) in graves.into_iter().enumerate() {
            if self.options.is_over() {
                break;
            }
            let dies_again = self.options.second_every > 0 && at % self.options.second_every == 0;
            let Grave { stores, case, crashes } = grave;
            let again = dies_again.then(|| watch.again(&stores, &case, &crashes));
            counts.risen += 1;
            let second = Rising { life, stores: &stores, watch: again.as_ref(), is_recovery: true };
            self.live(second, case, &mut counts).map_err(|what| refused(&crashes, what.0))?;
            let Some(again) = again else { continue };
            let (graves, seen, cases) = again.finish();
            watch.lock().seen.extend(seen);
            counts.cases += cases;
            for Grave { stores, case, crashes } in graves {
                counts.risen += 1;
                let last = Rising { life, stores: &stores, watch: None, is_recovery: true };
                self.live(last, case, &mut counts).map_err(|what| refused(&crashes, what.0))?;
            }
        }
        counts.cases += watch.lock().cases;
        Ok(counts)
    }

    /// Rises, lives from where the case is to the end, and judges.
    fn live(
        &mut self,
        Rising { life, stores, watch, is_recovery }: Rising<'_>,
        case: Case,
        counts: &mut Counts,
    ) -> Result<(), Error> {
        let mut living = Living::rise(life, stores, case, watch)?;
        let begun = Instant::now();
        living.tell()?;
        while let Some(input) = life.inputs.get(living.case.position) {
            living.take(input)?;
            // A second crash is one in the recovery from the first.
            if let (true, Some(watch)) = (is_recovery, watch) {
                watch.lock().is_on = false;
            }
        }
        let blocks = living.chain.blocks_read();
        let steps = living.steps + blocks;
        counts.steps += steps;
        counts.blocks += blocks;
        if watch.is_none() {
            counts.timed_steps += steps;
            counts.stepping += begun.elapsed();
        }
        self.ends.insert(living.finish()?);
        Ok(())
    }
}

impl Watch {
    /// A recorder for the recovery from a crash.
    fn again(&self, stores: &Stores, case: &Case, crashes: &[Crash]) -> Self {
        let mut first = self.lock();
        Self(Arc::new(Mutex::new(Recorder {
            stores: stores.clone(),
            versions: Vec::new(),
            version_prints: BTreeSet::new(),
            has_versions: false,
            lost_syncs: None,
            case: case.clone(),
            crashes: crashes.to_vec(),
            boundaries: 0,
            is_on: true,
            graves: Vec::new(),
            seen: core::mem::take(&mut first.seen),
            cases: 0,
        })))
    }

    fn finish(self) -> (Vec<Grave>, HashSet<u64>, u64) {
        let mut recorder = self.lock();
        let (graves, seen) =
            (core::mem::take(&mut recorder.graves), core::mem::take(&mut recorder.seen));
        (graves, seen, recorder.cases)
    }
}

/// Why a life cannot be right, in words.
struct Error(String);

impl From<EngineError> for Error {
    fn from(error: EngineError) -> Self {
        let mut words = error.to_string();
        let mut source = core::error::Error::source(&error);
        while let Some(error) = source {
            words = format!("{words}: {error}");
            source = error.source();
        }
        Self(words)
    }
}

/// A node whose channels have just begun.
fn newborn(life: &Life, is_one: bool) -> Result<Stores, EngineError> {
    let stores = Stores::new(is_one);
    let chain = Chain::new(Arc::clone(&life.blocks), life.birth);
    let mut driver = stores.start(&chain, Box::new(NoObserver))?;
    for new in &life.born {
        driver.open_channel(new.clone())?;
    }
    drop(driver);
    Ok(stores)
}

struct Living<'a> {
    life: &'a Life,
    driver: Driver,
    chain: Chain,
    case: Case,
    watch: Option<&'a Watch>,
    /// Inputs that the driver took: requests and events handled.
    steps: u64,
}

impl<'a> Living<'a> {
    fn rise(
        life: &'a Life,
        stores: &Stores,
        case: Case,
        watch: Option<&'a Watch>,
    ) -> Result<Self, Error> {
        // The chain went on; the node learns of it with its next input.
        let seen = life.inputs[..case.position].iter().rev().find_map(|input| match input {
            Input::Tip(tip) => Some(*tip),
            Input::Send(_) | Input::Updates(_) => None,
        });
        let chain = Chain::new(Arc::clone(&life.blocks), seen.unwrap_or(life.birth));
        let observer: Box<dyn Observer> = match watch {
            Some(watch) => Box::new(watch.clone()),
            None => Box::new(NoObserver),
        };
        let driver = stores.start(&chain, observer)?;
        Ok(Self { life, driver, chain, case, watch, steps: 0 })
    }

    /// What a crash from here on finds.
    fn note(&self) {
        if let Some(watch) = self.watch {
            watch.lock().case = self.case.clone();
        }
    }

    fn take(&mut self, input: &Input) -> Result<(), Error> {
        match input {
            Input::Send(payment) => self.send(*payment)?,
            Input::Updates(updates) => {
                let mut news = Vec::new();
                for update in updates {
                    let state = self.driver.monitor(update.channel_id)?.state();
                    if state.latest_update < update.update_id {
                        news.push(update.clone());
                    }
                }
                self.steps += u64::from(!news.is_empty());
                self.driver.update(news)?;
            }
            Input::Tip(tip) => self.chain.move_to(*tip),
        }
        self.driver.poll_chain()?;
        self.tell()?;
        self.case.position += 1;
        self.note();
        Ok(())
    }

    fn send(&mut self, payment: usize) -> Result<(), Error> {
        let (mut round, was_tried) = self.case.rounds[payment];
        let rounds = &self.life.payments[payment].rounds;
        if was_tried {
            if self.has_left(&rounds[round].0)? {
                return Ok(());
            }
            // It did not survive, so the caller begins anew, as another incarnation.
            round += 1;
        }
        self.case.rounds[payment] = (round, true);
        self.note();
        self.steps += 1;
        let (intent, updates) = &rounds[round];
        self.driver.send_payment(intent.clone(), updates.clone())?;
        Ok(())
    }

    /// Says whether the HTLCs of an intent are in the ledgers: all of them or none.
    fn has_left(&mut self, intent: &Intent) -> Result<bool, Error> {
        let mut found = BTreeSet::new();
        for part in &intent.parts {
            let state = self.driver.monitor(part.channel_id)?.state();
            let entry = state.htlcs.get(&(HtlcDirection::Offered, part.htlc_id));
            found.insert(entry.is_some_and(|entry| match &entry.htlc.origin {
                HtlcOrigin::Payment(origin) => origin.generation == intent.generation,
                HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => false,
            }));
        }
        if found.len() > 1 {
            return Err(Error("some parts of one attempt are durable and some are not".into()));
        }
        Ok(found.contains(&true))
    }

    /// The user hears everything there is to hear, and handles it at once.
    fn tell(&mut self) -> Result<(), Error> {
        while let Some(event) = self.driver.next_event() {
            self.case.memory.hear(&event, &self.life.heard).map_err(Error)?;
            self.steps += 1;
            self.note();
            self.driver.event_returned(&event, true)?;
            self.case.memory.was_recorded(&event);
            self.note();
        }
        Ok(())
    }

    /// Judges the end, and returns a number that tells final states apart.
    fn finish(mut self) -> Result<u64, Error> {
        let rounds: Vec<usize> = self.case.rounds.iter().map(|(round, _)| *round).collect();
        self.case.memory.judge(self.life, &rounds).map_err(Error)?;
        let mut hasher = DefaultHasher::new();
        self.case.memory.hash(&mut hasher);
        for payment in &self.life.payments {
            let payment_id = payment.rounds[0].0.payment_id;
            if self.driver.owes(payment_id) {
                return Err(Error(format!("payment {payment_id} is still owed")));
            }
            let state = self.driver.payment(payment_id).map(|view| view.state);
            match state {
                None | Some(PaymentState::Handled(_)) => {}
                Some(PaymentState::Pending | PaymentState::Decided(_)) => {
                    return Err(Error(format!("the id of payment {payment_id} is not free")));
                }
            }
            matches!(state, Some(PaymentState::Handled(_))).hash(&mut hasher);
        }
        for new in &self.life.born {
            let monitor = self.driver.monitor(new.parameters.channel_id)?;
            let card = monitor.card();
            (card.latest_update, card.next_deadline, card.synced_to, &card.watched)
                .hash(&mut hasher);
            (card.has_undelivered, card.is_closed, card.has_claims, card.is_archived)
                .hash(&mut hasher);
        }
        Ok(hasher.finish())
    }
}
