//! What holds of every history. A failing one is printed as its list of choices.

use std::collections::BTreeMap;

use lastword_monitor::Monitor;
use lastword_types::{
    ChainDelta, Effect, HtlcState, MonitorRecord, MonitorState, MonitorUpdate, OutputSpendKind,
    ReleasePaymentComplete, Told, UpdateId, UpdateStep, Verdict,
};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::channel::{CHANNEL, block, preimage};
use crate::world::{World, ops};

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(1), failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_monitor_is_what_its_state_says((format, ops) in ops()) {
        let mut world = World::new(format);
        for op in &ops {
            world.step(op);
            let live = world.channel.monitor();
            let restored = Monitor::restore(live.state().clone()).unwrap();
            same(&restored, live);
        }
        let live = world.channel.monitor();
        let mut folded = first(&world.channel.records);
        for record in &world.channel.records[1..] {
            folded.apply(record).unwrap();
        }
        same(&folded, live);
    }

    #[test]
    fn what_is_refused_changes_nothing((format, ops) in ops()) {
        let mut world = World::new(format);
        for op in &ops {
            world.step(op);
            for record in bad(world.channel.monitor().state()) {
                let mut monitor = world.channel.monitor().clone();
                prop_assert!(monitor.apply(&record).is_err(), "{:?}", record);
                same(&monitor, world.channel.monitor());
            }
        }
    }

    #[test]
    fn what_says_nothing_new_changes_nothing((format, ops) in ops()) {
        let mut world = World::new(format);
        for op in &ops {
            world.step(op);
        }
        let live = world.channel.monitor();
        let on_chain = |record: &MonitorRecord| match record {
            MonitorRecord::Chain(ChainDelta::Connected { block, .. }) => {
                *block == world.block_at(block.height.0)
            }
            MonitorRecord::Chain(ChainDelta::Disconnected { .. }) | MonitorRecord::Created(_) => {
                false
            }
            MonitorRecord::Update(_)
            | MonitorRecord::Release(_)
            | MonitorRecord::GivenUp(_)
            | MonitorRecord::InboundOnChain { .. }
            | MonitorRecord::Claim(_)
            | MonitorRecord::ToldUnknown { .. }
            | MonitorRecord::Mempool(_)
            | MonitorRecord::PruneTombstones { .. }
            | MonitorRecord::Archive => true,
        };
        for record in world.channel.records.iter().filter(|record| on_chain(record)) {
            prop_assert!(live.check(record).unwrap().is_noop(), "{:?}", record);
            let mut again = live.clone();
            prop_assert_eq!(again.apply(record).unwrap(), Vec::<Effect>::new());
            same(&again, live);
        }
    }

    #[test]
    fn a_final_verdict_never_changes((format, ops) in ops()) {
        let mut world = World::new(format);
        let mut finals: BTreeMap<_, Verdict> = BTreeMap::new();
        for op in &ops {
            world.step(op);
            let monitor = world.channel.monitor();
            for key in monitor.state().htlcs.keys() {
                let verdict = monitor.verdict(key.0, key.1).unwrap();
                let known = finals.get(key);
                prop_assert!(known.is_none_or(|known| *known == verdict), "{:?} {:?}", key, verdict);
                if verdict.is_final() {
                    finals.insert(*key, verdict);
                }
            }
        }
    }

    #[test]
    fn a_reorg_leads_where_a_node_is_that_never_saw_the_blocks((format, ops) in ops(), at in 0u32..1000) {
        let mut world = World::new(format);
        for op in &ops {
            world.step(op);
        }
        let fork = world.block_at((crate::channel::BIRTH + at).min(world.tip));
        let mut back = world.channel.monitor().clone();
        let disconnected = MonitorRecord::Chain(ChainDelta::Disconnected { fork });
        back.apply(&disconnected).unwrap();

        let mut fresh = first(&world.channel.records);
        for record in &world.channel.records[1..] {
            let is_shared = match record {
                MonitorRecord::Chain(ChainDelta::Connected { block, .. }) => {
                    block.height <= fork.height && *block == world.block_at(block.height.0)
                }
                MonitorRecord::Chain(ChainDelta::Disconnected { .. })
                | MonitorRecord::Release(_)
                | MonitorRecord::PruneTombstones { .. }
                | MonitorRecord::Archive
                | MonitorRecord::GivenUp(_)
                | MonitorRecord::InboundOnChain { .. }
            | MonitorRecord::ToldUnknown { .. }
                | MonitorRecord::Created(_) => false,
                MonitorRecord::Update(_)
                | MonitorRecord::Claim(_)
                | MonitorRecord::Mempool(_) => true,
            };
            if is_shared {
                fresh.apply(record).unwrap();
            }
        }
        let here = MonitorRecord::Chain(ChainDelta::Connected { block: fork, transactions: vec![] });
        if back.state().best.height >= fork.height {
            fresh.apply(&here).unwrap();
        }

        prop_assert_eq!(forgetful(back.state()), forgetful(fresh.state()));
        // That the channel is failed has no height: no reorg takes it back.
        if back.state().fail_channel || fresh.state().fail_channel {
            for monitor in [&mut back, &mut fresh] {
                let update_id = UpdateId(monitor.state().latest_update.0 + 1);
                let steps = vec![UpdateStep::FailChannel];
                let update = MonitorUpdate { channel_id: CHANNEL, update_id, steps };
                monitor.apply(&MonitorRecord::Update(update)).unwrap();
            }
        }
        prop_assert_eq!(back.claim_requests(), fresh.claim_requests());
        for key in back.state().htlcs.keys() {
            let [back, fresh] = [&back, &fresh].map(|it| it.verdict(key.0, key.1).unwrap());
            if !back.is_final() {
                prop_assert_eq!(back, fresh);
            }
        }
    }

    #[test]
    fn every_preimage_that_was_on_chain_is_kept((format, ops) in ops()) {
        let mut world = World::new(format);
        let mut shown = Vec::new();
        for op in &ops {
            world.step(op);
            let state = world.channel.monitor().state();
            shown.extend(state.output_spends.values().filter_map(|spend| match spend.kind {
                OutputSpendKind::HtlcPreimage { direction, htlc_id, preimage, .. }
                | OutputSpendKind::PeerHtlcTransaction {
                    direction,
                    htlc_id,
                    preimage: Some(preimage),
                    ..
                } => Some(((direction, htlc_id), preimage)),
                OutputSpendKind::HtlcTimeout { .. }
                | OutputSpendKind::PeerHtlcTransaction { preimage: None, .. }
                | OutputSpendKind::HtlcPenalty { .. }
                | OutputSpendKind::HtlcOther { .. }
                | OutputSpendKind::Swept { .. } => None,
            }));
            for (key, preimage) in &shown {
                let htlc = &state.htlcs[key];
                let kept = [htlc.fulfilled.map(|(preimage, _)| preimage), htlc.late_preimage];
                prop_assert!(kept.contains(&Some(*preimage)), "{:?}", htlc);
            }
        }
    }
}

