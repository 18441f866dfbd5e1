//! Asynchronous persistence: syncs complete late, in any order, twice or never, and what waited is
//! let out exactly when it and everything before it is durable.

use lastword_engine::{Driver, Engine, EngineError, Request, Ticket};
use lastword_ports::{Durable, LogId, Lsn, Store, StoreErrorKind, Stream, SyncJob, UpdateLog as _};
use lastword_testkit::{LateStore, LateSyncs, RecordingHandler, Survivors};
use lastword_types::{
    BookEntry, ChannelId, Event, MonitorState, MonitorUpdate, PaymentRecord, RemovalReason,
    UpdateId, Verdict,
};

use crate::node::{Logs, Node, Stores, ports_on};
use crate::stores::SwitchStore;
use crate::world::{ANCHORS, Part, Payment, STATIC, World, channel_id};

/// Numbers from a seed, for an order of things.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        usize::try_from(self.0 >> 33).unwrap() % end
    }
}

/// Two channels, a payment through each, and everything that becomes of them, request by request.
fn life(logs: Logs) -> (World, Node, [Payment; 2], Vec<Request>) {
    let (mut world, node) = Node::with_channels(logs, &[STATIC, ANCHORS]);
    let payments =
        [world.payment(1, &[Part(0, 50_000, 40)]), world.payment(2, &[Part(1, 60_000, 40)])];
    let fulfilled = RemovalReason::Fulfilled { preimage: payments[0].preimage };
    let failed = RemovalReason::Failed { code: 0x400f };
    let ends = [fulfilled, failed].into_iter().enumerate();
    let removals: Vec<[MonitorUpdate; 3]> = ends
        .map(|(index, reason)| world.channels[index].remove(payments[index].htlc_id(0), reason))
        .collect();
    let mut requests: Vec<Request> = payments.iter().map(send).collect();
    requests.extend(payments.iter().map(|payment| Request::Update(payment.answers.clone())));
    for step in 0..3 {
        requests
            .extend(removals.iter().map(|removal| Request::Update(vec![removal[step].clone()])));
    }
    (world, node, payments, requests)
}

fn send(payment: &Payment) -> Request {
    Request::Send { intent: payment.intent.clone(), updates: payment.updates.clone() }
}

fn stage(driver: &mut Driver, request: Request) -> Ticket {
    driver.stage(vec![request]).pop().unwrap().unwrap()
}

/// Begins what can be begun.
fn begin(driver: &mut Driver, jobs: &mut Vec<SyncJob>) {
    jobs.extend(driver.begin_sync().unwrap());
}

/// Runs one of the jobs.
fn complete(driver: &mut Driver, jobs: &mut Vec<SyncJob>, index: usize) {
    driver.sync_returned(jobs.remove(index).run()).unwrap();
}

/// Completes everything, the newest sync first.
fn complete_all(driver: &mut Driver) {
    let mut jobs = Vec::new();
    loop {
        begin(driver, &mut jobs);
        if jobs.is_empty() {
            return;
        }
        let last = jobs.len() - 1;
        complete(driver, &mut jobs, last);
    }
}

type End = (Vec<MonitorState>, Vec<Option<BookEntry>>, Vec<Event>);

fn end(world: &World, node: &mut Node, payments: &[Payment], mut told: Vec<Event>) -> End {
    told.extend(node.tell());
    told.sort_by_key(|event| event.key().map(|key| key.payment_id));
    let entries = payments.iter().map(|payment| node.driver.book_entry(payment.id())).collect();
    (node.states(world), entries, told)
}

/// The same with every sync awaited.
fn awaited(logs: Logs) -> End {
    let (world, mut node, payments, requests) = life(logs);
    for request in requests {
        node.driver.submit_requests(vec![request]).pop().unwrap().unwrap();
    }
    end(&world, &mut node, &payments, Vec::new())
}

