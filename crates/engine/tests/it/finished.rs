//! Finished payments leave the book (rule R9): when, what is found of them, and what it costs.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lastword_engine::{Driver, EngineError};
use lastword_payments::PaymentError;
use lastword_ports::{
    CardVisitor, Durable, Frame, Lsn, Snapshot, SnapshotStore, StoreError, Stream, UpdateLog,
};
use lastword_reload::PaymentStatus;
use lastword_testkit::{CrashStore, Survivors};
use lastword_types::{
    Generation, HtlcFailure, Outcome, PaymentId, PaymentRecord, PaymentState, RemovalReason,
};
use lastword_wire::encode_payment_record;

use crate::crash::die_at;
use crate::node::{Logs, Node, ports_on};
use crate::stores::{Damage, DamagedStore};
use crate::world::{ANCHORS, Part, Payment, STATIC, World, channel_id};

const SURVIVORS: [Survivors; 3] =
    [Survivors::SyncedOnly, Survivors::Prefix(1), Survivors::Everything];

fn id_of(n: u16) -> PaymentId {
    let [high, low] = n.to_be_bytes();
    let mut id = [low; 32];
    id[0] = high;
    PaymentId(id)
}

/// Makes a payment in one channel and has it settled off chain.
fn settled(world: &mut World, node: &mut Node, n: u16, is_paid: bool) -> Payment {
    let low = n.to_be_bytes()[1];
    let payment = world.payment_of(id_of(n), low, &[Part(0, 10, 40)]);
    node.pay(&payment);
    settle(world, node, &payment, 0, is_paid);
    payment
}

fn settle(world: &mut World, node: &mut Node, payment: &Payment, part: usize, is_paid: bool) {
    let reason = if is_paid {
        RemovalReason::Fulfilled { preimage: payment.preimage }
    } else {
        RemovalReason::Failed { code: 0x400f }
    };
    let channel = world.channel_of(payment, part);
    let updates = world.channels[channel].remove(payment.htlc_id(part), reason);
    node.driver.update(updates.into()).unwrap();
}

fn past(node: &mut Node, payment_id: PaymentId) -> Vec<(Generation, Outcome)> {
    let status = node.driver.payment_status(payment_id).unwrap();
    let PaymentStatus::Past(past) = status else { panic!("{status:?}") };
    past
}

const FAILED: Outcome = Outcome::Failed { reason: HtlcFailure::Removed { code: 0x400f } };

#[test]
fn r9_a_finished_payment_leaves_the_book_and_what_it_came_to_is_found() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, mut node) = Node::with_channels(logs, &[STATIC]);
        let sent = settled(&mut world, &mut node, 1, true);
        let failed = settled(&mut world, &mut node, 2, false);
        node.driver.drop_finished().unwrap();
        assert!(node.is_known(sent.id()) && node.is_known(failed.id()), "nobody was told");
        node.tell();
        node.driver.drop_finished().unwrap();
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        assert!(!node.is_known(sent.id()) && !node.is_known(failed.id()), "{logs:?}");
        assert_eq!(past(&mut node, sent.id()), [(sent.intent.generation, sent.outcome_sent())]);
        assert_eq!(past(&mut node, failed.id()), [(failed.intent.generation, FAILED)]);
        assert_eq!(node.tell(), [], "{logs:?}");
        let records = node.stores.records();
        let node = node.crash(&world, Survivors::SyncedOnly);
        assert_eq!(node.stores.records(), records, "a start without news writes no record");
    }
}

#[test]
fn r9_a_payment_with_a_part_that_is_not_released_stays_in_the_book() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS]);
    let both = world.payment(1, &[Part(0, 10, 40), Part(1, 10, 40)]);
    node.pay(&both);
    settle(&mut world, &mut node, &both, 0, true);
    assert_eq!(node.tell(), [both.sent(), both.path_taken(0)]);
    node.driver.drop_finished().unwrap();
    assert!(node.is_known(both.id()), "its other part can still be paid");
    settle(&mut world, &mut node, &both, 1, true);
    assert_eq!(node.tell(), [both.path_taken(1)]);
    node.driver.drop_finished().unwrap();
    assert!(!node.is_known(both.id()));
    assert_eq!(past(&mut node, both.id()), [(both.intent.generation, both.outcome_sent())]);
}

