//! The bytes of a batch: what was called between two syncs, in its order.
//!
//! ```text
//! batch      magic "LWJB" · crc32c u32 · generation u64 · position u64 · durable u64
//!            · length of the directory u32 · crc32c of the rows u32 · directory · rows · zeros to 8
//! directory  for each call: what u8 · channel id [32] or part u16, if one follows · length of the
//!            row u32, or of a prune its place u64
//! what       bits 0 and 1: 0 record, 1 card, 2 snapshot, 3 prune; the bits above, the stream: 0 that
//!            of the call before, 1 the channel that follows, 2 the payments, 3 the chain, 4 the part
//!            of the finished payments that follows
//! ```
//!
//! The first checksum covers the log's identity, the offset of the batch, and everything from the
//! generation to the end of the directory. So a batch that can be read at all says of every row
//! where it is and whose, and a damaged row is damage of its stream alone. `position` is the end of
//! the log before the batch; every byte of the journal below the offset `durable` was synced when
//! the batch was written.

use lastword_ports::Stream;
use lastword_types::ChannelId;

use crate::envelope::{RowKind, Seal};

/// Batches begin at multiples of this, so that a search for one is short.
pub(crate) const ALIGNMENT: usize = 8;

const MAGIC: [u8; 4] = *b"LWJB";
const HEADER: usize = 40;
/// From here on the first checksum covers a batch.
const COVERED: usize = 8;

/// One call, with its row as the database will hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry<'a> {
    /// A record of the next position.
    Record { stream: Stream, row: &'a [u8] },
    /// The card of a stream, at the next position.
    Card { stream: Stream, row: &'a [u8] },
    /// The snapshot of a stream.
    Snapshot { stream: Stream, row: &'a [u8] },
    /// The records of a stream that are forgotten.
    Prune { stream: Stream, upto: u64 },
}

impl Entry<'_> {
    pub(crate) fn stream(&self) -> Stream {
        let (Self::Record { stream, .. }
        | Self::Card { stream, .. }
        | Self::Snapshot { stream, .. }
        | Self::Prune { stream, .. }) = *self;
        stream
    }

    /// Says whether it takes a position of the log.
    pub(crate) fn is_frame(&self) -> bool {
        matches!(self, Self::Record { .. } | Self::Card { .. })
    }
}

/// Where a batch is, and what was known when it was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heading {
    /// How often the journal had been begun anew.
    pub(crate) generation: u64,
    /// The position of the log's last frame before the batch.
    pub(crate) position: u64,
    /// The bytes of the journal below this offset were durable.
    pub(crate) durable: u64,
}

/// Calls that no batch was written of yet.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    directory: Vec<u8>,
    rows: Vec<u8>,
    /// Whose call the last one was.
    last: Option<Stream>,
    /// Whether the calls are more than a batch can be; then they are not kept.
    is_too_large: bool,
}

impl Gathered {
    pub(crate) fn is_empty(&self) -> bool {
        self.directory.is_empty() && !self.is_too_large
    }

    /// Returns the size of the batch in the journal.
    pub(crate) fn size(&self) -> usize {
        if self.is_too_large {
            return usize::MAX;
        }
        (HEADER + self.directory.len() + self.rows.len()).next_multiple_of(ALIGNMENT)
    }

    /// Adds a call, unless the batch becomes larger than `size_max`.
    pub(crate) fn add(&mut self, entry: &Entry<'_>, size_max: usize) {
        let (what, row, upto) = match *entry {
            Entry::Record { row, .. } => (0, row, None),
            Entry::Card { row, .. } => (1, row, None),
            Entry::Snapshot { row, .. } => (2, row, None),
            Entry::Prune { upto, .. } => (3, [].as_slice(), Some(upto)),
        };
        let length = u32::try_from(row.len()).ok();
        let (Some(length), false) = (length, self.size().saturating_add(row.len()) > size_max)
        else {
            *self = Self { is_too_large: true, ..Self::default() };
            return;
        };
        let stream = entry.stream();
        let whose = match stream {
            _ if self.last == Some(stream) => 0,
            Stream::Channel(_) => 1,
            Stream::Payments => 2,
            Stream::Chain => 3,
            Stream::Finished(_) => 4,
        };
        self.directory.push(what | whose << 2);
        match stream {
            _ if self.last == Some(stream) => {}
            Stream::Channel(channel_id) => self.directory.extend(channel_id.0),
            Stream::Finished(part) => self.directory.extend(part.to_be_bytes()),
            Stream::Payments | Stream::Chain => {}
        }
        self.last = Some(stream);
        match upto {
            Some(upto) => self.directory.extend(upto.to_be_bytes()),
            None => self.directory.extend(length.to_be_bytes()),
        }
        self.rows.extend_from_slice(row);
    }

