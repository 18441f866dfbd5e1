//! [`Head`] and [`Meta`]: what a store knows of a stream, and of itself, without reading records.

use lastword_ports::LogId;

use crate::envelope::{RowKind, Seal, StreamKey, take_u64};

/// The version of the files that this code writes.
pub(crate) const FORMAT_VERSION: u32 = 2;

/// The version without a journal. It is read, and the first opening makes it the present one.
const WITHOUT_JOURNAL: u32 = 1;

/// The generation that no journal has: that of a store which has none yet.
pub(crate) const NO_JOURNAL: u64 = 0;

/// The key of the one row of the store itself.
pub(crate) const META_KEY: u8 = 0;

/// What is known of a stream: where it ends, where it begins, its snapshot and its card.
///
/// # Shape
///
/// ```text
/// last u64 · pruned u64 · snapshot u64 · has card u8 · card position u64 · card body
/// ```
///
/// `has card` is 0 without one, 1 with one, and 2 for one whose body was damaged in the journal. 0 is
/// no position of any frame, so it stands for "none"; `snapshot` is one more than the position
/// that the snapshot stands for, because a snapshot before the first frame is one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Head {
    /// The position of the last record.
    pub(crate) last: u64,
    /// The records up to and with this position are forgotten.
    pub(crate) pruned: u64,
    /// The position that the snapshot stands for.
    pub(crate) snapshot: Option<u64>,
    /// The newest card.
    pub(crate) card: Option<Card>,
}

/// The newest card of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Card {
    pub(crate) position: u64,
    /// Its bytes, unless they were damaged before they came here.
    pub(crate) body: Option<Vec<u8>>,
}

impl Head {
    /// Returns the row of this head.
    pub(crate) fn seal(&self, seal: Seal, key: &StreamKey) -> Vec<u8> {
        // A snapshot of the last possible position cannot be: `append` stops before it.
        let snapshot = self.snapshot.map_or(0, |at| at.saturating_add(1));
        let (has_card, position, body) = match &self.card {
            None => (0, 0, [].as_slice()),
            Some(Card { position, body: Some(body) }) => (1, *position, body.as_slice()),
            Some(Card { position, body: None }) => (2, *position, [].as_slice()),
        };
        seal.close(
            RowKind::Head,
            key,
            &[
                &self.last.to_be_bytes(),
                &self.pruned.to_be_bytes(),
                &snapshot.to_be_bytes(),
                &[has_card],
                &position.to_be_bytes(),
                body,
            ],
        )
    }

    /// Reads a row, or returns `None` if it is damaged.
    pub(crate) fn open(seal: Seal, key: &StreamKey, row: &[u8]) -> Option<Self> {
        let payload = seal.open(RowKind::Head, key, row)?;
        let (last, payload) = take_u64(payload)?;
        let (pruned, payload) = take_u64(payload)?;
        let (snapshot, payload) = take_u64(payload)?;
        let (has_card, payload) = payload.split_first()?;
        let (position, body) = take_u64(payload)?;
        let card = match (has_card, body) {
            (0, []) => None,
            (1, body) => Some(Card { position, body: Some(body.to_vec()) }),
            (2, []) => Some(Card { position, body: None }),
            _ => return None,
        };
        Some(Self { last, pruned, snapshot: snapshot.checked_sub(1), card })
    }
}

/// What a store knows of itself.
///
/// # Shape
///
/// ```text
/// format version u32 · log id [16] · end u64 · streams u64 · generation u64 · proven u64
/// ```
///
/// Version 1 ends behind `streams`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Meta {
    /// The identity of the log.
    pub(crate) log: LogId,
    /// The position of the last frame that is in the tables.
    pub(crate) end: u64,
    /// How many streams have a head: a lost row is noticed.
    pub(crate) streams: u64,
    /// The generation of the journal that holds what came later.
    pub(crate) generation: u64,
    /// The last generation of which a batch was durable: what the journal holds is no older.
    pub(crate) proven: u64,
}

