//! Idle channels cost nothing, and long ones are folded up.

use lastword_ports::{SnapshotStore as _, Stream};
use lastword_testkit::{CrashStore, Survivors};
use lastword_types::{HtlcFailure, RemovalReason};

use crate::node::{Logs, Node};
use crate::world::{ANCHORS, Part, STATIC, channel_id};

/// The cards of the monitors, which leaves out the chain's tip.
fn monitors_cards(store: &CrashStore) -> Vec<(Stream, Vec<u8>)> {
    let mut cards = Vec::new();
    store
        .cards(&mut |card| {
            let card = card.expect("it is sound");
            if card.stream != Stream::Chain {
                cards.push((card.stream, card.body.to_vec()));
            }
        })
        .unwrap();
    cards
}

const BLOCKS: u32 = 1_000;

/// One channel is quiet, one waits with an HTLC, one is closed and its HTLC can be claimed by the
/// peer at any time. Not one of them is written by an empty block, in a burst or one by one.
#[test]
fn a_thousand_empty_blocks_write_no_monitor() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, mut node) = Node::with_channels(logs, &[STATIC, STATIC, ANCHORS]);
        let waiting = world.payment(1, &[Part(1, 50_000, 4_000)]);
        let closed = world.payment(2, &[Part(2, 50_000, 4_000)]);
        node.pay(&waiting);
        node.pay(&closed);
        world.peer_closes(2);
        node.mine_and_poll(&world, 10);
        let (states, cards) = (node.states(&world), monitors_cards(&node.stores.monitors));
        let records = node.stores.records();
        let before = node.stores.monitors.writes();
        let books_before = node.stores.books.as_ref().map(CrashStore::writes);

        world.mine_empty(BLOCKS / 2);
        node.poll();
        let after_burst = node.stores.monitors.writes();
        for _ in 0..BLOCKS / 2 {
            world.mine_empty(1);
            node.poll();
        }

        let after = node.stores.monitors.writes();
        assert_eq!(after.records, before.records, "{logs:?}");
        assert_eq!(after.puts, before.puts, "{logs:?}");
        assert_eq!(after_burst.cards, before.cards + 1, "a burst moves the tip once");
        assert_eq!(after.cards, after_burst.cards + u64::from(BLOCKS / 2), "the tip, each time");
        assert_eq!(after.syncs, before.syncs, "an older tip is good enough");
        assert_eq!(monitors_cards(&node.stores.monitors), cards, "{logs:?}");
        assert_eq!(node.stores.records(), records, "{logs:?}");
        assert_eq!(node.stores.books.as_ref().map(CrashStore::writes), books_before);
        assert_eq!(node.states(&world), states);
        println!(
            "figure: {BLOCKS} empty blocks, {logs:?} log: {} records, {} cards of monitors written",
            after.records - before.records,
            monitors_cards(&node.stores.monitors)
                .iter()
                .filter(|card| !cards.contains(card))
                .count()
        );

        // A crash after them changes nothing, whether the tip survives or not.
        for survivors in [Survivors::SyncedOnly, Survivors::Everything] {
            let mut node = Node::start(&world, node.stores.image(survivors));
            assert_eq!(node.tell(), []);
            node.poll();
            assert_eq!(node.tell(), []);
            assert_eq!(node.states(&world), states, "{logs:?}, {survivors:?}");
            assert_eq!(node.stores.monitors.writes().records, 0);
            assert_eq!(monitors_cards(&node.stores.monitors), cards);
        }
        // And they still hear what concerns them.
        world.peer_claims(&closed, 0);
        node.poll();
        assert_eq!(node.tell(), [closed.sent(), closed.path_taken(0)]);
    }
}

/// More than 64 records in a channel and in the book: both are folded into snapshots, their records
/// are pruned, and a restart gives the live state.
#[test]
fn a_long_channel_is_folded_and_a_restart_equals_the_live_state() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, mut node) = Node::with_channels(logs, &[STATIC, ANCHORS]);
        let why = HtlcFailure::Removed { code: 0x400f };
        for n in 0..30 {
            let payment = world.payment(n, &[Part(0, 10_000, 400)]);
            node.pay(&payment);
            let is_sent = n % 2 == 0;
            let reason = if is_sent {
                RemovalReason::Fulfilled { preimage: payment.preimage }
            } else {
                RemovalReason::Failed { code: 0x400f }
            };
            let removal = world.channels[0].remove(payment.htlc_id(0), reason);
            node.driver.update(removal.to_vec()).unwrap();
            let expected = if is_sent {
                [payment.sent(), payment.path_taken(0)]
            } else {
                [payment.path_failed(0, why), payment.failed(why)]
            };
            assert_eq!(node.tell(), expected, "payment {n}");
        }
        let writes = node.stores.monitors.writes();
        assert!(writes.puts >= 2 && writes.prunes >= 2, "{logs:?}: {writes:?}");
        assert!(writes.puts <= 8, "{logs:?}: a snapshot is spread over 64 records: {writes:?}");
        let channel = Stream::Channel(channel_id(0));
        assert!(node.stores.monitors.latest(channel).unwrap().is_some());
        let books = node.stores.books.as_ref().unwrap_or(&node.stores.monitors);
        assert!(books.latest(Stream::Payments).unwrap().is_some(), "{logs:?}");
        let left = node.stores.records();
        let of_channel = left.iter().filter(|(stream, ..)| *stream == channel).count();
        assert!(of_channel < 70, "{logs:?}: {of_channel} records were not pruned");

        let states = node.states(&world);
        let entries: Vec<_> =
            (0..30).map(|n| node.driver.book_entry(lastword_types::PaymentId([n; 32]))).collect();
        for survivors in [Survivors::SyncedOnly, Survivors::Everything] {
            let mut again = Node::start(&world, node.stores.image(survivors));
            assert_eq!(again.tell(), []);
            assert_eq!(again.states(&world), states, "{logs:?}, {survivors:?}");
            for n in 0..30 {
                let payment_id = lastword_types::PaymentId([n; 32]);
                assert_eq!(again.driver.book_entry(payment_id), entries[usize::from(n)]);
            }
        }
        // The channel goes on from its snapshot.
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        let payment = world.payment(200, &[Part(0, 10_000, 400)]);
        node.pay(&payment);
        let states = node.states(&world);
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        assert_eq!(node.states(&world), states);
    }
}
