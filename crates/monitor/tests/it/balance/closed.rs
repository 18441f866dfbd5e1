//! Closings by a commitment that may stand, ours and the peer's.

use bitcoin::{Amount, Witness};
use lastword_bolt3::{OutputKind, htlc_preimage_witness, htlc_timeout_witness, rules};
use lastword_types::{
    BalanceKind, BalanceView, ChainDelta, CommitmentFormat, FeeRatePerKw, MonitorRecord, Side,
};

use super::{
    CLOSED, Closed, DEEP, FORMATS, HTLC_SAT, checked, closings, connect, csv, height, kind_of,
    learn, main_of, parts_of, signature, totals,
};
use crate::channel::{Channel, DELAYS, EXPIRY, Node, PEER, US, block, offer, preimage};
use crate::spend::spend;

/// Takes the block of the closing back and gives it again: everything is as it was.
#[track_caller]
fn survives_a_reorg(channel: &mut Channel, owner: Node) {
    let open = {
        let mut monitor = channel.monitor().clone();
        let fork = block(CLOSED - 1, 0);
        monitor.apply(&MonitorRecord::Chain(ChainDelta::Disconnected { fork })).unwrap();
        checked(&monitor)
    };
    assert!(matches!(open.view, BalanceView::Open { .. }));
    channel.disconnect(CLOSED - 1);
    assert_eq!(checked(channel.monitor()), open);
    let before = {
        let closing = channel.newest(owner).transaction.clone();
        channel.connect_on(1, CLOSED, &[&closing]);
        checked(channel.monitor())
    };
    channel.disconnect(CLOSED - 1);
    let closing = channel.newest(owner).transaction.clone();
    channel.connect_on(2, CLOSED, &[&closing]);
    assert_eq!(checked(channel.monitor()), before);
}

#[test]
fn our_balance_on_our_commitment_waits_for_its_delay() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let closed = Closed::newest(&mut channel, US);
        let from = height(CLOSED + u32::from(DELAYS[US]));
        let main = |channel: &Channel| main_of(channel, &closed, OutputKind::ToLocal);
        assert_eq!(main(&channel), BalanceKind::Awaiting { from });
        assert_eq!(main_of(&channel, &closed, OutputKind::ToRemote), BalanceKind::Peers);
        channel.connect(from.0 - 2, &[]);
        assert_eq!(main(&channel), BalanceKind::Awaiting { from });
        channel.connect(from.0 - 1, &[]);
        assert_eq!(main(&channel), BalanceKind::Ours);
        let outpoint = closed.main(&channel, OutputKind::ToLocal);
        let sweep = channel.claim(US, outpoint);
        channel.connect(from.0, &[&sweep]);
        assert_eq!(main(&channel), BalanceKind::Ours);
        channel.disconnect(from.0 - 2);
        assert_eq!(main(&channel), BalanceKind::Awaiting { from });
        survives_a_reorg(&mut channel, US);
    }
}

#[test]
fn our_balance_on_the_peers_commitment_waits_until_it_is_final() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let closed = Closed::newest(&mut channel, PEER);
        let from = height(DEEP);
        let main = |channel: &Channel| main_of(channel, &closed, OutputKind::ToRemote);
        assert_eq!(main(&channel), BalanceKind::Awaiting { from });
        assert_eq!(main_of(&channel, &closed, OutputKind::ToLocal), BalanceKind::Peers);
        channel.connect(DEEP - 2, &[]);
        assert_eq!(main(&channel), BalanceKind::Awaiting { from });
        channel.connect(DEEP - 1, &[]);
        assert_eq!(main(&channel), BalanceKind::Ours);
        survives_a_reorg(&mut channel, PEER);
    }
}

