//! Archiving (rule R11): what it waits for, and that nothing changes an archived channel.

use lastword_monitor::{ArchiveWaits, Monitor, MonitorError, Noop};
use lastword_ports::Ledger as _;
use lastword_types::{
    ARCHIVE_DEPTH, BlockHeight, BookEpoch, ChainDelta, CommitmentFormat, Generation, HtlcDirection,
    HtlcId, HtlcKey, MonitorRecord, MonitorUpdate, Outcome, PaymentId, ReleasePaymentComplete,
    Told, Tombstone, UpdateId, UpdateStep,
};

use crate::channel::{CHANNEL, Channel, EXPIRY, FAILED, PEER, US, block, offer, preimage};
use crate::spend::spend;

fn refusal(channel: &Channel) -> Result<(), MonitorError> {
    channel.monitor().check(&MonitorRecord::Archive).map(|_| ())
}

fn waits(channel: &Channel) -> Option<ArchiveWaits> {
    match refusal(channel) {
        Err(MonitorError::NotArchivable(waits)) => Some(waits),
        Ok(()) => None,
        Err(other) => panic!("{other}"),
    }
}

/// A channel that was closed by mutual consent in block 200.
fn mutual() -> Channel {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let closing = spend(channel.nodes[US].parameters.funding_outpoint, 0, 0);
    let txid = closing.compute_txid();
    for node in [US, PEER] {
        channel.update(node, vec![UpdateStep::MutualClose { txid }]);
    }
    channel.connect(200, &[&closing]);
    channel
}

fn archived() -> Channel {
    let mut channel = mutual();
    channel.connect(200 + ARCHIVE_DEPTH - 1, &[]);
    channel.apply(US, MonitorRecord::Archive);
    channel
}

#[test]
fn r11_a_channel_is_archived_144_deep_and_not_a_block_earlier() {
    let mut channel = mutual();
    let until = BlockHeight(200 + ARCHIVE_DEPTH - 1);
    assert_eq!(until, BlockHeight(343));
    assert_eq!(waits(&channel), Some(ArchiveWaits::Depth { until }));
    channel.connect(205, &[]);
    assert_eq!(channel.monitor().card().next_deadline, Some(until));
    channel.connect(342, &[]);
    assert_eq!(waits(&channel), Some(ArchiveWaits::Depth { until }));
    channel.connect(343, &[]);
    assert_eq!(waits(&channel), None);
    assert_eq!(channel.monitor().card().next_deadline, None);
}

#[test]
fn r11_an_open_or_failed_channel_is_not_archived() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    channel.connect(1000, &[]);
    assert_eq!(waits(&channel), Some(ArchiveWaits::Open));
    channel.fail(US);
    assert_eq!(waits(&channel), Some(ArchiveWaits::Open));
}

#[test]
fn b044_nothing_is_archived_while_somebody_waits_for_an_outcome_or_a_preimage() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let [payment, forward] =
        [channel.add(US, offer(1, 50_000)), channel.forward(offer(2, 50_000), EXPIRY + 100)];
    for name in [payment, forward] {
        channel.remove(name, FAILED);
    }
    channel.connect(200, &[&channel.newest(PEER).transaction.clone()]);
    let requests = channel.monitor().claim_requests();
    let to_us = requests.iter().max_by_key(|request| request.amount).unwrap().clone();
    let sweep = channel.answer(US, &to_us);
    channel.connect(202, &[&sweep]);
    channel.connect(2000, &[]);
    assert_eq!(waits(&channel), Some(ArchiveWaits::Untold { htlc_id: HtlcId(0) }));
    channel.tell(payment);
    assert_eq!(waits(&channel), Some(ArchiveWaits::Untold { htlc_id: HtlcId(1) }));
    channel.tell(forward);
    assert_eq!(waits(&channel), None);
}

#[test]
fn r11_what_is_undecided_or_unclaimed_keeps_a_channel() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    channel.add(PEER, offer(1, 50_000));
    channel.connect(200, &[&channel.newest(PEER).transaction.clone()]);
    channel.connect(2000, &[]);
    let (direction, htlc_id) = (HtlcDirection::Received, HtlcId(0));
    assert_eq!(waits(&channel), Some(ArchiveWaits::Undecided { direction, htlc_id }));

    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    channel.connect(200, &[&channel.newest(PEER).transaction.clone()]);
    channel.connect(2000, &[]);
    let request = channel.monitor().claim_requests()[0].clone();
    let outpoint = request.outpoint;
    assert_eq!(waits(&channel), Some(ArchiveWaits::Claim { outpoint }));
    let transaction = channel.answer(US, &request);
    channel.connect(2001, &[&transaction]);
    let until = BlockHeight(2001 + ARCHIVE_DEPTH - 1);
    assert_eq!(waits(&channel), Some(ArchiveWaits::Depth { until }));
    channel.connect(until.0, &[]);
    assert_eq!(waits(&channel), None);
}

/// The transaction that it was to bring in is confirmed, and nobody may ever want it.
#[test]
fn r11_our_anchor_keeps_no_channel() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    channel.connect(200, &[&channel.newest(PEER).transaction.clone()]);
    let requests = channel.monitor().claim_requests();
    let to_us = requests.iter().max_by_key(|request| request.amount).unwrap().clone();
    let transaction = channel.answer(US, &to_us);
    channel.connect(202, &[&transaction]);
    channel.connect(202 + ARCHIVE_DEPTH - 1, &[]);
    assert_eq!(channel.monitor().claim_requests().len(), 1);
    assert_eq!(waits(&channel), None);
}

