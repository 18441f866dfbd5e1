//! Rows 28 to 31 of the crash windows of LDK, section 5.3: forwards, whose inbound half another
//! channel holds and the node settles.

use lastword_engine::Driver;
use lastword_ports::{ForwardBook, InboundState};
use lastword_reload::Action;
use lastword_types::{
    AmountMsat, BlockHeight, ChannelId, ForwardOrigin, Htlc, HtlcDirection, HtlcFailure, HtlcId,
    HtlcKey, HtlcOrigin, PaymentPreimage, RemovalReason,
};

use super::snapshot;
use crate::node::{Logs, Node, Stores, ports};
use crate::world::{STATIC, World, channel_id};

const PREIMAGE: PaymentPreimage = PaymentPreimage([0x77; 32]);
const INBOUND: HtlcKey = HtlcKey {
    channel_id: ChannelId([0x33; 32]),
    direction: HtlcDirection::Received,
    htlc_id: HtlcId(5),
};

/// What the node durably knows of every inbound half.
#[derive(Debug, Clone, Copy)]
struct Forwards(InboundState);

impl ForwardBook for Forwards {
    fn inbound_state(&self, _: HtlcKey) -> InboundState {
        self.0
    }

    fn for_each_pending(&self, visit: &mut dyn FnMut(HtlcKey)) {
        if self.0 == InboundState::Open {
            visit(INBOUND);
        }
    }
}

fn start_with(world: &World, stores: Stores, inbound: InboundState) -> Node {
    let mut ports = ports(world, &stores);
    ports.forwards = Box::new(Forwards(inbound));
    Node { driver: Driver::start(ports).expect("the stores are sound"), stores }
}

/// A channel with the outbound half of a forward in both commitments.
fn forwarded() -> (World, Node, HtlcKey) {
    let (mut world, node) = Node::with_channels(Logs::Two, &[STATIC]);
    let mut node = start_with(&world, snapshot(&node), InboundState::Open);
    let htlc_id = world.channels[0].take_htlc_id();
    let htlc = Htlc {
        direction: HtlcDirection::Offered,
        htlc_id,
        amount_msat: AmountMsat(60_000_000),
        payment_hash: PREIMAGE.payment_hash(),
        cltv_expiry: BlockHeight(world.height() + 20),
        origin: HtlcOrigin::Forward(ForwardOrigin {
            inbound: INBOUND,
            inbound_amount_msat: AmountMsat(60_001_000),
            inbound_cltv_expiry: BlockHeight(world.height() + 200),
        }),
    };
    let updates = vec![world.channels[0].add(htlc), world.channels[0].answer()];
    node.driver.update(updates).unwrap();
    let direction = HtlcDirection::Offered;
    (world, node, HtlcKey { channel_id: channel_id(0), direction, htlc_id })
}

fn advice(node: &mut Node) -> Vec<Action> {
    node.driver.take_advice().into_iter().map(|planned| planned.action).collect()
}

fn claims(outbound: HtlcKey) -> [Action; 1] {
    [Action::ClaimInbound { inbound: INBOUND, outbound, preimage: PREIMAGE }]
}

fn fails(outbound: HtlcKey, reason: HtlcFailure) -> [Action; 1] {
    [Action::FailInbound { inbound: INBOUND, outbound, reason }]
}

/// Starts again and again on what is durable: the same is advised each time, until the inbound half
/// is durably settled; then the outbound half is released, and nothing is advised any more.
fn is_advised_until_it_is_settled(
    world: &World,
    mut left: Stores,
    outbound: HtlcKey,
    expected: &[Action],
) {
    for _ in 0..3 {
        let mut node = start_with(world, left, InboundState::Open);
        assert_eq!(advice(&mut node), expected);
        assert_eq!(node.tell(), [], "the user of this node has nothing to hear");
        left = snapshot(&node);
    }
    for _ in 0..2 {
        let mut node = start_with(world, left, InboundState::Resolved);
        assert_eq!(advice(&mut node), []);
        let entry = node.state(0).htlcs.remove(&(outbound.direction, outbound.htlc_id));
        assert!(entry.is_none_or(|entry| entry.delivered.is_some()), "it is released");
        left = snapshot(&node);
    }
    // An older manager, which has the inbound half open, is told nothing of what is over.
    assert_eq!(advice(&mut start_with(world, left, InboundState::Open)), []);
}

