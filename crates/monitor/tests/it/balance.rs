//! Whose the value of a channel is: the parts sum to it after every record, and each is what the
//! chain makes of it.

mod closed;
mod lives;
mod mutual;
mod open;

mod revoked;

use bitcoin::{OutPoint, Transaction};
use lastword_bolt3::{OutputKind, htlc_witness, remote_htlc_sighash, rules};
use lastword_monitor::Monitor;
use lastword_types::{
    AmountMsat, Balance, BalanceKind, BalanceTotals, BalanceView, Balances, BlockHeight, BlockRef,
    ChainDelta, CommitmentFormat, MonitorRecord, UpdateStep,
};

use crate::channel::{Channel, Name, Node, PEER, US, preimage, seen};

const FORMATS: [CommitmentFormat; 3] = [
    CommitmentFormat::StaticRemoteKey,
    CommitmentFormat::AnchorsZeroFeeHtlc,
    CommitmentFormat::ZeroFee,
];
const CLOSED: u32 = 200;
/// The height from which something that confirmed with the closing is beyond a reorg.
const DEEP: u32 = CLOSED + 6;
const HTLC_SAT: u64 = 50_000;

/// Every format with the commitment of either side.
fn closings() -> impl Iterator<Item = (CommitmentFormat, Node)> {
    FORMATS.into_iter().flat_map(|format| [(format, US), (format, PEER)])
}

/// Asserts what holds of every balance, and returns it.
#[track_caller]
fn checked(monitor: &Monitor) -> Balances {
    let balances = monitor.balances();
    let state = monitor.state();
    let value = AmountMsat::from_sat(state.parameters.funding_amount).unwrap();
    assert_eq!(balances.total_msat(), value, "{balances:?}");
    assert_eq!(sum(balances.totals()), value.0);
    assert!(balances.parts.iter().all(|part| part.amount_msat > AmountMsat::ZERO));
    match (&balances.view, &state.funding_spend) {
        (BalanceView::Open { number }, None) => {
            assert_eq!(*number, state.local.commitment.number);
        }
        (BalanceView::Closed(close), Some(spend)) => {
            assert_eq!(*close, spend.close);
            let is_whole = |part: &Balance| part.amount_msat.0.is_multiple_of(1000);
            assert!(balances.parts.iter().all(is_whole), "{balances:?}");
        }
        (view, spend) => panic!("{view:?} of {spend:?}"),
    }
    let restored = Monitor::restore(state.clone()).unwrap();
    assert_eq!(restored.balances(), balances);
    balances
}

fn sum(totals: BalanceTotals) -> u64 {
    let BalanceTotals {
        ours,
        awaiting,
        contended,
        by_timeout,
        by_preimage,
        waiting_for_preimage,
        lost,
        peers,
        unknown,
        anchors,
        trimmed,
        rounding,
        fees,
    } = totals;
    [
        ours,
        awaiting,
        contended,
        by_timeout,
        by_preimage,
        waiting_for_preimage,
        lost,
        peers,
        unknown,
        anchors,
        trimmed,
        rounding,
        fees,
    ]
    .iter()
    .map(|amount| amount.0)
    .sum()
}

#[track_caller]
fn totals(channel: &Channel) -> BalanceTotals {
    checked(channel.monitor()).totals()
}

/// What became of an HTLC's value: satoshi and kind of each part of it but the fee of its own
/// transaction.
#[track_caller]
fn parts_of(channel: &Channel, name: Name) -> Vec<(u64, BalanceKind)> {
    let (direction, htlc_id) = seen(US, name);
    checked(channel.monitor())
        .parts
        .iter()
        .filter(|part| {
            part.htlc.is_some_and(|key| (key.direction, key.htlc_id) == (direction, htlc_id))
        })
        .filter(|part| part.kind != BalanceKind::Fees)
        .map(|part| (part.amount_msat.0 / 1000, part.kind))
        .collect()
}

