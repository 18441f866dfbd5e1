//! Closings by agreement, by nobody knows whom, and by a commitment from the future.

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, TxOut};
use lastword_bolt3::OutputKind;
use lastword_types::{BalanceView, Close, CommitmentFormat, UpdateStep};

use super::{CLOSED, DEEP, FORMATS, HTLC_SAT, checked, connect, folded, totals};
use crate::channel::{Channel, PEER, US, block, fulfilled, offer};
use crate::spend::spend;

/// A closing transaction with these values.
fn mutual(channel: &mut Channel, values: &[u64]) -> Transaction {
    let funding = channel.nodes[US].parameters.funding_outpoint;
    let mut transaction = spend(funding, 0, 0);
    let output = |value: &u64| TxOut {
        value: Amount::from_sat(*value),
        script_pubkey: ScriptBuf::from_bytes(vec![0x51]),
    };
    transaction.output = values.iter().map(output).collect();
    let txid = transaction.compute_txid();
    channel.update(US, vec![UpdateStep::MutualClose { txid }]);
    transaction
}

#[test]
fn a_mutual_close_is_divided_by_the_values_of_its_outputs() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, 100_000));
        channel.remove(name, fulfilled(1));
        // 400,000 are ours, 600,000 the peer's.
        for (values, ours, peers) in [
            (&[399_000, 600_000][..], 399_000, 600_000),
            (&[600_000, 399_000], 399_000, 600_000),
            // The peer pays, with `closing_complete`.
            (&[599_500, 400_000], 400_000, 599_500),
            // Whoever has no output paid with all that it had.
            (&[400_000], 400_000, 0),
            (&[600_000], 0, 600_000),
        ] {
            let closing = mutual(&mut channel, values);
            channel.connect(CLOSED, &[&closing]);
            assert_eq!(checked(channel.monitor()).view, BalanceView::Closed(Close::Mutual));
            let first = totals(&channel);
            assert_eq!([first.awaiting.0, first.peers.0], [ours * 1000, peers * 1000]);
            assert_eq!(first.fees.0, (1_000_000 - ours - peers) * 1000);
            channel.connect(DEEP - 1, &[]);
            let last = totals(&channel);
            assert_eq!([last.ours.0, last.awaiting.0], [ours * 1000, 0]);
            channel.disconnect(CLOSED - 1);
            assert!(matches!(checked(channel.monitor()).view, BalanceView::Open { .. }));
        }
        // Nobody can tell whose these are.
        for values in [&[1][..], &[300_000, 300_000], &[1, 2, 3], &[500_000]] {
            let closing = mutual(&mut channel, values);
            channel.connect(CLOSED, &[&closing]);
            let unknown: u64 = values.iter().sum();
            assert_eq!(totals(&channel).unknown.0, unknown * 1000);
            assert_eq!(totals(&channel).fees.0, (1_000_000 - unknown) * 1000);
            channel.disconnect(CLOSED - 1);
        }
    }
}

#[test]
fn a_mutual_close_with_one_output_gives_the_other_side_nothing() {
    for all_ours in [true, false] {
        let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
        let offerer = if all_ours { PEER } else { US };
        let name = channel.add(offerer, offer(1, 499_800));
        channel.remove(name, fulfilled(1));
        let closing = mutual(&mut channel, &[999_000]);
        channel.connect(CLOSED, &[&closing]);

        let totals = totals(&channel);
        let is_possible = if all_ours { totals.awaiting.0 } else { totals.peers.0 };
        assert_eq!(is_possible, 999_000_000, "{totals:?}");
        assert_eq!(totals.fees.0, 1_000_000);
    }
}

#[test]
fn nobody_can_say_whose_an_unknown_spend_is() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        channel.add(US, offer(1, HTLC_SAT));
        let funding = channel.nodes[US].parameters.funding_outpoint;
        let mut unknown = spend(funding, 7, 7);
        unknown.output[0].value = Amount::from_sat(990_000);
        channel.connect(CLOSED, &[&unknown]);
        assert_eq!(totals(&channel).unknown.0, 990_000_000);
        assert_eq!(totals(&channel).fees.0, 10_000_000);
        channel.disconnect(CLOSED - 1);

        // With coins of others in it nothing can be said at all.
        let mut foreign = unknown;
        foreign.input.push(spend(OutPoint::null(), 0, 0).input[0].clone());
        foreign.output[0].value = Amount::from_sat(300_000);
        channel.connect_on(1, CLOSED, &[&foreign]);
        assert_eq!(totals(&channel).unknown.0, 1_000_000_000);
    }
}

#[test]
fn of_a_commitment_from_the_future_only_our_balance_is_known() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        channel.add(US, offer(1, HTLC_SAT));
        let past = channel.records.len();
        channel.add(PEER, offer(2, HTLC_SAT));
        channel.add(US, offer(3, HTLC_SAT));
        let mut old = folded(&channel.records[..past]);
        let closing = channel.newest(PEER).transaction.clone();
        connect(&mut old, block(CLOSED, 0), &[closing]);

        let balances = checked(&old);
        assert!(matches!(balances.view, BalanceView::Closed(Close::Future { .. })));
        let totals = balances.totals();
        let built = channel.built(PEER, channel.nodes[PEER].commitments.len() - 1);
        let value = |wanted| {
            built.outputs.iter().find(|it| it.kind == wanted).map_or(0, |it| it.amount.to_sat())
        };
        assert_eq!(totals.awaiting.0, value(OutputKind::ToRemote) * 1000);
        assert_eq!(totals.unknown.0, (value(OutputKind::ToLocal) + 3 * HTLC_SAT) * 1000);
        connect(&mut old, block(DEEP - 1, 0), &[]);
        assert_eq!(checked(&old).totals().ours.0, totals.awaiting.0);
    }
}

#[test]
fn of_equal_balances_the_opener_pays_the_fee() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let closing = mutual(&mut channel, &[500_000, 499_000]);
    let txid = closing.compute_txid();
    channel.update(PEER, vec![UpdateStep::MutualClose { txid }]);
    channel.connect(CLOSED, &[&closing]);

    assert_eq!(totals(&channel).awaiting.0, 499_000_000);
    let theirs = checked(&channel.nodes[PEER].monitor).totals();
    assert_eq!([theirs.awaiting.0, theirs.peers.0], [500_000_000, 499_000_000]);
}
