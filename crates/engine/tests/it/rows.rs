//! The crash windows of LDK, section 5, row by row. The stores are taken at chosen moments, and a
//! node starts on a mixture of them. Here rows 1 to 9: an own payment in a closed channel.

mod chain;
mod closed;
mod forward;
mod live;
mod received;

use lastword_engine::EngineError;
use lastword_ports::{ChannelBook, ChannelEntry};
use lastword_reload::Action;
use lastword_testkit::Survivors;
use lastword_types::{Event, HtlcFailure, PaymentState, RemovalReason, Told, UpdateId, Verdict};

use crate::node::{Logs, Node, Stores, ports};
use crate::world::{ANCHORS, Part, Payment, STATIC, World, channel_id};

/// What of both disks is there at a moment.
fn snapshot(node: &Node) -> Stores {
    node.stores.image(Survivors::SyncedOnly)
}

/// Starts on the monitors of one moment and the book of another.
fn start_on(world: &World, monitors: &Stores, books: &Stores) -> Node {
    Node::start(world, monitors.with_books_of(books))
}

/// A payment of one part whose channel the peer has closed; the claim is not mined yet.
fn closed_channel(logs: Logs) -> (World, Node, Payment) {
    let (mut world, mut node) = Node::with_channels(logs, &[STATIC]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    world.peer_closes(0);
    node.poll();
    (world, node, payment)
}

fn whole_story(payment: &Payment) -> Vec<Event> {
    vec![payment.sent(), payment.path_taken(0)]
}

/// Row 1: monitor and book are from before the block; everything about the block is lost. The block
/// comes again and the payment is told as if nothing had happened.
#[test]
fn row_1_a_block_that_nobody_remembers_is_followed_again() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, node, payment) = closed_channel(logs);
        let before = snapshot(&node);
        let mut node = node;
        world.peer_claims(&payment, 0);
        node.poll();
        assert!(node.verdict(&payment, 0).is_final());
        drop(node);
        let mut node = Node::start(&world, before);
        assert_eq!(node.tell(), [], "{logs:?}: nothing is known yet");
        node.poll();
        assert_eq!(node.tell(), whole_story(&payment), "{logs:?}");
        assert!(node.is_released(&payment));
    }
}

/// Row 2: the book knows the outcome, or even that it was handled; the monitor's record of the block
/// is lost. The block comes again; what was handled is not told again, and the release follows.
#[test]
fn row_2_a_book_that_is_ahead_of_its_monitor_tells_at_most_once_more() {
    let (mut world, mut node, payment) = closed_channel(Logs::Two);
    let before = snapshot(&node);
    world.peer_claims(&payment, 0);
    node.poll();
    let decided = snapshot(&node);
    assert_eq!(node.tell(), whole_story(&payment));
    let handled = snapshot(&node);
    drop(node);

    // The recorded outcome is not told while no durable ledger bears it out (R4).
    let mut node = start_on(&world, &before, &decided);
    assert_eq!(node.tell(), []);
    node.poll();
    assert_eq!(node.tell(), whole_story(&payment));
    assert!(node.is_released(&payment));

    let mut node = start_on(&world, &before, &handled);
    node.poll();
    assert_eq!(node.tell(), [], "the user has handled it");
    assert!(node.is_released(&payment), "the release is made again");
}

/// Row 3: the monitor has the block and its event was taken from it, the book is from before. The
/// ledger still owes the outcome.
#[test]
fn row_3_an_event_that_only_memory_held_comes_again_from_the_ledger() {
    let (mut world, mut node, payment) = closed_channel(Logs::Two);
    let before = snapshot(&node);
    world.peer_claims(&payment, 0);
    node.poll();
    // The event is out, and its handler never returns.
    assert_eq!(node.driver.next_event(), Some(payment.sent()));
    let mut node = node.crash_to_book_of(&world, &before);
    assert_eq!(node.tell(), whole_story(&payment));
    assert!(node.is_released(&payment));
}

