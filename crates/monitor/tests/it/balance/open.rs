//! Open channels, and what is only said of them.

use lastword_types::{
    BalanceKind, BalanceView, CommitmentFormat, CommitmentNumber, HtlcId, UpdateStep,
};

use super::{
    CLOSED, Closed, FORMATS, HTLC_SAT, checked, closings, csv, height, kind_of, learn, parts_of,
    totals,
};
use crate::channel::{Channel, EXPIRY, FAILED, Offer, PEER, US, offer, preimage};

#[test]
fn an_open_channel_is_divided_as_our_newest_commitment_divides_it() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let odd = |n, msat| Offer { preimage: preimage(n), amount_msat: msat, expiry: EXPIRY };
        let out = channel.add(US, odd(1, 50_000_001));
        let known = channel.add(PEER, odd(2, 60_000_999));
        let not_known = channel.add(PEER, odd(3, 70_000_000));
        let dust = channel.add(US, odd(4, 300_700));
        learn(&mut channel, US, 2);

        let balances = checked(channel.monitor());
        let totals = balances.totals();
        let until = height(EXPIRY + 1);
        assert_eq!(kind_of(&channel, out), BalanceKind::ByTimeout { from: until });
        assert_eq!(kind_of(&channel, known), BalanceKind::ByPreimage { until });
        assert_eq!(kind_of(&channel, not_known), BalanceKind::WaitingForPreimage { until });
        assert_eq!(kind_of(&channel, dust), BalanceKind::Trimmed);
        assert_eq!(totals.by_timeout.0, 50_000_000);
        assert_eq!(totals.by_preimage.0, 60_000_000);
        assert_eq!(totals.waiting_for_preimage.0, 70_000_000);
        assert_eq!(totals.trimmed.0, 300_700);
        // 1 and 999 of the HTLCs, 299 of our balance, 1 of the peer's.
        assert_eq!(totals.rounding.0, 1 + 999 + 299 + 1);
        assert_eq!(totals.peers.0, 369_999_000);
        let built = channel.built(US, channel.nodes[US].commitments.len() - 1);
        let paid = built.fee().to_sat() * 1000;
        match format {
            CommitmentFormat::StaticRemoteKey => {
                assert_eq!(totals.anchors.0, 0);
                assert_eq!(totals.fees.0 + totals.trimmed.0 + totals.rounding.0, paid);
                assert_eq!(totals.ours.0 + totals.fees.0, 449_699_000);
            }
            CommitmentFormat::AnchorsZeroFeeHtlc => {
                assert_eq!(totals.anchors.0, 660_000);
                assert_eq!(totals.fees.0 + totals.trimmed.0 + totals.rounding.0, paid);
                assert_eq!(totals.ours.0 + totals.fees.0 + totals.anchors.0, 449_699_000);
            }
            // The anchor holds what is trimmed and rounded, and that is said of it already.
            CommitmentFormat::ZeroFee => {
                assert_eq!((totals.anchors.0, totals.fees.0), (0, 0));
                assert_eq!(totals.ours.0, 449_699_000);
            }
        }
        assert_eq!((totals.awaiting.0, totals.contended.0, totals.lost.0), (0, 0, 0));
    }
}

#[test]
fn an_htlc_that_only_the_peers_commitment_holds_is_not_in_the_view() {
    let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let before = totals(&channel);
    let name = channel.draft(US, offer(1, HTLC_SAT));
    channel.sign(PEER, &[name], &[]);
    assert_eq!(totals(&channel), before);
    channel.revoke(PEER);
    channel.sign(US, &[name], &[]);
    assert_eq!(totals(&channel).by_timeout.0, HTLC_SAT * 1000);
    channel.revoke(US);
    channel.sign(US, &[], &[(name, FAILED)]);
    assert_eq!(totals(&channel), before);
}

#[test]
fn what_the_peer_has_fulfilled_is_the_peers_and_what_we_failed_too() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let out = channel.add(US, offer(1, HTLC_SAT));
        let back = channel.add(PEER, offer(2, HTLC_SAT));
        let fulfill = UpdateStep::Fulfill { htlc_id: HtlcId(out.1), preimage: preimage(1) };
        channel.update(US, vec![fulfill]);
        assert_eq!(kind_of(&channel, out), BalanceKind::Peers);
        learn(&mut channel, US, 2);
        channel.sign(PEER, &[], &[(back, FAILED)]);
        assert_eq!(kind_of(&channel, back), BalanceKind::Peers);

        Closed::newest(&mut channel, US);
        assert_eq!(kind_of(&channel, out), BalanceKind::Peers);
        assert_eq!(kind_of(&channel, back), BalanceKind::Peers);
        channel.connect(EXPIRY, &[]);
        // We take back what the peer leaves.
        let peer_from = height(CLOSED + csv(format));
        assert_eq!(kind_of(&channel, out), BalanceKind::Contended { peer_from });
    }
}

#[test]
fn what_is_trimmed_and_rounded_is_a_fee_once_on_chain() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let odd = |n, msat| Offer { preimage: preimage(n), amount_msat: msat, expiry: EXPIRY };
        let dust = [channel.add(US, odd(1, 300_000)), channel.add(PEER, odd(2, 200_000))];
        let odds = [channel.add(US, odd(3, 50_000_500)), channel.add(PEER, odd(4, 50_000_500))];
        for name in dust {
            assert_eq!(kind_of(&channel, name), BalanceKind::Trimmed);
        }
        assert_eq!(totals(&channel).rounding.0, 4 * 500);
        Closed::newest(&mut channel, owner);

        let totals = totals(&channel);
        assert_eq!((totals.trimmed.0, totals.rounding.0), (0, 0));
        let built = channel.built(owner, channel.nodes[owner].commitments.len() - 1);
        assert_eq!(totals.fees.0, built.fee().to_sat() * 1000);
        let anchors = match format {
            CommitmentFormat::StaticRemoteKey => 0,
            CommitmentFormat::AnchorsZeroFeeHtlc => 660,
            CommitmentFormat::ZeroFee => 240,
        };
        assert_eq!(totals.anchors.0, anchors * 1000);
        for name in dust {
            assert_eq!(parts_of(&channel, name), []);
        }
        for name in odds {
            assert_eq!(parts_of(&channel, name)[0].0, 50_000);
        }
    }
}

#[test]
fn a_new_channel_is_divided_in_two() {
    for format in FORMATS {
        let channel = Channel::new(format);
        let balances = checked(channel.monitor());
        let number = CommitmentNumber::ZERO;
        assert_eq!(balances.view, BalanceView::Open { number });
        let kinds: Vec<_> = balances.parts.iter().map(|part| part.kind).collect();
        assert!(kinds.contains(&BalanceKind::Ours) && kinds.contains(&BalanceKind::Peers));
    }
}
