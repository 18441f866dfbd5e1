//! A life that ends once, at a chosen boundary, and goes on from what a crash leaves.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lastword_engine::{Boundary, Driver, Observer};
use lastword_ports::{LogId, Store};
use lastword_sim::closings::{Life, Stage};
use lastword_sim::{SimError, Trying as _};
use lastword_testkit::{CrashStore, Survivors};

/// What the payload of a chosen death looks like; anything else is a real panic.
struct Died;

/// Which book a node finds when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Book {
    /// The one that the crash left.
    Same,
    /// None at all.
    Lost,
    /// The one from so many changes ago, or none if there were fewer.
    Older(usize),
}

/// Where the node dies, and what it finds when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Death {
    /// The boundary, counted from 1 over its life.
    pub(super) at: u64,
    pub(super) survivors: Survivors,
    pub(super) book: Book,
}

/// The boundaries of a life. A clone is another handle on it.
#[derive(Debug, Clone, Default)]
struct Watch(Arc<Mutex<Count>>);

#[derive(Debug, Default)]
struct Count {
    passed: u64,
    /// How many were passed when the play was over.
    length: Option<u64>,
    dies_at: Option<u64>,
    deaths: Vec<Boundary>,
}

impl Watch {
    fn lock(&self) -> MutexGuard<'_, Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Watch {
    fn at(&mut self, boundary: Boundary) {
        let mut count = self.lock();
        count.passed += 1;
        if count.dies_at == Some(count.passed) {
            count.deaths.push(boundary);
            drop(count);
            // Not `panic!`: nobody wants to read of it.
            resume_unwind(Box::new(Died));
        }
    }
}

/// The disks of a node. A clone is another handle on them.
#[derive(Debug, Clone)]
struct Disks {
    monitors: CrashStore,
    /// `None`: the book is in the log of the monitors.
    books: Option<CrashStore>,
    /// The book as it was after each change.
    old_books: Vec<CrashStore>,
    appends: u64,
}

/// A node that dies once. A clone before it is started shares what is counted, and nothing else.
#[derive(Debug)]
pub(super) struct Mortal {
    disks: Disks,
    watch: Watch,
    death: Option<Death>,
    driver: Option<Driver>,
}

impl Clone for Mortal {
    fn clone(&self) -> Self {
        let (disks, watch) = (self.disks.clone(), self.watch.clone());
        Self { disks, watch, death: self.death, driver: None }
    }
}

impl Mortal {
    /// Makes a node that does not die.
    pub(super) fn new(has_own_book: bool) -> Self {
        let disks = Disks {
            monitors: CrashStore::new(LogId([1; 16])),
            books: has_own_book.then(|| CrashStore::new(LogId([2; 16]))),
            old_books: Vec::new(),
            appends: 0,
        };
        Self { disks, watch: Watch::default(), death: None, driver: None }
    }

    /// Makes a node that begins with what is on these disks, and dies as said.
    pub(super) fn fork(&self, death: Option<Death>) -> Self {
        let image = |store: &CrashStore| store.image(Survivors::Everything);
        let disks = Disks {
            monitors: image(&self.disks.monitors),
            books: self.disks.books.as_ref().map(image),
            old_books: self.disks.old_books.clone(),
            appends: 0,
        };
        let watch = Watch::default();
        watch.lock().dies_at = death.map(|death| death.at);
        Self { disks, watch, death, driver: None }
    }

    /// Returns how many boundaries were passed until the play was over.
    pub(super) fn passed(&self) -> u64 {
        let count = self.watch.lock();
        count.length.unwrap_or(count.passed)
    }

    /// Returns the boundaries at which it died.
    pub(super) fn deaths(&self) -> Vec<Boundary> {
        self.watch.lock().deaths.clone()
    }

    /// Remembers the book if it has changed.
    fn remember(&mut self) {
        let Some(books) = &self.disks.books else { return };
        let appends = books.writes().appends;
        if appends != self.disks.appends {
            self.disks.appends = appends;
            self.disks.old_books.push(books.image(Survivors::SyncedOnly));
        }
    }

    /// Leaves on the disks what a crash leaves.
    fn bury(&mut self, survivors: Survivors, book: Book) {
        self.driver = None;
        self.disks.monitors = self.disks.monitors.image(survivors);
        let Some(books) = &self.disks.books else { return };
        let old = &self.disks.old_books;
        self.disks.books = Some(match book {
            Book::Same => books.image(survivors),
            Book::Lost => CrashStore::new(LogId([2; 16])),
            Book::Older(changes) => match old.len().checked_sub(changes + 1) {
                Some(place) => old[place].image(Survivors::SyncedOnly),
                None => CrashStore::new(LogId([2; 16])),
            },
        });
        self.disks.appends = 0;
    }
}

impl Life for Mortal {
    fn start(&mut self, stage: &Stage) -> Result<(), SimError> {
        let books = self.disks.books.clone().map(|books| Box::new(books) as Box<dyn Store>);
        let monitors = Box::new(self.disks.monitors.clone());
        let ports = stage.ports(monitors, books, Box::new(self.watch.clone()))?;
        self.driver = Some(Driver::start(ports).trying("start the engine")?);
        Ok(())
    }

    fn with<R>(
        &mut self,
        stage: &Stage,
        mut work: impl FnMut(&mut Driver) -> Result<R, SimError>,
    ) -> Result<R, SimError> {
        self.remember();
        loop {
            let mut attempt = || {
                if self.driver.is_none() {
                    self.start(stage)?;
                }
                work(self.driver.as_mut().ok_or(SimError::new("the node did not start"))?)
            };
            match catch_unwind(AssertUnwindSafe(&mut attempt)) {
                Ok(result) => return result,
                Err(payload) if payload.is::<Died>() => {
                    let death = self.death.take().ok_or(SimError::new("it died twice"))?;
                    self.bury(death.survivors, death.book);
                }
                Err(payload) => resume_unwind(payload),
            }
        }
    }

    fn lose_book(&mut self, stage: &Stage) -> Result<(), SimError> {
        {
            let mut count = self.watch.lock();
            count.dies_at = None;
            count.length = Some(count.passed);
        }
        self.bury(Survivors::SyncedOnly, Book::Lost);
        self.start(stage)
    }
}
