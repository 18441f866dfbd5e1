//! The engine on tokio: a driver on one thread, the user's handler on others.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lastword_engine::{Engine, EngineError};
use lastword_ports::{EventHandler, HandlerError, Stream};
use lastword_testkit::{RecordingHandler, Survivors};
use lastword_types::{Cursor, Event, PaymentId, PaymentState, RemovalReason};
use tokio::time::timeout;

use crate::node::{Logs, Node, Stores, ports, ports_on};
use crate::stores::{Damage, DamagedStore, SwitchStore};
use crate::world::{ANCHORS, Part, Payment, STATIC, World, channel_id};

/// What no call of a test should take.
const LONG: Duration = Duration::from_secs(20);

/// A world with two channels that a node watches, and its disks.
fn world(logs: Logs) -> (World, Stores) {
    let (world, node) = Node::with_channels(logs, &[STATIC, ANCHORS]);
    let stores = node.stores.image(Survivors::Everything);
    (world, stores)
}

async fn pay(engine: &Engine, payment: &Payment) {
    engine.send_payment(payment.intent.clone(), payment.updates.clone()).await.unwrap();
    engine.update(payment.answers.clone()).await.unwrap();
}

async fn settle(world: &mut World, engine: &Engine, payment: &Payment) {
    let channel = usize::from(payment.intent.parts[0].channel_id == channel_id(1));
    let reason = RemovalReason::Fulfilled { preimage: payment.preimage };
    let removal = world.channels[channel].remove(payment.htlc_id(0), reason);
    engine.update(removal.to_vec()).await.unwrap();
}