/// A damaged channel may hold a part that is not released, of any payment.
#[test]
fn r9_nothing_leaves_the_book_while_a_channel_is_set_apart() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS]);
    let paid = settled(&mut world, &mut node, 1, true);
    let waiting = world.payment(9, &[Part(1, 10, 40)]);
    node.pay(&waiting);
    node.tell();
    let stores = node.stores.image(Survivors::Everything);
    drop(node);
    let stream = Stream::Channel(channel_id(1));
    let damaged = DamagedStore { inner: stores.monitors.clone(), stream, damage: Damage::Reported };
    let driver = Driver::start(ports_on(&world, Box::new(damaged), None)).unwrap();
    let mut node = Node { stores, driver };
    assert_eq!(node.damaged(), [channel_id(1)]);
    node.driver.drop_finished().unwrap();
    assert!(node.is_known(paid.id()));
    let mut node = node.crash(&world, Survivors::Everything);
    node.driver.drop_finished().unwrap();
    assert!(!node.is_known(paid.id()), "it can be read again");
}

/// The id is free; the generation that was used is not, as long as it is remembered.
#[test]
fn an_id_is_used_again_after_its_payment_was_dropped_and_a_generation_is_not() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, mut node) = Node::with_channels(logs, &[STATIC]);
        let first = settled(&mut world, &mut node, 1, true);
        node.tell();
        node.driver.drop_finished().unwrap();
        let again = world.payment_of(first.id(), 77, &[Part(0, 10, 40)]);
        node.pay(&again);
        settle(&mut world, &mut node, &again, 0, false);
        let failed = HtlcFailure::Removed { code: 0x400f };
        assert_eq!(node.tell().last(), Some(&again.failed(failed)));
        // A third takes its place before it is dropped; what it came to is written down all the same.
        let third = world.payment_of(first.id(), 78, &[Part(0, 10, 40)]);
        node.pay(&third);
        settle(&mut world, &mut node, &third, 0, true);
        node.tell();
        node.driver.drop_finished().unwrap();
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        let mut expected = [
            (first.intent.generation, first.outcome_sent()),
            (again.intent.generation, FAILED),
            (third.intent.generation, third.outcome_sent()),
        ];
        expected.sort_by_key(|(generation, _)| *generation);
        assert_eq!(past(&mut node, first.id()), expected, "{logs:?}");

        let stale = world.payment_of(first.id(), 1, &[Part(0, 10, 40)]);
        assert_eq!(stale.intent.generation, first.intent.generation);
        let records = node.stores.records();
        let error = node.refusal(&stale);
        assert!(
            matches!(error, EngineError::Payment(PaymentError::GenerationReused { .. })),
            "{error}"
        );
        assert_eq!(node.stores.records(), records, "nothing was written");
    }
}

/// Wherever the process dies: the payment is in the book or it is written down, and nothing is told.
#[test]
fn r9_a_crash_while_payments_are_dropped_loses_none_and_tells_nothing() {
    let mut points = 0;
    for logs in [Logs::One, Logs::Two] {
        for survivors in SURVIVORS {
            for boundary in 1.. {
                let (mut world, mut node) = Node::with_channels(logs, &[STATIC]);
                let sent = settled(&mut world, &mut node, 1, true);
                let failed = settled(&mut world, &mut node, 2, false);
                node.tell();
                let stores = node.stores.image(Survivors::Everything);
                drop(node);
                let is_whole =
                    die_at(&world, &stores, boundary, |driver| driver.drop_finished().unwrap());
                let mut node = Node::start(&world, stores.image(survivors));
                let place = format!("{logs:?}, {survivors:?}, {boundary}");
                assert_eq!(node.tell(), [], "{place}");
                for (payment, outcome) in [(&sent, sent.outcome_sent()), (&failed, FAILED)] {
                    match node.driver.payment_status(payment.id()).unwrap() {
                        PaymentStatus::Past(past) => {
                            assert_eq!(past, [(payment.intent.generation, outcome)], "{place}");
                        }
                        PaymentStatus::Finished { outcome: held, is_told, .. } => {
                            assert_eq!((held, is_told), (outcome, true), "{place}");
                        }
                        status @ (PaymentStatus::Unknown | PaymentStatus::Live(_)) => {
                            panic!("{place}: {status:?}")
                        }
                    }
                }
                node.driver.drop_finished().unwrap();
                assert!(!node.is_known(sent.id()) && !node.is_known(failed.id()), "{place}");
                points += 1;
                if is_whole {
                    break;
                }
            }
        }
    }
    assert!(points > 12, "{points}");
}

