//! Going on chain by ourselves, and failing a forward back early: what happens one block before a
//! height, at it and after it.

use lastword_monitor::Monitor;
use lastword_types::{
    Alarm, BlockHeight, ChainDelta, Effect, HtlcFailure, HtlcId, HtlcKey, MonitorRecord, Overdue,
    UpdateStep, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::channel::{
    BIRTH, CHANNEL, Channel, EXPIRY, FAILED, FORMATS, Name, Offer, PEER, US, block, fulfilled,
    offer, preimage, seen,
};
use crate::museum::{by_message, restart};
use crate::world::{World, ops};

/// An HTLC that we offered is late from here on.
const EXPIRED: u32 = EXPIRY + 2;
/// An HTLC that we fulfil is late from here on.
const LATE: u32 = EXPIRY - 18;
/// A forward is failed back from here on.
const FAIL_BACK: u32 = INBOUND_EXPIRY - 3;
const INBOUND_EXPIRY: u32 = EXPIRY + 40;

fn key(name: Name) -> HtlcKey {
    let (direction, htlc_id) = seen(US, name);
    HtlcKey { channel_id: CHANNEL, direction, htlc_id }
}

fn learn(channel: &mut Channel, n: u8) -> Vec<Effect> {
    channel.update(US, vec![UpdateStep::Preimage { preimage: preimage(n) }])
}

fn next(channel: &Channel) -> Option<u32> {
    channel.monitor().card().next_deadline.map(|height| height.0)
}

/// Says that the channel is open, and that its own commitment is not asked for.
#[track_caller]
fn is_open(channel: &Channel) {
    let monitor = channel.monitor();
    assert!(!monitor.state().fail_channel && !monitor.card().is_closed);
    assert_eq!((monitor.claim_requests(), monitor.alarms()), (vec![], vec![]));
}

/// Says that our commitment is to be broadcast, why, and that records and state say the same.
#[track_caller]
fn goes_on_chain(channel: &Channel, effects: &[Effect], name: Name, overdue: Overdue) {
    let monitor = channel.monitor();
    let alarm = Alarm::GoingOnChain { htlc: key(name), overdue };
    for effect in [Effect::Alarm(alarm), Effect::ClaimsChanged, Effect::CardChanged] {
        assert!(effects.contains(&effect), "{effect:?} in {effects:?}");
    }
    assert!(monitor.alarms().contains(&alarm));
    let card = monitor.card();
    assert!(monitor.state().fail_channel && card.is_closed && card.has_claims);
    assert_eq!(monitor.claim_requests().len(), 1);
    let restored = Monitor::restore(monitor.state().clone()).unwrap();
    let MonitorRecord::Created(new) = &channel.records[0] else { panic!("it is created first") };
    let mut folded = Monitor::create((**new).clone()).unwrap();
    for record in &channel.records[1..] {
        folded.apply(record).unwrap();
    }
    for other in [restored, folded] {
        assert_eq!((other.state(), other.card()), (monitor.state(), monitor.card()));
        assert_eq!(other.alarms(), monitor.alarms());
        assert_eq!(other.claim_requests(), monitor.claim_requests());
    }
}

// BOLT 2: cltv_expiry_delta Selection
#[test]
fn an_offer_past_its_expiry_and_grace_fails_the_channel_f5_p4() {
    for format in FORMATS {
        // A trimmed one hangs as any other.
        for sat in [300, 50_000] {
            for height in [EXPIRED, EXPIRED + 1, EXPIRED + 500] {
                let mut channel = Channel::new(format);
                let name = channel.add(US, offer(1, sat));
                assert_eq!(next(&channel), Some(EXPIRED));
                let effects = channel.connect(EXPIRED - 1, &[]);
                assert_eq!(effects, [Effect::CardChanged]);
                is_open(&channel);
                assert_eq!(next(&channel), Some(EXPIRED));

                let effects = channel.connect(height, &[]);
                goes_on_chain(&channel, &effects, name, Overdue::Expired);
                assert_eq!(next(&channel), None);
                assert_eq!(channel.verdict(name), Verdict::Live);
            }
        }
    }
}

/// Each half of each dance, in and out: the HTLC stands in one commitment, in two, in none.
#[test]
fn an_offer_in_one_sides_commitment_alone_fails_the_channel_p4() {
    for format in FORMATS {
        for steps in 0..8 {
            let mut channel = Channel::new(format);
            let name = channel.draft(US, offer(1, 50_000));
            for step in 0..=steps {
                let removed: &[_] = if step < 4 { &[] } else { &[(name, FAILED)] };
                let added: &[_] = if step < 4 { &[name] } else { &[] };
                match step {
                    0 | 6 => channel.sign(PEER, added, removed),
                    1 | 7 => channel.revoke(PEER),
                    2 | 4 => channel.sign(US, added, removed),
                    3 | 5 => channel.revoke(US),
                    _ => unreachable!("there are eight"),
                }
            }
            let is_gone = steps == 7;
            assert_eq!(next(&channel), (!is_gone).then_some(EXPIRED), "{steps}");
            channel.connect(EXPIRED - 1, &[]);
            is_open(&channel);
            let effects = channel.connect(EXPIRED, &[]);
            if is_gone {
                is_open(&channel);
            } else {
                goes_on_chain(&channel, &effects, name, Overdue::Expired);
            }
        }
    }
}

/// The peer has fulfilled it by message and does not let it go.
#[test]
fn an_offer_that_is_fulfilled_and_stays_fails_the_channel_p4() {
    let mut channel = Channel::new(FORMATS[0]);
    let name = channel.add(US, offer(1, 50_000));
    channel.sign(US, &[], &[(name, fulfilled(1))]);
    let effects = channel.connect(EXPIRED, &[]);
    goes_on_chain(&channel, &effects, name, Overdue::Expired);
    assert_eq!(channel.verdict(name), by_message(1));
}

// BOLT 2: cltv_expiry_delta Selection
#[test]
fn a_known_preimage_close_to_its_expiry_fails_the_channel_p5() {
    for format in FORMATS {
        for height in [LATE, LATE + 1, EXPIRY + 1] {
            let mut channel = Channel::new(format);
            let name = channel.add(PEER, offer(1, 50_000));
            learn(&mut channel, 1);
            assert_eq!(next(&channel), Some(LATE));
            channel.connect(LATE - 1, &[]);
            is_open(&channel);
            assert_eq!(next(&channel), Some(LATE));
            let effects = channel.connect(height, &[]);
            goes_on_chain(&channel, &effects, name, Overdue::Fulfilment);
            assert_eq!(next(&channel), None);
        }
    }
}

#[test]
fn a_preimage_that_is_learnt_past_the_deadline_fails_the_channel_at_once_p5() {
    for format in FORMATS {
        for height in [LATE - 1, LATE, LATE + 1] {
            let mut channel = Channel::new(format);
            let name = channel.add(PEER, offer(1, 50_000));
            channel.connect(height, &[]);
            is_open(&channel);
            // One look, whether the preimage is known or not; then only what is learnt counts.
            assert_eq!(next(&channel), (height < LATE).then_some(LATE));
            let effects = learn(&mut channel, 1);
            if height < LATE {
                is_open(&channel);
                assert_eq!(effects, [Effect::CardChanged]);
            } else {
                goes_on_chain(&channel, &effects, name, Overdue::Fulfilment);
            }
        }
    }
}

#[test]
fn without_its_preimage_a_received_htlc_fails_no_channel_p5() {
    let mut channel = Channel::new(FORMATS[0]);
    channel.add(PEER, offer(1, 50_000));
    learn(&mut channel, 2);
    for height in [LATE, EXPIRY, EXPIRY + 100] {
        channel.connect(height, &[]);
        is_open(&channel);
        assert_eq!(next(&channel), None);
    }
}

/// Fulfilled by message: it stands until the peer's last word on it, in one commitment or two.
#[test]
fn a_fulfilment_that_the_peer_does_not_answer_fails_the_channel_p5() {
    for format in FORMATS {
        for steps in 0..=4 {
            let mut channel = Channel::new(format);
            let name = channel.add(PEER, offer(1, 50_000));
            learn(&mut channel, 1);
            let removed = [(name, fulfilled(1))];
            for step in 0..steps {
                match step {
                    0 => channel.sign(PEER, &[], &removed),
                    1 => channel.revoke(PEER),
                    2 => channel.sign(US, &[], &removed),
                    _ => channel.revoke(US),
                }
            }
            // Our own commitment is without it from the third step on, and theirs is revoked.
            let is_gone = steps >= 3;
            assert_eq!(next(&channel), (!is_gone).then_some(LATE), "{steps}");
            let effects = channel.connect(LATE, &[]);
            if is_gone {
                is_open(&channel);
            } else {
                goes_on_chain(&channel, &effects, name, Overdue::Fulfilment);
            }
        }
    }
}

/// Nothing on chain would be ours.
#[test]
fn a_received_htlc_without_any_output_fails_no_channel_p5() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        channel.add(PEER, offer(1, 300));
        learn(&mut channel, 1);
        channel.connect(LATE, &[]);
        is_open(&channel);
        assert_eq!(next(&channel), None);
        learn(&mut channel, 1);
        channel.connect(EXPIRY + 100, &[]);
        is_open(&channel);
    }
}

