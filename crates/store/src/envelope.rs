//! The bytes around what a store keeps: keys, and a checksum bound to the place of every row.
//!
//! ```text
//! stream key   tag u8 (0 channel, 1 payments, 2 chain, 3 finished) · channel id [32], or u16 of the
//!              part of what is finished, then zero
//! record key   stream key [33] · position u64
//! row          crc32c u32 · payload
//! ```
//!
//! Integers are big-endian, so that keys sort as streams and positions do. The checksum covers the
//! log's identity, the kind of row, its key and its payload: a row that was copied from another
//! file, another table or another key is as damaged as one with a flipped bit.

use lastword_ports::{LogId, Stream};
use lastword_types::ChannelId;

/// The key of a stream; sorts as [`Stream`] does.
pub(crate) type StreamKey = [u8; 33];

/// The key of a piece of a snapshot: that of its stream, and which piece it is.
pub(crate) type PieceKey = [u8; 37];

/// Returns the key of a piece.
pub(crate) fn piece_key(stream: &StreamKey, number: u32) -> PieceKey {
    let mut key = [0; 37];
    key[..33].copy_from_slice(stream);
    key[33..].copy_from_slice(&number.to_be_bytes());
    key
}
/// The key of a record; sorts by stream, then by position.
pub(crate) type RecordKey = [u8; 41];

/// Which table a row is of, or what else the bytes are.
#[derive(Debug, Clone, Copy)]
pub(crate) enum RowKind {
    /// The row that describes the store.
    Meta = 0,
    /// A record.
    Record = 1,
    /// The head of a stream.
    Head = 2,
    /// A snapshot.
    Snapshot = 3,
    /// A card on its way to its head.
    Card = 4,
    /// The heading and the directory of a batch of the journal.
    Batch = 5,
    /// The front of the journal.
    Journal = 6,
}

/// Returns the key of a stream.
pub(crate) fn stream_key(stream: Stream) -> StreamKey {
    let mut key = [0; 33];
    match stream {
        Stream::Channel(channel_id) => key[1..].copy_from_slice(&channel_id.0),
        Stream::Payments => key[0] = 1,
        Stream::Chain => key[0] = 2,
        Stream::Finished(part) => {
            key[0] = 3;
            key[1..3].copy_from_slice(&part.to_be_bytes());
        }
    }
    key
}

/// Returns the stream of a key, or `None` for a key that [`stream_key`] does not make.
pub(crate) fn stream_of(key: &StreamKey) -> Option<Stream> {
    let (tag, id) = key.split_first()?;
    let stream = match tag {
        0 => Stream::Channel(ChannelId(id.try_into().ok()?)),
        1 => Stream::Payments,
        2 => Stream::Chain,
        3 => Stream::Finished(u16::from_be_bytes(*id.first_chunk()?)),
        _ => return None,
    };
    (stream_key(stream) == *key).then_some(stream)
}

/// Returns the key of a record.
pub(crate) fn record_key(stream: &StreamKey, position: u64) -> RecordKey {
    let mut key = [0; 41];
    key[..33].copy_from_slice(stream);
    key[33..].copy_from_slice(&position.to_be_bytes());
    key
}

/// Returns the position in a record's key, or `None` if the key is of another stream.
pub(crate) fn position_in(stream: &StreamKey, key: &RecordKey) -> Option<u64> {
    let position = key.strip_prefix(stream)?;
    Some(u64::from_be_bytes(position.try_into().ok()?))
}

/// Seals rows of one log and opens them again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seal(u32);

impl Seal {
    /// Makes the seal of a log.
    pub(crate) fn new(log: LogId) -> Self {
        Self(crc32c::crc32c(&log.0))
    }

    /// Makes the seal of the row that says which log it is.
    pub(crate) fn unbound() -> Self {
        Self(0)
    }

    /// Returns a row: the checksum and the parts of the payload.
    pub(crate) fn close(self, kind: RowKind, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        let size = 4 + parts.iter().map(|part| part.len()).sum::<usize>();
        let mut row = Vec::with_capacity(size);
        row.extend_from_slice(&[0; 4]);
        for part in parts {
            row.extend_from_slice(part);
        }
        let sum = self.sum(kind, key, &row[4..]);
        row[..4].copy_from_slice(&sum.to_be_bytes());
        row
    }

    /// Returns the payload of a row, or `None` if it is damaged.
    pub(crate) fn open<'row>(
        self,
        kind: RowKind,
        key: &[u8],
        row: &'row [u8],
    ) -> Option<&'row [u8]> {
        let (sum, payload) = row.split_first_chunk::<4>()?;
        (u32::from_be_bytes(*sum) == self.sum(kind, key, payload)).then_some(payload)
    }

    /// Returns the checksum of a payload in its place.
    pub(crate) fn sum(self, kind: RowKind, key: &[u8], payload: &[u8]) -> u32 {
        let sum = crc32c::crc32c_append(self.0, &[kind as u8]);
        crc32c::crc32c_append(crc32c::crc32c_append(sum, key), payload)
    }
}

/// Takes a number off the front of a payload.
pub(crate) fn take_u64(payload: &[u8]) -> Option<(u64, &[u8])> {
    let (number, rest) = payload.split_first_chunk::<8>()?;
    Some((u64::from_be_bytes(*number), rest))
}
