//! Damaged bytes: we refuse with the place and never guess, and what is sound goes on.

use std::error::Error as _;

use lastword_engine::{BookDamage, DamagedPart, Driver, EngineError};
use lastword_ports::{Frame, SnapshotStore as _, Store, StoreErrorKind, Stream, UpdateLog as _};
use lastword_reload::{Action, PaymentStatus, Reason};
use lastword_testkit::{CrashStore, Survivors};
use lastword_types::{Card, ChannelId, HtlcOrigin, PaymentState, RemovalReason};
use lastword_wire as wire;

use crate::claim::{self, PREIMAGE};
use crate::crash::die_at;

use crate::node::{Logs, Node, Stores, ports_on};
use crate::stores::{AwayStore, Damage, DamagedStore};
use crate::world::{ANCHORS, Part, Payment, STATIC, World, channel_id};

fn start(
    world: &World,
    stores: &Stores,
    stream: Stream,
    damage: Damage,
) -> Result<Driver, EngineError> {
    let wrap =
        |inner: CrashStore| Box::new(DamagedStore { inner, stream, damage }) as Box<dyn Store>;
    let books = stores.books.clone().map(wrap);
    Driver::start(ports_on(world, wrap(stores.monitors.clone()), books))
}

fn start_damaged(world: &World, stores: Stores, channel: usize, damage: Damage) -> Node {
    let stream = Stream::Channel(channel_id(channel));
    let driver = start(world, &stores, stream, damage).expect("the others are sound");
    Node { stores, driver }
}

/// What no start can mend.
const LASTING: [Damage; 5] =
    [Damage::Silent, Damage::Reported, Damage::Whole, Damage::Snapshot, Damage::SnapshotReported];

/// Puts a snapshot of a channel and forgets the records that it covers.
fn compact(node: &mut Node, channel: usize) {
    let body =
        wire::encode_monitor_state(node.driver.monitor(channel_id(channel)).unwrap().state());
    let stream = Stream::Channel(channel_id(channel));
    let at = node.stores.monitors.append(&[]).unwrap();
    node.stores.monitors.put(stream, at, &body).unwrap();
    node.stores.monitors.prune(stream, at).unwrap();
    let _proof = node.stores.monitors.sync().unwrap();
}

