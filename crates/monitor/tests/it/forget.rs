//! Forgetting (rule R10): what goes, when, and what stays of it.

use lastword_monitor::{Monitor, MonitorError};
use lastword_ports::Ledger as _;
use lastword_types::{
    Alarm, Close, CommitmentFormat, Effect, Generation, HtlcAdded, HtlcDirection, HtlcFailure,
    HtlcId, HtlcKey, MonitorRecord, MonitorUpdate, Outcome, OutputSpendKind, PaymentId,
    ReleasePaymentComplete, Side, Told, Tombstone, UpdateId, UpdateStep,
};

use crate::channel::{CHANNEL, Channel, FAILED, Name, PEER, US, fulfilled, offer, preimage, seen};
use crate::theft::{FORMATS, Foreign};

const DUST: u64 = 300;

fn channel() -> Channel {
    Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc)
}

/// New commitments for both, with the HTLCs of those before.
fn turn(channel: &mut Channel) {
    for node in [PEER, US] {
        channel.sign(node, &[], &[]);
        channel.revoke(node);
    }
}

fn is_in_ledger(channel: &Channel, name: Name) -> bool {
    channel.monitor().state().htlcs.contains_key(&seen(US, name))
}

fn tombstone(channel: &Channel, name: Name) -> Option<Tombstone> {
    channel.monitor().state().tombstones.get(&HtlcId(name.1)).copied()
}

fn key(name: Name) -> HtlcKey {
    let (direction, htlc_id) = seen(US, name);
    HtlcKey { channel_id: CHANNEL, direction, htlc_id }
}

#[test]
fn r10_a_part_that_was_told_of_goes_when_no_commitment_holds_it() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    channel.remove(name, fulfilled(1));
    channel.tell(name);
    // Our commitment before the newest holds it still.
    assert!(is_in_ledger(&channel, name));
    assert_eq!(tombstone(&channel, name), None);
    turn(&mut channel);
    assert!(!is_in_ledger(&channel, name));
    let stone = tombstone(&channel, name).unwrap();
    assert_eq!((stone.payment_id, stone.generation), (PaymentId([0; 32]), Generation([0; 16])));
    assert!(matches!(stone.outcome, Outcome::Sent { preimage: p, .. } if p == preimage(1)));
    let mut entries = 0;
    channel.monitor().entries_of(PaymentId([0; 32]), &mut |_| entries += 1);
    assert_eq!(entries, 0);
    assert!(!channel.monitor().card().has_undelivered);
}

#[test]
fn r10_a_part_that_was_not_told_of_stays_however_old_it_is() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    channel.remove(name, FAILED);
    for _ in 0..5 {
        turn(&mut channel);
    }
    assert!(is_in_ledger(&channel, name));
    assert!(channel.monitor().card().has_undelivered);
    channel.tell(name);
    assert!(!is_in_ledger(&channel, name));
    let reason = HtlcFailure::Removed { code: 0x400f };
    assert_eq!(tombstone(&channel, name).unwrap().outcome, Outcome::Failed { reason });
}

#[test]
fn r10_a_received_htlc_goes_when_its_removal_is_irrevocable() {
    let mut channel = channel();
    let [paid, failed] = [1, 2].map(|n| channel.add(PEER, offer(n, 50_000)));
    channel.sign(PEER, &[], &[(paid, fulfilled(1)), (failed, FAILED)]);
    channel.revoke(PEER);
    channel.sign(US, &[], &[(paid, fulfilled(1)), (failed, FAILED)]);
    channel.revoke(US);
    assert!(is_in_ledger(&channel, paid) && is_in_ledger(&channel, failed));
    turn(&mut channel);
    assert!(!is_in_ledger(&channel, paid) && !is_in_ledger(&channel, failed));
    assert!(channel.monitor().state().tombstones.is_empty());
}

#[test]
fn r10_a_forward_leaves_no_tombstone() {
    let mut channel = channel();
    let name = channel.forward(offer(1, 50_000), 600);
    channel.remove(name, fulfilled(1));
    turn(&mut channel);
    channel.tell(name);
    assert!(!is_in_ledger(&channel, name));
    assert_eq!(tombstone(&channel, name), None);
}

#[test]
fn r10_a_preimage_goes_with_the_last_htlc_of_its_hash() {
    let mut channel = channel();
    let [ahead, used] = [7, 1].map(preimage);
    for preimage in [ahead, used] {
        channel.update(US, vec![UpdateStep::Preimage { preimage }]);
    }
    let names = [0, 1].map(|_: u8| channel.add(PEER, offer(1, 30_000)));
    let knows = |channel: &Channel, p: lastword_types::PaymentPreimage| {
        channel.monitor().state().preimages.contains_key(&p.payment_hash())
    };
    channel.remove(names[0], fulfilled(1));
    turn(&mut channel);
    assert!(!is_in_ledger(&channel, names[0]) && knows(&channel, used));
    channel.remove(names[1], fulfilled(1));
    turn(&mut channel);
    assert!(!is_in_ledger(&channel, names[1]) && !knows(&channel, used));
    assert!(knows(&channel, ahead));
}

