//! What a channel with several fundings goes through.

use bitcoin::Amount;
use bitcoin::consensus::serialize;
use lastword_bolt3::{funding_script, script_pubkey};
use lastword_monitor::Monitor;
use lastword_types::{
    Alarm, BalanceKind, Close, CommitmentFormat, CommitmentNumber, FundingKind, MonitorState,
    Verdict,
};

use super::SPLICED;
use crate::channel::{CHANNEL, Channel, FAILED, FORMATS, PEER, US, fulfilled, offer, seen};
use crate::museum::learn;

/// One million, and what the splices of these tests put in or take out.
const FIRST: u64 = 1_000_000;
const MORE: [i64; 2] = [250_000, 0];
const LESS: [i64; 2] = [0, -300_000];
const SPLICE: FundingKind = FundingKind::Splice;
const REPLACEMENT: FundingKind = FundingKind::Replacement;

/// A channel with an HTLC of each direction.
fn begun(format: CommitmentFormat) -> Channel {
    let mut channel = Channel::new(format);
    channel.add(US, offer(1, 50_000));
    channel.add(PEER, offer(2, 60_000));
    learn(&mut channel, US, 2);
    channel
}

fn number(n: u64) -> CommitmentNumber {
    CommitmentNumber::new(n).unwrap()
}

#[test]
fn a_confirmed_splice_is_no_closing_and_the_channel_goes_on_p10() {
    for format in FORMATS {
        let mut channel = begun(format);
        let splice = channel.fund(SPLICE, MORE);
        channel.look(FIRST);
        let mut both = vec![channel.locked(), channel.outpoint(splice)];
        both.sort_unstable();
        assert_eq!(channel.monitor().card().watched, both);
        let across = channel.add(US, offer(3, 40_000));
        channel.look(FIRST);

        let transaction = channel.beside[splice].transaction.clone();
        let parameters = &channel.nodes[US].parameters;
        let keys = (&parameters.local.funding_pubkey, &parameters.remote.funding_pubkey);
        bitcoinconsensus::verify_with_flags(
            script_pubkey(&funding_script(keys.0, keys.1)).as_bytes(),
            FIRST,
            &serialize(&transaction),
            None,
            0,
            bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT,
        )
        .expect("the splice spends the funding before it");

        channel.connect(SPLICED, &[&transaction]);
        assert!(channel.is_open() && channel.monitor().alarms().is_empty());
        assert!(channel.monitor().claim_requests().is_empty());
        channel.look(FIRST + 250_000);
        // The same block again says nothing new.
        let before = channel.monitor().state().clone();
        channel.connect(SPLICED, &[&transaction]);
        assert_eq!(*channel.monitor().state(), before);

        channel.remove(across, FAILED);
        channel.lock(splice);
        channel.look(FIRST + 250_000);
        assert_eq!(channel.monitor().card().watched, both, "the one before may come back");
        let after = channel.add(PEER, offer(4, 30_000));
        channel.remove(after, fulfilled(4));
        assert!(channel.is_open());

        let final_at = SPLICED + 5;
        assert_eq!(channel.monitor().card().next_deadline.map(|it| it.0), Some(final_at));
        channel.connect(final_at - 1, &[]);
        assert_eq!(channel.monitor().card().watched, both);
        channel.connect(final_at, &[]);
        assert_eq!(channel.monitor().card().watched, [channel.locked()]);
        let MonitorState { fundings, funding_confirmed, .. } = channel.monitor().state();
        assert!(fundings.is_empty() && funding_confirmed.is_none(), "nothing is left of it");
        channel.look(FIRST + 250_000);
    }
}