/// A row that does not describe a store of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MetaFault {
    /// The bytes are damaged.
    Damaged,
    /// Another version wrote them.
    Version,
}

impl Meta {
    /// Returns the row.
    pub(crate) fn seal(&self) -> Vec<u8> {
        seal_meta(FORMAT_VERSION, self)
    }

    /// Reads the row.
    pub(crate) fn open(row: &[u8]) -> Result<Self, MetaFault> {
        let payload =
            Seal::unbound().open(RowKind::Meta, &[META_KEY], row).ok_or(MetaFault::Damaged)?;
        // The version comes first and is sound when the checksum is, whatever follows it.
        let (version, payload) = payload.split_first_chunk::<4>().ok_or(MetaFault::Damaged)?;
        let version = u32::from_be_bytes(*version);
        if ![WITHOUT_JOURNAL, FORMAT_VERSION].contains(&version) {
            return Err(MetaFault::Version);
        }
        let (log, payload) = payload.split_first_chunk::<16>().ok_or(MetaFault::Damaged)?;
        let (end, payload) = take_u64(payload).ok_or(MetaFault::Damaged)?;
        let (streams, payload) = take_u64(payload).ok_or(MetaFault::Damaged)?;
        let (generation, payload) = match version {
            WITHOUT_JOURNAL => (NO_JOURNAL, payload),
            _ => take_u64(payload).ok_or(MetaFault::Damaged)?,
        };
        let (proven, payload) = match version {
            WITHOUT_JOURNAL => (NO_JOURNAL, payload),
            _ => take_u64(payload).ok_or(MetaFault::Damaged)?,
        };
        let has_journal = version != WITHOUT_JOURNAL;
        if !payload.is_empty() || (generation != NO_JOURNAL) != has_journal {
            return Err(MetaFault::Damaged);
        }
        Ok(Self { log: LogId(*log), end, streams, generation, proven })
    }
}

fn seal_meta(version: u32, meta: &Meta) -> Vec<u8> {
    Seal::unbound().close(
        RowKind::Meta,
        &[META_KEY],
        &[
            &version.to_be_bytes(),
            &meta.log.0,
            &meta.end.to_be_bytes(),
            &meta.streams.to_be_bytes(),
            &meta.generation.to_be_bytes(),
            &meta.proven.to_be_bytes(),
        ],
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const META: Meta = Meta { log: LogId([7; 16]), end: 9, streams: 2, generation: 4, proven: 3 };

    #[test]
    fn every_flipped_bit_of_a_head_is_seen() {
        let seal = Seal::new(META.log);
        let without = Head { last: 4, pruned: 2, snapshot: Some(0), card: None };
        let card = |body| Some(Card { position: 5, body });
        let with = Head { card: card(Some(vec![1, 2])), ..without.clone() };
        let damaged = Head { card: card(None), ..without.clone() };
        for head in [&without, &damaged, &with] {
            let row = head.seal(seal, &[0; 33]);
            assert_eq!(Head::open(seal, &[0; 33], &row).as_ref(), Some(head));
        }

        let row = with.seal(seal, &[0; 33]);
        for bit in 0..row.len() * 8 {
            let mut damaged = row.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Head::open(seal, &[0; 33], &damaged), None, "bit {bit}");
        }
        assert_eq!(Head::open(seal, &[1; 33], &row), None, "the row of another stream");
        assert_eq!(Head::open(Seal::new(LogId([8; 16])), &[0; 33], &row), None, "another log");
    }

    #[test]
    fn another_version_is_told_from_damage() {
        assert_eq!(Meta::open(&META.seal()), Ok(META));
        assert_eq!(Meta::open(&seal_meta(3, &META)), Err(MetaFault::Version));
        let mut damaged = META.seal();
        damaged[5] ^= 1;
        assert_eq!(Meta::open(&damaged), Err(MetaFault::Damaged));
        assert_eq!(Meta::open(&META.seal()[..30]), Err(MetaFault::Damaged));
    }
}
