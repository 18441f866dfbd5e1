//! What an intent must be.

use lastword_payments::{IntentError, MAX_METADATA_BYTES, MAX_PARTS, PaymentError, Payments};
use lastword_types::{AmountMsat, HtlcId, Intent, Metadata, PaymentRecord};

use crate::tools::intent;

fn refusal(change: impl FnOnce(&mut Intent)) -> Option<IntentError> {
    let mut intent = intent(1, 1, 2);
    change(&mut intent);
    match Payments::new().check(&PaymentRecord::Intent(intent)) {
        Ok(_) => None,
        Err(PaymentError::Intent(error)) => Some(error),
        Err(other) => panic!("another refusal: {other}"),
    }
}

#[test]
fn a_sound_intent_is_accepted() {
    assert_eq!(refusal(|_| {}), None);
}

#[test]
fn an_intent_has_parts_and_not_too_many() {
    assert_eq!(refusal(|intent| intent.parts.clear()), Some(IntentError::NoParts));
    let grow = |count: usize| {
        move |intent: &mut Intent| {
            let part = intent.parts[1];
            intent.parts = (0..count)
                .map(|n| {
                    let mut part = part;
                    part.htlc_id = HtlcId(n as u64);
                    part
                })
                .collect();
            intent.total_msat = AmountMsat(1_000 * count as u64);
            intent.fee_msat = AmountMsat::ZERO;
        }
    };
    assert_eq!(refusal(grow(MAX_PARTS)), None);
    assert_eq!(
        refusal(grow(MAX_PARTS + 1)),
        Some(IntentError::TooManyParts { parts_count: MAX_PARTS + 1, max: MAX_PARTS })
    );
}

#[test]
fn a_payment_begins_with_its_first_attempt() {
    assert_eq!(
        refusal(|intent| intent.attempt = 1),
        Some(IntentError::NotTheFirstAttempt { attempt: 1 })
    );
}

#[test]
fn amounts_add_up() {
    let htlc = intent(1, 1, 2).parts[1].key();
    assert_eq!(
        refusal(|intent| intent.parts[1].part_amount_msat = AmountMsat::ZERO),
        Some(IntentError::EmptyPart { htlc })
    );
    assert_eq!(
        refusal(|intent| intent.parts[1].amount_msat = AmountMsat(999)),
        Some(IntentError::PartAboveHtlc { htlc })
    );
    assert_eq!(
        refusal(|intent| intent.total_msat = AmountMsat(2_001)),
        Some(IntentError::PartsMissTotal { parts: AmountMsat(2_000), total: AmountMsat(2_001) })
    );
    assert_eq!(
        refusal(|intent| intent.fee_msat = AmountMsat(11)),
        Some(IntentError::HtlcsMissTotal { htlcs: AmountMsat(2_010), expected: AmountMsat(2_011) })
    );
}

#[test]
fn no_sum_overflows() {
    let huge = AmountMsat(u64::MAX);
    assert_eq!(
        refusal(|intent| {
            intent.parts[0].amount_msat = huge;
            intent.parts[0].part_amount_msat = huge;
        }),
        Some(IntentError::AmountOverflow)
    );
    assert_eq!(
        refusal(|intent| intent.parts[0].amount_msat = huge),
        Some(IntentError::AmountOverflow)
    );
    assert_eq!(refusal(|intent| intent.fee_msat = huge), Some(IntentError::AmountOverflow));
}

#[test]
fn no_two_parts_share_an_htlc() {
    let htlc = intent(1, 1, 2).parts[0].key();
    assert_eq!(
        refusal(|intent| intent.parts[1].channel_id = intent.parts[0].channel_id),
        Some(IntentError::SameHtlcTwice { htlc })
    );
}

#[test]
fn metadata_is_there_and_bounded() {
    assert_eq!(
        refusal(|intent| intent.metadata = intent.metadata.hashed()),
        Some(IntentError::MetadataHashed)
    );
    assert_eq!(
        refusal(|intent| intent.metadata = Metadata::Here(vec![0; MAX_METADATA_BYTES])),
        None
    );
    assert_eq!(
        refusal(|intent| intent.metadata = Metadata::Here(vec![0; MAX_METADATA_BYTES + 1])),
        Some(IntentError::MetadataTooLong {
            bytes: MAX_METADATA_BYTES + 1,
            max: MAX_METADATA_BYTES
        })
    );
}

#[test]
fn what_is_rebuilt_is_evidence_and_its_amounts_are_not_judged() {
    let mut rebuilt = intent(1, 1, 2);
    rebuilt.parts.remove(0);
    rebuilt.metadata = rebuilt.metadata.hashed();
    rebuilt.attempt = 3;
    Payments::new().apply(&PaymentRecord::Rebuilt(rebuilt.clone())).unwrap();
    rebuilt.parts.clear();
    assert_eq!(
        Payments::new().apply(&PaymentRecord::Rebuilt(rebuilt)),
        Err(PaymentError::Intent(IntentError::NoParts))
    );
}