#[test]
fn r10_nothing_is_kept_for_penalties_of_what_never_had_an_output() {
    let mut channel = channel();
    let [dust, whole] = [DUST, 50_000].map(|sat| channel.add(PEER, offer(1, sat)));
    for name in [dust, whole] {
        channel.remove(name, FAILED);
    }
    turn(&mut channel);
    let past = &channel.monitor().state().past;
    assert_eq!(past.keys().copied().collect::<Vec<_>>(), [seen(US, whole)]);
    assert!(channel.is_forgotten(dust));
}

#[test]
fn r10_nothing_is_forgotten_while_the_channel_is_closed() {
    let mut channel = channel();
    let [first, second] = [1, 2].map(|n| channel.add(US, offer(n, 50_000)));
    let received = channel.add(PEER, offer(3, 50_000));
    for name in [first, second, received] {
        channel.remove(name, FAILED);
    }
    channel.connect(200, &[&channel.newest(PEER).transaction.clone()]);
    channel.tell(first);
    turn(&mut channel);
    assert!([first, second, received].iter().all(|name| is_in_ledger(&channel, *name)));
    // The spend leaves the chain, and the channel is open again.
    channel.disconnect(199);
    assert!(!is_in_ledger(&channel, first) && !is_in_ledger(&channel, received));
    assert!(is_in_ledger(&channel, second));
    channel.fail(US);
    channel.tell(second);
    assert!(is_in_ledger(&channel, second));
}

#[test]
fn an_id_that_is_forgotten_is_not_given_again() {
    let mut channel = channel();
    let name = channel.add(PEER, offer(1, 50_000));
    let htlc = channel.htlc(US, name);
    channel.remove(name, FAILED);
    turn(&mut channel);
    assert!(channel.is_forgotten(name));
    let mut locals = channel.records.iter().filter_map(|record| {
        let MonitorRecord::Update(update) = record else { return None };
        let [UpdateStep::LocalCommitment(local)] = &update.steps[..] else { return None };
        Some(local.clone())
    });
    let again = locals.next_back();
    let mut local = again.unwrap();
    local.number = local.number.next().unwrap();
    local.added = vec![HtlcAdded::New(htlc)];
    let update_id = UpdateId(channel.monitor().state().latest_update.0 + 1);
    let steps = vec![UpdateStep::LocalCommitment(local)];
    let update = MonitorUpdate { channel_id: CHANNEL, update_id, steps };
    let (direction, htlc_id) = seen(US, name);
    let refusal = channel.monitor().check(&MonitorRecord::Update(update)).map(|_| ());
    assert_eq!(refusal, Err(MonitorError::HtlcPresent { direction, htlc_id }));
}

#[test]
fn a_release_of_what_is_forgotten_says_nothing_new() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    let forward = channel.forward(offer(2, 50_000), 600);
    for name in [name, forward] {
        channel.remove(name, FAILED);
        turn(&mut channel);
        channel.tell(name);
    }
    let check = |name, told| {
        let release = ReleasePaymentComplete { htlc: key(name), told };
        let record = MonitorRecord::Release(release);
        channel.monitor().check(&record).map(|accepted| accepted.is_noop())
    };
    let reason = HtlcFailure::Removed { code: 0x400f };
    let told = |generation, reason| Told::Payment {
        generation: Generation([generation; 16]),
        outcome: Outcome::Failed { reason },
    };
    assert_eq!(check(name, told(0, reason)), Ok(true));
    assert_eq!(check(forward, Told::Forward), Ok(true));
    let htlc_id = HtlcId(name.1);
    let otherwise = check(name, told(0, HtlcFailure::TimedOut));
    assert_eq!(otherwise, Err(MonitorError::ToldOtherwise { htlc_id }));
    assert_eq!(check(name, told(1, reason)), Err(MonitorError::WrongTold { htlc_id }));
    assert_eq!(check(name, Told::Forward), Err(MonitorError::WrongTold { htlc_id }));
    let direction = HtlcDirection::Offered;
    let unknown = MonitorError::UnknownHtlc { direction, htlc_id: HtlcId(9) };
    assert_eq!(check((US, 9), Told::Forward), Err(unknown));
}

