//! Monitors that are quiet again leave memory, and nothing changes by it.

use lastword_ports::SnapshotStore as _;
use lastword_testkit::Survivors;
use lastword_types::{Card, ChannelId};
use lastword_wire::decode_card;

use crate::node::{Logs, Node};
use crate::world::{ANCHORS, Part, STATIC, World, channel_id};

/// The monitors in memory.
fn warm(node: &Node) -> u64 {
    node.driver.stats().monitors.count
}

/// Three channels and a node that keeps no quiet monitor.
fn forgetful() -> (World, Node) {
    let (world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS, STATIC]);
    node.driver.keep_quiet_bytes(0);
    (world, node)
}

/// Says whether every card on disk is what the fold of its channel says.
fn cards_are_the_fold(node: &mut Node) {
    let mut cards: Vec<(ChannelId, Card)> = Vec::new();
    let store = node.stores.monitors.clone();
    store
        .cards(&mut |stored| {
            let Ok(stored) = stored else { panic!("nothing is damaged") };
            if let lastword_ports::Stream::Channel(channel_id) = stored.stream {
                cards.push((channel_id, decode_card(stored.body).unwrap()));
            }
        })
        .unwrap();
    assert_eq!(cards.len(), 3);
    for (channel_id, card) in cards {
        let folded = node.driver.monitor(channel_id).unwrap().card();
        assert_eq!(card, Card { covers: card.covers, ..folded });
    }
}

#[test]
fn channels_touched_in_turn_leave_as_many_monitors_in_memory_as_before() {
    let (mut world, mut node) = forgetful();
    assert_eq!(warm(&node), 0, "nothing has happened in them");
    for round in 0..20_u8 {
        for index in 0..3 {
            let turn = world.channels[index].update(Vec::new());
            node.driver.update(vec![turn]).unwrap();
            assert_eq!(warm(&node), 0, "round {round}");
        }
    }
    cards_are_the_fold(&mut node);
}

#[test]
fn channels_that_are_only_looked_at_leave_one_monitor_in_memory() {
    let (_, mut node) = forgetful();
    for index in [0, 1, 2, 1, 0] {
        node.driver.balances(channel_id(index)).unwrap();
        assert_eq!(warm(&node), 1);
    }
}

#[test]
fn a_monitor_with_something_to_do_stays_until_it_is_done() {
    let (mut world, mut node) = forgetful();
    let payment = world.payment(1, &[Part(0, 50_000, 12)]);
    node.pay(&payment);
    assert_eq!(warm(&node), 1, "its HTLC is not told");
    world.peer_closes(0);
    node.poll();
    world.peer_claims(&payment, 0);
    node.poll();
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
    assert_eq!(warm(&node), 1, "it is closed and not archived");
    node.mine_and_poll(&world, 160);
    assert_eq!((warm(&node), node.driver.archived(channel_id(0)).unwrap().is_some()), (0, true));
    cards_are_the_fold(&mut node);
}

#[test]
fn the_quiet_ones_that_were_needed_last_stay() {
    let (mut world, mut node) = forgetful();
    node.driver.keep_quiet_bytes(usize::MAX);
    for index in [0, 1, 2, 0] {
        let turn = world.channels[index].update(Vec::new());
        node.driver.update(vec![turn]).unwrap();
    }
    let stats = node.driver.stats();
    assert_eq!(stats.monitors.count, 3);
    let two = usize::try_from(stats.monitors.bytes).unwrap() * 3 / 4;
    node.driver.keep_quiet_bytes(two);
    assert_eq!(warm(&node), 2);
    for (index, count) in [(0, 2), (2, 2), (1, 3)] {
        node.driver.monitor(channel_id(index)).unwrap();
        assert_eq!(warm(&node), count, "only channel 1 has to be read again: {index}");
    }
}

#[test]
fn a_crash_after_a_monitor_was_let_go_changes_nothing() {
    let (mut world, mut node) = forgetful();
    for index in [0, 1, 2, 2, 1] {
        let turn = world.channels[index].update(Vec::new());
        node.driver.update(vec![turn]).unwrap();
    }
    let before = node.states(&world);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.states(&world), before);
    cards_are_the_fold(&mut node);
}
