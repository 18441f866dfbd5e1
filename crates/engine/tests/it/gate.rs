//! The gate: nothing is told before what decides it is durable, in the log where it belongs.

use std::ops::ControlFlow;

use lastword_engine::{Driver, EngineError};
use lastword_ports::{
    CardVisitor, Durable, Frame, LogId, Lsn, Snapshot, SnapshotStore, Store, StoreError, Stream,
    UpdateLog,
};
use lastword_testkit::{CrashStore, Survivors};
use lastword_types::{Event, HtlcFailure, MonitorRecord, PaymentRecord};
use lastword_wire::{decode_monitor_record, decode_payment_record};

use crate::node::{Logs, Node, Stores, ports_on};
use crate::world::{ANCHORS, Part, Payment, STATIC, World};

/// What a crash would leave of the book's records.
fn durable_book(stores: &Stores) -> Vec<PaymentRecord> {
    let records = stores.image(Survivors::SyncedOnly).records();
    let book = records.into_iter().filter(|(stream, ..)| *stream == Stream::Payments);
    book.map(|(_, _, body)| decode_payment_record(&body).unwrap()).collect()
}

fn durable_releases(stores: &Stores) -> usize {
    let records = stores.image(Survivors::SyncedOnly).records();
    let channels = records.iter().filter(|(stream, ..)| matches!(stream, Stream::Channel(_)));
    channels
        .filter(|(_, _, body)| {
            matches!(decode_monitor_record(body).unwrap(), MonitorRecord::Release(_))
        })
        .count()
}

/// Tells everything, and looks at the disks each time an event is offered.
fn tell_watched(node: &mut Node, payment: &Payment) -> Vec<Event> {
    let mut told = Vec::new();
    while let Some(event) = node.driver.next_event() {
        assert!(node.stores.is_all_durable(), "{event:?} is offered before its cause is durable");
        let is_decided = durable_book(&node.stores).iter().any(|record| {
            matches!(record, PaymentRecord::Decided { payment_id, generation, .. }
                if *payment_id == payment.id() && *generation == payment.intent.generation)
        });
        if event.key().unwrap().kind.is_terminal() {
            assert!(is_decided, "{event:?} is offered before its outcome is recorded");
            assert_eq!(durable_releases(&node.stores), 0, "a release precedes {event:?}");
        }
        node.driver.event_returned(&event, true).unwrap();
        told.push(event);
    }
    told
}

#[test]
fn an_event_is_offered_only_when_its_records_and_its_outcome_are_durable() {
    for logs in [Logs::One, Logs::Two] {
        for format in [STATIC, ANCHORS] {
            let (mut world, mut node) = Node::with_channels(logs, &[format, format]);
            let parts = [Part(0, 50_000, 12), Part(1, 60_000, 12)];
            let payment = world.payment(1, &parts);
            node.pay(&payment);
            world.peer_closes(0);
            node.fail_channel(&mut world, 1);
            node.poll();
            assert_eq!(tell_watched(&mut node, &payment), []);
            world.peer_claims(&payment, 0);
            node.poll();
            let told = tell_watched(&mut node, &payment);
            assert_eq!(told, [payment.sent(), payment.path_taken(0)], "{logs:?}, {format:?}");
            assert_eq!(durable_releases(&node.stores), 1, "the other part is open");
            node.mine_and_poll(&world, 24);
            assert_eq!(node.tell(), [], "what was sent has no failed part");
            assert_eq!(durable_releases(&node.stores), 2, "{logs:?}, {format:?}");
        }
    }
}

#[test]
fn a_failure_is_offered_only_when_all_of_its_parts_are_durably_failed() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, mut node) = Node::with_channels(logs, &[STATIC, ANCHORS]);
        let payment = world.payment(1, &[Part(0, 50_000, 12), Part(1, 60_000, 30)]);
        node.pay(&payment);
        world.peer_closes(0);
        node.fail_channel(&mut world, 1);
        let (mut told, why) = (Vec::new(), HtlcFailure::TimedOut);
        for _ in 0..50 {
            node.mine_and_poll(&world, 1);
            told.extend(tell_watched(&mut node, &payment));
        }
        let expected =
            [payment.path_failed(0, why), payment.path_failed(1, why), payment.failed(why)];
        assert_eq!(told, expected, "{logs:?}");
        assert_eq!(durable_releases(&node.stores), 2);
    }
}

