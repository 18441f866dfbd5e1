//! A store that is full, and one whose sync fails: what was not written did not happen, what was
//! written is acted on, and after the store works again everything goes on.

use lastword_engine::{Driver, EngineError};
use lastword_ports::{Store, StoreErrorKind};
use lastword_testkit::Survivors;
use lastword_types::HtlcFailure;

use crate::node::{Logs, Node, Stores, ports_on};
use crate::stores::{Switch, SwitchStore};
use crate::world::{ANCHORS, Part, STATIC, World, channel_id};

/// A node whose disks have switches: the monitors', and the books' where it has its own.
struct Switched {
    node: Node,
    monitors: Switch,
    books: Switch,
}

fn start(world: &World, stores: Stores) -> Switched {
    let (monitors, monitors_switch) = SwitchStore::new(stores.monitors.clone());
    let (books, books_switch) = match &stores.books {
        Some(books) => {
            let (store, switch) = SwitchStore::new(books.clone());
            (Some(Box::new(store) as Box<dyn Store>), switch)
        }
        None => (None, monitors_switch.clone()),
    };
    let driver = Driver::start(ports_on(world, Box::new(monitors), books)).unwrap();
    Switched { node: Node { stores, driver }, monitors: monitors_switch, books: books_switch }
}

fn switched(logs: Logs) -> (World, Switched) {
    let (world, node) = Node::with_channels(logs, &[STATIC, ANCHORS]);
    let left = node.stores.image(Survivors::Everything);
    let switched = start(&world, left);
    (world, switched)
}

fn is_full(error: &EngineError) -> bool {
    matches!(error, EngineError::Store(store) if store.kind == StoreErrorKind::Full)
}

#[test]
fn a_full_store_changes_nothing_and_the_same_input_works_once_there_is_room() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, Switched { mut node, monitors, books }) = switched(logs);
        let payment = world.payment(1, &[Part(0, 50_000, 40), Part(1, 60_000, 40)]);
        let before = node.states(&world);
        books.set_full(true);
        monitors.set_full(true);
        assert!(is_full(&node.refusal(&payment)), "{logs:?}");
        assert_eq!(node.states(&world), before, "{logs:?}");
        assert!(!node.is_known(payment.id()), "{logs:?}");
        books.set_full(false);
        monitors.set_full(false);
        node.pay(&payment);
        let live = node.states(&world);
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        assert_eq!(node.states(&world), live, "{logs:?}");
        assert!(node.is_known(payment.id()));
    }
}

/// The intent is durable in the books' log when the monitors' log refuses: the parts never left, and
/// the book and its log are of one mind about it.
#[test]
fn a_full_monitors_log_makes_a_payment_fail_that_its_book_already_holds() {
    let (mut world, Switched { mut node, monitors, .. }) = switched(Logs::Two);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    monitors.set_full(true);
    assert!(is_full(&node.refusal(&payment)));
    assert_eq!(node.tell(), [payment.failed(HtlcFailure::NeverSent)], "told at once");
    monitors.set_full(false);
    // Its id is free again, and the book can be read after it was used again.
    let second = world.payment_of(payment.id(), 2, &[Part(1, 60_000, 40)]);
    node.pay(&second);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert!(node.is_known(payment.id()));
    assert_eq!(node.tell(), []);
    assert!(!node.verdict(&second, 0).is_final());
}

/// The same with a crash in between: the log alone knows that the payment began.
#[test]
fn a_payment_that_only_the_books_log_holds_fails_at_the_next_start() {
    let (mut world, Switched { mut node, monitors, books }) = switched(Logs::Two);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    books.set_full_after(1);
    monitors.set_full(true);
    assert!(is_full(&node.refusal(&payment)));
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), [payment.failed(HtlcFailure::NeverSent)]);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), []);
}