/// The damage of channel 0 is named, with what it is and where.
fn assert_named(node: &Node, damage: Damage, place: &str) {
    let found: Vec<_> = node.driver.damage().collect();
    let [found] = found[..] else { panic!("{place}: {found:?}") };
    assert_eq!(found.stream, Some(Stream::Channel(channel_id(0))), "{place}");
    let expected = match damage {
        Damage::Silent | Damage::Reported => DamagedPart::Record,
        Damage::Snapshot | Damage::SnapshotReported => DamagedPart::Snapshot,
        Damage::Whole => DamagedPart::Whole,
        Damage::Card | Damage::CardReported => DamagedPart::Card,
    };
    assert_eq!(found.part, expected, "{place}");
    assert_eq!(found.position.is_some(), damage != Damage::Whole, "{place}");
    if let Damage::Silent | Damage::Snapshot = damage {
        let EngineError::Bytes { source, .. } = &found.error else { panic!("{place}: {found:?}") };
        assert!(source.to_string().contains(char::is_numeric), "{place}: the offset: {source}");
    }
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
        for damage in LASTING {
            let place = format!("{logs:?}, {damage:?}");
            let (mut world, mut node, [first, second, both]) = three_payments(logs);
            if matches!(damage, Damage::Snapshot | Damage::SnapshotReported) {
                compact(&mut node, 0);
            }
            let sound = node.stores.image(Survivors::SyncedOnly);
            drop(node);
            let mut node = start_damaged(&world, sound.image(Survivors::Everything), 0, damage);
            assert_eq!(node.damaged(), [channel_id(0)], "{place}");
            assert_named(&node, damage, &place);
            assert_eq!(node.tell(), [], "{place}: neither failed nor sent");
            let busy = node.refusal(&first);
            assert!(matches!(busy, EngineError::PaymentIdBusy(id) if id == first.id()), "{place}");
            for waiting in [&first, &both] {
                let status = node.driver.payment_status(waiting.id());
                let Ok(PaymentStatus::Live(live)) = status else { panic!("{place}: {status:?}") };
                assert_eq!(live.waits_for, [channel_id(0)], "{place}");
            }
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
fn damaged_bytes_of_the_book_or_the_tip_stop_the_start_and_are_named() {
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
        let error = start(Stream::Chain, Damage::Card);
        assert!(matches!(error, EngineError::Bytes { what: "a card", .. }), "{error}");
        let error = start(Stream::Chain, Damage::CardReported);
        let EngineError::Store(source) = &error else { panic!("{error}") };
        assert_eq!(
            (source.kind, source.place.stream),
            (StoreErrorKind::Corrupt, Some(Stream::Chain))
        );
        // Nothing was written by all this, and the sound bytes start.
        assert_eq!(stores.records(), written, "{logs:?}");
        let node = Node::start(&world, stores);
        assert!(node.is_known(first.id()));
    }
}

/// Only the card is damaged: the channel itself says what is on it, and the start writes it anew.
#[test]
fn a_damaged_card_is_rebuilt_from_its_channel() {
    for damage in [Damage::Card, Damage::CardReported] {
        let (mut world, node, [first, ..]) = three_payments(Logs::One);
        let stores = node.stores.image(Survivors::SyncedOnly);
        drop(node);
        let mut node = start_damaged(&world, stores, 0, damage);
        assert_eq!(node.damaged(), [], "{damage:?}");
        let [mended] = node.driver.mended() else { panic!("{damage:?}") };
        assert_eq!(mended.stream, Some(Stream::Channel(channel_id(0))), "{damage:?}");
        assert_eq!(mended.part, DamagedPart::Card, "{damage:?}");
        world.peer_closes(0);
        world.peer_claims(&first, 0);
        node.poll();
        assert_eq!(node.tell(), [first.sent(), first.path_taken(0)], "it is watched");
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        assert!(node.driver.mended().is_empty(), "it was written anew");
        assert_eq!(node.damaged(), []);
        assert_eq!(node.tell(), []);
    }
}

/// The card of an open channel with nothing to do.
fn quiet_card(number: u8, node: &mut Node) -> Card {
    let sample = node.driver.monitor(channel_id(2)).unwrap().card();
    let mut watched = sample.watched.clone();
    for outpoint in &mut watched {
        outpoint.vout = 1_000 + u32::from(number);
    }
    let channel_id = ChannelId([number; 32]);
    Card { channel_id, watched, has_undelivered: false, covers: u64::MAX, ..sample }
}

/// A store with many cards of which some are damaged, in every way: each is named and set apart or
/// mended, and every other channel is watched.
#[test]
fn of_many_channels_the_damaged_ones_are_named_and_the_others_are_watched() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS, STATIC]);
    let paid = world.payment(1, &[Part(0, 50_000, 100)]);
    node.pay(&paid);
    let lost = world.payment(2, &[Part(1, 50_000, 100)]);
    node.pay(&lost);
    for number in 1..=120 {
        let body = wire::encode_card(&quiet_card(number, &mut node));
        let stream = Stream::Channel(ChannelId([number; 32]));
        node.stores.monitors.append(&[Frame::Card { stream, body: &body }]).unwrap();
    }
    let _proof = node.stores.monitors.sync().unwrap();
    let stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    // A card without a channel behind it cannot be rebuilt.
    let ways = [
        (ChannelId([7; 32]), Damage::Card),
        (ChannelId([8; 32]), Damage::CardReported),
        (ChannelId([93; 32]), Damage::Whole),
        (channel_id(1), Damage::Reported),
        (channel_id(2), Damage::CardReported),
    ];
    let mut store: Box<dyn Store> = Box::new(stores.monitors.clone());
    for (channel_id, damage) in ways {
        store =
            Box::new(DamagedStore { inner: store, stream: Stream::Channel(channel_id), damage });
    }
    let surveyed = lastword_engine::survey(&*store).unwrap();
    let driver = Driver::start(ports_on(&world, store, None)).expect("the others are sound");
    let mut node = Node { stores, driver };
    let mut apart =
        vec![channel_id(1), ChannelId([7; 32]), ChannelId([8; 32]), ChannelId([93; 32])];
    apart.sort_unstable();
    assert_eq!(node.damaged(), apart);
    let mended: Vec<_> = node.driver.mended().iter().map(|damage| damage.stream).collect();
    assert_eq!(mended, [Some(Stream::Channel(channel_id(2)))]);
    // Whoever reads the store whole finds each of them, and the one that was mended.
    for (channel_id, damage) in ways {
        let stream = Some(Stream::Channel(channel_id));
        assert!(surveyed.damage.iter().any(|it| it.stream == stream), "{channel_id}, {damage:?}");
    }
    world.peer_closes(0);
    world.peer_closes(1);
    world.peer_claims(&paid, 0);
    node.poll();
    assert_eq!(node.tell(), [paid.sent(), paid.path_taken(0)]);
    assert_eq!(node.driver.payment(lost.id()).unwrap().state, PaymentState::Pending);
}

