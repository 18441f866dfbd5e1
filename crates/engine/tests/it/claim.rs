//! Received payments: claimed in all parts or in none, told until acknowledged, and then no more.

use std::collections::BTreeSet;

use lastword_engine::{Driver, EngineError};
use lastword_monitor::MonitorError;
use lastword_reload::Action;
use lastword_testkit::Survivors;
use lastword_types::{
    AmountMsat, BlockHeight, ChannelId, Event, Htlc, HtlcDirection, HtlcId, HtlcKey, HtlcOrigin,
    PaymentPreimage, RemovalReason, Told,
};

use crate::crash::{Bomb, unless_died};
use crate::node::{Logs, Node, Stores, ports};
use crate::world::{ANCHORS, STATIC, World, channel_id};

pub(crate) const PREIMAGE: PaymentPreimage = PaymentPreimage([0x33; 32]);
/// What each part is worth.
pub(crate) const PART_MSAT: u64 = 50_000_000;

/// Returns the name of an HTLC that the peer of a channel offered.
pub(crate) fn part(channel: usize, htlc_id: u64) -> HtlcKey {
    let (direction, htlc_id) = (HtlcDirection::Received, HtlcId(htlc_id));
    HtlcKey { channel_id: channel_id(channel), direction, htlc_id }
}

/// The peer of a channel offers an HTLC; it is irrevocably committed.
pub(crate) fn offer(world: &mut World, node: &mut Node, key: HtlcKey, origin: HtlcOrigin) {
    let expiry = world.height() + 200;
    let channel = world.channels.iter_mut().find(|it| it.id == key.channel_id).unwrap();
    let htlc = Htlc {
        direction: key.direction,
        htlc_id: key.htlc_id,
        amount_msat: AmountMsat(PART_MSAT),
        payment_hash: PREIMAGE.payment_hash(),
        cltv_expiry: BlockHeight(expiry),
        origin,
    };
    let updates = vec![channel.add(htlc), channel.answer()];
    node.driver.update(updates).unwrap();
}

/// A node with two channels, and a payment to it: two parts in the first, one in the second.
pub(crate) fn paid(logs: Logs) -> (World, Node, BTreeSet<HtlcKey>) {
    let (mut world, mut node) = Node::with_channels(logs, &[ANCHORS, STATIC]);
    let parts = BTreeSet::from([part(0, 0), part(0, 1), part(1, 0)]);
    for part in &parts {
        offer(&mut world, &mut node, *part, HtlcOrigin::Ours);
    }
    (world, node, parts)
}

pub(crate) fn claimed(parts: &BTreeSet<HtlcKey>) -> Event {
    Event::PaymentClaimed {
        payment_hash: PREIMAGE.payment_hash(),
        preimage: PREIMAGE,
        amount_msat: AmountMsat(PART_MSAT * u64::try_from(parts.len()).unwrap()),
        lost_msat: AmountMsat(0),
        parts: parts.clone(),
    }
}

/// Returns what the ledger knows of a part: whether it is claimed, and whether it is told of.
pub(crate) fn standing(node: &mut Node, part: HtlcKey) -> (bool, Option<Told>) {
    let state = node.driver.monitor(part.channel_id).unwrap().state();
    let htlc = &state.htlcs[&(part.direction, part.htlc_id)];
    (htlc.claim.is_some() && htlc.source.is_some(), htlc.delivered)
}

pub(crate) fn standings(node: &mut Node, parts: &BTreeSet<HtlcKey>) -> Vec<(bool, Option<Told>)> {
    parts.iter().map(|part| standing(node, *part)).collect()
}

pub(crate) fn advice(node: &mut Node) -> Vec<Action> {
    node.driver.take_advice().into_iter().map(|planned| planned.action).collect()
}

pub(crate) fn fulfils(parts: &BTreeSet<HtlcKey>) -> Vec<Action> {
    let fulfil = |htlc: &HtlcKey| Action::FulfillHtlc { htlc: *htlc, preimage: PREIMAGE };
    parts.iter().map(fulfil).collect()
}

fn refusal(node: &mut Node, parts: &BTreeSet<HtlcKey>) -> EngineError {
    let records = node.stores.records();
    let error = node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap_err();
    assert_eq!(node.stores.records(), records, "nothing was written");
    error
}

fn refused(error: &EngineError) -> &MonitorError {
    let EngineError::Monitor { source, .. } = error else { panic!("{error:?}") };
    source
}

#[test]
fn claiming_one_claims_all_and_is_told_until_it_is_acknowledged() {
    for logs in [Logs::One, Logs::Two] {
        let (world, mut node, parts) = paid(logs);
        assert_eq!(advice(&mut node), []);
        node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
        assert_eq!(standings(&mut node, &parts), [(true, None); 3]);
        assert_eq!(advice(&mut node), fulfils(&parts), "each peer has to hear the preimage");

        // Asked for again, nothing is written; told again after each crash, the same.
        let records = node.stores.records();
        node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
        assert_eq!(node.stores.records(), records);
        for _ in 0..2 {
            let event = node.driver.next_event().expect("it is told");
            assert_eq!(event, claimed(&parts));
            assert_eq!(node.driver.next_event(), None, "once at a time");
            node = node.crash(&world, Survivors::SyncedOnly);
            assert_eq!(node.driver.payment(event.key().unwrap().payment_id).map(|_| ()), None);
        }
        assert_eq!(node.tell(), [claimed(&parts)]);
        assert_eq!(standings(&mut node, &parts), [(true, Some(Told::Claimed)); 3]);

        // From then on nobody hears of it again, with any book or none; the peers still wait.
        advice(&mut node);
        node = node.crash_without_book(&world);
        assert_eq!(node.tell(), []);
        assert_eq!(advice(&mut node), fulfils(&parts));
    }
}