#[test]
fn a_commitment_closes_the_channel_on_the_funding_that_it_spends() {
    for format in FORMATS {
        for owner in [US, PEER] {
            for is_locked in [false, true] {
                let mut channel = begun(format);
                let splice = channel.fund(SPLICE, LESS);
                channel.add(US, offer(3, 40_000));
                let transaction = channel.beside[splice].transaction.clone();
                channel.connect(SPLICED, &[&transaction]);
                let closing = channel.newest_on(splice, owner);
                if is_locked {
                    channel.lock(splice);
                    assert_eq!(channel.newest(owner).transaction, closing);
                }
                channel.connect(SPLICED + 1, &[&closing]);
                let number = channel.newest(owner).unsigned.number;
                let expected = match owner {
                    US => Close::LocalUnilateral { number },
                    _ => Close::RemoteUnilateral { number },
                };
                assert_eq!(channel.close(), Some(expected));
                let commitment = closing.compute_txid();
                let requests = channel.monitor().claim_requests();
                assert!(requests.iter().all(|request| request.outpoint.txid == commitment));
                assert!(requests.len() >= 3, "our balance, what we offered and what we received");
                channel.look(FIRST - 300_000);
            }
        }
    }
}

#[test]
fn our_commitment_goes_to_the_funding_that_the_chain_holds() {
    for format in FORMATS {
        let mut channel = begun(format);
        let splice = channel.fund(SPLICE, MORE);
        let (before, after) = (channel.locked(), channel.outpoint(splice));
        channel.fail(US);
        assert_eq!(channel.broadcast_on(), [before], "the splice is not confirmed");
        channel.look(FIRST);
        let transaction = channel.beside[splice].transaction.clone();
        channel.connect(SPLICED, &[&transaction]);
        assert_eq!(channel.broadcast_on(), [after]);
        channel.look(FIRST + 250_000);
        channel.disconnect(SPLICED - 1);
        assert_eq!(channel.broadcast_on(), [before], "the one before is back");
        channel.look(FIRST);
        // It is locked before it is seen, and after that a reorganisation is no way back.
        channel.lock(splice);
        assert_eq!(channel.broadcast_on(), [after]);
        channel.look(FIRST + 250_000);
    }
}

#[test]
fn gap_g17_a_reorg_of_a_splice_brings_the_funding_before_it_back() {
    for format in FORMATS {
        for is_locked in [false, true] {
            for owner in [US, PEER] {
                let mut channel = begun(format);
                let old = channel.newest(owner).transaction.clone();
                let splice = channel.fund(SPLICE, MORE);
                let transaction = channel.beside[splice].transaction.clone();
                channel.connect(SPLICED, &[&transaction]);
                if is_locked {
                    channel.lock(splice);
                }
                let spliced = channel.newest_on(0, owner);
                let spliced =
                    if is_locked { channel.newest(owner).transaction.clone() } else { spliced };
                channel.connect(SPLICED + 1, &[&spliced]);
                assert!(channel.close().is_some());
                let swept = channel.monitor().claim_requests();
                channel.look(FIRST + 250_000);

                channel.disconnect(SPLICED - 1);
                assert_eq!(channel.close(), None);
                channel.connect_on(1, SPLICED + 2, &[&old]);
                let number = number(2);
                let expected = match owner {
                    US => Close::LocalUnilateral { number },
                    _ => Close::RemoteUnilateral { number },
                };
                assert_eq!(channel.close(), Some(expected), "on the funding before");
                let requests = channel.monitor().claim_requests();
                assert_eq!(requests.len(), swept.len());
                assert!(requests.iter().all(|it| it.outpoint.txid == old.compute_txid()));
                channel.look(FIRST);
            }
        }
    }
}