/// At whichever append of a block's work the store runs full: the payment is told once it has room,
/// without a restart.
#[test]
fn a_store_that_runs_full_in_the_middle_of_a_block_loses_nothing() {
    for logs in [Logs::One, Logs::Two] {
        for appends in 0..6 {
            let (mut world, Switched { mut node, monitors, books }) = switched(logs);
            let payment = world.payment(1, &[Part(0, 50_000, 40)]);
            node.pay(&payment);
            world.peer_closes(0);
            node.poll();
            world.peer_claims(&payment, 0);
            monitors.set_full_after(appends);
            books.set_full_after(appends);
            let polled = node.driver.poll_chain();
            let before_room = polled.is_err();
            monitors.set_full(false);
            books.set_full(false);
            node.poll();
            let told = node.tell();
            assert_eq!(
                told,
                [payment.sent(), payment.path_taken(0)],
                "{logs:?}, full after {appends} appends (failed: {before_room})"
            );
            assert!(node.is_released(&payment));
        }
    }
}

/// An update that is refused does not take back, nor hide, the one before it in the same call.
#[test]
fn what_was_applied_before_a_refused_update_is_told() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    let reason = lastword_types::RemovalReason::Fulfilled { preimage: payment.preimage };
    let [fulfilled, _, last] = world.channels[0].remove(payment.htlc_id(0), reason);
    let error = node.driver.update(vec![fulfilled, last]).expect_err("one update is missing");
    assert!(matches!(error, EngineError::Monitor { channel_id: id, .. } if id == channel_id(0)));
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
}

#[test]
fn an_event_that_could_not_be_recorded_is_recorded_later_and_not_told_twice() {
    for logs in [Logs::One, Logs::Two] {
        for appends in 0..4 {
            let (mut world, Switched { mut node, monitors, books }) = switched(logs);
            let payment = world.payment(1, &[Part(0, 50_000, 40)]);
            node.pay(&payment);
            world.peer_closes(0);
            world.peer_claims(&payment, 0);
            node.poll();
            let event = node.driver.next_event().unwrap();
            assert_eq!(event, payment.sent());
            monitors.set_full_after(appends);
            books.set_full_after(appends);
            let was_recorded = node.driver.event_returned(&event, true).is_ok();
            assert!(was_recorded || node.driver.next_event().is_none(), "it is still in flight");
            monitors.set_full(false);
            books.set_full(false);
            node.driver.event_returned(&event, true).unwrap();
            assert_eq!(node.tell(), [payment.path_taken(0)], "{logs:?}, {appends} appends");
            assert!(node.is_released(&payment), "{logs:?}, {appends} appends");
            let mut node = node.crash(&world, Survivors::SyncedOnly);
            assert_eq!(node.tell(), []);
        }
    }
}

/// The disk is full, or gone, from before the block that closes a channel. Its claims go out all the
/// same, also those that have to wait for a height.
#[test]
fn a_store_that_cannot_write_keeps_no_claim_back() {
    for is_gone in [false, true] {
        for format in [STATIC, ANCHORS] {
            let place = format!("{format:?}, is gone: {is_gone}");
            let (mut world, node) = Node::with_channels(Logs::Two, &[format]);
            let left = node.stores.image(Survivors::Everything);
            drop(node);
            let Switched { mut node, monitors, .. } = start(&world, left);
            let payment = world.payment(1, &[Part(0, 50_000, 10)]);
            node.pay(&payment);
            if is_gone {
                monitors.fail_next_sync();
            } else {
                monitors.set_full(true);
            }
            world.peer_closes(0);
            assert!(node.driver.poll_chain().is_err(), "{place}");
            world.mine(12);
            assert!(node.driver.poll_chain().is_err(), "{place}");
            assert_eq!(node.driver.next_event(), None, "{place}: nothing is told of it");
            let output = world.channels[0].htlc_output(world.closing(0), payment.htlc_id(0));
            assert!(
                world.chain.lock().mempool_spender(output).is_some(),
                "{place}: the output can be ours, and nobody asks for it"
            );
            let why = HtlcFailure::TimedOut;
            let told = [payment.path_failed(0, why), payment.failed(why)];
            monitors.set_full(false);
            let mut node = if is_gone { node.crash(&world, Survivors::SyncedOnly) } else { node };
            node.mine_and_poll(&world, 6);
            assert_eq!(node.tell(), told, "{place}");
        }
    }
}