/// A store whose sync proves the wrong thing.
struct Prover {
    inner: CrashStore,
    proves: Lsn,
}

impl UpdateLog for Prover {
    fn append(&mut self, batch: &[Frame<'_>]) -> Result<Lsn, StoreError> {
        self.inner.append(batch)
    }

    fn sync(&mut self) -> Result<Durable, StoreError> {
        Ok(Durable::attest(self.proves))
    }

    fn replay(
        &self,
        stream: Stream,
        after: Option<Lsn>,
        visit: &mut dyn FnMut(Lsn, &[u8]) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.inner.replay(stream, after, visit)
    }

    fn prune(&mut self, stream: Stream, upto: Lsn) -> Result<(), StoreError> {
        self.inner.prune(stream, upto)
    }
}

impl SnapshotStore for Prover {
    fn put(&mut self, stream: Stream, at: Lsn, body: &[u8]) -> Result<(), StoreError> {
        self.inner.put(stream, at, body)
    }

    fn latest(&self, stream: Stream) -> Result<Option<Snapshot>, StoreError> {
        self.inner.latest(stream)
    }

    fn cards(&self, visit: &mut CardVisitor<'_>) -> Result<(), StoreError> {
        self.inner.cards(visit)
    }
}

/// A world in which a block that decides a payment waits to be followed, and the node's disks.
fn decisive_block(logs: Logs) -> (World, Stores, Payment) {
    let (mut world, mut node) = Node::with_channels(logs, &[STATIC]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    world.peer_closes(0);
    node.poll();
    let stores = node.stores.image(Survivors::Everything);
    world.peer_claims(&payment, 0);
    (world, stores, payment)
}

/// The books' log, or a log that nobody knows, proves everything; the monitors' log proves nothing.
/// Whatever waits for the monitors stays behind the gate.
#[test]
fn a_proof_of_another_log_opens_no_gate() {
    let books = decisive_block(Logs::Two).1.books.unwrap().log_id();
    for other in [books, LogId([0x0f; 16])] {
        let (world, stores, payment) = decisive_block(Logs::Two);
        let proves = Lsn { log: other, position: u64::MAX };
        let monitors = Prover { inner: stores.monitors.clone(), proves };
        let books = Box::new(stores.books.clone().unwrap()) as Box<dyn Store>;
        let started = Driver::start(ports_on(&world, Box::new(monitors), Some(books)));
        let error = match started {
            Err(error) => error,
            Ok(mut driver) => {
                let polled = driver.poll_chain().expect_err("the gate is shut");
                assert_eq!(driver.next_event(), None);
                polled
            }
        };
        assert!(matches!(error, EngineError::NotDurable), "{error}");
        // Nothing is lost: with an honest disk it is told.
        let mut node = Node::start(&world, stores.image(Survivors::Everything));
        node.poll();
        assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
    }
}

/// A proof that does not reach far enough opens no gate either.
#[test]
fn a_proof_that_is_too_short_opens_no_gate() {
    for logs in [Logs::One, Logs::Two] {
        let (world, mut stores, _) = decisive_block(logs);
        let reached = stores.monitors.append(&[]).unwrap();
        let monitors = Prover { inner: stores.monitors.clone(), proves: reached };
        let books = stores.books.clone().map(|books| Box::new(books) as Box<dyn Store>);
        // So far it proves what is there, and a start needs no more.
        let mut driver = Driver::start(ports_on(&world, Box::new(monitors), books)).unwrap();
        let error = driver.poll_chain().expect_err("the block is not proven");
        assert!(matches!(error, EngineError::NotDurable), "{logs:?}: {error}");
        assert_eq!(driver.next_event(), None, "{logs:?}");
    }
}
