//! What an [`Intent`] must be before a payment may begin.

use alloc::collections::BTreeSet;

use lastword_types::{AmountMsat, Intent, Metadata, Purpose};

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

/// The most attempts that a payment may have.
///
/// Each HTLC's origin names the channels of all attempts before its own.
///
/// Source: ours; rust-lightning's users retry a handful of times.
pub const MAX_ATTEMPTS: u32 = 32;

/// Says whether a first attempt may be sent.
pub(crate) fn check_first(intent: &Intent) -> Result<(), IntentError> {
    if intent.attempt != 0 {
        return Err(IntentError::NotTheFirstAttempt { attempt: intent.attempt });
    }
    if !intent.terms.earlier_channels.is_empty() {
        return Err(IntentError::NothingCameBefore);
    }
    check(intent)
}

/// Says whether a further attempt may be sent, after the one that the book holds.
///
/// Whether one is owed is the ledgers' to say: an attempt that never left is made again under its
/// number.
pub(crate) fn check_retry(held: &Intent, retry: &Intent) -> Result<(), IntentError> {
    let attempt = retry.attempt;
    if attempt == 0 || attempt < held.attempt || attempt >= held.terms.retry.attempts_max {
        return Err(IntentError::AttemptNotAllowed { attempt });
    }
    let has_earlier = |channel_id| retry.terms.earlier_channels.contains(channel_id);
    let mut earlier: BTreeSet<_> = held.terms.earlier_channels.iter().collect();
    if attempt > held.attempt {
        earlier.extend(held.parts.iter().map(|part| &part.channel_id));
    }
    if let Some(channel_id) = earlier.into_iter().find(|channel_id| !has_earlier(channel_id)) {
        return Err(IntentError::EarlierChannelMissing { channel_id: *channel_id });
    }
    let is_same = retry.payment_hash == held.payment_hash
        && retry.total_msat == held.total_msat
        && retry.metadata.hashed() == held.metadata.hashed()
        && retry.terms.retry == held.terms.retry
        && retry.terms.purpose == held.terms.purpose;
    if !is_same {
        return Err(IntentError::AnotherPayment);
    }
    check(retry)
}

fn check(intent: &Intent) -> Result<(), IntentError> {
    check_shape(intent)?;
    check_terms(intent)?;
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

fn check_terms(intent: &Intent) -> Result<(), IntentError> {
    let attempts_max = intent.terms.retry.attempts_max;
    if attempts_max == 0 || attempts_max > MAX_ATTEMPTS {
        return Err(IntentError::WrongAttemptsMax { attempts_max, max: MAX_ATTEMPTS });
    }
    match intent.terms.purpose {
        Purpose::Payment => Ok(()),
        Purpose::Probe if intent.parts.len() == 1 && attempts_max == 1 => Ok(()),
        Purpose::Probe => Err(IntentError::ProbeTooLarge),
    }
}

fn check_shape(intent: &Intent) -> Result<(), IntentError> {
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
