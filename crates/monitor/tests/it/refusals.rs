//! What a monitor refuses, and that a refusal changes nothing.

use lastword_monitor::{Monitor, MonitorError};
use lastword_types::{
    AmountMsat, BlockHeight, ChainDelta, ChannelId, CommitmentFormat, CommitmentNumber, HtlcAdded,
    HtlcDirection, HtlcId, HtlcKey, HtlcOrigin, HtlcRemoved, MonitorRecord, MonitorUpdate,
    PerCommitmentSecret, ReleasePaymentComplete, RemoteCommitment, RemovalReason, Side, Told,
    UpdateId, UpdateStep,
};

use crate::channel::{CHANNEL, Channel, FAILED, PEER, US, block, fulfilled, offer, preimage};
use crate::spend::spend;

fn channel() -> Channel {
    Channel::new(CommitmentFormat::StaticRemoteKey)
}

/// Checks that a record is refused for a reason, and that the monitor still takes good ones.
fn refuses(channel: &Channel, record: &MonitorRecord, expected: &MonitorError) {
    let mut monitor = channel.monitor().clone();
    let before = monitor.state().clone();
    assert_eq!(&monitor.apply(record).unwrap_err(), expected);
    assert_eq!(monitor.state(), &before);
    let update_id = UpdateId(before.latest_update.0 + 1);
    monitor.apply(&update(CHANNEL, update_id.0, vec![UpdateStep::FailChannel])).unwrap();
}

fn refuses_steps(channel: &Channel, steps: Vec<UpdateStep>, expected: &MonitorError) {
    let next = channel.monitor().state().latest_update.0 + 1;
    refuses(channel, &update(CHANNEL, next, steps), expected);
}

fn update(channel_id: ChannelId, id: u64, steps: Vec<UpdateStep>) -> MonitorRecord {
    MonitorRecord::Update(MonitorUpdate { channel_id, update_id: UpdateId(id), steps })
}

fn connected(height: u32, branch: u8, transactions: Vec<bitcoin::Transaction>) -> MonitorRecord {
    MonitorRecord::Chain(ChainDelta::Connected { block: block(height, branch), transactions })
}

/// The commitment of the peer that would come next, as it is.
fn next_remote(channel: &Channel) -> RemoteCommitment {
    let newest = &channel.newest(PEER).unsigned;
    RemoteCommitment {
        number: newest.number.next().unwrap(),
        per_commitment_point: newest.per_commitment_point,
        feerate_per_kw: newest.feerate_per_kw,
        to_local_msat: newest.to_local_msat,
        to_remote_msat: newest.to_remote_msat,
        added: Vec::new(),
        removed: Vec::new(),
    }
}

fn step(remote: RemoteCommitment) -> Vec<UpdateStep> {
    vec![UpdateStep::RemoteCommitment(remote)]
}

const OFFERED: (HtlcDirection, HtlcId) = (HtlcDirection::Offered, HtlcId(0));

#[test]
fn a_record_for_another_channel_is_refused() {
    let channel = channel();
    let got = ChannelId([8; 32]);
    let expected = MonitorError::WrongChannel { expected: CHANNEL, got };
    refuses(&channel, &update(got, 1, vec![]), &expected);
    let htlc = HtlcKey { channel_id: got, direction: OFFERED.0, htlc_id: OFFERED.1 };
    let release = ReleasePaymentComplete { htlc, told: Told::Forward };
    refuses(&channel, &MonitorRecord::Release(release), &expected);
}

#[test]
fn a_channel_is_created_once() {
    let channel = channel();
    refuses(&channel, &channel.records[0], &MonitorError::AlreadyCreated);
}

#[test]
fn an_update_twice_says_nothing_new_and_a_gap_is_refused() {
    let mut channel = channel();
    channel.add(US, offer(1, 50_000));
    let latest = channel.monitor().state().latest_update;
    for id in 0..=latest.0 {
        let again = update(CHANNEL, id, vec![UpdateStep::FailChannel]);
        assert!(channel.monitor().check(&again).unwrap().is_noop());
    }
    let got = UpdateId(latest.0 + 2);
    refuses(&channel, &update(CHANNEL, got.0, vec![]), &MonitorError::UpdateGap { latest, got });
}

#[test]
fn a_commitment_comes_with_the_next_number() {
    let channel = channel();
    let [got, latest] = [CommitmentNumber::new(2).unwrap(), CommitmentNumber::ZERO];
    let remote = RemoteCommitment { number: got, ..next_remote(&channel) };
    let expected = MonitorError::WrongCommitmentNumber { owner: Side::Remote, latest, got };
    refuses_steps(&channel, step(remote), &expected);
}