/// Our own commitment is not a claim: it waits until the decision to broadcast it is durable.
#[test]
fn our_commitment_is_not_broadcast_before_its_decision_is_durable() {
    for is_gone in [false, true] {
        let (mut world, Switched { mut node, monitors, .. }) = switched(Logs::One);
        if is_gone {
            monitors.fail_next_sync();
        } else {
            // The record goes through, its card does not.
            monitors.set_full_after(1);
        }
        let update = world.channels[0].fail();
        assert!(node.driver.update(vec![update]).is_err());
        world.mine(2);
        assert!(node.driver.poll_chain().is_err(), "is gone: {is_gone}");
        let funding = world.channels[0].ours.funding_outpoint;
        assert_eq!(world.chain.lock().mempool_spender(funding), None, "is gone: {is_gone}");
        if !is_gone {
            monitors.set_full(false);
            node.poll();
            assert!(world.chain.lock().mempool_spender(funding).is_some());
        }
    }
}

#[test]
fn after_a_failed_sync_of_the_book_nothing_is_told() {
    let (mut world, Switched { mut node, books, .. }) = switched(Logs::Two);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    world.peer_closes(0);
    world.peer_claims(&payment, 0);
    books.fail_next_sync();
    assert!(node.driver.poll_chain().is_err());
    assert!(node.driver.is_poisoned());
    assert_eq!(node.driver.next_event(), None);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    node.poll();
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
}

#[test]
fn after_a_failed_sync_nothing_is_told_and_claims_go_on() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, Switched { mut node, monitors, .. }) = switched(logs);
        let payment = world.payment(1, &[Part(0, 50_000, 10)]);
        let other = world.payment(2, &[Part(1, 50_000, 40)]);
        node.pay(&payment);
        node.pay(&other);
        node.fail_channel(&mut world, 0);
        world.mine(10);
        node.poll();
        // The HTLC-timeout transaction is due; then the disk goes.
        world.take_away(1);
        world.mine_empty(1);
        let commitment = world.closing(0);
        let output = world.channels[0].htlc_output(commitment, payment.htlc_id(0));
        monitors.fail_next_sync();
        world.peer_closes(1);
        world.peer_claims(&other, 0);
        assert!(node.driver.poll_chain().is_err(), "{logs:?}");
        assert!(node.driver.is_poisoned());
        assert_eq!(node.driver.next_event(), None, "{logs:?}: what is durable is not known");
        assert!(node.driver.poll_chain().is_err(), "and stays so");
        let chain = world.chain.lock();
        let taken = chain.spender(output).map(|(txid, _)| txid);
        assert!(taken.or(chain.mempool_spender(output)).is_some(), "{logs:?}: the claim is out");
        drop(chain);
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        node.poll();
        assert_eq!(node.tell(), [other.sent(), other.path_taken(0)]);
    }
}

/// The penalty follows from the confirmed chain and from what is on the disk, whoever has room.
#[test]
fn a_thief_is_answered_when_the_disk_is_full_and_the_monitor_is_not_in_memory() {
    let (mut world, Switched { mut node, monitors, .. }) = switched(Logs::One);
    node.driver.keep_quiet_bytes(0);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    let held = world.channels[0].remote.last().unwrap().clone();
    let reason = lastword_types::RemovalReason::Fulfilled { preimage: payment.preimage };
    let removal = world.channels[0].remove(payment.htlc_id(0), reason);
    node.driver.update(removal.into()).unwrap();
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
    node.mine_and_poll(&world, 1);
    assert_eq!(node.driver.stats().monitors.count, 0);
    let revoked = world.channels[0].peers_commitment_of(&held);
    world.confirm(&revoked);

    monitors.set_full(true);
    assert!(is_full(&node.driver.poll_chain().unwrap_err()));

    let chain = world.chain.lock();
    let takes = |txid| {
        let (transaction, _) = chain.transaction(txid).unwrap();
        let mut spent = transaction.input.iter().map(|input| input.previous_output.txid);
        spent.any(|txid| txid == revoked.compute_txid())
    };
    assert!(chain.mempool().into_iter().any(takes), "the penalty is offered");
}
