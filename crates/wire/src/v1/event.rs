//! What the user is told.

use lastword_types::{
    self as types, AmountMsat, ChannelId, CommitmentNumber, Event, HtlcKey, Overdue, PartIndex,
    PaymentHash, PaymentPreimage,
};
use serde::{Deserialize, Serialize};

use super::chain::WireTxid;
use super::payment::Incarnation;
use crate::body::{Reader, Writer};
use crate::error::WireError;
use crate::frame::{EventRecordKind, RecordKind};
use crate::record::Record;

/// What was paid, and the proof.
#[derive(Serialize, Deserialize)]
struct Sent {
    payment_hash: PaymentHash,
    preimage: PaymentPreimage,
    amount_msat: AmountMsat,
    fee_msat: AmountMsat,
}

/// What was received, and what it is claimed with.
#[derive(Serialize, Deserialize)]
struct Received {
    payment_hash: PaymentHash,
    preimage: PaymentPreimage,
    amount_msat: AmountMsat,
    lost_msat: AmountMsat,
}

/// A part and the HTLC that carried it.
#[derive(Serialize, Deserialize)]
struct Path {
    attempt: u32,
    part: PartIndex,
    htlc: HtlcKey,
}

/// Something that a person should hear of.
#[derive(Serialize, Deserialize)]
enum Alarm {
    UnknownFundingSpend { channel_id: ChannelId, txid: WireTxid },
    RevokedCommitment { channel_id: ChannelId, txid: WireTxid, number: CommitmentNumber },
    FinalityViolated { htlc: HtlcKey },
    FutureCommitment { channel_id: ChannelId, txid: WireTxid, number: CommitmentNumber },
    DataLoss { channel_id: ChannelId },
    GoingOnChain { htlc: HtlcKey, overdue: Overdue },
    ForwardLost { htlc: HtlcKey },
}

impl From<types::Alarm> for Alarm {
    fn from(alarm: types::Alarm) -> Self {
        match alarm {
            types::Alarm::UnknownFundingSpend { channel_id, txid } => {
                Self::UnknownFundingSpend { channel_id, txid: txid.into() }
            }
            types::Alarm::RevokedCommitment { channel_id, txid, number } => {
                Self::RevokedCommitment { channel_id, txid: txid.into(), number }
            }
            types::Alarm::FinalityViolated { htlc } => Self::FinalityViolated { htlc },
            types::Alarm::FutureCommitment { channel_id, txid, number } => {
                Self::FutureCommitment { channel_id, txid: txid.into(), number }
            }
            types::Alarm::DataLoss { channel_id } => Self::DataLoss { channel_id },
            types::Alarm::GoingOnChain { htlc, overdue } => Self::GoingOnChain { htlc, overdue },
            types::Alarm::ForwardLost { htlc } => Self::ForwardLost { htlc },
        }
    }
}

impl From<Alarm> for types::Alarm {
    fn from(alarm: Alarm) -> Self {
        match alarm {
            Alarm::UnknownFundingSpend { channel_id, txid } => {
                Self::UnknownFundingSpend { channel_id, txid: txid.into() }
            }
            Alarm::RevokedCommitment { channel_id, txid, number } => {
                Self::RevokedCommitment { channel_id, txid: txid.into(), number }
            }
            Alarm::FinalityViolated { htlc } => Self::FinalityViolated { htlc },
            Alarm::FutureCommitment { channel_id, txid, number } => {
                Self::FutureCommitment { channel_id, txid: txid.into(), number }
            }
            Alarm::DataLoss { channel_id } => Self::DataLoss { channel_id },
            Alarm::GoingOnChain { htlc, overdue } => Self::GoingOnChain { htlc, overdue },
            Alarm::ForwardLost { htlc } => Self::ForwardLost { htlc },
        }
    }
}

