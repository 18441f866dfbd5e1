//! [`Damage`]: what of a store cannot be read.

use lastword_ports::{StoreError, StoreErrorKind, Stream};
use lastword_types::ChannelId;

use crate::error::EngineError;

/// Which bytes of a stream are damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DamagedPart {
    /// Its card.
    Card,
    /// Its snapshot, at the position that it stands for, where that is known.
    Snapshot,
    /// The record at the position.
    Record,
    /// The stream as a whole, or the store: nobody can say which of its bytes.
    Whole,
}

/// Something that cannot be read.
#[derive(Debug)]
pub struct Damage {
    /// Whose it is; `None` where nobody can tell.
    pub stream: Option<Stream>,
    /// Which of its bytes.
    pub part: DamagedPart,
    /// The position of the record, or of the snapshot.
    pub position: Option<u64>,
    /// What is wrong; of bytes that cannot be decoded with the offset in them.
    pub error: EngineError,
}

impl Damage {
    /// Damage to a snapshot or a record of a channel, as its fold found it.
    pub(crate) fn of_channel(
        channel_id: ChannelId,
        (part, position): (DamagedPart, Option<u64>),
        error: EngineError,
    ) -> Self {
        let stream = Some(Stream::Channel(channel_id));
        Self { stream, part, position, error }
    }

    /// What a store says of bytes that it could not read.
    pub(crate) fn reported(error: StoreError, part: DamagedPart) -> Self {
        let position = error.place.position;
        let is_whole = part != DamagedPart::Card && position.is_none();
        let part = if is_whole { DamagedPart::Whole } else { part };
        Self { stream: error.place.stream, part, position, error: error.into() }
    }

    /// Says whether it is damage: a store that is away or poisoned says nothing of the bytes.
    pub(crate) fn is_damage(&self) -> bool {
        !matches!(&self.error, EngineError::Store(error) if error.kind != StoreErrorKind::Corrupt)
    }
}
