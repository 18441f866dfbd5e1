//! What the book accepts, what it says nothing new to, what it refuses: the whole table.

use lastword_payments::{PaymentError, Payments};
use lastword_ports::PaymentBook;
use lastword_types::{
    BookEpoch, BookState, EventKind, Outcome, OutcomeKind, PaymentPreimage, PaymentRecord,
    PaymentState,
};

use crate::tools::{
    abandoned, adopted, decided, dropped, failed, generation, handled, id, intent, key,
    path_failed, path_taken, sent,
};

const STATES: [&str; 6] =
    ["none", "pending", "decided sent", "decided failed", "handled sent", "handled failed"];

fn book_in(state: &str) -> Payments {
    let mut book = Payments::new();
    let mut apply = |record: PaymentRecord| book.apply(&record).unwrap();
    if state != "none" {
        apply(PaymentRecord::Intent(intent(1, 1, 2)));
    }
    match state {
        "none" | "pending" => {}
        "decided sent" => apply(decided(1, 1, sent())),
        "decided failed" => apply(decided(1, 1, failed())),
        "handled sent" => {
            apply(decided(1, 1, sent()));
            apply(handled(1, 1, EventKind::Sent));
        }
        "handled failed" => {
            apply(decided(1, 1, failed()));
            apply(handled(1, 1, EventKind::Failed));
        }
        other => panic!("no such state: {other}"),
    }
    book
}

/// What a record does to a book: `=` nothing, `!` refused, or the state it comes to.
fn effect_of(state: &str, record: &PaymentRecord) -> String {
    let mut book = book_in(state);
    let before = book.state().clone();
    let is_noop = match book.check(record) {
        Ok(accepted) => accepted.is_noop(),
        Err(error) => {
            assert_eq!(book.apply(record), Err(error), "check and apply agree");
            assert_eq!(book.state(), &before, "a refusal changes nothing");
            return "!".into();
        }
    };
    book.apply(record).unwrap();
    assert_eq!(is_noop, book.state() == &before, "a record is a noop if nothing changes");
    if is_noop {
        return "=".into();
    }
    match book.payment(id(1)) {
        None => "gone".into(),
        Some(view) => {
            let generation = if view.intent.generation == generation(1) { "" } else { "new " };
            let state = match view.state {
                PaymentState::Pending => "pending",
                PaymentState::Decided(outcome) if outcome == sent() => "decided sent",
                PaymentState::Decided(_) => "decided failed",
                PaymentState::Handled(outcome) if outcome == sent() => "handled sent",
                PaymentState::Handled(_) => "handled failed",
            };
            format!("{generation}{state}")
        }
    }
}

type Row = (&'static str, PaymentRecord, [&'static str; 6]);

/// What begins and ends payments; one column for each of [`STATES`].
fn life_table() -> Vec<Row> {
    vec![
        (
            "intent of the same generation",
            PaymentRecord::Intent(intent(1, 1, 2)),
            ["pending", "!", "!", "!", "!", "!"],
        ),
        (
            "intent of another generation",
            PaymentRecord::Intent(intent(1, 2, 2)),
            ["new pending", "!", "!", "!", "new pending", "new pending"],
        ),
        (
            "rebuilt, the same generation",
            PaymentRecord::Rebuilt(intent(1, 1, 2)),
            ["pending", "=", "pending", "pending", "!", "!"],
        ),
        (
            "rebuilt, the same generation with other parts",
            PaymentRecord::Rebuilt(intent(1, 1, 1)),
            ["pending", "!", "pending", "pending", "!", "!"],
        ),
        (
            "rebuilt, another generation",
            PaymentRecord::Rebuilt(intent(1, 2, 1)),
            [
                "new pending",
                "new pending",
                "new pending",
                "new pending",
                "new pending",
                "new pending",
            ],
        ),
        ("abandoned", abandoned(1, 1), ["!", "pending", "=", "=", "=", "="]),
        ("dropped", dropped(1, 1), ["!", "!", "!", "!", "gone", "gone"]),
    ]
}