#[test]
fn a_received_htlc_that_we_failed_fails_no_channel_p5() {
    let mut channel = Channel::new(FORMATS[0]);
    let name = channel.add(PEER, offer(1, 50_000));
    channel.sign(PEER, &[], &[(name, FAILED)]);
    learn(&mut channel, 1);
    channel.connect(LATE, &[]);
    is_open(&channel);
}

/// Whoever knows a hash that we were paid for once can offer it again, with any expiry. That alone
/// must not close a channel: we have until the next block to fail it.
#[test]
fn an_offer_of_an_old_hash_close_to_its_expiry_can_be_failed_first_p5() {
    for is_failed in [true, false] {
        let mut channel = Channel::new(FORMATS[0]);
        let paid = channel.add(PEER, offer(1, 50_000));
        learn(&mut channel, 1);
        channel.remove(paid, fulfilled(1));
        channel.connect(400, &[]);
        let twin = channel.add(PEER, Offer { expiry: 410, ..offer(1, 50_000) });
        is_open(&channel);
        assert_eq!(next(&channel), Some(401));
        if is_failed {
            channel.remove(twin, FAILED);
        }
        let effects = channel.connect(401, &[]);
        if is_failed {
            is_open(&channel);
        } else {
            goes_on_chain(&channel, &effects, twin, Overdue::Fulfilment);
        }
    }
}

