//! Updates that came late, twice, or between two blocks.

use lastword_monitor::Monitor;
use lastword_types::{Close, HtlcFailure, MonitorRecord};

use super::{CLOSED, DEEP, close, closed, closings, failed, learn, restart, same};
use crate::channel::{Channel, FAILED, FORMATS, PEER, US, offer};

/// The watcher had seen the close and the channel had not; a payment went through all its messages
/// and was accepted, although no commitment that held it could confirm.
#[test]
fn museum_b064_what_is_added_after_the_close_fails_and_is_never_claimed() {
    for (format, owner) in closings() {
        let mut channel = Channel::new(format);
        close(&mut channel, owner);
        let requests = channel.monitor().claim_requests();
        let [ours, theirs] =
            [(US, 1), (PEER, 2)].map(|(offerer, n)| channel.draft(offerer, offer(n, 50_000)));
        for other in [PEER, US] {
            channel.sign(other, &[ours, theirs], &[]);
        }
        learn(&mut channel, US, 2);
        restart(&mut channel);

        assert_eq!(channel.monitor().claim_requests(), requests);
        channel.connect(DEEP, &[]);
        assert_eq!(
            [ours, theirs].map(|name| channel.verdict(name)),
            [failed(HtlcFailure::Absent); 2]
        );
        assert_eq!(channel.monitor().claim_requests(), requests);
    }
}

/// The update that brought an HTLC was on its way when the channel closed; the watcher learnt of it
/// after it had gone through the HTLCs of the close, and nobody ever ended it.
#[test]
fn museum_b065_an_htlc_that_is_heard_of_late_ends_like_any_other() {
    for (format, owner) in closings() {
        for heard_at in [CLOSED, DEEP - 1, DEEP, DEEP + 300] {
            let mut channel = Channel::new(format);
            close(&mut channel, owner);
            channel.connect(heard_at.max(CLOSED + 1), &[]);
            let late = channel.draft(US, offer(1, 50_000));
            channel.sign(PEER, &[late], &[]);
            restart(&mut channel);
            assert_eq!(channel.verdict(late).is_final(), heard_at >= DEEP);
            channel.connect(DEEP + 301, &[]);
            assert_eq!(channel.verdict(late), failed(HtlcFailure::Absent));
        }
    }
}

/// A block came while a channel was between two messages, and what it was between had no name.
#[test]
fn museum_b118_a_block_may_come_between_any_two_messages_p8() {
    type Step = fn(&mut Channel);
    let steps: [Step; 8] = [
        |channel| channel.sign(PEER, &[(US, 0)], &[]),
        |channel| channel.revoke(PEER),
        |channel| channel.sign(US, &[(US, 0)], &[]),
        |channel| channel.revoke(US),
        |channel| channel.sign(US, &[], &[((US, 0), FAILED)]),
        |channel| channel.revoke(US),
        |channel| channel.sign(PEER, &[], &[((US, 0), FAILED)]),
        |channel| channel.revoke(PEER),
    ];
    for format in FORMATS {
        let mut channel = Channel::new(format);
        channel.draft(US, offer(1, 50_000));
        for (height, step) in (CLOSED..).zip(steps) {
            step(&mut channel);
            channel.connect(height, &[]);
            restart(&mut channel);
            for owner in [US, PEER] {
                closes_with_every_valid_commitment(&mut channel, owner, height + 1);
            }
        }
    }
}

/// Every commitment that is signed and not revoked is known when it comes.
fn closes_with_every_valid_commitment(channel: &mut Channel, owner: usize, height: u32) {
    let [state, other] = [US, PEER].map(|node| channel.nodes[node].monitor.state().clone());
    // The other side has not got the secret of a commitment that is not revoked.
    let seen_by_other = if owner == US { &other } else { &state };
    let oldest = seen_by_other.remote_previous.as_ref().unwrap_or(&seen_by_other.remote).number;
    let valid: Vec<_> = channel.nodes[owner]
        .commitments
        .iter()
        .filter(|commitment| commitment.unsigned.number >= oldest)
        .map(|commitment| (commitment.unsigned.number, commitment.transaction.clone()))
        .collect();
    assert!(!valid.is_empty() && valid.len() <= 2);
    for (number, transaction) in valid {
        channel.connect(height, &[&transaction]);
        let spend = channel.monitor().state().funding_spend.clone().unwrap();
        let expected = if owner == US {
            Close::LocalUnilateral { number }
        } else {
            Close::RemoteUnilateral { number }
        };
        assert_eq!(spend.close, expected);
        channel.disconnect(height - 1);
    }
}

/// What was on disk as an update was in the snapshot too, and applying it again was an error.
#[test]
fn museum_b122_a_snapshot_and_a_tail_that_overlap_lead_to_the_same() {
    for (format, owner) in closings() {
        let (mut channel, _, output) = closed(format, owner, US);
        learn(&mut channel, PEER, 1);
        let claim = channel.claim(PEER, output);
        channel.connect(CLOSED + 1, &[&claim]);
        learn(&mut channel, US, 7);
        let [MonitorRecord::Created(new), records @ ..] = &channel.records[..] else {
            panic!("a channel begins with its creation");
        };
        for taken_at in 0..=records.len() {
            let mut monitor = Monitor::create((**new).clone()).unwrap();
            for record in &records[..taken_at] {
                monitor.apply(record).unwrap();
            }
            let snapshot = monitor.state().clone();
            for from in 0..=taken_at {
                let mut again = Monitor::restore(snapshot.clone()).unwrap();
                for (index, record) in records.iter().enumerate().skip(from) {
                    let is_noop = again.check(record).unwrap().is_noop();
                    assert!(is_noop || index >= taken_at);
                    again.apply(record).unwrap();
                }
                same(&again, channel.monitor());
            }
        }
    }
}

/// Every commitment that was ever revoked was kept whole, and a channel that lived long weighed
/// gigabytes.
#[test]
fn museum_b147_a_revoked_commitment_leaves_nothing_behind_but_its_secret() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        channel.add(US, offer(1, 50_000));
        // Everything that is remembered, whatever fields there are.
        let size = |channel: &Channel| format!("{:?}", channel.monitor().state()).len();
        let live = |channel: &mut Channel| {
            for owner in [US, PEER] {
                channel.sign(owner, &[], &[]);
                channel.revoke(owner);
            }
        };
        live(&mut channel);
        let before = size(&channel);
        for _ in 0..200 {
            live(&mut channel);
        }
        let grown = size(&channel) - before;
        assert!(grown < 3_000, "{grown} letters for 400 commitments, where one has hundreds");
        assert!(channel.monitor().state().remote_secrets.len() <= 49);
    }
}
