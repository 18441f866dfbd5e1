//! Each rule is needed: without any of its clauses the checker finds a trace. Those clauses that this
//! model does not need are at the end.

use lastword_model::{Extent, Mode, Name, Rule, Rules, run};

use crate::{
    BACK, ENDS, FAILED, FORWARD_ENDS, FORWARD_ONCE, LIMIT, NO_RETRY, ONE_OUTCOME, PAST,
    REPORT_ONCE, SENT, TOLD_ONCE, UNKNOWN_ONCE, dropped,
};

#[test]
fn r1_a_payment_that_was_accepted_before_its_intent_was_durable_is_forgotten() {
    dropped(Rule::R1Intent, Name::Retries, Mode::OneLog).breaks(ENDS);
    dropped(Rule::R1Intent, Name::Retries, Mode::SeparateStores).breaks(ENDS);
}

#[test]
fn r1_an_htlc_that_leaves_before_its_entry_is_durable_is_failed_while_it_lives() {
    for mode in Mode::ALL {
        dropped(Rule::R1Entry, Name::Unreadable, mode).breaks(FAILED);
    }
}

#[test]
fn r2_a_part_without_a_trace_was_never_sent() {
    dropped(Rule::R2NeverSent, Name::Unreadable, Mode::OneLog).breaks(ENDS);
}

#[test]
fn r2_a_monitor_that_cannot_be_read_is_no_evidence() {
    for mode in Mode::ALL {
        dropped(Rule::R2Monitor, Name::Unreadable, mode).breaks(FAILED);
        dropped(Rule::R2Monitor, Name::Forward, mode).breaks(BACK);
    }
}

#[test]
fn r2_a_monitor_that_cannot_be_read_may_hold_the_release_of_a_sent_payment() {
    for mode in [Mode::SeparateStores, Mode::AnyBook] {
        dropped(Rule::R2Whole, Name::Unreadable, mode).breaks(TOLD_ONCE);
    }
}

#[test]
fn r2_a_match_needs_the_origin() {
    dropped(Rule::R2Match, Name::Reuse, Mode::OneLog).breaks(SENT);
}

#[test]
fn r3_a_queued_event_is_recomputed() {
    dropped(Rule::R3Recompute, Name::Unreadable, Mode::SeparateStores).breaks(ENDS);
    dropped(Rule::R3Recompute, Name::Forgetting, Mode::SeparateStores).breaks(TOLD_ONCE);
}

#[test]
fn r4_an_event_waits_for_the_ledger() {
    dropped(Rule::R4Gate, Name::Unreadable, Mode::SeparateStores).breaks(ONE_OUTCOME);
    dropped(Rule::R4Gate, Name::Unreadable, Mode::AnyBook).breaks(ONE_OUTCOME);
}

#[test]
fn r5_a_release_before_the_handler_leaves_the_user_untold() {
    for mode in Mode::ALL {
        dropped(Rule::R5AfterHandler, Name::Unreadable, mode).breaks(ENDS);
    }
}

#[test]
fn r5_a_release_for_a_path_event_ends_the_payment_before_its_outcome() {
    for mode in Mode::ALL {
        dropped(Rule::R5Path, Name::Retries, mode).breaks(ENDS);
    }
}

#[test]
fn r5_after_sent_a_retry_pays_twice() {
    for mode in Mode::ALL {
        dropped(Rule::R5NoRetry, Name::Retries, mode).breaks(NO_RETRY);
    }
}

#[test]
fn r5_an_old_book_retries_what_was_told_as_failed() {
    let dropped = dropped(Rule::R5NewestRetries, Name::Retries, Mode::AnyBook);
    dropped.breaks(ONE_OUTCOME);
}

#[test]
fn r6_one_delivered_part_means_over() {
    dropped(Rule::R6Over, Name::Forgetting, Mode::SeparateStores).breaks(TOLD_ONCE);
    dropped(Rule::R6Over, Name::Retries, Mode::AnyBook).breaks(TOLD_ONCE);
}

#[test]
fn r7_what_the_book_does_not_know_is_rebuilt() {
    dropped(Rule::R7Rebuilt, Name::Unreadable, Mode::AnyBook).breaks(ENDS);
}

#[test]
fn r8_an_id_is_free_when_that_is_durable() {
    dropped(Rule::R8Free, Name::Successors, Mode::SeparateStores).breaks(TOLD_ONCE);
    dropped(Rule::R8Free, Name::Successors, Mode::AnyBook).breaks(PAST);
}

#[test]
fn r9_the_book_drops_a_payment_when_its_releases_are_durable() {
    dropped(Rule::R9Drop, Name::Successors, Mode::SeparateStores).breaks(TOLD_ONCE);
}