#[test]
fn what_the_peer_revoked_before_a_splice_is_punished_on_the_funding_before_it() {
    for format in FORMATS {
        let mut channel = begun(format);
        channel.add(US, offer(3, 40_000));
        let before = channel.newest(PEER).transaction.clone();
        let splice = channel.fund(SPLICE, MORE);
        let during = channel.add(US, offer(4, 30_000));
        let on_old = channel.newest(PEER).transaction.clone();
        let on_new = channel.newest_on(splice, PEER);
        channel.remove(during, FAILED);
        let transaction = channel.beside[splice].transaction.clone();
        channel.connect(SPLICED, &[&transaction]);
        channel.lock(splice);
        // What the peer has on the funding before it is no longer its newest.
        channel.sign(PEER, &[], &[]);
        channel.revoke(PEER);
        let last_on_old = channel.newest_on(splice, PEER);

        let theft = |channel: &mut Channel, theft: &bitcoin::Transaction, funding_sat| {
            channel.connect_on(1, SPLICED + 2, &[theft]);
            assert!(
                matches!(channel.close(), Some(Close::Revoked { .. })),
                "{:?}",
                channel.close()
            );
            let txid = theft.compute_txid();
            let alarms = channel.monitor().alarms();
            assert!(matches!(alarms[..], [Alarm::RevokedCommitment { channel_id: CHANNEL, .. }]));
            channel.look(funding_sat);
            let balances = channel.monitor().balances();
            let contended = |kind| matches!(kind, BalanceKind::Contended { .. });
            let taken = balances.parts.iter().filter(|part| contended(part.kind)).count();
            assert!(taken >= 4, "its balance and three HTLCs: {balances:?}");
            let requests = channel.monitor().claim_requests();
            assert!(requests.len() > taken, "and ours");
            assert!(requests.iter().all(|request| request.outpoint.txid == txid));
            channel.disconnect(SPLICED - 1);
            assert_eq!(channel.close(), None);
        };
        channel.connect(SPLICED + 1, &[]);
        channel.disconnect(SPLICED - 1);
        theft(&mut channel, &before, FIRST);
        theft(&mut channel, &on_old, FIRST);
        theft(&mut channel, &last_on_old, FIRST);
        channel.connect_on(2, SPLICED, &[&transaction]);
        theft(&mut channel, &on_new, FIRST + 250_000);
    }
}

#[test]
fn one_try_of_a_splice_takes_the_place_of_another() {
    for format in FORMATS {
        let mut channel = begun(format);
        let first = channel.fund(SPLICE, MORE);
        let second = channel.fund(SPLICE, [200_000, -100_000]);
        channel.add(US, offer(3, 40_000));
        let [a, b] = [first, second].map(|place| channel.beside[place].transaction.clone());
        channel.fail(US);
        assert_eq!(channel.broadcast_on(), [channel.locked()]);
        channel.connect(SPLICED, &[&a]);
        assert_eq!(channel.broadcast_on(), [channel.outpoint(first)]);
        channel.look(FIRST + 250_000);
        channel.disconnect(SPLICED - 1);
        channel.connect_on(1, SPLICED, &[&b]);
        assert_eq!(channel.broadcast_on(), [channel.outpoint(second)]);
        channel.look(FIRST + 100_000);

        // The second is locked, the first confirms after all, with what the peer has on it.
        let theirs = channel.newest_on(first, PEER);
        channel.lock(second);
        channel.look(FIRST + 100_000);
        channel.disconnect(SPLICED - 1);
        channel.connect_on(2, SPLICED, &[&a]);
        assert_eq!(channel.broadcast_on(), [channel.outpoint(first)]);
        channel.look(FIRST + 250_000);
        channel.connect_on(2, SPLICED + 1, &[&theirs]);
        let number = channel.beside[first].commitments[PEER].last().unwrap().unsigned.number;
        assert_eq!(channel.close(), Some(Close::RemoteUnilateral { number }));
        channel.look(FIRST + 250_000);
    }
}

#[test]
fn on_a_retired_funding_no_revoked_commitment_of_ours_is_broadcast() {
    let mut channel = begun(CommitmentFormat::AnchorsZeroFeeHtlc);
    let first = channel.fund(SPLICE, MORE);
    let second = channel.fund(SPLICE, LESS);
    channel.lock(second);
    channel.add(US, offer(3, 40_000));
    channel.fail(US);
    assert_eq!(channel.broadcast_on(), [channel.locked()]);
    let transaction = channel.beside[first].transaction.clone();
    channel.connect(SPLICED, &[&transaction]);
    assert!(channel.monitor().claim_requests().is_empty(), "the peer could take all of it");
    channel.look(FIRST + 250_000);
}