#[test]
fn the_peer_revokes_before_it_gets_another_commitment() {
    let mut channel = channel();
    let name = channel.draft(US, offer(1, 50_000));
    channel.sign(PEER, &[name], &[]);
    let expected = MonitorError::NotRevoked { previous: CommitmentNumber::ZERO };
    refuses_steps(&channel, step(next_remote(&channel)), &expected);
}

#[test]
fn a_revocation_needs_the_right_number_and_the_right_secret() {
    let mut channel = channel();
    let [zero, one] = [CommitmentNumber::ZERO, CommitmentNumber::new(1).unwrap()];
    let secret = channel.nodes[PEER].keys.per_commitment_secret(zero);
    let revocation = |number, secret| vec![UpdateStep::RemoteRevocation { number, secret }];
    let nothing = MonitorError::WrongRevocation { previous: None, got: zero };
    refuses_steps(&channel, revocation(zero, secret), &nothing);

    let name = channel.draft(US, offer(1, 50_000));
    channel.sign(PEER, &[name], &[]);
    let other = MonitorError::WrongRevocation { previous: Some(zero), got: one };
    refuses_steps(&channel, revocation(one, secret), &other);
    let wrong = channel.nodes[PEER].keys.per_commitment_secret(one);
    refuses_steps(&channel, revocation(zero, wrong), &MonitorError::WrongSecret { number: zero });
    let next = channel.monitor().state().latest_update.0 + 1;
    let no_secret = update(CHANNEL, next, revocation(zero, PerCommitmentSecret([0; 32])));
    let refused = channel.monitor().check(&no_secret).unwrap_err();
    assert!(matches!(refused, MonitorError::SecretMismatch { .. }));
    channel.revoke(PEER);
}

#[test]
fn a_secret_that_does_not_derive_those_before_it_is_refused() {
    let mut channel = channel();
    for n in 0..2 {
        let name = channel.draft(US, offer(1 + n, 50_000));
        channel.sign(PEER, &[name], &[]);
        if n == 0 {
            channel.revoke(PEER);
        }
    }
    // The point of a secret that no seed gives together with the first one.
    let number = CommitmentNumber::new(1).unwrap();
    let secret = PerCommitmentSecret([0x42; 32]);
    let mut state = channel.monitor().state().clone();
    state.remote_previous.as_mut().unwrap().per_commitment_point =
        lastword_bolt3::point_of(&secret).unwrap();
    let monitor = Monitor::restore(state).unwrap();
    let steps = vec![UpdateStep::RemoteRevocation { number, secret }];
    let record = update(CHANNEL, monitor.state().latest_update.0 + 1, steps);

    let refused = monitor.check(&record).unwrap_err();
    assert!(matches!(refused, MonitorError::SecretMismatch { .. }), "{refused:?}");
}

#[test]
fn htlcs_enter_and_leave_only_as_they_can() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    let (direction, htlc_id) = OFFERED;
    let present = MonitorError::HtlcPresent { direction, htlc_id };
    let next = next_remote(&channel);
    let added = |added| RemoteCommitment { added: vec![added], ..next.clone() };
    let removed = |htlc_id, reason| {
        let removed = vec![HtlcRemoved { direction, htlc_id, reason }];
        step(RemoteCommitment { removed, ..next.clone() })
    };

    refuses_steps(&channel, step(added(HtlcAdded::New(channel.htlc(US, name)))), &present);
    refuses_steps(&channel, step(added(HtlcAdded::Known { direction, htlc_id })), &present);
    let unknown = MonitorError::UnknownHtlc { direction, htlc_id: HtlcId(9) };
    let known = HtlcAdded::Known { direction, htlc_id: HtlcId(9) };
    refuses_steps(&channel, step(added(known)), &unknown);
    refuses_steps(&channel, removed(HtlcId(9), FAILED), &unknown);
    let wrong = MonitorError::WrongPreimage { direction, htlc_id };
    refuses_steps(&channel, removed(htlc_id, fulfilled(2)), &wrong);
    let fulfill = UpdateStep::Fulfill { htlc_id, preimage: preimage(2) };
    refuses_steps(&channel, vec![fulfill], &wrong);
    let fulfill = UpdateStep::Fulfill { htlc_id: HtlcId(9), preimage: preimage(2) };
    refuses_steps(&channel, vec![fulfill], &unknown);

    channel.sign(US, &[], &[(name, FAILED)]);
    let other = MonitorError::OtherReason { direction, htlc_id };
    refuses_steps(&channel, removed(htlc_id, RemovalReason::Failed { code: 1 }), &other);
    channel.sign(PEER, &[], &[(name, FAILED)]);
    channel.revoke(PEER);
    let next = next_remote(&channel);
    let removed = vec![HtlcRemoved { direction, htlc_id, reason: FAILED }];
    let absent = MonitorError::HtlcAbsent { owner: Side::Remote, direction, htlc_id };
    refuses_steps(&channel, step(RemoteCommitment { removed, ..next.clone() }), &absent);
    let again = RemoteCommitment { added: vec![HtlcAdded::Known { direction, htlc_id }], ..next };
    refuses_steps(&channel, step(again), &present);
}