/// Row 4: monitor and book are current and the event is queued; the user's handling is lost. The
/// same event is told, field for field, by one log and by two.
#[test]
fn row_4_an_event_whose_handling_was_lost_is_told_again_identically() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, mut node, payment) = closed_channel(logs);
        world.peer_claims(&payment, 0);
        node.poll();
        let first = node.driver.next_event().unwrap();
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        let again = node.tell();
        assert_eq!(again[0], first, "{logs:?}");
        assert_eq!(again, whole_story(&payment), "{logs:?}");
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        assert_eq!(node.tell(), [], "{logs:?}: it is durably released");
    }
}

/// Row 5: the book says handled, the release is lost. No event, and the release is made again.
#[test]
fn row_5_a_lost_release_is_made_again_without_an_event() {
    let (mut world, mut node, payment) = closed_channel(Logs::Two);
    world.peer_claims(&payment, 0);
    node.poll();
    let unreleased = snapshot(&node);
    assert_eq!(node.tell(), whole_story(&payment));
    let handled = snapshot(&node);
    drop(node);
    let mut node = start_on(&world, &unreleased, &handled);
    assert!(node.is_released(&payment), "the start released it");
    assert_eq!(node.tell(), []);
    // What was released at the start is durable.
    let mut node = node.crash_without_book(&world);
    assert_eq!(node.tell(), []);
    assert!(!node.is_known(payment.id()));
}

/// Row 6: the user handled the outcome and the book has dropped the payment, the release is lost. The
/// ledger is the only witness and tells once more, identically; the id is busy until then.
#[test]
fn row_6_without_book_and_release_the_same_event_is_told_once_more() {
    let (mut world, mut node, payment) = closed_channel(Logs::Two);
    world.peer_claims(&payment, 0);
    node.poll();
    let unreleased = snapshot(&node);
    let told = node.tell();
    drop(node);
    let mut node = Node::start(&world, unreleased.without_book());
    let second = world.payment_of(payment.id(), 9, &[Part(0, 10_000, 40)]);
    assert!(
        matches!(node.refusal(&second), EngineError::PaymentIdBusy(id) if id == payment.id()),
        "an id is not free while a ledger owes its outcome (R8)"
    );
    assert_eq!(node.tell(), told);
    let mut node = node.crash_without_book(&world);
    assert_eq!(node.tell(), [], "from the release on never again");
}

/// Row 7: the release is durable, the book is older and says pending, the channel is closed. The
/// ledger's outcome is adopted in silence and the id is free.
#[test]
fn row_7_an_older_book_adopts_in_silence_what_the_ledger_says_was_told() {
    let (mut world, mut node, payment) = closed_channel(Logs::Two);
    let pending = snapshot(&node);
    world.peer_claims(&payment, 0);
    node.poll();
    assert_eq!(node.tell(), whole_story(&payment));
    let mut node = node.crash_to_book_of(&world, &pending);
    assert_eq!(node.tell(), []);
    let state = node.driver.payment(payment.id()).unwrap().state;
    assert_eq!(state, PaymentState::Handled(payment.outcome_sent()));
    assert!(!node.driver.owes(payment.id()));
    let told =
        Told::Payment { generation: payment.intent.generation, outcome: payment.outcome_sent() };
    assert_eq!(node.delivered(&payment, 0), Some(told), "the release erased nothing");
    node.mine_and_poll(&world, 6);
    assert_eq!(node.tell(), [], "and nothing comes later");
}

/// The same for a payment that failed: it is not told a second time, nor left pending.
#[test]
fn row_7_an_older_book_adopts_a_failure_in_silence() {
    let (world, mut node, payment) = closed_channel(Logs::Two);
    let pending = snapshot(&node);
    node.mine_and_poll(&world, 50);
    let failed = payment.failed(HtlcFailure::TimedOut);
    assert_eq!(node.tell(), [payment.path_failed(0, HtlcFailure::TimedOut), failed]);
    let mut node = node.crash_to_book_of(&world, &pending);
    assert_eq!(node.tell(), []);
    assert!(matches!(node.driver.payment(payment.id()).unwrap().state, PaymentState::Handled(_)));
}

/// The manager's channels as an older manager has them.
struct OlderManager(UpdateId);

