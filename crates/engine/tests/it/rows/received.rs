//! Rows 32 to 35 of the crash windows of LDK, section 5.3: received payments.

use std::collections::BTreeSet;

use lastword_engine::EngineError;
use lastword_monitor::{ArchiveWaits, MonitorError};
use lastword_ports::{Frame, Stream, UpdateLog as _};
use lastword_reload::{Action, Planned, Reason};
use lastword_testkit::Survivors;
use lastword_types::{
    ARCHIVE_DEPTH, AmountMsat, ChannelId, Event, HtlcClaim, HtlcId, HtlcKey, HtlcOrigin,
    MonitorRecord, OutputSpendKind, PreimageSource, RemovalReason, UpdateStep,
};
use lastword_wire as wire;

use super::snapshot;
use crate::claim::{
    PART_MSAT, PREIMAGE, advice, claimed, fulfils, offer, paid, part, standing, standings,
};
use crate::node::{Logs, Node, Stores};
use crate::world::channel_id;

/// Writes the claim of one part, as a claim leaves it that was cut off or made one by one.
fn claim_alone(stores: &mut Stores, part: HtlcKey, parts: &BTreeSet<HtlcKey>) {
    let count = u64::try_from(parts.len()).unwrap();
    let claim = HtlcClaim {
        channel_id: part.channel_id,
        htlc_ids: [part.htlc_id].into(),
        preimage: PREIMAGE,
        source: PreimageSource::Invoice {
            parts: parts.clone(),
            amount_msat: AmountMsat(PART_MSAT * count),
        },
    };
    append(stores, part.channel_id, &wire::encode_monitor_record(&MonitorRecord::Claim(claim)));
}

fn append(stores: &mut Stores, channel_id: ChannelId, body: &[u8]) {
    let frame = Frame::Record { stream: Stream::Channel(channel_id), body };
    stores.monitors.append(&[frame]).unwrap();
    let _durable = stores.monitors.sync().unwrap();
}

/// Row 32: the claim of one part is durable, and that of the others and everything that the manager
/// knew is lost.
#[test]
fn row_32_a_claim_of_one_part_claims_all_from_the_monitors_alone() {
    let (world, node, parts) = paid(Logs::Two);
    for part in &parts {
        let mut left = snapshot(&node).without_book();
        claim_alone(&mut left, *part, &parts);
        let mut node = Node::start(&world, left);
        assert_eq!(standings(&mut node, &parts), [(true, None); 3], "from {part:?}");
        let mut advised = advice(&mut node);
        advised.sort_by_key(|action| format!("{action:?}"));
        assert_eq!(advised, fulfils(&parts));
        assert_eq!(node.tell(), [claimed(&parts)]);
        let records = node.stores.records();
        let mut node = node.crash(&world, Survivors::SyncedOnly);
        assert_eq!(node.stores.records(), records, "there is nothing more to claim");
        assert_eq!(node.tell(), []);
    }
}

/// A monitor that cannot be read makes the telling wait, and not the claims of the others.
#[test]
fn row_32_a_part_that_cannot_be_read_makes_the_payment_wait() {
    let (world, node, parts) = paid(Logs::Two);
    let mut whole = snapshot(&node);
    claim_alone(&mut whole, part(0, 1), &parts);
    let mut damaged = whole.image(Survivors::Everything);
    append(&mut damaged, channel_id(1), b"no record");
    let mut node = Node::start(&world, damaged);
    assert_eq!(node.damaged(), [channel_id(1)]);
    assert_eq!(
        [standing(&mut node, part(0, 0)), standing(&mut node, part(0, 1))],
        [(true, None); 2]
    );
    let waits =
        Action::WaitForPart { payment_hash: PREIMAGE.payment_hash(), channel_id: channel_id(1) };
    let planned = Planned { action: waits, reason: Reason::MonitorDamaged };
    assert!(node.driver.take_advice().contains(&planned));
    assert_eq!(node.tell(), []);
    let refused = node.driver.claim_payment(PREIMAGE, parts.clone());
    assert!(matches!(refused, Err(EngineError::Damaged(id)) if id == channel_id(1)));

    let mut node = Node::start(&world, whole);
    assert_eq!(node.tell(), [claimed(&parts)], "once it can be read");

    // A monitor that is not there at all.
    let with_stranger: BTreeSet<_> = parts
        .iter()
        .copied()
        .chain([HtlcKey { channel_id: channel_id(2), ..part(0, 0) }])
        .collect();
    let mut left = snapshot(&node);
    let (mut world, mut fresh, _) = paid(Logs::Two);
    left.clone_from(&snapshot(&fresh));
    claim_alone(&mut left, part(1, 0), &with_stranger);
    offer(&mut world, &mut fresh, part(1, 1), HtlcOrigin::Ours);
    let mut node = Node::start(&world, left);
    assert_eq!(standings(&mut node, &parts), [(true, None); 3]);
    let reasons: BTreeSet<_> = node.driver.take_advice().iter().map(|it| it.reason).collect();
    assert!(reasons.contains(&Reason::MonitorMissing));
    assert_eq!(node.tell(), []);
}

