//! Bad updates, bad payments, bad closings: each ends in a typed error or an event that names what
//! is wrong, nothing is changed, and the next good input works.

use bitcoin::Witness;
use lastword_engine::EngineError;
use lastword_monitor::MonitorError;
use lastword_payments::PaymentError;
use lastword_testkit::Survivors;
use lastword_types::{
    Alarm, AmountMsat, ChannelId, Event, HtlcFailure, MonitorUpdate, PartIndex, PaymentId,
    RemovalReason, UpdateId, UpdateStep, Verdict,
};

use crate::node::{Logs, Node};
use crate::world::{ANCHORS, Part, Payment, STATIC, World, channel_id};

/// Asserts that a refusal changed nothing: neither in memory nor on disk.
fn unchanged(world: &World, node: &mut Node, bad: impl FnOnce(&mut Node)) {
    let (states, written) = (node.states(world), node.stores.records());
    bad(node);
    assert_eq!(node.states(world), states);
    assert_eq!(node.stores.records(), written, "nothing refused is ever written");
}

fn refused(node: &mut Node, update: MonitorUpdate) -> EngineError {
    node.driver.update(vec![update]).expect_err("it must be refused")
}

fn nothing(channel: ChannelId, update_id: u64) -> MonitorUpdate {
    MonitorUpdate { channel_id: channel, update_id: UpdateId(update_id), steps: Vec::new() }
}

#[test]
fn a_bad_update_is_refused_by_name_and_the_next_good_one_works() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.driver.send_payment(payment.intent.clone(), payment.updates.clone()).unwrap();
    let good = payment.answers[0].clone();
    unchanged(&world, &mut node, |node| {
        let gap = MonitorUpdate { update_id: UpdateId(3), ..good.clone() };
        let error = refused(node, gap);
        let EngineError::Monitor { channel_id: id, source } = error else { panic!("{error}") };
        assert_eq!(id, channel_id(0));
        let expected = MonitorError::UpdateGap { latest: UpdateId(1), got: UpdateId(3) };
        assert_eq!(source, expected);
    });
    unchanged(&world, &mut node, |node| {
        let nowhere = ChannelId([9; 32]);
        let error = refused(node, nothing(nowhere, 1));
        assert!(matches!(error, EngineError::UnknownChannel(id) if id == nowhere), "{error}");
    });
    unchanged(&world, &mut node, |node| {
        let mut wrong = good.clone();
        wrong.steps.swap(0, 1);
        let [UpdateStep::LocalCommitment(local), _] = &mut wrong.steps[..] else { panic!() };
        local.to_local_msat = AmountMsat(1);
        assert!(matches!(refused(node, wrong), EngineError::Monitor { .. }));
    });
    node.driver.update(vec![good.clone()]).unwrap();
    // The same again is no news, and is not written.
    unchanged(&world, &mut node, |node| node.driver.update(vec![good]).unwrap());
    let live = node.states(&world);
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.states(&world), live);
}

/// An update of one channel that was made for another is refused by the other's numbers and balances.
#[test]
fn an_update_for_another_channel_is_refused() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.driver.send_payment(payment.intent.clone(), payment.updates.clone()).unwrap();
    let stray = MonitorUpdate {
        channel_id: channel_id(1),
        update_id: UpdateId(1),
        ..payment.answers[0].clone()
    };
    unchanged(&world, &mut node, |node| {
        let error = refused(node, stray);
        assert!(
            matches!(error, EngineError::Monitor { channel_id: id, .. } if id == channel_id(1)),
            "{error}"
        );
    });
    node.driver.update(payment.answers).unwrap();
}

#[test]
fn a_channel_cannot_be_opened_twice_nor_at_another_block_than_the_tip() {
    let (world, born) = World::with_channels(&[STATIC]);
    let mut node = Node::start(&world, crate::node::Stores::new(Logs::One));
    let mut late = born[0].clone();
    late.birth.height = late.birth.height.plus(1);
    let error = node.driver.open_channel(late).expect_err("it is no block of ours");
    assert!(matches!(error, EngineError::NotAtTip(tip) if tip == born[0].birth));
    node.driver.open_channel(born[0].clone()).unwrap();
    let error = node.driver.open_channel(born[0].clone()).expect_err("it exists");
    assert!(matches!(error, EngineError::ChannelExists(id) if id == channel_id(0)));
    world.mine(1);
    node.poll();
}

