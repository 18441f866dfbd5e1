//! What is refused about several fundings; each refusal names the place and changes nothing.

use bitcoin::hashes::Hash as _;
use bitcoin::{Amount, OutPoint, Txid};
use lastword_monitor::{Monitor, MonitorError};
use lastword_types::{
    AmountMsat, ChainDelta, CommitmentFormat, CommitmentNumber, FundingKind, MAX_FUNDINGS,
    MonitorRecord, MonitorState, MonitorUpdate, NewFunding, Side, UpdateId, UpdateStep,
};

use super::SPLICED;
use crate::channel::{CHANNEL, Channel, FORMATS, PEER, US, block, local_on, offer, remote_on};

const FORMAT: CommitmentFormat = CommitmentFormat::AnchorsZeroFeeHtlc;
const SPLICE: FundingKind = FundingKind::Splice;
const REPLACEMENT: FundingKind = FundingKind::Replacement;

fn number(n: u64) -> CommitmentNumber {
    CommitmentNumber::new(n).unwrap()
}

fn refusal(channel: &Channel, steps: Vec<UpdateStep>) -> MonitorError {
    let update_id = UpdateId(channel.monitor().state().latest_update.0 + 1);
    let update = MonitorUpdate { channel_id: CHANNEL, update_id, steps };
    channel.monitor().check(&MonitorRecord::Update(update)).expect_err("it cannot be")
}

/// A funding on which the newest commitments are as on the locked one.
fn new_funding(channel: &Channel, n: u8, kind: FundingKind) -> NewFunding {
    let parameters = &channel.nodes[US].parameters;
    let state = channel.monitor().state();
    let local = &state.local;
    NewFunding {
        funding_outpoint: OutPoint { txid: Txid::from_byte_array([n; 32]), vout: 0 },
        funding_amount: parameters.funding_amount,
        local_funding_pubkey: parameters.local.funding_pubkey,
        remote_funding_pubkey: parameters.remote.funding_pubkey,
        kind,
        local: local_on(&local.commitment, (local.signature, local.htlc_signatures.clone())),
        remote: remote_on(&state.remote),
    }
}

fn begin(new: NewFunding) -> Vec<UpdateStep> {
    vec![UpdateStep::NewFunding(Box::new(new))]
}

/// The steps of an update that brings the next commitment of the peer, as far as we sign it.
fn next_of_peer(channel: &mut Channel) -> Vec<UpdateStep> {
    channel.sign(PEER, &[], &[]);
    let Some(MonitorRecord::Update(update)) = channel.records.last() else {
        panic!("the last record is that commitment")
    };
    update.steps.clone()
}

/// A channel with a pending splice, and the state before the peer's next commitment.
fn pending() -> (Channel, Txid, Vec<UpdateStep>) {
    let mut channel = Channel::new(FORMAT);
    channel.add(US, offer(1, 50_000));
    let splice = channel.fund(SPLICE, [100_000, 0]);
    let funding_txid = channel.outpoint(splice).txid;
    let before = channel.monitor().state().clone();
    let steps = next_of_peer(&mut channel);
    channel.nodes[US].monitor = Monitor::restore(before).unwrap();
    (channel, funding_txid, steps)
}

#[test]
fn every_pending_funding_gets_every_commitment() {
    let (channel, funding_txid, steps) = pending();
    let number = number(2);
    let missing = |owner, number| MonitorError::CommitmentMissing { funding_txid, owner, number };
    assert_eq!(steps.len(), 2);
    let alone = vec![steps[0].clone()];
    assert_eq!(refusal(&channel, alone), missing(Side::Remote, number));
    let locked = UpdateStep::FundingLocked { funding_txid };
    let too_early = vec![steps[0].clone(), locked, steps[1].clone()];
    assert_eq!(refusal(&channel, too_early), missing(Side::Remote, number));
    let begins = begin(new_funding(&channel, 9, SPLICE)).remove(0);
    let between = vec![steps[0].clone(), begins, steps[1].clone()];
    assert_eq!(refusal(&channel, between), missing(Side::Remote, number));
}

#[test]
fn a_commitment_on_a_funding_is_the_one_that_the_locked_funding_got() {
    let (channel, funding_txid, steps) = pending();
    let wrong = |latest, got| {
        let (latest, got) = (number(latest), number(got));
        MonitorError::WrongCommitmentNumber { owner: Side::Remote, latest, got }
    };
    let twice = vec![steps[0].clone(), steps[1].clone(), steps[1].clone()];
    assert_eq!(refusal(&channel, twice), wrong(2, 2));
    assert_eq!(refusal(&channel, vec![steps[1].clone()]), wrong(1, 2));
    let UpdateStep::RemoteCommitmentOn { commitment, .. } = &steps[1] else { panic!("it is one") };
    let unknown = Txid::from_byte_array([0x33; 32]);
    let elsewhere =
        UpdateStep::RemoteCommitmentOn { funding_txid: unknown, commitment: *commitment };
    let elsewhere = vec![steps[0].clone(), elsewhere];
    let not_pending = |funding_txid| MonitorError::FundingNotPending { funding_txid };
    assert_eq!(refusal(&channel, elsewhere), not_pending(unknown));
    let mut less = *commitment;
    less.to_local_msat.0 -= 1;
    let less = UpdateStep::RemoteCommitmentOn { funding_txid, commitment: less };
    let expected =
        MonitorError::WrongBalanceOn { funding_txid, owner: Side::Remote, number: number(2) };
    assert_eq!(refusal(&channel, vec![steps[0].clone(), less]), expected);
}