#[test]
fn our_old_commitment_on_a_retired_funding_is_known_as_ours() {
    for format in FORMATS {
        let mut channel = begun(format);
        let splice = channel.fund(SPLICE, MORE);
        let left = channel.add(US, offer(3, 40_000));
        channel.lock(splice);
        channel.remove(left, FAILED);
        channel.add(US, offer(4, 30_000));
        // It was broadcast when it was our newest, and confirms when it is no more.
        let old = channel.beside[splice].commitments[US].last().unwrap().clone();
        assert!(old.htlcs.contains(&left));
        channel.connect(SPLICED, &[&old.transaction]);
        let number = old.unsigned.number;
        assert_eq!(channel.close(), Some(Close::LocalUnilateral { number }));
        channel.look(FIRST);
    }
}

#[test]
fn our_commitment_that_closed_the_channel_on_a_splice_is_kept() {
    for format in FORMATS {
        let mut channel = begun(format);
        let splice = channel.fund(SPLICE, MORE);
        let transaction = channel.beside[splice].transaction.clone();
        let closing = channel.newest_on(splice, US);
        channel.connect(SPLICED, &[&transaction, &closing]);
        let (close, requests) = (channel.close(), channel.monitor().claim_requests());
        assert!(matches!(close, Some(Close::LocalUnilateral { .. })));
        // What was on its way when the channel closed.
        for _ in 0..2 {
            channel.sign(US, &[], &[]);
            channel.revoke(US);
        }
        assert_eq!(channel.close(), close);
        assert_eq!(channel.monitor().claim_requests(), requests);
        channel.look(FIRST + 250_000);
    }
}

#[test]
fn a_first_funding_is_replaced_until_one_is_locked() {
    for format in FORMATS {
        for is_replaced in [false, true] {
            let mut channel = Channel::new(format);
            let replacement = channel.fund(REPLACEMENT, [0, 0]);
            channel.look(FIRST);
            channel.fail(US);
            let mut both = vec![channel.locked(), channel.outpoint(replacement)];
            both.sort_unstable();
            assert_eq!(channel.broadcast_on(), both, "either may be the one");
            channel.look(FIRST);
            let ours = if is_replaced {
                channel.newest_on(replacement, US)
            } else {
                channel.newest(US).transaction.clone()
            };
            channel.connect(SPLICED, &[&ours]);
            let number = CommitmentNumber::ZERO;
            assert_eq!(channel.close(), Some(Close::LocalUnilateral { number }));
            channel.look(FIRST);
        }
        let mut channel = Channel::new(format);
        let replacement = channel.fund(REPLACEMENT, [0, 0]);
        channel.lock(replacement);
        channel.add(US, offer(1, 50_000));
        let before = channel.newest_on(replacement, PEER);
        channel.fail(US);
        assert_eq!(channel.broadcast_on(), [channel.locked()]);
        // The first comes back: what the peer has there is revoked.
        channel.connect(SPLICED, &[&before]);
        let number = CommitmentNumber::ZERO;
        assert_eq!(channel.close(), Some(Close::Revoked { number }));
        channel.look(FIRST);
    }
}

#[test]
fn a_splice_that_is_told_after_its_confirmation_opens_the_channel_again() {
    for format in FORMATS {
        let mut channel = begun(format);
        let draft = channel.draft_funding(SPLICE, MORE);
        let transaction = draft.transaction.clone();
        channel.connect(SPLICED, &[&transaction]);
        assert_eq!(channel.close(), Some(Close::Unknown));
        channel.look(FIRST);
        // What is settled in a closed channel stays in its ledger, and in an open one it does not.
        let settled = channel.add(PEER, offer(5, 30_000));
        channel.remove(settled, FAILED);
        channel.sign(US, &[], &[]);
        channel.revoke(US);
        let (direction, htlc_id) = seen(US, settled);
        assert!(channel.monitor().verdict(direction, htlc_id).is_some());
        let splice = channel.tell_funding(draft);
        assert_eq!(channel.monitor().verdict(direction, htlc_id), None);
        assert!(channel.is_open() && channel.monitor().alarms().is_empty());
        channel.look(FIRST + 250_000);
        channel.disconnect(SPLICED - 1);
        channel.look(FIRST);
        channel.connect_on(1, SPLICED, &[&transaction]);
        channel.lock(splice);
        channel.connect_on(1, SPLICED + 5, &[]);
        assert_eq!(channel.monitor().card().watched, [channel.locked()]);
        channel.look(FIRST + 250_000);
    }
}

