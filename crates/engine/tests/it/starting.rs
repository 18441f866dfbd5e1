//! A start, step by step: it says how far it is, and watches the chain before it has read everything.

use std::sync::{Arc, Mutex};

use lastword_engine::{Boundary, Driver, Observer, Progress};
use lastword_testkit::Survivors;
use lastword_types::{RemovalReason, Side};

use crate::crash::{Bomb, unless_died};
use crate::node::{Logs, Node, Stores, ports};
use crate::peer::anybody;
use crate::world::{ANCHORS, Part, Payment, STATIC, World};

/// Writes down what it is told of a start.
#[derive(Debug, Clone, Default)]
struct Watcher(Arc<Mutex<Vec<Progress>>>);

impl Observer for Watcher {
    fn at(&mut self, _: Boundary) {}

    fn progress(&mut self, progress: Progress) {
        self.0.lock().unwrap().push(progress);
    }
}

#[test]
fn a_start_says_how_far_it_is() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS, STATIC]);
    for (n, channel) in [(1, 0), (2, 2)] {
        let payment = world.payment(n, &[Part(channel, 50_000, 100)]);
        node.pay(&payment);
    }
    let stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    let watcher = Watcher::default();
    let mut ports = ports(&world, &stores);
    ports.observer = Box::new(watcher.clone());
    drop(Driver::start(ports).unwrap());
    let told = watcher.0.lock().unwrap().clone();
    let expected = [
        Progress::CardsRead { channels: 3, damaged: 0, wanted: 2 },
        Progress::MonitorsRead { read: 2, wanted: 2 },
        Progress::Started,
    ];
    assert_eq!(told, expected);
}

/// The peer steals while the node is down. What it took is claimed back before any other monitor is
/// read, and nothing is said until all are.
#[test]
fn a_theft_is_punished_before_the_start_has_read_the_monitors() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[ANCHORS, STATIC]);
    for n in [1, 2] {
        let payment = world.payment(n, &[Part(0, 50_000, 40)]);
        node.pay(&payment);
    }
    let other = world.payment(3, &[Part(1, 50_000, 40)]);
    node.pay(&other);
    let held = world.channels[0].remote[1].clone();
    let revoked = world.channels[0].peers_commitment_of(&held);
    let stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    world.chain.lock().mine_transactions(&anybody(), vec![revoked.clone()]).unwrap();

    let watcher = Watcher::default();
    let mut ports = ports(&world, &stores);
    ports.observer = Box::new(watcher.clone());
    let mut starting = Driver::begin(ports).unwrap();
    starting.poll_chain().unwrap();
    let is_read = |it: &Progress| matches!(it, Progress::MonitorsRead { .. });
    assert!(!watcher.0.lock().unwrap().iter().any(is_read));
    // What it broadcast is in the next block.
    world.mine(1);
    let mut node = Node { stores, driver: starting.finish().unwrap() };
    node.poll();
    let txid = revoked.compute_txid();
    let state = node.state(0);
    let spent = state.output_spends.iter().filter(|(outpoint, _)| outpoint.txid == txid);
    let ours = spent.filter(|(_, spend)| {
        let kind = format!("{:?}", spend.kind);
        kind.contains("HtlcPenalty")
            || kind.contains(&format!("Swept {{ owner: {:?} }}", Side::Local))
    });
    assert!(ours.count() >= 2, "{:?}", state.output_spends);
}

/// Two parts in two channels: one failed on chain while the node was down, the other was fulfilled in
/// a monitor that the start has not read when the block comes.
fn divided(logs: Logs) -> (World, Stores, Payment) {
    let (mut world, mut node) = Node::with_channels(logs, &[ANCHORS, STATIC]);
    let both = world.payment(1, &[Part(0, 50_000, 10), Part(1, 50_000, 400)]);
    node.pay(&both);
    world.peer_closes(0);
    node.poll();
    let reason = RemovalReason::Fulfilled { preimage: both.preimage };
    let removal = world.channels[1].remove(both.htlc_id(1), reason);
    node.driver.update(removal.to_vec()).unwrap();
    let stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    world.mine(30);
    (world, stores, both)
}

#[test]
fn blocks_that_come_before_all_is_read_decide_nothing() {
    for logs in [Logs::One, Logs::Two] {
        let (world, stores, both) = divided(logs);
        let mut starting = Driver::begin(ports(&world, &stores)).unwrap();
        starting.poll_chain().unwrap();
        let mut node = Node { stores, driver: starting.finish().unwrap() };
        node.mine_and_poll(&world, 10);
        assert_eq!(node.tell(), [both.sent(), both.path_taken(1)], "{logs:?}");
        assert!(node.is_released(&both), "{logs:?}");
    }
}

#[test]
fn a_crash_at_any_boundary_of_a_start_that_watches_changes_no_word() {
    let mut points = 0;
    for logs in [Logs::One, Logs::Two] {
        for survivors in [Survivors::SyncedOnly, Survivors::Prefix(1), Survivors::Everything] {
            for boundary in 1.. {
                let (world, stores, both) = divided(logs);
                let mut ports = ports(&world, &stores);
                ports.observer = Box::new(Bomb::at(boundary));
                let is_whole = unless_died(|| {
                    let mut starting = Driver::begin(ports).unwrap();
                    starting.poll_chain().unwrap();
                    while starting.read_some().unwrap() {}
                    drop(starting.finish().unwrap());
                });
                let mut node = Node::start(&world, stores.image(survivors));
                node.poll();
                node.mine_and_poll(&world, 10);
                let told = node.tell();
                let place = format!("{logs:?}, {survivors:?}, {boundary}");
                assert_eq!(told, [both.sent(), both.path_taken(1)], "{place}");
                points += 1;
                if is_whole.is_some() {
                    break;
                }
            }
        }
    }
    assert!(points > 20, "{points}");
}

/// The record of a block survives a crash and the card that goes with it does not. The start must
/// know that the channel saw the block, for the chain goes on without it.
#[test]
fn a_block_that_only_a_record_tells_of_may_be_reorganised_away() {
    let mut points = 0;
    for logs in [Logs::One, Logs::Two] {
        for boundary in 1.. {
            let (mut world, mut node) = Node::with_channels(logs, &[ANCHORS]);
            let payment = world.payment(1, &[Part(0, 50_000, 40)]);
            node.pay(&payment);
            let stores = node.stores.image(Survivors::SyncedOnly);
            drop(node);
            let commitment = world.channels[0].peers_commitment();
            world.confirm(&commitment);
            let mut ports = ports(&world, &stores);
            ports.observer = Box::new(Bomb::at(boundary));
            let is_whole = unless_died(|| {
                Driver::start(ports).unwrap().poll_chain().unwrap();
            });

            world.take_away(1);
            world.mine_empty(1);
            world.confirm(&commitment);
            let mut node = Node::start(&world, stores.image(Survivors::Prefix(1)));
            node.poll();
            assert!(node.state(0).funding_spend.is_some(), "{logs:?}, {boundary}");
            points += 1;
            if is_whole.is_some() {
                break;
            }
        }
    }
    assert!(points > 10, "{points}");
}
