//! The first bytes of a journal: which store it is of.
//!
//! ```text
//! magic "LWJOURN1" · crc32c u32 · log id [16] · zeros to 512
//! ```

use lastword_ports::{LogId, StoreError, StoreErrorKind};
use redb::StorageBackend;

use super::batch;
use crate::envelope::{RowKind, Seal};
use crate::fault::{NOWHERE, corrupt, disk_error, refused};

/// Where the first batch begins: behind a sector that is written once.
pub(crate) const BATCHES_AT: usize = 512;

/// A journal that is longer was not written by this code.
const LENGTH_MAX: u64 = 256 * 1024 * 1024;

const MAGIC: [u8; 8] = *b"LWJOURN1";
const LOG_AT: usize = 12;
const LENGTH: usize = LOG_AT + 16;

/// Reads all that a journal holds.
pub(crate) fn read_all(file: &dyn StorageBackend) -> Result<Vec<u8>, StoreError> {
    let failed = |error| disk_error(error, NOWHERE, StoreErrorKind::Retry);
    let length = file.len().map_err(failed)?;
    let length = Some(length).filter(|length| *length <= LENGTH_MAX);
    let length = length.and_then(|length| usize::try_from(length).ok());
    let length =
        length.ok_or_else(|| refused(NOWHERE, "the journal is longer than any of ours"))?;
    let mut bytes = vec![0; length];
    file.read(0, &mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Makes a file the journal of a store that has none yet.
pub(crate) fn lay_out(file: &dyn StorageBackend, log: LogId) -> Result<(), StoreError> {
    let bytes = read_all(file)?;
    // What an interrupted creation left has no batches.
    if let Ok(owner) = owner(&bytes)
        && batch::read(Seal::new(owner), &bytes, BATCHES_AT).is_some()
    {
        return Err(refused(NOWHERE, "there is a journal of a store that is not here"));
    }
    let mut front = MAGIC.to_vec();
    front.extend(sum(&log.0).to_be_bytes());
    front.extend(log.0);
    front.resize(BATCHES_AT, 0);
    let failed = |error| disk_error(error, NOWHERE, StoreErrorKind::Retry);
    file.set_len(front.len() as u64).map_err(failed)?;
    file.write(0, &front).map_err(failed)?;
    file.sync_data().map_err(failed)
}

/// Checks that a journal is that of a log.
pub(crate) fn check(bytes: &[u8], log: LogId) -> Result<(), StoreError> {
    if bytes.is_empty() {
        return Err(refused(NOWHERE, "the journal of the store is missing"));
    }
    if owner(bytes)? != log {
        return Err(refused(NOWHERE, "the journal is of another store"));
    }
    Ok(())
}

/// Returns the identity of the log that a journal is of.
fn owner(bytes: &[u8]) -> Result<LogId, StoreError> {
    let front = bytes.first_chunk::<LENGTH>().filter(|front| front.starts_with(&MAGIC));
    let log = front.and_then(|front| Some((front, *front.get(LOG_AT..)?.first_chunk()?)));
    match log {
        Some((front, log)) if front[MAGIC.len()..LOG_AT] == sum(&log).to_be_bytes() => {
            Ok(LogId(log))
        }
        Some(_) | None => Err(corrupt(NOWHERE, "the journal does not say whose it is")),
    }
}

fn sum(log: &[u8; 16]) -> u32 {
    Seal::unbound().sum(RowKind::Journal, &MAGIC, log)
}