impl Record for Event {
    fn kind(&self) -> RecordKind {
        RecordKind::Event(match self {
            Self::PaymentSent { .. } => EventRecordKind::PaymentSent,
            Self::PaymentPathSuccessful { .. } => EventRecordKind::PaymentPathSuccessful,
            Self::PaymentPathFailed { .. } => EventRecordKind::PaymentPathFailed,
            Self::PaymentFailed { .. } => EventRecordKind::PaymentFailed,
            Self::Alarm(_) => EventRecordKind::Alarm,
            Self::Probed { .. } => EventRecordKind::Probed,
            Self::PaymentUnknown { .. } => EventRecordKind::PaymentUnknown,
            Self::PaymentClaimed { .. } => EventRecordKind::PaymentClaimed,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match *self {
            Self::PaymentSent {
                ref payment_id,
                ref generation,
                payment_hash,
                preimage,
                amount_msat,
                fee_msat,
            } => {
                writer.put(0, &Incarnation::of(payment_id, generation));
                writer.put(2, &Sent { payment_hash, preimage, amount_msat, fee_msat });
            }
            Self::PaymentPathSuccessful {
                ref payment_id,
                ref generation,
                attempt,
                part,
                htlc,
                amount_msat,
            } => {
                writer.put(0, &Incarnation::of(payment_id, generation));
                writer.put(2, &Path { attempt, part, htlc });
                writer.put(4, &amount_msat);
            }
            Self::PaymentPathFailed {
                ref payment_id,
                ref generation,
                attempt,
                part,
                htlc,
                reason,
            } => {
                writer.put(0, &Incarnation::of(payment_id, generation));
                writer.put(2, &Path { attempt, part, htlc });
                writer.put(4, &reason);
            }
            Self::PaymentFailed { ref payment_id, ref generation, payment_hash, reason } => {
                writer.put(0, &Incarnation::of(payment_id, generation));
                writer.put(2, &payment_hash);
                writer.put(4, &reason);
            }
            Self::Alarm(alarm) => writer.put(0, &Alarm::from(alarm)),
            Self::Probed { ref payment_id, ref generation, payment_hash, is_reached, reason } => {
                writer.put(0, &Incarnation::of(payment_id, generation));
                writer.put(2, &payment_hash);
                writer.put(4, &reason);
                writer.put_flag(6, is_reached);
            }
            Self::PaymentUnknown { ref payment_id, ref generation, payment_hash } => {
                writer.put(0, &Incarnation::of(payment_id, generation));
                writer.put(2, &payment_hash);
            }
            Self::PaymentClaimed { payment_hash, preimage, amount_msat, lost_msat, ref parts } => {
                writer.put(0, &Received { payment_hash, preimage, amount_msat, lost_msat });
                writer.put(2, parts);
            }
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let RecordKind::Event(kind) = reader.kind() else {
            return Err(reader.unexpected_kind("event"));
        };
        Ok(match kind {
            EventRecordKind::PaymentSent => {
                let Incarnation { payment_id, generation } = reader.required(0)?;
                let Sent { payment_hash, preimage, amount_msat, fee_msat } = reader.required(2)?;
                Self::PaymentSent {
                    payment_id,
                    generation,
                    payment_hash,
                    preimage,
                    amount_msat,
                    fee_msat,
                }
            }
            EventRecordKind::PaymentPathSuccessful => {
                let Incarnation { payment_id, generation } = reader.required(0)?;
                let Path { attempt, part, htlc } = reader.required(2)?;
                let amount_msat = reader.required(4)?;
                Self::PaymentPathSuccessful {
                    payment_id,
                    generation,
                    attempt,
                    part,
                    htlc,
                    amount_msat,
                }
            }
            EventRecordKind::PaymentPathFailed => {
                let Incarnation { payment_id, generation } = reader.required(0)?;
                let Path { attempt, part, htlc } = reader.required(2)?;
                let reason = reader.required(4)?;
                Self::PaymentPathFailed { payment_id, generation, attempt, part, htlc, reason }
            }
            EventRecordKind::PaymentFailed => {
                let Incarnation { payment_id, generation } = reader.required(0)?;
                let payment_hash = reader.required(2)?;
                let reason = reader.required(4)?;
                Self::PaymentFailed { payment_id, generation, payment_hash, reason }
            }
            EventRecordKind::Alarm => Self::Alarm(reader.required::<Alarm>(0)?.into()),
            EventRecordKind::Probed => {
                let Incarnation { payment_id, generation } = reader.required(0)?;
                let payment_hash = reader.required(2)?;
                let reason = reader.required(4)?;
                let is_reached = reader.flag(6)?;
                Self::Probed { payment_id, generation, payment_hash, is_reached, reason }
            }
            EventRecordKind::PaymentUnknown => {
                let Incarnation { payment_id, generation } = reader.required(0)?;
                Self::PaymentUnknown { payment_id, generation, payment_hash: reader.required(2)? }
            }
            EventRecordKind::PaymentClaimed => {
                let Received { payment_hash, preimage, amount_msat, lost_msat } =
                    reader.required(0)?;
                let parts = reader.required(2)?;
                Self::PaymentClaimed { payment_hash, preimage, amount_msat, lost_msat, parts }
            }
        })
    }
}
