//! What the node has to learn of its channels.

use std::collections::BTreeSet;

use lastword_ports::ChannelEntry;
use lastword_reload::{Action, Reason, Scope};
use lastword_types::UpdateId;

use crate::tools::{channel, open, set_bytes};
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

fn planned(world: &World) -> Option<(Action, Reason)> {
    let plan = world.plan_all();
    assert!(plan.actions.len() <= 1);
    plan.actions.into_iter().next().map(|planned| (planned.action, planned.reason))
}

#[test]
fn every_channel_entry_meets_every_monitor() {
    let channel_id = channel(1);
    let closed = Some((Action::MarkChannelClosed { channel_id }, Reason::ChannelClosed));
    let behind = Some((
        Action::ManagerBehind { channel_id, have: UpdateId(3), durable: UpdateId(4) },
        Reason::ManagerStale,
    ));
    assert_eq!(planned(&world(4, true, 4, false)), None);
    assert_eq!(
        planned(&world(5, true, 4, false)),
        None,
        "what is in flight is the node's to repeat"
    );
    assert_eq!(planned(&world(3, true, 4, false)), behind, "and the channel stays open");
    assert_eq!(planned(&world(4, true, 4, true)), closed);
    assert_eq!(planned(&world(3, true, 4, true)), closed, "closed makes its updates moot");
    assert_eq!(planned(&world(3, false, 4, false)), None, "closed stays closed");
    assert_eq!(planned(&world(3, false, 4, true)), None);
}

#[test]
fn a_monitor_that_cannot_be_read_says_nothing_of_updates() {
    for bytes in [Bytes::Missing, Bytes::Damaged] {
        let mut world = world(3, true, 4, false);
        set_bytes(&mut world, 1, bytes);
        assert_eq!(planned(&world), None);
    }
}

#[test]
fn learning_it_once_is_enough_and_the_live_path_does_not_ask() {
    for is_closed in [false, true] {
        let mut world = world(3, true, 4, is_closed);
        let scope = Scope::Changed { payments: BTreeSet::new(), forwards: BTreeSet::new() };
        assert!(world.plan(&scope).is_empty());
        world.settle();
        assert!(world.plan_all().is_empty());
    }
}
