//! The measurements.

#[expect(dead_code, reason = "a report uses the rest")]
#[path = "../../examples/tape/mod.rs"]
mod tape;
#[path = "../../examples/undelivered/mod.rs"]
mod undelivered;

use criterion::{BenchmarkId, Criterion, Throughput};

use self::undelivered::{HTLCS, Monitors};

/// Measures everything, as the arguments of the program say.
pub(crate) fn run() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("undelivered");
    group.sample_size(10);
    for channels in [1_u32, 10, 100, 1_000] {
        let monitors = Monitors::new(channels).expect("the channels open");
        group.throughput(Throughput::Elements(u64::from(channels * HTLCS)));
        group.bench_function(BenchmarkId::new("walk", channels), |bencher| {
            bencher.iter(|| monitors.walk());
        });
        group.bench_function(BenchmarkId::new("plan", channels), |bencher| {
            bencher.iter_with_large_drop(|| monitors.plan());
        });
    }
    group.finish();
    criterion.final_summary();
}
