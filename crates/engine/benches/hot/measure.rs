//! The measurements.

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use lastword_engine::Driver;
use lastword_monitor::Monitor;
use lastword_types::{ChannelId, HtlcDirection};
use lastword_wire::{decode_monitor_record, encode_monitor_record};

use crate::quiet::{Cards, ports};
use crate::shared::{self, CHANNELS, HTLCS};
use crate::tape::Tape;
use crate::undelivered::{self, Monitors};

/// Measures everything, as the arguments of the program say.
pub(crate) fn run() {
    let mut criterion = shared::criterion();
    update(&mut criterion);
    plan(&mut criterion);
    start(&mut criterion);
    criterion.final_summary();
}

/// An update of both commitments, from its bytes until it is applied.
fn update(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("update");
    for pending in HTLCS {
        let mut tape = Tape::new(ChannelId([7; 32])).expect("a channel opens");
        for _ in 0..pending {
            tape.add(HtlcDirection::Offered).expect("there is room");
        }
        tape.turn().expect("it goes on");
        let before = tape.monitor.clone();
        let bytes = encode_monitor_record(&tape.whole_turn().expect("it goes on"));
        group.bench_function(BenchmarkId::new("bytes to applied", pending), |bencher| {
            let apply = |mut monitor: Monitor| {
                let record = decode_monitor_record(&bytes).expect("we read what we wrote");
                monitor.apply(&record).expect("the update is sound");
                monitor
            };
            bencher.iter_batched(|| before.clone(), apply, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// A plan over everything, beside a walk over the same entries.
fn plan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("undelivered");
    for channels in [1_u32, 10, 100, 1_000] {
        let monitors = Monitors::new(channels).expect("the channels open");
        group.throughput(Throughput::Elements(u64::from(channels * undelivered::HTLCS)));
        group.bench_function(BenchmarkId::new("walk", channels), |bencher| {
            bencher.iter(|| monitors.walk());
        });
        group.bench_function(BenchmarkId::new("plan", channels), |bencher| {
            bencher.iter_with_large_drop(|| monitors.plan());
        });
    }
    group.finish();
}

/// A start with open, quiet channels.
fn start(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("start");
    for channels in CHANNELS {
        group.throughput(Throughput::Elements(u64::from(channels)));
        group.bench_function(BenchmarkId::new("quiet channels", channels), |bencher| {
            let start = || Driver::start(ports(Box::new(Cards { channels }))).expect("it starts");
            bencher.iter_with_large_drop(start);
        });
    }
    group.finish();
}
