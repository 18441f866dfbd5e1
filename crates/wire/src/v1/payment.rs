//! The records that change the payment book, and its snapshot.

use alloc::collections::{BTreeMap, BTreeSet};

use lastword_types::{
    self as types, AmountMsat, BookState, EventKind, Generation, IntentPart, PaymentHash,
    PaymentId, PaymentRecord, PaymentState,
};
use serde::{Deserialize, Serialize};

use super::htlc::{Metadata, Terms};
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

impl Intent {
    fn on(self, terms: Option<Terms>) -> types::Intent {
        types::Intent {
            payment_id: self.payment_id,
            generation: self.generation,
            attempt: self.attempt,
            payment_hash: self.payment_hash,
            total_msat: self.total_msat,
            fee_msat: self.fee_msat,
            parts: self.parts.0,
            metadata: self.metadata.into(),
            terms: terms.map(Into::into).unwrap_or_default(),
        }
    }

    fn write(intent: &types::Intent, writer: &mut Writer<'_>) {
        writer.put(0, &Self::from(intent));
        writer.put_some(2, Terms::unusual(&intent.terms).as_ref());
    }

    fn read(reader: &mut Reader<'_>) -> Result<types::Intent, WireError> {
        let intent: Self = reader.required(0)?;
        Ok(intent.on(reader.optional(2)?))
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
            Self::Retried(_) => PaymentRecordKind::Retried,
            Self::EpochRaised { .. } => PaymentRecordKind::EpochRaised,
        })
    }

    fn write(&self, writer: &mut Writer<'_>) {
        match self {
            Self::Intent(intent) | Self::Rebuilt(intent) | Self::Retried(intent) => {
                Intent::write(intent, writer);
            }
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
            Self::EpochRaised { epoch } => writer.put(0, epoch),
        }
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let RecordKind::Payment(kind) = reader.kind() else {
            return Err(reader.unexpected_kind("payment record"));
        };
        Ok(match kind {
            PaymentRecordKind::Intent => Self::Intent(Intent::read(reader)?),
            PaymentRecordKind::Rebuilt => Self::Rebuilt(Intent::read(reader)?),
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
            PaymentRecordKind::Retried => Self::Retried(Intent::read(reader)?),
            PaymentRecordKind::EpochRaised => Self::EpochRaised { epoch: reader.required(0)? },
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

impl BookEntry {
    fn on(self, terms: Option<Terms>) -> types::BookEntry {
        types::BookEntry {
            intent: self.intent.on(terms),
            state: self.state,
            is_abandoned: self.is_abandoned,
            paths_handled: self.paths_handled,
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
        let terms: BTreeMap<PaymentId, Terms> = self
            .payments
            .iter()
            .filter_map(|(id, entry)| Terms::unusual(&entry.intent.terms).map(|terms| (*id, terms)))
            .collect();
        writer.put_some(4, (!terms.is_empty()).then_some(&terms));
    }

    fn read(reader: &mut Reader<'_>) -> Result<Self, WireError> {
        let RecordKind::BookState = reader.kind() else {
            return Err(reader.unexpected_kind("book state"));
        };
        let epoch = reader.required(0)?;
        let payments = reader.optional::<BTreeMap<PaymentId, BookEntry>>(2)?.unwrap_or_default();
        let mut terms = reader.optional::<BTreeMap<PaymentId, Terms>>(4)?.unwrap_or_default();
        let payments =
            payments.into_iter().map(|(id, entry)| (id, entry.on(terms.remove(&id)))).collect();
        Ok(Self { epoch, payments })
    }
}
