//! The measurements.

#[expect(dead_code, reason = "a report uses the rest")]
#[path = "../../examples/tape/mod.rs"]
mod tape;

use criterion::{BatchSize, BenchmarkId, Criterion};
use lastword_types::{ChannelId, HtlcDirection};
use lastword_wire::{decode_monitor_record, encode_monitor_record, encode_monitor_state};

use self::tape::Tape;

/// Measures everything, as the arguments of the program say.
pub(crate) fn run() {
    let mut criterion = Criterion::default().configure_from_args();
    update(&mut criterion);
    criterion.final_summary();
}

fn update(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("update");
    for pending in [1, 10, 100, 483] {
        let mut tape = Tape::new(ChannelId([7; 32])).expect("a channel opens");
        for _ in 0..pending {
            tape.add(HtlcDirection::Offered).expect("there is room");
        }
        tape.turn().expect("it goes on");
        let before = tape.monitor.clone();
        let record = tape.whole_turn().expect("it goes on");
        let bytes = encode_monitor_record(&record);
        group.bench_with_input(BenchmarkId::new("encode", pending), &record, |bencher, record| {
            bencher.iter(|| encode_monitor_record(record));
        });
        group.bench_with_input(BenchmarkId::new("decode", pending), &bytes, |bencher, bytes| {
            bencher.iter(|| decode_monitor_record(bytes));
        });
        group.bench_with_input(BenchmarkId::new("apply", pending), &record, |bencher, record| {
            let apply = |mut monitor: lastword_monitor::Monitor| {
                monitor.apply(record).expect("the update is sound");
                monitor
            };
            bencher.iter_batched(|| before.clone(), apply, BatchSize::LargeInput);
        });
        group.bench_function(BenchmarkId::new("snapshot", pending), |bencher| {
            bencher.iter(|| encode_monitor_state(before.state()));
        });
    }
    group.finish();
}
