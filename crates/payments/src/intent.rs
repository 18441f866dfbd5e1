//! What an [`Intent`] must be before a payment may begin.

use alloc::collections::BTreeSet;

use lastword_types::{AmountMsat, Intent, Metadata};

use crate::error::IntentError;

/// The most parts that one attempt may have.
///
/// Each HTLC's origin names the channels of all parts, so the bytes grow with the square of this.
///
/// Source: ours; rust-lightning's default is 10 paths.
pub const MAX_PARTS: usize = 100;

/// The most bytes that the caller may keep with a payment.
///
/// They are stored with the first part's HTLC in its monitor, and again in the book.
///
/// Source: ours.
pub const MAX_METADATA_BYTES: usize = 4096;

/// Says whether an intent may be sent.
pub(crate) fn check(intent: &Intent) -> Result<(), IntentError> {
    check_shape(intent)?;
    let mut htlcs = BTreeSet::new();
    let mut delivered = AmountMsat::ZERO;
    let mut carried = AmountMsat::ZERO;
    for part in &intent.parts {
        let htlc = part.key();
        if part.part_amount_msat == AmountMsat::ZERO {
            return Err(IntentError::EmptyPart { htlc });
        }
        if part.amount_msat < part.part_amount_msat {
            return Err(IntentError::PartAboveHtlc { htlc });
        }
        if !htlcs.insert(htlc) {
            return Err(IntentError::SameHtlcTwice { htlc });
        }
        delivered = add(delivered, part.part_amount_msat)?;
        carried = add(carried, part.amount_msat)?;
    }
    if delivered != intent.total_msat {
        return Err(IntentError::PartsMissTotal { parts: delivered, total: intent.total_msat });
    }
    let expected = add(intent.total_msat, intent.fee_msat)?;
    if carried != expected {
        return Err(IntentError::HtlcsMissTotal { htlcs: carried, expected });
    }
    Ok(())
}

fn check_shape(intent: &Intent) -> Result<(), IntentError> {
    if intent.attempt != 0 {
        return Err(IntentError::NotTheFirstAttempt { attempt: intent.attempt });
    }
    if intent.parts.is_empty() {
        return Err(IntentError::NoParts);
    }
    let parts_count = intent.parts.len();
    if parts_count > MAX_PARTS {
        return Err(IntentError::TooManyParts { parts_count, max: MAX_PARTS });
    }
    match &intent.metadata {
        Metadata::Hash(_) => Err(IntentError::MetadataHashed),
        Metadata::Here(data) if data.len() > MAX_METADATA_BYTES => {
            Err(IntentError::MetadataTooLong { bytes: data.len(), max: MAX_METADATA_BYTES })
        }
        Metadata::Here(_) => Ok(()),
    }
}

fn add(sum: AmountMsat, more: AmountMsat) -> Result<AmountMsat, IntentError> {
    sum.checked_add(more).ok_or(IntentError::AmountOverflow)
}