#[test]
fn a_bad_payment_is_refused_by_name_and_leaves_no_trace() {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC, ANCHORS]);
    let payment = world.payment(1, &[Part(0, 50_000, 40), Part(1, 60_000, 40)]);
    let with = |updates: Vec<MonitorUpdate>| Payment { updates, ..payment.clone() };

    let missing = with(payment.updates[..1].to_vec());
    unchanged(&world, &mut node, |node| {
        let error = node.refusal(&missing);
        assert!(matches!(error, EngineError::PartWithoutUpdate(PartIndex(1))), "{error}");
    });
    let twice = with(vec![payment.updates[0].clone(); 2]);
    unchanged(&world, &mut node, |node| {
        let error = node.refusal(&twice);
        assert!(matches!(error, EngineError::SeveralUpdates(id) if id == channel_id(0)));
    });
    // The intent says another amount than the HTLC that is added.
    let mut other = payment.clone();
    other.intent.parts[1].amount_msat = AmountMsat(60_000_001);
    unchanged(&world, &mut node, |node| {
        let error = node.refusal(&other);
        assert!(matches!(error, EngineError::PartWithoutUpdate(PartIndex(1))), "{error}");
    });
    // The monitor refuses one of the two: neither is written, nor the intent.
    let mut gap = payment.clone();
    gap.updates[1].update_id = UpdateId(7);
    unchanged(&world, &mut node, |node| {
        let error = node.refusal(&gap);
        assert!(
            matches!(error, EngineError::Monitor { channel_id: id, .. } if id == channel_id(1))
        );
        assert!(!node.is_known(payment.id()));
    });
    node.pay(&payment);
    assert_eq!(node.tell(), []);
}

#[test]
fn an_id_is_busy_until_its_outcome_is_told_and_a_generation_is_used_once() {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC, ANCHORS]);
    let first = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&first);
    let is_busy = |error: EngineError| {
        assert!(matches!(error, EngineError::PaymentIdBusy(id) if id == PaymentId([1; 32])));
    };
    let second = world.payment_of(first.id(), 2, &[Part(1, 20_000, 40)]);
    unchanged(&world, &mut node, |node| is_busy(node.refusal(&second)));
    let reason = RemovalReason::Failed { code: 0x400f };
    let removal = world.channels[0].remove(first.htlc_id(0), reason);
    node.driver.update(removal.to_vec()).unwrap();
    let mut reused = world.payment_of(first.id(), 1, &[Part(0, 20_000, 40)]);
    unchanged(&world, &mut node, |node| is_busy(node.refusal(&reused)));
    let why = HtlcFailure::Removed { code: 0x400f };
    assert_eq!(node.tell(), [first.path_failed(0, why), first.failed(why)]);
    unchanged(&world, &mut node, |node| {
        let error = node.refusal(&reused);
        assert!(
            matches!(error, EngineError::Payment(PaymentError::GenerationReused { .. })),
            "{error}"
        );
    });
    // With a generation of its own it is another payment.
    reused.intent.generation.0 = [2; 16];
    let UpdateStep::RemoteCommitment(remote) = &mut reused.updates[0].steps[0] else { panic!() };
    remote.added = vec![lastword_types::HtlcAdded::New(reused.intent.htlc(PartIndex(0)).unwrap())];
    node.pay(&reused);
    assert_eq!(node.verdict(&reused, 0), Verdict::Live);
}

#[test]
fn abandoning_a_payment_that_nobody_knows_is_refused() {
    let (_, mut node) = Node::with_channels(Logs::One, &[STATIC]);
    let payment_id = PaymentId([5; 32]);
    let error = node.driver.abandon_payment(payment_id).expect_err("there is none");
    let EngineError::Payment(source) = error else { panic!("{error}") };
    assert_eq!(source, PaymentError::UnknownPayment { payment_id });
}

