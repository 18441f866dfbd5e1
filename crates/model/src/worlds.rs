//! [`Name`]: the worlds that are searched, each with its bounds.

use crate::check::{Found, has_circle, search};
use crate::forwards;
use crate::payments::{self, Extra};
use crate::rules::{Mode, Rules};

/// A world: which payments there are, and what can happen to them.
///
/// Each is small enough to be searched whole in every [`Mode`]; what no world combines is listed in
/// `docs/MODEL.md`.
///
/// Source: issue 4, Shows 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Two payments of two parts each; the second reuses the id of the first.
    Reuse,
    /// One payment of two parts, a retry, and events for its paths.
    Retries,
    /// One payment of two parts; entries are pruned, monitors archived, tombstones forgotten.
    Forgetting,
    /// Two payments of one part on one id, with all of that.
    Successors,
    /// One payment of two parts; a crash may leave one monitor unreadable for a while.
    Unreadable,
    /// Two payments of one part each, at the same time, in one channel.
    Neighbours,
    /// One HTLC that is forwarded; a monitor may be unreadable for a while.
    Forward,
}

impl Name {
    /// All of them, in the order of a report.
    pub const ALL: [Self; 7] = [
        Self::Reuse,
        Self::Retries,
        Self::Forgetting,
        Self::Successors,
        Self::Unreadable,
        Self::Neighbours,
        Self::Forward,
    ];

    /// Returns the word that reports and `docs/MODEL.md` use.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reuse => "reuse",
            Self::Retries => "retries",
            Self::Forgetting => "forgetting",
            Self::Successors => "successors",
            Self::Unreadable => "unreadable",
            Self::Neighbours => "neighbours",
            Self::Forward => "forward",
        }
    }
}

/// How far a search goes.
///
/// Source: issue 4, Shows 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// Two crashes and a reorg: what `cargo xtask model` prints.
    Full,
    /// Less, for a test that has seconds.
    Small,
}

/// How often things may go wrong, and how far the unsynced tail of a store reaches.
struct Bounds {
    crashes: u8,
    reorgs: u8,
    epochs: u8,
    tail: u8,
}

/// Searches a world whole, or until `limit` steps were taken or a promise is broken.
///
/// A closed world without a violation is then searched for circles, because a run that never ends
/// would never be judged.
///
/// # Examples
///
/// ```
/// use lastword_model::{Extent, Mode, Name, Rules, run};
/// let found = run(Name::Forward, Mode::OneLog, Extent::Small, Rules::all(), 1_000_000);
/// assert!(found.is_closed && found.violation.is_none() && found.has_circle == Some(false));
/// ```
///
/// Source: issue 4, Shows 4.
pub fn run(name: Name, mode: Mode, extent: Extent, rules: Rules, limit: usize) -> Found {
    let Bounds { crashes, reorgs, epochs, tail } = bounds(name, mode, extent);
    let (parts, extras): (&[u8], &[Extra]) = match name {
        Name::Reuse if extent == Extent::Small => (&[2, 1], &[Extra::Reuse, Extra::Drop]),
        Name::Reuse => (&[2, 2], &[Extra::Reuse]),
        Name::Retries => (&[2], &[Extra::Retry, Extra::Paths]),
        Name::Forgetting => (&[2], &[Extra::Prune, Extra::Archive, Extra::Drop]),
        Name::Successors => (&[1, 1], &[Extra::Reuse, Extra::Prune, Extra::Archive, Extra::Drop]),
        Name::Unreadable => (&[2], &[Extra::Damage, Extra::Drop]),
        Name::Neighbours if extent == Extent::Small => (&[1, 1], &[]),
        Name::Neighbours => (&[1, 1], &[Extra::Drop]),
        Name::Forward => {
            let has_damage = true;
            let world = forwards::World { mode, rules, has_damage, crashes, reorgs, tail };
            return close(&world, limit);
        }
    };
    let world = payments::World { mode, rules, parts, extras, crashes, reorgs, epochs, tail };
    close(&world, limit)
}

fn close<M>(world: &M, limit: usize) -> Found
where
    M: stateright::Model + Clone + Send + Sync + 'static,
    M::State: Clone + PartialEq + std::fmt::Debug + std::hash::Hash + Send + Sync + 'static,
    M::Action: Clone + PartialEq + std::fmt::Debug,
{
    let found = search(world, limit);
    let has_circle = found.is_closed.then(|| has_circle(world));
    Found { has_circle, ..found }
}

const fn bounds(name: Name, mode: Mode, extent: Extent) -> Bounds {
    // Every version of a book that may come back is part of a state: those spaces are the largest.
    let is_any = matches!(mode, Mode::AnyBook);
    let (crashes, reorgs, epochs, tail) = match (extent, name) {
        (Extent::Full, Name::Neighbours) if is_any => (2, 0, 0, 1),
        (Extent::Full, Name::Retries) if is_any => (2, 1, 0, 1),
        (Extent::Full, Name::Reuse) => (2, 1, 0, 1),
        (Extent::Full, Name::Retries | Name::Unreadable | Name::Neighbours) => (2, 1, 0, 2),
        (Extent::Full, Name::Forgetting | Name::Successors) if is_any => (2, 0, 1, 1),
        (Extent::Full, Name::Forgetting | Name::Successors) => (2, 1, 2, 1),
        (Extent::Full, Name::Forward) => (2, 2, 0, 3),
        (Extent::Small, Name::Forgetting | Name::Successors) => (1, 0, 1, 1),
        (Extent::Small, Name::Retries | Name::Reuse | Name::Neighbours) => (1, 0, 0, 1),
        (Extent::Small, Name::Unreadable | Name::Forward) => (1, 1, 0, 1),
    };
    Bounds { crashes, reorgs, epochs, tail }
}