/// A claim is not called over while a part of it lies in a channel that is set apart, and none begins
/// there.
#[test]
fn a_received_payment_waits_for_the_part_in_a_damaged_channel() {
    for damage in [Damage::Reported, Damage::Whole] {
        let (world, mut node, parts) = claim::paid(Logs::One);
        node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
        let stores = node.stores.image(Survivors::SyncedOnly);
        drop(node);
        let mut node = start_damaged(&world, stores.image(Survivors::Everything), 0, damage);
        assert_eq!(node.tell(), [], "{damage:?}: it is not called over");
        let waits = claim::advice(&mut node);
        let payment_hash = PREIMAGE.payment_hash();
        let wait = Action::WaitForPart { payment_hash, channel_id: channel_id(0) };
        assert!(waits.contains(&wait), "{damage:?}: {waits:?}");
        drop(node);
        let mut node = Node::start(&world, stores);
        assert_eq!(node.tell(), [claim::claimed(&parts)], "{damage:?}: once it can be read");

        let (mut world, mut node, _) = claim::paid(Logs::One);
        let other = claim::part(1, 1);
        claim::offer(&mut world, &mut node, other, HtlcOrigin::Ours);
        let stores = node.stores.image(Survivors::SyncedOnly);
        drop(node);
        let mut node = start_damaged(&world, stores, 0, damage);
        let error = node.driver.claim_payment(PREIMAGE, [claim::part(0, 0), other].into());
        let error = error.expect_err("a part cannot be read");
        if let EngineError::Store(source) = &error {
            assert_eq!(source.kind, StoreErrorKind::Corrupt, "nobody had looked before");
        } else {
            assert!(matches!(error, EngineError::Damaged(id) if id == channel_id(0)), "{error}");
        }
        assert_eq!(node.damaged(), [channel_id(0)], "{damage:?}");
        assert_eq!(claim::standing(&mut node, other), (false, None), "none of it is claimed");
    }
}

/// A store that is away says nothing of a channel: the start stops, and no channel is set apart.
#[test]
fn a_store_that_cannot_be_read_now_sets_no_channel_apart() {
    let (world, node, [first, ..]) = three_payments(Logs::One);
    let stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    let inner = stores.monitors.clone();
    let away = Box::new(AwayStore { inner, stream: Stream::Channel(channel_id(0)) });
    let error = Driver::start(ports_on(&world, away, None)).expect_err("it is away");
    let EngineError::Store(source) = &error else { panic!("{error}") };
    assert_eq!(source.kind, StoreErrorKind::Retry);
    let node = Node::start(&world, stores);
    assert!(node.is_known(first.id()));
}