#[test]
fn what_we_offered_is_ours_by_timeout_then_contended_then_ours() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, HTLC_SAT));
        let closed = Closed::newest(&mut channel, owner);
        let from = height(EXPIRY + 1);
        assert_eq!(parts_of(&channel, name), [(HTLC_SAT, BalanceKind::ByTimeout { from })]);
        channel.connect(EXPIRY - 1, &[]);
        assert_eq!(kind_of(&channel, name), BalanceKind::ByTimeout { from });
        channel.connect(EXPIRY, &[]);
        let peer_from = height(CLOSED + csv(format));
        assert_eq!(kind_of(&channel, name), BalanceKind::Contended { peer_from });

        let fees = totals(&channel).fees.0;
        let output = closed.htlc(&channel, name);
        let timeout = channel.claim(US, output);
        channel.connect(EXPIRY + 1, &[&timeout]);
        let (lock, fee) = if owner == US {
            let fee = rules(format).htlc_fee(FeeRatePerKw(1000), false).to_sat();
            (u32::from(DELAYS[US]), fee)
        } else {
            (6, 0)
        };
        let from = height(EXPIRY + 1 + lock);
        let awaiting = BalanceKind::Awaiting { from };
        assert_eq!(parts_of(&channel, name), [(HTLC_SAT - fee, awaiting)]);
        assert_eq!(totals(&channel).fees.0, fees + fee * 1000);
        channel.connect(from.0 - 1, &[]);
        assert_eq!(parts_of(&channel, name), [(HTLC_SAT - fee, BalanceKind::Ours)]);
        channel.disconnect(EXPIRY);
        assert_eq!(kind_of(&channel, name), BalanceKind::Contended { peer_from });
        survives_a_reorg(&mut channel, owner);
    }
}

#[test]
fn what_we_received_is_ours_by_preimage_then_contended_then_ours() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let name = channel.add(PEER, offer(1, HTLC_SAT));
        let closed = Closed::newest(&mut channel, owner);
        let until = height(EXPIRY + 1);
        assert_eq!(
            parts_of(&channel, name),
            [(HTLC_SAT, BalanceKind::WaitingForPreimage { until })]
        );
        learn(&mut channel, US, 1);
        assert_eq!(kind_of(&channel, name), BalanceKind::ByPreimage { until });
        channel.connect(EXPIRY - 1, &[]);
        assert_eq!(kind_of(&channel, name), BalanceKind::ByPreimage { until });
        channel.connect(EXPIRY, &[]);
        assert_eq!(kind_of(&channel, name), BalanceKind::Contended { peer_from: until });

        channel.disconnect(CLOSED + 1);
        let output = closed.htlc(&channel, name);
        let claim = channel.claim(US, output);
        channel.connect_on(1, CLOSED + 2, &[&claim]);
        let (lock, fee) = if owner == US {
            let fee = rules(format).htlc_fee(FeeRatePerKw(1000), true).to_sat();
            (u32::from(DELAYS[US]), fee)
        } else {
            (6, 0)
        };
        let from = height(CLOSED + 2 + lock);
        assert_eq!(parts_of(&channel, name), [(HTLC_SAT - fee, BalanceKind::Awaiting { from })]);
        channel.connect_on(1, from.0 - 1, &[]);
        assert_eq!(parts_of(&channel, name), [(HTLC_SAT - fee, BalanceKind::Ours)]);
    }
}

#[test]
fn what_we_received_and_cannot_open_goes_back_to_the_peer() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let name = channel.add(PEER, offer(1, HTLC_SAT));
        let closed = Closed::newest(&mut channel, owner);
        channel.connect(EXPIRY, &[]);
        let until = height(EXPIRY + 1);
        assert_eq!(kind_of(&channel, name), BalanceKind::WaitingForPreimage { until });
        let output = closed.htlc(&channel, name);
        let timeout = channel.claim(PEER, output);
        channel.connect(EXPIRY + 1, &[&timeout]);
        assert_eq!(totals(&channel).lost.0, 0);
        assert_eq!(kind_of(&channel, name), BalanceKind::Peers);
    }
}

#[test]
fn what_we_could_have_opened_and_the_peer_took_back_is_lost() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let name = channel.add(PEER, offer(1, HTLC_SAT));
        learn(&mut channel, US, 1);
        let closed = Closed::newest(&mut channel, owner);
        let output = closed.htlc(&channel, name);
        let timeout = channel.claim(PEER, output);
        channel.connect(EXPIRY + 1, &[&timeout]);

        assert_eq!(kind_of(&channel, name), BalanceKind::Lost);
        channel.disconnect(EXPIRY);
        assert_eq!(
            kind_of(&channel, name),
            BalanceKind::Contended { peer_from: height(EXPIRY + 1) }
        );
    }
}

