//! Rows 16 to 27 of the crash windows of LDK, section 5.2: a channel that lives or closes, and a
//! manager whose view of it is older, newer or gone.

use lastword_engine::{Driver, EngineError};
use lastword_ports::{ChannelBook, ChannelEntry};
use lastword_reload::Action;
use lastword_testkit::Survivors;
use lastword_types::{
    ChannelId, HtlcDirection, HtlcFailure, MonitorUpdate, PaymentState, RemovalReason, UpdateId,
    UpdateStep, Verdict,
};

use super::{snapshot, whole_story};
use crate::node::{Logs, Node, Stores, ports};
use crate::world::{ANCHORS, Part, Payment, World, channel_id};

/// The node's own record of the first channel.
#[derive(Debug, Clone, Default)]
struct Manager {
    latest_update: u64,
    in_flight: Vec<MonitorUpdate>,
}

impl ChannelBook for Manager {
    fn for_each_channel(&self, visit: &mut dyn FnMut(ChannelEntry)) {
        let latest_update = UpdateId(self.latest_update);
        visit(ChannelEntry { channel_id: channel_id(0), latest_update, is_open: true });
    }

    fn for_each_in_flight(&self, channel_id: ChannelId, visit: &mut dyn FnMut(&MonitorUpdate)) {
        let of_channel = self.in_flight.iter().filter(|update| update.channel_id == channel_id);
        of_channel.for_each(visit);
    }
}

fn start_with(world: &World, stores: Stores, manager: Manager) -> Node {
    let mut ports = ports(world, &stores);
    ports.channels = Box::new(manager);
    Node { driver: Driver::start(ports).expect("the stores are sound"), stores }
}

fn advice(node: &mut Node) -> Vec<Action> {
    node.driver.take_advice().into_iter().map(|planned| planned.action).collect()
}

fn latest(node: &mut Node) -> UpdateId {
    node.state(0).latest_update
}

fn is_closing(world: &World) -> bool {
    let funding = world.channels[0].ours.funding_outpoint;
    let chain = world.chain.lock();
    chain.spender(funding).is_some() || chain.mempool_spender(funding).is_some()
}

/// An open channel with one payment in both commitments.
fn open_channel() -> (World, Node, Payment) {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[ANCHORS]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    (world, node, payment)
}

fn fulfil(world: &mut World, payment: &Payment) -> [MonitorUpdate; 3] {
    let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
    world.channels[0].remove(payment.htlc_id(0), reason)
}

/// Row 16: the monitor is ahead of the manager. No channel closes; the plan says how far behind the
/// node is, and the updates themselves are there for it, as long as the log has them.
#[test]
fn row_16_a_manager_that_is_behind_gets_the_updates_and_no_channel_closes() {
    let (mut world, mut node, payment) = open_channel();
    let removal = fulfil(&mut world, &payment);
    node.driver.update(removal.to_vec()).unwrap();
    let left = snapshot(&node);
    drop(node);
    let manager = Manager { latest_update: 2, in_flight: Vec::new() };
    let mut node = start_with(&world, left, manager);
    let (have, durable) = (UpdateId(2), UpdateId(5));
    let behind = Action::ManagerBehind { channel_id: channel_id(0), have, durable };
    assert_eq!(advice(&mut node), [behind]);
    assert_eq!(node.driver.updates_after(channel_id(0), have).unwrap(), removal);
    assert_eq!(node.driver.updates_after(channel_id(0), durable).unwrap(), []);
    assert_eq!(node.tell(), whole_story(&payment));
    node.mine_and_poll(&world, 8);
    assert!(!is_closing(&world), "the channel is open");

    // Where the log was shortened behind a snapshot, it says from where on it has them.
    for update_id in 6..=80 {
        let update = world.channels[0].update(Vec::new());
        assert_eq!(update.update_id, UpdateId(update_id));
        node.driver.update(vec![update]).unwrap();
    }
    let error = node.driver.updates_after(channel_id(0), have).unwrap_err();
    let EngineError::UpdatesCompacted { first, .. } = error else { panic!("{error:?}") };
    let have = UpdateId(first.0 - 1);
    let updates = node.driver.updates_after(channel_id(0), have).unwrap();
    assert_eq!(updates.first().map(|update| update.update_id), Some(first));
    assert_eq!(updates.last().map(|update| update.update_id), Some(UpdateId(80)));
}

