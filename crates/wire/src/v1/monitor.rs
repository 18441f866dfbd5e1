//! The records that change a monitor.

use alloc::boxed::Box;

use lastword_types::{
    ChainDelta, ChannelId, GiveUp, HtlcClaim, MempoolEvidence, MonitorRecord, MonitorUpdate,
    NewChannel, ReleasePaymentComplete, UpdateId,
};
use serde::{Deserialize, Serialize};

use super::chain::{BlockRef, WireTxid};
use super::channel::ChannelParameters;
use super::prim::List;
use super::transaction::Consensus;
use super::update::{LocalCommitment, RemoteCommitment, UpdateStep};
use crate::body::{Reader, Writer};
use crate::error::WireError;
use crate::frame::{MonitorRecordKind, RecordKind};
use crate::record::Record;

/// Whose update it is and which.
#[derive(Serialize, Deserialize)]
struct UpdateHead {
    channel_id: ChannelId,
    update_id: UpdateId,
}

impl Record for MonitorRecord {
    fn kind(&self) -> RecordKind {
        RecordKind::Monitor(match self {
            Self::Created(_) => MonitorRecordKind::Created,
            Self::Update(_) => MonitorRecordKind::Update,
            Self::Release(_) => MonitorRecordKind::Release,
            Self::GivenUp(_) => MonitorRecordKind::GivenUp,
            Self::InboundOnChain { .. } => MonitorRecordKind::InboundOnChain,
            Self::Claim(_) => MonitorRecordKind::Claim,
            Self::Chain(ChainDelta::Connected { .. }) => MonitorRecordKind::Connected,
            Self::Chain(ChainDelta::Disconnected { .. }) => MonitorRecordKind::Disconnected,
            Self::Mempool(_) => MonitorRecordKind::Mempool,
            Self::PruneTombstones { .. } => MonitorRecordKind::PruneTombstones,
            Self::Archive => MonitorRecordKind::Archive,
            Self::ToldUnknown { .. } => MonitorRecordKind::ToldUnknown,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Created(new) => write_created(new, writer),
            Self::Update(update) => write_update(update, writer),
            Self::Release(ReleasePaymentComplete { htlc, told }) => {
                writer.put(0, htlc);
                writer.put(2, told);
            }
            Self::GivenUp(GiveUp { htlc, generation }) => {
                writer.put(0, htlc);
                writer.put(2, generation);
            }
            Self::Chain(ChainDelta::Connected { block, transactions }) => {
                writer.put(0, &BlockRef::from(*block));
                let transactions: List<Consensus> =
                    transactions.iter().map(Consensus::from).collect();
                writer.put_some(2, transactions.non_empty().as_ref());
            }
            Self::Chain(ChainDelta::Disconnected { fork }) => {
                writer.put(0, &BlockRef::from(*fork));
            }
            Self::Mempool(MempoolEvidence { htlc, preimage, txid }) => {
                writer.put(0, htlc);
                writer.put(2, preimage);
                writer.put(4, &WireTxid::from(*txid));
            }
            Self::PruneTombstones { behind } => writer.put(0, behind),
            Self::Archive => {}
            Self::InboundOnChain { htlc } => writer.put(0, htlc),
            Self::Claim(HtlcClaim { channel_id, htlc_ids, preimage, source }) => {
                writer.put(0, channel_id);
                writer.put(2, htlc_ids);
                writer.put(4, preimage);
                writer.put(6, source);
            }
            Self::ToldUnknown { payment_id, generation } => {
                writer.put(0, payment_id);
                writer.put(2, generation);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let RecordKind::Monitor(kind) = reader.kind() else {
            return Err(reader.unexpected_kind("monitor record"));
        };
        Ok(match kind {
            MonitorRecordKind::Created => Self::Created(Box::new(read_created(reader)?)),
            MonitorRecordKind::Update => Self::Update(read_update(reader)?),
            MonitorRecordKind::Release => Self::Release(ReleasePaymentComplete {
                htlc: reader.required(0)?,
                told: reader.required(2)?,
            }),
            MonitorRecordKind::GivenUp => {
                Self::GivenUp(GiveUp { htlc: reader.required(0)?, generation: reader.required(2)? })
            }
            MonitorRecordKind::Connected => Self::Chain(ChainDelta::Connected {
                block: reader.required::<BlockRef>(0)?.into(),
                transactions: reader.optional::<List<Consensus>>(2)?.unwrap_or_default().into_vec(),
            }),
            MonitorRecordKind::Disconnected => {
                let fork = reader.required::<BlockRef>(0)?.into();
                Self::Chain(ChainDelta::Disconnected { fork })
            }
            MonitorRecordKind::Mempool => Self::Mempool(MempoolEvidence {
                htlc: reader.required(0)?,
                preimage: reader.required(2)?,
                txid: reader.required::<WireTxid>(4)?.into(),
            }),
            MonitorRecordKind::PruneTombstones => {
                Self::PruneTombstones { behind: reader.required(0)? }
            }
            MonitorRecordKind::Archive => Self::Archive,
            MonitorRecordKind::InboundOnChain => Self::InboundOnChain { htlc: reader.required(0)? },
            MonitorRecordKind::Claim => Self::Claim(HtlcClaim {
                channel_id: reader.required(0)?,
                htlc_ids: reader.required(2)?,
                preimage: reader.required(4)?,
                source: reader.required(6)?,
            }),
            MonitorRecordKind::ToldUnknown => Self::ToldUnknown {
                payment_id: reader.required(0)?,
                generation: reader.required(2)?,
            },
        })
    }
}

fn write_created(new: &NewChannel, writer: &mut Writer<'_>) {
    let NewChannel { parameters, local, remote, birth } = new;
    writer.put(0, &ChannelParameters::from(parameters));
    writer.put(2, &LocalCommitment::from(local));
    writer.put(4, &RemoteCommitment::from(remote));
    writer.put(6, &BlockRef::from(*birth));
}

fn read_created(reader: &mut Reader<'_>) -> Result<NewChannel, WireError> {
    Ok(NewChannel {
        parameters: reader.required::<ChannelParameters>(0)?.into(),
        local: reader.required::<LocalCommitment>(2)?.into(),
        remote: reader.required::<RemoteCommitment>(4)?.into(),
        birth: reader.required::<BlockRef>(6)?.into(),
    })
}

fn write_update(update: &MonitorUpdate, writer: &mut Writer<'_>) {
    let MonitorUpdate { channel_id, update_id, steps } = update;
    writer.put(0, &UpdateHead { channel_id: *channel_id, update_id: *update_id });
    let steps: List<UpdateStep> = steps.iter().map(UpdateStep::from).collect();
    writer.put_some(2, steps.non_empty().as_ref());
}

fn read_update(reader: &mut Reader<'_>) -> Result<MonitorUpdate, WireError> {
    let UpdateHead { channel_id, update_id } = reader.required(0)?;
    let steps = reader.optional::<List<UpdateStep>>(2)?.unwrap_or_default();
    Ok(MonitorUpdate { channel_id, update_id, steps: steps.into_vec() })
}
