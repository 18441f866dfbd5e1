//! Conformance suites: what the ports' pages promise, checked against your implementation.
//!
//! Each suite has two forms. [`update_log`], [`snapshot_store`], [`block_source`] and
//! [`event_handler()`] are the one line of a test and panic with the broken rule; `check_…` return it
//! as a [`Violation`].
//!
//! A suite needs a [`Harness`]: how to get a fresh instance, and how to end one and open it again.
//! [`harness`] makes one of two closures.

mod begun_sync;
mod block_source;
mod event_handler;
mod model;
mod snapshot_store;
mod subject;
mod update_log;

use std::fmt;

use lastword_ports::{BlockSource, SnapshotStore, UpdateLog};

pub use block_source::{ChainHarness, check_block_source};
pub use event_handler::{HandlerHarness, check_event_handler, handler_harness};
pub use snapshot_store::check_snapshot_store;
pub use update_log::check_update_log;

/// What an implementation of a port promises. The words are those of the port's page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// A call that the port allows works.
    Works,
    /// Every frame has a higher position than the one before; `append` returns the last.
    PositionsRise,
    /// An empty batch changes nothing and returns the present end.
    EmptyBatch,
    /// Replay visits every record of its stream and no other, unchanged, in the order of appends.
    ReplayWhole,
    /// Replay starts behind `after`.
    ReplayAfter,
    /// Replay stops when the visitor breaks.
    ReplayStops,
    /// A sync proves what was appended before it and nothing that was not.
    ProofCovers,
    /// The job of a sync proves what was appended before it was begun, and nothing that is not durable.
    JobProves,
    /// A log has one identity of its own, for ever.
    LogIdentity,
    /// What was synced is there after a crash.
    SyncedSurvives,
    /// What is there after a crash is a prefix of the batches, each of them whole.
    PrefixSurvives,
    /// Prune forgets what it was asked to forget and nothing else.
    PruneForgets,
    /// The newest card of every stream is visited once, ordered by stream, with its stream's end.
    CardNewest,
    /// A card is part of its batch: after a crash it is the newest of what survived.
    CardSurvives,
    /// The snapshot of a stream is the last one put, whole, with its place.
    SnapshotWhole,
    /// A snapshot is durable with the next sync, and until then no crash takes what it covers.
    SnapshotSurvives,
    /// `tip` is the best block, and rises when blocks are mined.
    TipIsBest,
    /// `header` says the place of any block that the source ever had.
    HeaderConnects,
    /// `block` returns what was asked for.
    BlockAsAsked,
    /// What the source does not have is [`NotFound`](lastword_ports::ChainErrorKind::NotFound).
    UnknownIsNotFound,
    /// A handler takes every event, at the latest when it is told again.
    HandlerTakes,
    /// A handler does something, or the harness cannot see what it does.
    HandlerActs,
    /// An event that comes again changes nothing, also after a crash.
    HandlerOnce,
    /// What a handler returned `Ok` for survives a crash.
    HandlerKeeps,
    /// The events of different payments come in any order and at once, and end alike.
    HandlerApart,
}

/// A rule that an implementation broke, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// What was expected and what was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rule {:?} is broken: {}", self.rule, self.detail)
    }
}

impl std::error::Error for Violation {}

/// How a suite gets the implementation under test.
pub trait Harness {
    /// The implementation.
    type Store;

    /// Opens an empty one, independent of every other.
    fn open(&mut self) -> Self::Store;

    /// Ends it, in order or not, and opens it again.
    ///
    /// A harness that loses what was not synced checks most. One that cannot lose anything, because
    /// the store lives in memory, returns what it was given.
    fn reopen(&mut self, store: Self::Store) -> Self::Store;
}

/// Makes a harness of two closures.
///
/// # Examples
///
/// ```
/// use lastword_ports::LogId;
/// use lastword_testkit::conformance::{self, harness};
/// use lastword_testkit::{CrashStore, Survivors};
///
/// let mut logs = 0;
/// conformance::update_log(&mut harness(
///     || {
///         logs += 1;
///         CrashStore::new(LogId([logs; 16]))
///     },
///     |store| store.image(Survivors::SyncedOnly),
/// ));
/// ```
pub fn harness<S>(open: impl FnMut() -> S, reopen: impl FnMut(S) -> S) -> impl Harness<Store = S> {
    Closures { open, reopen }
}

struct Closures<O, R> {
    open: O,
    reopen: R,
}

impl<S, O: FnMut() -> S, R: FnMut(S) -> S> Harness for Closures<O, R> {
    type Store = S;

    fn open(&mut self) -> S {
        (self.open)()
    }

    fn reopen(&mut self, store: S) -> S {
        (self.reopen)(store)
    }
}

/// Checks everything that [`UpdateLog`] promises.
///
/// # Panics
///
/// With the first [`Violation`].
#[track_caller]
pub fn update_log<H: Harness>(harness: &mut H)
where
    H::Store: UpdateLog,
{
    demand(check_update_log(harness));
}

/// Checks everything that [`SnapshotStore`] promises, together with its log.
///
/// # Panics
///
/// With the first [`Violation`].
#[track_caller]
pub fn snapshot_store<H: Harness>(harness: &mut H)
where
    H::Store: UpdateLog + SnapshotStore,
{
    demand(check_snapshot_store(harness));
}

/// Checks everything that [`BlockSource`] promises, also through a reorganisation.
///
/// # Panics
///
/// With the first [`Violation`].
#[track_caller]
pub fn block_source<H: ChainHarness>(harness: &mut H)
where
    H::Source: BlockSource,
{
    demand(check_block_source(harness));
}

/// Checks everything that [`EventHandler`](lastword_ports::EventHandler) asks of an implementation:
/// each event is told again and again, before a crash and behind it, of several payments at once, and
/// what the handler did is what it would have done had each come once.
///
/// # Panics
///
/// With the first [`Violation`].
#[track_caller]
pub fn event_handler<H: HandlerHarness>(harness: &mut H) {
    demand(check_event_handler(harness));
}

#[track_caller]
#[expect(clippy::panic, reason = "the one-line form of a suite fails the test that calls it")]
fn demand(result: Result<(), Violation>) {
    if let Err(violation) = result {
        panic!("{violation}");
    }
}

/// Breaks a rule unless `holds`.
fn ensure(holds: bool, rule: Rule, detail: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { rule, detail: detail() }) }
}

/// Breaks a rule unless what was seen is what was expected.
fn expect_equal<T: fmt::Debug + PartialEq>(
    rule: Rule,
    what: &str,
    seen: &T,
    expected: &T,
) -> Result<(), Violation> {
    ensure(seen == expected, rule, || {
        format!("{what}: expected {}, saw {}", shorten(expected), shorten(seen))
    })
}

/// Shows a value in at most a few lines.
fn shorten(value: &impl fmt::Debug) -> String {
    const MAX_CHARS: usize = 300;
    let text = format!("{value:?}");
    match text.char_indices().nth(MAX_CHARS) {
        Some((cut, _)) => format!("{}… ({} bytes)", &text[..cut], text.len()),
        None => text,
    }
}
