//! Commitments that were revoked, the peer's and ours.

use bitcoin::{Amount, OutPoint, ScriptBuf, Transaction, Witness};
use lastword_bolt3::{OutputKind, delayed_witness, revocation_witness};
use lastword_types::{BalanceKind, BalanceView, Close, CommitmentFormat};

use super::{
    CLOSED, Closed, DEEP, FORMATS, HTLC_SAT, checked, csv, height, kind_of, learn, main_of,
    parts_of, signature, totals,
};
use crate::channel::{Channel, DELAYS, EXPIRY, Name, PEER, US, offer};
use crate::spend::spend;

/// Something that spends an output of a delayed script: with the revocation key, or after a delay.
fn taking(outpoint: OutPoint, is_penalty: bool) -> Transaction {
    let mut transaction = spend(outpoint, 0, 0);
    let script = ScriptBuf::new();
    transaction.input[0].witness = if is_penalty {
        revocation_witness(&signature(), &script)
    } else {
        delayed_witness(&signature(), &script)
    };
    transaction
}

/// A channel whose revoked commitment of the peer, with an HTLC of each direction, is confirmed.
fn breached(format: CommitmentFormat) -> (Channel, Closed, [Name; 2]) {
    let mut channel = Channel::new(format);
    let out = channel.add(US, offer(1, HTLC_SAT));
    let back = channel.add(PEER, offer(2, HTLC_SAT));
    let number = channel.nodes[PEER].commitments.len() - 1;
    channel.add(US, offer(3, 300));
    let closed = Closed::at(&mut channel, PEER, number);
    let view = checked(channel.monitor()).view;
    assert!(matches!(view, BalanceView::Closed(Close::Revoked { .. })), "{view:?}");
    (channel, closed, [out, back])
}

#[test]
fn a_revoked_commitment_is_contended_but_for_our_balance() {
    for format in FORMATS {
        let (channel, closed, [out, back]) = breached(format);
        let contended = |at| BalanceKind::Contended { peer_from: height(at) };
        let delayed = CLOSED + u32::from(DELAYS[PEER]);
        assert_eq!(main_of(&channel, &closed, OutputKind::ToLocal), contended(delayed));
        let ours = main_of(&channel, &closed, OutputKind::ToRemote);
        assert_eq!(ours, BalanceKind::Awaiting { from: height(DEEP) });
        assert_eq!(kind_of(&channel, out), contended(CLOSED + csv(format)));
        assert_eq!(kind_of(&channel, back), contended(EXPIRY + 1));
        assert_eq!(totals(&channel).peers.0, 0);
    }
}

#[test]
fn what_we_take_from_a_revoked_commitment_is_ours_once_it_is_final() {
    for format in FORMATS {
        let (mut channel, closed, [out, back]) = breached(format);
        let contended = totals(&channel).contended;
        let outputs = [
            closed.main(&channel, OutputKind::ToLocal),
            closed.htlc(&channel, out),
            closed.htlc(&channel, back),
        ];
        let penalties = outputs.map(|output| channel.claim(US, output));
        channel.connect(CLOSED + 1, &penalties.each_ref());
        let after = totals(&channel);
        assert_eq!((after.contended.0, after.lost.0, after.peers.0), (0, 0, 0));
        let awaiting = BalanceKind::Awaiting { from: height(CLOSED + 7) };
        assert_eq!(main_of(&channel, &closed, OutputKind::ToLocal), awaiting);
        assert_eq!(kind_of(&channel, out), awaiting);
        assert_eq!(kind_of(&channel, back), awaiting);
        channel.connect(CLOSED + 6, &[]);
        let last = totals(&channel);
        assert_eq!((last.awaiting.0, last.ours.0), (0, after.awaiting.0));
        channel.disconnect(CLOSED);
        assert_eq!(totals(&channel).contended, contended);
    }
}

#[test]
fn what_the_peer_takes_from_a_revoked_commitment_is_lost() {
    for format in FORMATS {
        let (mut channel, closed, [out, back]) = breached(format);
        let main = closed.main(&channel, OutputKind::ToLocal);
        let success = closed.htlc_transaction(&channel, out, true);
        let timeout = closed.htlc_transaction(&channel, back, false);
        channel.connect(EXPIRY + 1, &[&success, &timeout]);
        // Into an output that we may still take, and so may the peer after its delay.
        let peer_from = height(EXPIRY + 1 + u32::from(DELAYS[PEER]));
        let left = |transaction: &Transaction| transaction.output[0].value.to_sat();
        for (name, transaction) in [(out, &success), (back, &timeout)] {
            let contended = BalanceKind::Contended { peer_from };
            assert_eq!(parts_of(&channel, name), [(left(transaction), contended)]);
        }
        let second =
            |transaction: &Transaction| OutPoint { txid: transaction.compute_txid(), vout: 0 };
        let taken = [
            taking(main, false),
            taking(second(&success), false),
            channel.claim(US, second(&timeout)),
        ];
        channel.connect(peer_from.0, &taken.each_ref());

        assert_eq!(main_of(&channel, &closed, OutputKind::ToLocal), BalanceKind::Lost);
        assert_eq!(kind_of(&channel, out), BalanceKind::Lost);
        let awaiting = BalanceKind::Awaiting { from: peer_from.plus(6) };
        assert_eq!(parts_of(&channel, back), [(left(&timeout), awaiting)]);
    }
}

