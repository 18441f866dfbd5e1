//! Failures that others published, told as what a monitor meets, each named by its row in
//! `docs/FAILURES.md`; and the gaps of one implementation that a monitor can have.

mod claims;
mod gaps;
mod identity;
mod input;
mod outcome;
mod reorg;
mod revoked;
mod time;
mod updates;

use bitcoin::{OutPoint, Transaction};
use lastword_bolt3::OutputKind;
use lastword_monitor::Monitor;
use lastword_ports::Ledger as _;
use lastword_types::{
    ChainDelta, CommitmentFormat, FailingUntil, FulfilledHow, HtlcFailure, HtlcId, MonitorRecord,
    UpdateStep, Verdict,
};

use crate::channel::{
    Channel, FAILED, FORMATS, Name, Node, PEER, US, block, offer, preimage, seen,
};
use crate::spend::spend;

pub(crate) const CLOSED: u32 = 200;
/// The height at which the closing is final.
const DEEP: u32 = CLOSED + 5;

/// Every format with the commitment of either side.
pub(crate) fn closings() -> impl Iterator<Item = (CommitmentFormat, Node)> {
    FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)])
}

/// A channel with one HTLC, closed by the newest commitment of `owner`, and the HTLC's output.
fn closed(format: CommitmentFormat, owner: Node, offerer: Node) -> (Channel, Name, OutPoint) {
    let mut channel = Channel::new(format);
    let name = channel.add(offerer, offer(1, 50_000));
    close(&mut channel, owner);
    let output = channel.output_of(owner, name).expect("it is not trimmed");
    (channel, name, output)
}

pub(crate) fn close(channel: &mut Channel, owner: Node) {
    let transaction = channel.newest(owner).transaction.clone();
    channel.connect(CLOSED, &[&transaction]);
}

pub(crate) fn learn(channel: &mut Channel, node: Node, n: u8) {
    channel.update(node, vec![UpdateStep::Preimage { preimage: preimage(n) }]);
}

/// The peer's fulfil for an HTLC of ours reaches us, and no commitment yet.
pub(crate) fn fulfil(channel: &mut Channel, name: Name) {
    let preimage = channel.offers[&name].preimage;
    channel.update(US, vec![UpdateStep::Fulfill { htlc_id: HtlcId(name.1), preimage }]);
}

/// The process dies and comes back: what is not in the state is gone.
pub(crate) fn restart(channel: &mut Channel) {
    let state = channel.monitor().state().clone();
    channel.nodes[US].monitor = Monitor::restore(state).expect("it is a state of a monitor");
}

pub(crate) const fn by_message(n: u8) -> Verdict {
    let how = FulfilledHow::Message;
    Verdict::Fulfilled { preimage: lastword_types::PaymentPreimage([n; 32]), how }
}

pub(crate) fn by_chain(n: u8, transaction: &Transaction) -> Verdict {
    let how = FulfilledHow::Chain { txid: transaction.compute_txid() };
    Verdict::Fulfilled { preimage: preimage(n), how }
}

fn failing(reason: HtlcFailure, height: u32) -> Verdict {
    let until = FailingUntil::Depth(block(height, 0).height);
    Verdict::Failing { reason, until }
}

const fn failed(reason: HtlcFailure) -> Verdict {
    Verdict::Failed { reason }
}

fn undelivered(channel: &Channel) -> Vec<(u64, Verdict)> {
    let mut found = Vec::new();
    channel
        .monitor()
        .for_each_undelivered(&mut |entry| found.push((entry.key.htlc_id.0, entry.verdict)));
    found
}

/// The output of an HTLC in a commitment of a node that need not be its newest.
fn output_in(channel: &Channel, owner: Node, number: usize, name: Name) -> Option<OutPoint> {
    let built = channel.built(owner, number);
    let wanted = seen(US, name);
    let vout = (0u32..).zip(&built.outputs).find_map(|(vout, output)| match output.kind {
        OutputKind::Htlc { direction, htlc_id, .. } => {
            ((direction, htlc_id) == wanted).then_some(vout)
        }
        OutputKind::ToLocal
        | OutputKind::ToRemote
        | OutputKind::Anchor(_)
        | OutputKind::SharedAnchor => None,
    })?;
    Some(OutPoint { txid: built.txid(), vout })
}

/// The monitor that got the same updates and saw only these blocks.
fn fresh(channel: &Channel, chain: &[(u32, u8, Vec<Transaction>)]) -> Monitor {
    let [MonitorRecord::Created(new), records @ ..] = &channel.records[..] else {
        panic!("a channel begins with its creation");
    };
    let mut monitor = Monitor::create((**new).clone()).unwrap();
    for record in records.iter().filter(|record| matches!(record, MonitorRecord::Update(_))) {
        monitor.apply(record).unwrap();
    }
    for (height, branch, transactions) in chain {
        let block = block(*height, *branch);
        let transactions = transactions.clone();
        let delta = ChainDelta::Connected { block, transactions };
        monitor.apply(&MonitorRecord::Chain(delta)).unwrap();
    }
    monitor
}

/// Says that two monitors agree in everything that they can be asked.
#[track_caller]
fn same(left: &Monitor, right: &Monitor) {
    assert_eq!(left.state(), right.state());
    assert_eq!(left.card(), right.card());
    assert_eq!(left.claim_requests(), right.claim_requests());
    assert_eq!(left.alarms(), right.alarms());
}

/// A channel that has seen some life, and one transaction of each kind that may close it: by
/// agreement, by our newest commitment, by the peer's newest and the one before, by one that the
/// peer had revoked, and by a transaction that nobody knows.
pub(crate) fn lived(format: CommitmentFormat) -> (Channel, [Transaction; 6]) {
    let mut channel = Channel::new(format);
    channel.add(US, offer(1, 50_000));
    let revoked = channel.newest(PEER).transaction.clone();
    channel.add(PEER, offer(2, 60_000));
    channel.add(US, offer(3, 300));
    let given_up = channel.add(US, offer(4, 40_000));
    learn(&mut channel, US, 2);
    let previous = channel.newest(PEER).transaction.clone();
    channel.sign(US, &[], &[(given_up, FAILED)]);
    channel.revoke(US);
    channel.sign(PEER, &[], &[(given_up, FAILED)]);

    let funding = channel.nodes[US].parameters.funding_outpoint;
    let mutual = spend(funding, 0, 0);
    channel.update(US, vec![UpdateStep::MutualClose { txid: mutual.compute_txid() }]);
    let unknown = spend(funding, 7, 7);
    let [ours, theirs] = [US, PEER].map(|owner| channel.newest(owner).transaction.clone());
    (channel, [mutual, ours, theirs, previous, revoked, unknown])
}