#[test]
fn what_was_removed_on_one_side_does_not_enter_the_other() {
    let mut channel = channel();
    let name = channel.draft(US, offer(1, 50_000));
    channel.sign(PEER, &[name], &[]);
    channel.revoke(PEER);
    channel.sign(PEER, &[], &[(name, FAILED)]);
    let newest = &channel.newest(US).unsigned;
    let (direction, htlc_id) = OFFERED;
    let local = lastword_types::LocalCommitment {
        number: newest.number.next().unwrap(),
        per_commitment_point: newest.per_commitment_point,
        feerate_per_kw: newest.feerate_per_kw,
        to_local_msat: AmountMsat(newest.to_local_msat.0 - 50_000_000),
        to_remote_msat: newest.to_remote_msat,
        added: vec![HtlcAdded::Known { direction, htlc_id }],
        removed: Vec::new(),
        signature: channel.monitor().state().local.signature,
        htlc_signatures: Vec::new(),
    };
    let expected = MonitorError::HtlcPresent { direction, htlc_id };
    refuses_steps(&channel, vec![UpdateStep::LocalCommitment(local)], &expected);
}

#[test]
fn a_new_htlc_must_make_sense() {
    let mut channel = channel();
    let name = channel.draft(US, offer(1, 50_000));
    let (direction, htlc_id) = OFFERED;
    let htlc = channel.htlc(US, name);
    let next = next_remote(&channel);
    let add = |htlc| step(RemoteCommitment { added: vec![HtlcAdded::New(htlc)], ..next.clone() });

    let origin = lastword_types::Htlc { origin: HtlcOrigin::Ours, ..htlc.clone() };
    refuses_steps(&channel, add(origin), &MonitorError::WrongOrigin { direction, htlc_id });
    let expiry = lastword_types::Htlc { cltv_expiry: BlockHeight(500_000_000), ..htlc.clone() };
    refuses_steps(&channel, add(expiry), &MonitorError::ExpiryIsNoHeight { direction, htlc_id });
    let wrong = MonitorError::WrongBalance { owner: Side::Remote, number: next.number };
    refuses_steps(&channel, add(htlc.clone()), &wrong);
    let huge = lastword_types::Htlc { amount_msat: AmountMsat(u64::MAX), ..htlc };
    refuses_steps(&channel, add(huge), &wrong);
}

#[test]
fn a_commitment_holds_at_most_483_htlcs_of_each_direction() {
    let channel = channel();
    let htlc = |id: u64| lastword_types::Htlc {
        direction: HtlcDirection::Offered,
        htlc_id: HtlcId(id),
        amount_msat: AmountMsat(1000),
        payment_hash: preimage(1).payment_hash(),
        cltv_expiry: BlockHeight(500),
        origin: HtlcOrigin::Payment(crate::channel::origin(id, 1000)),
    };
    let next = |count: u64| {
        let next = next_remote(&channel);
        RemoteCommitment {
            to_remote_msat: AmountMsat(next.to_remote_msat.0 - 1000 * count),
            added: (0..count).map(|id| HtlcAdded::New(htlc(id))).collect(),
            ..next
        }
    };
    let direction = HtlcDirection::Offered;
    let expected = MonitorError::TooManyHtlcs { owner: Side::Remote, direction };
    refuses_steps(&channel, step(next(484)), &expected);
    assert!(channel.monitor().check(&update(CHANNEL, 1, step(next(483)))).is_ok());
}

