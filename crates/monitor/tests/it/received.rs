//! Claims of received HTLCs (rule R13): by which right, how often, and until when they are told.

use std::collections::BTreeSet;

use lastword_monitor::{Monitor, MonitorError};
use lastword_ports::Ledger as _;
use lastword_types::{
    Alarm, AmountMsat, ChannelId, CommitmentFormat, Effect, EntryState, HtlcClaim, HtlcDirection,
    HtlcId, HtlcKey, MAX_CLAIM_PARTS, MonitorRecord, Overdue, PreimageSource,
    ReleasePaymentComplete, Told,
};

use crate::channel::{
    CHANNEL, Channel, EXPIRY, FAILED, Name, PEER, US, fulfilled, offer, preimage,
};
use crate::museum::{close, restart};

fn channel() -> Channel {
    Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc)
}

fn key(name: Name) -> HtlcKey {
    let (direction, htlc_id) = (HtlcDirection::Received, HtlcId(name.1));
    HtlcKey { channel_id: CHANNEL, direction, htlc_id }
}

fn invoice(parts: &[HtlcKey]) -> PreimageSource {
    PreimageSource::Invoice {
        parts: parts.iter().copied().collect(),
        amount_msat: AmountMsat(100_000_000),
    }
}

/// The claim of HTLCs of this channel with preimage `n`.
fn claim(n: u8, names: &[Name], source: PreimageSource) -> MonitorRecord {
    let htlc_ids = names.iter().map(|name| HtlcId(name.1)).collect();
    MonitorRecord::Claim(HtlcClaim { channel_id: CHANNEL, htlc_ids, preimage: preimage(n), source })
}

fn check(channel: &Channel, record: &MonitorRecord) -> Result<bool, MonitorError> {
    channel.monitor().check(record).map(|accepted| !accepted.is_noop())
}

fn told(name: Name) -> MonitorRecord {
    MonitorRecord::Release(ReleasePaymentComplete { htlc: key(name), told: Told::Claimed })
}

/// The HTLCs that somebody has to look at.
fn owed(monitor: &Monitor) -> Vec<(HtlcDirection, u64)> {
    let mut owed = Vec::new();
    monitor.for_each_undelivered(&mut |it| owed.push((it.key.direction, it.key.htlc_id.0)));
    owed
}

/// New commitments for both, with the HTLCs of those before.
fn turn(channel: &mut Channel) {
    for node in [PEER, US] {
        channel.sign(node, &[], &[]);
        channel.revoke(node);
    }
}

#[test]
fn a_claim_is_of_the_htlcs_that_it_names_and_of_no_other_of_their_hash() {
    let mut channel = channel();
    let names = [1, 1, 1].map(|n| channel.add(PEER, offer(n, 50_000)));
    let parts = [key(names[0]), key(names[2])];
    assert_eq!(owed(channel.monitor()), []);
    let record = claim(1, &[names[0], names[2]], invoice(&parts));
    let effects = channel.apply(US, record.clone());
    let changed: Vec<_> =
        effects.iter().filter(|it| matches!(it, Effect::LedgerChanged(_))).collect();
    assert_eq!(changed, [&Effect::LedgerChanged(parts[0]), &Effect::LedgerChanged(parts[1])]);
    assert_eq!(check(&channel, &record), Ok(false), "once");
    restart(&mut channel);
    let received = HtlcDirection::Received;
    assert_eq!(owed(channel.monitor()), [(received, 0), (received, 2)]);
    assert!(channel.monitor().card().has_undelivered);
    let state = channel.monitor().state();
    let claims: Vec<_> = state.htlcs.values().map(|it| (it.claim, it.source.clone())).collect();
    let claimed = (Some(preimage(1)), Some(invoice(&parts)));
    assert_eq!(claims, [claimed.clone(), (None, None), claimed]);
    assert!(state.preimages.is_empty());
    close(&mut channel, US);
    for (name, is_claimed) in names.into_iter().zip([true, false, true]) {
        let output = channel.output_of(US, name).unwrap();
        let requests = channel.monitor().claim_requests();
        assert_eq!(requests.iter().any(|it| it.outpoint == output), is_claimed);
    }
}

