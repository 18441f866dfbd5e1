//! A forward whose two halves are on chain: it is not failed back early, and waits for its own end.

use lastword_engine::{Driver, EngineError};
use lastword_ports::{ForwardBook, InboundState, Stream};
use lastword_reload::Action;
use lastword_testkit::Survivors;
use lastword_types::{
    AmountMsat, BlockHeight, ChannelId, CommitmentFormat, EARLY_FAIL_BACK_BLOCKS, ForwardOrigin,
    Htlc, HtlcDirection, HtlcFailure, HtlcId, HtlcKey, HtlcOrigin, OutputSpendKind,
    PaymentPreimage, PreimageSource, RemovalReason, Told, Verdict,
};

use crate::crash::{Bomb, unless_died};
use crate::node::{Logs, Node, Stores, ports, ports_on};
use crate::stores::{Damage, DamagedStore};
use crate::world::{ANCHORS, STATIC, World, channel_id};

const PREIMAGE: PaymentPreimage = PaymentPreimage([0x78; 32]);
const OUTBOUND_CHANNEL: usize = 0;
const INBOUND_CHANNEL: usize = 1;

/// Its channel is `INBOUND_CHANNEL`.
const INBOUND: HtlcKey = HtlcKey {
    channel_id: ChannelId([0xc1; 32]),
    direction: HtlcDirection::Received,
    htlc_id: HtlcId(0),
};

/// What the node says of every inbound half.
#[derive(Debug, Clone, Copy)]
struct Says(InboundState);

impl ForwardBook for Says {
    fn inbound_state(&self, _: HtlcKey) -> InboundState {
        self.0
    }

    fn for_each_pending(&self, _: &mut dyn FnMut(HtlcKey)) {}
}

fn start(world: &World, stores: Stores, state: InboundState, bomb: &Bomb) -> Node {
    let mut ports = ports(world, &stores);
    ports.forwards = Box::new(Says(state));
    ports.observer = Box::new(bomb.clone());
    Node { driver: Driver::start(ports).expect("the stores are sound"), stores }
}

fn restart(world: &World, node: Node, state: InboundState, survivors: Survivors) -> Node {
    let stores = node.stores.image(survivors);
    drop(node);
    start(world, stores, state, &Bomb::default())
}

/// A forward from one channel to another, irrevocably committed in both.
struct Forward {
    world: World,
    outbound: HtlcKey,
    /// When the inbound half would be failed back.
    early: u32,
}

fn forwarding(logs: Logs, format: CommitmentFormat) -> (Forward, Node) {
    let (mut world, mut node) = Node::with_channels(logs, &[format, format]);
    assert_eq!(INBOUND.channel_id, channel_id(INBOUND_CHANNEL));
    let inbound_expiry = world.height() + 60;
    let htlc_id = world.channels[OUTBOUND_CHANNEL].take_htlc_id();
    let direction = HtlcDirection::Offered;
    let outbound = HtlcKey { channel_id: channel_id(OUTBOUND_CHANNEL), direction, htlc_id };
    let received = Htlc {
        direction: HtlcDirection::Received,
        htlc_id: INBOUND.htlc_id,
        amount_msat: AmountMsat(60_001_000),
        payment_hash: PREIMAGE.payment_hash(),
        cltv_expiry: BlockHeight(inbound_expiry),
        origin: HtlcOrigin::Forwarded { outbound },
    };
    let offered = Htlc {
        direction,
        htlc_id,
        amount_msat: AmountMsat(60_000_000),
        payment_hash: PREIMAGE.payment_hash(),
        // Far away: nobody but the peer can end it.
        cltv_expiry: BlockHeight(world.height() + 1_000),
        origin: HtlcOrigin::Forward(ForwardOrigin {
            inbound: INBOUND,
            inbound_amount_msat: received.amount_msat,
            inbound_cltv_expiry: received.cltv_expiry,
        }),
    };
    for (channel, htlc) in [(INBOUND_CHANNEL, received), (OUTBOUND_CHANNEL, offered)] {
        let channel = &mut world.channels[channel];
        let updates = vec![channel.add(htlc), channel.answer()];
        node.driver.update(updates).unwrap();
    }
    (Forward { world, outbound, early: inbound_expiry - EARLY_FAIL_BACK_BLOCKS }, node)
}