/// I9: whatever completes when, with inputs and the user's handler in between, everybody ends in the
/// same state, every ticket comes once and in its order, and nothing is told before it is durable.
#[test]
fn i9_completions_in_any_order_end_in_the_same_state() {
    for logs in [Logs::One, Logs::Two] {
        let expected = awaited(logs);
        assert_eq!(expected.2.len(), 4, "two payments, two events each");
        for seed in 0..40 {
            let (world, mut node, payments, requests) = life(logs);
            let mut seeded = Seeded(seed);
            let (mut jobs, mut tickets, mut told) = (Vec::new(), Vec::new(), Vec::new());
            let mut completed = Vec::new();
            let mut requests = requests.into_iter().peekable();
            while requests.peek().is_some() || !jobs.is_empty() {
                match seeded.below(4) {
                    0 => begin(&mut node.driver, &mut jobs),
                    1 if !jobs.is_empty() => {
                        let index = seeded.below(jobs.len());
                        complete(&mut node.driver, &mut jobs, index);
                    }
                    2 => {
                        if let Some(event) = node.driver.next_event() {
                            told_durably(&node, &event, &payments);
                            node.driver.event_returned(&event, true).unwrap();
                            told.push(event);
                        }
                    }
                    _ => tickets.extend(requests.next().map(|next| stage(&mut node.driver, next))),
                }
                completed.extend(node.driver.take_completed());
                assert!(tickets.starts_with(&completed), "{logs:?}, seed {seed}");
            }
            complete_all(&mut node.driver);
            completed.extend(node.driver.take_completed());
            assert_eq!(completed, tickets, "{logs:?}, seed {seed}");
            assert_eq!(node.driver.in_flight().next(), None);
            let ended = end(&world, &mut node, &payments, told);
            assert_eq!(ended, expected, "{logs:?}, seed {seed}");
            let mut node = node.crash(&world, Survivors::SyncedOnly);
            assert_eq!(node.states(&world), expected.0, "{logs:?}, seed {seed}");
            assert_eq!(node.tell(), [], "{logs:?}, seed {seed}");
        }
    }
}

/// A last word is on the disk before it is told.
fn told_durably(node: &Node, event: &Event, payments: &[Payment]) {
    let left = node.stores.image(Survivors::SyncedOnly).records();
    let is_ours = |payment: &&Payment| event.key().unwrap().payment_id == payment.id();
    let payment = payments.iter().find(is_ours).unwrap();
    let removals = left.iter().filter(|(stream, _, body)| {
        *stream == Stream::Channel(payment.key(0).channel_id)
            && matches!(
                lastword_wire::decode_monitor_record(body).unwrap(),
                lastword_types::MonitorRecord::Update(update) if update.update_id >= UpdateId(3)
            )
    });
    assert!(removals.count() > 0, "{event:?} is told before its removal is durable");
}

#[test]
fn what_was_begun_later_is_not_let_out_with_what_was_begun_before() {
    let (_world, mut node, payments, mut requests) = life(Logs::One);
    let rest = requests.split_off(4);
    for request in requests {
        stage(&mut node.driver, request);
    }
    let mut early = Vec::new();
    begin(&mut node.driver, &mut early);
    let fulfilled = stage(&mut node.driver, rest[0].clone());
    let later = (channel_id(0), UpdateId(3));
    while !early.is_empty() {
        complete(&mut node.driver, &mut early, 0);
    }
    assert_eq!(node.driver.take_completed().len(), 4);
    assert_eq!(node.driver.in_flight().collect::<Vec<_>>(), [later]);
    assert!(!node.driver.is_durable(later.0, later.1).unwrap());
    assert!(node.driver.is_durable(later.0, UpdateId(2)).unwrap());
    assert_eq!(node.driver.next_event(), None, "the fulfilment is not durable");
    complete_all(&mut node.driver);
    assert_eq!(node.driver.take_completed(), [fulfilled]);
    assert!(node.driver.is_durable(later.0, later.1).unwrap());
    assert_eq!(node.driver.next_event(), Some(payments[0].sent()));
}

