//! [`Recorder`]: an image of every kind at every boundary.

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lastword_engine::{Boundary, Observer};
use lastword_testkit::{CrashStore, Survivors};

use crate::node::Stores;
use crate::oracle::Memory;

/// A crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Crash {
    /// The boundary, counted from 1 since the start of the process that dies.
    boundary: u64,
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

/// A life on its way.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    /// The next input.
    pub(crate) position: usize,
    /// In which round each payment is, and whether it was handed over in that round.
    pub(crate) rounds: Vec<(usize, bool)>,
    pub(crate) memory: Memory,
    /// Whether the user asks for no event before the end.
    pub(crate) is_deaf: bool,
    /// Whether that user had to ask, because an id was busy until a payment was told of.
    pub(crate) has_asked: bool,
}

impl Case {
    /// The beginning of a life with so many payments.
    pub(crate) fn new(payments: usize, is_deaf: bool) -> Self {
        let rounds = vec![(0, false); payments];
        Self { position: 0, rounds, memory: Memory::default(), is_deaf, has_asked: false }
    }
}

/// What is left of a life that ended, to rise from.
pub(crate) struct Grave {
    pub(crate) stores: Stores,
    pub(crate) case: Case,
    pub(crate) crashes: Vec<Crash>,
    /// How many versions of the book there were.
    versions: usize,
}

/// A store, and a number that tells it from others.
type Known = (CrashStore, u64);

/// Takes an image of every kind at every boundary.
pub(crate) struct Recorder {
    stores: Stores,
    /// The older versions of the book.
    versions: Vec<Known>,
    version_prints: BTreeSet<u64>,
    /// On a lying disk: the monitors as they were durable before.
    lost_syncs: Option<Vec<CrashStore>>,
    pub(crate) case: Case,
    crashes: Vec<Crash>,
    boundaries: u64,
    pub(crate) is_on: bool,
    graves: Vec<Grave>,
    seen: HashSet<u64>,
    cases: u64,
}

/// A handle to a recorder.
#[derive(Clone)]
pub(crate) struct Watch(Arc<Mutex<Recorder>>);

/// What a recorder found.
pub(crate) struct Recorded {
    pub(crate) graves: Vec<Grave>,
    pub(crate) boundaries: u64,
    pub(crate) versions: u64,
    pub(crate) cases: u64,
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

impl Watch {
    /// Watches a life from its beginning.
    pub(crate) fn first(stores: &Stores, case: &Case, is_lying_disk: bool) -> Self {
        Self(Arc::new(Mutex::new(Recorder {
            stores: stores.clone(),
            versions: Vec::new(),
            version_prints: BTreeSet::new(),
            lost_syncs: is_lying_disk.then(Vec::new),
            case: case.clone(),
            crashes: Vec::new(),
            boundaries: 0,
            is_on: true,
            graves: Vec::new(),
            seen: HashSet::new(),
            cases: 0,
        })))
    }

    /// Watches the recovery from a crash: the book may come back as old as it could then, too.
    pub(crate) fn again(&self, grave: &Grave) -> Self {
        let mut first = self.lock();
        let versions = first.versions.get(..grave.versions).unwrap_or_default().to_vec();
        Self(Arc::new(Mutex::new(Recorder {
            stores: grave.stores.clone(),
            version_prints: versions.iter().map(|(_, print)| *print).collect(),
            versions,
            lost_syncs: None,
            case: grave.case.clone(),
            crashes: grave.crashes.clone(),
            boundaries: 0,
            is_on: true,
            graves: Vec::new(),
            seen: core::mem::take(&mut first.seen),
            cases: 0,
        })))
    }

    /// Takes over which images the recorder of a recovery has seen.
    pub(crate) fn take_back(&self, again: &Self) {
        self.lock().seen = core::mem::take(&mut again.lock().seen);
    }

    /// Takes out what was found so far.
    pub(crate) fn take(&self) -> Recorded {
        let mut recorder = self.lock();
        Recorded {
            graves: core::mem::take(&mut recorder.graves),
            boundaries: recorder.boundaries,
            versions: u64::try_from(recorder.versions.len()).unwrap_or(u64::MAX),
            cases: core::mem::take(&mut recorder.cases),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Recorder> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recorder {
    fn record(&mut self) {
        let boundary = self.boundaries;
        let life = self.print_of_life();
        let books = self.books();
        for (monitors, image) in self.monitors() {
            let image_print = image.fingerprint();
            for (book, store) in &books {
                self.cases += 1;
                let mut hasher = DefaultHasher::new();
                let book_print = store.as_ref().map(|(_, print)| *print);
                (life, image_print, book_print).hash(&mut hasher);
                if !self.seen.insert(hasher.finish()) {
                    continue;
                }
                let crash = Crash { boundary, monitors, book: *book };
                let books = store.as_ref().map(|(store, _)| store.clone());
                let mut case = self.case.clone();
                case.memory.has_older_book |= matches!(book, Book::Version(_) | Book::None);
                self.graves.push(Grave {
                    stores: Stores { monitors: image.clone(), books }.copy(),
                    case,
                    crashes: self.crashes.iter().copied().chain([crash]).collect(),
                    versions: self.versions.len(),
                });
            }
        }
    }

    fn print_of_life(&self) -> u64 {
        let Case { position, rounds, memory, is_deaf, has_asked } = &self.case;
        let mut hasher = DefaultHasher::new();
        (position, rounds, memory, is_deaf, has_asked).hash(&mut hasher);
        hasher.finish()
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
    fn books(&mut self) -> Vec<(Book, Option<Known>)> {
        let Some(books) = self.stores.books.clone() else { return vec![(Book::Shared, None)] };
        let own = (0..=books.unsynced_batches()).map(|batches| {
            (Book::Own(batches), Some(known(books.image(Survivors::Prefix(batches)))))
        });
        let mut all: Vec<_> = own.collect();
        let versions = self.versions.iter().enumerate();
        all.extend(versions.map(|(at, version)| (Book::Version(at), Some(version.clone()))));
        all.push((Book::None, Some(known(Stores::no_book()))));
        let durable = known(books.image(Survivors::SyncedOnly));
        if self.version_prints.insert(durable.1) {
            self.versions.push(durable);
        }
        all
    }
}

fn known(store: CrashStore) -> Known {
    let print = store.fingerprint();
    (store, print)
}
