//! [`Journal`]: what the database does not hold yet, in a file that is written in its order.
//!
//! A sync writes what was called since the last one as one batch, and syncs the file: that is what
//! an acknowledgement costs. When the file is full everything is committed to the database, and the
//! journal begins anew at its start, as another *generation*. The database says which generation
//! goes with it, so that what an earlier one left is never read again. The file is never cut: a sync
//! of bytes that have their place on the disk is the cheapest there is.

mod batch;
mod front;
mod recovery;
mod syncs;

use std::sync::Arc;

use lastword_ports::{LogId, StoreError};
use redb::StorageBackend;

pub(crate) use batch::Entry;
use batch::{Gathered, Heading};
use front::BATCHES_AT;
pub use recovery::Cut;
pub(crate) use recovery::Read;
use syncs::Syncs;

use crate::envelope::Seal;
use crate::fault::{NOWHERE, refused};

/// A journal becomes no larger than this, unless the store is told otherwise.
pub(crate) const SIZE_MAX: usize = 8 * 1024 * 1024;

/// The journal of an open store.
#[derive(Debug)]
pub(crate) struct Journal {
    seal: Seal,
    syncs: Arc<Syncs>,
    generation: u64,
    /// Where the next batch goes.
    at: usize,
    /// Whether anything of this generation may be in the file.
    is_used: bool,
    size_max: usize,
    gathered: Gathered,
}

impl Journal {
    /// Makes the journal of a store that has none yet.
    pub(crate) fn lay_out(file: &dyn StorageBackend, log: LogId) -> Result<(), StoreError> {
        front::lay_out(file, log)
    }

    /// Takes over the journal of a generation. Nothing is written behind what it holds: that has to
    /// be read and committed first.
    pub(crate) fn new(file: Box<dyn StorageBackend>, log: LogId, generation: u64) -> Self {
        Self {
            seal: Seal::new(log),
            syncs: Arc::new(Syncs::new(file, generation, BATCHES_AT as u64)),
            generation,
            at: BATCHES_AT,
            is_used: false,
            size_max: SIZE_MAX,
            gathered: Gathered::default(),
        }
    }

    /// Returns all bytes of the file, if it is the journal of this log.
    pub(crate) fn bytes(&self, log: LogId) -> Result<Vec<u8>, StoreError> {
        let bytes = front::read_all(self.syncs.file())?;
        front::check(&bytes, log)?;
        Ok(bytes)
    }

    /// Reads what the file held when the store was opened, of which the first frame follows the one
    /// at `end`.
    pub(crate) fn read<'j>(&mut self, bytes: &'j [u8], end: u64) -> Result<Read<'j>, StoreError> {
        // A generation is begun only behind one that holds something: what is there is of this one
        // or of the one before.
        let first = batch::read(self.seal, bytes, BATCHES_AT);
        if first.is_some_and(|first| first.heading.generation.saturating_add(1) < self.generation) {
            return Err(refused(NOWHERE, "the journal is of an earlier state of the store"));
        }
        let read = recovery::read(self.seal, bytes, self.generation, end)?;
        self.is_used = !read.batches.is_empty() || read.cut.is_some();
        Ok(read)
    }

    pub(crate) fn set_size_max(&mut self, size_max: usize) {
        self.size_max = size_max;
    }

    /// Adds a call to what is written next.
    pub(crate) fn add(&mut self, entry: &Entry<'_>) {
        self.gathered.add(entry, self.size_max);
    }

    /// Says whether everything that was added is written.
    pub(crate) fn is_written(&self) -> bool {
        self.gathered.is_empty()
    }

    /// Says whether what is to be written goes into the file.
    pub(crate) fn has_room(&self) -> bool {
        self.at.saturating_add(self.gathered.size()) <= self.size_max
    }

    /// Writes what was added, behind `position`. A failure changes nothing: what was written of the
    /// batch is written over.
    pub(crate) fn write(&mut self, position: u64) -> Result<(), StoreError> {
        let durable = self.syncs.durable();
        let heading = Heading { generation: self.generation, position, durable };
        let bytes = self.gathered.bytes(self.seal, self.at, heading);
        self.is_used = true;
        let end = self.at + bytes.len();
        self.syncs.write(self.at as u64, &bytes, end as u64)?;
        self.at = end;
        self.gathered.clear();
        Ok(())
    }

    /// Says whether everything that was written is durable.
    pub(crate) fn is_durable(&self) -> bool {
        self.syncs.durable() >= self.at as u64
    }

    /// Returns the work that makes durable what was written, for any thread.
    pub(crate) fn sync(&self) -> impl FnOnce() -> Result<(), StoreError> + Send + use<> {
        let (syncs, generation, upto) = (self.syncs.clone(), self.generation, self.at as u64);
        move || syncs.sync(generation, upto)
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.syncs.is_poisoned()
    }

    pub(crate) fn poison(&self) {
        self.syncs.poison();
    }

    /// Says whether a checkpoint would spare the next opening anything.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used
    }

    /// Returns the generation that goes with a database that holds everything.
    pub(crate) fn next_generation(&self) -> u64 {
        if self.is_used { self.generation + 1 } else { self.generation }
    }

    /// Begins anew: the database holds everything, and says that this generation goes with it.
    pub(crate) fn rewind(&mut self, generation: u64) {
        self.generation = generation;
        self.at = BATCHES_AT;
        self.is_used = false;
        self.gathered.clear();
        self.syncs.rewind(generation, BATCHES_AT as u64);
    }
}
