//! Random records: refusals change nothing, replay equals the live book, outcomes stay.

use lastword_payments::Payments;
use lastword_types::{EventKind, Outcome, PaymentId, PaymentRecord, PaymentState};
use proptest::prelude::*;

use crate::tools::{
    abandoned, adopted, attempt, decided, dropped, failed, generation, handled, id, intent,
    path_failed, path_taken, retryable, sent,
};

fn outcomes() -> impl Strategy<Value = Outcome> {
    prop_oneof![Just(sent()), Just(failed())]
}

fn records() -> impl Strategy<Value = PaymentRecord> {
    let kinds = prop_oneof![
        Just(EventKind::Sent),
        Just(EventKind::Failed),
        Just(path_failed(0)),
        Just(path_taken(0)),
        Just(EventKind::Probed),
        Just(EventKind::Claimed),
    ];
    (0..3_u8, 0..3_u8).prop_flat_map(move |(payment, generation)| {
        prop_oneof![
            3 => (1..3_u8).prop_map(move |n| PaymentRecord::Intent(intent(payment, generation, n))),
            2 => Just(PaymentRecord::Intent(retryable(payment, generation))),
            1 => Just(PaymentRecord::Rebuilt(intent(payment, generation, 1))),
            1 => (1..4_u32).prop_map(move |n| {
                PaymentRecord::Rebuilt(attempt(&retryable(payment, generation), n))
            }),
            3 => (1..4_u32).prop_map(move |n| {
                PaymentRecord::Retried(attempt(&retryable(payment, generation), n))
            }),
            1 => Just(abandoned(payment, generation)),
            3 => outcomes().prop_map(move |outcome| decided(payment, generation, outcome)),
            4 => kinds.clone().prop_map(move |kind| handled(payment, generation, kind)),
            1 => outcomes().prop_map(move |outcome| adopted(payment, generation, outcome)),
            1 => Just(dropped(payment, generation)),
        ]
    })
}

fn handled_outcome(book: &Payments, payment_id: PaymentId, byte: u8) -> Option<Outcome> {
    let entry = book.state().payments.get(&payment_id)?;
    match entry.state {
        PaymentState::Handled(outcome) if entry.intent.generation == generation(byte) => {
            Some(outcome)
        }
        PaymentState::Handled(_) | PaymentState::Decided(_) | PaymentState::Pending => None,
    }
}

proptest! {
    #[test]
    fn replay_equals_the_live_book_and_refusals_change_nothing(
        records in prop::collection::vec(records(), 0..60),
        cut in 0..60_usize,
    ) {
        let mut live = Payments::new();
        let mut log = Vec::new();
        for record in &records {
            let before = live.state().clone();
            let Ok(accepted) = live.check(record) else {
                prop_assert!(live.apply(record).is_err());
                prop_assert_eq!(live.state(), &before);
                continue;
            };
            if accepted.is_noop() {
                live.commit(accepted);
                prop_assert_eq!(live.state(), &before);
            } else {
                live.commit(accepted);
                prop_assert_ne!(live.state(), &before);
                log.push(record.clone());
            }
        }
        // A snapshot anywhere and the records after it give the same book.
        let cut = cut.min(log.len());
        let mut early = Payments::new();
        for record in &log[..cut] {
            early.apply(record).unwrap();
        }
        let mut replayed = Payments::restore(early.state().clone()).unwrap();
        for record in &log[cut..] {
            replayed.apply(record).unwrap();
        }
        prop_assert_eq!(replayed.state(), live.state());
    }

    #[test]
    fn a_handled_outcome_never_changes_within_its_generation(
        records in prop::collection::vec(records(), 0..80),
    ) {
        let mut book = Payments::new();
        for record in &records {
            let before: Vec<_> = (0..9_u8)
                .map(|n| handled_outcome(&book, id(n / 3), n % 3))
                .collect();
            let was_pruned = book.apply(record).is_ok() && matches!(
                record,
                PaymentRecord::Dropped { .. } | PaymentRecord::Intent(_) | PaymentRecord::Rebuilt(_)
            );
            for (n, before) in (0..9_u8).zip(before) {
                let after = handled_outcome(&book, id(n / 3), n % 3);
                let is_gone = was_pruned && after.is_none();
                prop_assert!(before.is_none() || after == before || is_gone);
            }
        }
    }
}