/// Row 28: the outbound half is durable and the manager still has the HTLC in its queue. Nothing
/// says to fail it back; what became of it is said when it is known.
#[test]
fn row_28_a_forward_that_left_is_not_failed_back_by_an_older_manager() {
    let (mut world, node, outbound) = forwarded();
    let left = snapshot(&node);
    drop(node);
    let mut node = start_with(&world, left, InboundState::Open);
    assert_eq!(advice(&mut node), [], "it is neither sent again nor failed");
    let reason = RemovalReason::Fulfilled { preimage: PREIMAGE };
    let removal = world.channels[0].remove(outbound.htlc_id, reason);
    node.driver.update(removal[..1].to_vec()).unwrap();
    assert_eq!(advice(&mut node), claims(outbound), "with the first proof of it");
}

/// Row 29: the forwarded HTLC was failed off chain, which only the outbound monitor knows.
#[test]
fn row_29_a_forward_that_failed_off_chain_is_failed_back() {
    let (mut world, mut node, outbound) = forwarded();
    let removal = world.channels[0].remove(outbound.htlc_id, RemovalReason::Failed { code: 7 });
    node.driver.update(removal[..2].to_vec()).unwrap();
    assert_eq!(advice(&mut node), [], "the peer has not revoked the commitment that holds it");
    node.driver.update(removal[2..].to_vec()).unwrap();
    let left = snapshot(&node);
    drop(node);
    let failed = fails(outbound, HtlcFailure::Removed { code: 7 });
    is_advised_until_it_is_settled(&world, left, outbound, &failed);
}

/// Row 30: the downstream preimage is in the outbound monitor and the claim of the inbound half is
/// lost, with the downstream channel open and with it closed.
#[test]
fn row_30_a_downstream_preimage_claims_the_inbound_half_until_it_is_settled() {
    for is_closed in [false, true] {
        let (mut world, mut node, outbound) = forwarded();
        if is_closed {
            world.peer_closes(0);
            let claim = world.peers_claim(0, outbound.htlc_id, PREIMAGE);
            world.confirm(&claim);
            node.poll();
        } else {
            let reason = RemovalReason::Fulfilled { preimage: PREIMAGE };
            let removal = world.channels[0].remove(outbound.htlc_id, reason);
            node.driver.update(removal.to_vec()).unwrap();
        }
        let left = snapshot(&node);
        drop(node);
        is_advised_until_it_is_settled(&world, left, outbound, &claims(outbound));
    }
}

/// Row 31: the downstream HTLC timed out and that is final; the failure upstream is lost. It is
/// failed again until the inbound half is settled, and not until the monitor is archived.
#[test]
fn row_31_a_downstream_timeout_is_failed_back_until_it_is_settled_and_no_longer() {
    let (mut world, mut node, outbound) = forwarded();
    world.peer_closes(0);
    node.mine_and_poll(&world, 40);
    let left = snapshot(&node);
    drop(node);
    let failed = fails(outbound, HtlcFailure::TimedOut);
    is_advised_until_it_is_settled(&world, left, outbound, &failed);
}

/// A channel with the inbound half of a forward in both commitments, and the one that it is to leave
/// by; the names of both halves, the inbound one first.
pub(super) fn between_two_channels() -> (World, Node, (HtlcKey, HtlcKey)) {
    let (mut world, mut node) = Node::with_channels(Logs::Two, &[STATIC, STATIC]);
    let inbound = crate::claim::part(1, 0);
    let htlc_id = world.channels[0].take_htlc_id();
    let direction = HtlcDirection::Offered;
    let outbound = HtlcKey { channel_id: channel_id(0), direction, htlc_id };
    crate::claim::offer(&mut world, &mut node, inbound, HtlcOrigin::Forwarded { outbound });
    (world, node, (inbound, outbound))
}

/// The outbound half of that forward.
pub(super) fn outbound_half(world: &World, inbound: HtlcKey, outbound: HtlcKey) -> Htlc {
    Htlc {
        direction: outbound.direction,
        htlc_id: outbound.htlc_id,
        amount_msat: AmountMsat(49_999_000),
        payment_hash: crate::claim::PREIMAGE.payment_hash(),
        cltv_expiry: BlockHeight(world.height() + 40),
        origin: HtlcOrigin::Forward(ForwardOrigin {
            inbound,
            inbound_amount_msat: AmountMsat(50_000_000),
            inbound_cltv_expiry: BlockHeight(world.height() + 200),
        }),
    }
}
