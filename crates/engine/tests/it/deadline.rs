//! A node that goes on chain by itself, with no command, and one that fails a forward back early.

use lastword_engine::Driver;
use lastword_ports::{ForwardBook, InboundState};
use lastword_reload::{Action, Planned, Reason};
use lastword_testkit::Survivors;
use lastword_types::{
    Alarm, AmountMsat, BlockHeight, ChannelId, CommitmentFormat, EARLY_FAIL_BACK_BLOCKS, Event,
    FULFIL_DEADLINE_BLOCKS, ForwardOrigin, Htlc, HtlcDirection, HtlcFailure, HtlcId, HtlcKey,
    HtlcOrigin, OFFERED_GRACE_BLOCKS, Overdue, PaymentPreimage, UpdateStep, Verdict,
};

use crate::node::{Logs, Node, Stores, ports};
use crate::world::{ANCHORS, Part, STATIC, World, channel_id};

const PREIMAGE: PaymentPreimage = PaymentPreimage([0x77; 32]);

/// Says whether a transaction that waits spends the funding output of the first channel.
fn is_broadcast(world: &World) -> bool {
    let funding = world.channels[0].ours.funding_outpoint;
    world.chain.lock().mempool_spender(funding).is_some()
}

/// How a node meets a height.
#[derive(Debug, Clone, Copy)]
enum Way {
    BlockByBlock,
    /// It was off for some blocks.
    InABurst,
    /// It dies before the block, and comes back.
    AfterACrash,
}

const WAYS: [Way; 3] = [Way::BlockByBlock, Way::InABurst, Way::AfterACrash];

/// Follows the chain to a height.
fn go_to(world: &World, mut node: Node, height: u32, way: Way) -> Node {
    let blocks = height - world.height();
    match way {
        Way::BlockByBlock => node.mine_and_poll(world, blocks),
        Way::InABurst => {
            world.mine(blocks);
            node.poll();
        }
        Way::AfterACrash => {
            node.mine_and_poll(world, blocks - 1);
            node = node.crash(world, Survivors::SyncedOnly);
            node.mine_and_poll(world, 1);
        }
    }
    node
}

// BOLT 2: cltv_expiry_delta Selection
#[test]
fn an_expired_offer_makes_the_node_broadcast_its_commitment_by_itself() {
    for format in [STATIC, ANCHORS] {
        for logs in [Logs::One, Logs::Two] {
            for way in WAYS {
                let place = format!("{format:?}, {logs:?}, {way:?}");
                let (mut world, mut node) = Node::with_channels(logs, &[format]);
                let payment = world.payment(1, &[Part(0, 50_000, 40)]);
                node.pay(&payment);
                let deadline = world.height() + 40 + OFFERED_GRACE_BLOCKS;
                let mut node = go_to(&world, node, deadline - 1, way);
                assert!(!is_broadcast(&world), "{place}");
                assert_eq!(node.tell(), [], "{place}");

                node.mine_and_poll(&world, 1);
                assert!(is_broadcast(&world), "{place}");
                let overdue = Overdue::Expired;
                let alarm = Alarm::GoingOnChain { htlc: payment.key(0), overdue };
                assert_eq!(node.tell(), [Event::Alarm(alarm)], "{place}");

                // It ends as if we had been asked to fail the channel.
                node.mine_and_poll(&world, 1);
                assert_eq!(world.height(), deadline + 1);
                world.closing(0);
                node.mine_and_poll(&world, 12);
                let why = HtlcFailure::TimedOut;
                assert_eq!(node.tell(), [payment.path_failed(0, why), payment.failed(why)]);
            }
        }
    }
}

