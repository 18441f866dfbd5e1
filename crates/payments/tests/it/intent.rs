//! What an intent must be.

use lastword_payments::{
    IntentError, MAX_ATTEMPTS, MAX_METADATA_BYTES, MAX_PARTS, PaymentError, Payments,
};
use lastword_types::{AmountMsat, ChannelId, HtlcId, Intent, Metadata, PaymentRecord, Purpose};

use crate::tools::{abandoned, attempt, decided, failed, intent, retryable};

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

#[test]
fn a_later_attempt_of_the_ledgers_takes_the_place_of_the_books_and_no_other_does() {
    let first = retryable(1, 1);
    let rebuilt = |held: &Intent, intent: &Intent| {
        let mut book = Payments::new();
        book.apply(&PaymentRecord::Rebuilt(held.clone())).unwrap();
        let result = book.apply(&PaymentRecord::Rebuilt(intent.clone()));
        result.map(|()| book.state().payments[&held.payment_id].intent.clone())
    };
    let second = attempt(&first, 1);
    assert_eq!(rebuilt(&first, &second), Ok(second.clone()));
    assert_eq!(rebuilt(&second, &second), Ok(second.clone()));
    let not_lost = Err(PaymentError::NotLost { payment_id: first.payment_id });
    assert_eq!(rebuilt(&second, &first), not_lost, "an earlier attempt");
    let mut other = second.clone();
    other.parts[0].htlc_id = HtlcId(9);
    assert_eq!(rebuilt(&second, &other), not_lost, "the same attempt over other HTLCs");
}

#[test]
fn a_payment_has_a_number_of_attempts_and_a_probe_has_one() {
    let max = MAX_ATTEMPTS;
    let attempts =
        |attempts_max| move |intent: &mut Intent| intent.terms.retry.attempts_max = attempts_max;
    assert_eq!(refusal(attempts(max)), None);
    for attempts_max in [0, max + 1] {
        let error = IntentError::WrongAttemptsMax { attempts_max, max };
        assert_eq!(refusal(attempts(attempts_max)), Some(error));
    }
    assert_eq!(
        refusal(|intent| {
            intent.terms.earlier_channels.insert(intent.parts[0].channel_id);
        }),
        Some(IntentError::NothingCameBefore)
    );
    let probe = |intent: &mut Intent| intent.terms.purpose = Purpose::Probe;
    assert_eq!(refusal(probe), Some(IntentError::ProbeTooLarge), "two parts");
    let small = |attempts_max| {
        move |small: &mut Intent| {
            *small = intent(1, 1, 1);
            probe(small);
            small.terms.retry.attempts_max = attempts_max;
        }
    };
    assert_eq!(refusal(small(1)), None);
    assert_eq!(refusal(small(2)), Some(IntentError::ProbeTooLarge));
}

/// What the book says to an attempt after the one that it holds.
fn retry_refusal(held: &Intent, retry: &Intent) -> Option<PaymentError> {
    let mut book = Payments::new();
    book.apply(&PaymentRecord::Rebuilt(held.clone())).unwrap();
    let before = book.state().clone();
    let refused = book.apply(&PaymentRecord::Retried(retry.clone())).err();
    if refused.is_some() {
        assert_eq!(*book.state(), before, "a refusal changes nothing");
    } else {
        assert_eq!(book.state().payments[&held.payment_id].intent, *retry);
    }
    refused
}

#[test]
fn a_retry_is_the_same_payment_over_other_parts() {
    let first = retryable(1, 1);
    let changed = |change: &dyn Fn(&mut Intent)| {
        let mut retry = attempt(&first, 1);
        change(&mut retry);
        retry_refusal(&first, &retry)
    };
    assert_eq!(changed(&|_| {}), None);
    assert_eq!(changed(&|retry| retry.attempt = 2), None, "the ledgers say which is owed");
    for number in [0, 3] {
        let error = IntentError::AttemptNotAllowed { attempt: number };
        assert_eq!(changed(&|retry| retry.attempt = number), Some(error.into()));
    }
    let others: [&dyn Fn(&mut Intent); 5] = [
        &|retry| retry.payment_hash.0[0] ^= 1,
        &|retry| retry.total_msat.0 += 1,
        &|retry| retry.metadata = Metadata::Here(vec![0xFF]),
        &|retry| retry.terms.retry.attempts_max = 9,
        &|retry| retry.terms.purpose = Purpose::Probe,
    ];
    for change in others {
        assert_eq!(changed(change), Some(IntentError::AnotherPayment.into()));
    }
    let channel_id = first.parts[1].channel_id;
    assert_eq!(
        changed(&|retry| {
            retry.terms.earlier_channels.remove(&channel_id);
        }),
        Some(IntentError::EarlierChannelMissing { channel_id }.into())
    );
    assert_eq!(
        changed(&|retry| retry.parts[0].part_amount_msat = AmountMsat::ZERO),
        Some(IntentError::EmptyPart { htlc: attempt(&first, 1).parts[0].key() }.into())
    );
    // An attempt that never left is made again, and then it is not one of those before.
    let second = attempt(&first, 1);
    assert_eq!(retry_refusal(&second, &second), None);
    let mut again = second.clone();
    again.parts[0].htlc_id = HtlcId(9);
    assert_eq!(retry_refusal(&second, &again), None);
    // Nor is the channel that it was to go through.
    let mut elsewhere = second.clone();
    elsewhere.parts[0].channel_id = ChannelId([9; 32]);
    assert_eq!(retry_refusal(&elsewhere, &again), None);
    assert_eq!(
        retry_refusal(&attempt(&first, 2), &second),
        Some(IntentError::AttemptNotAllowed { attempt: 1 }.into())
    );
}

#[test]
fn what_is_given_up_or_decided_is_not_tried_again() {
    let first = retryable(1, 1);
    let payment_id = first.payment_id;
    let retry = PaymentRecord::Retried(attempt(&first, 1));
    let mut unknown = Payments::new();
    assert_eq!(unknown.apply(&retry), Err(PaymentError::UnknownPayment { payment_id }));
    for end in [abandoned(1, 1), decided(1, 1, failed())] {
        let mut book = Payments::new();
        book.apply(&PaymentRecord::Intent(first.clone())).unwrap();
        book.apply(&end).unwrap();
        assert_eq!(book.apply(&retry), Err(PaymentError::NoMoreAttempts { payment_id }));
    }
}