/// The event comes back from its handler as failed, and later as handled.
#[test]
fn a_handler_that_fails_hears_of_a_received_payment_again() {
    let (_, mut node, parts) = paid(Logs::Two);
    node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
    let event = node.driver.next_event().unwrap();
    node.driver.event_returned(&event, false).unwrap();
    assert_eq!(standings(&mut node, &parts), [(true, None); 3], "not released before handled");
    assert_eq!(node.tell(), std::slice::from_ref(&event));
    node.driver.event_returned(&event, true).expect("said again, it changes nothing");
    let never = claimed(&[part(0, 7)].into());
    assert!(matches!(
        node.driver.event_returned(&never, true),
        Err(EngineError::NeverTold(Some(key))) if Some(key) == never.key()
    ));
}

/// Wherever the node dies, the next start claims all parts or none; and whatever was told is told
/// again the same, until it is acknowledged.
#[test]
fn a_crash_between_any_two_writes_claims_all_parts_or_none() {
    let mut points = 0;
    for logs in [Logs::One, Logs::Two] {
        for survivors in [Survivors::SyncedOnly, Survivors::Everything] {
            for boundary in 1.. {
                let (world, node, parts) = paid(logs);
                let bomb = Bomb::default();
                let mut node = observed(&world, node.stores, &bomb);
                bomb.set_in(boundary);
                let mut told = Vec::new();
                let whole = unless_died(|| {
                    node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
                    while let Some(event) = node.driver.next_event() {
                        told.push(event.clone());
                        node.driver.event_returned(&event, true).unwrap();
                    }
                });
                let mut node = node.crash(&world, survivors);
                let before = standings(&mut node, &parts);
                assert!(before.windows(2).all(|two| two[0] == two[1]), "{boundary}: {before:?}");
                let is_claimed = before[0].0;
                assert!(is_claimed || told.is_empty(), "told before it is durable");
                let again = node.tell();
                match before[0].1 {
                    Some(_) => assert_eq!(again, [], "{boundary}: told after it was released"),
                    None if is_claimed => assert_eq!(again, [claimed(&parts)], "{boundary}"),
                    None => assert_eq!(again, [], "{boundary}"),
                }
                assert!(told.iter().all(|event| *event == claimed(&parts)));
                if whole.is_some() {
                    assert_eq!(before[0], (true, Some(Told::Claimed)));
                    break;
                }
                points += 1;
            }
        }
    }
    println!("figure: crashes while a payment is claimed: {points} points");
    assert!(points >= 16, "only {points} points");
}

fn observed(world: &World, stores: Stores, bomb: &Bomb) -> Node {
    let mut ports = ports(world, &stores);
    ports.observer = Box::new(bomb.clone());
    Node { driver: Driver::start(ports).expect("the stores are sound"), stores }
}

/// What is no part of ours, or is one no more, is refused with the reason, and nothing is claimed.
#[test]
fn a_claim_that_cannot_be_whole_is_refused_whole() {
    let (mut world, mut node, parts) = paid(Logs::Two);
    let with = |key| parts.iter().copied().chain([key]).collect::<BTreeSet<_>>();
    let direction = HtlcDirection::Received;

    assert!(matches!(refusal(&mut node, &BTreeSet::new()), EngineError::NoParts));
    let unknown = HtlcKey { channel_id: ChannelId([9; 32]), ..part(0, 0) };
    let error = refusal(&mut node, &with(unknown));
    assert!(matches!(error, EngineError::UnknownChannel(id) if id == unknown.channel_id));
    let htlc_id = HtlcId(9);
    let error = refusal(&mut node, &with(part(1, 9)));
    assert_eq!(*refused(&error), MonitorError::UnknownHtlc { direction, htlc_id });

    // One that is only passing through is not claimed with the preimage of an invoice (B011).
    let outbound = HtlcKey { direction: HtlcDirection::Offered, ..part(0, 5) };
    offer(&mut world, &mut node, part(1, 1), HtlcOrigin::Forwarded { outbound });
    let error = refusal(&mut node, &with(part(1, 1)));
    assert_eq!(*refused(&error), MonitorError::OtherSource { htlc_id: HtlcId(1) });

    let wrong = node.driver.claim_payment(PaymentPreimage([1; 32]), parts.clone()).unwrap_err();
    let htlc_id = HtlcId(0);
    assert_eq!(*refused(&wrong), MonitorError::WrongPreimage { direction, htlc_id });
    assert_eq!(standings(&mut node, &parts), [(false, None); 3]);

    // One that was failed back is not claimed any more.
    let reason = RemovalReason::Failed { code: 7 };
    let [ours, theirs] = world.channels[1].settle(HtlcId(0), reason);
    node.driver.update(vec![ours]).unwrap();
    let error = refusal(&mut node, &parts);
    assert_eq!(*refused(&error), MonitorError::OtherReason { direction, htlc_id });
    node.driver.update(vec![theirs]).unwrap();
    // With the next commitment of ours nothing holds it any more.
    offer(&mut world, &mut node, part(1, 2), HtlcOrigin::Ours);
    let error = refusal(&mut node, &parts);
    assert!(matches!(error, EngineError::PartGone(gone) if gone == part(1, 0)), "{error:?}");
    let two = BTreeSet::from([part(0, 0), part(0, 1)]);
    node.driver.claim_payment(PREIMAGE, two.clone()).unwrap();
    assert_eq!(node.tell(), [claimed(&two)]);

    // And a part of one payment is no part of another.
    let error = refusal(&mut node, &[part(0, 0)].into());
    assert_eq!(*refused(&error), MonitorError::OtherSource { htlc_id: HtlcId(0) });
}
