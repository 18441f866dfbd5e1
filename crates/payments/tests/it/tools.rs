//! Payments to test with.

use lastword_types::{
    AmountMsat, BlockHeight, ChannelId, Event, EventKey, EventKind, Generation, HtlcDirection,
    HtlcFailure, HtlcId, HtlcKey, Intent, IntentPart, Metadata, Outcome, PartIndex, PaymentId,
    PaymentPreimage, PaymentRecord, Terms,
};

pub(crate) const PREIMAGE: PaymentPreimage = PaymentPreimage([7; 32]);
pub(crate) const FEE: AmountMsat = AmountMsat(10);

pub(crate) fn id(byte: u8) -> PaymentId {
    PaymentId([byte; 32])
}

pub(crate) fn generation(byte: u8) -> Generation {
    Generation([byte; 16])
}

/// An intent of `parts_count` parts of 1,000 msat, the fee on the first.
pub(crate) fn intent(payment: u8, generation_byte: u8, parts_count: u8) -> Intent {
    let parts: Vec<IntentPart> = (0..parts_count)
        .map(|part| IntentPart {
            channel_id: ChannelId([part; 32]),
            htlc_id: HtlcId(u64::from(payment)),
            amount_msat: AmountMsat(1_000 + if part == 0 { FEE.0 } else { 0 }),
            part_amount_msat: AmountMsat(1_000),
            cltv_expiry: BlockHeight(500),
        })
        .collect();
    Intent {
        payment_id: id(payment),
        generation: generation(generation_byte),
        attempt: 0,
        payment_hash: PREIMAGE.payment_hash(),
        total_msat: AmountMsat(1_000 * u64::from(parts_count)),
        fee_msat: FEE,
        parts,
        metadata: Metadata::Here(vec![payment]),
        terms: Terms::default(),
    }
}

/// A payment that may be tried three times.
pub(crate) fn retryable(payment: u8, generation_byte: u8) -> Intent {
    let mut intent = intent(payment, generation_byte, 2);
    intent.terms.retry.attempts_max = 3;
    intent
}

/// The attempt of this number, over the channels of the first and others.
pub(crate) fn attempt(first: &Intent, attempt: u32) -> Intent {
    let mut parts = first.parts.clone();
    for part in &mut parts {
        part.htlc_id.0 += 1_000 * u64::from(attempt);
    }
    let mut intent = Intent { attempt, parts, ..first.clone() };
    intent.terms.earlier_channels = first.parts.iter().map(|part| part.channel_id).collect();
    intent
}

pub(crate) fn sent() -> Outcome {
    Outcome::Sent { preimage: PREIMAGE, amount_msat: AmountMsat(1_000), fee_msat: FEE }
}

pub(crate) fn failed() -> Outcome {
    Outcome::Failed { reason: HtlcFailure::TimedOut }
}

pub(crate) fn key(payment: u8, generation_byte: u8, kind: EventKind) -> EventKey {
    EventKey { payment_id: id(payment), generation: generation(generation_byte), kind }
}

pub(crate) fn path_failed(part: u16) -> EventKind {
    EventKind::PathFailed { attempt: 0, part: PartIndex(part) }
}

pub(crate) fn path_taken(part: u16) -> EventKind {
    EventKind::PathSuccessful { attempt: 0, part: PartIndex(part) }
}

pub(crate) fn decided(payment: u8, generation_byte: u8, outcome: Outcome) -> PaymentRecord {
    PaymentRecord::Decided {
        payment_id: id(payment),
        generation: generation(generation_byte),
        outcome,
    }
}

pub(crate) fn adopted(payment: u8, generation_byte: u8, outcome: Outcome) -> PaymentRecord {
    PaymentRecord::Adopted {
        payment_id: id(payment),
        generation: generation(generation_byte),
        outcome,
    }
}

pub(crate) fn handled(payment: u8, generation_byte: u8, kind: EventKind) -> PaymentRecord {
    PaymentRecord::Handled { key: key(payment, generation_byte, kind) }
}

pub(crate) fn abandoned(payment: u8, generation_byte: u8) -> PaymentRecord {
    PaymentRecord::Abandoned { payment_id: id(payment), generation: generation(generation_byte) }
}

pub(crate) fn dropped(payment: u8, generation_byte: u8) -> PaymentRecord {
    PaymentRecord::Dropped { payment_id: id(payment), generation: generation(generation_byte) }
}

/// An event of this kind, of generation 1.
pub(crate) fn event(payment: u8, kind: EventKind) -> Event {
    let htlc = intent(payment, 1, 1).parts[0].key();
    let (payment_id, generation) = (id(payment), generation(1));
    let payment_hash = PREIMAGE.payment_hash();
    match kind {
        EventKind::PathFailed { attempt, part } => Event::PaymentPathFailed {
            payment_id,
            generation,
            attempt,
            part,
            htlc,
            reason: HtlcFailure::TimedOut,
        },
        EventKind::Failed => Event::PaymentFailed {
            payment_id,
            generation,
            payment_hash,
            reason: HtlcFailure::TimedOut,
        },
        EventKind::Sent => Event::PaymentSent {
            payment_id,
            generation,
            payment_hash,
            preimage: PREIMAGE,
            amount_msat: AmountMsat(1_000),
            fee_msat: FEE,
        },
        EventKind::PathSuccessful { attempt, part } => Event::PaymentPathSuccessful {
            payment_id,
            generation,
            attempt,
            part,
            htlc,
            amount_msat: AmountMsat(1_000),
        },
        EventKind::Probed => Event::Probed {
            payment_id,
            generation,
            payment_hash,
            is_reached: true,
            reason: HtlcFailure::Removed { code: 0x400F },
        },
        EventKind::Unknown => Event::PaymentUnknown { payment_id, generation, payment_hash },
        EventKind::Claimed => Event::PaymentClaimed {
            payment_hash,
            preimage: PREIMAGE,
            amount_msat: AmountMsat(1_000),
            lost_msat: AmountMsat(0),
            parts: [HtlcKey { direction: HtlcDirection::Received, ..htlc }].into(),
        },
    }
}
