//! A node in this process that dies at chosen boundaries and comes back from what a crash leaves.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use lastword_engine::{Boundary, Observer};
use lastword_ports::{LogId, Store};
use lastword_sim::SimError;
use lastword_sim::link::Line;
use lastword_sim::messages::{Answer, Command};
use lastword_sim::node::{Direct, Node, Stand, node_ports};
use lastword_sim::outside::SharedOutside;
use lastword_sim::run::Workforce;
use lastword_sim::seed::Seed;
use lastword_sim::world::inprocess::InProcess;
use lastword_testkit::{CrashStore, Survivors};

/// What the payload of a chosen death looks like; anything else is a real panic.
struct Death;

/// Which book a node finds when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Book {
    /// The one that the crash left.
    Same,
    /// None at all.
    Lost,
    /// One from so many commands ago.
    Older(usize),
}

/// What a node finds when it comes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Return {
    /// What of the unsynced batches is there.
    pub(crate) survivors: Survivors,
    /// Which book is there.
    pub(crate) book: Book,
}

/// Says after how many further boundaries the node dies, and what it finds then.
pub(crate) type Fate = Box<dyn FnMut() -> Option<(u64, Return)>>;

/// Counts boundaries, and dies at one of them.
#[derive(Default)]
struct Watch {
    passed: u64,
    dies_at: Option<u64>,
    last: Option<Boundary>,
}

#[derive(Clone, Default)]
struct SharedWatch(Arc<Mutex<Watch>>);

impl SharedWatch {
    fn with<R>(&self, call: impl FnOnce(&mut Watch) -> R) -> R {
        call(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for SharedWatch {
    fn at(&mut self, boundary: Boundary) {
        let dies = self.with(|watch| {
            watch.passed += 1;
            watch.last = Some(boundary);
            watch.dies_at == Some(watch.passed)
        });
        if dies {
            // Not `panic!`: nobody wants to read of it.
            resume_unwind(Box::new(Death));
        }
    }
}

/// A node that dies and comes back.
pub(crate) struct Mortal {
    seed: Seed,
    outside: SharedOutside,
    world: InProcess,
    monitors: CrashStore,
    /// `None`: the book is in the log of the monitors.
    books: Option<CrashStore>,
    old_books: Vec<CrashStore>,
    watch: SharedWatch,
    fate: Fate,
    next: Option<Return>,
    node: Option<Node<Direct>>,
    /// Where it died.
    pub(crate) deaths: Vec<Boundary>,
}

impl Mortal {
    pub(crate) fn new(
        seed: Seed,
        (outside, world): (SharedOutside, InProcess),
        has_own_book: bool,
        fate: Fate,
    ) -> Self {
        let mut mortal = Self {
            seed,
            outside,
            world,
            monitors: CrashStore::new(LogId([1; 16])),
            books: has_own_book.then(|| CrashStore::new(LogId([2; 16]))),
            old_books: Vec::new(),
            watch: SharedWatch::default(),
            fate,
            next: None,
            node: None,
            deaths: Vec::new(),
        };
        mortal.draw();
        mortal
    }

    /// How many boundaries were passed.
    pub(crate) fn passed(&self) -> u64 {
        self.watch.with(|watch| watch.passed)
    }

    /// Kills the node between two commands, loses its book, and lets it start again.
    pub(crate) fn rise_without_book(&mut self) -> Result<(), SimError> {
        self.watch.with(|watch| watch.dies_at = None);
        self.fate = Box::new(|| None);
        self.bury(Return { survivors: Survivors::SyncedOnly, book: Book::Lost });
        self.command(&Command::Resume)?;
        self.command(&Command::Poll)?;
        Ok(())
    }

    fn draw(&mut self) {
        let drawn = (self.fate)();
        self.next = drawn.map(|(_, found)| found);
        self.watch.with(|watch| {
            watch.dies_at = drawn.map(|(after, _)| watch.passed + after);
        });
    }

    /// Leaves in the stores what a crash leaves.
    fn bury(&mut self, found: Return) {
        self.node = None;
        self.monitors = self.monitors.image(found.survivors);
        let Some(books) = &self.books else { return };
        let left = books.image(found.survivors);
        self.books = Some(match found.book {
            Book::Same => left,
            Book::Lost => CrashStore::new(LogId([3; 16])),
            Book::Older(commands) => match self.old_books.len().checked_sub(commands) {
                Some(place) if place < self.old_books.len() => {
                    self.old_books[place].image(Survivors::SyncedOnly)
                }
                _ => left,
            },
        });
    }

    fn rise(&mut self) -> Result<(), SimError> {
        let line = Line::new(self.outside.clone());
        let books = self.books.clone().map(|books| Box::new(books) as Box<dyn Store>);
        let stand = Stand {
            monitors: Box::new(self.monitors.clone()),
            books,
            source: Box::new(self.world.clone()),
            broadcaster: Box::new(self.world.clone()),
            observer: Box::new(self.watch.clone()),
        };
        let shell = Direct::start(node_ports(self.seed, &line, stand), line.clone())?;
        let mut node = Node::new(self.seed, shell, line);
        node.obey(&Command::Resume)?;
        self.node = Some(node);
        Ok(())
    }

    /// Does a command to its end or to the node's.
    fn attempt(&mut self, command: &Command) -> Result<Answer, SimError> {
        if self.node.is_none() {
            self.rise()?;
        }
        if self.outside.lock().is_over(command) {
            return Ok(Answer::Done);
        }
        let node = self.node.as_mut().ok_or(SimError::new("the node did not rise"))?;
        node.obey(command)
    }
}

impl Workforce for Mortal {
    fn command(&mut self, command: &Command) -> Result<Answer, SimError> {
        if let Some(books) = &self.books {
            self.old_books.push(books.image(Survivors::SyncedOnly));
        }
        loop {
            match catch_unwind(AssertUnwindSafe(|| self.attempt(command))) {
                Ok(answer) => return answer,
                Err(payload) if payload.is::<Death>() => {
                    self.deaths.extend(self.watch.with(|watch| watch.last));
                    let found = self.next.take().ok_or(SimError::new("nobody chose this death"))?;
                    self.bury(found);
                    self.draw();
                }
                Err(payload) => resume_unwind(payload),
            }
        }
    }
}