    /// Returns the bytes of the batch at an offset of the journal.
    pub(crate) fn bytes(&self, seal: Seal, at: usize, heading: Heading) -> Vec<u8> {
        let length =
            u32::try_from(self.directory.len()).expect("a batch is smaller than a journal");
        let mut bytes = Vec::with_capacity(self.size());
        bytes.extend(MAGIC);
        bytes.extend([0; 4]);
        bytes.extend(heading.generation.to_be_bytes());
        bytes.extend(heading.position.to_be_bytes());
        bytes.extend(heading.durable.to_be_bytes());
        bytes.extend(length.to_be_bytes());
        bytes.extend(crc32c::crc32c(&self.rows).to_be_bytes());
        bytes.extend_from_slice(&self.directory);
        let sum = heading_sum(seal, at, &bytes[COVERED..]);
        bytes[4..COVERED].copy_from_slice(&sum.to_be_bytes());
        bytes.extend_from_slice(&self.rows);
        bytes.resize(self.size(), 0);
        bytes
    }

    /// Forgets the calls, and keeps the room they took.
    pub(crate) fn clear(&mut self) {
        self.directory.clear();
        self.rows.clear();
        (self.last, self.is_too_large) = (None, false);
    }
}

/// A batch as it was read.
#[derive(Debug)]
pub(crate) struct Batch<'j> {
    pub(crate) heading: Heading,
    /// What was called; a row may be damaged if the batch is not whole.
    pub(crate) entries: Vec<Entry<'j>>,
    /// Whether every row is as it was written.
    pub(crate) is_whole: bool,
    /// Where the next batch begins.
    pub(crate) end: usize,
}

/// Reads the batch at an offset, or says that there is none whose heading and directory are sound.
pub(crate) fn read(seal: Seal, journal: &[u8], at: usize) -> Option<Batch<'_>> {
    let bytes = journal.get(at..)?;
    if !bytes.starts_with(&MAGIC) {
        return None;
    }
    let number = |from: usize| Some(u64::from_be_bytes(*bytes.get(from..)?.first_chunk()?));
    let short = |from: usize| Some(u32::from_be_bytes(*bytes.get(from..)?.first_chunk()?));
    let directory_end = HEADER.checked_add(usize::try_from(short(32)?).ok()?)?;
    let covered = bytes.get(COVERED..directory_end)?;
    if short(4)? != heading_sum(seal, at, covered) {
        return None;
    }
    let heading = Heading { generation: number(8)?, position: number(16)?, durable: number(24)? };
    let (entries, size) = entries(bytes.get(HEADER..directory_end)?, bytes.get(directory_end..)?)?;
    let rows_end = directory_end.checked_add(size)?;
    let is_whole = short(36)? == crc32c::crc32c(bytes.get(directory_end..rows_end)?);
    let end = at.checked_add(rows_end.checked_next_multiple_of(ALIGNMENT)?)?;
    Some(Batch { heading, entries, is_whole, end })
}

/// Says whether a batch was begun at an offset that would follow `position`, whatever became of it:
/// whether two of its three marks are there. What an earlier generation left has one at most.
pub(crate) fn is_begun(journal: &[u8], at: usize, generation: u64, position: u64) -> bool {
    let bytes = journal.get(at..).unwrap_or_default();
    let has = |from: usize, mark: &[u8]| bytes.get(from..).is_some_and(|b| b.starts_with(mark));
    let marks =
        [has(0, &MAGIC), has(8, &generation.to_be_bytes()), has(16, &position.to_be_bytes())];
    marks.into_iter().filter(|is_there| *is_there).count() >= 2
}

fn heading_sum(seal: Seal, at: usize, covered: &[u8]) -> u32 {
    let offset = u64::try_from(at).unwrap_or(u64::MAX);
    seal.sum(RowKind::Batch, &offset.to_be_bytes(), covered)
}

/// Reads a directory with the rows behind it, and returns the length of all rows.
fn entries<'j>(mut directory: &[u8], rows: &'j [u8]) -> Option<(Vec<Entry<'j>>, usize)> {
    let (mut entries, mut last, mut at) = (Vec::new(), None, 0_usize);
    while let Some((what, rest)) = directory.split_first() {
        directory = rest;
        let stream = match what >> 2 {
            0 => last?,
            1 => Stream::Channel(ChannelId(*take(&mut directory)?)),
            2 => Stream::Payments,
            3 => Stream::Chain,
            4 => Stream::Finished(u16::from_be_bytes(*take(&mut directory)?)),
            _ => return None,
        };
        last = Some(stream);
        if what & 3 == 3 {
            let upto = u64::from_be_bytes(*take(&mut directory)?);
            entries.push(Entry::Prune { stream, upto });
            continue;
        }
        let length = usize::try_from(u32::from_be_bytes(*take(&mut directory)?)).ok()?;
        let end = at.checked_add(length)?;
        let row = rows.get(at..end)?;
        at = end;
        entries.push(match what & 3 {
            0 => Entry::Record { stream, row },
            1 => Entry::Card { stream, row },
            _ => Entry::Snapshot { stream, row },
        });
    }
    Some((entries, at))
}

fn take<'d, const N: usize>(directory: &mut &'d [u8]) -> Option<&'d [u8; N]> {
    let (taken, rest) = directory.split_first_chunk()?;
    *directory = rest;
    Some(taken)
}
