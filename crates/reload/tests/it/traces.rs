//! What is left of forgotten parts (rule R10): tombstones, and books that are older than those that
//! were dropped.

use lastword_reload::{Action, Reason, Scope};
use lastword_types::{
    BookEpoch, ChannelId, Event, Intent, MonitorUpdate, Outcome, PaymentRecord, PaymentState,
    Tombstone, UpdateId,
};

use lastword_ports::ChannelEntry;

use crate::tools::{
    FAILED, FULFILLED, LIVE, add, add_part, channel, deliver, generation, intent, never_sent, note,
    open, sent_for, set_bytes, short, told,
};
use crate::world::{Book, Bytes, World};

/// Puts a tombstone in the place of a part.
fn bury(world: &mut World, intent: &Intent, part: usize, outcome: Outcome) {
    let key = intent.parts[part].key();
    open(world, &[key.channel_id.0[0]]);
    let sheet = world.sheets.get_mut(&key.channel_id).unwrap();
    sheet.lines.remove(&key.htlc_id);
    let Intent { payment_id, generation, .. } = *intent;
    sheet.tombstones.insert(key.htlc_id, Tombstone { payment_id, generation, outcome });
}

/// Drops the tombstones of a channel behind an epoch.
fn prune(world: &mut World, byte: u8, behind: u64) {
    open(world, &[byte]);
    let sheet = world.sheets.get_mut(&channel(byte)).unwrap();
    sheet.tombstones.clear();
    sheet.pruned_behind = BookEpoch(behind);
}

#[test]
fn r6_a_tombstone_means_that_its_generation_is_over() {
    for channels in [&[1][..], &[1, 2]] {
        let payment = intent(1, channels);
        let mut world = World::default();
        open(&mut world, channels);
        note(&mut world, &payment, PaymentState::Pending);
        bury(&mut world, &payment, 0, sent_for(&payment));
        assert_eq!(short(&world.plan_all()), "As T[]");
        world.settle();
        assert_eq!(told(&world), "");
        assert_eq!(short(&world.plan_all()), "");
    }
}

#[test]
fn r6_beside_a_tombstone_the_rest_is_released_in_silence() {
    let payment = intent(1, &[1, 2]);
    let mut world = World::default();
    add(&mut world, &payment, &[FULFILLED, FAILED]);
    bury(&mut world, &payment, 0, sent_for(&payment));
    for is_known in [true, false] {
        let mut world = world.clone();
        if is_known {
            note(&mut world, &payment, PaymentState::Decided(never_sent()));
        }
        world.settle();
        assert_eq!(told(&world), "", "{is_known}");
        let key = payment.parts[1].key();
        assert!(world.line(key).delivered.is_some(), "{is_known}");
    }
}

#[test]
fn a_tombstone_of_another_generation_says_nothing() {
    let (old, new) = (intent(1, &[1]), intent(2, &[1]));
    let mut world = World::default();
    bury(&mut world, &old, 0, sent_for(&old));
    note(&mut world, &new, PaymentState::Pending);
    world.settle();
    assert_eq!(told(&world), "F");
    assert_eq!(world.book.0[&new.payment_id].intent.generation, generation(2));
}

#[test]
fn r10_a_payment_of_a_book_older_than_what_was_dropped_is_unknown_once() {
    let payment = intent(1, &[1, 2]);
    for bytes in [Bytes::Present, Bytes::Missing] {
        let mut world = World::default();
        open(&mut world, &[1]);
        set_bytes(&mut world, 2, bytes);
        note(&mut world, &payment, PaymentState::Pending);
        world.book.1 = BookEpoch(4);
        prune(&mut world, 1, 5);
        assert_eq!(short(&world.plan_all()), "Du T[U]");
        assert_eq!(world.plan_all().actions[0].reason, Reason::TracesDropped);
        world.settle();
        assert_eq!(told(&world), "U");
        let known = matches!(world.told[..], [Event::PaymentUnknown { payment_hash, .. }]
            if payment_hash == payment.payment_hash);
        assert!(known);
        assert_eq!(short(&world.plan_all()), "");
    }
}

/// What cannot be read may hold its entry: nothing is said until it can be.
#[test]
fn r10_a_payment_of_an_older_book_waits_for_a_damaged_monitor() {
    let payment = intent(1, &[1, 2]);
    let mut world = World::default();
    open(&mut world, &[1]);
    add_part(&mut world, &payment, 1, FULFILLED);
    set_bytes(&mut world, 2, Bytes::Damaged);
    note(&mut world, &payment, PaymentState::Pending);
    world.book.1 = BookEpoch(4);
    prune(&mut world, 1, 5);
    assert_eq!(short(&world.plan_all()), "W2");
    set_bytes(&mut world, 2, Bytes::Present);
    world.settle();
    assert_eq!(told(&world), "S s1");
}

