//! The sum, after every record of random lives.

use bitcoin::Transaction;
use lastword_types::{
    BalanceView, Balances, ChainDelta, CommitmentFormat, MonitorRecord, MonitorUpdate, UpdateId,
    UpdateStep,
};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;

use super::{FORMATS, checked, connect, folded};
use crate::channel::{BIRTH, CHANNEL, Channel, EXPIRY, US, block};
use crate::spend::spend;
use crate::world::{Op, World, ops};

/// Random lives in each format.
fn lives() -> impl Strategy<Value = (CommitmentFormat, Vec<Op>)> {
    (select(&FORMATS[..]), ops()).prop_map(|(format, (_, ops))| (format, ops))
}

/// Every commitment that was ever signed, a closing transaction and an unknown one.
fn spends_of_funding(channel: &Channel) -> Vec<Transaction> {
    let funding = channel.nodes[US].parameters.funding_outpoint;
    let mut all: Vec<_> = channel
        .nodes
        .iter()
        .flat_map(|node| &node.commitments)
        .map(|commitment| commitment.transaction.clone())
        .collect();
    all.extend([spend(funding, 0, 0), spend(funding, 7, 7)]);
    all
}

proptest! {
    #![proptest_config(ProptestConfig {
        rng_seed: RngSeed::Fixed(1),
        failure_persistence: None,
        cases: 64,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_parts_sum_to_the_channel_after_every_record((format, ops) in lives()) {
        let mut world = World::new(format);
        for op in &ops {
            world.step(op);
        }
        let mut monitor = folded(&world.channel.records[..1]);
        for record in &world.channel.records[1..] {
            monitor.apply(record).unwrap();
            checked(&monitor);
        }
    }

    #[test]
    fn the_parts_sum_to_the_channel_whatever_closes_it(
        (format, ops) in lives(),
        cut in any::<Index>(),
        choice in any::<Index>(),
    ) {
        let mut world = World::new(format);
        for op in &ops {
            if matches!(op, Op::Close { .. }) {
                continue;
            }
            world.step(op);
        }
        // A node that knows only the beginning meets anything that was ever signed.
        let records = &world.channel.records;
        let mut monitor = folded(&records[..=cut.index(records.len())]);
        let spends = spends_of_funding(&world.channel);
        let close = choice.get(&spends);
        let update_id = UpdateId(monitor.state().latest_update.0 + 1);
        let txid = spends[spends.len() - 2].compute_txid();
        monitor
            .apply(&MonitorRecord::Update(MonitorUpdate {
                channel_id: CHANNEL,
                update_id,
                steps: vec![UpdateStep::MutualClose { txid }],
            }))
            .unwrap();
        let before = checked(&monitor);
        let fork = monitor.state().best;
        let at = |blocks| block(fork.height.0 + blocks, 9);
        connect(&mut monitor, at(1), std::slice::from_ref(close));
        checked(&monitor);
        for blocks in [2, 6, 7, 8, 150, EXPIRY, EXPIRY + BIRTH] {
            connect(&mut monitor, at(blocks), &[]);
            checked(&monitor);
        }
        monitor.apply(&MonitorRecord::Chain(ChainDelta::Disconnected { fork })).unwrap();
        let after = checked(&monitor);
        prop_assert_eq!(after, before);
    }

    #[test]
    fn what_is_ours_for_good_stays_ours_without_a_reorg((format, ops) in lives()) {
        let mut world = World::new(format);
        for op in &ops {
            world.step(op);
        }
        let mut monitor = folded(&world.channel.records[..1]);
        let mut last: Option<Balances> = None;
        for record in &world.channel.records[1..] {
            monitor.apply(record).unwrap();
            let balances = checked(&monitor);
            let is_reorg = matches!(record, MonitorRecord::Chain(ChainDelta::Disconnected { .. }));
            if let Some(before @ Balances { view: BalanceView::Closed(_), .. }) = &last
                && !is_reorg
            {
                let [before, after] = [before.totals(), balances.totals()];
                prop_assert!(after.ours >= before.ours, "{:?} {:?}", before, after);
                prop_assert!(after.lost >= before.lost, "{:?} {:?}", before, after);
            }
            last = Some(balances);
        }
    }
}