#[test]
fn a_proof_that_comes_twice_or_too_late_changes_nothing() {
    let (world, mut node, _, requests) = life(Logs::Two);
    let mut jobs = Vec::new();
    for request in requests.into_iter().take(4) {
        stage(&mut node.driver, request);
        begin(&mut node.driver, &mut jobs);
    }
    let proofs: Vec<Durable> = jobs.into_iter().map(|job| job.run().unwrap()).collect();
    for proof in proofs.iter().rev() {
        node.driver.sync_returned(Ok(*proof)).unwrap();
    }
    assert_eq!(node.driver.take_completed().len(), 4);
    let (states, written) = (node.states(&world), node.stores.records());
    for proof in proofs.iter().chain(&proofs) {
        node.driver.sync_returned(Ok(*proof)).unwrap();
    }
    assert_eq!(node.driver.take_completed(), []);
    assert_eq!((node.states(&world), node.stores.records()), (states, written));
}

#[test]
fn a_completion_of_what_nobody_knows_is_refused_by_name() {
    let (_world, mut node, _, requests) = life(Logs::One);
    stage(&mut node.driver, requests[0].clone());
    let strange = Lsn { log: LogId([0x0f; 16]), position: 1 };
    let error = node.driver.sync_returned(Ok(Durable::attest(strange))).unwrap_err();
    assert!(matches!(error, EngineError::UnknownLog(log) if log == strange.log), "{error}");

    let log = node.stores.monitors.log_id();
    let ahead = Lsn { log, position: u64::MAX };
    let error = node.driver.sync_returned(Ok(Durable::attest(ahead))).unwrap_err();
    let EngineError::ProvenAhead { proven, .. } = error else { panic!("{error}") };
    assert_eq!(proven, ahead);
    assert_eq!(node.driver.in_flight().collect::<Vec<_>>(), [(channel_id(0), UpdateId(1))]);

    let nowhere = ChannelId([9; 32]);
    let error = node.driver.is_durable(nowhere, UpdateId(1)).unwrap_err();
    assert!(matches!(error, EngineError::UnknownChannel(id) if id == nowhere), "{error}");
    let error = node.driver.is_durable(channel_id(0), UpdateId(2)).unwrap_err();
    let EngineError::UnknownUpdate { latest, .. } = error else { panic!("{error}") };
    assert_eq!(latest, UpdateId(1));
    complete_all(&mut node.driver);
    assert_eq!(node.driver.take_completed().len(), 1, "the next good proof works");
}