// BOLT 5: Failing a Channel
#[test]
fn past_every_deadline_an_outdated_commitment_stays_at_home_f4_p7() {
    for is_before in [true, false] {
        let mut channel = Channel::new(FORMATS[1]);
        channel.add(US, offer(1, 50_000));
        channel.add(PEER, offer(2, 50_000));
        let losing = |channel: &mut Channel| channel.update(US, vec![UpdateStep::DataLoss]);
        if is_before {
            losing(&mut channel);
            assert_eq!(next(&channel), None);
        }
        learn(&mut channel, 2);
        for height in [LATE, EXPIRED, EXPIRED + 100] {
            channel.connect(height, &[]);
            learn(&mut channel, 2);
        }
        if !is_before {
            assert!(channel.monitor().state().fail_channel, "nothing was suspected");
            losing(&mut channel);
        }
        let monitor = channel.monitor();
        assert_eq!(monitor.state().fail_channel, !is_before);
        assert_eq!(monitor.claim_requests(), []);
        assert_eq!(monitor.alarms(), [Alarm::DataLoss { channel_id: CHANNEL }]);
        assert_eq!(next(&channel), None);
    }
}

#[test]
fn a_reorg_below_the_deadline_does_not_undo_the_decision() {
    let mut channel = Channel::new(FORMATS[0]);
    let name = channel.add(US, offer(1, 50_000));
    channel.connect(EXPIRED, &[]);
    channel.disconnect(EXPIRED - 10);
    assert!(channel.monitor().state().fail_channel);
    assert_eq!(channel.monitor().claim_requests().len(), 1);
    // The chain of now does not bear out the reason, and that of then does again.
    assert_eq!(channel.monitor().alarms(), []);
    channel.connect_on(1, EXPIRED, &[]);
    let alarm = Alarm::GoingOnChain { htlc: key(name), overdue: Overdue::Expired };
    assert_eq!(channel.monitor().alarms(), [alarm]);
}

