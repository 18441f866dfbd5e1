//! The bytes of a batch: what was called between two syncs, in its order.
//!
//! ```text
//! batch      magic "LWJB" · crc32c u32 · generation u64 · position u64 · durable u64
//!            · length of the directory u32 · length of the rows u32 · crc32c of the rows u32
//!            · directory · rows · zeros to 8
//! directory  for each call: what u8 · channel id [32] or a number, if one follows
//!            · length of the row, or of a prune its place
//! what       bits 0 and 1: 0 record, 1 card, 2 snapshot, 3 prune; the rest, the stream: 0 that of the
//!            call before, 1 the channel whose id follows, 2 the channel whose number follows,
//!            3 the payments, 4 the chain, 5 the part of the finished payments whose number follows
//! ```
//!
//! Numbers without a width are 7 bits a byte, the lowest first, the top bit set in all but the last. A
//! channel is numbered from 0, in the order of the ids in the batches of a generation.
//!
//! The first checksum covers the log's identity, the offset of the batch, and everything from the
//! generation to the end of the directory. So a batch that can be read at all says of every row
//! where it is and whose, and a damaged row is damage of its stream alone. `position` is the end of
//! the log before the batch; every byte of the journal below the offset `durable` was synced when
//! the batch was written.

use std::collections::BTreeMap;

use lastword_ports::Stream;
use lastword_types::ChannelId;

use crate::envelope::{RowKind, Seal};

/// Batches begin at multiples of this, so that a search for one is short.
pub(crate) const ALIGNMENT: usize = 8;

/// No batch is larger: its lengths have 32 bits.
const SIZE_MAX: usize = 1 << 30;
const MAGIC: [u8; 4] = *b"LWJB";
const HEADER: usize = 44;
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
    /// The channels that batches of this generation name, by their numbers.
    numbers: BTreeMap<ChannelId, usize>,
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
        let (what, row, number) = match *entry {
            Entry::Record { row, .. } => (0, row, row.len() as u64),
            Entry::Card { row, .. } => (1, row, row.len() as u64),
            Entry::Snapshot { row, .. } => (2, row, row.len() as u64),
            Entry::Prune { upto, .. } => (3, [].as_slice(), upto),
        };
        if self.size().saturating_add(row.len()) > size_max.min(SIZE_MAX) {
            self.clear();
            self.is_too_large = true;
            return;
        }
        self.name(what, entry.stream());
        put_number(&mut self.directory, number);
        self.rows.extend_from_slice(row);
    }

    fn name(&mut self, what: u8, stream: Stream) {
        if self.last == Some(stream) {
            return self.directory.push(what);
        }
        self.last = Some(stream);
        match stream {
            Stream::Channel(channel_id) => {
                if let Some(number) = self.numbers.get(&channel_id) {
                    self.directory.push(what | 2 << 2);
                    put_number(&mut self.directory, *number as u64);
                } else {
                    self.numbers.insert(channel_id, self.numbers.len());
                    self.directory.push(what | 1 << 2);
                    self.directory.extend(channel_id.0);
                }
            }
            Stream::Payments => self.directory.push(what | 3 << 2),
            Stream::Chain => self.directory.push(what | 4 << 2),
            Stream::Finished(part) => {
                self.directory.push(what | 5 << 2);
                put_number(&mut self.directory, u64::from(part));
            }
        }
    }

    /// Returns the bytes of the batch at an offset of the journal.
    pub(crate) fn bytes(&self, seal: Seal, at: usize, heading: Heading) -> Vec<u8> {
        let length = |part: &[u8]| {
            u32::try_from(part.len()).expect("a batch is no larger than SIZE_MAX").to_be_bytes()
        };
        let mut bytes = Vec::with_capacity(self.size());
        bytes.extend(MAGIC);
        bytes.extend([0; 4]);
        bytes.extend(heading.generation.to_be_bytes());
        bytes.extend(heading.position.to_be_bytes());
        bytes.extend(heading.durable.to_be_bytes());
        bytes.extend(length(&self.directory));
        bytes.extend(length(&self.rows));
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

    /// Forgets the numbers of channels too: another generation begins.
    pub(crate) fn begin_anew(&mut self) {
        self.clear();
        self.numbers.clear();
    }
}

/// A batch as it was read.
#[derive(Debug)]
pub(crate) struct Batch<'j> {
    pub(crate) heading: Heading,
    directory: &'j [u8],
    rows: &'j [u8],
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
    if short(4)? != heading_sum(seal, at, bytes.get(COVERED..directory_end)?) {
        return None;
    }
    let rows_end = directory_end.checked_add(usize::try_from(short(36)?).ok()?)?;
    let rows = bytes.get(directory_end..rows_end)?;
    Some(Batch {
        heading: Heading { generation: number(8)?, position: number(16)?, durable: number(24)? },
        directory: bytes.get(HEADER..directory_end)?,
        rows,
        is_whole: short(40)? == crc32c::crc32c(rows),
        end: at.checked_add(rows_end.checked_next_multiple_of(ALIGNMENT)?)?,
    })
}

