//! What is left of forgotten HTLCs: a list of differences, because a node keeps one for each HTLC
//! that ever was until its channel is closed.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bitcoin::Amount;
use lastword_types::{
    BlockHeight, CommitmentNumber, HtlcDirection, HtlcId, PastHtlc, PaymentHash160,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::prim::List;

/// The forgotten HTLCs of one direction, by id.
#[derive(Default)]
pub(crate) struct PastHtlcs(Vec<(HtlcId, PastHtlc)>);

impl PastHtlcs {
    /// Returns them under their names.
    pub(crate) fn named(
        self,
        direction: HtlcDirection,
    ) -> impl Iterator<Item = ((HtlcDirection, HtlcId), PastHtlc)> {
        self.0.into_iter().map(move |(htlc_id, past)| ((direction, htlc_id), past))
    }
}

/// Returns the forgotten HTLCs of one direction, or nothing for none, which have no TLV.
pub(crate) fn list(
    all: &BTreeMap<(HtlcDirection, HtlcId), PastHtlc>,
    direction: HtlcDirection,
) -> Option<PastHtlcs> {
    let all = all.range((direction, HtlcId(0))..=(direction, HtlcId(u64::MAX)));
    let list: Vec<_> = all.map(|((_, htlc_id), past)| (*htlc_id, *past)).collect();
    (!list.is_empty()).then_some(PastHtlcs(list))
}

/// One HTLC, as the difference to the one before it; the first is the difference to zero.
#[derive(Serialize, Deserialize)]
struct Step {
    /// Ids between the one before and this one, or below the first.
    ids_between: u64,
    payment_hash160: PaymentHash160,
    amount_sat: u64,
    expiry_less_last: i64,
    from_less_last: i64,
    /// Commitments that held it, less one.
    commitments_more: u64,
    is_failed: bool,
}

/// What a difference is taken from.
#[derive(Default)]
struct Last {
    next_id: Option<u64>,
    expiry: u32,
    from: u64,
}

impl Last {
    fn step(&mut self, htlc_id: HtlcId, past: &PastHtlc) -> Step {
        let (from, until) = (past.from.value(), past.until.value());
        let step = Step {
            ids_between: htlc_id.0.wrapping_sub(self.next_id.unwrap_or(0)),
            payment_hash160: past.payment_hash160,
            amount_sat: past.amount.to_sat(),
            expiry_less_last: i64::from(past.cltv_expiry.0) - i64::from(self.expiry),
            from_less_last: from.wrapping_sub(self.from).cast_signed(),
            commitments_more: until.wrapping_sub(from).wrapping_sub(1),
            is_failed: past.is_failed,
        };
        *self = Self { next_id: Some(htlc_id.0.wrapping_add(1)), expiry: past.cltv_expiry.0, from };
        step
    }

    /// Takes a step, unless it leads out of the numbers.
    fn take(&mut self, step: &Step) -> Option<(HtlcId, PastHtlc)> {
        // After the last id there is no next one, so 0 means that none is left.
        let first_free = self.next_id.map_or(Some(0), |next| (next > 0).then_some(next))?;
        let htlc_id = first_free.checked_add(step.ids_between)?;
        let expiry = i64::from(self.expiry).checked_add(step.expiry_less_last)?;
        let expiry = u32::try_from(expiry).ok()?;
        let from = self.from.checked_add_signed(step.from_less_last)?;
        let until = from.checked_add(step.commitments_more)?.checked_add(1)?;
        let past = PastHtlc {
            payment_hash160: step.payment_hash160,
            amount: Amount::from_sat(step.amount_sat),
            cltv_expiry: BlockHeight(expiry),
            from: CommitmentNumber::new(from)?,
            until: CommitmentNumber::new(until)?,
            is_failed: step.is_failed,
        };
        *self = Self { next_id: Some(htlc_id.wrapping_add(1)), expiry, from };
        Some((HtlcId(htlc_id), past))
    }
}

impl Serialize for PastHtlcs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut last = Last::default();
        let steps: List<Step> =
            self.0.iter().map(|(htlc_id, past)| last.step(*htlc_id, past)).collect();
        steps.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for PastHtlcs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let List::<Step>(steps) = List::deserialize(deserializer)?;
        let mut last = Last::default();
        let taken: Option<Vec<_>> = steps.iter().map(|step| last.take(step)).collect();
        taken.map(Self).ok_or_else(|| D::Error::custom("a forgotten HTLC is out of range"))
    }
}
