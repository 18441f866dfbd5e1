//! What the node has to learn of its channels.

use lastword_ports::ChannelEntry;
use lastword_reload::{Action, Planned, Reason, Scope};
use lastword_types::{MonitorUpdate, PaymentState, UpdateId};

use crate::tools::{channel, id, intent, note, open, set_bytes};
use crate::world::{Bytes, World};

fn world(have: u64, is_open: bool, durable: u64, is_closed: bool) -> World {
    let mut world = World::default();
    open(&mut world, &[1]);
    let sheet = world.sheets.get_mut(&channel(1)).unwrap();
    sheet.latest_update = UpdateId(durable);
    sheet.is_closed = is_closed;
    world.channels.push(ChannelEntry {
        channel_id: channel(1),
        latest_update: UpdateId(have),
        is_open,
    });
    world
}

fn in_flight(world: &mut World, ids: &[u64]) {
    let channel_id = channel(1);
    let update =
        |id: &u64| MonitorUpdate { channel_id, update_id: UpdateId(*id), steps: Vec::new() };
    world.in_flight.insert(channel_id, ids.iter().map(update).collect());
}

fn planned(world: &World) -> Vec<(Action, Reason)> {
    let plan = world.plan_all();
    plan.actions.into_iter().map(|planned| (planned.action, planned.reason)).collect()
}

fn closed() -> (Action, Reason) {
    (Action::MarkChannelClosed { channel_id: channel(1) }, Reason::ChannelClosed)
}

fn behind(have: u64, durable: u64) -> (Action, Reason) {
    let (have, durable) = (UpdateId(have), UpdateId(durable));
    (Action::ManagerBehind { channel_id: channel(1), have, durable }, Reason::ManagerStale)
}

fn lost(have: u64, durable: u64) -> (Action, Reason) {
    let (have, durable) = (UpdateId(have), UpdateId(durable));
    (Action::MonitorBehind { channel_id: channel(1), have, durable }, Reason::MonitorStale)
}

#[test]
fn every_channel_entry_meets_every_monitor() {
    assert_eq!(planned(&world(4, true, 4, false)), []);
    assert_eq!(planned(&world(5, true, 4, false)), [lost(5, 4)]);
    assert_eq!(planned(&world(3, true, 4, false)), [behind(3, 4)], "and the channel stays open");
    assert_eq!(planned(&world(4, true, 4, true)), [closed()]);
    assert_eq!(planned(&world(3, true, 4, true)), [closed()], "closed makes its updates moot");
    assert_eq!(planned(&world(5, true, 4, true)), [closed(), lost(5, 4)]);
    assert_eq!(planned(&world(3, false, 4, false)), [], "closed stays closed");
    assert_eq!(planned(&world(3, false, 4, true)), []);
}

#[test]
fn what_is_in_flight_is_found_durable_or_written_again() {
    let channel_id = channel(1);
    let mut expected = Vec::new();
    let durable_up_to =
        |id| (Action::UpdatesDurable { channel_id, up_to: UpdateId(id) }, Reason::InFlight);
    for (durable, is_closed) in [(4, false), (5, false), (6, false), (7, false), (5, true)] {
        let mut world = world(4, true, durable, is_closed);
        in_flight(&mut world, &[5, 6]);
        expected.clear();
        expected.extend(is_closed.then(closed));
        expected.extend((durable > 4).then(|| durable_up_to(durable.min(6))));
        for id in durable + 1..=6 {
            let update = world.in_flight[&channel_id][usize::try_from(id - 5).unwrap()].clone();
            expected.push((Action::ReplayUpdate(update), Reason::InFlight));
        }
        expected.extend((durable > 6).then(|| behind(6, durable)));
        assert_eq!(planned(&world), expected, "{durable} {is_closed}");
        world.settle();
        assert_eq!(planned(&world), [], "{durable} {is_closed}: said once");
    }
}

#[test]
fn a_monitor_that_cannot_be_read_says_nothing_of_updates() {
    for bytes in [Bytes::Missing, Bytes::Damaged] {
        let mut world = world(3, true, 4, false);
        set_bytes(&mut world, 1, bytes);
        assert_eq!(planned(&world), []);
    }
}

#[test]
fn learning_it_once_is_enough_and_the_live_path_does_not_ask() {
    for is_closed in [false, true] {
        let mut world = world(3, true, 4, is_closed);
        let scope = Scope::nothing();
        assert!(world.plan(&scope).is_empty());
        world.settle();
        assert!(world.plan_all().is_empty());
    }
}

/// The part has no entry, and the update that brings it may be written yet: live and at a start the
/// payment waits for that, and does not count as never sent.
#[test]
fn a_part_in_flight_does_not_count_as_never_sent() {
    let channel_id = channel(1);
    let mut world = world(4, true, 4, false);
    note(&mut world, &intent(1, &[1]), PaymentState::Pending);
    in_flight(&mut world, &[5]);
    let changed = Scope::of_payment(id(1));
    let wait = Planned {
        action: Action::Wait { payment_id: id(1), channel_id },
        reason: Reason::InFlight,
    };
    for scope in [changed, Scope::All] {
        assert_eq!(world.plan(&scope).actions.first(), Some(&wait), "{scope:?}");
    }
    // Once the update is durable, and brings no such part, it never will.
    world.settle();
    assert_eq!(world.told.len(), 1);
}