fn first(records: &[MonitorRecord]) -> Monitor {
    let MonitorRecord::Created(new) = &records[0] else { panic!("the first record creates") };
    Monitor::create((**new).clone()).unwrap()
}

/// Compares everything that a monitor can be asked for.
fn same(left: &Monitor, right: &Monitor) {
    assert_eq!(left.state(), right.state());
    assert_eq!(left.card(), right.card());
    assert_eq!(left.claim_requests(), right.claim_requests());
    assert_eq!(left.alarms(), right.alarms());
    let verdicts = |monitor: &Monitor| -> Vec<_> {
        monitor.state().htlcs.keys().map(|key| monitor.verdict(key.0, key.1)).collect()
    };
    assert_eq!(verdicts(left), verdicts(right));
}

/// A state without what a reorganisation does not take back.
fn forgetful(state: &MonitorState) -> MonitorState {
    let forget = |htlc: &HtlcState| HtlcState {
        fulfilled: None,
        failed: None,
        late_preimage: None,
        delivered: None,
        ..htlc.clone()
    };
    let htlcs = state.htlcs.iter().map(|(key, htlc)| (*key, forget(htlc))).collect();
    MonitorState { htlcs, fail_channel: false, ..state.clone() }
}

/// Records that no monitor in this state may take.
fn bad(state: &MonitorState) -> Vec<MonitorRecord> {
    let update = |after: u64, steps| {
        let update_id = UpdateId(state.latest_update.0 + after);
        MonitorRecord::Update(MonitorUpdate { channel_id: CHANNEL, update_id, steps })
    };
    let unknown = lastword_types::HtlcId(999);
    let fulfill = UpdateStep::Fulfill { htlc_id: unknown, preimage: preimage(1) };
    let revocation = UpdateStep::RemoteRevocation {
        number: state.remote.number,
        secret: lastword_types::PerCommitmentSecret([3; 32]),
    };
    let (direction, htlc_id) = (lastword_types::HtlcDirection::Offered, unknown);
    let htlc = lastword_types::HtlcKey { channel_id: CHANNEL, direction, htlc_id };
    let mut bad = vec![
        update(2, vec![]),
        // The steps before a bad one must leave no trace.
        update(
            1,
            vec![UpdateStep::FailChannel, UpdateStep::Preimage { preimage: preimage(77) }, fulfill],
        ),
        update(1, vec![UpdateStep::FailChannel, revocation]),
        MonitorRecord::Release(ReleasePaymentComplete { htlc, told: Told::Forward }),
        MonitorRecord::Chain(ChainDelta::Connected {
            block: block(state.best.height.0, 200),
            transactions: vec![],
        }),
        MonitorRecord::Chain(ChainDelta::Disconnected { fork: block(state.best.height.0, 200) }),
    ];
    if let Some(spend) = &state.funding_spend {
        bad.push(MonitorRecord::Chain(ChainDelta::Connected {
            block: block(state.best.height.0 + 1, 200),
            transactions: vec![spend.transaction.clone()],
        }));
    }
    bad
}