#[test]
fn r10_an_entry_leaves_a_tombstone() {
    dropped(Rule::R10Tombstone, Name::Forgetting, Mode::SeparateStores).breaks(ONE_OUTCOME);
}

#[test]
fn r10_a_tombstone_goes_behind_an_epoch() {
    dropped(Rule::R10Epoch, Name::Forgetting, Mode::SeparateStores).breaks(ONE_OUTCOME);
    dropped(Rule::R10Epoch, Name::Forgetting, Mode::AnyBook).breaks(ONE_OUTCOME);
}

#[test]
fn r10_an_orphan_of_an_old_book_is_unknown() {
    dropped(Rule::R10Unknown, Name::Successors, Mode::AnyBook).breaks(TOLD_ONCE);
}

#[test]
fn r10_a_tombstone_stays_while_a_sibling_is_owed() {
    dropped(Rule::R10Siblings, Name::Forgetting, Mode::SeparateStores).breaks(ONE_OUTCOME);
}

#[test]
fn r10_an_epoch_that_comes_twice_hides_an_old_book() {
    dropped(Rule::R10EpochOnce, Name::Successors, Mode::AnyBook).full().breaks(TOLD_ONCE);
}

#[test]
fn r10_a_tombstone_that_an_old_book_dates_goes_too_early() {
    dropped(Rule::R10Dated, Name::Successors, Mode::AnyBook).full().breaks(TOLD_ONCE);
}

#[test]
fn r10_a_book_that_enters_an_epoch_has_adopted_what_is_over() {
    dropped(Rule::R10Adopted, Name::Successors, Mode::SeparateStores).breaks(TOLD_ONCE);
    dropped(Rule::R10Adopted, Name::Forgetting, Mode::AnyBook).breaks(ONE_OUTCOME);
}

#[test]
fn r10_an_unknown_that_leaves_no_tombstone_is_told_again() {
    dropped(Rule::R10UnknownStays, Name::Successors, Mode::AnyBook).full().breaks(UNKNOWN_ONCE);
}

#[test]
fn r11_a_monitor_that_owes_is_not_archived() {
    dropped(Rule::R11Owed, Name::Forgetting, Mode::OneLog).breaks(FAILED);
    dropped(Rule::R11Owed, Name::Forgetting, Mode::AnyBook).breaks(ENDS);
}

#[test]
fn r11_the_tombstones_of_an_archived_monitor_stay() {
    dropped(Rule::R11Tombstones, Name::Forgetting, Mode::AnyBook).breaks(ONE_OUTCOME);
}

#[test]
fn r11_a_monitor_whose_preimage_is_owed_upstream_stays() {
    for mode in Mode::ALL {
        dropped(Rule::R11Preimage, Name::Forward, mode).breaks(FORWARD_ONCE);
    }
}

#[test]
fn r12_an_outbound_entry_waits_for_a_durable_inbound_one() {
    dropped(Rule::R12Durable, Name::Forward, Mode::SeparateStores).breaks(FORWARD_ONCE);
    dropped(Rule::R12Durable, Name::Forward, Mode::AnyBook).breaks(FORWARD_ONCE);
}

#[test]
fn r12_an_archived_inbound_channel_is_resolved() {
    dropped(Rule::R12Archived, Name::Forward, Mode::OneLog).breaks(FORWARD_ENDS);
}

#[test]
fn r12_what_was_never_forwarded_does_not_wait() {
    for mode in Mode::ALL {
        dropped(Rule::R12NeverForwarded, Name::Forward, mode).breaks(FORWARD_ENDS);
    }
}

#[test]
fn r12_unknown_keeps_the_entry() {
    dropped(Rule::R12Unknown, Name::Forward, Mode::OneLog).breaks(FORWARD_ONCE);
    dropped(Rule::R12Unknown, Name::Forward, Mode::AnyBook).breaks(FORWARD_ONCE);
}

#[test]
fn r12_unknown_is_reported_once() {
    dropped(Rule::R12Once, Name::Forward, Mode::OneLog).breaks(REPORT_ONCE);
}

/// What `docs/MODEL.md` says of them: they stand for what this model does not have.
#[test]
fn what_this_model_does_not_need_is_said() {
    let needless = [
        (Rule::R1OneAppend, [Name::Retries, Name::Unreadable]),
        (Rule::R5Final, [Name::Retries, Name::Forgetting]),
    ];
    for (clause, names) in needless {
        for name in names {
            let rules = Rules::all().without(clause);
            let found = run(name, Mode::SeparateStores, Extent::Small, rules, LIMIT);
            assert!(found.violation.is_none() && found.is_closed, "{clause:?}: {found:#?}");
        }
    }
}
