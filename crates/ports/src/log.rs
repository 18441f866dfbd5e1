//! [`UpdateLog`]: records in, in order, and back again after a crash.

use alloc::boxed::Box;
use core::fmt;
use core::ops::ControlFlow;

use lastword_types::ChannelId;
use thiserror::Error;

use crate::durable::{Durable, Lsn};

/// Which sequence of records a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// The records of one channel's monitor.
    Channel(ChannelId),
    /// The records of the payment book.
    Payments,
    /// The tip of the chain, on a card; its records are of channels that did not see it.
    Chain,
    /// What payments came to that the book has dropped, in one of many parts that a payment's id
    /// chooses; it has records and no card.
    Finished(u16),
}

/// One thing to be written. The bytes are opaque to a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Frame<'a> {
    /// A record, added at the end of its stream.
    Record {
        /// Where it belongs.
        stream: Stream,
        /// Its bytes.
        body: &'a [u8],
    },
    /// The card of a stream; the newest replaces every older one.
    Card {
        /// Where it belongs.
        stream: Stream,
        /// Its bytes.
        body: &'a [u8],
    },
}

/// An append-only log of records, and of one card for each stream.
///
/// The engine calls it in one order: `append` as often as it likes, then `sync`, and acts only on
/// what the proof covers. It opens a log, replays, and only then appends.
///
/// # To be correct, an implementation must
///
/// - give every frame a position higher than that of the frame before, and return the last;
/// - keep a batch together: after a crash all of it or none of it is there;
/// - after a crash hold a *prefix* of the appended batches, with at least everything synced;
/// - replay the records of one stream in the order of their appends, whole and unchanged;
/// - refuse damaged bytes with [`StoreErrorKind::Corrupt`] and their [`Place`], never guess;
/// - after a failed sync, or a failed [`SyncJob`], refuse every later call with
///   [`StoreErrorKind::Poisoned`];
/// - call [`Durable::attest`] only for what a crash cannot take away any more.
///
/// Conformance: `lastword_testkit::conformance::update_log(&mut MyHarness::new())`.
pub trait UpdateLog {
    /// Appends a batch, all of it or none of it, and returns the position of its last frame.
    ///
    /// # Crash safety
    ///
    /// Nothing is promised until [`sync`](Self::sync).
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the log is unchanged. An empty batch returns the present end.
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError>;

    /// Makes every earlier append durable.
    ///
    /// # Errors
    ///
    /// [`StoreError`]. Any error is sticky: what is durable can only be learned by opening again.
    fn sync(&mut self) -> Result<Durable, StoreError>;

    /// Begins to make every earlier append durable, and returns the rest of the work: any thread may
    /// do it while this log is used on.
    ///
    /// A log that can do only one thing at a time keeps this method as it is: then it syncs here.
    /// One that overrides it lets jobs be run in any order, several at once, or never. The proof of
    /// a job covers what was appended before it was begun, also if an earlier job was never run;
    /// [`sync`](Self::sync) covers everything, whatever jobs are about.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as of [`sync`](Self::sync); what the job says is as sticky.
    fn begin_sync(&mut self) -> Result<SyncJob, StoreError> {
        self.sync().map(|durable| SyncJob::done(Ok(durable)))
    }

    /// Visits the records of a stream behind `after` (all of them for `None`), oldest first, until
    /// the visitor breaks.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`] with the place; what was visited before is sound.
    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Forgets the records of a stream up to and with `upto`, which a snapshot covers that was put
    /// before.
    ///
    /// # Crash safety
    ///
    /// A crash may leave any of the records that were to be forgotten, and takes none of them while
    /// the snapshot that covers it may be lost.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing was forgotten.
    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError>;
}

/// A sync that was begun and is finished by whoever runs it, on any thread.
///
/// A job that is dropped proves nothing and harms nothing: a later sync covers what it would have.
#[must_use = "nothing is proven before it has run"]
pub struct SyncJob(Job);

enum Job {
    Done(Result<Durable, StoreError>),
    Later(Box<dyn FnOnce() -> Result<Durable, StoreError> + Send>),
}

impl SyncJob {
    /// Makes a job of work that is still to be done.
    pub fn later(work: impl FnOnce() -> Result<Durable, StoreError> + Send + 'static) -> Self {
        Self(Job::Later(Box::new(work)))
    }

    /// Makes a job of a sync that has returned.
    pub fn done(result: Result<Durable, StoreError>) -> Self {
        Self(Job::Done(result))
    }

    /// Says whether running it takes no time.
    pub fn is_done(&self) -> bool {
        matches!(self.0, Job::Done(_))
    }

    /// Finishes the sync; it may block for as long as the disk does.
    ///
    /// # Errors
    ///
    /// As [`UpdateLog::sync`].
    pub fn run(self) -> Result<Durable, StoreError> {
        match self.0 {
            Job::Done(result) => result,
            Job::Later(work) => work(),
        }
    }
}

impl fmt::Debug for SyncJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SyncJob").field("is_done", &self.is_done()).finish()
    }
}

/// Where in a store something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The stream, where it is known.
    pub stream: Option<Stream>,
    /// The position, where it is known.
    pub position: Option<u64>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.stream {
            Some(Stream::Channel(channel_id)) => write!(f, "channel {channel_id}")?,
            Some(Stream::Payments) => f.write_str("the payment book")?,
            Some(Stream::Chain) => f.write_str("the chain tip")?,
            Some(Stream::Finished(part)) => write!(f, "part {part} of the finished payments")?,
            None => f.write_str("the store")?,
        }
        self.position.map_or(Ok(()), |position| write!(f, ", position {position}"))
    }
}

/// What the caller of a store should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreErrorKind {
    /// Nothing was changed; the same call may work later.
    Retry,
    /// There is no room; nothing was changed.
    Full,
    /// Stored bytes are damaged; the place says which.
    Corrupt,
    /// A sync failed earlier; open the store again.
    Poisoned,
    /// Another process owns the store.
    Fenced,
    /// The store will not do this, now or later: it may not write its file, it does not know the
    /// version of the file, or it was given a place of another log. Nothing was changed.
    Refused,
}

/// A store could not do what it was asked.
#[derive(Debug, Error)]
#[error("{kind:?} at {place}: {detail}")]
pub struct StoreError {
    /// What to do about it.
    pub kind: StoreErrorKind,
    /// Where it happened.
    pub place: Place,
    /// What it is, for a person.
    pub detail: &'static str,
    /// What lies beneath.
    #[source]
    pub source: Option<Box<dyn core::error::Error + Send + Sync>>,
}

impl StoreError {
    /// Makes an error without a cause beneath.
    pub fn new(kind: StoreErrorKind, place: Place, detail: &'static str) -> Self {
        Self { kind, place, detail, source: None }
    }

    /// Adds what lies beneath.
    #[must_use]
    pub fn with_source(
        mut self,
        source: impl Into<Box<dyn core::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
}

macro_rules! forward_update_log {
    ($($target:ty),*) => {$(
        impl<T: UpdateLog + ?Sized> UpdateLog for $target {
            fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
                (**self).append(batch)
            }

            fn sync(&mut self) -> Result<Durable, StoreError> {
                (**self).sync()
            }

            fn begin_sync(&mut self) -> Result<SyncJob, StoreError> {
                (**self).begin_sync()
            }

            fn replay(
                &self,
                stream: Stream,
                after: Option<Lsn>,
                visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
            ) -> Result<(), StoreError> {
                (**self).replay(stream, after, visit)
            }

            fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
                (**self).prune(stream, upto)
            }
        }
    )*};
}

forward_update_log!(&mut T, Box<T>);
