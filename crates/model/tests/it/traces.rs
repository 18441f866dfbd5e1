//! W1 to W14 of the first version of the rules: each comes back with the reading that allowed it.
//!
//! That none of them comes with the rules is what `worlds` shows: there the same worlds are searched
//! whole.

use lastword_model::{Mode, Name, Rule};

use crate::{
    BACK, ENDS, FAILED, FORWARD_ENDS, ONE_OUTCOME, PAST, SENT, TOLD_ONCE, VERDICT, dropped,
};

#[test]
fn w1_a_part_that_never_left_is_waited_for_for_ever() {
    for mode in Mode::ALL {
        let steps = dropped(Rule::R2NeverSent, Name::Retries, mode).breaks(ENDS);
        assert!(steps <= 4, "send, sync, crash");
    }
}

#[test]
fn w1_a_forward_that_never_left_is_waited_for_for_ever() {
    dropped(Rule::R12NeverForwarded, Name::Forward, Mode::OneLog).breaks(FORWARD_ENDS);
}

#[test]
fn w2_a_late_preimage_tells_sent_after_failed() {
    for mode in Mode::ALL {
        dropped(Rule::FinalIsFinal, Name::Unreadable, mode).breaks(ONE_OUTCOME);
    }
}

#[test]
fn w3_a_queued_event_is_believed_although_the_ledger_lost_its_cause() {
    dropped(Rule::R3Recompute, Name::Unreadable, Mode::SeparateStores).breaks(ENDS);
    dropped(Rule::R3Recompute, Name::Reuse, Mode::AnyBook).breaks(TOLD_ONCE);
}

#[test]
fn w3_the_book_alone_opens_the_gate() {
    dropped(Rule::R4Gate, Name::Unreadable, Mode::SeparateStores).breaks(ONE_OUTCOME);
}

#[test]
fn w4_a_pruned_entry_is_asked_for_by_an_older_book() {
    dropped(Rule::R10Tombstone, Name::Successors, Mode::AnyBook).breaks(TOLD_ONCE);
    dropped(Rule::R10Epoch, Name::Successors, Mode::AnyBook).breaks(TOLD_ONCE);
}

#[test]
fn w5_one_part_is_pruned_before_its_sibling_is_released() {
    dropped(Rule::R10Tombstone, Name::Forgetting, Mode::AnyBook).breaks(ONE_OUTCOME);
}

#[test]
fn w6_a_release_in_memory_frees_the_id() {
    dropped(Rule::R8Free, Name::Reuse, Mode::AnyBook).breaks(PAST);
    dropped(Rule::R8Free, Name::Reuse, Mode::SeparateStores).breaks(TOLD_ONCE);
}

#[test]
fn w7_a_generation_that_is_counted_is_taken_for_a_finished_one() {
    for mode in [Mode::SeparateStores, Mode::AnyBook] {
        dropped(Rule::RandomGeneration, Name::Successors, mode).breaks(ENDS);
    }
}

#[test]
fn w8_one_release_is_not_enough() {
    dropped(Rule::R6Over, Name::Reuse, Mode::AnyBook).breaks(TOLD_ONCE);
}

#[test]
fn w9_the_book_drops_what_is_released_in_memory() {
    dropped(Rule::R9Drop, Name::Reuse, Mode::SeparateStores).breaks(TOLD_ONCE);
}

#[test]
fn w10_failed_is_said_at_the_message() {
    for mode in Mode::ALL {
        dropped(Rule::Irrevocable, Name::Neighbours, mode).breaks(FAILED);
        dropped(Rule::Irrevocable, Name::Forward, mode).breaks(BACK);
    }
}

#[test]
fn w11_a_preimage_is_offered_to_every_htlc_of_its_hash() {
    for mode in Mode::ALL {
        dropped(Rule::OwnEvidence, Name::Unreadable, mode).breaks(VERDICT);
    }
}

#[test]
fn w12_an_archived_inbound_channel_keeps_the_outbound_entry() {
    for mode in Mode::ALL {
        dropped(Rule::R12Archived, Name::Forward, mode).breaks(FORWARD_ENDS);
    }
}

#[test]
fn w13_the_newest_attempt_hides_a_part_of_the_first() {
    for mode in Mode::ALL {
        dropped(Rule::OneGeneration, Name::Retries, mode).breaks(FAILED);
    }
}

#[test]
fn w14_an_htlc_id_that_was_used_again_is_taken_for_ones_own() {
    for mode in Mode::ALL {
        dropped(Rule::R2Match, Name::Neighbours, mode).breaks(SENT);
    }
}