/// What a monitor says late of a payment that the book has forgotten, with every book that may come
/// back: nothing, because its ledger says that it was told.
#[test]
fn r9_late_news_of_a_dropped_payment_is_no_news() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, mut node) = Node::with_channels(logs, &[ANCHORS]);
        let before = node.stores.image(Survivors::Everything);
        let payment = world.payment(1, &[Part(0, 50_000, 400)]);
        node.pay(&payment);
        let pending = node.stores.image(Survivors::Everything);
        world.peer_closes(0);
        node.poll();
        world.peer_claims(&payment, 0);
        node.poll();
        assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
        node.driver.drop_finished().unwrap();
        assert!(!node.is_known(payment.id()));
        // The claim leaves the chain and comes again, and so does the closing.
        for blocks in [1, 2, 1] {
            world.chain.lock().reorg(blocks);
            node.poll();
            assert_eq!(node.tell(), [], "{logs:?}");
            node = node.crash(&world, Survivors::SyncedOnly);
            assert_eq!(node.tell(), [], "{logs:?}");
        }
        for older in [&before, &pending] {
            let left = match logs {
                Logs::One => continue,
                Logs::Two => node.stores.with_books_of(older),
            };
            let mut node = Node::start(&world, left);
            assert_eq!(node.tell(), [], "an older book adopts what its ledger says");
        }
        if logs == Logs::Two {
            let mut node = node.crash_without_book(&world);
            assert_eq!(node.tell(), []);
            assert_eq!(past(&mut node, payment.id()).len(), 1, "the ledger knows");
        }
    }
}

/// A store that counts what is read of it.
#[derive(Debug)]
struct Counting {
    inner: CrashStore,
    /// Records, snapshots and cards that were handed out.
    read: Arc<AtomicU64>,
}

impl Counting {
    fn count(&self) {
        self.read.fetch_add(1, Ordering::SeqCst);
    }
}

impl UpdateLog for Counting {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        self.inner.append(batch)
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        self.inner.sync()
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.count();
        self.inner.replay(stream, after, &mut |lsn, body| {
            self.count();
            visit(lsn, body)
        })
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        self.inner.prune(stream, upto)
    }
}

impl SnapshotStore for Counting {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.inner.put(stream, at, body)
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        self.count();
        self.inner.latest(stream)
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        self.inner.cards(&mut |card| {
            self.count();
            visit(card);
        })
    }
}

fn start_counting(world: &World, stores: &CrashStore) -> (Driver, Arc<AtomicU64>) {
    let read = Arc::new(AtomicU64::new(0));
    let store = Counting { inner: stores.clone(), read: Arc::clone(&read) };
    let driver = Driver::start(ports_on(world, Box::new(store), None)).unwrap();
    (driver, read)
}

/// Where a finished payment is written down is found by one that is dropped.
fn stream_of(node: &mut Node, payment_id: PaymentId) -> Stream {
    let generation = Generation([1; 16]);
    for part in 0..1 << 14 {
        let mut is_it = false;
        node.stores
            .monitors
            .replay(Stream::Finished(part), None, &mut |_, body| {
                let record =
                    PaymentRecord::Adopted { payment_id, generation, outcome: Outcome::Unknown };
                is_it |= body.len() <= encode_payment_record(&record).len() + 100;
                ControlFlow::Continue(())
            })
            .unwrap();
        if is_it {
            return Stream::Finished(part);
        }
    }
    panic!("it is written down")
}

