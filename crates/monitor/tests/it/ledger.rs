//! The ledger and its releases.

use lastword_monitor::MonitorError;
use lastword_ports::Ledger as _;
use lastword_types::{
    AmountMsat, CommitmentFormat, Effect, EntryState, Generation, GiveUp, HtlcDirection,
    HtlcFailure, HtlcId, HtlcKey, MonitorRecord, Outcome, PaymentId, ReleasePaymentComplete, Told,
    Verdict,
};

use crate::channel::{CHANNEL, Channel, FAILED, PEER, US, fulfilled, offer, preimage};

fn channel() -> Channel {
    Channel::new(CommitmentFormat::StaticRemoteKey)
}

fn release(htlc_id: u64, generation: u8, outcome: Outcome) -> MonitorRecord {
    let direction = HtlcDirection::Offered;
    let htlc = HtlcKey { channel_id: CHANNEL, direction, htlc_id: HtlcId(htlc_id) };
    let told = Told::Payment { generation: Generation([generation; 16]), outcome };
    MonitorRecord::Release(ReleasePaymentComplete { htlc, told })
}

const FAILURE: Outcome = Outcome::Failed { reason: HtlcFailure::Removed { code: 0x400f } };

fn sent() -> Outcome {
    let [amount_msat, fee_msat] = [AmountMsat(50_000_000), AmountMsat(0)];
    Outcome::Sent { preimage: preimage(1), amount_msat, fee_msat }
}

fn undelivered(channel: &Channel) -> Vec<u64> {
    let mut found = Vec::new();
    channel.monitor().for_each_undelivered(&mut |entry| found.push(entry.key.htlc_id.0));
    found
}

#[test]
fn the_ledger_names_what_was_not_told_in_the_order_of_ids() {
    let mut channel = channel();
    channel.add(PEER, offer(9, 50_000));
    let names: Vec<_> = (0..4).map(|n| channel.add(US, offer(1 + n, 20_000))).collect();
    assert_eq!(undelivered(&channel), [0, 1, 2, 3]);
    assert!(channel.monitor().card().has_undelivered);

    for (name, reason) in [(names[1], FAILED), (names[3], FAILED)] {
        channel.remove(name, reason);
    }
    assert_eq!(undelivered(&channel), [0, 1, 2, 3]);
    let effects = channel.apply(US, release(1, 1, FAILURE));
    assert!(matches!(effects[..], [Effect::LedgerChanged(_), Effect::CardChanged]));
    assert_eq!(undelivered(&channel), [0, 2, 3]);
}

/// Noting the end of a payment's retries says something once, of its own generation, until the user's
/// word is there.
#[test]
fn r5_retries_are_given_up_once_and_for_their_own_generation() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    channel.remove(name, FAILED);
    let given_up = |htlc_id: u64, generation: u8| {
        let direction = HtlcDirection::Offered;
        let htlc = HtlcKey { channel_id: CHANNEL, direction, htlc_id: HtlcId(htlc_id) };
        MonitorRecord::GivenUp(GiveUp { htlc, generation: Generation([generation; 16]) })
    };
    let refused = |channel: &Channel, record: MonitorRecord| channel.monitor().check(&record).err();
    let wrong = MonitorError::WrongTold { htlc_id: HtlcId(0) };
    assert_eq!(refused(&channel, given_up(0, 9)), Some(wrong), "another generation");
    let direction = HtlcDirection::Offered;
    let unknown = MonitorError::UnknownHtlc { direction, htlc_id: HtlcId(7) };
    assert_eq!(refused(&channel, given_up(7, 0)), Some(unknown));
    assert_eq!(channel.monitor().entry(direction, HtlcId(7)), EntryState::Unknown);

    assert_ne!(channel.apply(US, given_up(0, 0)), [], "it is new");
    let EntryState::Entry(entry) = channel.monitor().entry(direction, HtlcId(0)) else {
        panic!("it is there");
    };
    assert!(entry.is_given_up);
    assert_eq!(channel.apply(US, given_up(0, 0)), [], "it is known");
}

#[test]
fn a_release_erases_nothing() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    channel.remove(name, fulfilled(1));
    let before = channel.verdict(name);
    channel.apply(US, release(0, 0, sent()));

    let mut found = Vec::new();
    channel.monitor().entries_of(PaymentId([0; 32]), &mut |entry| {
        found.push((entry.key.htlc_id, entry.verdict, entry.delivered, entry.htlc.clone()));
    });
    let told = Told::Payment { generation: Generation([0; 16]), outcome: sent() };
    assert_eq!(found, [(HtlcId(0), before, Some(told), channel.htlc(US, name))]);
    assert!(!channel.monitor().card().has_undelivered);
}

#[test]
fn a_payment_has_its_own_entries_and_no_others() {
    let mut channel = channel();
    for n in 0..3 {
        channel.add(US, offer(1 + n, 20_000));
    }
    let entries = |payment: u8| {
        let mut found = Vec::new();
        let visit = &mut |entry: lastword_types::LedgerEntry<'_>| found.push(entry.key.htlc_id.0);
        channel.monitor().entries_of(PaymentId([payment; 32]), visit);
        found
    };
    assert_eq!([0, 1, 2, 3].map(entries), [vec![0], vec![1], vec![2], vec![]]);
}

#[test]
fn the_same_release_again_says_nothing_new() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    channel.remove(name, FAILED);
    let record = release(0, 0, FAILURE);
    assert!(!channel.monitor().check(&record).unwrap().is_noop());
    channel.apply(US, record.clone());
    assert!(channel.monitor().check(&record).unwrap().is_noop());
    assert_eq!(channel.apply(US, record), []);
}

#[test]
fn a_release_is_refused_before_the_verdict_is_final() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    channel.sign(US, &[], &[(name, FAILED)]);
    assert!(matches!(channel.verdict(name), Verdict::Failing { .. }));

    let refused = channel.monitor().check(&release(0, 0, FAILURE)).unwrap_err();
    assert_eq!(refused, MonitorError::NotFinal { htlc_id: HtlcId(0) });
}

#[test]
fn a_release_must_be_about_this_generation_and_say_the_same_again() {
    let mut channel = channel();
    let name = channel.add(US, offer(1, 50_000));
    channel.remove(name, FAILED);
    let htlc_id = HtlcId(0);
    let refused = |channel: &Channel, record| channel.monitor().check(&record).unwrap_err();

    let other = refused(&channel, release(0, 77, FAILURE));
    assert_eq!(other, MonitorError::WrongTold { htlc_id });
    let key = HtlcKey { channel_id: CHANNEL, direction: HtlcDirection::Offered, htlc_id };
    let forward = ReleasePaymentComplete { htlc: key, told: Told::Forward };
    let forward = refused(&channel, MonitorRecord::Release(forward));
    assert_eq!(forward, MonitorError::WrongTold { htlc_id });

    channel.apply(US, release(0, 0, FAILURE));
    let otherwise = refused(&channel, release(0, 0, sent()));
    assert_eq!(otherwise, MonitorError::ToldOtherwise { htlc_id });
}