/// A part that is over when its turn comes is lost: that is said, and it is never claimed.
#[test]
fn row_32_a_part_that_was_failed_back_meanwhile_is_told_as_lost() {
    let (mut world, mut node, parts) = paid(Logs::Two);
    let reason = RemovalReason::Failed { code: 7 };
    let [ours, theirs] = world.channels[1].settle(HtlcId(0), reason);
    node.driver.update(vec![ours, theirs]).unwrap();
    let mut left = snapshot(&node);
    claim_alone(&mut left, part(0, 1), &parts);
    let mut node = Node::start(&world, left);
    let lost = Event::PaymentClaimed {
        payment_hash: PREIMAGE.payment_hash(),
        preimage: PREIMAGE,
        amount_msat: AmountMsat(2 * PART_MSAT),
        lost_msat: AmountMsat(PART_MSAT),
        parts: parts.clone(),
    };
    let event = node.driver.next_event().unwrap();
    assert_eq!(event, lost);
    // Forgotten meanwhile, it is told the same.
    node = node.crash(&world, Survivors::SyncedOnly);
    offer(&mut world, &mut node, part(1, 1), HtlcOrigin::Ours);
    assert!(!node.state(1).htlcs.contains_key(&(part(1, 0).direction, HtlcId(0))));
    node = node.crash(&world, Survivors::SyncedOnly);
    assert_eq!(node.tell(), [lost]);
    assert_eq!(node.crash(&world, Survivors::SyncedOnly).tell(), []);
}

/// Row 33: nobody handled that the payment is claimed, while its channels went on and hold nothing of
/// it any more.
#[test]
fn row_33_a_claimed_payment_is_told_until_it_is_handled_however_far_its_channels_went() {
    let (mut world, mut node, parts) = paid(Logs::Two);
    node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
    for part in &parts {
        let channel = usize::from(part.channel_id == channel_id(1));
        let reason = RemovalReason::Fulfilled { preimage: PREIMAGE };
        let updates = world.channels[channel].settle(part.htlc_id, reason);
        node.driver.update(updates.to_vec()).unwrap();
    }
    for channel in [0, 1] {
        offer(&mut world, &mut node, part(channel, 5), HtlcOrigin::Ours);
    }
    for _ in 0..3 {
        node = node.crash_without_book(&world);
        assert_eq!(node.driver.next_event(), Some(claimed(&parts)));
        assert_eq!(standings(&mut node, &parts), [(true, None); 3], "nothing is forgotten");
        assert_eq!(advice(&mut node), [], "every peer has heard it");
    }
    let before = snapshot(&node);
    node = Node::start(&world, before);
    assert_eq!(node.tell(), [claimed(&parts)]);
    for channel in [0, 1] {
        let state = node.state(channel);
        assert_eq!(state.htlcs.len(), 1, "what was told of is forgotten");
        assert_eq!(state.preimages.len(), 0);
    }
    assert_eq!(node.crash_without_book(&world).tell(), []);
}

/// Row 34: the channel of a claimed payment is archived: not before it was told, and from then on
/// nothing of it is claimed or told again.
#[test]
fn row_34_a_claim_in_an_archived_channel_is_over() {
    let (mut world, mut node, _) = paid(Logs::Two);
    let parts = BTreeSet::from([part(1, 0)]);
    node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
    world.peer_closes(1);
    node.poll();
    node.mine_and_poll(&world, ARCHIVE_DEPTH + 30);
    let spends = node.state(1).output_spends;
    let is_ours = |kind: &_| matches!(kind, OutputSpendKind::HtlcPreimage { .. });
    assert!(spends.values().any(|spend| is_ours(&spend.kind)), "it is claimed on chain");
    let monitor = node.driver.monitor(channel_id(1)).unwrap();
    let waits = ArchiveWaits::UntoldClaim { htlc_id: HtlcId(0) };
    let refused = monitor.check(&MonitorRecord::Archive).map(|_| ());
    assert_eq!(refused, Err(MonitorError::NotArchivable(waits)));

    assert_eq!(node.tell(), [claimed(&parts)]);
    node.mine_and_poll(&world, 1);
    assert!(node.driver.archived(channel_id(1)).unwrap().is_some());
    let records = node.stores.records();
    for _ in 0..2 {
        node = node.crash_without_book(&world);
        node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
        assert_eq!(node.tell(), []);
        assert_eq!(node.stores.records(), records);
    }
}

/// Row 35: a payment was received and the manager forgot it: it waits as it is, and is claimed as
/// soon as somebody asks for it.
#[test]
fn row_35_a_received_payment_that_the_manager_forgot_can_still_be_claimed() {
    let (world, node, parts) = paid(Logs::Two);
    let mut node = node.crash_without_book(&world);
    assert_eq!(advice(&mut node), []);
    assert_eq!(node.tell(), []);
    assert_eq!(standings(&mut node, &parts), [(false, None); 3]);
    node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
    assert_eq!(node.tell(), [claimed(&parts)]);
}