impl Forward {
    fn verdict(&self, node: &mut Node) -> Verdict {
        let monitor = node.driver.monitor(self.outbound.channel_id).unwrap();
        monitor.verdict(self.outbound.direction, self.outbound.htlc_id).unwrap()
    }

    fn is_noted(&self, node: &mut Node) -> bool {
        let key = (self.outbound.direction, self.outbound.htlc_id);
        node.state(OUTBOUND_CHANNEL).htlcs[&key].is_inbound_on_chain
    }

    /// Goes past the height of the early failure, and says that nothing came of it.
    fn hang(&self, node: &mut Node) {
        node.mine_and_poll(&self.world, self.early + 1 - self.world.height());
        assert_eq!(self.verdict(node), Verdict::Live);
        assert_eq!(node.driver.take_advice(), []);
        assert_eq!(node.tell(), []);
    }

    /// The peer downstream takes its half, and the node is told to take the other.
    fn is_paid(&mut self, node: &mut Node) {
        let Self { world, outbound, .. } = self;
        let claim = world.peers_claim(OUTBOUND_CHANNEL, outbound.htlc_id, PREIMAGE);
        world.confirm(&claim);
        node.poll();
        let (inbound, outbound, preimage) = (INBOUND, *outbound, PREIMAGE);
        let expected = Action::ClaimInbound { inbound, outbound, preimage };
        let advice: Vec<_> = node.driver.take_advice().into_iter().map(|it| it.action).collect();
        assert_eq!(advice, [expected]);

        // Its claim is in the ledger without the node, and the outbound half has done its duty.
        let half = node.state(INBOUND_CHANNEL).htlcs[&(inbound.direction, inbound.htlc_id)].clone();
        let source = Some(PreimageSource::Downstream { outbound });
        assert_eq!((half.claim, half.source), (Some(preimage), source));
        let key = (outbound.direction, outbound.htlc_id);
        assert_eq!(node.state(OUTBOUND_CHANNEL).htlcs[&key].delivered, Some(Told::Forward));
        node.poll();
        node.mine_and_poll(world, 1);
        let spends = node.state(INBOUND_CHANNEL).output_spends;
        let is_claim = |kind: &_| matches!(kind, OutputSpendKind::HtlcPreimage { .. });
        assert!(spends.values().any(|spend| is_claim(&spend.kind)), "the inbound half is ours");
        assert_eq!(node.tell(), []);
    }
}

#[test]
fn a_forward_between_two_closed_channels_waits_and_its_preimage_claims_upstream() {
    for format in [STATIC, ANCHORS] {
        for order in [[INBOUND_CHANNEL, OUTBOUND_CHANNEL], [OUTBOUND_CHANNEL, INBOUND_CHANNEL]] {
            let (mut forward, node) = forwarding(Logs::Two, format);
            let bomb = Bomb::default();
            let mut node = start(&forward.world, node.stores, InboundState::Open, &bomb);
            for channel in order {
                assert_eq!(forward.is_noted(&mut node), channel != order[0] && order[0] == 1);
                forward.world.peer_closes(channel);
                node.poll();
            }
            assert!(forward.is_noted(&mut node));
            node = restart(&forward.world, node, InboundState::Open, Survivors::SyncedOnly);
            forward.hang(&mut node);
            node = restart(&forward.world, node, InboundState::Open, Survivors::SyncedOnly);
            assert_eq!(node.driver.take_advice(), []);
            forward.is_paid(&mut node);
        }
    }
}

/// That we decided to fail the inbound channel is enough: no block need say it.
#[test]
fn a_forward_waits_from_the_decision_to_fail_its_inbound_channel() {
    let (mut forward, node) = forwarding(Logs::One, ANCHORS);
    let bomb = Bomb::default();
    let mut node = start(&forward.world, node.stores, InboundState::Open, &bomb);
    forward.world.peer_closes(OUTBOUND_CHANNEL);
    node.poll();
    let update = forward.world.channels[INBOUND_CHANNEL].fail();
    node.driver.update(vec![update]).unwrap();
    assert!(forward.is_noted(&mut node));
}