/// What an outcome does; one column for each of [`STATES`].
fn outcome_table() -> Vec<Row> {
    let other_reason = Outcome::Failed { reason: lastword_types::HtlcFailure::Absent };
    vec![
        ("decided sent", decided(1, 1, sent()), ["!", "decided sent", "=", "!", "=", "!"]),
        ("decided failed", decided(1, 1, failed()), ["!", "decided failed", "!", "=", "!", "="]),
        (
            "decided failed for another reason",
            decided(1, 1, other_reason),
            ["!", "decided failed", "!", "!", "!", "!"],
        ),
        ("handled sent", handled(1, 1, EventKind::Sent), ["!", "!", "handled sent", "!", "=", "!"]),
        (
            "handled failed",
            handled(1, 1, EventKind::Failed),
            ["!", "!", "!", "handled failed", "!", "="],
        ),
        (
            "handled a failed path",
            handled(1, 1, path_failed(0)),
            ["!", "pending", "decided sent", "decided failed", "handled sent", "handled failed"],
        ),
        (
            "handled a taken path",
            handled(1, 1, path_taken(0)),
            ["!", "!", "!", "!", "handled sent", "!"],
        ),
        (
            "adopted sent",
            adopted(1, 1, sent()),
            ["!", "handled sent", "handled sent", "handled sent", "=", "!"],
        ),
        (
            "adopted failed",
            adopted(1, 1, failed()),
            ["!", "handled failed", "handled failed", "handled failed", "!", "="],
        ),
    ]
}

/// Of another generation than the book's, all of these are refused.
fn other_generation_table() -> Vec<Row> {
    vec![
        ("abandoned, other", abandoned(1, 2), ["!"; 6]),
        ("decided, other", decided(1, 2, sent()), ["!"; 6]),
        ("handled, other", handled(1, 2, EventKind::Sent), ["!"; 6]),
        ("handled path, other", handled(1, 2, path_failed(0)), ["!"; 6]),
        ("adopted, other", adopted(1, 2, sent()), ["!"; 6]),
        ("dropped, other", dropped(1, 2), ["!"; 6]),
    ]
}

#[test]
fn every_record_in_every_state_does_what_the_table_says() {
    let tables = [life_table(), outcome_table(), other_generation_table()];
    for (name, record, expected) in tables.into_iter().flatten() {
        for (state, expected) in STATES.iter().zip(expected) {
            assert_eq!(effect_of(state, &record), expected, "{name} in state {state}");
        }
    }
}

#[test]
fn an_id_is_free_when_there_is_no_entry_or_it_is_handled() {
    let free: Vec<bool> =
        STATES.iter().map(|state| book_in(state).check_free(id(1)).is_ok()).collect();
    assert_eq!(free, [true, false, false, false, true, true]);
    assert_eq!(
        book_in("pending").check_free(id(1)),
        Err(PaymentError::IdTaken { payment_id: id(1), generation: generation(1) })
    );
}

#[test]
fn refusals_name_what_is_wrong() {
    let book = book_in("decided sent");
    let refused = |record: &PaymentRecord| book.check(record).unwrap_err();
    assert_eq!(
        refused(&decided(1, 1, failed())),
        PaymentError::DecidedOtherwise { payment_id: id(1), recorded: OutcomeKind::Sent }
    );
    assert_eq!(
        refused(&handled(1, 1, path_taken(0))),
        PaymentError::NotToldYet { key: key(1, 1, path_taken(0)) }
    );
    assert_eq!(
        refused(&decided(1, 2, sent())),
        PaymentError::OtherGeneration {
            payment_id: id(1),
            held: generation(1),
            named: generation(2)
        }
    );
    assert_eq!(refused(&decided(2, 1, sent())), PaymentError::UnknownPayment { payment_id: id(2) });
    assert_eq!(refused(&dropped(1, 1)), PaymentError::NotHandled { payment_id: id(1) });
    let used = book_in("handled sent");
    assert_eq!(
        used.check(&PaymentRecord::Intent(intent(1, 1, 2))).unwrap_err(),
        PaymentError::GenerationReused { payment_id: id(1), generation: generation(1) }
    );
}

#[test]
fn a_preimage_of_another_hash_is_no_outcome() {
    let wrong = Outcome::Sent {
        preimage: PaymentPreimage([8; 32]),
        amount_msat: lastword_types::AmountMsat(1),
        fee_msat: lastword_types::AmountMsat(0),
    };
    let book = book_in("pending");
    let expected = PaymentError::PreimageMismatch { payment_id: id(1) };
    assert_eq!(book.check(&decided(1, 1, wrong)).unwrap_err(), expected);
    assert_eq!(book.check(&adopted(1, 1, wrong)).unwrap_err(), expected);
}

