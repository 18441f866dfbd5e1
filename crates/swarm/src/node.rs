//! [`Node`]: the real driver on stores that crash and ports that fail.

use std::panic::{AssertUnwindSafe, catch_unwind};

use lastword_bolt3::InMemorySigner;
use lastword_engine::{Driver, EngineError, Ports};
use lastword_ports::{InboundState, LogId, Store};
use lastword_regtest::SharedChain;
use lastword_testkit::{CrashStore, Survivors};
use lastword_types::{ChannelId, Cursor, Event, MonitorUpdate, UpdateId};

use crate::dice::Dice;
use crate::ground;
use crate::htlc::Name;
use crate::marks::{Mark, Marks};
use crate::ports::{Bomb, Channels, Died, Disk, Forwards, Network, Shared, Switch};

/// Versions of a payment book that are kept.
const VERSIONS_MAX: usize = 8;

/// What the payment book is like at the next start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BookFault {
    Older,
    Absent,
    Fork,
}

/// Why an update was handed over.
#[derive(Debug, Clone)]
pub(crate) enum What {
    /// The next stage of the dance.
    Stage,
    /// The channel is to be failed.
    Fail,
    /// Both close it.
    Mutual,
    /// A payment is claimed.
    Claim(Vec<Name>),
}

/// An update of which it is not known whether it is durable.
#[derive(Debug, Clone)]
pub(crate) struct Tried {
    pub(crate) channel: usize,
    pub(crate) end: usize,
    pub(crate) what: What,
    pub(crate) update: MonitorUpdate,
}

/// How a start went.
#[derive(Debug)]
pub(crate) enum Rise {
    Up,
    Died,
    Failed(EngineError),
}

/// A node of ours.
#[expect(clippy::struct_excessive_bools, reason = "each is drawn on its own")]
pub(crate) struct Node {
    pub(crate) index: usize,
    monitors: CrashStore,
    pub(crate) books: Option<CrashStore>,
    /// Durable versions of the payment book, the oldest first.
    versions: Vec<CrashStore>,
    /// The newest version before an older one came back.
    fork: Option<CrashStore>,
    pub(crate) driver: Option<Driver>,
    pub(crate) switch: Shared<Switch>,
    pub(crate) forwards: Shared<Forwards>,
    pub(crate) channels: Shared<Channels>,
    keys: Vec<(usize, usize)>,
    pub(crate) is_reader: bool,
    /// What the user's handler was given and did not return from.
    pub(crate) held: Vec<Event>,
    /// What a reader was given and did not acknowledge.
    pub(crate) read: Vec<(Cursor, Event)>,
    pub(crate) cursor: Option<Cursor>,
    /// What a reader was given in the current start, by place.
    pub(crate) tried: Vec<Tried>,
    /// The attempt of a payment that was tried with them.
    pub(crate) tried_attempt: Option<(usize, usize)>,
    pub(crate) book_fault: Option<BookFault>,
    pub(crate) is_forwards_older: bool,
    pub(crate) is_channels_older: bool,
    pub(crate) hands_over: bool,
    /// Boundaries after which each of the next starts dies, the next one last.
    pub(crate) deaths: Vec<u32>,
    /// Starts in a row that died.
    deaths_in_row: u32,
    /// An older book came back at least once.
    pub(crate) had_older_book: bool,
    pub(crate) dropped_tombstones: bool,
    /// Blocks that came since it was up.
    pub(crate) sleeps: u32,
    pub(crate) panic: Option<String>,
}

impl Node {
    pub(crate) fn new(index: usize, is_one_log: bool, is_reader: bool) -> Self {
        let tag = u8::try_from(index).unwrap_or(0);
        let books = (!is_one_log).then(|| CrashStore::new(LogId([0xb0 + tag; 16])));
        Self {
            index,
            monitors: CrashStore::new(LogId([0xa0 + tag; 16])),
            books,
            versions: Vec::new(),
            fork: None,
            driver: None,
            switch: Shared::default(),
            forwards: Shared::default(),
            channels: Shared::default(),
            keys: Vec::new(),
            is_reader,
            held: Vec::new(),
            read: Vec::new(),
            cursor: None,
            tried: Vec::new(),
            tried_attempt: None,
            book_fault: None,
            is_forwards_older: false,
            is_channels_older: false,
            hands_over: false,
            deaths: Vec::new(),
            deaths_in_row: 0,
            had_older_book: false,
            dropped_tombstones: false,
            sleeps: 0,
            panic: None,
        }
    }