#[test]
fn every_wrong_claim_is_refused_with_its_reason() {
    let mut channel = channel();
    let names = [1, 2].map(|n| channel.add(PEER, offer(n, 50_000)));
    let offered = channel.add(US, offer(3, 50_000));
    let (direction, htlc_id) = (HtlcDirection::Received, HtlcId(0));
    let one = invoice(&[key(names[0])]);
    let refused = |channel: &Channel, record| check(channel, &record).unwrap_err();

    let record = claim(2, &[names[0]], one.clone());
    let wrong = MonitorError::WrongPreimage { direction, htlc_id };
    assert_eq!(refused(&channel, record), wrong);
    let record = claim(1, &[(PEER, 7)], invoice(&[key((PEER, 7))]));
    let unknown = MonitorError::UnknownHtlc { direction, htlc_id: HtlcId(7) };
    assert_eq!(refused(&channel, record), unknown);
    let offered = HtlcKey { direction: HtlcDirection::Offered, ..key(offered) };
    let many = (0..=MAX_CLAIM_PARTS as u64).map(|id| key((PEER, id))).collect::<Vec<_>>();
    for (names, source) in [
        (&[][..], one.clone()),
        (&names[..], one.clone()),
        (&names[..1], invoice(&[])),
        (&names[..1], invoice(&[key(names[0]), offered])),
        (&names[..1], invoice(&many)),
        (&names[..1], PreimageSource::Downstream { outbound: key(names[1]) }),
        (&names[..], PreimageSource::Downstream { outbound: offered }),
    ] {
        assert_eq!(refused(&channel, claim(1, names, source)), MonitorError::WrongParts);
    }
    let MonitorRecord::Claim(mut stray) = claim(1, &names[..1], one.clone()) else { panic!() };
    stray.channel_id = ChannelId([9; 32]);
    assert!(matches!(
        refused(&channel, MonitorRecord::Claim(stray)),
        MonitorError::WrongChannel { .. }
    ));

    // What is claimed by one right is not claimed by another.
    channel.apply(US, claim(1, &names[..1], one));
    let other = PreimageSource::Downstream { outbound: offered };
    for source in [other, invoice(&[key(names[0]), key(names[1])])] {
        let refusal = refused(&channel, claim(1, &names[..1], source));
        assert_eq!(refusal, MonitorError::OtherSource { htlc_id });
    }
    // What we failed back is not ours.
    channel.remove(names[1], FAILED);
    let refusal = refused(&channel, claim(2, &names[1..], invoice(&[key(names[1])])));
    assert_eq!(refusal, MonitorError::OtherReason { direction, htlc_id: HtlcId(1) });
    turn(&mut channel);
    let late = claim(2, &names[1..], invoice(&[key(names[1])]));
    assert_eq!(check(&channel, &late), Ok(false), "it is forgotten, and there is nothing to claim");
}

#[test]
fn a_claimed_part_is_kept_until_it_was_told_of_and_no_commitment_holds_it() {
    let mut channel = channel();
    let names = [1, 1].map(|n| channel.add(PEER, offer(n, 50_000)));
    let parts = names.map(key);
    let early = check(&channel, &told(names[0])).unwrap_err();
    assert_eq!(early, MonitorError::NothingToRelease { htlc_id: HtlcId(0) }, "not claimed");
    channel.apply(US, claim(1, &names, invoice(&parts)));
    for name in names {
        channel.remove(name, fulfilled(1));
    }
    turn(&mut channel);
    assert_eq!(channel.monitor().state().htlcs.len(), 2, "nobody was told");
    let forward = ReleasePaymentComplete { htlc: parts[0], told: Told::Forward };
    let wrong = check(&channel, &MonitorRecord::Release(forward)).unwrap_err();
    assert_eq!(wrong, MonitorError::NothingToRelease { htlc_id: HtlcId(0) });

    // One word for all parts of this channel.
    channel.apply(US, told(names[1]));
    assert_eq!(owed(channel.monitor()), []);
    assert!(!channel.monitor().card().has_undelivered);
    assert!(channel.monitor().state().htlcs.is_empty());
    assert!(channel.monitor().state().tombstones.is_empty());
    for name in names {
        assert_eq!(check(&channel, &told(name)), Ok(false), "said again, it is no news");
        let entry = channel.monitor().entry(HtlcDirection::Received, HtlcId(name.1));
        assert_eq!(entry, EntryState::Forgotten);
    }
    assert_eq!(
        check(&channel, &told((PEER, 9))).unwrap_err(),
        MonitorError::UnknownHtlc { direction: HtlcDirection::Received, htlc_id: HtlcId(9) }
    );
}

