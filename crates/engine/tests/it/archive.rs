//! Archiving (rule R11) in a whole node.

use lastword_engine::EngineError;
use lastword_monitor::{Monitor, MonitorError};
use lastword_ports::Stream;
use lastword_testkit::Survivors;
use lastword_types::{
    ARCHIVE_DEPTH, Event, MonitorRecord, PaymentPreimage, PaymentState, UpdateStep,
};
use lastword_wire as wire;

use crate::node::{Logs, Node, Stores};
use crate::world::{ANCHORS, Part, Payment, STATIC, World, channel_id};

/// A closed channel in which everything is claimed and told, one block before it is archived; and
/// the stores from before it was told.
fn nearly_over(logs: Logs) -> (World, Node, Payment, Stores) {
    let (mut world, mut node) = Node::with_channels(logs, &[STATIC]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    world.peer_closes(0);
    node.poll();
    world.peer_claims(&payment, 0);
    node.poll();
    let before = node.stores.image(Survivors::Everything);
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
    node.mine_and_poll(&world, 10);
    let spends = node.state(0).output_spends;
    let last = spends.values().map(|spend| spend.block.height.0).max().unwrap();
    let blocks = last + ARCHIVE_DEPTH - 2 - world.height();
    node.mine_and_poll(&world, blocks);
    assert_eq!(node.driver.archived(channel_id(0)).unwrap(), None);
    (world, node, payment, before)
}

fn archived(logs: Logs) -> (World, Node, Payment, Stores) {
    let (world, mut node, payment, before) = nearly_over(logs);
    node.mine_and_poll(&world, 1);
    assert!(node.driver.archived(channel_id(0)).unwrap().is_some());
    (world, node, payment, before)
}

#[test]
fn r11_a_channel_is_archived_by_itself_144_deep() {
    for logs in [Logs::One, Logs::Two] {
        let (world, node, payment, _) = archived(logs);
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        assert_eq!(node.tell(), []);
        assert!(node.driver.archived(channel_id(0)).unwrap().is_some());
        assert!(node.is_released(&payment));
        // No reorg reaches it, however deep.
        world.take_away(30);
        world.mine(31);
        node.poll();
        assert!(node.driver.archived(channel_id(0)).unwrap().is_some());
        assert_eq!(node.tell(), []);
    }
}

/// The crash window of LDK: the monitor is archived, and the manager comes back with the event still
/// queued. The archived ledger says that it was told; nothing panics, nothing is told again.
#[test]
fn row_14_an_event_of_an_archived_channel_is_over() {
    let (world, node, payment, before) = archived(Logs::Two);
    for older in [Some(&before), None] {
        let books = before.image(Survivors::Everything);
        let left = older.map_or(node.stores.without_book(), |_| node.stores.with_books_of(&books));
        let mut node = Node::start(&world, left);
        assert_eq!(node.tell(), []);
        assert!(!node.driver.owes(payment.id()));
        let state = node.driver.payment(payment.id()).map(|view| view.state);
        let over = PaymentState::Handled(payment.outcome_sent());
        assert!(state.is_none_or(|state| state == over), "{state:?}");
        // Whoever still holds the event may say that it was handled.
        let _answered = node.driver.event_returned(&payment.sent(), true);
        assert_eq!(node.tell(), []);
    }
}

#[test]
fn r11_an_archived_monitor_can_be_restored_and_folded_again() {
    let (world, mut node, _, _) = nearly_over(Logs::Two);
    let records = node.stores.records();
    node.mine_and_poll(&world, 1);
    let bytes = node.driver.archived(channel_id(0)).unwrap().unwrap();
    let last = node.stores.records();
    let state = wire::decode_monitor_state(&bytes).unwrap();
    let restored = Monitor::restore(state).unwrap();
    assert_eq!(wire::encode_monitor_state(restored.state()), bytes);
    assert!(restored.card().is_archived);

    // The records behind the snapshot are gone; those from before it, the last block and the record
    // of the archive give the same.
    let of_channel =
        |(stream, ..): &&(Stream, u64, Vec<u8>)| *stream == Stream::Channel(channel_id(0));
    assert_eq!(last.iter().filter(of_channel).count(), 0);
    let mut records = records.iter().filter(of_channel);
    let first = wire::decode_monitor_record(&records.next().unwrap().2).unwrap();
    let MonitorRecord::Created(new) = first else { panic!("{first:?}") };
    let mut monitor = Monitor::create(*new).unwrap();
    for (_, _, body) in records {
        monitor.apply(&wire::decode_monitor_record(body).unwrap()).unwrap();
    }
    let delta = lastword_types::ChainDelta::Connected {
        block: restored.state().best,
        transactions: Vec::new(),
    };
    monitor.apply(&MonitorRecord::Chain(delta)).unwrap();
    monitor.apply(&MonitorRecord::Archive).unwrap();
    assert_eq!(wire::encode_monitor_state(monitor.state()), bytes);
}

/// B044: the handler has not returned; then a block later than the depth, and only then the word.
#[test]
fn b044_a_channel_waits_for_the_users_word() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    world.peer_closes(0);
    node.poll();
    world.peer_claims(&payment, 0);
    node.mine_and_poll(&world, ARCHIVE_DEPTH + 20);
    assert_eq!(node.driver.archived(channel_id(0)).unwrap(), None);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
    node.mine_and_poll(&world, 1);
    assert!(node.driver.archived(channel_id(0)).unwrap().is_some());
}

/// An alarm that nobody heard is told at each start as long as the channel is read there.
#[test]
fn r11_a_channel_waits_until_its_alarm_is_told() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[ANCHORS]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    let revoked = world.channels[0].remote[0].clone();
    let revoked = world.channels[0].peers_commitment_of(&revoked);
    world.confirm(&revoked);
    node.mine_and_poll(&world, 10);
    let events = node.tell();
    let alarms = events.iter().filter(|event| matches!(event, Event::Alarm(_))).count();
    assert_eq!(alarms, 1);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    node.mine_and_poll(&world, ARCHIVE_DEPTH + 20);
    assert_eq!(node.driver.archived(channel_id(0)).unwrap(), None);
    assert!(matches!(node.tell()[..], [Event::Alarm(_)]));
    assert!(node.driver.archived(channel_id(0)).unwrap().is_some());
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), []);
}

#[test]
fn b128_an_update_for_an_archived_channel_is_refused_and_a_preimage_is_not_minded() {
    let (mut world, mut node, _, _) = archived(Logs::One);
    let preimage = PaymentPreimage([9; 32]);
    let late = world.channels[0].update(vec![UpdateStep::Preimage { preimage }]);
    node.driver.update(vec![late]).unwrap();
    assert!(node.state(0).preimages.is_empty());
    let other = world.channels[0].update(vec![UpdateStep::FailChannel]);
    let refusal = node.driver.update(vec![other]).unwrap_err();
    let EngineError::Monitor { source, .. } = refusal else { panic!("{refusal}") };
    assert_eq!(source, MonitorError::Archived);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), []);
}

#[test]
fn r11_an_older_book_finds_what_an_archived_channel_knows() {
    let (world, node, payment, before) = archived(Logs::Two);
    let mut node = node.crash_to_book_of(&world, &before);
    assert_eq!(node.tell(), []);
    let state = node.driver.payment(payment.id()).unwrap().state;
    assert_eq!(state, PaymentState::Handled(payment.outcome_sent()));
}
