//! The records that change the payment book, and its snapshot.

use alloc::collections::{BTreeMap, BTreeSet};

use lastword_types::{
    self as types, AmountMsat, BookState, EventKind, Generation, IntentPart, PaymentHash,
    PaymentId, PaymentRecord, PaymentState,
};
use serde::{Deserialize, Serialize};

use super::htlc::Metadata;
use super::prim::List;
use crate::body::{Reader, Writer};
use crate::error::WireError;
use crate::frame::{PaymentRecordKind, RecordKind};
use crate::record::Record;

/// One incarnation of a payment.
#[derive(Serialize, Deserialize)]
pub(crate) struct Incarnation {
    pub(crate) payment_id: PaymentId,
    pub(crate) generation: Generation,
}

impl Incarnation {
    /// Names an incarnation.
    pub(crate) fn of(payment_id: &PaymentId, generation: &Generation) -> Self {
        Self { payment_id: *payment_id, generation: *generation }
    }
}

/// The decision to pay.
#[derive(Serialize, Deserialize)]
struct Intent {
    payment_id: PaymentId,
    generation: Generation,
    attempt: u32,
    payment_hash: PaymentHash,
    total_msat: AmountMsat,
    fee_msat: AmountMsat,
    parts: List<IntentPart>,
    metadata: Metadata,
}

impl From<&types::Intent> for Intent {
    fn from(intent: &types::Intent) -> Self {
        Self {
            payment_id: intent.payment_id,
            generation: intent.generation,
            attempt: intent.attempt,
            payment_hash: intent.payment_hash,
            total_msat: intent.total_msat,
            fee_msat: intent.fee_msat,
            parts: List(intent.parts.clone()),
            metadata: (&intent.metadata).into(),
        }
    }
}

impl From<Intent> for types::Intent {
    fn from(intent: Intent) -> Self {
        Self {
            payment_id: intent.payment_id,
            generation: intent.generation,
            attempt: intent.attempt,
            payment_hash: intent.payment_hash,
            total_msat: intent.total_msat,
            fee_msat: intent.fee_msat,
            parts: intent.parts.0,
            metadata: intent.metadata.into(),
        }
    }
}

impl Record for PaymentRecord {
    fn kind(&self) -> RecordKind {
        RecordKind::Payment(match self {
            Self::Intent(_) => PaymentRecordKind::Intent,
            Self::Rebuilt(_) => PaymentRecordKind::Rebuilt,
            Self::Abandoned { .. } => PaymentRecordKind::Abandoned,
            Self::Decided { .. } => PaymentRecordKind::Decided,
            Self::Handled { .. } => PaymentRecordKind::Handled,
            Self::Adopted { .. } => PaymentRecordKind::Adopted,
            Self::Dropped { .. } => PaymentRecordKind::Dropped,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Intent(intent) | Self::Rebuilt(intent) => writer.put(0, &Intent::from(intent)),
            Self::Abandoned { payment_id, generation }
            | Self::Dropped { payment_id, generation } => {
                writer.put(0, &Incarnation::of(payment_id, generation));
            }
            Self::Decided { payment_id, generation, outcome }
            | Self::Adopted { payment_id, generation, outcome } => {
                writer.put(0, &Incarnation::of(payment_id, generation));
                writer.put(2, outcome);
            }
            Self::Handled { key } => writer.put(0, key),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let RecordKind::Payment(kind) = reader.kind() else {
            return Err(reader.unexpected_kind("payment record"));
        };
        Ok(match kind {
            PaymentRecordKind::Intent => Self::Intent(reader.required::<Intent>(0)?.into()),
            PaymentRecordKind::Rebuilt => Self::Rebuilt(reader.required::<Intent>(0)?.into()),
            PaymentRecordKind::Abandoned => {
                let Incarnation { payment_id, generation } = reader.required(0)?;
                Self::Abandoned { payment_id, generation }
            }
            PaymentRecordKind::Decided => {
                let Incarnation { payment_id, generation } = reader.required(0)?;
                Self::Decided { payment_id, generation, outcome: reader.required(2)? }
            }
            PaymentRecordKind::Handled => Self::Handled { key: reader.required(0)? },
            PaymentRecordKind::Adopted => {
                let Incarnation { payment_id, generation } = reader.required(0)?;
                Self::Adopted { payment_id, generation, outcome: reader.required(2)? }
            }
            PaymentRecordKind::Dropped => {
                let Incarnation { payment_id, generation } = reader.required(0)?;
                Self::Dropped { payment_id, generation }
            }
        })
    }
}

/// What the book remembers of one payment.
#[derive(Serialize, Deserialize)]
struct BookEntry {
    intent: Intent,
    state: PaymentState,
    is_abandoned: bool,
    paths_handled: BTreeSet<EventKind>,
}

impl From<&types::BookEntry> for BookEntry {
    fn from(entry: &types::BookEntry) -> Self {
        Self {
            intent: (&entry.intent).into(),
            state: entry.state,
            is_abandoned: entry.is_abandoned,
            paths_handled: entry.paths_handled.clone(),
        }
    }
}

impl From<BookEntry> for types::BookEntry {
    fn from(entry: BookEntry) -> Self {
        Self {
            intent: entry.intent.into(),
            state: entry.state,
            is_abandoned: entry.is_abandoned,
            paths_handled: entry.paths_handled,
        }
    }
}

impl Record for BookState {
    fn kind(&self) -> RecordKind {
        RecordKind::BookState
    }

    fn write(&self, writer: &mut Writer<'_>) {
        writer.put(0, &self.epoch);
        if !self.payments.is_empty() {
            let payments: BTreeMap<PaymentId, BookEntry> =
                self.payments.iter().map(|(id, entry)| (*id, entry.into())).collect();
            writer.put(2, &payments);
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let RecordKind::BookState = reader.kind() else {
            return Err(reader.unexpected_kind("book state"));
        };
        let epoch = reader.required(0)?;
        let payments = reader.optional::<BTreeMap<PaymentId, BookEntry>>(2)?.unwrap_or_default();
        let payments = payments.into_iter().map(|(id, entry)| (id, entry.into())).collect();
        Ok(Self { epoch, payments })
    }
}
