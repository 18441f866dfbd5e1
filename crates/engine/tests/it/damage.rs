//! Damaged bytes: we refuse with the place and never guess, and what is sound goes on.

use std::error::Error as _;

use lastword_engine::{BookDamage, Driver, EngineError};
use lastword_ports::{Store, StoreErrorKind, Stream};
use lastword_reload::{Action, Reason};
use lastword_testkit::Survivors;
use lastword_types::{ChannelId, PaymentState, RemovalReason};

use crate::node::{Logs, Node, Stores, ports_on};
use crate::stores::{Damage, DamagedStore};
use crate::world::{ANCHORS, Part, Payment, STATIC, World, channel_id};

fn start(
    world: &World,
    stores: &Stores,
    stream: Stream,
    damage: Damage,
) -> Result<Driver, EngineError> {
    let wrap = |inner| Box::new(DamagedStore { inner, stream, damage }) as Box<dyn Store>;
    let books = stores.books.clone().map(wrap);
    Driver::start(ports_on(world, wrap(stores.monitors.clone()), books))
}

fn start_damaged(world: &World, stores: Stores, channel: usize, damage: Damage) -> Node {
    let stream = Stream::Channel(channel_id(channel));
    let driver = start(world, &stores, stream, damage).expect("the others are sound");
    Node { stores, driver }
}

/// Three payments: one in channel 0, one in channel 1, one in both; nothing is decided.
fn three_payments(logs: Logs) -> (World, Node, [Payment; 3]) {
    let (mut world, mut node) = Node::with_channels(logs, &[STATIC, ANCHORS]);
    let first = world.payment(1, &[Part(0, 50_000, 100)]);
    node.pay(&first);
    let second = world.payment(2, &[Part(1, 50_000, 100)]);
    node.pay(&second);
    let both = world.payment(3, &[Part(0, 40_000, 100), Part(1, 40_000, 100)]);
    node.pay(&both);
    (world, node, [first, second, both])
}

fn waits(node: &mut Node) -> Vec<(lastword_types::PaymentId, ChannelId, Reason)> {
    let advice = node.driver.take_advice();
    let waits = advice.into_iter().filter_map(|planned| {
        let Action::Wait { payment_id, channel_id } = planned.action else { return None };
        Some((payment_id, channel_id, planned.reason))
    });
    waits.collect()
}

#[test]
fn a_damaged_channel_is_set_apart_and_its_payments_wait() {
    for logs in [Logs::One, Logs::Two] {
        for damage in [Damage::Silent, Damage::Reported] {
            let place = format!("{logs:?}, {damage:?}");
            let (mut world, node, [first, second, both]) = three_payments(logs);
            let sound = node.stores.image(Survivors::SyncedOnly);
            drop(node);
            let mut node = start_damaged(&world, sound.image(Survivors::Everything), 0, damage);
            assert_eq!(node.damaged(), [channel_id(0)], "{place}");
            assert_eq!(node.tell(), [], "{place}: neither failed nor sent");
            let expected =
                [first.id(), both.id()].map(|id| (id, channel_id(0), Reason::MonitorDamaged));
            assert_eq!(waits(&mut node), expected, "{place}");
            let error = node.driver.monitor(channel_id(0)).expect_err("it is set apart");
            assert!(matches!(error, EngineError::Damaged(id) if id == channel_id(0)), "{place}");
            // Nothing can be added to it; the other channel takes updates.
            let update = first.answers[0].clone();
            let error = node.driver.update(vec![update]).expect_err("it is set apart");
            assert!(matches!(error, EngineError::Damaged(id) if id == channel_id(0)), "{place}");
            let reason = RemovalReason::Failed { code: 0x400f };
            let removal = world.channels[1].remove(second.htlc_id(0), reason);
            node.driver.update(removal.to_vec()).unwrap();
            assert_eq!(node.tell().last(), Some(&second.failed(why(reason))), "{place}");
            // A part of it finally failed, and the payment waits for the other.
            let removal = world.channels[1].remove(both.htlc_id(1), reason);
            node.driver.update(removal.to_vec()).unwrap();
            assert_eq!(node.tell(), [], "{place}");
            assert_eq!(node.driver.payment(both.id()).unwrap().state, PaymentState::Pending);

            // A restored channel ends the waiting.
            let monitors = node.stores.image(Survivors::Everything);
            let mut node = Node::start(&world, monitors);
            assert_eq!(node.damaged(), [], "{place}");
            let fulfilled = RemovalReason::Fulfilled { preimage: both.preimage };
            let removal = world.channels[0].remove(both.htlc_id(0), fulfilled);
            node.driver.update(removal.to_vec()).unwrap();
            assert_eq!(node.tell(), [both.sent(), both.path_taken(0)], "{place}");
            assert!(node.is_released(&both), "{place}");
        }
    }
}

