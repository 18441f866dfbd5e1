//! An HTLC as it was added, with whom it is for.

use alloc::collections::BTreeSet;

use lastword_types::{
    self as types, AmountMsat, BlockHeight, ChannelId, ForwardOrigin, Generation, HtlcDirection,
    HtlcId, HtlcKey, PartIndex, PaymentHash, PaymentId, Purpose, RetryPolicy,
};
use serde::{Deserialize, Serialize};

use super::prim::{Blob, Bytes, List};

/// An HTLC's facts.
#[derive(Serialize, Deserialize)]
pub(crate) struct Htlc {
    direction: HtlcDirection,
    id: HtlcId,
    amount_msat: AmountMsat,
    payment_hash: PaymentHash,
    cltv_expiry: BlockHeight,
    origin: HtlcOrigin,
}

impl From<&types::Htlc> for Htlc {
    fn from(htlc: &types::Htlc) -> Self {
        Self {
            direction: htlc.direction,
            id: htlc.htlc_id,
            amount_msat: htlc.amount_msat,
            payment_hash: htlc.payment_hash,
            cltv_expiry: htlc.cltv_expiry,
            origin: (&htlc.origin).into(),
        }
    }
}

impl From<Htlc> for types::Htlc {
    fn from(htlc: Htlc) -> Self {
        Self {
            direction: htlc.direction,
            htlc_id: htlc.id,
            amount_msat: htlc.amount_msat,
            payment_hash: htlc.payment_hash,
            cltv_expiry: htlc.cltv_expiry,
            origin: htlc.origin.into(),
        }
    }
}

/// Whom an HTLC is for.
#[derive(Serialize, Deserialize)]
enum HtlcOrigin {
    Payment(PaymentOrigin),
    Forward(ForwardOrigin),
    Ours,
    Forwarded {
        outbound: HtlcKey,
    },
    /// A payment on other terms than those of a payment that is tried once.
    PaymentOnTerms(PaymentOrigin, Terms),
}

impl From<&types::HtlcOrigin> for HtlcOrigin {
    fn from(origin: &types::HtlcOrigin) -> Self {
        match origin {
            types::HtlcOrigin::Payment(payment) => match Terms::unusual(&payment.terms) {
                None => Self::Payment(payment.into()),
                Some(terms) => Self::PaymentOnTerms(payment.into(), terms),
            },
            types::HtlcOrigin::Forward(forward) => Self::Forward(forward.clone()),
            types::HtlcOrigin::Ours => Self::Ours,
            types::HtlcOrigin::Forwarded { outbound } => Self::Forwarded { outbound: *outbound },
        }
    }
}

impl From<HtlcOrigin> for types::HtlcOrigin {
    fn from(origin: HtlcOrigin) -> Self {
        match origin {
            HtlcOrigin::Payment(payment) => Self::Payment(payment.on(types::Terms::default())),
            HtlcOrigin::PaymentOnTerms(payment, terms) => Self::Payment(payment.on(terms.into())),
            HtlcOrigin::Forward(forward) => Self::Forward(forward),
            HtlcOrigin::Ours => Self::Ours,
            HtlcOrigin::Forwarded { outbound } => Self::Forwarded { outbound },
        }
    }
}

/// The part of a payment that an HTLC carries.
#[derive(Serialize, Deserialize)]
struct PaymentOrigin {
    payment_id: PaymentId,
    generation: Generation,
    attempt: u32,
    part: PartIndex,
    part_channels: List<ChannelId>,
    part_amount_msat: AmountMsat,
    total_msat: AmountMsat,
    fee_msat: AmountMsat,
    metadata: Metadata,
}

impl From<&types::PaymentOrigin> for PaymentOrigin {
    fn from(origin: &types::PaymentOrigin) -> Self {
        Self {
            payment_id: origin.payment_id,
            generation: origin.generation,
            attempt: origin.attempt,
            part: origin.part,
            part_channels: List(origin.part_channels.clone()),
            part_amount_msat: origin.part_amount_msat,
            total_msat: origin.total_msat,
            fee_msat: origin.fee_msat,
            metadata: (&origin.metadata).into(),
        }
    }
}

impl PaymentOrigin {
    fn on(self, terms: types::Terms) -> types::PaymentOrigin {
        types::PaymentOrigin {
            payment_id: self.payment_id,
            generation: self.generation,
            attempt: self.attempt,
            part: self.part,
            part_channels: self.part_channels.0,
            part_amount_msat: self.part_amount_msat,
            total_msat: self.total_msat,
            fee_msat: self.fee_msat,
            metadata: self.metadata.into(),
            terms,
        }
    }
}

/// What a payment is for, and how often it may be tried.
#[derive(Serialize, Deserialize)]
pub(crate) struct Terms {
    retry: RetryPolicy,
    purpose: Purpose,
    earlier_channels: BTreeSet<ChannelId>,
}

impl Terms {
    /// Returns the terms of a payment, or `None` for one that is tried once.
    pub(crate) fn unusual(terms: &types::Terms) -> Option<Self> {
        (*terms != types::Terms::default()).then(|| Self {
            retry: terms.retry,
            purpose: terms.purpose,
            earlier_channels: terms.earlier_channels.clone(),
        })
    }
}

impl From<Terms> for types::Terms {
    fn from(terms: Terms) -> Self {
        let Terms { retry, purpose, earlier_channels } = terms;
        Self { retry, purpose, earlier_channels }
    }
}

/// The caller's data, or its hash.
#[derive(Serialize, Deserialize)]
pub(crate) enum Metadata {
    Here(Blob),
    Hash(Bytes<32>),
}

impl From<&types::Metadata> for Metadata {
    fn from(metadata: &types::Metadata) -> Self {
        match metadata {
            types::Metadata::Here(data) => Self::Here(Blob(data.clone())),
            types::Metadata::Hash(hash) => Self::Hash(Bytes(*hash)),
        }
    }
}

impl From<Metadata> for types::Metadata {
    fn from(metadata: Metadata) -> Self {
        match metadata {
            Metadata::Here(Blob(data)) => Self::Here(data),
            Metadata::Hash(Bytes(hash)) => Self::Hash(hash),
        }
    }
}