async fn idle(engine: &Engine) {
    timeout(LONG, engine.when_idle()).await.expect("it comes to rest").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_tells_its_handler_and_comes_to_rest() {
    for logs in [Logs::One, Logs::Two] {
        let (mut world, stores) = world(logs);
        let user = RecordingHandler::new();
        let engine = Engine::start(ports(&world, &stores), Box::new(user.clone())).await.unwrap();
        let payment = world.payment(1, &[Part(0, 50_000, 40)]);
        pay(&engine, &payment).await;
        world.peer_closes(0);
        world.peer_claims(&payment, 0);
        let tip = engine.poll_chain().await.unwrap();
        assert_eq!(tip.height.0, world.height());
        idle(&engine).await;
        assert_eq!(user.handled(), [payment.sent(), payment.path_taken(0)], "{logs:?}");
        let entry = engine.payment(payment.id()).await.unwrap().unwrap();
        assert_eq!(entry.state, PaymentState::Handled(payment.outcome_sent()));
        let state = engine.monitor_state(channel_id(0)).await.unwrap();
        assert!(state.htlcs.values().all(|htlc| htlc.delivered.is_some()), "{logs:?}");
        // Another engine on what the first left durable has nothing to tell.
        drop(engine);
        let again = RecordingHandler::new();
        let left = stores.image(Survivors::SyncedOnly);
        let engine = Engine::start(ports(&world, &left), Box::new(again.clone())).await.unwrap();
        idle(&engine).await;
        assert_eq!(again.told(), []);
    }
}

/// A handler that waits, for each event, until the test lets it go on.
struct Slow {
    begun: Sender<Event>,
    go_on: Arc<Mutex<Receiver<()>>>,
}

impl EventHandler for Slow {
    fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.begun.send(event.clone()).map_err(|_| HandlerError(None))?;
        self.go_on.lock().unwrap().recv().map_err(|_| HandlerError(None))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_handler_blocks_neither_updates_nor_blocks_nor_payments() {
    let (mut world, stores) = world(Logs::Two);
    let (begun, events) = channel();
    let (let_go, go_on) = channel();
    let slow = Slow { begun, go_on: Arc::new(Mutex::new(go_on)) };
    let engine = Engine::start(ports(&world, &stores), Box::new(slow)).await.unwrap();
    let first = world.payment(1, &[Part(0, 50_000, 40)]);
    pay(&engine, &first).await;
    settle(&mut world, &engine, &first).await;
    let event = events.recv_timeout(LONG).unwrap();
    assert_eq!(event, first.sent());
    // The handler holds the first event; everything else goes on.
    let second = world.payment(2, &[Part(1, 50_000, 40)]);
    timeout(LONG, pay(&engine, &second)).await.expect("another channel is not blocked");
    timeout(LONG, settle(&mut world, &engine, &second)).await.expect("nor is its settlement");
    world.mine(2);
    timeout(LONG, engine.poll_chain()).await.expect("nor is the chain").unwrap();
    let entry = engine.payment(second.id()).await.unwrap().unwrap();
    assert_eq!(entry.state, PaymentState::Decided(second.outcome_sent()));
    let waiting = timeout(Duration::from_millis(50), engine.when_idle()).await;
    assert!(waiting.is_err(), "a handler that runs is not rest");
    for _ in 0..4 {
        let_go.send(()).unwrap();
    }
    idle(&engine).await;
    let rest: Vec<Event> = events.try_iter().collect();
    let mut of_first: Vec<&Event> =
        rest.iter().filter(|event| event.key().unwrap().payment_id == first.id()).collect();
    assert_eq!(of_first.pop(), Some(&first.path_taken(0)));
    assert_eq!(of_first, [] as [&Event; 0], "the event that was held is told once");
    assert_eq!(rest.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_handler_delays_only_the_payment_of_its_event() {
    let (mut world, stores) = world(Logs::One);
    let user = RecordingHandler::new();
    let engine = Engine::start(ports(&world, &stores), Box::new(user.clone())).await.unwrap();
    let first = world.payment(1, &[Part(0, 50_000, 40)]);
    let second = world.payment(2, &[Part(1, 50_000, 40)]);
    pay(&engine, &first).await;
    pay(&engine, &second).await;
    user.fail_next(1);
    settle(&mut world, &engine, &first).await;
    settle(&mut world, &engine, &second).await;
    idle(&engine).await;
    let expected = [second.sent(), second.path_taken(0), first.sent(), first.path_taken(0)];
    assert_eq!(user.handled(), expected);
    let told = user.told();
    assert_eq!(told.len(), 5, "one of them twice: {told:?}");
    assert_eq!(told.iter().filter(|event| **event == first.sent()).count(), 2, "identically");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_handled_while_the_store_is_full_is_recorded_later_and_told_once() {
    let (mut world, stores) = world(Logs::One);
    let (store, switch) = SwitchStore::new(stores.monitors.clone());
    let user = RecordingHandler::new();
    let ports = ports_on(&world, Box::new(store), None);
    let (begun, events) = channel();
    let (let_go, go_on) = channel();
    let slow = Slow { begun, go_on: Arc::new(Mutex::new(go_on)) };
    let engine = Engine::start(ports, Box::new(slow)).await.unwrap();
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    pay(&engine, &payment).await;
    settle(&mut world, &engine, &payment).await;
    assert_eq!(events.recv_timeout(LONG).unwrap(), payment.sent());
    switch.set_full(true);
    let_go.send(()).unwrap();
    // The record fails at least once before there is room again.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let entry = engine.payment(payment.id()).await.unwrap().unwrap();
    assert_eq!(entry.state, PaymentState::Decided(payment.outcome_sent()));
    switch.set_full(false);
    let_go.send(()).unwrap();
    idle(&engine).await;
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [payment.path_taken(0)]);
    drop(engine);
    let left = stores.image(Survivors::SyncedOnly);
    let engine =
        Engine::start(crate::node::ports(&world, &left), Box::new(user.clone())).await.unwrap();
    idle(&engine).await;
    assert_eq!(user.told(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_ends_with_its_last_handle_and_says_that_it_stopped() {
    /// Says when it is dropped, which is when the handler's thread ends.
    struct Witness(Option<Sender<()>>);
    impl Drop for Witness {
        fn drop(&mut self) {
            if let Some(gone) = self.0.take() {
                // The test may have ended already.
                gone.send(()).unwrap_or(());
            }
        }
    }
    impl EventHandler for Witness {
        fn handle(&self, _event: &Event) -> Result<(), HandlerError> {
            Ok(())
        }
    }
    let (world, stores) = world(Logs::One);
    let (gone, is_gone) = channel();
    let handler = Box::new(Witness(Some(gone)));
    let engine = Engine::start(ports(&world, &stores), handler).await.unwrap();
    let other = engine.clone();
    drop(engine);
    other.poll_chain().await.unwrap();
    assert!(is_gone.try_recv().is_err(), "a handle is left");
    drop(other);
    is_gone.recv_timeout(LONG).expect("both threads end");
}

/// A defect in a call ends the driver's thread; whoever holds a handle is told so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_after_the_stop_says_that_the_engine_stopped() {
    let (world, stores) = world(Logs::One);
    let user = Box::new(RecordingHandler::new());
    let engine = Engine::start(ports(&world, &stores), user).await.unwrap();
    let panicked = engine
        .call(|_| {
            std::panic::resume_unwind(Box::new("a defect"));
        })
        .await;
    let panicked: Result<(), EngineError> = panicked;
    assert!(matches!(panicked, Err(EngineError::Stopped)));
    let calls = [
        engine.poll_chain().await.err(),
        engine.update(Vec::new()).await.err(),
        engine.when_idle().await.err(),
        timeout(LONG, engine.follow_chain(Duration::from_millis(1))).await.unwrap().err(),
    ];
    for error in calls {
        assert!(matches!(error, Some(EngineError::Stopped)), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_on_a_damaged_store_does_not_start_and_says_why() {
    let (mut world, stores) = world(Logs::One);
    let mut node = Node::start(&world, stores);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    let inner = node.stores.monitors.image(Survivors::SyncedOnly);
    let damaged = DamagedStore { inner, stream: Stream::Chain, damage: Damage::Card };
    let user = RecordingHandler::new();
    let started = Engine::start(ports_on(&world, Box::new(damaged), None), Box::new(user)).await;
    let error = started.expect_err("the tip is damaged");
    assert!(matches!(error, EngineError::Bytes { what: "a card", .. }), "{error}");
}

/// A handler to which one payment is deadly, and another one a trap.
struct Treacherous {
    deadly: PaymentId,
    trap: PaymentId,
    deaths: AtomicUsize,
    user: RecordingHandler,
}

impl EventHandler for Treacherous {
    fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let payment_id = event.key().map(|key| key.payment_id);
        if payment_id == Some(self.deadly) && self.deaths.fetch_add(1, Ordering::SeqCst) < 2 {
            std::panic::resume_unwind(Box::new("a defect of the user"));
        }
        if payment_id == Some(self.trap) {
            loop {
                std::thread::park();
            }
        }
        self.user.handle(event)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_panics_or_never_returns_delays_only_the_payment_of_its_event() {
    let (mut world, stores) = world(Logs::One);
    let payments: Vec<Payment> =
        (1..4).map(|n| world.payment(n, &[Part(usize::from(n % 2), 50_000, 40)])).collect();
    let user = RecordingHandler::new();
    let handler = Treacherous {
        deadly: payments[0].id(),
        trap: payments[1].id(),
        deaths: AtomicUsize::new(0),
        user: user.clone(),
    };
    let engine = Engine::start(ports(&world, &stores), Box::new(handler)).await.unwrap();
    for payment in &payments {
        pay(&engine, payment).await;
    }
    for payment in [&payments[1], &payments[0], &payments[2]] {
        settle(&mut world, &engine, payment).await;
    }
    let expected =
        [&payments[0], &payments[2]].map(|payment| [payment.sent(), payment.path_taken(0)]);
    let is_all_told = || {
        let heard = user.handled();
        expected.iter().all(|events| events.iter().all(|event| heard.contains(event)))
    };
    let begun = Instant::now();
    while !is_all_told() {
        assert!(begun.elapsed() < LONG, "told: {:?}", user.handled());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(user.handled().len(), 4, "each once, and nothing of what is trapped");
    timeout(LONG, engine.poll_chain()).await.expect("nothing else stops").unwrap();
    // The next start tells what was trapped, and only that.
    drop(engine);
    let again = RecordingHandler::new();
    let left = stores.image(Survivors::SyncedOnly);
    let engine = Engine::start(ports(&world, &left), Box::new(again.clone())).await.unwrap();
    idle(&engine).await;
    assert_eq!(again.told(), [payments[1].sent(), payments[1].path_taken(0)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_acknowledges_what_it_read_and_nothing_else() {
    let (mut world, stores) = world(Logs::Two);
    let engine = Engine::start_reading(ports(&world, &stores)).await.unwrap();
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    pay(&engine, &payment).await;
    settle(&mut world, &engine, &payment).await;
    let read = engine.read_after(None, 10).await.unwrap();
    let [(cursor, event)] = &read[..] else { panic!("one event at a time: {read:?}") };
    assert_eq!(*event, payment.sent());
    let ahead = Cursor { position: cursor.position + 1, ..*cursor };
    let other = Cursor { epoch: cursor.epoch.wrapping_add(1), ..*cursor };
    for wrong in [ahead, other] {
        let refused = engine.acknowledge(wrong).await;
        assert!(matches!(refused, Err(EngineError::Cursor(_))), "{refused:?}");
    }
    let never = payment.path_taken(0);
    let refused = engine.call(move |driver| driver.event_returned(&never, true)).await.unwrap();
    assert!(matches!(refused, Err(EngineError::NeverTold(Some(_)))), "{refused:?}");
    engine.acknowledge(*cursor).await.unwrap();
    engine.acknowledge(*cursor).await.unwrap();
    // A crash: the same reader comes with its cursor, and reads what it has not acknowledged.
    drop(engine);
    let left = stores.image(Survivors::SyncedOnly);
    let engine = Engine::start_reading(ports(&world, &left)).await.unwrap();
    let read = engine.read_after(Some(*cursor), 10).await.unwrap();
    let [(next, event)] = &read[..] else { panic!("what is left: {read:?}") };
    assert_eq!(*event, payment.path_taken(0));
    assert_ne!(next.epoch, cursor.epoch, "each start is an epoch of its own");
    engine.acknowledge(*next).await.unwrap();
    assert_eq!(engine.read_after(Some(*next), 10).await.unwrap(), []);
    idle(&engine).await;
}
