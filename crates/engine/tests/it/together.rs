//! Callers that come at the same time share a sync, and nothing else.

use lastword_engine::{Driver, Engine, EngineError, Request};
use lastword_monitor::MonitorError;
use lastword_ports::{Store, StoreErrorKind};
use lastword_testkit::{RecordingHandler, Survivors};
use lastword_types::{ChannelId, MonitorUpdate, PaymentState, UpdateId};

use crate::node::{Logs, Node, Stores, ports, ports_on};
use crate::stores::SwitchStore;
use crate::world::{ANCHORS, Part, Payment, STATIC, World, channel_id};

fn syncs(stores: &Stores) -> u64 {
    stores.monitors.writes().syncs
}

fn send(payment: &Payment) -> Request {
    Request::Send { intent: payment.intent.clone(), updates: payment.updates.clone() }
}

fn nothing(channel: ChannelId, update_id: u64) -> Request {
    let update =
        MonitorUpdate { channel_id: channel, update_id: UpdateId(update_id), steps: Vec::new() };
    Request::Update(vec![update])
}

/// Two channels, a node, and a payment through each.
fn two_payments() -> (World, Node, [Payment; 2]) {
    let (mut world, node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS]);
    let payments =
        [world.payment(1, &[Part(0, 50_000, 40)]), world.payment(2, &[Part(1, 60_000, 40)])];
    (world, node, payments)
}

#[test]
fn requests_together_are_one_sync_and_leave_what_they_would_leave_one_by_one() {
    let (world, mut node, payments) = two_payments();
    let mut single = Node::start(&world, node.stores.image(Survivors::Everything));
    let before = syncs(&single.stores);
    for payment in &payments {
        single.pay(payment);
    }
    assert_eq!(syncs(&single.stores) - before, 4, "a single caller pays one sync for each call");

    let before = syncs(&node.stores);
    let answers = payments.iter().map(|payment| Request::Update(payment.answers.clone()));
    let requests = payments.iter().map(send).chain(answers).collect();
    for result in node.driver.submit_requests(requests) {
        result.unwrap();
    }
    assert_eq!(syncs(&node.stores) - before, 1);
    assert!(node.stores.is_all_durable());
    assert_eq!(node.states(&world), single.states(&world));
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.states(&world), single.states(&world));
}

#[test]
fn a_refused_request_takes_nothing_from_the_others() {
    let (world, mut node, payments) = two_payments();
    let nowhere = ChannelId([9; 32]);
    let without_updates = Request::Send { intent: payments[1].intent.clone(), updates: Vec::new() };
    let results = node.driver.submit_requests(vec![
        nothing(channel_id(0), 7),
        send(&payments[0]),
        send(&payments[0]),
        nothing(nowhere, 1),
        without_updates,
        send(&payments[1]),
        Request::Update(payments[0].answers.clone()),
    ]);
    let [gap, first, again, unknown, incomplete, second, answer] = &results[..] else { panic!() };
    assert!(matches!(
        gap,
        Err(EngineError::Monitor { source: MonitorError::UpdateGap { .. }, .. })
    ));
    assert!(matches!(again, Err(EngineError::PaymentIdBusy(id)) if *id == payments[0].id()));
    assert!(matches!(unknown, Err(EngineError::UnknownChannel(id)) if *id == nowhere));
    assert!(matches!(incomplete, Err(EngineError::PartWithoutUpdate(_))));
    for good in [first, second, answer] {
        assert!(good.is_ok(), "{good:?}");
    }
    assert_eq!(node.tell(), [], "nothing has failed");
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    for (channel, payment) in payments.iter().enumerate() {
        let state = node.driver.book_entry(payment.id()).unwrap().state;
        assert_eq!(state, PaymentState::Pending);
        assert_eq!(node.state(channel).htlcs.len(), 1);
    }
}

#[test]
fn requests_that_are_all_refused_cost_no_sync() {
    let (_world, mut node, _) = two_payments();
    let before = syncs(&node.stores);
    let results = node
        .driver
        .submit_requests(vec![nothing(channel_id(0), 7), nothing(ChannelId([9; 32]), 1)]);
    assert!(results.iter().all(Result::is_err));
    assert_eq!(syncs(&node.stores), before);
}

#[test]
fn a_sync_that_fails_fails_for_everybody_who_shared_it() {
    let (world, node, payments) = two_payments();
    let (store, switch) = SwitchStore::new(node.stores.monitors.image(Survivors::Everything));
    let mut driver =
        Driver::start(ports_on(&world, Box::new(store) as Box<dyn Store>, None)).unwrap();
    switch.fail_next_sync();
    let mut requests: Vec<Request> = payments.iter().map(send).collect();
    requests.push(nothing(channel_id(0), 9));
    let results = driver.submit_requests(requests);
    for result in &results[..2] {
        let Err(EngineError::Store(error)) = result else { panic!("{result:?}") };
        assert_eq!(error.kind, StoreErrorKind::Poisoned);
    }
    assert!(matches!(results[2], Err(EngineError::Monitor { .. })), "{:?}", results[2]);
    assert!(driver.is_poisoned() && driver.next_event().is_none());
}

/// While the driver is busy, callers gather; then all of them are one sync.
#[tokio::test]
async fn callers_of_an_engine_that_wait_at_the_same_time_share_a_sync() {
    let (world, node, payments) = two_payments();
    let stores = node.stores.image(Survivors::Everything);
    drop(node);
    let handler = Box::new(RecordingHandler::new());
    let engine = Engine::start(ports(&world, &stores), handler).await.unwrap();
    engine.when_idle().await.unwrap();

    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let busy = tokio::spawn({
        let engine = engine.clone();
        async move { engine.call(move |_| wait.recv().unwrap()).await }
    });
    tokio::task::yield_now().await;
    let before = syncs(&stores);
    let callers: Vec<_> = payments
        .iter()
        .cloned()
        .map(|payment| {
            let engine = engine.clone();
            tokio::spawn(async move { engine.send_payment(payment.intent, payment.updates).await })
        })
        .collect();
    let refused = tokio::spawn({
        let engine = engine.clone();
        async move {
            engine
                .update(vec![MonitorUpdate {
                    channel_id: channel_id(0),
                    update_id: UpdateId(9),
                    steps: Vec::new(),
                }])
                .await
        }
    });
    // On this one thread every caller has asked once this task runs again.
    tokio::task::yield_now().await;
    go_on.send(()).unwrap();
    busy.await.unwrap().unwrap();
    for caller in callers {
        caller.await.unwrap().unwrap();
    }
    assert!(matches!(refused.await.unwrap(), Err(EngineError::Monitor { .. })));
    assert_eq!(syncs(&stores) - before, 1);
    assert!(stores.is_all_durable());
}
