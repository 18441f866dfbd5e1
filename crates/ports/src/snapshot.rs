//! [`SnapshotStore`]: where a replay may start, and what must be known without one.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::durable::Lsn;
use crate::log::{StoreError, Stream, UpdateLog};

/// A state together with the place in the log that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The state is the fold of every record up to here.
    pub at: Lsn,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// A card as a store keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredCard<'a> {
    /// Whose it is.
    pub stream: Stream,
    /// The position of the last record of the stream, 0 if it never had one; where that record is
    /// forgotten, either of the two. A card that covers less is older than its stream.
    pub last: u64,
    /// Its bytes.
    pub body: &'a [u8],
}

/// Who is told of each card: of the card, or that it is damaged and whose it is, as far as that is
/// known.
pub type CardVisitor<'v> = dyn FnMut(Result<StoredCard<'_>, StoreError>) + 'v;

/// Snapshots and cards beside an [`UpdateLog`].
///
/// # To be correct, an implementation must
///
/// - replace the snapshot of a stream whole: after a crash the old one or the new one is there;
/// - return from `cards` the newest card of every stream, with what was appended and not yet
///   synced, before a crash; after a crash the newest of what survived; each with the end of its
///   stream;
/// - tell from `cards` of each damaged one apart and go on behind it, so that one channel's damage
///   hides no other channel;
/// - refuse damaged bytes with [`StoreErrorKind::Corrupt`](crate::StoreErrorKind::Corrupt) and the
///   stream.
///
/// Conformance: `lastword_testkit::conformance::snapshot_store(&mut MyHarness::new())`.
pub trait SnapshotStore {
    /// Replaces the snapshot of a stream.
    ///
    /// # Crash safety
    ///
    /// Durable with the next [`sync`](UpdateLog::sync) at the latest, so that a snapshot costs no
    /// sync of its own; a crash before it leaves the old snapshot or this one. The caller makes sure
    /// that the log is durable up to `at`.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the old snapshot is still there.
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError>;

    /// Returns the snapshot of a stream, if it has one.
    ///
    /// # Errors
    ///
    /// [`StoreErrorKind::Corrupt`](crate::StoreErrorKind::Corrupt) if its bytes are damaged.
    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError>;

    /// Visits the card of every stream that has one, ordered by stream; the visitor does not use
    /// the store.
    ///
    /// # Shape
    ///
    /// Of a damaged card the visitor gets
    /// [`StoreErrorKind::Corrupt`](crate::StoreErrorKind::Corrupt) with its stream; without a stream
    /// if nobody can tell whose it is, or that one is missing: then the cards are not known to be
    /// all.
    ///
    /// # Errors
    ///
    /// A failure to read on: what was visited is right, and there may be more.
    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError>;
}

/// A log with its snapshots and cards.
pub trait Store: UpdateLog + SnapshotStore + Send {}

impl<T: UpdateLog + SnapshotStore + Send + ?Sized> Store for T {}

macro_rules! forward_snapshot_store {
    ($($target:ty),*) => {$(
        impl<T: SnapshotStore + ?Sized> SnapshotStore for $target {
            fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
                (**self).put(stream, at, body)
            }

            fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
                (**self).latest(stream)
            }

            fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
                (**self).cards(visit)
            }
        }
    )*};
}

forward_snapshot_store!(&mut T, Box<T>);