fn why(reason: RemovalReason) -> lastword_types::HtlcFailure {
    match reason {
        RemovalReason::Failed { code } => lastword_types::HtlcFailure::Removed { code },
        RemovalReason::Fulfilled { .. } => panic!("it is no failure"),
    }
}

/// One fulfilled part decides, even while its sibling's monitor cannot be read.
#[test]
fn a_part_that_is_taken_decides_although_its_siblings_channel_is_damaged() {
    let (mut world, node, [_, _, both]) = three_payments(Logs::Two);
    let stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    let mut node = start_damaged(&world, stores, 0, Damage::Silent);
    let fulfilled = RemovalReason::Fulfilled { preimage: both.preimage };
    let removal = world.channels[1].remove(both.htlc_id(1), fulfilled);
    node.driver.update(removal.to_vec()).unwrap();
    assert_eq!(node.tell(), [both.sent(), both.path_taken(1)]);
}

/// Trace 7 of the model: the only release is in a monitor that cannot be read, and the book is from
/// before it. `PaymentSent` comes once more, the same field for field, and never a failure.
#[test]
fn model_7_with_a_monitor_that_holds_the_only_release_damaged_sent_comes_once_more_and_identical() {
    let (mut world, mut node, [_, _, both]) = three_payments(Logs::Two);
    let before = node.stores.image(Survivors::Everything);
    let fulfilled = RemovalReason::Fulfilled { preimage: both.preimage };
    let removal = world.channels[0].remove(both.htlc_id(0), fulfilled);
    node.driver.update(removal.to_vec()).unwrap();
    assert_eq!(node.tell(), [both.sent(), both.path_taken(0)]);
    let left = node.stores.with_books_of(&before);
    drop(node);
    let mut node = start_damaged(&world, left, 0, Damage::Reported);
    assert_eq!(node.tell(), [], "one part is open, and the other cannot be read");
    let removal = world.channels[1].remove(both.htlc_id(1), fulfilled);
    node.driver.update(removal.to_vec()).unwrap();
    assert_eq!(node.tell(), [both.sent(), both.path_taken(1)]);
    // Then it is released where it can be read, and that is durable.
    let left = node.stores.with_books_of(&before);
    drop(node);
    assert_eq!(start_damaged(&world, left, 0, Damage::Reported).tell(), []);
}

/// With one log the book that comes back is the newest, and it knows.
#[test]
fn model_7_with_one_log_a_damaged_monitor_repeats_nothing() {
    let (mut world, mut node, [_, _, both]) = three_payments(Logs::One);
    let fulfilled = RemovalReason::Fulfilled { preimage: both.preimage };
    let removal = world.channels[0].remove(both.htlc_id(0), fulfilled);
    node.driver.update(removal.to_vec()).unwrap();
    assert_eq!(node.tell(), [both.sent(), both.path_taken(0)]);
    let left = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    let mut node = start_damaged(&world, left, 0, Damage::Reported);
    let removal = world.channels[1].remove(both.htlc_id(1), fulfilled);
    node.driver.update(removal.to_vec()).unwrap();
    assert_eq!(node.tell(), [both.path_taken(1)]);
}

