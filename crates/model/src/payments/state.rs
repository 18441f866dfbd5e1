//! [`World`] and [`State`]: which payments there are, and everything that changes.

use crate::disk::{Disk, HTLCS, NO_BOOK, NO_LEDGER, PARTS, Told, View};
use crate::rules::{Mode, Rules};
use crate::truth::Fate;

/// What a world has besides two channels, sends, crashes and reorgs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extra {
    /// The second payment reuses the id of the first; else it has its own.
    Reuse,
    /// A failed part of the first payment may be retried once.
    Retry,
    /// Paths are told.
    Paths,
    /// A crash may leave one monitor unreadable, until it is repaired.
    Damage,
    /// Entries become tombstones one by one.
    Prune,
    /// Monitors are archived.
    Archive,
    /// The book drops what is finished.
    Drop,
}

/// A world of payments and its bounds.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) mode: Mode,
    pub(crate) rules: Rules,
    /// How many parts each generation has; part N goes through channel N, the retry through 0.
    pub(crate) parts: &'static [u8],
    pub(crate) extras: &'static [Extra],
    pub(crate) crashes: u8,
    pub(crate) reorgs: u8,
    /// How many book epochs may be handed out; tombstones go behind one.
    pub(crate) epochs: u8,
    /// How many batches a store may have unsynced.
    pub(crate) tail: u8,
}

/// A promise that was broken; each is a property of the checker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    OneOutcome,
    Repeated,
    MetItsPast,
    SentUnpaid,
    FailedEarly,
    FalseVerdict,
    UnknownTwice,
    UnknownKnowable,
    PathRepeated,
    RetriedAfterSent,
}

impl Broken {
    pub(crate) const fn bit(self) -> u16 {
        1 << self as u16
    }
}

/// One moment of a world. The first part never rolls back, the second is lost by a crash, the third
/// comes back as the log's contract allows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) fates: [Fate; HTLCS],
    /// The HTLCs whose preimage the peer ever showed.
    pub(crate) revealed: u8,
    pub(crate) next_generation: u8,
    /// What the rules take a generation for.
    pub(crate) labels: [u8; 2],
    /// Generations whose `send` returned.
    pub(crate) accepted: u8,
    /// Generations of which an entry was ever durable.
    pub(crate) traced: u8,
    /// What the user was told of each, as bits of [`Told`].
    pub(crate) told: [u8; 2],
    /// Generations whose handler returned for the terminal event.
    pub(crate) returned: u8,
    /// Generations of which nothing may be told again.
    pub(crate) over: u8,
    /// Generations of which `Unknown` may not be told again.
    pub(crate) unknown_over: u8,
    pub(crate) crashes: u8,
    pub(crate) reorgs: u8,
    pub(crate) broken: u16,

    /// The event whose handler runs, for each generation.
    pub(crate) running: [Option<Told>; 2],
    /// Generations that were sent since the last crash.
    pub(crate) fresh: u8,
    /// Generations whose sender is about to append entries.
    pub(crate) sending: u8,
    /// A channel whose monitor cannot be read.
    pub(crate) damaged: Option<u8>,
    /// An epoch that was drawn in this run and not entered yet.
    pub(crate) drawn: Option<u8>,

    pub(crate) disk: Disk,
}

impl World {
    pub(crate) fn has(&self, extra: Extra) -> bool {
        self.extras.contains(&extra)
    }

    pub(crate) fn generations(&self) -> u8 {
        if self.parts.len() == 1 { 1 } else { 2 }
    }

    /// Returns the place in the book of a generation's payment id.
    pub(crate) fn id_of(&self, generation: u8) -> u8 {
        if self.has(Extra::Reuse) { 0 } else { generation }
    }

    pub(crate) fn start(&self) -> State {
        State {
            fates: [Fate::Unsent; HTLCS],
            revealed: 0,
            next_generation: 0,
            labels: [0; 2],
            accepted: 0,
            traced: 0,
            told: [0; 2],
            returned: 0,
            over: 0,
            unknown_over: 0,
            crashes: 0,
            reorgs: 0,
            broken: 0,
            running: [None; 2],
            fresh: 0,
            sending: 0,
            damaged: None,
            drawn: None,
            disk: Disk::new(self.mode, NO_BOOK, [NO_LEDGER; 2]),
        }
    }
}

impl State {
    pub(crate) fn break_promise(&mut self, broken: Broken) {
        self.broken |= broken.bit();
    }

    pub(crate) fn is_broken(&self, broken: Broken) -> bool {
        self.broken & broken.bit() != 0
    }

    pub(crate) fn was_told(&self, generation: u8, told: Told) -> bool {
        self.told[usize::from(generation)] & told.bit() != 0
    }

    /// Says whether any durable ledger knows a generation.
    pub(crate) fn has_trace(&self, generation: u8) -> bool {
        htlcs_of(generation).any(|htlc| {
            let entries = &self.disk.ledger(View::Durable, channel_of(htlc)).entries;
            !entries[usize::from(htlc)].is_nothing()
        })
    }

    pub(crate) fn fate(&self, htlc: u8) -> Fate {
        self.fates[usize::from(htlc)]
    }
}

/// Returns the HTLC of a generation's part.
pub(crate) const fn htlc(generation: u8, part: u8) -> u8 {
    generation * PARTS + part
}

/// Returns the HTLCs of a generation.
pub(crate) fn htlcs_of(generation: u8) -> impl Iterator<Item = u8> {
    (0..PARTS).map(move |part| htlc(generation, part))
}

/// Returns the channel of an HTLC: the second part has one of its own.
pub(crate) const fn channel_of(htlc: u8) -> u8 {
    if htlc % PARTS == 1 { 1 } else { 0 }
}

/// Returns the generation of an HTLC.
pub(crate) const fn generation_of(htlc: u8) -> u8 {
    htlc / PARTS
}

/// Says whether the bit of a number is set.
pub(crate) const fn has_bit(set: u8, number: u8) -> bool {
    set & (1 << number) != 0
}