/// As long as its peer has not heard the preimage, a claimed HTLC is looked at after every start.
#[test]
fn what_is_claimed_is_owed_until_the_peer_has_heard_it() {
    let mut channel = channel();
    let ours = channel.add(PEER, offer(1, 50_000));
    let passing = channel.add(PEER, offer(2, 50_000));
    let outbound = HtlcKey { direction: HtlcDirection::Offered, ..key((US, 5)) };
    channel.apply(US, claim(1, &[ours], invoice(&[key(ours)])));
    channel.apply(US, claim(2, &[passing], PreimageSource::Downstream { outbound }));
    channel.apply(US, told(ours));
    let wrong = check(&channel, &told(passing)).unwrap_err();
    assert_eq!(wrong, MonitorError::NothingToRelease { htlc_id: HtlcId(1) });
    let received = HtlcDirection::Received;
    assert_eq!(owed(channel.monitor()), [(received, 0), (received, 1)]);
    channel.remove(ours, fulfilled(1));
    assert_eq!(owed(channel.monitor()), [(received, 1)]);
    channel.remove(passing, fulfilled(2));
    assert_eq!(owed(channel.monitor()), []);
}

/// A claim that comes when time presses goes on chain at once, like a preimage that does.
#[test]
fn a_claim_close_to_the_expiry_fails_the_channel() {
    let mut channel = channel();
    let name = channel.add(PEER, offer(1, 50_000));
    channel.connect(EXPIRY - 5, &[]);
    assert!(!channel.monitor().state().fail_channel);
    let effects = channel.apply(US, claim(1, &[name], invoice(&[key(name)])));
    let alarm = Alarm::GoingOnChain { htlc: key(name), overdue: Overdue::Fulfilment };
    assert!(effects.contains(&Effect::Alarm(alarm)));
    assert!(effects.contains(&Effect::ClaimsChanged));
    assert!(channel.monitor().state().fail_channel);
}

/// A hook held the HTLC, its channel went on chain, and the peer took the HTLC back before the hook
/// settled it.
#[test]
fn museum_b109_what_went_back_to_its_offerer_is_not_called_claimed() {
    let mut channel = channel();
    let name = channel.add(PEER, offer(1, 50_000));
    close(&mut channel, PEER);
    channel.connect(EXPIRY, &[]);
    let output = channel.output_of(PEER, name).unwrap();
    let back = channel.claim(PEER, output);
    channel.connect(EXPIRY + 1, &[&back]);
    let record = claim(1, &[name], invoice(&[key(name)]));
    assert_eq!(check(&channel, &record), Ok(true), "a reorg may still give it back");
    channel.connect(EXPIRY + 6, &[]);
    let htlc_id = HtlcId(name.1);
    assert_eq!(check(&channel, &record).unwrap_err(), MonitorError::TooLate { htlc_id });
    assert_eq!(owed(channel.monitor()), []);
    let EntryState::Entry(entry) = channel.monitor().entry(HtlcDirection::Received, htlc_id) else {
        panic!("a closed channel forgets nothing")
    };
    assert!(!entry.is_claimable);
}

/// Whatever was claimed when, a snapshot in between changes nothing.
#[test]
fn claims_and_their_releases_are_folded_from_any_snapshot() {
    let mut channel = channel();
    let names = [1, 2, 1].map(|n| channel.add(PEER, offer(n, 50_000)));
    let parts = [key(names[0]), key(names[2])];
    let outbound = HtlcKey { direction: HtlcDirection::Offered, ..key((US, 5)) };
    channel.apply(US, claim(1, &[names[2]], invoice(&parts)));
    channel.apply(US, claim(2, &[names[1]], PreimageSource::Downstream { outbound }));
    channel.apply(US, claim(1, &[names[0]], invoice(&parts)));
    channel.remove(names[0], fulfilled(1));
    channel.apply(US, told(names[2]));
    turn(&mut channel);
    let records = &channel.records[1..];
    let MonitorRecord::Created(new) = &channel.records[0] else { panic!("it begins") };
    let mut live = Monitor::create((**new).clone()).unwrap();
    for (at, record) in records.iter().enumerate() {
        let mut restored = Monitor::restore(live.state().clone()).unwrap();
        for later in &records[at..] {
            restored.apply(later).unwrap();
        }
        assert_eq!(restored.state(), channel.monitor().state());
        assert_eq!(owed(&restored), owed(channel.monitor()));
        live.apply(record).unwrap();
    }
    let ids: BTreeSet<_> = live.state().htlcs.keys().map(|(_, id)| id.0).collect();
    assert_eq!(ids, [1, 2].into(), "what was told of and has left is forgotten");
}