/// A payment that is given up waits for its HTLCs all the same: what is sent is sent.
#[test]
fn an_abandoned_payment_whose_htlc_is_taken_was_sent() {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    node.driver.abandon_payment(payment.id()).unwrap();
    assert_eq!(node.tell(), []);
    world.peer_closes(0);
    world.peer_claims(&payment, 0);
    node.poll();
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
}

#[test]
fn a_spend_of_the_funding_that_nobody_knows_raises_an_alarm_and_decides_nothing() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS]);
    let payment = world.payment(1, &[Part(0, 50_000, 10)]);
    let other = world.payment(2, &[Part(1, 50_000, 40)]);
    node.pay(&payment);
    node.pay(&other);
    let spend = world.channels[0].unknown_spend();
    world.confirm(&spend);
    node.poll();
    let alarm = Event::Alarm(Alarm::UnknownFundingSpend {
        channel_id: channel_id(0),
        txid: spend.compute_txid(),
    });
    assert_eq!(node.tell(), std::slice::from_ref(&alarm));
    node.mine_and_poll(&world, 20);
    assert_eq!(node.tell(), [], "an alarm is told once after each start");
    assert_eq!(node.verdict(&payment, 0), Verdict::Live, "and proves nothing");
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), [alarm]);
    // The other channel goes on.
    world.peer_closes(1);
    world.peer_claims(&other, 0);
    node.poll();
    assert_eq!(node.tell(), [other.sent(), other.path_taken(0)]);
}

/// A channel without HTLCs and claims has nothing left but its alarm, and the user may not have
/// heard it yet when the node died.
#[test]
fn an_alarm_of_a_channel_without_htlcs_survives_a_crash_before_it_is_told() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC]);
    let spend = world.channels[0].unknown_spend();
    world.confirm(&spend);
    node.mine_and_poll(&world, 20);

    let mut node = node.crash(&world, Survivors::SyncedOnly);

    let (channel_id, txid) = (channel_id(0), spend.compute_txid());
    let alarm = Event::Alarm(Alarm::UnknownFundingSpend { channel_id, txid });
    assert_eq!(node.tell(), [alarm]);
}

/// The widest that consensus lets a witness of a peer be: the timeout branch of an HTLC takes any
/// element that has not the size of a preimage. It is no preimage, and nobody takes it for one.
///
/// A witness that no branch takes cannot be in a block, so what it would mean is tested where it is
/// read, in `bolt3` and `monitor`.
#[test]
fn a_witness_with_garbage_in_place_of_an_element_is_no_preimage() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC]);
    let payment = world.payment(1, &[Part(0, 50_000, 10)]);
    node.pay(&payment);
    world.peer_closes(0);
    node.poll();
    // Our own timeout claim is in the mempool with an empty element; a miner puts garbage there.
    world.mine_empty(10);
    node.poll();
    let commitment = world.closing(0);
    let output = world.channels[0].htlc_output(commitment, payment.htlc_id(0));
    let mut claim = {
        let chain = world.chain.lock();
        let txid = chain.mempool_spender(output).expect("our claim waits");
        chain.transaction(txid).unwrap().0.clone()
    };
    let mut elements: Vec<Vec<u8>> = claim.input[0].witness.to_vec();
    assert_eq!(elements[1], Vec::<u8>::new());
    elements[1] = vec![0xba; 77];
    claim.input[0].witness = Witness::from_slice(&elements);
    world.chain.lock().mine_transactions(&crate::peer::anybody(), vec![claim]).unwrap();
    node.poll();
    assert!(matches!(node.verdict(&payment, 0), Verdict::Failing { .. }));
    node.mine_and_poll(&world, 5);
    let why = HtlcFailure::TimedOut;
    assert_eq!(node.tell(), [payment.path_failed(0, why), payment.failed(why)]);
}