#[test]
fn r11_nothing_changes_an_archived_channel() {
    let mut channel = archived();
    let card = channel.monitor().card();
    assert!(card.is_archived && card.is_closed && !card.has_claims && !card.has_undelivered);
    assert_eq!((card.watched, card.next_deadline), (vec![], None));
    assert_eq!(channel.monitor().claim_requests(), []);
    let before = channel.monitor().state().clone();
    let records = [
        MonitorRecord::Chain(ChainDelta::Connected { block: block(400, 0), transactions: vec![] }),
        MonitorRecord::Chain(ChainDelta::Disconnected { fork: block(150, 0) }),
        MonitorRecord::Archive,
    ];
    for record in records {
        channel.apply(US, record);
    }
    assert_eq!(*channel.monitor().state(), before);
    let restored = Monitor::restore(before.clone()).unwrap();
    assert_eq!(restored.card(), channel.monitor().card());
}

fn update_of(channel: &Channel, steps: Vec<UpdateStep>) -> MonitorRecord {
    let update_id = UpdateId(channel.monitor().state().latest_update.0 + 1);
    MonitorRecord::Update(MonitorUpdate { channel_id: CHANNEL, update_id, steps })
}

#[test]
fn b128_an_update_for_an_archived_channel_is_refused_and_a_preimage_or_release_comes_too_late() {
    let channel = archived();
    let noop = |record| channel.monitor().check(&record).map(|accepted| accepted.noop());
    let preimage = UpdateStep::Preimage { preimage: preimage(1) };
    let late = update_of(&channel, vec![preimage.clone()]);
    assert_eq!(noop(late), Ok(Some(Noop::Archived)));
    let direction = HtlcDirection::Offered;
    let htlc = HtlcKey { channel_id: CHANNEL, direction, htlc_id: HtlcId(0) };
    let release = ReleasePaymentComplete { htlc, told: Told::Forward };
    assert_eq!(noop(MonitorRecord::Release(release)), Ok(Some(Noop::Archived)));
    for steps in [vec![UpdateStep::FailChannel], vec![preimage, UpdateStep::DataLoss]] {
        assert_eq!(noop(update_of(&channel, steps)), Err(MonitorError::Archived));
    }
}

/// What was told as unknown is noted once, comes up again among the tombstones, and stays when those
/// are dropped and when the channel is archived.
#[test]
fn r10_a_payment_that_was_told_as_unknown_is_noted_and_stays() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let (payment_id, generation) = (PaymentId([7; 32]), Generation([8; 16]));
    let record = |generation| MonitorRecord::ToldUnknown { payment_id, generation };
    channel.apply(US, record(generation));
    assert_eq!(channel.monitor().check(&record(generation)).unwrap().noop(), Some(Noop::Known));
    let traces = |monitor: &Monitor, payment_id| {
        let mut traces = Vec::new();
        monitor.tombstones_of(payment_id, &mut |tombstone| traces.push(tombstone));
        traces
    };
    let noted = Tombstone { payment_id, generation, outcome: Outcome::Unknown };
    assert_eq!(traces(channel.monitor(), payment_id), [noted]);
    assert_eq!(traces(channel.monitor(), PaymentId([9; 32])), []);
    let prune = MonitorRecord::PruneTombstones { behind: BookEpoch(3) };
    assert!(channel.monitor().check(&prune).unwrap().is_noop(), "there is no other tombstone");

    let mut channel = archived();
    channel.apply(US, record(generation));
    assert_eq!(channel.monitor().check(&record(generation)).unwrap().noop(), Some(Noop::Known));
    assert_eq!(traces(channel.monitor(), payment_id), [noted]);
}

#[test]
fn tombstones_are_dropped_once_behind_each_epoch() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let prune = |epoch| MonitorRecord::PruneTombstones { behind: BookEpoch(epoch) };
    // There is nothing to drop, so nothing changes.
    assert!(channel.monitor().check(&prune(1)).unwrap().is_noop());
    let pay = |channel: &mut Channel| {
        let name = channel.add(US, offer(1, 20_000));
        channel.remove(name, FAILED);
        channel.tell(name);
        channel.sign(US, &[], &[]);
        channel.revoke(US);
    };
    pay(&mut channel);
    assert_eq!(channel.monitor().state().tombstones.len(), 1);
    channel.apply(US, prune(3));
    assert!(channel.monitor().state().tombstones.is_empty());
    assert_eq!(channel.monitor().card().pruned_behind, BookEpoch(3));
    pay(&mut channel);
    let refused = MonitorError::EpochNotRaised { latest: BookEpoch(3), got: BookEpoch(3) };
    assert_eq!(channel.monitor().check(&prune(3)).map(|_| ()), Err(refused));
    channel.apply(US, prune(4));
    assert_eq!(channel.monitor().state().pruned_behind, BookEpoch(4));
    let restored = Monitor::restore(channel.monitor().state().clone()).unwrap();
    assert_eq!(restored.card(), channel.monitor().card());
}