/// The decision is durable before it is acted on: whatever survives, the commitment comes again.
#[test]
fn a_decision_to_go_on_chain_survives_a_crash_with_its_reason() {
    for survivors in [Survivors::SyncedOnly, Survivors::Everything] {
        let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC]);
        let payment = world.payment(1, &[Part(0, 50_000, 20)]);
        node.pay(&payment);
        world.mine(20 + OFFERED_GRACE_BLOCKS);
        node.poll();
        assert!(is_broadcast(&world));
        let mut node = node.crash(&world, survivors);
        let alarm = Alarm::GoingOnChain { htlc: payment.key(0), overdue: Overdue::Expired };
        assert_eq!(node.tell(), [Event::Alarm(alarm)], "it was not told before the crash");
        node.mine_and_poll(&world, 1);
        world.closing(0);
        assert!(node.state(0).funding_spend.is_some());
    }
}

/// A received HTLC, irrevocably committed.
fn receive(world: &mut World, node: &mut Node, cltv_expiry: u32) -> HtlcKey {
    let htlc = Htlc {
        direction: HtlcDirection::Received,
        htlc_id: HtlcId(0),
        amount_msat: AmountMsat(60_000_000),
        payment_hash: PREIMAGE.payment_hash(),
        cltv_expiry: BlockHeight(cltv_expiry),
        origin: HtlcOrigin::Ours,
    };
    let updates = vec![world.channels[0].add(htlc), world.channels[0].answer()];
    node.driver.update(updates).unwrap();
    let direction = HtlcDirection::Received;
    HtlcKey { channel_id: channel_id(0), direction, htlc_id: HtlcId(0) }
}

fn learn(world: &mut World, node: &mut Node) {
    let update = world.channels[0].update(vec![UpdateStep::Preimage { preimage: PREIMAGE }]);
    node.driver.update(vec![update]).unwrap();
}

/// Nothing is owed in this channel, so after a crash its monitor sleeps: the card wakes it.
#[test]
fn a_fulfilment_that_the_peer_does_not_answer_is_taken_on_chain_in_time() {
    for format in [STATIC, ANCHORS] {
        for way in WAYS {
            let (mut world, mut node) = Node::with_channels(Logs::Two, &[format]);
            let expiry = world.height() + 60;
            let htlc = receive(&mut world, &mut node, expiry);
            learn(&mut world, &mut node);
            let deadline = expiry - FULFIL_DEADLINE_BLOCKS;
            let mut node = go_to(&world, node, deadline - 1, way);
            assert!(!is_broadcast(&world), "{format:?}, {way:?}");
            node.mine_and_poll(&world, 1);
            assert!(is_broadcast(&world), "{format:?}, {way:?}");
            let alarm = Alarm::GoingOnChain { htlc, overdue: Overdue::Fulfilment };
            assert_eq!(node.tell(), [Event::Alarm(alarm)]);

            node.mine_and_poll(&world, 2);
            let commitment = world.closing(0);
            let waits = node.state(0).output_spends.values().any(|spend| {
                matches!(spend.kind, lastword_types::OutputSpendKind::HtlcPreimage { .. })
            });
            assert!(waits, "{format:?}, {way:?}: it is ours, in {commitment}, before its expiry");
            assert!(world.height() < expiry);
        }
    }
}

#[test]
fn a_preimage_that_is_learnt_late_is_acted_on_at_once() {
    for early in [0, 1] {
        let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC]);
        let expiry = world.height() + 60;
        receive(&mut world, &mut node, expiry);
        let deadline = expiry - FULFIL_DEADLINE_BLOCKS;
        let mut node = go_to(&world, node, deadline - early, Way::BlockByBlock);
        learn(&mut world, &mut node);
        // The next look at the chain is enough; there is no block.
        node.poll();
        assert_eq!(is_broadcast(&world), early == 0);
        node.mine_and_poll(&world, 1);
        assert_eq!(is_broadcast(&world), early == 1, "or it is confirmed by now");
    }
}

const INBOUND: HtlcKey = HtlcKey {
    channel_id: ChannelId([0x33; 32]),
    direction: HtlcDirection::Received,
    htlc_id: HtlcId(5),
};

