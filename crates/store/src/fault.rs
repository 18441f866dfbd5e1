//! From the engine's errors to ours: what the caller should do, and the place.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use lastword_ports::{Place, StoreError, StoreErrorKind, Stream};

/// Somewhere in the store, nobody knows where.
pub(crate) const NOWHERE: Place = Place { stream: None, position: None };

/// Returns the place of a stream, or of a position in it.
pub(crate) fn place(stream: Stream, position: Option<u64>) -> Place {
    Place { stream: Some(stream), position }
}

/// Makes the error for bytes that are not what was written.
pub(crate) fn corrupt(place: Place, detail: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Corrupt, place, detail)
}

/// Makes the error for a call that can never work.
pub(crate) fn refused(place: Place, detail: &'static str) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, place, detail)
}

/// Makes the error for a call after a failure.
pub(crate) fn poisoned() -> StoreError {
    let detail = "a sync failed earlier; open the store again";
    StoreError::new(StoreErrorKind::Poisoned, NOWHERE, detail)
}

/// Takes an error of the disk for what the caller should do about it, as [`engine_error`] does.
pub(crate) fn disk_error(error: io::Error, place: Place, other: StoreErrorKind) -> StoreError {
    let (kind, detail) = io_error(&error, other);
    StoreError::new(kind, place, detail).with_source(error)
}

/// Runs a call into the engine.
///
/// The engine trusts the pages of a file that was closed in order, and may panic on one that was
/// damaged since. Here that is what every other damage is: an error with its place.
pub(crate) fn guarded<T>(
    place: Place,
    work: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Unwind safe: after a panic nothing is written any more, and what is read is checked.
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(corrupt(place, "the engine gave up on the bytes of the file")))
}

/// Takes an error of the engine for what the caller should do about it.
///
/// `other` is for an input or output error that says nothing more: at opening the same call may
/// work later; afterwards the engine refuses everything until it is opened again.
#[expect(clippy::wildcard_enum_match_arm, reason = "the engine's errors are an open list")]
pub(crate) fn engine_error(
    error: impl Into<redb::Error>,
    place: Place,
    other: StoreErrorKind,
) -> StoreError {
    use redb::Error as Engine;

    let error = error.into();
    let (kind, detail) = match &error {
        Engine::DatabaseAlreadyOpen | Engine::LockProtocolMismatch => {
            (StoreErrorKind::Fenced, "another process has the file open")
        }
        Engine::UpgradeRequired(_) => {
            (StoreErrorKind::Refused, "another version of the engine wrote the file")
        }
        Engine::ValueTooLarge(_) | Engine::Unsupported => {
            (StoreErrorKind::Refused, "the engine cannot do this")
        }
        Engine::PreviousIo | Engine::DatabaseClosed | Engine::LockPoisoned(_) => {
            (StoreErrorKind::Poisoned, "an earlier call failed")
        }
        Engine::Io(error) => io_error(error, other),
        _ => (StoreErrorKind::Corrupt, "the engine does not understand the file"),
    };
    StoreError::new(kind, place, detail).with_source(error)
}

fn io_error(error: &io::Error, other: StoreErrorKind) -> (StoreErrorKind, &'static str) {
    use io::ErrorKind as Io;

    let is_one_of = |kinds: &[Io]| kinds.contains(&error.kind());
    if is_one_of(&[Io::StorageFull, Io::QuotaExceeded, Io::FileTooLarge]) {
        return (StoreErrorKind::Full, "there is no room");
    }
    if is_one_of(&[Io::PermissionDenied, Io::ReadOnlyFilesystem]) {
        return (StoreErrorKind::Refused, "the file may not be written");
    }
    if is_one_of(&[Io::NotFound, Io::IsADirectory, Io::NotADirectory]) {
        return (StoreErrorKind::Refused, "there can be no file of this name");
    }
    if is_one_of(&[Io::UnexpectedEof, Io::InvalidData]) {
        return (StoreErrorKind::Corrupt, "the file is too short or not a store");
    }
    (other, "the file cannot be read or written")
}