/// A handled `Unknown` is noted in every ledger of the payment that can be read, and a book that holds
/// it open adopts it from there, whatever it has queued.
#[test]
fn r10_an_unknown_that_was_handled_is_noted_and_adopted_by_an_older_book() {
    let payment = intent(1, &[1, 2, 3]);
    let mut world = World::default();
    open(&mut world, &[1, 2, 3]);
    set_bytes(&mut world, 3, Bytes::Missing);
    prune(&mut world, 1, 5);
    note(&mut world, &payment, PaymentState::Handled(Outcome::Unknown));
    let scope = Scope::of_payment(payment.payment_id);
    assert_eq!(short(&world.plan(&scope)), "N1 N2");
    for planned in world.plan(&scope).actions {
        world.execute(&planned.action);
    }
    assert_eq!(short(&world.plan(&scope)), "", "it is noted once");
    for state in [PaymentState::Pending, PaymentState::Decided(Outcome::Unknown)] {
        note(&mut world, &payment, state);
        assert_eq!(short(&world.plan_all()), "Au T[]", "what is queued is dropped");
    }
}

#[test]
fn r2_never_sent_holds_for_a_book_that_is_not_older() {
    let payment = intent(1, &[1]);
    let mut world = World::default();
    note(&mut world, &payment, PaymentState::Pending);
    world.book.1 = BookEpoch(5);
    prune(&mut world, 1, 5);
    assert_eq!(short(&world.plan_all()), "Df T[F]");
}

/// Between the record of the outcome and its telling the book enters the later epoch.
#[test]
fn what_was_recorded_as_unknown_stays_so_in_a_later_epoch() {
    let payment = intent(1, &[1]);
    let mut world = World::default();
    prune(&mut world, 1, 5);
    note(&mut world, &payment, PaymentState::Decided(Outcome::Unknown));
    world.book.apply(&PaymentRecord::EpochRaised { epoch: BookEpoch(5) });
    assert_eq!(short(&world.plan_all()), "T[U]");
    world.settle();
    assert_eq!(told(&world), "U");
}

#[test]
fn a_trace_that_is_found_after_all_beats_unknown_until_that_is_told() {
    let payment = intent(1, &[1]);
    for verdict in [FULFILLED, FAILED] {
        let mut world = World::default();
        add(&mut world, &payment, &[verdict]);
        note(&mut world, &payment, PaymentState::Decided(Outcome::Unknown));
        prune(&mut world, 2, 5);
        world.settle();
        assert_eq!(told(&world), if verdict == FULFILLED { "S s0" } else { "f0 F" });
    }
}

#[test]
fn what_was_told_as_unknown_is_released_as_that() {
    let payment = intent(1, &[1]);
    let mut world = World::default();
    add(&mut world, &payment, &[FULFILLED]);
    note(&mut world, &payment, PaymentState::Handled(Outcome::Unknown));
    assert_eq!(short(&world.plan_all()), "Ru1");
    world.settle();
    assert_eq!(told(&world), "");
}

/// An entry that is not released says that nothing of its generation was dropped.
#[test]
fn a_lost_book_has_no_orphans() {
    let payment = intent(1, &[1, 2]);
    for verdict in [LIVE, FULFILLED, FAILED] {
        let mut world = World::default();
        prune(&mut world, 1, 5);
        add_part(&mut world, &payment, 1, verdict);
        world.crash(Book::default());
        world.settle();
        assert!(!world.told.iter().any(|event| matches!(event, Event::PaymentUnknown { .. })));
        assert_eq!(told(&world).is_empty(), verdict == LIVE);
    }
    let mut world = World::default();
    prune(&mut world, 1, 5);
    assert_eq!(short(&world.plan_all()), "");
}

/// A delivered entry in a channel whose tombstones were dropped still says what was told.
#[test]
fn an_entry_that_was_not_forgotten_speaks_for_an_older_book() {
    let payment = intent(1, &[1, 2]);
    let mut world = World::default();
    add(&mut world, &payment, &[FULFILLED, FULFILLED]);
    for part in [0, 1] {
        deliver(&mut world, &payment, part, sent_for(&payment));
    }
    bury(&mut world, &payment, 0, sent_for(&payment));
    prune(&mut world, 1, 5);
    note(&mut world, &payment, PaymentState::Pending);
    world.settle();
    assert_eq!(told(&world), "");
    let state = world.book.0[&payment.payment_id].state;
    assert_eq!(state, PaymentState::Handled(sent_for(&payment)));
}

#[test]
fn b128_an_update_in_flight_for_an_archived_channel_is_not_waited_for() {
    let mut world = World::default();
    open(&mut world, &[1]);
    let channel_id: ChannelId = channel(1);
    let sheet = world.sheets.get_mut(&channel_id).unwrap();
    (sheet.is_archived, sheet.is_closed) = (true, true);
    let entry = |latest_update, is_open| ChannelEntry { channel_id, latest_update, is_open };
    let in_flight =
        [2, 3].map(|n| MonitorUpdate { channel_id, update_id: UpdateId(n), steps: vec![] });
    world.channels = vec![entry(UpdateId(1), false)];
    world.in_flight.insert(channel_id, in_flight.into());
    let plan = world.plan_all();
    let [dropped] = &plan.actions[..] else { panic!("{plan}") };
    assert_eq!(dropped.action, Action::UpdatesDurable { channel_id, up_to: UpdateId(3) });
    assert_eq!(dropped.reason, Reason::ChannelArchived);
    world.settle();
    assert_eq!(world.plan_all().actions, []);
    // A node that counted an update which came too late is no sign of lost data.
    world.channels = vec![entry(UpdateId(9), false)];
    assert_eq!(world.plan_all().actions, []);
}