#[test]
fn what_the_peer_opens_is_the_peers() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, HTLC_SAT));
        learn(&mut channel, PEER, 1);
        let closed = Closed::newest(&mut channel, owner);
        let fees = totals(&channel).fees.0;
        let output = closed.htlc(&channel, name);
        let claim = channel.claim(PEER, output);
        channel.connect(CLOSED + 6, &[&claim]);

        let fee = if owner == PEER {
            rules(format).htlc_fee(FeeRatePerKw(1000), true).to_sat()
        } else {
            0
        };
        assert_eq!(parts_of(&channel, name), [(HTLC_SAT - fee, BalanceKind::Peers)]);
        assert_eq!(totals(&channel).fees.0, fees + fee * 1000);
        // The peer has shown the preimage, and the block with it leaves.
        channel.disconnect(CLOSED + 1);
        assert_eq!(kind_of(&channel, name), BalanceKind::Peers);
    }
}

#[test]
fn what_had_failed_for_good_and_the_peer_opened_after_all_is_lost() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, HTLC_SAT));
        learn(&mut channel, PEER, 1);
        let closed = Closed::newest(&mut channel, owner);
        let output = closed.htlc(&channel, name);
        let timeout = channel.claim(US, output);
        let claim = channel.claim(PEER, output);
        channel.connect(EXPIRY + 1, &[&timeout]);
        channel.connect(EXPIRY + 6, &[]);
        // A reorg deeper than what counts as final.
        channel.disconnect(EXPIRY);
        channel.connect_on(1, EXPIRY + 1, &[&claim]);

        assert_eq!(kind_of(&channel, name), BalanceKind::Lost);
    }
}

#[test]
fn an_anchor_stays_an_anchor_whoever_spends_it() {
    for owner in [US, PEER] {
        let mut channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
        let closed = Closed::newest(&mut channel, owner);
        let before = totals(&channel);
        for side in [Side::Local, Side::Remote] {
            let anchor = closed.main(&channel, OutputKind::Anchor(side));
            let spent = spend(anchor, 0, 0);
            channel.connect(CLOSED, &[&spent]);
        }
        assert_eq!(totals(&channel), before);
    }
}

/// A commitment's owner may not claim as the other side does, and somebody may try: whatever a
/// witness says, the value is given out once.
#[test]
fn hostile_spends_do_not_change_the_sum() {
    for (format, owner) in closings() {
        for offerer in [US, PEER] {
            let mut channel = Channel::new(format);
            let name = channel.add(offerer, offer(1, HTLC_SAT));
            let closed = Closed::newest(&mut channel, owner);
            let output = closed.htlc(&channel, name);
            let script = channel.built(owner, closed.number).outputs
                [usize::try_from(output.vout).unwrap()]
            .script
            .clone();
            let second = closed.htlc_transaction(&channel, name, true);
            for witness in [
                htlc_preimage_witness(&signature(), &preimage(1), &script),
                htlc_timeout_witness(&signature(), &script),
                second.input[0].witness.clone(),
                Witness::new(),
                Witness::from_slice(&vec![vec![0; 1000]; 40]),
            ] {
                for (value, outputs) in [(u64::MAX / 4, 1), (21_000_000, 3), (0, 0)] {
                    let mut hostile = second.clone();
                    hostile.input[0].witness = witness.clone();
                    hostile.output[0].value = Amount::from_sat(value);
                    let output = hostile.output[0].clone();
                    hostile.output = vec![output; outputs];
                    channel.connect(CLOSED + 3, &[&hostile]);
                    checked(channel.monitor());
                    channel.disconnect(CLOSED);
                }
            }
        }
    }
}

#[test]
fn time_passes_in_blocks_that_the_monitor_is_not_told_of() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        let name = channel.add(US, offer(1, HTLC_SAT));
        Closed::newest(&mut channel, owner);
        let told = |channel: &mut Channel, at: u32| {
            channel.connect(at, &[]);
            checked(channel.monitor())
        };
        for at in [CLOSED, DEEP - 1, CLOSED + 143, EXPIRY - 1, EXPIRY] {
            let untold = channel.monitor().balances_at(height(at));
            let mut other = channel.monitor().clone();
            connect(&mut other, block(at, 0), &[]);
            assert_eq!(untold, checked(&other));
        }
        let last = told(&mut channel, EXPIRY);
        // An older tip than it has seen changes nothing.
        assert_eq!(channel.monitor().balances_at(height(CLOSED)), last);
        assert!(matches!(kind_of(&channel, name), BalanceKind::Contended { .. }));
    }
}