/// Row 17: the manager handed updates over, the monitor lost them before they were durable. They are
/// written again, in order, and the node learns that they are durable. Until then a part that one of
/// them brings does not count as never sent.
#[test]
fn row_17_what_was_in_flight_is_written_again_before_anything_counts_as_never_sent() {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[ANCHORS]);
    let before = snapshot(&node);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    let after = snapshot(&node);
    let left = before.with_books_of(&after);
    drop(node);
    let in_flight = [payment.updates.clone(), payment.answers.clone()].concat();
    let mut node = start_with(&world, left, Manager { latest_update: 0, in_flight });
    assert_eq!(latest(&mut node), UpdateId(2));
    let up_to = UpdateId(2);
    assert_eq!(advice(&mut node), [Action::UpdatesDurable { channel_id: channel_id(0), up_to }],);
    assert_eq!(node.verdict(&payment, 0), Verdict::Live);
    assert_eq!(node.tell(), [], "its HTLC may be on its way");
    let removal = fulfil(&mut world, &payment);
    node.driver.update(removal.to_vec()).unwrap();
    assert_eq!(node.tell(), whole_story(&payment));
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(latest(&mut node), UpdateId(5), "what was written again is durable");
}

/// The same with an update that the monitor refuses: it stays out, the node is told which, and
/// everything else goes on.
#[test]
fn row_17_an_update_in_flight_that_is_refused_stops_nothing() {
    let (world, node, payment) = open_channel();
    let left = snapshot(&node);
    drop(node);
    let bad = MonitorUpdate {
        channel_id: channel_id(0),
        update_id: UpdateId(3),
        steps: vec![UpdateStep::Fulfill { htlc_id: payment.htlc_id(0), preimage: BAD }],
    };
    let in_flight = vec![bad.clone()];
    let mut node = start_with(&world, left, Manager { latest_update: 2, in_flight });
    assert_eq!(advice(&mut node), [Action::ReplayUpdate(bad)]);
    assert_eq!(latest(&mut node), UpdateId(2));
    assert_eq!(node.verdict(&payment, 0), Verdict::Live);
}

const BAD: lastword_types::PaymentPreimage = lastword_types::PaymentPreimage([0xbd; 32]);

/// Row 18: the monitor is older than the manager, and what is missing is nowhere. What it takes for
/// our newest commitment may be revoked, so it is never broadcast, whatever else happens; the node
/// is told, and the other channels go on.
#[test]
fn row_18_a_monitor_that_lost_durable_updates_broadcasts_nothing() {
    let (mut world, mut node, payment) = open_channel();
    let older = snapshot(&node);
    let removal = fulfil(&mut world, &payment);
    node.driver.update(removal.to_vec()).unwrap();
    drop(node);
    let manager = Manager { latest_update: 5, in_flight: Vec::new() };
    let mut node = start_with(&world, older, manager.clone());
    let (have, durable) = (UpdateId(5), UpdateId(2));
    let lost = Action::MonitorBehind { channel_id: channel_id(0), have, durable };
    assert_eq!(advice(&mut node), [lost]);
    assert!(node.state(0).data_loss);
    // Neither a deadline nor a command makes it broadcast, after another start too.
    let left = snapshot(&node);
    drop(node);
    let mut node = start_with(&world, left, manager);
    assert_eq!(latest(&mut node), UpdateId(3), "it is written down once");
    node.mine_and_poll(&world, 60);
    assert!(!is_closing(&world));
    // The peer closes with what both had agreed, and our balance comes back.
    world.peer_closes(0);
    node.mine_and_poll(&world, 8);
    assert!(is_closing(&world));
}