#[test]
fn the_book_tells_what_is_pending_and_what_was_handled() {
    let mut book = book_in("decided sent");
    book.apply(&PaymentRecord::Intent(intent(0, 1, 1))).unwrap();
    book.apply(&PaymentRecord::Intent(intent(2, 1, 1))).unwrap();
    book.apply(&adopted(2, 1, failed())).unwrap();
    book.apply(&handled(0, 1, path_failed(0))).unwrap();
    book.apply(&abandoned(0, 1)).unwrap();

    let mut pending = Vec::new();
    book.for_each_pending(&mut |view| pending.push((view.intent.payment_id, view.is_abandoned)));
    assert_eq!(pending, [(id(0), true), (id(1), false)]);

    let is_handled = |payment, generation, kind| book.is_handled(key(payment, generation, kind));
    assert!(is_handled(0, 1, path_failed(0)));
    assert!(!is_handled(0, 1, path_failed(1)));
    assert!(!is_handled(0, 2, path_failed(0)), "another generation has its own events");
    assert!(!is_handled(1, 1, EventKind::Sent), "what is only decided may never have been told");
    assert!(is_handled(2, 1, EventKind::Failed));
    assert!(!is_handled(2, 1, EventKind::Sent));
    assert!(!is_handled(3, 1, EventKind::Sent));
    assert_eq!(book.epoch(), BookEpoch::ZERO);
}

#[test]
fn a_reopened_payment_remembers_its_paths_and_a_new_generation_does_not() {
    let mut book = book_in("pending");
    book.apply(&handled(1, 1, path_failed(1))).unwrap();
    book.apply(&decided(1, 1, failed())).unwrap();
    book.apply(&PaymentRecord::Rebuilt(intent(1, 1, 2))).unwrap();
    assert!(book.is_handled(key(1, 1, path_failed(1))), "what was told stays told");
    book.apply(&PaymentRecord::Rebuilt(intent(1, 2, 2))).unwrap();
    assert!(!book.is_handled(key(1, 2, path_failed(1))));
}

#[test]
fn a_restored_book_is_the_book() {
    for state in STATES {
        let book = book_in(state);
        let restored = Payments::restore(book.state().clone()).unwrap();
        assert_eq!(restored.state(), book.state());
    }
}

#[test]
fn a_state_that_no_records_make_is_not_restored() {
    let mut misplaced = BookState::default();
    let entry = book_in("pending").state().payments[&id(1)].clone();
    misplaced.payments.insert(id(2), entry.clone());
    assert_eq!(
        Payments::restore(misplaced).unwrap_err(),
        PaymentError::Misplaced { payment_id: id(1) }
    );

    let mut terminal = BookState::default();
    let mut entry = entry;
    entry.paths_handled.insert(EventKind::Sent);
    terminal.payments.insert(id(1), entry);
    assert_eq!(
        Payments::restore(terminal).unwrap_err(),
        PaymentError::NotAPathEvent { key: key(1, 1, EventKind::Sent) }
    );
}

#[test]
#[should_panic(expected = "the token is fresh")]
fn a_stale_token_is_a_mistake_of_the_driver() {
    let mut book = book_in("pending");
    let (first, second) = (abandoned(1, 1), decided(1, 1, sent()));
    let stale = book.check(&first).unwrap();
    let accepted = book.check(&second).unwrap();
    book.commit(accepted);
    book.commit(stale);
}

#[test]
fn an_epoch_only_rises() {
    let mut book = Payments::new();
    let raise = |epoch| PaymentRecord::EpochRaised { epoch: BookEpoch(epoch) };
    for (epoch, is_news) in [(3, true), (3, false), (2, false), (4, true)] {
        assert_eq!(book.check(&raise(epoch)).unwrap().is_noop(), !is_news, "{epoch}");
        book.apply(&raise(epoch)).unwrap();
    }
    assert_eq!(book.epoch(), BookEpoch(4));
    assert_eq!(Payments::restore(book.state().clone()).unwrap().epoch(), BookEpoch(4));
}

#[test]
fn an_unknown_outcome_is_recorded_and_told_like_any_other() {
    let mut book = Payments::new();
    book.apply(&PaymentRecord::Intent(intent(1, 1, 2))).unwrap();
    book.apply(&decided(1, 1, Outcome::Unknown)).unwrap();
    assert!(book.check_free(id(1)).is_err());
    for kind in [EventKind::Sent, EventKind::Failed] {
        assert!(book.check(&handled(1, 1, kind)).is_err(), "{kind:?}");
    }
    book.apply(&handled(1, 1, EventKind::Unknown)).unwrap();
    assert!(book.check_free(id(1)).is_ok());
}