/// Wherever the node dies while the inbound channel closes, the next start notes what is missing,
/// and a start that has nothing to note writes nothing.
#[test]
fn a_crash_while_the_inbound_channel_closes_loses_no_note() {
    let mut points = 0;
    for logs in [Logs::One, Logs::Two] {
        for survivors in [Survivors::SyncedOnly, Survivors::Everything] {
            for boundary in 1.. {
                let (mut forward, node) = forwarding(logs, ANCHORS);
                let bomb = Bomb::default();
                let mut node = start(&forward.world, node.stores, InboundState::Open, &bomb);
                forward.world.peer_closes(OUTBOUND_CHANNEL);
                node.poll();
                forward.world.peer_closes(INBOUND_CHANNEL);
                bomb.set_in(boundary);
                let is_whole = unless_died(|| node.poll()).is_some();
                let mut node = restart(&forward.world, node, InboundState::Open, survivors);
                node.poll();
                assert!(forward.is_noted(&mut node), "{logs:?}, {survivors:?}, {boundary}");
                let records = node.stores.records();
                node = restart(&forward.world, node, InboundState::Open, Survivors::Everything);
                assert_eq!(node.stores.records(), records, "it is noted once");
                if is_whole {
                    forward.hang(&mut node);
                    forward.is_paid(&mut node);
                    break;
                }
                points += 1;
            }
        }
    }
    println!("figure: crashes while an inbound channel closes: {points} points");
    assert!(points >= 8, "only {points} points");
}

/// A node that forgot that the inbound half is open changes nothing: its monitor is here and knows.
#[test]
fn what_the_node_forgot_of_the_inbound_half_its_monitor_knows() {
    let (mut forward, node) = forwarding(Logs::Two, ANCHORS);
    let bomb = Bomb::default();
    for state in [InboundState::Resolved, InboundState::Gone, InboundState::Unknown] {
        let stores = node.stores.image(Survivors::Everything);
        let mut node = start(&forward.world, stores, state, &bomb);
        assert_eq!(node.driver.take_advice(), [], "{state:?}");
        assert!(!forward.is_noted(&mut node));
    }
    let mut node = start(&forward.world, node.stores, InboundState::Resolved, &bomb);
    for channel in [OUTBOUND_CHANNEL, INBOUND_CHANNEL] {
        forward.world.peer_closes(channel);
        node.poll();
    }
    assert!(forward.is_noted(&mut node));
    node = restart(&forward.world, node, InboundState::Gone, Survivors::SyncedOnly);
    forward.hang(&mut node);
    forward.is_paid(&mut node);
}

/// The inbound channel is open: the one forward that is failed back.
#[test]
fn a_forward_whose_inbound_channel_is_open_is_failed_back_in_time() {
    let (mut forward, node) = forwarding(Logs::Two, ANCHORS);
    let bomb = Bomb::default();
    let mut node = start(&forward.world, node.stores, InboundState::Open, &bomb);
    forward.world.peer_closes(OUTBOUND_CHANNEL);
    node.poll();
    node.mine_and_poll(&forward.world, forward.early - forward.world.height());
    let reason = HtlcFailure::FailedBack;
    assert_eq!(forward.verdict(&mut node), Verdict::Failed { reason });
    assert!(!forward.is_noted(&mut node));
}

