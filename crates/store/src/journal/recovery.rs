//! What a journal says when a store is opened, and where it ends.
//!
//! Batches are read from the start for as long as they follow each other. Behind the last one is
//! what an earlier generation left, or a tail that a crash tore, or damage. The batches that lie
//! still further behind tell them apart: one that was written when the unreadable place was already
//! durable says that a crash cannot have torn it.

use lastword_ports::{Place, StoreError, StoreErrorKind};

use super::batch::{self, ALIGNMENT, Entry};
use super::front::BATCHES_AT;
use crate::envelope::Seal;
use crate::fault::{NOWHERE, refused};

/// Where a journal was cut because a crash had torn what came behind.
///
/// Nothing of it had been acknowledged: a batch is acknowledged when all of it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// The position of the last frame that is kept.
    pub behind: u64,
    /// The offset in the journal.
    pub offset: u64,
}

/// What was read.
#[derive(Debug)]
pub(crate) struct Read<'j> {
    /// What was called, in its order.
    pub(crate) entries: Vec<Entry<'j>>,
    /// What was cut behind them.
    pub(crate) cut: Option<Cut>,
}

/// Reads the batches of a generation, of which the first follows the frame at `end`.
pub(crate) fn read(
    seal: Seal,
    journal: &[u8],
    generation: u64,
    end: u64,
) -> Result<Read<'_>, StoreError> {
    let (mut entries, mut named) = (Vec::new(), Vec::new());
    let (mut at, mut position) = (BATCHES_AT, end);
    let unreadable = loop {
        let batch = batch::read(seal, journal, at);
        let Some(batch) = batch.filter(|batch| batch.heading.generation >= generation) else {
            break batch::is_begun(journal, at, generation, position);
        };
        if batch.heading.generation > generation {
            return Err(refused(NOWHERE, "the journal is of a later state of the store"));
        }
        if batch.heading.position != position {
            return Err(damaged(position, "the journal does not go on where the log ends"));
        }
        if !batch.is_whole && !behind(seal, journal, generation, batch.end)?.has_durable(at) {
            break true;
        }
        let calls = batch.entries(&mut named);
        let calls = calls.ok_or_else(|| damaged(position, "a batch of the journal is nonsense"))?;
        let frames = calls.iter().filter(|entry| entry.is_frame()).count();
        let last = u64::try_from(frames).ok().and_then(|frames| position.checked_add(frames));
        position = last.filter(|last| *last < u64::MAX).ok_or_else(|| {
            damaged(position, "the journal holds more frames than there are positions")
        })?;
        at = batch.end;
        entries.extend(calls);
    };
    let behind = behind(seal, journal, generation, at + ALIGNMENT)?;
    if behind.has_durable(at) {
        return Err(damaged(position, "the journal is damaged here, and not at its end"));
    }
    let offset = u64::try_from(at).unwrap_or(u64::MAX);
    let is_torn = unreadable || behind.is_any;
    Ok(Read { entries, cut: is_torn.then_some(Cut { behind: position, offset }) })
}

fn damaged(position: u64, detail: &'static str) -> StoreError {
    let place = Place { stream: None, position: position.checked_add(1) };
    StoreError::new(StoreErrorKind::Corrupt, place, detail)
}

/// What the batches behind an offset say.
#[derive(Debug, Default)]
struct Behind {
    is_any: bool,
    /// Everything below this offset had been durable.
    durable: u64,
}

impl Behind {
    /// Says whether a batch that begins at an offset had been durable.
    fn has_durable(&self, at: usize) -> bool {
        usize::try_from(self.durable).is_ok_and(|durable| durable > at)
    }
}

/// Searches for the batches of a generation from an offset on, whatever lies between.
fn behind(seal: Seal, journal: &[u8], generation: u64, from: usize) -> Result<Behind, StoreError> {
    let mut behind = Behind::default();
    for at in (from..journal.len()).step_by(ALIGNMENT) {
        let Some(batch) = batch::read(seal, journal, at) else { continue };
        if batch.heading.generation > generation {
            return Err(refused(NOWHERE, "the journal is of a later state of the store"));
        }
        if batch.heading.generation == generation {
            behind.is_any = true;
            behind.durable = behind.durable.max(batch.heading.durable);
        }
    }
    Ok(behind)
}