#[test]
fn more_signatures_than_htlcs_are_refused() {
    let channel = channel();
    let newest = &channel.newest(US).unsigned;
    let signature = channel.monitor().state().local.signature;
    let local = lastword_types::LocalCommitment {
        number: newest.number.next().unwrap(),
        per_commitment_point: newest.per_commitment_point,
        feerate_per_kw: newest.feerate_per_kw,
        to_local_msat: newest.to_local_msat,
        to_remote_msat: newest.to_remote_msat,
        added: Vec::new(),
        removed: Vec::new(),
        signature,
        htlc_signatures: vec![signature],
    };
    let expected = MonitorError::TooManySignatures { signatures: 1, htlcs: 0 };
    refuses_steps(&channel, vec![UpdateStep::LocalCommitment(local)], &expected);
}

#[test]
fn a_release_of_what_is_not_owed_is_refused() {
    let mut channel = channel();
    channel.add(PEER, offer(1, 50_000));
    let release = |direction| {
        let htlc = HtlcKey { channel_id: CHANNEL, direction, htlc_id: HtlcId(0) };
        MonitorRecord::Release(ReleasePaymentComplete { htlc, told: Told::Forward })
    };
    let (direction, htlc_id) = OFFERED;
    let unknown = MonitorError::UnknownHtlc { direction, htlc_id };
    refuses(&channel, &release(HtlcDirection::Offered), &unknown);
    let nothing = MonitorError::NothingToRelease { htlc_id };
    refuses(&channel, &release(HtlcDirection::Received), &nothing);
}

#[test]
fn an_inbound_half_of_no_forward_is_refused() {
    let mut channel = channel();
    channel.add(PEER, offer(1, 50_000));
    channel.add(US, offer(2, 50_000));
    let on_chain = |channel_id, direction, id| {
        let htlc = HtlcKey { channel_id, direction, htlc_id: HtlcId(id) };
        MonitorRecord::InboundOnChain { htlc }
    };
    for direction in [HtlcDirection::Offered, HtlcDirection::Received] {
        let unknown = MonitorError::UnknownHtlc { direction, htlc_id: HtlcId(7) };
        refuses(&channel, &on_chain(CHANNEL, direction, 7), &unknown);
        let no_forward = MonitorError::NoForward { direction, htlc_id: HtlcId(0) };
        refuses(&channel, &on_chain(CHANNEL, direction, 0), &no_forward);
    }
    let got = ChannelId([8; 32]);
    let expected = MonitorError::WrongChannel { expected: CHANNEL, got };
    refuses(&channel, &on_chain(got, HtlcDirection::Offered, 0), &expected);
}

#[test]
fn a_block_that_does_not_connect_is_refused() {
    let mut channel = channel();
    channel.add(US, offer(1, 50_000));
    let closing = channel.newest(US).transaction.clone();
    channel.connect(200, &[&closing]);
    channel.connect(205, &[]);
    let funding = channel.nodes[US].parameters.funding_outpoint;
    let doesnt = |block, known| MonitorError::BlockDoesNotConnect { block, known };

    let other_tip = doesnt(block(205, 1), block(205, 0));
    refuses(&channel, &connected(205, 1, vec![]), &other_tip);
    let other_close = doesnt(block(200, 1), block(200, 0));
    refuses(&channel, &connected(200, 1, vec![]), &other_close);
    let unseen = spend(bitcoin::OutPoint { txid: closing.compute_txid(), vout: 0 }, 0, 0);
    let below = doesnt(block(203, 1), block(205, 0));
    refuses(&channel, &connected(203, 1, vec![unseen]), &below);
    let twice = MonitorError::SpentTwice { outpoint: funding, known: block(200, 0) };
    refuses(&channel, &connected(206, 0, vec![spend(funding, 0, 0)]), &twice);
    refuses(&channel, &connected(206, 0, vec![closing]), &twice);
}

#[test]
fn a_fork_at_another_block_than_was_seen_is_refused() {
    let mut channel = channel();
    channel.connect(200, &[]);
    let fork = |height, branch| {
        MonitorRecord::Chain(ChainDelta::Disconnected { fork: block(height, branch) })
    };
    let expected = MonitorError::BlockDoesNotConnect { block: block(200, 1), known: block(200, 0) };
    refuses(&channel, &fork(200, 1), &expected);
    assert!(channel.monitor().check(&fork(200, 0)).unwrap().is_noop());
    assert!(channel.monitor().check(&fork(201, 1)).unwrap().is_noop());
    assert!(!channel.monitor().check(&fork(199, 1)).unwrap().is_noop());
}

#[test]
fn a_block_again_says_nothing_new() {
    let mut channel = channel();
    channel.add(US, offer(1, 50_000));
    let closing = channel.newest(US).transaction.clone();
    channel.connect(200, &[&closing]);
    channel.connect(205, &[]);
    for again in
        [connected(200, 0, vec![closing]), connected(205, 0, vec![]), connected(3, 0, vec![])]
    {
        assert!(channel.monitor().check(&again).unwrap().is_noop());
    }
}