/// Row 19: a fulfilment was exchanged off chain and is in the monitor; the book is from before. The
/// ledger's evidence is enough.
#[test]
fn row_19_a_fulfilment_that_only_the_monitor_has_is_told_from_it() {
    for updates in 1..=3 {
        let (mut world, mut node, payment) = open_channel();
        let before = snapshot(&node);
        let removal = fulfil(&mut world, &payment);
        node.driver.update(removal[..updates].to_vec()).unwrap();
        let mut node = node.crash_to_book_of(&world, &before);
        assert_eq!(node.tell(), whole_story(&payment), "after {updates} updates");
        let mut node = node.crash_without_book(&world);
        assert_eq!(node.tell(), [], "after {updates} updates");
    }
}

/// Row 20: settled off chain, told and released, the revocation durable; book and manager are from
/// before. The release erased nothing, so nothing is told a second time, least of all a failure.
#[test]
fn row_20_a_settled_payment_is_not_failed_by_a_manager_from_before_it() {
    let (mut world, mut node, payment) = open_channel();
    let before = snapshot(&node);
    let removal = fulfil(&mut world, &payment);
    node.driver.update(removal.to_vec()).unwrap();
    assert_eq!(node.tell(), whole_story(&payment));
    let left = node.stores.with_books_of(&before);
    drop(node);
    let manager = Manager { latest_update: 1, in_flight: Vec::new() };
    let mut node = start_with(&world, left, manager);
    assert_eq!(node.tell(), []);
    let state = node.driver.payment(payment.id()).unwrap().state;
    assert_eq!(state, PaymentState::Handled(payment.outcome_sent()));
    node.mine_and_poll(&world, 60);
    assert_eq!(node.tell(), []);
    assert!(!is_closing(&world));
}

/// Row 21: every update in flight is durable and the manager never heard of it. It hears of it at
/// each start until it has written that down.
#[test]
fn row_21_the_manager_hears_that_its_updates_are_durable_until_it_knows() {
    let (world, node, payment) = open_channel();
    let in_flight = [payment.updates.clone(), payment.answers.clone()].concat();
    let mut left = snapshot(&node);
    drop(node);
    let durable = Action::UpdatesDurable { channel_id: channel_id(0), up_to: UpdateId(2) };
    for _ in 0..3 {
        let manager = Manager { latest_update: 0, in_flight: in_flight.clone() };
        let mut node = start_with(&world, left, manager);
        assert_eq!(advice(&mut node), std::slice::from_ref(&durable));
        assert_eq!(latest(&mut node), UpdateId(2));
        left = snapshot(&node);
    }
    let manager = Manager { latest_update: 2, in_flight: Vec::new() };
    assert_eq!(advice(&mut start_with(&world, left, manager)), []);
}

/// Row 22: the manager held updates back behind one that was in flight. That one is durable or
/// written again at the start, so nothing holds them back any more, and they are taken in order.
#[test]
fn row_22_updates_that_were_held_back_go_on_after_a_start() {
    let (mut world, node, payment) = open_channel();
    let left = snapshot(&node);
    drop(node);
    let [first, held_back @ ..] = fulfil(&mut world, &payment);
    let manager = Manager { latest_update: 2, in_flight: vec![first] };
    let mut node = start_with(&world, left, manager);
    let up_to = UpdateId(3);
    assert_eq!(advice(&mut node), [Action::UpdatesDurable { channel_id: channel_id(0), up_to }]);
    node.driver.update(held_back.to_vec()).unwrap();
    assert_eq!(latest(&mut node), UpdateId(5));
    assert_eq!(node.tell(), whole_story(&payment));
}

/// Row 23: the first record of a monitor was never durable. Then there is no channel, which is no
/// error, and it can begin anew.
#[test]
fn row_23_a_channel_whose_birth_was_lost_never_was() {
    let (world, born) = World::with_channels(&[ANCHORS]);
    let node = Node::start(&world, Stores::new(Logs::Two));
    let before = snapshot(&node);
    drop(node);
    let manager = Manager { latest_update: 0, in_flight: Vec::new() };
    let mut node = start_with(&world, before, manager);
    assert_eq!(advice(&mut node), []);
    let error = node.driver.monitor(channel_id(0)).unwrap_err();
    assert!(matches!(error, EngineError::UnknownChannel(id) if id == channel_id(0)), "{error:?}");
    for new in born {
        node.driver.open_channel(new).unwrap();
    }
    assert_eq!(latest(&mut node), UpdateId(0));
}