/// A revoked commitment that held forgotten HTLCs of both directions, and what we make of it.
#[test]
fn r10_a_revoked_commitment_is_punished_whole_though_its_htlcs_are_forgotten() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let gone =
            [(US, 1), (PEER, 2), (US, 1)].map(|(node, n)| channel.add(node, offer(n, 40_000)));
        let live = [US, PEER].map(|node| channel.add(node, offer(1, 40_000)));
        let number = channel.nodes[PEER].commitments.len() - 1;
        for name in gone {
            channel.remove(name, FAILED);
        }
        for name in gone.into_iter().filter(|name| name.0 == US) {
            channel.tell(name);
        }
        turn(&mut channel);
        assert!(gone.iter().all(|name| channel.is_forgotten(*name)));

        channel.connect(200, &[&channel.nodes[PEER].commitments[number].transaction.clone()]);
        let spend = channel.monitor().state().funding_spend.clone().unwrap();
        assert!(matches!(spend.close, Close::Revoked { .. }));
        for (name, at_least) in gone.into_iter().chain(live).zip(201..) {
            let output = channel.peers_output(number, name).unwrap();
            let request = channel.request(US, output).unwrap();
            let transaction = channel.answer(US, &request);
            channel.connect(at_least, &[&transaction]);
            let spend = &channel.monitor().state().output_spends[&output];
            assert!(matches!(spend.kind, OutputSpendKind::HtlcPenalty { .. }), "{spend:?}");
        }
        let restored = Monitor::restore(channel.monitor().state().clone()).unwrap();
        assert_eq!(restored.card(), channel.monitor().card());
    }
}

#[test]
fn a_preimage_that_a_breach_shows_for_a_forgotten_failure_is_an_alarm_once() {
    let mut channel = channel();
    let [failed, paid] = [1, 2].map(|n| channel.add(US, offer(n, 40_000)));
    let number = channel.nodes[PEER].commitments.len() - 1;
    channel.remove(failed, FAILED);
    channel.remove(paid, fulfilled(2));
    for name in [failed, paid] {
        channel.tell(name);
    }
    turn(&mut channel);
    channel.connect(200, &[&channel.nodes[PEER].commitments[number].transaction.clone()]);
    let violated = Alarm::FinalityViolated { htlc: key(failed) };
    assert!(!channel.monitor().alarms().contains(&violated));

    let theft = channel.steal(number, &[paid], Foreign::None);
    let effects = channel.connect(201, &[&theft]);
    let is_violation =
        |effect: &&Effect| matches!(effect, Effect::Alarm(Alarm::FinalityViolated { .. }));
    assert_eq!(effects.iter().filter(is_violation).count(), 0);

    let theft = channel.steal(number, &[failed], Foreign::None);
    let effects = channel.connect(202, &[&theft]);
    assert!(effects.contains(&Effect::Alarm(violated)));
    assert!(channel.monitor().alarms().contains(&violated));
    let effects = channel.connect(203, &[]);
    assert!(!effects.contains(&Effect::Alarm(violated)));
    // What it stole is taken from it all the same.
    let (_, spend) = channel
        .monitor()
        .state()
        .output_spends
        .iter()
        .find(|(_, spend)| spend.txid == theft.compute_txid())
        .unwrap();
    let OutputSpendKind::PeerHtlcTransaction { output, .. } = spend.kind else { panic!() };
    let request = channel.request(US, output).unwrap();
    let transaction = channel.answer(US, &request);
    channel.connect(204, &[&transaction]);
    let kind = &channel.monitor().state().output_spends[&output].kind;
    assert_eq!(*kind, OutputSpendKind::Swept { owner: Side::Local });
}

/// A life of updates folds to the same bytes from every snapshot in between.
#[test]
fn forgetting_is_part_of_the_fold() {
    let mut channel = channel();
    for n in 0..6 {
        let [out, back] = [US, PEER].map(|node| channel.add(node, offer(n, 20_000)));
        channel.remove(out, if n % 2 == 0 { FAILED } else { fulfilled(n) });
        channel.tell(out);
        channel.remove(back, if n % 3 == 0 { FAILED } else { fulfilled(n) });
    }
    let end = channel.monitor().state();
    assert!(end.htlcs.len() <= 2 && end.past.len() >= 10, "{:?}", end.htlcs.keys());
    let MonitorRecord::Created(new) = &channel.records[0] else { panic!() };
    let mut monitor = Monitor::create((**new).clone()).unwrap();
    for record in &channel.records[1..] {
        monitor.apply(record).unwrap();
        monitor = Monitor::restore(monitor.state().clone()).unwrap();
    }
    assert_eq!(monitor.state(), end);
    assert_eq!(monitor.card(), channel.monitor().card());
}