/// A disk that never answers: nothing is told and nothing completes, and what waits is bounded. A
/// call that has to know waits for the disk itself.
#[test]
fn without_a_completion_nothing_is_let_out_and_what_waits_is_bounded() {
    let (world, mut node, payments, requests) = life(Logs::One);
    for request in requests {
        stage(&mut node.driver, request);
        drop(node.driver.begin_sync().unwrap());
    }
    assert_eq!(node.driver.next_event(), None);
    assert!(node.driver.take_completed().is_empty() && !node.driver.is_idle());
    assert_eq!(node.driver.in_flight().count(), 10);
    let mut refused = 0;
    for update_id in 6.. {
        let steps = Vec::new();
        let update =
            MonitorUpdate { channel_id: channel_id(0), update_id: UpdateId(update_id), steps };
        match node.driver.stage(vec![Request::Update(vec![update])]).pop().unwrap() {
            Ok(_) => assert!(update_id < 20_000, "it is bounded"),
            Err(EngineError::InFlightFull) => {
                refused += 1;
                if refused == 3 {
                    break;
                }
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(node.driver.next_event(), None);
    let mut left = Node::start(&world, node.stores.image(Survivors::SyncedOnly));
    assert!(!left.is_known(payments[0].id()) && left.tell().is_empty(), "no part of it left");

    node.driver.finish().unwrap();
    assert_eq!(node.driver.in_flight().next(), None);
    assert_eq!(node.driver.next_event(), Some(payments[0].sent()));
}

/// A crash takes the last requests and none before them: each image is a state that the node was in,
/// and every payment of it has one end.
#[test]
fn a_crash_with_syncs_in_flight_leaves_a_prefix_of_the_requests() {
    let (world, mut node, payments, requests) = life(Logs::One);
    let mut states = vec![node.states(&world)];
    let mut jobs = Vec::new();
    for (index, request) in requests.into_iter().enumerate() {
        stage(&mut node.driver, request);
        begin(&mut node.driver, &mut jobs);
        states.push(node.states(&world));
        if index == 2 {
            complete(&mut node.driver, &mut jobs, 1);
        }
    }
    let images = 0..=node.stores.monitors.unsynced_batches();
    let mut seen = 0;
    for survivors in images.map(Survivors::Prefix).chain([Survivors::SyncedOnly]) {
        let mut left = Node::start(&world, node.stores.image(survivors));
        let told = left.tell();
        let ids: Vec<_> = payments.iter().map(Payment::id).collect();
        let known: Vec<bool> = ids.iter().map(|id| left.is_known(*id)).collect();
        assert!(known[0] && known[1], "their syncs completed");
        let terminal = told.iter().filter(|event| event.key().unwrap().kind.is_terminal());
        let delivered = (0..2).filter(|index| left.is_released(&payments[*index])).count();
        assert_eq!(terminal.count(), delivered, "{survivors:?}: {told:?}");
        if told.is_empty() {
            assert!(states.contains(&left.states(&world)), "{survivors:?}");
            seen += 1;
        }
    }
    assert!(seen >= 3, "the images differ");
}

/// With two logs each completes by itself. What both caused waits for both, in either order.
#[test]
fn two_logs_complete_in_either_order_and_what_both_caused_waits_for_both() {
    for books_first in [true, false] {
        let (_world, mut node, payments, requests) = life(Logs::Two);
        let (last, before) = requests.split_last().unwrap();
        for request in before {
            stage(&mut node.driver, request.clone());
            complete_all(&mut node.driver);
        }
        assert_eq!(node.driver.take_completed().len(), 9);
        assert_eq!(node.driver.next_event(), Some(payments[0].sent()));
        stage(&mut node.driver, last.clone());
        let mut jobs = Vec::new();
        begin(&mut node.driver, &mut jobs);
        assert_eq!(jobs.len(), 1, "only the monitors' log has news");
        complete(&mut node.driver, &mut jobs, 0);
        // The plan has recorded that the payment failed, and it is told when that is durable.
        assert_eq!(node.driver.take_completed().len(), 1);
        assert_eq!(node.driver.next_event(), None);
        // A request for the monitors' log comes in between.
        let update_id = UpdateId(6);
        let update = MonitorUpdate { channel_id: channel_id(0), update_id, steps: Vec::new() };
        stage(&mut node.driver, Request::Update(vec![update]));
        begin(&mut node.driver, &mut jobs);
        assert_eq!(jobs.len(), 2, "books, then monitors");
        complete(&mut node.driver, &mut jobs, usize::from(!books_first));
        // The outcome is in the books' log alone, and it waits for nothing else.
        assert_eq!(node.driver.next_event().is_some(), books_first);
        assert_eq!(node.driver.take_completed(), []);
        complete(&mut node.driver, &mut jobs, 0);
        assert_eq!(node.driver.take_completed().len(), 1);
        assert!(books_first || node.driver.next_event().is_some());
    }
}

/// A sync that fails late poisons: nothing that is in flight ever completes, also if a proof comes
/// afterwards, and the next start goes on from what is really there.
#[test]
fn a_sync_that_fails_late_poisons_and_no_later_proof_opens_anything() {
    let (world, node, payments, requests) = life(Logs::One);
    let stores =
        Stores { monitors: node.stores.monitors.image(Survivors::Everything), books: None };
    let (store, switch) = SwitchStore::new(stores.monitors.clone());
    let mut driver =
        Driver::start(ports_on(&world, Box::new(store) as Box<dyn Store>, None)).unwrap();
    drop(node);
    for request in requests {
        stage(&mut driver, request);
    }
    switch.fail_next_sync();
    let error = driver.begin_sync().unwrap_err();
    assert!(matches!(&error, EngineError::Store(error) if error.kind == StoreErrorKind::Poisoned));
    let end = Lsn { log: stores.monitors.log_id(), position: 3 };
    let error = driver.sync_returned(Ok(Durable::attest(end))).unwrap_err();
    assert!(matches!(&error, EngineError::Store(error) if error.kind == StoreErrorKind::Poisoned));
    assert!(driver.is_poisoned() && driver.next_event().is_none());
    assert_eq!(driver.take_completed(), []);
    assert!(driver.payment_status(payments[0].id()).is_err(), "nobody knows what is durable");
    driver.poll_chain().expect_err("nothing can be written");
    let mut node = Node::start(&world, stores.image(Survivors::Everything));
    assert_eq!(node.tell().len(), 4);
}

/// We decide to close a channel, and behind that, in flight, the peer signs our next commitment. When
/// the decision is durable and the disk goes away, that commitment is not broadcast.
#[test]
fn a_commitment_is_not_broadcast_before_it_is_durable() {
    for goes_away in [true, false] {
        let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC]);
        let payment = world.payment(1, &[Part(0, 50_000, 40)]);
        node.pay(&payment);
        let (store, switch) = SwitchStore::new(node.stores.monitors.image(Survivors::Everything));
        let late = store.inner.clone();
        drop(node);
        let mut driver =
            Driver::start(ports_on(&world, Box::new(store) as Box<dyn Store>, None)).unwrap();
        let decision = world.channels[0].fail();
        let fulfilled = RemovalReason::Fulfilled { preimage: payment.preimage };
        let [signed, ..] = world.channels[0].remove(payment.htlc_id(0), fulfilled);
        stage(&mut driver, Request::Update(vec![decision]));
        let decided = late.clone().begin_sync().unwrap();
        stage(&mut driver, Request::Update(vec![signed]));
        driver.sync_returned(decided.run()).unwrap();
        assert_eq!(driver.in_flight().count(), 1);

        let funding = world.channels[0].ours.funding_outpoint;
        if goes_away {
            switch.fail_next_sync();
            driver.poll_chain().expect_err("the disk went away");
            assert!(world.chain.lock().mempool_spender(funding).is_none(), "it is not durable");
        } else {
            driver.poll_chain().unwrap();
            assert!(world.chain.lock().mempool_spender(funding).is_some());
        }
    }
}

/// A plan sees a fulfilment that is in flight. With two logs the outcome is not recorded before the
/// fulfilment is durable, for the books' log may survive where the monitors' does not.
#[test]
fn with_two_logs_no_outcome_is_recorded_before_what_it_rests_on() {
    let (world, mut node, payments, requests) = life(Logs::Two);
    for request in &requests[..4] {
        stage(&mut node.driver, request.clone());
    }
    let mut jobs = Vec::new();
    begin(&mut node.driver, &mut jobs);
    stage(&mut node.driver, requests[4].clone());
    while !jobs.is_empty() {
        complete(&mut node.driver, &mut jobs, 0);
    }
    let later = (channel_id(0), UpdateId(3));
    let is_durable = node.driver.is_durable(later.0, later.1).unwrap();
    let written = node.stores.records();
    let is_decided = |body: &[u8]| {
        matches!(lastword_wire::decode_payment_record(body).unwrap(),
            PaymentRecord::Decided { payment_id, .. } if payment_id == payments[0].id())
    };
    let mut book = written.iter().filter(|(stream, ..)| *stream == Stream::Payments);
    assert!(is_durable || !book.any(|(_, _, body)| is_decided(body)));

    let monitors = node.stores.monitors.image(Survivors::SyncedOnly);
    let books = node.stores.books.as_ref().map(|books| books.image(Survivors::Everything));
    let mut left = Node::start(&world, Stores { monitors, books });
    let is_fulfilled = matches!(left.verdict(&payments[0], 0), Verdict::Fulfilled { .. });
    assert_eq!(left.tell().contains(&payments[0].sent()), is_fulfilled);
}

/// Waits until so many syncs wait for a word.
async fn held(syncs: &LateSyncs, count: usize) -> Vec<usize> {
    loop {
        let waiting = syncs.waiting();
        if waiting.len() >= count {
            return waiting;
        }
        tokio::task::yield_now().await;
    }
}

/// While the disk is busy an engine takes requests in, answers those that it refuses at once, and
/// the others when the sync that has them completes.
#[tokio::test]
async fn an_engine_takes_requests_in_while_a_sync_runs() {
    let (world, node, payments, _) = life(Logs::One);
    let (store, syncs) = LateStore::new(node.stores.monitors.image(Survivors::Everything));
    drop(node);
    let ports = ports_on(&world, Box::new(store), None);
    let engine = Engine::start(ports, Box::new(RecordingHandler::new())).await.unwrap();
    let pay = |payment: &Payment| {
        let (engine, payment) = (engine.clone(), payment.clone());
        tokio::spawn(async move { engine.send_payment(payment.intent, payment.updates).await })
    };

    let first = pay(&payments[0]);
    assert_eq!(held(&syncs, 1).await, [0]);
    let busy = pay(&payments[0]).await.unwrap().unwrap_err();
    assert!(
        matches!(busy, EngineError::PaymentIdBusy(_)),
        "refused while the disk is busy: {busy}"
    );
    let second = pay(&payments[1]);
    let nowhere =
        MonitorUpdate { channel_id: ChannelId([9; 32]), update_id: UpdateId(1), steps: Vec::new() };
    // It is answered behind the second payment, so that one has been taken in.
    engine.update(vec![nowhere]).await.unwrap_err();
    assert!(!first.is_finished() && !second.is_finished());
    assert_eq!(syncs.waiting(), [0], "one sync at a time");

    syncs.complete(0);
    first.await.unwrap().unwrap();
    assert_eq!(held(&syncs, 1).await, [1]);
    assert!(!second.is_finished());
    syncs.complete(1);
    second.await.unwrap().unwrap();
}

/// A sync that fails on its thread fails for everybody who waits for one.
#[tokio::test]
async fn an_engine_says_to_everybody_in_flight_that_the_sync_failed() {
    let (world, node, payments, _) = life(Logs::One);
    let (store, syncs) = LateStore::new(node.stores.monitors.image(Survivors::Everything));
    drop(node);
    let ports = ports_on(&world, Box::new(store), None);
    let engine = Engine::start(ports, Box::new(RecordingHandler::new())).await.unwrap();
    let mut callers = Vec::new();
    for payment in &payments {
        let (engine, payment) = (engine.clone(), payment.clone());
        callers.push(tokio::spawn(async move {
            engine.send_payment(payment.intent, payment.updates).await
        }));
        held(&syncs, 1).await;
    }
    syncs.fail(0, StoreErrorKind::Poisoned);
    for caller in callers {
        let error = caller.await.unwrap().unwrap_err();
        assert!(
            matches!(&error, EngineError::Store(error) if error.kind == StoreErrorKind::Poisoned),
            "{error}"
        );
    }
    assert!(engine.call(|driver| driver.is_poisoned()).await.unwrap());
}

/// A call that may ask for anything sees only what is durable.
#[tokio::test]
async fn a_call_of_an_engine_waits_for_what_is_in_flight() {
    let (world, node, payments, _) = life(Logs::One);
    let disk = node.stores.monitors.image(Survivors::Everything);
    let (store, syncs) = LateStore::new(disk.clone());
    drop(node);
    let ports = ports_on(&world, Box::new(store), None);
    let engine = Engine::start(ports, Box::new(RecordingHandler::new())).await.unwrap();
    let caller = tokio::spawn({
        let (engine, payment) = (engine.clone(), payments[0].clone());
        async move { engine.send_payment(payment.intent, payment.updates).await }
    });
    held(&syncs, 1).await;
    assert!(disk.unsynced_batches() > 0);
    let in_flight = engine.call(|driver| driver.in_flight().count()).await.unwrap();
    assert_eq!((in_flight, disk.unsynced_batches()), (0, 0));
    caller.await.unwrap().unwrap();
    // The sync that everybody has overtaken comes back too late, and is no mistake.
    syncs.open();
    engine.when_idle().await.unwrap();
    assert!(!engine.call(|driver| driver.is_poisoned()).await.unwrap());
}
