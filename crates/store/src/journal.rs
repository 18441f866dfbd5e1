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
use crate::head::{Meta, NO_JOURNAL};

/// A journal becomes no larger than this, unless the store is told otherwise.
pub(crate) const SIZE_MAX: usize = 8 * 1024 * 1024;

/// The journal of an open store.
#[derive(Debug)]
pub(crate) struct Journal {
    log: LogId,
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
    pub(crate) fn new(file: Box<dyn StorageBackend>, meta: &Meta) -> Self {
        let generation = meta.generation.max(NO_JOURNAL + 1);
        Self {
            log: meta.log,
            seal: Seal::new(meta.log),
            syncs: Arc::new(Syncs::new(file, generation, BATCHES_AT as u64)),
            generation,
            at: BATCHES_AT,
            is_used: false,
            size_max: SIZE_MAX,
            gathered: Gathered::default(),
        }
    }

    /// Returns all bytes of the file, if it is the journal of this log.
    pub(crate) fn bytes(&self) -> Result<Vec<u8>, StoreError> {
        let bytes = front::read_all(self.syncs.file())?;
        front::check(&bytes, self.log)?;
        Ok(bytes)
    }

    /// Reads what the file held when the store was opened.
    pub(crate) fn read<'j>(
        &mut self,
        bytes: &'j [u8],
        meta: &Meta,
    ) -> Result<Read<'j>, StoreError> {
        let first = batch::read(self.seal, bytes, BATCHES_AT);
        let is_bare = bytes.len() <= BATCHES_AT && meta.proven != NO_JOURNAL;
        if is_bare || first.is_some_and(|first| first.heading.generation < meta.proven) {
            return Err(refused(NOWHERE, "the journal is of an earlier state of the store"));
        }
        let read = recovery::read(self.seal, bytes, self.generation, meta.end)?;
        self.is_used = !read.entries.is_empty() || read.cut.is_some();
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

    /// Returns what a store says of itself that holds everything in its database.
    pub(crate) fn after_checkpoint(&self, meta: Meta) -> Meta {
        let is_proven = self.syncs.durable() > BATCHES_AT as u64;
        Meta {
            generation: self.generation + u64::from(self.is_used),
            proven: if is_proven { self.generation } else { meta.proven },
            ..meta
        }
    }

    /// Begins anew: the database holds everything, and says which generation goes with it.
    pub(crate) fn rewind(&mut self, meta: &Meta) {
        self.generation = meta.generation;
        self.at = BATCHES_AT;
        self.is_used = false;
        self.gathered.begin_anew();
        self.syncs.rewind(meta.generation, BATCHES_AT as u64);
    }
}
