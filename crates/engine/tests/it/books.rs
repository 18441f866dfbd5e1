//! Payment books that do not belong here: of another node, from the future, damaged. Each is refused
//! by name and nothing is lost; without the book the monitors suffice.

use lastword_engine::{BookDamage, Driver, EngineError};
use lastword_ports::{
    Frame, LogId, SnapshotStore as _, StoreError, StoredCard, Stream, UpdateLog as _,
};
use lastword_testkit::{CrashStore, Survivors};
use lastword_types::{
    Card, ChannelId, Event, ForwardOrigin, Htlc, HtlcAdded, HtlcDirection, HtlcId, HtlcKey,
    HtlcOrigin, PartIndex, PaymentState, RemovalReason, UpdateStep,
};
use lastword_wire::{decode_card, encode_card};

use crate::node::{Logs, Node, Stores, ports};
use crate::world::{ANCHORS, Part, Payment, STATIC, World, channel_id};

/// A node with a payment that was sent and handled, and one that is pending.
fn two_payments(logs: Logs) -> (World, Node, [Payment; 2]) {
    let (mut world, mut node) = Node::with_channels(logs, &[STATIC, ANCHORS]);
    let payments =
        [world.payment(1, &[Part(0, 50_000, 40)]), world.payment(2, &[Part(1, 60_000, 40)])];
    for payment in &payments {
        node.pay(payment);
    }
    fulfil(&mut world, &mut node, 0, &payments[0]);
    assert_eq!(node.tell(), whole_story(&payments[0]));
    (world, node, payments)
}

fn fulfil(world: &mut World, node: &mut Node, channel: usize, payment: &Payment) {
    let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
    let updates = world.channels[channel].remove(payment.htlc_id(0), reason);
    node.driver.update(updates.to_vec()).unwrap();
}

fn whole_story(payment: &Payment) -> [Event; 2] {
    [payment.sent(), payment.path_taken(0)]
}

fn refusal(world: &World, stores: &Stores) -> EngineError {
    let written = stores.records();
    let error = Driver::start(ports(world, stores)).expect_err("the book is refused");
    assert_eq!(stores.records(), written, "nothing was written");
    error
}

/// Starts without the book, and looks that the monitors tell what is theirs to tell, then and later.
fn without_book(mut world: World, stores: Stores, [first, second]: [Payment; 2]) {
    let driver = Driver::start_without_book(ports(&world, &stores)).unwrap();
    let mut node = Node { stores, driver };
    assert_eq!(node.tell(), [], "the first was told and released, the second is open");
    assert!(!node.is_known(first.id()));
    assert_eq!(node.driver.payment(second.id()).unwrap().state, PaymentState::Pending);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), []);
    fulfil(&mut world, &mut node, 1, &second);
    assert_eq!(node.tell(), whole_story(&second));
    assert_eq!(node.crash(&world, Survivors::SyncedOnly).tell(), []);
}

#[test]
fn a_payment_book_of_another_node_is_refused_and_the_node_starts_without_it() {
    let (world, node, payments) = two_payments(Logs::Two);
    let ours = node.stores.monitors.log_id();
    let theirs = Stores { monitors: CrashStore::new(LogId([0x77; 16])), ..Stores::new(Logs::Two) };
    drop(Node::start(&World::new(), theirs.clone()));
    let mut stores = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    stores.books = theirs.books;
    let error = refusal(&world, &stores);
    let EngineError::BookOfAnotherNode { book, monitors } = error else { panic!("{error}") };
    assert_eq!((book, monitors), (LogId([0x77; 16]), ours));
    without_book(world, stores, payments);
}

/// The monitors are a copy from before the book last started: an old copy of monitors must never be
/// used, so that is said. Nothing is lost with the newest monitors.
#[test]
fn a_payment_book_that_is_newer_than_the_monitors_is_refused() {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC, ANCHORS]);
    let old = node.stores.monitors.image(Survivors::Everything);
    let end = old.clone().append(&[]).unwrap().position;
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), []);
    let newest = node.stores.image(Survivors::SyncedOnly);
    drop(node);
    let mixed = Stores { monitors: old, books: newest.books.clone() };
    let error = refusal(&world, &mixed);
    let EngineError::BookFromTheFuture { seen, end: reached } = error else { panic!("{error}") };
    assert!(reached == end && seen > end, "{seen} {end}");
    let mut node = Node::start(&world, newest);
    fulfil(&mut world, &mut node, 0, &payment);
    assert_eq!(node.tell(), whole_story(&payment));
}

/// A record that is no record, and one that does not follow: each is named with its place, in the log
/// that is the book's alone and in the one that it shares.
#[test]
fn a_damaged_payment_book_is_refused_with_the_place_and_the_node_starts_without_it() {
    for logs in [Logs::One, Logs::Two] {
        for is_bytes in [true, false] {
            let (world, mut node, payments) = two_payments(logs);
            let record =
                node.stores.records().into_iter().find(|(stream, ..)| *stream == Stream::Payments);
            let mut body = record.expect("the first intent").2;
            if is_bytes {
                body.pop();
            }
            let book = node.stores.books.as_mut().unwrap_or(&mut node.stores.monitors);
            let frame = Frame::Record { stream: Stream::Payments, body: &body };
            let at = book.append(&[frame]).unwrap().position;
            let stores = node.stores.image(Survivors::Everything);
            drop(node);
            let error = refusal(&world, &stores);
            let EngineError::DamagedBook { position, source } = error else { panic!("{error}") };
            assert_eq!(position, at, "{logs:?}");
            assert_eq!(matches!(source, BookDamage::Bytes(_)), is_bytes, "{logs:?}: {source}");
            without_book(world, stores, payments);
        }
    }
}