impl ChannelBook for OlderManager {
    fn for_each_channel(&self, visit: &mut dyn FnMut(ChannelEntry)) {
        let entry =
            ChannelEntry { channel_id: channel_id(0), latest_update: self.0, is_open: true };
        visit(entry);
    }
}

/// Row 8: as row 7, and the older manager has the channel open. No failure is told after the user saw
/// the payment sent; the manager learns that the channel is closed.
#[test]
fn row_8_a_manager_that_has_the_channel_open_is_told_of_the_close_and_of_no_failure() {
    let (mut world, mut node, payment) = closed_channel(Logs::Two);
    let pending = snapshot(&node);
    world.peer_claims(&payment, 0);
    node.poll();
    assert_eq!(node.tell(), whole_story(&payment));
    let stores = node.stores.with_books_of(&pending);
    drop(node);
    let mut ports = ports(&world, &stores);
    ports.channels = Box::new(OlderManager(UpdateId(1)));
    let driver = lastword_engine::Driver::start(ports).unwrap();
    let mut node = Node { stores, driver };
    assert_eq!(node.tell(), []);
    let advice: Vec<Action> =
        node.driver.take_advice().into_iter().map(|planned| planned.action).collect();
    assert_eq!(advice, [Action::MarkChannelClosed { channel_id: channel_id(0) }]);
    node.mine_and_poll(&world, 8);
    assert_eq!(node.tell(), []);
}

/// Row 8 where the channel really is open: the HTLC was settled off chain, the revocation is
/// durable and the outcome released. The manager is behind; no channel is closed for that.
#[test]
fn row_8_a_manager_that_is_behind_closes_no_channel_and_tells_no_failure() {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[ANCHORS]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    let pending = snapshot(&node);
    let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
    let removal = world.channels[0].remove(payment.htlc_id(0), reason);
    node.driver.update(removal.to_vec()).unwrap();
    assert_eq!(node.tell(), whole_story(&payment));
    let stores = node.stores.with_books_of(&pending);
    drop(node);
    let mut ports = ports(&world, &stores);
    ports.channels = Box::new(OlderManager(UpdateId(2)));
    let driver = lastword_engine::Driver::start(ports).unwrap();
    let mut node = Node { stores, driver };
    assert_eq!(node.tell(), []);
    node.mine_and_poll(&world, 8);
    assert_eq!(node.tell(), []);
    let wanted = Action::ManagerBehind {
        channel_id: channel_id(0),
        have: UpdateId(2),
        durable: UpdateId(5),
    };
    let advice: Vec<Action> =
        node.driver.take_advice().into_iter().map(|planned| planned.action).collect();
    assert_eq!(advice, [wanted]);
    let funding = world.channels[0].ours.funding_outpoint;
    assert_eq!(world.chain.lock().spender(funding), None, "the channel is open");
    assert_eq!(world.chain.lock().mempool_spender(funding), None, "and nobody closes it");
}

/// Row 9: the release is durable and the book is from before the payment. Nothing is told; the id is
/// free, and a payment that takes it does not meet its past.
#[test]
fn row_9_a_book_from_before_the_payment_leaves_its_id_free() {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC, ANCHORS]);
    let before = snapshot(&node);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    world.peer_closes(0);
    node.poll();
    world.peer_claims(&payment, 0);
    node.poll();
    assert_eq!(node.tell(), whole_story(&payment));
    let mut node = node.crash_to_book_of(&world, &before);
    assert_eq!(node.tell(), []);
    assert!(!node.is_known(payment.id()));

    let second = world.payment_of(payment.id(), 2, &[Part(1, 30_000, 30)]);
    node.pay(&second);
    let reason = RemovalReason::Failed { code: 0x400f };
    let removal = world.channels[1].remove(second.htlc_id(0), reason);
    node.driver.update(removal.to_vec()).unwrap();
    let why = HtlcFailure::Removed { code: 0x400f };
    assert_eq!(node.verdict(&second, 0), Verdict::Failed { reason: why });
    assert_eq!(node.tell(), [second.path_failed(0, why), second.failed(why)]);
    let mut node = node.crash_without_book(&world);
    assert_eq!(node.tell(), []);
}