impl<'j> Batch<'j> {
    /// Returns what was called, or nothing if the directory makes no sense. A row may be damaged if the
    /// batch is not whole.
    ///
    /// `named` are the channels by their numbers; this batch adds its own.
    pub(crate) fn entries(&self, named: &mut Vec<ChannelId>) -> Option<Vec<Entry<'j>>> {
        let (mut directory, mut rows) = (self.directory, self.rows);
        let (mut entries, mut last) = (Vec::new(), None);
        while let Some((what, rest)) = directory.split_first() {
            directory = rest;
            let stream = match what >> 2 {
                0 => last?,
                1 => {
                    let channel_id = ChannelId(*take(&mut directory)?);
                    named.push(channel_id);
                    Stream::Channel(channel_id)
                }
                2 => {
                    let number = usize::try_from(take_number(&mut directory)?).ok()?;
                    Stream::Channel(*named.get(number)?)
                }
                3 => Stream::Payments,
                4 => Stream::Chain,
                5 => Stream::Finished(u16::try_from(take_number(&mut directory)?).ok()?),
                _ => return None,
            };
            last = Some(stream);
            let number = take_number(&mut directory)?;
            if what & 3 == 3 {
                entries.push(Entry::Prune { stream, upto: number });
                continue;
            }
            let (row, rest) = rows.split_at_checked(usize::try_from(number).ok()?)?;
            rows = rest;
            entries.push(match what & 3 {
                0 => Entry::Record { stream, row },
                1 => Entry::Card { stream, row },
                _ => Entry::Snapshot { stream, row },
            });
        }
        rows.is_empty().then_some(entries)
    }
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

fn take<'d, const N: usize>(directory: &mut &'d [u8]) -> Option<&'d [u8; N]> {
    let (taken, rest) = directory.split_first_chunk()?;
    *directory = rest;
    Some(taken)
}

fn put_number(directory: &mut Vec<u8>, mut number: u64) {
    while number > 0x7F {
        directory.push(low_bits(number) | 0x80);
        number >>= 7;
    }
    directory.push(low_bits(number));
}

fn low_bits(number: u64) -> u8 {
    number.to_le_bytes()[0] & 0x7F
}

fn take_number(directory: &mut &[u8]) -> Option<u64> {
    let (mut number, mut shift) = (0, 0);
    loop {
        let [byte] = *take(directory)?;
        let bits = u64::from(byte & 0x7F);
        // Nothing is shifted out, and there is one way to write a number.
        if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
        shift = Some(shift + 7).filter(|shift| *shift < u64::BITS)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_and_have_one_encoding() {
        for number in [0, 1, 127, 128, 300, 16_383, 16_384, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            let mut rest = bytes.as_slice();
            assert_eq!((take_number(&mut rest), rest), (Some(number), [].as_slice()));
            assert_eq!(take_number(&mut &bytes[..bytes.len() - 1]), None);
        }
        let longest = [0xFF; 11];
        assert_eq!(take_number(&mut longest.as_slice()), None);
        assert_eq!(take_number(&mut [0x80, 0].as_slice()), None);
    }

    #[test]
    fn a_batch_comes_back_at_its_own_offset_of_its_own_log_and_nowhere_else() {
        let (one, other) = (ChannelId([1; 32]), ChannelId([2; 32]));
        let seal = Seal::new(lastword_ports::LogId([7; 16]));
        let rows: Vec<Vec<u8>> =
            (0..6).map(|number| vec![number; 100 * usize::from(number)]).collect();
        let calls = [
            Entry::Record { stream: Stream::Channel(one), row: &rows[1] },
            Entry::Card { stream: Stream::Channel(one), row: &rows[0] },
            Entry::Record { stream: Stream::Channel(other), row: &rows[2] },
            Entry::Record { stream: Stream::Channel(one), row: &rows[5] },
            Entry::Snapshot { stream: Stream::Payments, row: &rows[3] },
            Entry::Prune { stream: Stream::Payments, upto: 1 << 40 },
            Entry::Card { stream: Stream::Chain, row: &rows[4] },
            Entry::Record { stream: Stream::Finished(300), row: &rows[1] },
        ];
        let heading = Heading { generation: 3, position: 9, durable: 512 };
        let mut gathered = Gathered::default();
        let mut named = Vec::new();
        for at in [512_usize, 520] {
            for call in &calls {
                gathered.add(call, usize::MAX);
            }
            let mut journal = vec![0xEE; at];
            journal.extend(gathered.bytes(seal, at, heading));
            let batch = read(seal, &journal, at).expect("it was written");
            assert_eq!((batch.heading, batch.is_whole, batch.end), (heading, true, journal.len()));
            assert_eq!(batch.entries(&mut named).expect("it was written"), calls);
            assert!(read(Seal::unbound(), &journal, at).is_none());
            journal.insert(0, 0);
            assert!(read(seal, &journal, at + 1).is_none());
            gathered.clear();
        }
        assert_eq!(named, [one, other], "the second batch names them by number");
    }
}