/// Blocks that concern a damaged channel are followed for the others.
#[test]
fn a_damaged_channel_does_not_stop_the_chain() {
    let (mut world, node, [_, second, _]) = three_payments(Logs::One);
    let stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    let mut node = start_damaged(&world, stores, 0, Damage::Reported);
    world.peer_closes(0);
    world.peer_closes(1);
    world.peer_claims(&second, 0);
    node.poll();
    assert_eq!(node.tell(), [second.sent(), second.path_taken(0)]);
    assert_eq!(node.driver.tip().height.0, world.height());
    world.take_away(2);
    world.mine(3);
    node.poll();
    assert_eq!(node.driver.tip().height.0, world.height());
}

/// A quiet channel is not read at a start; its damage is found by the block that concerns it.
#[test]
fn the_damage_of_a_quiet_channel_is_found_when_a_block_needs_it() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS]);
    let settled = world.payment(1, &[Part(0, 50_000, 100)]);
    node.pay(&settled);
    let reason = RemovalReason::Fulfilled { preimage: settled.preimage };
    let removal = world.channels[0].remove(settled.htlc_id(0), reason);
    node.driver.update(removal.to_vec()).unwrap();
    node.tell();
    let other = world.payment(2, &[Part(1, 50_000, 100)]);
    node.pay(&other);
    let stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    let mut node = start_damaged(&world, stores, 0, Damage::Reported);
    assert_eq!(node.damaged(), [], "nobody has looked");
    world.peer_closes(0);
    let error = node.driver.poll_chain().expect_err("the block concerns it");
    let EngineError::Store(source) = &error else { panic!("{error}") };
    assert_eq!(source.kind, StoreErrorKind::Corrupt);
    assert_eq!(source.place.stream, Some(Stream::Channel(channel_id(0))), "it says where");
    assert_eq!(node.damaged(), [channel_id(0)]);
    // The next poll goes on without it.
    node.poll();
    world.peer_closes(1);
    world.peer_claims(&other, 0);
    node.poll();
    assert_eq!(node.tell(), [other.sent(), other.path_taken(0)]);
}

#[test]
fn damaged_bytes_of_the_book_or_a_card_stop_the_start_and_are_named() {
    for logs in [Logs::One, Logs::Two] {
        let (world, node, [first, ..]) = three_payments(logs);
        let stores = node.stores.image(Survivors::SyncedOnly);
        let written = stores.records();
        drop(node);
        let start = |stream, damage| start(&world, &stores, stream, damage).expect_err("damaged");

        let error = start(Stream::Payments, Damage::Silent);
        assert!(error.source().is_some(), "and says what");
        let EngineError::DamagedBook { position, source: BookDamage::Bytes(_) } = error else {
            panic!("{error}");
        };
        let mut book = written.iter().filter(|(stream, ..)| *stream == Stream::Payments);
        assert_eq!(Some(position), book.nth(1).map(|(_, position, _)| *position));
        let error = start(Stream::Payments, Damage::Reported);
        let EngineError::Store(source) = &error else { panic!("{error}") };
        assert_eq!(source.kind, StoreErrorKind::Corrupt);
        assert_eq!(source.place.stream, Some(Stream::Payments));
        assert!(source.place.position.is_some());
        for stream in [Stream::Channel(channel_id(1)), Stream::Chain] {
            let error = start(stream, Damage::Card);
            assert!(matches!(error, EngineError::Bytes { what: "a card", .. }), "{error}");
        }
        // Nothing was written by all this, and the sound bytes start.
        assert_eq!(stores.records(), written, "{logs:?}");
        let node = Node::start(&world, stores);
        assert!(node.is_known(first.id()));
    }
}