/// Nothing pays for sending on what lies in a damaged channel, and what a damaged channel may have
/// been sent is not sent a second time; whatever the node's book says, nothing is forgotten.
#[test]
fn what_a_damaged_channel_may_hold_of_a_forward_is_neither_sent_on_nor_given_up() {
    for (apart, says) in [
        (INBOUND_CHANNEL, InboundState::Gone),
        (INBOUND_CHANNEL, InboundState::Resolved),
        (OUTBOUND_CHANNEL, InboundState::Open),
    ] {
        let (mut forward, node) = forwarding(Logs::One, ANCHORS);
        let stores = node.stores.image(Survivors::SyncedOnly);
        drop(node);
        let stream = Stream::Channel(channel_id(apart));
        let inner = stores.monitors.clone();
        let damaged = DamagedStore { inner, stream, damage: Damage::Whole };
        let mut ports = ports_on(&forward.world, Box::new(damaged), None);
        ports.forwards = Box::new(Says(says));
        let mut node = Node { driver: Driver::start(ports).unwrap(), stores };
        let advice: Vec<Action> =
            node.driver.take_advice().into_iter().map(|planned| planned.action).collect();
        assert_eq!(advice, [], "{apart}, {says:?}: nothing is known, so nothing is advised");
        assert_eq!(node.damaged(), [channel_id(apart)], "{apart}");

        // The node, which has forgotten, sends it on again.
        let sound = [OUTBOUND_CHANNEL, INBOUND_CHANNEL][usize::from(apart == OUTBOUND_CHANNEL)];
        let records = node.stores.records();
        let htlc_id = forward.world.channels[sound].take_htlc_id();
        let again = Htlc {
            direction: HtlcDirection::Offered,
            htlc_id,
            amount_msat: AmountMsat(60_000_000),
            payment_hash: PREIMAGE.payment_hash(),
            cltv_expiry: BlockHeight(forward.world.height() + 100),
            origin: HtlcOrigin::Forward(ForwardOrigin {
                inbound: INBOUND,
                inbound_amount_msat: AmountMsat(60_001_000),
                inbound_cltv_expiry: BlockHeight(forward.world.height() + 60),
            }),
        };
        let update = forward.world.channels[sound].add(again);
        let error = node.driver.update(vec![update]).expect_err("it may have been sent on");
        assert!(
            matches!(error, EngineError::Damaged(id) if id == channel_id(apart)),
            "{apart}: {error}"
        );
        assert_eq!(node.stores.records(), records, "{apart}: nothing was written");
    }
}

/// The outbound half is fulfilled while the channel of the inbound one cannot be read: the preimage
/// stays, however often the node starts, until the channel can be read and is claimed.
#[test]
fn the_preimage_for_an_inbound_half_in_a_damaged_channel_is_not_forgotten() {
    for says in [InboundState::Gone, InboundState::Resolved] {
        let (mut forward, node) = forwarding(Logs::One, ANCHORS);
        let mut stores = node.stores.image(Survivors::SyncedOnly);
        drop(node);
        let start = |world: &World, stores: &Stores| {
            let stream = Stream::Channel(channel_id(INBOUND_CHANNEL));
            let inner = stores.monitors.clone();
            let damaged = DamagedStore { inner, stream, damage: Damage::Whole };
            let mut ports = ports_on(world, Box::new(damaged), None);
            ports.forwards = Box::new(Says(says));
            Driver::start(ports).unwrap()
        };
        let outbound = forward.outbound;
        for round in 0..3 {
            let mut driver = start(&forward.world, &stores);
            if round == 0 {
                let reason = RemovalReason::Fulfilled { preimage: PREIMAGE };
                let removal =
                    forward.world.channels[OUTBOUND_CHANNEL].remove(outbound.htlc_id, reason);
                driver.update(removal.to_vec()).unwrap();
            }
            let claim = Action::ClaimInbound { inbound: INBOUND, outbound, preimage: PREIMAGE };
            let advice = driver.take_advice();
            assert!(advice.iter().any(|planned| planned.action == claim), "{says:?}, {round}");
            let state = driver.monitor(outbound.channel_id).unwrap().state();
            assert_eq!(state.htlcs[&(outbound.direction, outbound.htlc_id)].delivered, None);
            drop(driver);
            stores = stores.image(Survivors::SyncedOnly);
        }
        // It can be read again: it is claimed there, and only then the outbound half goes.
        let mut node = start_sound(&forward.world, stores, InboundState::Open);
        let state = node.state(INBOUND_CHANNEL);
        let inbound = &state.htlcs[&(INBOUND.direction, INBOUND.htlc_id)];
        assert!(inbound.claim.is_some(), "{says:?}");
    }
}

fn start_sound(world: &World, stores: Stores, state: InboundState) -> Node {
    start(world, stores, state, &Bomb::default())
}