/// Row 24: the decision to fail the channel is durable, and everything that followed from it is lost.
/// The intent is state: our commitment is broadcast, and the manager is told.
#[test]
fn row_24_a_decision_to_fail_the_channel_needs_no_event() {
    let (mut world, mut node, _) = open_channel();
    let update = world.channels[0].fail();
    node.driver.update(vec![update]).unwrap();
    assert!(!is_closing(&world), "nothing was broadcast yet");
    let left = snapshot(&node);
    drop(node);
    let manager = Manager { latest_update: 2, in_flight: Vec::new() };
    let mut node = start_with(&world, left, manager);
    assert_eq!(advice(&mut node), [Action::MarkChannelClosed { channel_id: channel_id(0) }]);
    node.poll();
    assert!(is_closing(&world));
}

/// Row 25: the monitor saw the peer's commitment confirmed, and the manager believes the channel
/// open. It is told, at every start, and what the chain decides is told as ever.
#[test]
fn row_25_a_channel_that_closed_behind_the_managers_back_is_closed_at_every_start() {
    let (mut world, mut node, payment) = open_channel();
    world.peer_closes(0);
    node.poll();
    let mut left = snapshot(&node);
    drop(node);
    for _ in 0..3 {
        let manager = Manager { latest_update: 2, in_flight: Vec::new() };
        let mut node = start_with(&world, left, manager);
        assert_eq!(advice(&mut node), [Action::MarkChannelClosed { channel_id: channel_id(0) }]);
        left = snapshot(&node);
    }
    let mut node = Node::start(&world, left);
    world.peer_claims(&payment, 0);
    node.poll();
    assert_eq!(node.tell(), whole_story(&payment));
}

/// Row 26: the channel was failed while an update was in flight that brings an HTLC. It enters the
/// ledger all the same, gives no permission to send, and fails when the closing without it is final.
#[test]
fn row_26_an_htlc_of_an_update_that_came_too_late_fails_with_the_closing() {
    let (mut world, mut node, _) = open_channel();
    let late = world.payment(2, &[Part(0, 30_000, 40)]);
    let after_the_close = {
        // The node decided before it heard of the payment's update.
        let mut fail = world.channels[0].fail();
        fail.update_id = UpdateId(3);
        node.driver.update(vec![fail]).unwrap();
        let mut update = late.updates[0].clone();
        update.update_id = UpdateId(4);
        update
    };
    node.driver.send_payment(late.intent.clone(), vec![after_the_close]).unwrap();
    assert_eq!(node.verdict(&late, 0), Verdict::Live);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    node.poll();
    node.mine_and_poll(&world, 1);
    assert_eq!(node.tell(), []);
    node.mine_and_poll(&world, 5);
    let absent = HtlcFailure::Absent;
    assert_eq!(node.tell(), [late.path_failed(0, absent), late.failed(absent)]);
}

/// Row 27: an update was made durable after the channel had closed, and the manager knows neither.
/// The close is told first, then that the update is durable; the update changes no outcome.
#[test]
fn row_27_an_update_behind_the_close_is_told_behind_the_close() {
    let (mut world, mut node, payment) = open_channel();
    world.peer_closes(0);
    node.poll();
    let removal = fulfil(&mut world, &payment);
    node.driver.update(vec![removal[0].clone()]).unwrap();
    let left = snapshot(&node);
    drop(node);
    let manager = Manager { latest_update: 2, in_flight: vec![removal[0].clone()] };
    let mut node = start_with(&world, left, manager);
    let channel_id = channel_id(0);
    let durable = Action::UpdatesDurable { channel_id, up_to: UpdateId(3) };
    assert_eq!(advice(&mut node), [Action::MarkChannelClosed { channel_id }, durable]);
    let monitor = node.driver.monitor(channel_id).unwrap();
    let verdict = monitor.verdict(HtlcDirection::Offered, payment.htlc_id(0));
    assert!(matches!(verdict, Some(Verdict::Fulfilled { .. })));
    assert_eq!(node.tell(), whole_story(&payment));
}