/// Two channels with a payment each; the bytes of channel 0 cannot be read by the node that is
/// returned.
fn one_apart(logs: Logs) -> (World, Node, Payment) {
    let (mut world, mut node) = Node::with_channels(logs, &[ANCHORS, STATIC]);
    let first = world.payment(1, &[Part(0, 50_000, 100)]);
    node.pay(&first);
    let stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    let node = start_damaged(&world, stores, 0, Damage::Whole);
    (world, node, first)
}

/// The chain goes on while a channel is set apart. Once it can be read again it is shown what it
/// missed, whatever the node had followed, and however often it started in between.
#[test]
fn a_channel_that_can_be_read_again_sees_the_blocks_that_it_missed() {
    for logs in [Logs::One, Logs::Two] {
        for reorg in [0, 3] {
            let place = format!("{logs:?}, {reorg}");
            let (mut world, mut node, first) = one_apart(logs);
            node.mine_and_poll(&world, 2);
            if reorg > 0 {
                // Also blocks that the channel had seen.
                world.chain.lock().reorg(reorg);
                node.poll();
            }
            world.peer_closes(0);
            world.peer_claims(&first, 0);
            node.mine_and_poll(&world, 3);
            assert_eq!(node.tell(), [], "{place}");
            // The tip is in the log, so that nobody looks at these blocks again for the others.
            let stores = node.stores.image(Survivors::Everything);
            drop(node);
            let mut node = start_damaged(&world, stores, 0, Damage::Whole);
            node.mine_and_poll(&world, 150);
            let mut node = node.crash(&world, Survivors::Everything);
            assert_eq!(node.damaged(), [], "{place}");
            assert_eq!(node.tell(), [], "{place}: it has not seen them yet");
            node.poll();
            assert_eq!(node.tell(), [first.sent(), first.path_taken(0)], "{place}");
            let mut node = node.crash(&world, Survivors::Everything);
            let records = node.stores.records();
            node.poll();
            assert_eq!(node.tell(), [], "{place}");
            assert_eq!(node.stores.records(), records, "{place}: once");
        }
    }
}

/// The peer steals while the channel is set apart, and is punished when it can be read again.
#[test]
fn a_theft_that_a_damaged_channel_missed_is_punished_when_it_is_back() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[ANCHORS, STATIC]);
    for n in [1, 2] {
        let payment = world.payment(n, &[Part(0, 50_000, 100)]);
        node.pay(&payment);
    }
    let held = world.channels[0].remote[1].clone();
    let revoked = world.channels[0].peers_commitment_of(&held);
    let stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    let mut node = start_damaged(&world, stores, 0, Damage::Whole);
    world.confirm(&revoked);
    node.mine_and_poll(&world, 2);
    let mut node = node.crash(&world, Survivors::Everything);
    node.poll();
    world.mine(1);
    node.poll();
    let state = node.state(0);
    let txid = revoked.compute_txid();
    let spent = state.output_spends.keys().filter(|outpoint| outpoint.txid == txid).count();
    assert!(spent >= 2, "{:?}", state.output_spends);
}

/// Wherever the process dies while the channel is shown what it missed: it sees all of it, and what
/// follows is told once.
#[test]
fn a_crash_while_a_channel_sees_what_it_missed_loses_no_block() {
    let mut points = 0;
    for survivors in [Survivors::SyncedOnly, Survivors::Prefix(1), Survivors::Everything] {
        for boundary in 1.. {
            let (mut world, mut node, first) = one_apart(Logs::One);
            world.peer_closes(0);
            world.peer_claims(&first, 0);
            node.mine_and_poll(&world, 3);
            let stores = node.stores.image(Survivors::Everything);
            drop(node);
            let is_whole = die_at(&world, &stores, boundary, |driver| {
                driver.poll_chain().unwrap();
            });
            let mut node = Node::start(&world, stores.image(survivors));
            node.poll();
            let place = format!("{survivors:?}, {boundary}");
            assert_eq!(node.tell(), [first.sent(), first.path_taken(0)], "{place}");
            points += 1;
            if is_whole {
                break;
            }
        }
    }
    assert!(points > 6, "{points}");
}