/// A node that has not settled any inbound half.
struct AllOpen;

impl ForwardBook for AllOpen {
    fn inbound_state(&self, _: HtlcKey) -> InboundState {
        InboundState::Open
    }

    fn for_each_pending(&self, _: &mut dyn FnMut(HtlcKey)) {}
}

fn forwarding(world: &World, stores: Stores) -> Node {
    let mut ports = ports(world, &stores);
    ports.forwards = Box::new(AllOpen);
    Node { driver: Driver::start(ports).expect("the stores are sound"), stores }
}

/// The peer downstream closed, its HTLC can be claimed at any time and fees are too high for ours.
fn hanging(format: CommitmentFormat) -> (World, Node, HtlcKey, u32) {
    let (mut world, node) = Node::with_channels(Logs::Two, &[format]);
    let mut node = forwarding(&world, node.stores);
    let inbound_expiry = world.height() + 30;
    let htlc_id = world.channels[0].take_htlc_id();
    let htlc = Htlc {
        direction: HtlcDirection::Offered,
        htlc_id,
        amount_msat: AmountMsat(60_000_000),
        payment_hash: PREIMAGE.payment_hash(),
        // Far away: nobody but the peer can end it.
        cltv_expiry: BlockHeight(world.height() + 1_000),
        origin: HtlcOrigin::Forward(ForwardOrigin {
            inbound: INBOUND,
            inbound_amount_msat: AmountMsat(60_001_000),
            inbound_cltv_expiry: BlockHeight(inbound_expiry),
        }),
    };
    let updates = vec![world.channels[0].add(htlc), world.channels[0].answer()];
    node.driver.update(updates).unwrap();
    world.peer_closes(0);
    node.poll();
    let direction = HtlcDirection::Offered;
    let outbound = HtlcKey { channel_id: channel_id(0), direction, htlc_id };
    (world, node, outbound, inbound_expiry)
}

fn verdict(node: &mut Node, key: HtlcKey) -> Verdict {
    let monitor = node.driver.monitor(key.channel_id).unwrap();
    monitor.verdict(key.direction, key.htlc_id).unwrap()
}

#[test]
fn a_forward_that_hangs_is_failed_back_in_time_and_a_later_preimage_is_told_as_a_loss_once() {
    for format in [STATIC, ANCHORS] {
        let (mut world, mut node, outbound, inbound_expiry) = hanging(format);
        let height = inbound_expiry - EARLY_FAIL_BACK_BLOCKS;
        node.mine_and_poll(&world, height - 1 - world.height());
        assert_eq!(node.driver.take_advice(), []);
        node.mine_and_poll(&world, 1);
        let reason = HtlcFailure::FailedBack;
        assert_eq!(verdict(&mut node, outbound), Verdict::Failed { reason });
        let action = Action::FailInbound { inbound: INBOUND, outbound, reason };
        let expected = [Planned { action, reason: Reason::FailedBack }];
        assert_eq!(node.driver.take_advice(), expected);

        // The node that forwards may have lost the advice: it is given at each start.
        for survivors in [Survivors::SyncedOnly, Survivors::Everything] {
            node = forwarding(&world, node.stores.image(survivors));
            assert_eq!(node.driver.take_advice(), expected);
        }
        assert_eq!(node.tell(), []);

        let claim = world.peers_claim(0, outbound.htlc_id, PREIMAGE);
        world.confirm(&claim);
        node.poll();
        let lost = Event::Alarm(Alarm::ForwardLost { htlc: outbound });
        assert_eq!(node.tell(), [lost], "{format:?}");
        node.mine_and_poll(&world, 10);
        assert_eq!(node.tell(), []);
        assert_eq!(verdict(&mut node, outbound), Verdict::Failed { reason });
        assert!(
            !node
                .driver
                .take_advice()
                .iter()
                .any(|planned| matches!(planned.action, Action::ClaimInbound { .. })),
            "what was taken back is not asked for again"
        );
    }
}
