//! [`Disk`]: the book and two monitors' ledgers, each with what is durable and the unsynced tail.

use crate::rules::Mode;

/// What the user was told of a generation, and what a release or a tombstone repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Told {
    Sent,
    Failed,
    Unknown,
}

impl Told {
    /// Returns its bit in a set.
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// What a monitor knows of an HTLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Verdict {
    Live,
    Failed,
    Fulfilled,
}

/// A line of a ledger.
///
/// ```text
/// Absent -> Open(Live) -> Open(Failed | Fulfilled) -> Released -> Tomb -> Gone
/// ```
///
/// The rules treat `Gone` as `Absent`; only the checks know the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Entry {
    Absent,
    /// Undelivered.
    Open(Verdict),
    /// Delivered, with what was told.
    Released(Verdict, Told),
    /// Forgotten but for what was told; the number is the book's epoch of that time.
    Tomb(Told, u8),
    Gone,
}

impl Entry {
    /// Returns what was told, if it is delivered.
    pub(crate) const fn told(self) -> Option<Told> {
        match self {
            Self::Released(_, told) | Self::Tomb(told, _) => Some(told),
            Self::Absent | Self::Open(_) | Self::Gone => None,
        }
    }

    /// Says whether nothing is known of the HTLC.
    pub(crate) const fn is_nothing(self) -> bool {
        matches!(self, Self::Absent | Self::Gone)
    }

    /// Says whether an outcome of it is owed.
    pub(crate) const fn is_open(self) -> bool {
        matches!(self, Self::Open(_))
    }
}

/// HTLCs that one generation may have: two parts and a retry.
pub(crate) const PARTS: u8 = 3;
/// HTLCs of a world: those of two generations.
pub(crate) const HTLCS: usize = 2 * PARTS as usize;
/// Channels of a world.
pub(crate) const CHANNELS: u8 = 2;

/// A monitor, as far as telling is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Ledger {
    pub(crate) entries: [Entry; HTLCS],
    /// No book older than this knows what its tombstones said.
    pub(crate) floor: u8,
    /// The highest epoch that a book was ever given.
    pub(crate) epoch: u8,
    pub(crate) is_archived: bool,
}

/// Where a payment stands in the book.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Phase {
    Empty,
    Pending,
    /// The outcome is recorded and its event queued.
    Decided(Told),
    /// The handler returned.
    Handled(Told),
}

/// What the book holds for one payment id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) generation: u8,
    pub(crate) phase: Phase,
    /// The second attempt is intended.
    pub(crate) is_retried: bool,
    /// Made from the ledgers: nothing is retried.
    pub(crate) is_rebuilt: bool,
    /// The parts whose path event was handled.
    pub(crate) paths: u8,
}

/// Nothing is known of an id.
pub(crate) const EMPTY: Slot =
    Slot { generation: 0, phase: Phase::Empty, is_retried: false, is_rebuilt: false, paths: 0 };

/// The payment book.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Book {
    pub(crate) slots: [Slot; 2],
    pub(crate) epoch: u8,
}

/// A book that knows nothing: what a node starts with, and what it has when its book is lost.
pub(crate) const NO_BOOK: Book = Book { slots: [EMPTY; 2], epoch: 0 };

/// The book and the ledgers at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Image<B = Book, L = Ledger> {
    pub(crate) book: B,
    pub(crate) ledgers: [L; CHANNELS as usize],
}

/// Which of the two is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// With the unsynced tail.
    Memory,
    /// Without it.
    Durable,
}

/// The stores: each a durable version and the versions that unsynced batches made of it.
///
/// A batch becomes durable by itself, oldest first, at any moment. So a crash may leave any prefix
/// of the tail, and a proof never runs ahead of what a crash would leave. With one log the three
/// stores move in step, which makes them one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Disk<B = Book, L = Ledger> {
    book: Vec<B>,
    ledgers: [Vec<L>; CHANNELS as usize],
    /// Every book that was ever durable, where any of them may come back. Ascending.
    pub(crate) history: Vec<B>,
}

/// A store that knows of no payment.
pub(crate) const NO_LEDGER: Ledger =
    Ledger { entries: [Entry::Absent; HTLCS], floor: 0, epoch: 0, is_archived: false };

impl<B: Clone + Ord, L: Clone + PartialEq> Disk<B, L> {
    pub(crate) fn new(mode: Mode, book: B, ledgers: [L; CHANNELS as usize]) -> Self {
        let history = if mode == Mode::AnyBook { vec![book.clone()] } else { Vec::new() };
        Self { book: vec![book], ledgers: ledgers.map(|ledger| vec![ledger]), history }
    }

    pub(crate) fn book(&self, view: View) -> &B {
        pick(&self.book, view)
    }

    pub(crate) fn ledger(&self, view: View, channel: u8) -> &L {
        pick(&self.ledgers[usize::from(channel)], view)
    }

    /// Appends what `change` makes of the newest image, to each store that it touches; nothing when
    /// it touches none, or when a tail is full.
    pub(crate) fn append(
        &mut self,
        (mode, tail): (Mode, u8),
        change: impl FnOnce(&mut Image<B, L>),
    ) -> Option<()> {
        let ledger = |channel| self.ledger(View::Memory, channel).clone();
        let old = Image { book: self.book(View::Memory).clone(), ledgers: [ledger(0), ledger(1)] };
        let mut new = old.clone();
        change(&mut new);
        if new == old {
            return None;
        }
        let all = mode == Mode::OneLog;
        let room = usize::from(tail) + 1;
        if all || new.book != old.book {
            push(&mut self.book, new.book, room)?;
        }
        for (store, (new, old)) in
            self.ledgers.iter_mut().zip(new.ledgers.into_iter().zip(old.ledgers))
        {
            if all || new != old {
                push(store, new, room)?;
            }
        }
        Some(())
    }

    /// Says whether a store has an unsynced tail.
    pub(crate) fn has_tail(&self, store: u8) -> bool {
        match store.checked_sub(1) {
            None => self.book.len() > 1,
            Some(channel) => self.ledgers[usize::from(channel)].len() > 1,
        }
    }

    /// Makes the oldest unsynced batch of a store durable.
    pub(crate) fn sync(&mut self, mode: Mode, store: u8) {
        let all = mode == Mode::OneLog;
        if all || store == 0 {
            self.book.remove(0);
            // It is empty where no book comes back any more.
            if !self.history.is_empty()
                && let Err(place) = self.history.binary_search(&self.book[0])
            {
                self.history.insert(place, self.book[0].clone());
            }
        }
        for (channel, ledger) in (1..).zip(&mut self.ledgers) {
            if all || store == channel {
                ledger.remove(0);
            }
        }
    }

    /// Loses the tails; an older book comes back where one is given.
    pub(crate) fn crash(&mut self, book: Option<u8>) {
        self.book.truncate(1);
        if let Some(version) = book {
            self.book[0] = self.history[usize::from(version)].clone();
        }
        for ledger in &mut self.ledgers {
            ledger.truncate(1);
        }
    }
}

/// Says how many stores there are to sync.
pub(crate) const fn stores(mode: Mode) -> u8 {
    match mode {
        Mode::OneLog => 1,
        Mode::SeparateStores | Mode::AnyBook => 1 + CHANNELS,
    }
}

fn pick<T>(store: &[T], view: View) -> &T {
    let last = store.len() - 1;
    match view {
        View::Memory => &store[last],
        View::Durable => &store[0],
    }
}

fn push<T>(store: &mut Vec<T>, version: T, room: usize) -> Option<()> {
    if store.len() >= room {
        return None;
    }
    store.push(version);
    Some(())
}