#[test]
fn splices_follow_each_other_before_any_of_them_is_confirmed() {
    for format in FORMATS {
        let mut channel = begun(format);
        let oldest = channel.newest(PEER).transaction.clone();
        let mut transactions = Vec::new();
        for _ in 0..3 {
            let splice = channel.fund(SPLICE, MORE);
            transactions.push(channel.beside[splice].transaction.clone());
            channel.lock(splice);
            channel.add(US, offer(3, 1_000));
            channel.look(FIRST + 250_000 * transactions.len() as u64);
        }
        assert_eq!(channel.monitor().card().watched.len(), 4);
        // Nothing of it was ever confirmed.
        channel.connect_on(1, SPLICED, &[&oldest]);
        assert!(matches!(channel.close(), Some(Close::Revoked { .. })));
        channel.look(FIRST);
        channel.disconnect(SPLICED - 1);
        // All of them in one block, and a closing with them.
        let theirs = channel.newest(PEER).transaction.clone();
        let [a, b, c] = &transactions[..] else { panic!("three of them") };
        channel.connect_on(2, SPLICED, &[a, b, c, &theirs]);
        assert!(matches!(channel.close(), Some(Close::RemoteUnilateral { .. })));
        channel.look(FIRST + 750_000);
        channel.connect_on(2, SPLICED + 5, &[]);
        assert_eq!(channel.monitor().state().fundings, []);
        channel.look(FIRST + 750_000);
    }
}

#[test]
fn an_htlc_on_a_spliced_funding_ends_once() {
    for format in FORMATS {
        let mut channel = begun(format);
        let splice = channel.fund(SPLICE, MORE);
        let paid = channel.add(US, offer(3, 40_000));
        let transaction = channel.beside[splice].transaction.clone();
        channel.connect(SPLICED, &[&transaction]);
        let closing = channel.newest_on(splice, PEER);
        channel.connect(SPLICED + 1, &[&closing]);
        learn(&mut channel, PEER, 3);
        let requests = channel.nodes[PEER].monitor.claim_requests();
        let claim = requests.into_iter().find(|it| it.amount == Amount::from_sat(40_000)).unwrap();
        let claim = channel.answer(PEER, &claim);
        channel.connect(SPLICED + 2, &[&claim]);
        let verdict = channel.verdict(paid);
        assert!(matches!(verdict, Verdict::Fulfilled { .. }));
        channel.disconnect(SPLICED - 1);
        assert_eq!(channel.verdict(paid), verdict, "a preimage is never taken back");
        channel.look(FIRST);
    }
}

#[test]
fn the_log_gives_the_same_monitor_again() {
    let mut channel = begun(CommitmentFormat::ZeroFee);
    let first = channel.fund(SPLICE, MORE);
    let second = channel.fund(SPLICE, LESS);
    channel.add(US, offer(3, 40_000));
    let transaction = channel.beside[second].transaction.clone();
    channel.connect(SPLICED, &[&transaction]);
    channel.lock(second);
    channel.add(PEER, offer(4, 40_000));
    channel.disconnect(SPLICED - 1);
    let other = channel.beside[first].transaction.clone();
    channel.connect_on(1, SPLICED, &[&other]);
    let mut records = channel.records.iter();
    let Some(lastword_types::MonitorRecord::Created(new)) = records.next() else {
        panic!("the log begins with the channel")
    };
    let mut again = Monitor::create((**new).clone()).unwrap();
    for record in records {
        again.apply(record).unwrap();
    }
    assert_eq!(again.state(), channel.monitor().state());
    assert_eq!(again.card(), channel.monitor().card());
}
