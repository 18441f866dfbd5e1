//! A channel that is not read is known by its card: the card must say what a fold would.

use std::collections::BTreeMap;

use lastword_ports::{SnapshotStore as _, Stream};
use lastword_testkit::Survivors;
use lastword_types::{Card, ChannelId};
use lastword_wire::decode_card;

use crate::node::{Logs, Node};
use crate::world::{ANCHORS, Part, STATIC, World, channel_id};

/// The cards in the store, each with the end of its stream.
fn stored_cards(node: &Node) -> BTreeMap<ChannelId, (Card, u64)> {
    let mut cards = BTreeMap::new();
    let read = node.stores.monitors.cards(&mut |stored| {
        let stored = stored.expect("it is sound");
        if let Stream::Channel(channel_id) = stored.stream {
            let card = decode_card(stored.body).expect("the card is sound");
            cards.insert(channel_id, (card, stored.last));
        }
    });
    read.expect("the store works");
    cards
}

/// Folds every channel from its bytes and compares it with its card.
fn every_card_says_what_a_fold_says(node: &Node, world: &World, when: &str) {
    let cards = stored_cards(node);
    assert_eq!(cards.len(), world.channels.len(), "{when}");
    let mut folded = Node::start(world, node.stores.image(Survivors::Everything));
    for (id, (card, last)) in cards {
        let monitor = folded.driver.monitor(id).expect("its bytes are sound");
        assert!(card.covers >= last, "{when}: a record lies behind the card");
        assert_eq!(card, Card { covers: card.covers, ..monitor.card() }, "{when}");
    }
}

#[test]
fn every_card_says_what_a_fold_of_its_channel_says() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, mut node) = Node::with_channels(logs, &[STATIC, ANCHORS, ANCHORS]);
        let check = |node: &Node, world: &World, when: &str| {
            every_card_says_what_a_fold_says(node, world, &format!("{logs:?}, {when}"));
        };
        check(&node, &world, "all open and quiet");
        let waiting = world.payment(1, &[Part(1, 50_000, 400)]);
        let closing = world.payment(2, &[Part(2, 50_000, 400)]);
        node.pay(&waiting);
        node.pay(&closing);
        check(&node, &world, "HTLCs in two");
        world.peer_closes(2);
        node.poll();
        check(&node, &world, "one closed by the peer");
        world.peer_claims(&closing, 0);
        node.poll();
        check(&node, &world, "its HTLC claimed, nobody told");
        assert_eq!(node.tell(), [closing.sent(), closing.path_taken(0)]);
        check(&node, &world, "told");
        node.fail_channel(&mut world, 1);
        check(&node, &world, "another failed by us");
        world.chain.lock().reorg(2);
        node.poll();
        check(&node, &world, "after a reorg");
        node.mine_and_poll(&world, 20);
        check(&node, &world, "twenty blocks on");
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        node.poll();
        check(&node, &world, "after a crash");
        assert!(node.damaged().is_empty());
        assert!(node.driver.monitor(channel_id(0)).is_ok());
    }
}