#[test]
fn a_new_funding_is_new_and_holds_what_the_channel_holds() {
    let (channel, funding_txid, _) = pending();
    let known = MonitorError::FundingKnown { funding_txid };
    let again = NewFunding {
        funding_outpoint: OutPoint { txid: funding_txid, vout: 1 },
        ..new_funding(&channel, 9, SPLICE)
    };
    assert_eq!(refusal(&channel, begin(again)), known);
    let funding_outpoint = channel.locked();
    let locked = NewFunding { funding_outpoint, ..new_funding(&channel, 9, SPLICE) };
    let funding_txid = funding_outpoint.txid;
    assert_eq!(refusal(&channel, begin(locked)), MonitorError::FundingKnown { funding_txid });

    let new = new_funding(&channel, 9, SPLICE);
    let funding_txid = new.funding_outpoint.txid;
    let more = NewFunding { funding_amount: Amount::from_sat(1_000_001), ..new.clone() };
    let wrong = |owner, n| MonitorError::WrongBalanceOn { funding_txid, owner, number: number(n) };
    assert_eq!(refusal(&channel, begin(more)), wrong(Side::Local, 1));
    let huge = NewFunding { funding_amount: Amount::MAX, ..new.clone() };
    assert_eq!(refusal(&channel, begin(huge)), wrong(Side::Local, 1));
    let mut theirs = new.clone();
    theirs.remote.to_remote_msat = AmountMsat(u64::MAX);
    assert_eq!(refusal(&channel, begin(theirs)), wrong(Side::Remote, 1));
    let mut late = new.clone();
    late.local.number = number(0);
    let (latest, got) = (number(1), number(0));
    let expected = MonitorError::WrongCommitmentNumber { owner: Side::Local, latest, got };
    assert_eq!(refusal(&channel, begin(late)), expected);
    let mut signed = new;
    let signature = signed.local.signature;
    signed.local.htlc_signatures = vec![signature; 2];
    let expected = MonitorError::TooManySignatures { signatures: 2, htlcs: 1 };
    assert_eq!(refusal(&channel, begin(signed)), expected);
}

#[test]
fn splices_and_replacements_exclude_each_other() {
    let wrong = |kind| {
        let funding_txid = Txid::from_byte_array([9; 32]);
        MonitorError::WrongFundingKind { funding_txid, kind }
    };
    let (channel, ..) = pending();
    let steps = begin(new_funding(&channel, 9, REPLACEMENT));
    assert_eq!(refusal(&channel, steps), wrong(REPLACEMENT));
    let mut channel = Channel::new(FORMAT);
    channel.fund(REPLACEMENT, [0, 0]);
    assert_eq!(refusal(&channel, begin(new_funding(&channel, 9, SPLICE))), wrong(SPLICE));
    // What a splice brought is replaced by no first funding.
    let mut channel = Channel::new(FORMAT);
    let splice = channel.fund(SPLICE, [100_000, 0]);
    let transaction = channel.beside[splice].transaction.clone();
    channel.connect(SPLICED, &[&transaction]);
    channel.lock(splice);
    let steps = begin(new_funding(&channel, 9, REPLACEMENT));
    assert_eq!(refusal(&channel, steps), wrong(REPLACEMENT));
}

#[test]
fn there_are_so_many_fundings_and_no_more() {
    let mut channel = Channel::new(FORMAT);
    for n in 0..MAX_FUNDINGS {
        let n = u8::try_from(n + 100).unwrap();
        channel.update(US, begin(new_funding(&channel, n, SPLICE)));
    }
    let funding_txid = Txid::from_byte_array([99; 32]);
    let full = MonitorError::TooManyFundings { funding_txid };
    assert_eq!(refusal(&channel, begin(new_funding(&channel, 99, SPLICE))), full);
    // A lock makes no place: the others are remembered until it is final.
    let first = Txid::from_byte_array([100; 32]);
    channel.update(US, vec![UpdateStep::FundingLocked { funding_txid: first }]);
    assert_eq!(refusal(&channel, begin(new_funding(&channel, 99, SPLICE))), full);
}