#[test]
fn a_closing_that_is_revoked_after_it_was_confirmed_becomes_contended() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let name = channel.add(PEER, offer(1, HTLC_SAT));
        let number = channel.nodes[PEER].commitments.len() - 1;
        let new = channel.draft(US, offer(2, HTLC_SAT));
        channel.sign(PEER, &[new], &[]);
        let closed = Closed::at(&mut channel, PEER, number);
        assert_eq!(main_of(&channel, &closed, OutputKind::ToLocal), BalanceKind::Peers);
        let until = height(EXPIRY + 1);
        assert_eq!(kind_of(&channel, name), BalanceKind::WaitingForPreimage { until });
        channel.revoke(PEER);

        let delayed = height(CLOSED + u32::from(DELAYS[PEER]));
        let contended = |peer_from| BalanceKind::Contended { peer_from };
        assert_eq!(main_of(&channel, &closed, OutputKind::ToLocal), contended(delayed));
        assert_eq!(kind_of(&channel, name), contended(until));
    }
}

#[test]
fn on_a_commitment_of_ours_that_may_be_revoked_nothing_of_ours_is_sure() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let out = channel.add(US, offer(1, HTLC_SAT));
        let back = channel.add(PEER, offer(2, HTLC_SAT));
        let foreign = channel.add(PEER, offer(3, HTLC_SAT));
        learn(&mut channel, US, 2);
        let number = channel.nodes[US].commitments.len() - 1;
        let new = channel.draft(PEER, offer(4, HTLC_SAT));
        channel.sign(US, &[new], &[]);
        let closed = Closed::at(&mut channel, US, number);
        let contended = BalanceKind::Contended { peer_from: height(CLOSED) };
        assert_eq!(main_of(&channel, &closed, OutputKind::ToLocal), contended);
        assert_eq!(kind_of(&channel, out), contended);
        assert_eq!(kind_of(&channel, back), contended);
        let until = height(EXPIRY + 1);
        assert_eq!(kind_of(&channel, foreign), BalanceKind::WaitingForPreimage { until });

        // The peer has the secret and takes what it can; we take the rest.
        let main = closed.main(&channel, OutputKind::ToLocal);
        let success = closed.htlc(&channel, back);
        let success = channel.claim(US, success);
        channel.connect(CLOSED + 1, &[&taking(main, true), &success]);
        assert_eq!(main_of(&channel, &closed, OutputKind::ToLocal), BalanceKind::Lost);
        let second = OutPoint { txid: success.compute_txid(), vout: 0 };
        let contended = BalanceKind::Contended { peer_from: height(CLOSED + 1) };
        assert_eq!(kind_of(&channel, back), contended);
        let sweep = channel.claim(US, second);
        channel.connect(CLOSED + 200, &[&sweep]);
        let awaiting = BalanceKind::Awaiting { from: height(CLOSED + 206) };
        assert_eq!(kind_of(&channel, back), awaiting);
        let mut stolen = spend(closed.htlc(&channel, out), 0, 0);
        stolen.input[0].witness = Witness::from_slice(&[vec![1; 71], vec![2; 33], vec![3; 100]]);
        channel.connect(CLOSED + 201, &[&stolen]);
        assert_eq!(kind_of(&channel, out), BalanceKind::Lost);
    }
}

#[test]
fn an_htlc_transaction_of_the_peer_brings_us_no_more_than_it_took_from_the_channel() {
    for format in FORMATS {
        let (mut channel, closed, [out, back]) = breached(format);
        // With coins of its own in it, or into an output that we cannot take.
        let mut rich = closed.htlc_transaction(&channel, out, true);
        rich.input.push(spend(OutPoint::null(), 0, 0).input[0].clone());
        rich.output[0].value = Amount::from_sat(9 * HTLC_SAT);
        let mut foreign = closed.htlc_transaction(&channel, back, false);
        foreign.output = spend(OutPoint::null(), 0, 0).output;
        channel.connect(EXPIRY + 1, &[&rich, &foreign]);

        let peer_from = height(EXPIRY + 1 + u32::from(DELAYS[PEER]));
        let contended = BalanceKind::Contended { peer_from };
        assert_eq!(parts_of(&channel, out), [(HTLC_SAT, contended)]);
        assert_eq!(parts_of(&channel, back), [(HTLC_SAT, BalanceKind::Lost)]);
    }
}