#[test]
#[expect(clippy::should_panic_without_expect, reason = "the text of the panic is for people")]
#[should_panic]
fn a_token_of_another_moment_is_a_bug_of_the_driver() {
    let channel = channel();
    let mut monitor = channel.monitor().clone();
    let record = update(CHANNEL, 1, vec![UpdateStep::FailChannel]);
    let (first, second) = (monitor.check(&record).unwrap(), monitor.check(&record).unwrap());
    monitor.commit(first);
    monitor.commit(second);
}

type Damage = fn(&mut lastword_types::MonitorState);

#[test]
fn a_state_that_contradicts_itself_is_not_restored() {
    let mut channel = channel();
    channel.add(US, offer(1, 50_000));
    let closing = channel.newest(US).transaction.clone();
    channel.connect(200, &[&closing]);
    let good = channel.monitor().state().clone();
    let damages: [(&str, Damage); 9] = [
        ("balance", |state| state.remote.to_local_msat = AmountMsat(1)),
        ("secret", |state| state.remote_secrets.clear()),
        ("name", |state| state.htlcs.values_mut().for_each(|it| it.htlc.htlc_id = HtlcId(3))),
        ("spell", |state| state.htlcs.values_mut().for_each(|it| it.local = None)),
        ("late", |state| {
            state.htlcs.values_mut().for_each(|it| it.late_preimage = Some(preimage(1)));
        }),
        ("failed", |state| {
            state.htlcs.values_mut().for_each(|it| it.removal = Some(FAILED));
        }),
        ("best", |state| state.best = block(199, 0)),
        ("closing", |state| {
            let spend = state.funding_spend.as_mut().unwrap();
            spend.transaction.output.clear();
        }),
        ("hash", |state| {
            let hash = lastword_types::PaymentHash([1; 32]);
            state.preimages.insert(hash, preimage(1));
        }),
    ];
    Monitor::restore(good.clone()).unwrap();
    for (name, damage) in damages {
        let mut state = good.clone();
        damage(&mut state);
        assert!(Monitor::restore(state).is_err(), "{name}");
    }
}

#[test]
fn a_channel_begins_with_two_commitments_of_number_zero_that_add_up() {
    let channel = channel();
    let MonitorRecord::Created(new) = &channel.records[0] else { panic!("it creates") };
    let number = CommitmentNumber::new(1).unwrap();

    let mut numbered = (**new).clone();
    numbered.remote.number = number;
    let (owner, latest) = (Side::Remote, CommitmentNumber::ZERO);
    let expected = MonitorError::WrongCommitmentNumber { owner, latest, got: number };
    assert_eq!(Monitor::create(numbered).unwrap_err(), expected);

    let mut rich = (**new).clone();
    rich.local.to_local_msat = AmountMsat(u64::MAX);
    let expected =
        MonitorError::WrongBalance { owner: Side::Local, number: CommitmentNumber::ZERO };
    assert_eq!(Monitor::create(rich).unwrap_err(), expected);

    let mut full = (**new).clone();
    let (direction, htlc_id) = OFFERED;
    full.local.added.push(HtlcAdded::Known { direction, htlc_id });
    assert!(matches!(Monitor::create(full).unwrap_err(), MonitorError::State(_)));
}

/// A claim names one received HTLC, with its own preimage, that was not failed back.
#[test]
fn only_what_we_received_and_did_not_fail_is_claimed() {
    let mut channel = channel();
    let offered = channel.add(US, offer(1, 50_000));
    let received = channel.add(PEER, offer(2, 50_000));
    let direction = HtlcDirection::Received;
    let claim = |id, n| vec![UpdateStep::ClaimHtlc { htlc_id: HtlcId(id), preimage: preimage(n) }];

    let unknown = MonitorError::UnknownHtlc { direction, htlc_id: HtlcId(received.1 + 7) };
    refuses_steps(&channel, claim(received.1 + 7, 2), &unknown);
    let htlc_id = HtlcId(received.1);
    let wrong = MonitorError::WrongPreimage { direction, htlc_id };
    refuses_steps(&channel, claim(received.1, 1), &wrong);
    assert_eq!(offered.1, received.1, "an offered HTLC of the same id is not meant");

    channel.sign(PEER, &[], &[(received, FAILED)]);
    let other = MonitorError::OtherReason { direction, htlc_id };
    refuses_steps(&channel, claim(received.1, 2), &other);
}