    /// Gives the node the keys of one end of a channel.
    pub(crate) fn add_keys(&mut self, channel: usize, end: usize) {
        self.keys.push((channel, end));
    }

    pub(crate) fn is_up(&self) -> bool {
        self.driver.as_ref().is_some_and(|driver| !driver.is_poisoned())
    }

    /// Runs something on the driver; `None` if the node is down or died of it.
    pub(crate) fn call<T>(&mut self, work: impl FnOnce(&mut Driver) -> T) -> Option<T> {
        let driver = self.driver.as_mut()?;
        match catch_unwind(AssertUnwindSafe(|| work(driver))) {
            Ok(value) => Some(value),
            Err(died) => {
                self.driver = None;
                if died.is::<Died>() {
                    self.mark(Mark::Crash);
                } else {
                    self.panicked(&*died);
                }
                None
            }
        }
    }

    fn panicked(&mut self, what: &(dyn core::any::Any + Send)) {
        let text = what.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| what.downcast_ref::<&str>().copied()).unwrap_or("a panic");
        self.panic = Some(text.to_owned());
    }

    pub(crate) fn mark(&self, mark: Mark) {
        self.switch.lock().marks.hit(mark);
    }

    /// Takes the counters out.
    pub(crate) fn take_marks(&self) -> Marks {
        std::mem::take(&mut self.switch.lock().marks)
    }

    /// Ends the process.
    pub(crate) fn kill(&mut self) {
        if self.driver.take().is_some() {
            self.mark(Mark::Crash);
        }
    }

    /// Keeps the durable version of the payment book.
    pub(crate) fn keep_version(&mut self) {
        let Some(books) = &self.books else { return };
        if self.versions.len() == VERSIONS_MAX {
            self.versions.remove(1);
        }
        self.versions.push(books.image(Survivors::SyncedOnly));
    }

    /// Puts the node together again from what a crash left.
    pub(crate) fn rise(&mut self, dice: &mut Dice, chain: &SharedChain) -> Rise {
        self.driver = None;
        self.held.clear();
        self.read.clear();
        self.cursor = None;
        self.survive(dice);
        self.restore_book(dice);
        let truth = self.age_books(dice);
        {
            let mut switch = self.switch.lock();
            switch.disk_full = false;
            switch.dies_in = self.deaths.pop();
        }
        let ports = self.ports(chain);
        let started = catch_unwind(AssertUnwindSafe(|| Driver::start(ports)));
        *self.forwards.lock() = truth;
        match started {
            Ok(Ok(mut driver)) => {
                // Half of the nodes keep no quiet monitor in memory.
                if self.index.is_multiple_of(2) {
                    driver.keep_quiet_bytes(0);
                }
                self.deaths_in_row = 0;
                self.driver = Some(driver);
                self.channels.lock().in_flight.clear();
                self.keep_version();
                Rise::Up
            }
            Ok(Err(error)) => Rise::Failed(error),
            Err(died) => {
                if !died.is::<Died>() {
                    self.panicked(&*died);
                }
                self.deaths_in_row += 1;
                self.mark(match self.deaths_in_row {
                    1 => Mark::CrashInRecovery,
                    2 => Mark::CrashTwice,
                    _ => Mark::CrashThrice,
                });
                Rise::Died
            }
        }
    }

    /// Draws what is left of each log.
    fn survive(&mut self, dice: &mut Dice) {
        self.monitors = self.image(&self.monitors, dice);
        self.books = self.books.as_ref().map(|books| self.image(books, dice));
    }

    fn image(&self, store: &CrashStore, dice: &mut Dice) -> CrashStore {
        let unsynced = store.unsynced_batches();
        let survivors = match dice.below(3) {
            0 => Survivors::SyncedOnly,
            1 => Survivors::Everything,
            _ => Survivors::Prefix(dice.below(unsynced + 1)),
        };
        let is_lost = match survivors {
            Survivors::SyncedOnly => unsynced > 0,
            Survivors::Everything => false,
            Survivors::Prefix(kept) => kept < unsynced,
        };
        if is_lost {
            self.mark(Mark::WritesLost);
        }
        store.image(survivors)
    }

    fn restore_book(&mut self, dice: &mut Dice) {
        let Some(books) = &mut self.books else { return };
        let restored = match self.book_fault.take() {
            None => return,
            Some(BookFault::Older) => {
                let at = dice.below(self.versions.len());
                let Some(older) = self.versions.get(at) else { return };
                let older = older.image(Survivors::Everything);
                // What came after it is of another life from now on.
                self.fork = Some(books.image(Survivors::Everything));
                self.versions.truncate(at + 1);
                self.switch.lock().marks.hit(Mark::BookOlder);
                older
            }
            Some(BookFault::Absent) => {
                self.fork = Some(books.image(Survivors::Everything));
                self.versions.clear();
                self.switch.lock().marks.hit(Mark::BookAbsent);
                CrashStore::new(books.log_id())
            }
            Some(BookFault::Fork) => {
                let Some(fork) = self.fork.take() else { return };
                self.versions.clear();
                self.switch.lock().marks.hit(Mark::BookFork);
                fork
            }
        };
        self.had_older_book = true;
        *books = restored;
    }

    /// Makes the manager's books of channels and forwards older than they are, where that was
    /// drawn; returns the forward book as it truly is.
    fn age_books(&mut self, dice: &mut Dice) -> Forwards {
        let mut forwards = self.forwards.lock();
        let truth = Forwards(forwards.0.clone());
        if std::mem::take(&mut self.is_forwards_older) {
            for state in forwards.0.values_mut() {
                if *state == InboundState::Resolved && dice.percent(50) {
                    *state = InboundState::Open;
                    self.switch.lock().marks.hit(Mark::ForwardsOlder);
                }
            }
        }
        drop(forwards);
        let mut channels = self.channels.lock();
        if std::mem::take(&mut self.is_channels_older) {
            for entry in channels.entries.values_mut() {
                let back = u64::try_from(dice.below(4)).unwrap_or(0);
                entry.latest_update = UpdateId(entry.latest_update.0.saturating_sub(back));
                self.switch.lock().marks.hit(Mark::ChannelsOlder);
            }
        }
        if std::mem::take(&mut self.hands_over) && !self.tried.is_empty() {
            channels.in_flight = self.tried.iter().map(|tried| tried.update.clone()).collect();
            self.switch.lock().marks.hit(Mark::InFlight);
        }
        truth
    }

    fn ports(&self, chain: &SharedChain) -> Ports {
        let disk = |store: &CrashStore| -> Box<dyn Store> {
            Box::new(Disk::new(store.clone(), self.switch.clone()))
        };
        let network = Network::new(chain.clone(), self.switch.clone(), self.index);
        let mut signer = InMemorySigner::new();
        for (channel, end) in &self.keys {
            ground::add_keys(&mut signer, *channel, *end);
        }
        Ports {
            monitors: disk(&self.monitors),
            books: self.books.as_ref().map(disk),
            source: Box::new(network.clone()),
            broadcaster: Box::new(network.clone()),
            signer: Box::new(signer),
            coins: Box::new(network.clone()),
            fees: Box::new(network),
            forwards: Box::new(self.forwards.clone()),
            channels: Box::new(self.channels.clone()),
            observer: Box::new(Bomb(self.switch.clone())),
        }
    }

    /// Says how far the monitor of a channel is, and whether the channel is open to it.
    pub(crate) fn stand(&mut self, channel_id: ChannelId) -> Option<(UpdateId, bool)> {
        self.call(|driver| {
            let state = driver.monitor(channel_id).ok()?.state();
            let is_open = !state.fail_channel
                && state.funding_spend.is_none()
                && state.closing_txids.is_empty();
            Some((state.latest_update, is_open))
        })
        .flatten()
    }
}