/// An older book, an empty one, and the same one belong here as before.
#[test]
fn a_book_of_any_age_of_this_node_is_taken() {
    let (world, node, [first, _]) = two_payments(Logs::Two);
    let oldest = node.stores.image(Survivors::Everything);
    let node = node.crash(&world, Survivors::SyncedOnly);
    let node = node.crash_to_book_of(&world, &oldest);
    let mut node = node.crash_without_book(&world);
    assert_eq!(node.tell(), []);
    let again = node.stores.records();
    let node = node.crash(&world, Survivors::SyncedOnly);
    assert!(!node.is_known(first.id()));
    assert_eq!(node.stores.records(), again, "a start without news writes no record");
}

/// Returns the card of a channel as it is stored.
fn card_of(stores: &Stores, channel_id: ChannelId) -> Card {
    let mut card = None;
    let mut visit = |visited: Result<StoredCard<'_>, StoreError>| {
        let found = visited.expect("it is sound");
        if found.stream == Stream::Channel(channel_id) {
            card = Some(decode_card(found.body).unwrap());
        }
    };
    stores.monitors.cards(&mut visit).unwrap();
    card.unwrap()
}

/// Two channels under one name: the card of one lies where the other's is. The start says so.
#[test]
fn two_channels_with_one_id_are_refused_by_name() {
    let (world, mut node, _) = two_payments(Logs::One);
    let body = encode_card(&card_of(&node.stores, channel_id(1)));
    let frame = Frame::Card { stream: Stream::Channel(channel_id(0)), body: &body };
    node.stores.monitors.append(&[frame]).unwrap();
    let stores = node.stores.image(Survivors::Everything);
    drop(node);
    let error = refusal(&world, &stores);
    let EngineError::Misplaced { named, found } = error else { panic!("{error}") };
    assert_eq!((named, found), (channel_id(0), channel_id(1)));
}

/// The records of a channel lie under the name of another that has none of its own: that one is set
/// apart, and the rest goes on.
#[test]
fn the_records_of_a_channel_under_another_name_are_set_apart() {
    let (mut world, mut node, [_, second]) = two_payments(Logs::One);
    let stranger = ChannelId([0xee; 32]);
    let records = node.stores.records();
    let is_born =
        |(stream, ..): &&(Stream, u64, Vec<u8>)| *stream == Stream::Channel(channel_id(1));
    let born = &records.iter().find(is_born).unwrap().2;
    let card = Card { channel_id: stranger, covers: 0, ..card_of(&node.stores, channel_id(1)) };
    let (stream, body) = (Stream::Channel(stranger), encode_card(&card));
    let frames = [Frame::Record { stream, body: born }, Frame::Card { stream, body: &body }];
    node.stores.monitors.append(&frames).unwrap();
    let mut node = node.crash(&world, Survivors::Everything);
    assert_eq!(node.damaged(), [stranger]);
    let error = node.driver.monitor(stranger).expect_err("it is set apart");
    assert!(matches!(error, EngineError::Damaged(id) if id == stranger), "{error}");
    fulfil(&mut world, &mut node, 1, &second);
    assert_eq!(node.tell(), whole_story(&second));
}

/// A forward whose inbound half is in a channel that nobody watches here is refused, and the next good
/// update works.
#[test]
fn an_origin_that_names_an_unknown_inbound_channel_is_refused() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    let nowhere = ChannelId([0xee; 32]);
    let inbound =
        |channel_id| HtlcKey { channel_id, direction: HtlcDirection::Received, htlc_id: HtlcId(3) };
    let mut htlc: Htlc = payment.intent.htlc(PartIndex(0)).unwrap();
    htlc.htlc_id = world.channels[1].take_htlc_id();
    let forwarded = |htlc: &Htlc, channel_id| Htlc {
        origin: HtlcOrigin::Forward(ForwardOrigin {
            inbound: inbound(channel_id),
            inbound_amount_msat: htlc.amount_msat,
            inbound_cltv_expiry: htlc.cltv_expiry.plus(40),
        }),
        ..htlc.clone()
    };
    let good = world.channels[1].add(forwarded(&htlc, channel_id(0)));
    let mut bad = good.clone();
    let [UpdateStep::RemoteCommitment(commitment)] = &mut bad.steps[..] else { panic!() };
    commitment.added = vec![HtlcAdded::New(forwarded(&htlc, nowhere))];
    let (states, written) = (node.states(&world), node.stores.records());
    let error = node.driver.update(vec![bad]).expect_err("nobody could settle the inbound half");
    let EngineError::UnknownInbound { outbound, inbound: of } = error else { panic!("{error}") };
    assert_eq!((outbound.htlc_id, of), (htlc.htlc_id, inbound(nowhere)));
    assert_eq!((node.states(&world), node.stores.records()), (states, written));
    node.driver.update(vec![good]).unwrap();
}