/// A start reads as much with a million finished payments as with none, and finding one reads a part.
#[test]
fn a_million_finished_payments_cost_a_start_nothing_and_one_is_found_in_a_read() {
    const MILLION: u32 = 1_000_000;
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC]);
    let open = world.payment(1, &[Part(0, 10, 40)]);
    node.pay(&open);
    let found = settled(&mut world, &mut node, 500, true);
    node.tell();
    node.driver.drop_finished().unwrap();
    let written = stream_of(&mut node, found.id());
    let stores = node.stores.image(Survivors::SyncedOnly).monitors;
    drop(node);
    let (driver, read) = start_counting(&world, &stores);
    let without = read.load(Ordering::SeqCst);
    drop(driver);

    // Spread over the streams as ids are: 61 in each.
    let mut store = stores.clone();
    let mut bodies = Vec::new();
    for number in 0..MILLION {
        let mut id = [0xEE; 32];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let record = PaymentRecord::Adopted {
            payment_id: PaymentId(id),
            generation: Generation([7; 16]),
            outcome: FAILED,
        };
        bodies.push(encode_payment_record(&record));
    }
    for (chunk, bodies) in (0_u16..).zip(bodies.chunks(1_000)) {
        let place = |at: usize| {
            Stream::Finished((chunk * 16 + u16::try_from(at % 16).unwrap()) % (1 << 14))
        };
        let frames: Vec<Frame<'_>> = bodies
            .iter()
            .enumerate()
            .map(|(at, body)| Frame::Record { stream: place(at), body })
            .collect();
        store.append(&frames).unwrap();
    }
    let _proof = store.sync().unwrap();
    let (driver, read) = start_counting(&world, &store);
    assert_eq!(read.load(Ordering::SeqCst), without, "a start reads none of them");
    let mut node =
        Node { stores: crate::node::Stores { monitors: store.clone(), books: None }, driver };
    let before = read.load(Ordering::SeqCst);
    assert_eq!(past(&mut node, found.id()), [(found.intent.generation, found.outcome_sent())]);
    let mut in_part = 0;
    let count = &mut |_, _: &[u8]| {
        in_part += 1;
        ControlFlow::Continue(())
    };
    store.replay(written, None, count).unwrap();
    assert_eq!(read.load(Ordering::SeqCst) - before, 1 + in_part, "one read, of one part");
    assert!(node.is_known(open.id()));
}

/// Many payments, made one after the other: the book holds two batches of finished ones at most, and
/// a start reads no more after two thousand than after one.
#[test]
fn the_book_holds_two_batches_of_finished_payments_however_many_there_were() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC]);
    let mut reads = Vec::new();
    for n in 1..=2_048 {
        let payment = settled(&mut world, &mut node, n, n % 3 != 0);
        node.tell();
        assert!(node.driver.payment(payment.id()).is_some());
        if n % 1_024 == 0 {
            let stores = node.stores.image(Survivors::SyncedOnly);
            let (_, read) = start_counting(&world, &stores.monitors);
            reads.push(read.load(Ordering::SeqCst));
        }
    }
    let held = (1..=2_048).filter(|n| node.is_known(id_of(*n))).count();
    assert!((256..=512).contains(&held), "{held}");
    let [first, second] = reads[..] else { panic!() };
    assert!(second <= first + 64, "{reads:?}");
    for n in [1, 700, 1_500] {
        let words = past(&mut node, id_of(n));
        let [(_, outcome)] = words[..] else { panic!("{words:?}") };
        assert_eq!(outcome == FAILED, n % 3 == 0, "{n}");
    }
    let newest = node.driver.payment(id_of(2_048)).unwrap().state;
    assert!(matches!(newest, PaymentState::Handled(_)), "the newest are at hand");
}