#[test]
fn a_reorg_that_takes_the_closing_away_brings_the_deadline_back() {
    for (closed_at, fork) in
        [(EXPIRY, EXPIRY - 1), (EXPIRED, EXPIRED - 1), (EXPIRED + 9, EXPIRED + 8)]
    {
        let mut channel = Channel::new(FORMATS[0]);
        let name = channel.add(US, offer(1, 50_000));
        let closing = channel.newest(PEER).transaction.clone();
        // The closing is in the block that would have decided.
        channel.connect(closed_at, &[&closing]);
        assert!(!channel.monitor().state().fail_channel);
        assert_eq!(next(&channel), Some(closed_at + 5));

        channel.disconnect(fork);
        is_open(&channel);
        let height = EXPIRED.max(fork + 1);
        assert_eq!(next(&channel), Some(height));
        let effects = channel.connect_on(1, height, &[]);
        goes_on_chain(&channel, &effects, name, Overdue::Expired);
    }
}

#[test]
fn the_earliest_of_many_deadlines_is_on_the_card_and_all_that_are_past_are_told() {
    let mut channel = Channel::new(FORMATS[1]);
    let of = |n, expiry| Offer { expiry, ..offer(n, 20_000) };
    let late = channel.add(US, of(1, 700));
    let soon = channel.add(US, of(2, 690));
    let fulfilled_late = channel.add(PEER, of(3, 715));
    channel.add(PEER, of(4, 640));
    assert_eq!(next(&channel), Some(622));
    channel.connect(622, &[]);
    is_open(&channel);
    assert_eq!(next(&channel), Some(692));
    learn(&mut channel, 3);

    // A node that slept finds them all at once.
    let effects = channel.connect(702, &[]);
    for (name, overdue) in
        [(soon, Overdue::Expired), (late, Overdue::Expired), (fulfilled_late, Overdue::Fulfilment)]
    {
        goes_on_chain(&channel, &effects, name, overdue);
    }
    assert_eq!(channel.monitor().alarms().len(), 3);
    // Once the commitment is confirmed there is nothing more to say.
    let ours = channel.newest(US).transaction.clone();
    channel.connect(703, &[&ours]);
    assert_eq!(channel.monitor().alarms(), []);
}

/// A driver that wakes a monitor by its card alone.
#[test]
fn between_the_deadlines_no_block_is_a_record() {
    let mut channel = Channel::new(FORMATS[0]);
    channel.add(US, offer(1, 50_000));
    channel.add(PEER, offer(2, 50_000));
    let mut woken = Vec::new();
    for height in BIRTH + 1..2_000 {
        if next(&channel) == Some(height) {
            let delta = ChainDelta::Connected { block: block(height, 0), transactions: vec![] };
            channel.apply(US, MonitorRecord::Chain(delta));
            woken.push(height);
        }
    }
    assert_eq!(woken, [LATE, EXPIRED]);
    assert!(channel.monitor().state().fail_channel);
}

const FAILED_BACK: Verdict = Verdict::Failed { reason: HtlcFailure::FailedBack };

fn forward(channel: &mut Channel) -> Name {
    channel.forward(offer(1, 50_000), INBOUND_EXPIRY)
}

#[test]
fn a_forward_that_is_open_on_chain_is_failed_back_before_its_inbound_half_expires() {
    for format in FORMATS {
        for owner in [US, PEER] {
            for height in [FAIL_BACK, FAIL_BACK + 1, INBOUND_EXPIRY + 100] {
                let mut channel = Channel::new(format);
                let name = forward(&mut channel);
                let own = channel.add(US, offer(1, 50_000));
                let closing = channel.newest(owner).transaction.clone();
                channel.connect(200, &[&closing]);
                channel.connect(205, &[]);
                assert_eq!(next(&channel), Some(FAIL_BACK));
                channel.connect(FAIL_BACK - 1, &[]);
                assert_eq!(channel.verdict(name), Verdict::Live);
                assert_eq!(next(&channel), Some(FAIL_BACK));

                let effects = channel.connect(height, &[]);
                assert_eq!(effects, [Effect::LedgerChanged(key(name)), Effect::CardChanged]);
                assert_eq!(channel.verdict(name), FAILED_BACK);
                assert_eq!(channel.verdict(own), Verdict::Live, "a payment of our own waits");
                assert_eq!(next(&channel), None);
                restart(&mut channel);
                channel.disconnect(300);
                assert_eq!(channel.verdict(name), FAILED_BACK, "the inbound half is gone");
            }
        }
    }
}