#[track_caller]
fn kind_of(channel: &Channel, name: Name) -> BalanceKind {
    let parts = parts_of(channel, name);
    let [(_, kind)] = parts[..] else { panic!("one part: {parts:?}") };
    kind
}

/// What became of the output of a main balance of the confirmed commitment.
#[track_caller]
fn main_of(channel: &Channel, closing: &Closed, kind: OutputKind) -> BalanceKind {
    let outpoint = closing.main(channel, kind);
    let balances = checked(channel.monitor());
    let part = balances.parts.iter().find(|part| part.outpoint == Some(outpoint));
    part.expect("the output is there").kind
}

/// A commitment that was confirmed.
struct Closed {
    owner: Node,
    number: usize,
}

impl Closed {
    fn newest(channel: &mut Channel, owner: Node) -> Self {
        let number = channel.nodes[owner].commitments.len() - 1;
        Self::at(channel, owner, number)
    }

    fn at(channel: &mut Channel, owner: Node, number: usize) -> Self {
        let transaction = channel.nodes[owner].commitments[number].transaction.clone();
        channel.connect(CLOSED, &[&transaction]);
        Self { owner, number }
    }

    fn find(&self, channel: &Channel, wanted: impl Fn(OutputKind) -> bool) -> OutPoint {
        let built = channel.built(self.owner, self.number);
        let vout = built.outputs.iter().position(|output| wanted(output.kind)).unwrap();
        OutPoint { txid: built.txid(), vout: u32::try_from(vout).unwrap() }
    }

    fn main(&self, channel: &Channel, kind: OutputKind) -> OutPoint {
        self.find(channel, |it| it == kind)
    }

    fn htlc(&self, channel: &Channel, name: Name) -> OutPoint {
        self.find(channel, |kind| match kind {
            OutputKind::Htlc { direction, htlc_id, .. } => (direction, htlc_id) == seen(US, name),
            OutputKind::ToLocal
            | OutputKind::ToRemote
            | OutputKind::Anchor(_)
            | OutputKind::SharedAnchor => false,
        })
    }

    /// The HTLC transaction of the commitment's owner, as the monitor sees it on the chain.
    fn htlc_transaction(&self, channel: &Channel, name: Name, knows: bool) -> Transaction {
        let built = channel.built(self.owner, self.number);
        let htlc = built.htlc_transaction(self.htlc(channel, name).vout).unwrap();
        let preimage = knows.then_some(channel.offers[&name].preimage);
        let sighash = remote_htlc_sighash(built.format());
        let mut transaction = htlc.transaction;
        transaction.input[0].witness =
            htlc_witness(&signature(), sighash, &signature(), preimage, &htlc.script);
        transaction
    }
}

fn signature() -> bitcoin::secp256k1::ecdsa::Signature {
    bitcoin::secp256k1::ecdsa::Signature::from_compact(&[1; 64]).unwrap()
}

fn learn(channel: &mut Channel, node: Node, n: u8) {
    channel.update(node, vec![UpdateStep::Preimage { preimage: preimage(n) }]);
}

fn height(height: u32) -> BlockHeight {
    BlockHeight(height)
}

fn csv(format: CommitmentFormat) -> u32 {
    u32::from(rules(format).csv_blocks)
}

fn folded(records: &[MonitorRecord]) -> Monitor {
    let [MonitorRecord::Created(new), records @ ..] = records else {
        panic!("a channel begins with its creation")
    };
    let mut monitor = Monitor::create((**new).clone()).unwrap();
    for record in records {
        monitor.apply(record).unwrap();
    }
    monitor
}

fn connect(monitor: &mut Monitor, block: BlockRef, transactions: &[Transaction]) {
    let transactions = transactions.to_vec();
    let delta = ChainDelta::Connected { block, transactions };
    monitor.apply(&MonitorRecord::Chain(delta)).unwrap();
}
