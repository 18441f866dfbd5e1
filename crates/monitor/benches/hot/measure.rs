//! The measurements.

#[allow(dead_code, reason = "the reports of the engine use the rest")]
#[path = "../../../engine/examples/tape/mod.rs"]
mod tape;

use criterion::{BatchSize, BenchmarkId};
use lastword_monitor::Monitor;
use lastword_ports::Ledger as _;
use lastword_types::{BlockRef, ChainDelta, ChannelId, HtlcDirection, MonitorRecord};

use self::tape::Tape;
use crate::shared::{self, HTLCS};

/// Measures everything, as the arguments of the program say.
pub(crate) fn run() {
    let mut criterion = shared::criterion();
    let mut group = criterion.benchmark_group("monitor");
    for count in HTLCS {
        let mut tape = Tape::new(ChannelId([7; 32])).expect("a channel opens");
        for _ in 0..count {
            tape.add(HtlcDirection::Offered).expect("there is room");
        }
        tape.turn().expect("it goes on");
        let before = tape.monitor.clone();
        let update = tape.whole_turn().expect("it goes on");
        let closing = tape.peers_commitment().expect("it can be built");
        let best = tape.monitor.state().best;
        let block = BlockRef { height: best.height.plus(1), ..best };
        let closed = ChainDelta::Connected { block, transactions: vec![closing] };
        let closed = MonitorRecord::Chain(closed);
        let after = tape.monitor.clone();
        let apply = |mut monitor: Monitor, record: &MonitorRecord| {
            monitor.apply(record).expect("the record is sound");
            monitor
        };
        group.bench_function(BenchmarkId::new("update", count), |bencher| {
            let size = BatchSize::LargeInput;
            bencher.iter_batched(|| before.clone(), |monitor| apply(monitor, &update), size);
        });
        group.bench_function(BenchmarkId::new("closing", count), |bencher| {
            let size = BatchSize::LargeInput;
            bencher.iter_batched(|| after.clone(), |monitor| apply(monitor, &closed), size);
        });
        let closed = apply(after.clone(), &closed);
        group.bench_function(BenchmarkId::new("claims", count), |bencher| {
            bencher.iter(|| closed.claim_requests());
        });
        group.bench_function(BenchmarkId::new("balances", count), |bencher| {
            bencher.iter(|| closed.balances());
        });
        group.bench_function(BenchmarkId::new("walk", count), |bencher| {
            bencher.iter(|| {
                let mut decided = 0;
                closed.for_each_undelivered(&mut |entry| {
                    decided += u32::from(entry.verdict.is_final());
                });
                decided
            });
        });
        group.bench_function(BenchmarkId::new("restore", count), |bencher| {
            let restore = |state| Monitor::restore(state).expect("it is sound");
            bencher.iter_batched(|| closed.state().clone(), restore, BatchSize::LargeInput);
        });
        group.bench_function(BenchmarkId::new("card", count), |bencher| {
            bencher.iter(|| closed.card());
        });
    }
    group.finish();
    criterion.final_summary();
}