#[test]
fn a_forward_that_was_failed_back_is_still_claimed() {
    for format in FORMATS {
        for owner in [US, PEER] {
            let mut channel = Channel::new(format);
            let name = forward(&mut channel);
            let closing = channel.newest(owner).transaction.clone();
            channel.connect(200, &[&closing]);
            let output = channel.output_of(owner, name).unwrap();
            channel.connect(FAIL_BACK, &[]);

            let timeout = channel.claim(US, output);
            let height = FAIL_BACK + 1;
            channel.connect(height, &[&timeout]);
            assert_eq!(channel.verdict(name), FAILED_BACK);
            channel.connect(height + 5, &[]);
            assert_eq!(channel.verdict(name), FAILED_BACK);
            assert_eq!(channel.monitor().alarms(), []);
        }
    }
}

#[test]
fn a_preimage_after_the_fail_back_is_a_loss_that_is_told_once() {
    for format in FORMATS {
        for owner in [US, PEER] {
            let mut channel = Channel::new(format);
            let name = forward(&mut channel);
            let closing = channel.newest(owner).transaction.clone();
            channel.update(PEER, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
            channel.connect(200, &[&closing]);
            let output = channel.output_of(owner, name).unwrap();
            channel.connect(FAIL_BACK, &[]);
            let claim = channel.claim(PEER, output);
            let effects = channel.connect(FAIL_BACK + 1, &[&claim]);

            let lost = Alarm::ForwardLost { htlc: key(name) };
            let told = |effects: &[Effect]| {
                effects.iter().filter(|effect| matches!(effect, Effect::Alarm(_))).count()
            };
            assert!(effects.contains(&Effect::Alarm(lost)));
            assert!(effects.contains(&Effect::LedgerChanged(key(name))));
            assert_eq!((told(&effects), channel.monitor().alarms()), (1, vec![lost]));
            assert_eq!(channel.verdict(name), FAILED_BACK);
            let state = &channel.monitor().state().htlcs[&seen(US, name)];
            assert_eq!((state.fulfilled, state.late_preimage), (None, Some(preimage(1))));

            restart(&mut channel);
            let fulfil = UpdateStep::Fulfill { htlc_id: seen(US, name).1, preimage: preimage(1) };
            let effects = [
                channel.connect(FAIL_BACK + 6, &[]),
                channel.update(US, vec![fulfil]),
                channel.disconnect(FAIL_BACK),
                channel.connect_on(1, FAIL_BACK + 1, &[&claim]),
            ];
            assert_eq!(effects.map(|effects| told(&effects)), [0; 4]);
            assert_eq!(channel.monitor().alarms(), [lost]);
        }
    }
}

#[test]
fn a_preimage_in_the_block_of_the_fail_back_comes_first() {
    let mut channel = Channel::new(FORMATS[0]);
    let name = forward(&mut channel);
    let closing = channel.newest(US).transaction.clone();
    channel.update(PEER, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
    channel.connect(200, &[&closing]);
    let output = channel.output_of(US, name).unwrap();
    let claim = channel.claim(PEER, output);
    channel.connect(FAIL_BACK, &[&claim]);
    assert!(matches!(channel.verdict(name), Verdict::Fulfilled { .. }));
    assert_eq!(channel.monitor().alarms(), []);
}

/// A timeout that is not deep is no reason to wait; one that is deep is proof.
#[test]
fn a_timeout_is_failed_back_early_if_it_is_not_deep_in_time() {
    for (height, reason) in
        [(FAIL_BACK - 5, HtlcFailure::TimedOut), (FAIL_BACK - 4, HtlcFailure::FailedBack)]
    {
        let mut channel = Channel::new(FORMATS[1]);
        let name = forward(&mut channel);
        let closing = channel.newest(PEER).transaction.clone();
        channel.connect(200, &[&closing]);
        let output = channel.output_of(PEER, name).unwrap();
        let timeout = channel.claim(US, output);
        channel.connect(height, &[&timeout]);
        channel.connect(FAIL_BACK - 1, &[]);
        assert!(matches!(channel.verdict(name), Verdict::Failing { .. }));
        channel.connect(FAIL_BACK, &[]);
        assert_eq!(channel.verdict(name), Verdict::Failed { reason });
    }
}

/// While the channel is open its own deadline comes first; the record that closes it decides both.
#[test]
fn a_forward_whose_time_is_up_is_failed_back_by_the_record_that_closes_the_channel() {
    let tight = EXPIRY + 3;
    let open = || {
        let mut channel = Channel::new(FORMATS[0]);
        let name = channel.forward(offer(1, 50_000), tight);
        let held = channel.add(PEER, offer(2, 50_000));
        channel.connect(EXPIRY, &[]);
        assert_eq!(channel.verdict(name), Verdict::Live, "it may still end off chain");
        (channel, name, held)
    };
    let (mut channel, name, _) = open();
    let effects = channel.connect(EXPIRED, &[]);
    goes_on_chain(&channel, &effects, name, Overdue::Expired);
    assert_eq!(channel.verdict(name), FAILED_BACK);

    let (mut channel, name, _) = open();
    channel.fail(US);
    assert_eq!(channel.verdict(name), FAILED_BACK);

    let (mut channel, name, held) = open();
    let effects = learn(&mut channel, 2);
    goes_on_chain(&channel, &effects, held, Overdue::Fulfilment);
    assert_eq!(channel.verdict(name), FAILED_BACK);
    assert!(effects.contains(&Effect::LedgerChanged(key(name))));

    let (mut channel, name, _) = open();
    let closing = channel.newest(PEER).transaction.clone();
    channel.connect(EXPIRY + 1, &[&closing]);
    assert_eq!(channel.verdict(name), FAILED_BACK);
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(2), failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// No deadline is slept through, an open channel without HTLCs has none, and what the card says
    /// follows from the state alone.
    #[test]
    fn the_card_of_an_open_channel_names_the_deadlines_of_what_stands_in_it((format, ops) in ops()) {
        let mut world = World::new(format);
        for op in &ops {
            world.step(op);
            let monitor = world.channel.monitor();
            let (state, card) = (monitor.state(), monitor.card());
            let restored = Monitor::restore(state.clone()).unwrap();
            prop_assert_eq!(restored.card(), card.clone());
            let best = state.best.height.0;
            prop_assert!(card.next_deadline.is_none_or(|height| height.0 > best));
            if card.is_closed {
                continue;
            }
            let numbers = [Some(&state.remote), state.remote_previous.as_ref()];
            let stands = state.htlcs.values().filter(|htlc| {
                htlc.local.is_some_and(|it| it.holds(state.local.commitment.number))
                    || numbers.into_iter().flatten().any(|commitment| {
                        htlc.remote.is_some_and(|it| it.holds(commitment.number))
                    })
            });
            let names: Vec<_> = stands.map(|it| (it.htlc.direction, it.htlc.htlc_id)).collect();
            if names.is_empty() {
                prop_assert_eq!(card.next_deadline, None);
            }
            for name in names {
                let deadline = match name.0 {
                    lastword_types::HtlcDirection::Offered => EXPIRED.max(best + 1),
                    lastword_types::HtlcDirection::Received if best >= LATE => continue,
                    lastword_types::HtlcDirection::Received => LATE,
                };
                prop_assert!(card.next_deadline.is_some_and(|it| it <= BlockHeight(deadline)));
            }
        }
    }
}

/// A claim of one HTLC is as urgent as a preimage for all of its hash, for that one.
#[test]
fn a_claim_of_one_htlc_is_acted_on_in_time_and_no_other_of_its_hash() {
    for format in FORMATS {
        let mut channel = Channel::new(format);
        let [ours, passing] = [0; 2].map(|_: u8| channel.add(PEER, offer(1, 50_000)));
        channel.connect(LATE, &[]);
        is_open(&channel);
        let claim = UpdateStep::ClaimHtlc { htlc_id: HtlcId(ours.1), preimage: preimage(1) };
        let effects = channel.update(US, vec![claim]);
        goes_on_chain(&channel, &effects, ours, Overdue::Fulfilment);
        let other = Alarm::GoingOnChain { htlc: key(passing), overdue: Overdue::Fulfilment };
        assert!(!channel.monitor().alarms().contains(&other));
    }
}