/// An external hook holds the payment while its channel goes on chain, and settles it then.
#[test]
fn museum_b109_a_held_payment_is_claimed_on_chain_and_told_when_that_is_durable() {
    let (mut world, mut node, _) = paid(Logs::Two);
    let parts = BTreeSet::from([part(0, 0), part(1, 0)]);
    world.peer_closes(0);
    node.poll();
    assert_eq!(node.tell(), []);
    node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
    assert_eq!(advice(&mut node), fulfils(&[part(1, 0)].into()), "the chain hears of the other");
    assert_eq!(node.tell(), [claimed(&parts)]);
    node = node.crash(&world, Survivors::SyncedOnly);
    node.poll();
    node.mine_and_poll(&world, 1);
    let spends = node.state(0).output_spends;
    let is_ours = |kind: &_| matches!(kind, OutputSpendKind::HtlcPreimage { .. });
    assert!(spends.values().any(|spend| is_ours(&spend.kind)), "at once");
}

/// Several parts over one channel, while the channel goes on: no part waits for another.
#[test]
fn museum_b110_parts_over_one_channel_wait_for_nobody() {
    let (mut world, mut node, _) = paid(Logs::Two);
    let parts = BTreeSet::from([part(0, 0), part(0, 1)]);
    // The peer owes us its revocation: this update is before the claim, and its answer behind it.
    let reason = RemovalReason::Fulfilled { preimage: PREIMAGE };
    let [ours, theirs] = world.channels[0].settle(HtlcId(0), reason);
    node.driver.update(vec![ours]).unwrap();
    let count = node.stores.records().len();
    node.driver.claim_payment(PREIMAGE, parts.clone()).unwrap();
    assert_eq!(node.stores.records().len(), count + 1, "one record for both");
    assert_eq!(advice(&mut node), fulfils(&[part(0, 1)].into()));
    node.driver.update(vec![theirs]).unwrap();
    let updates = world.channels[0].settle(HtlcId(1), reason);
    node = node.crash(&world, Survivors::SyncedOnly);
    node.driver.update(updates.to_vec()).unwrap();
    assert_eq!(node.tell(), [claimed(&parts)]);
    // An update with a claim of its own says nothing new and hinders nothing.
    let steps = vec![UpdateStep::ClaimHtlc { htlc_id: HtlcId(1), preimage: PREIMAGE }];
    let update = world.channels[0].update(steps);
    node.driver.update(vec![update]).unwrap();
    assert_eq!(node.crash(&world, Survivors::SyncedOnly).tell(), []);
}

/// A node whose memory is older than its monitors has a forward in its queue that left long ago.
#[test]
fn museum_b063_nothing_is_forwarded_twice() {
    let (mut world, node, key) = super::forward::between_two_channels();
    let (inbound, outbound) = key;
    // It never left: the node is asked to decide.
    let mut node = node.crash_without_book(&world);
    assert_eq!(advice(&mut node), [Action::DecideInbound { inbound, outbound }]);
    let htlc = super::forward::outbound_half(&world, inbound, outbound);
    let updates = vec![world.channels[0].add(htlc.clone()), world.channels[0].answer()];
    node.driver.update(updates.clone()).unwrap();
    // It left: nobody is asked, and another one is refused, in the same channel or elsewhere.
    let mut node = node.crash_without_book(&world);
    assert_eq!(advice(&mut node), []);
    node.driver.update(updates).expect("the same update again says nothing new");
    let next = world.channels[0].take_htlc_id();
    let again = lastword_types::Htlc { htlc_id: next, ..htlc };
    let update = world.channels[0].add(again.clone());
    let records = node.stores.records();
    let refused = node.driver.update(vec![update.clone()]);
    assert!(
        matches!(refused, Err(EngineError::ForwardedBefore { outbound: other, .. }) if other == outbound)
    );
    let staged = node.driver.stage(vec![lastword_engine::Request::Update(vec![update])]);
    assert!(matches!(staged[..], [Err(EngineError::ForwardedBefore { .. })]));
    assert_eq!(node.stores.records(), records, "nothing was written");
}

/// The same, once the inbound half is settled: its peer pays for nothing more.
#[test]
fn museum_b063_what_is_settled_is_not_forwarded() {
    let (mut world, mut node, (inbound, outbound)) = super::forward::between_two_channels();
    let reason = RemovalReason::Failed { code: 7 };
    let updates = world.channels[1].settle(inbound.htlc_id, reason);
    node.driver.update(updates.to_vec()).unwrap();
    let mut node = node.crash_without_book(&world);
    assert_eq!(advice(&mut node), []);
    let htlc = super::forward::outbound_half(&world, inbound, outbound);
    let refused = node.driver.update(vec![world.channels[0].add(htlc)]);
    assert!(matches!(refused, Err(EngineError::InboundSettled(of)) if of == inbound));
}
