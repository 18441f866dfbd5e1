//! Blocks, outpoints, and the records of the chain: the card and the tip.

use bitcoin::hashes::Hash as _;
use bitcoin::{BlockHash, Txid};
use lastword_types::{self as types, BlockHeight, BookEpoch, ChannelId, UpdateId};
use serde::{Deserialize, Serialize};

use super::prim::{Bytes, List};
use crate::body::{Reader, Writer};
use crate::error::WireError;
use crate::frame::RecordKind;
use crate::record::Record;

/// A transaction id in the byte order of the hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct WireTxid(Bytes<32>);

impl From<Txid> for WireTxid {
    fn from(txid: Txid) -> Self {
        Self(Bytes(txid.to_byte_array()))
    }
}

impl From<WireTxid> for Txid {
    fn from(WireTxid(Bytes(bytes)): WireTxid) -> Self {
        Self::from_byte_array(bytes)
    }
}

/// A transaction's output.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct OutPoint {
    txid: WireTxid,
    vout: u32,
}

impl From<bitcoin::OutPoint> for OutPoint {
    fn from(outpoint: bitcoin::OutPoint) -> Self {
        Self { txid: outpoint.txid.into(), vout: outpoint.vout }
    }
}

impl From<OutPoint> for bitcoin::OutPoint {
    fn from(outpoint: OutPoint) -> Self {
        Self { txid: outpoint.txid.into(), vout: outpoint.vout }
    }
}

/// A block, its hash in the byte order of the hash.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(crate) struct BlockRef {
    height: BlockHeight,
    hash: Bytes<32>,
}

impl From<types::BlockRef> for BlockRef {
    fn from(block: types::BlockRef) -> Self {
        Self { height: block.height, hash: Bytes(block.hash.to_byte_array()) }
    }
}

impl From<BlockRef> for types::BlockRef {
    fn from(block: BlockRef) -> Self {
        Self { height: block.height, hash: BlockHash::from_byte_array(block.hash.0) }
    }
}

/// Whose card it is and what it covers.
#[derive(Serialize, Deserialize)]
struct CardHead {
    channel_id: ChannelId,
    latest_update: UpdateId,
}

impl Record for types::Card {
    fn kind(&self) -> RecordKind {
        RecordKind::Card
    }

    fn write(&self, writer: &mut Writer<'_>) {
        let Self { channel_id, latest_update, watched, next_deadline, .. } = self;
        writer.put(0, &CardHead { channel_id: *channel_id, latest_update: *latest_update });
        let watched: List<OutPoint> = watched.iter().copied().map(OutPoint::from).collect();
        writer.put_some(2, watched.non_empty().as_ref());
        writer.put_some(4, next_deadline.as_ref());
        writer.put_flag(6, self.has_undelivered);
        writer.put_flag(8, self.is_closed);
        writer.put_flag(10, self.has_claims);
        writer.put(12, &BlockRef::from(self.synced_to));
        writer.put(14, &self.covers);
        writer.put_some(16, epoch(self.pruned_behind).as_ref());
        writer.put_flag(18, self.is_archived);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let RecordKind::Card = reader.kind() else {
            return Err(reader.unexpected_kind("card"));
        };
        let CardHead { channel_id, latest_update } = reader.required(0)?;
        Ok(Self {
            channel_id,
            latest_update,
            watched: reader.optional::<List<OutPoint>>(2)?.unwrap_or_default().into_vec(),
            next_deadline: reader.optional(4)?,
            has_undelivered: reader.flag(6)?,
            is_closed: reader.flag(8)?,
            has_claims: reader.flag(10)?,
            synced_to: reader.required::<BlockRef>(12)?.into(),
            covers: reader.required(14)?,
            pruned_behind: reader.optional(16)?.unwrap_or(BookEpoch::ZERO),
            is_archived: reader.flag(18)?,
        })
    }
}

/// Returns an epoch, if it is one: the zeroth is said by silence.
pub(crate) fn epoch(epoch: BookEpoch) -> Option<BookEpoch> {
    (epoch > BookEpoch::ZERO).then_some(epoch)
}

impl Record for types::BookMark {
    fn kind(&self) -> RecordKind {
        RecordKind::BookMark
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.put(0, &self.log);
        writer.put(2, &self.position);
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let RecordKind::BookMark = reader.kind() else {
            return Err(reader.unexpected_kind("book mark"));
        };
        Ok(Self { log: reader.required(0)?, position: reader.required(2)? })
    }
}

impl Record for types::ChainTip {
    fn kind(&self) -> RecordKind {
        RecordKind::ChainTip
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.put(0, &BlockRef::from(self.best));
        let recent: List<BlockRef> = self.recent.iter().copied().map(BlockRef::from).collect();
        writer.put_some(2, recent.non_empty().as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let RecordKind::ChainTip = reader.kind() else {
            return Err(reader.unexpected_kind("chain tip"));
        };
        Ok(Self {
            best: reader.required::<BlockRef>(0)?.into(),
            recent: reader.optional::<List<BlockRef>>(2)?.unwrap_or_default().into_vec(),
        })
    }
}
