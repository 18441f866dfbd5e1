//! [`World`] and [`State`]: one HTLC that is forwarded, from the channel it came in by to the next.

use crate::disk::{Disk, Verdict};
use crate::rules::{Mode, Rules};
use crate::truth::Fate;

/// A world of one forward and its bounds.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) mode: Mode,
    pub(crate) rules: Rules,
    /// A crash may leave one monitor unreadable, until it is repaired.
    pub(crate) has_damage: bool,
    pub(crate) crashes: u8,
    pub(crate) reorgs: u8,
    pub(crate) tail: u8,
}

/// A line of the outbound monitor. The rules treat `Gone` as `Absent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Outbound {
    Absent,
    Open(Verdict),
    Released,
    Gone,
}

/// A line of the inbound monitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Inbound {
    Live,
    /// The preimage is in it.
    Fulfilling,
    /// The failure is in it.
    Failing,
    /// Irrevocably resolved.
    Resolved,
    /// The monitor is archived; its channel id stays.
    Archived,
}

/// One of the two monitors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Monitor {
    Out(Outbound),
    In(Inbound),
}

/// What the forward book holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Book {
    /// The outbound half is intended.
    pub(crate) is_intended: bool,
    /// That the inbound half is unknown was reported.
    pub(crate) is_reported: bool,
}

/// What really became of the inbound HTLC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Upstream {
    Live,
    Paid,
    FailedBack,
}

/// A promise that was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    MoneyLost,
    ForwardedTwice,
    ReportedTwice,
}

/// One moment of the world.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) downstream: Fate,
    pub(crate) upstream: Upstream,
    /// The downstream peer showed the preimage while nothing was final.
    pub(crate) is_revealed: bool,
    pub(crate) crashes: u8,
    pub(crate) reorgs: u8,
    /// With a store that keeps its promise: the report was recorded.
    pub(crate) is_report_kept: bool,
    pub(crate) was_reported: bool,
    pub(crate) broken: u8,

    /// The node is about to append the outbound entry.
    pub(crate) is_sending: bool,
    pub(crate) damaged: Option<u8>,

    pub(crate) disk: Disk<Book, Monitor>,
}

/// The channel of the outbound half.
pub(crate) const OUT: u8 = 0;
/// The channel of the inbound half.
pub(crate) const IN: u8 = 1;

impl World {
    pub(crate) fn start(&self) -> State {
        let book = Book { is_intended: false, is_reported: false };
        let monitors = [Monitor::Out(Outbound::Absent), Monitor::In(Inbound::Live)];
        State {
            downstream: Fate::Unsent,
            upstream: Upstream::Live,
            is_revealed: false,
            crashes: 0,
            reorgs: 0,
            is_report_kept: false,
            was_reported: false,
            broken: 0,
            is_sending: false,
            damaged: None,
            disk: Disk::new(self.mode, book, monitors),
        }
    }
}

impl Broken {
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl State {
    pub(crate) fn is_broken(&self, broken: Broken) -> bool {
        self.broken & broken.bit() != 0
    }
}