#[test]
fn only_what_is_pending_is_locked() {
    let (mut channel, funding_txid, _) = pending();
    let lock = |funding_txid| vec![UpdateStep::FundingLocked { funding_txid }];
    let not_pending = |funding_txid| MonitorError::FundingNotPending { funding_txid };
    let first = channel.locked().txid;
    for txid in [Txid::from_byte_array([0x33; 32]), first] {
        assert_eq!(refusal(&channel, lock(txid)), not_pending(txid));
    }
    channel.update(US, lock(funding_txid));
    for txid in [funding_txid, first] {
        assert_eq!(refusal(&channel, lock(txid)), not_pending(txid));
    }
    // A first funding may be locked against its replacements.
    let mut channel = Channel::new(FORMAT);
    let replacement = channel.fund(REPLACEMENT, [0, 0]);
    channel.update(US, lock(first));
    assert_eq!(refusal(&channel, lock(first)), not_pending(first));
    let txid = channel.outpoint(replacement).txid;
    assert_eq!(refusal(&channel, lock(txid)), not_pending(txid));
}

#[test]
fn a_funding_is_spent_once_by_one_splice_or_one_closing() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let [a, b] = [[100_000, 0], [0, 100_000]].map(|change| channel.fund(SPLICE, change));
        let [on_a, on_b] = [a, b].map(|place| channel.newest_on(place, PEER));
        let old = channel.newest(PEER).transaction.clone();
        let [a, b] = [a, b].map(|place| channel.beside[place].transaction.clone());
        let check = |channel: &Channel, height, transactions: &[&bitcoin::Transaction]| {
            let transactions = transactions.iter().copied().cloned().collect();
            let delta = ChainDelta::Connected { block: block(height, 0), transactions };
            let record = MonitorRecord::Chain(delta);
            channel.monitor().check(&record).map(|_| ())
        };
        let twice =
            |outpoint, height| Err(MonitorError::SpentTwice { outpoint, known: block(height, 0) });
        let locked = channel.locked();
        channel.connect(SPLICED, &[&a]);
        assert_eq!(check(&channel, SPLICED + 1, &[&b]), twice(locked, SPLICED));
        assert_eq!(check(&channel, SPLICED + 1, &[&a]), twice(locked, SPLICED));
        assert_eq!(check(&channel, SPLICED + 1, &[&old]), twice(locked, SPLICED));
        let other = on_b.input[0].previous_output;
        assert_eq!(check(&channel, SPLICED + 1, &[&on_b]), twice(other, SPLICED));
        assert_eq!(check(&channel, SPLICED + 1, &[&on_a]), Ok(()));
        channel.disconnect(SPLICED - 1);
        assert_eq!(check(&channel, SPLICED, &[&a, &b]), twice(locked, SPLICED));
        assert_eq!(check(&channel, SPLICED, &[&a, &on_a]), Ok(()));
        channel.connect(SPLICED, &[&old]);
        assert_eq!(check(&channel, SPLICED + 1, &[&a]), twice(locked, SPLICED));
    }
}

#[test]
fn a_state_whose_fundings_contradict_each_other_is_refused() {
    let mut channel = Channel::new(FORMAT);
    let a = channel.fund(SPLICE, [100_000, 0]);
    channel.lock(a);
    channel.fund(SPLICE, [0, 100_000]);
    let state = channel.monitor().state().clone();
    assert!(Monitor::restore(state.clone()).is_ok());
    let refused = |change: &dyn Fn(&mut MonitorState)| {
        let mut damaged = state.clone();
        change(&mut damaged);
        Monitor::restore(damaged).expect_err("it contradicts itself")
    };
    let says = |text| MonitorError::State(text);
    assert_eq!(
        refused(&|it| it.fundings.swap(0, 1)),
        says("a retired funding stands after a pending one")
    );
    assert_eq!(
        refused(&|it| it.fundings[1].funding_outpoint = it.parameters.funding_outpoint),
        says("a funding is there twice")
    );
    let behind = |it: &mut MonitorState| it.fundings[1].remote.feerate_per_kw.0 += 1;
    assert_eq!(refused(&behind), says("a funding is without a commitment"));
    let ahead = |it: &mut MonitorState| it.fundings[0].remote.number = number(1);
    assert_eq!(refused(&ahead), says("a retired funding is ahead"));
    let above = |it: &mut MonitorState| it.fundings[1].confirmed = Some(block(SPLICED, 0));
    assert_eq!(refused(&above), says("a splice is confirmed above the best block"));
    let funding_txid = state.fundings[1].funding_outpoint.txid;
    let less = |it: &mut MonitorState| it.fundings[1].funding_amount = Amount::from_sat(1);
    let (owner, number) = (Side::Local, number(0));
    assert_eq!(refused(&less), MonitorError::WrongBalanceOn { funding_txid, owner, number });
    let many = |it: &mut MonitorState| {
        for n in 0..MAX_FUNDINGS {
            let mut one = it.fundings[1].clone();
            one.funding_outpoint.vout = u32::try_from(n).unwrap();
            it.fundings.push(one);
        }
    };
    assert_eq!(refused(&many), says("there are too many fundings"));
    let mixed = |it: &mut MonitorState| {
        let mut one = it.fundings[1].clone();
        one.funding_outpoint.txid = Txid::from_byte_array([0x33; 32]);
        one.kind = REPLACEMENT;
        it.fundings.push(one);
    };
    assert_eq!(refused(&mixed), says("a splice is pending beside a replacement"));
}
