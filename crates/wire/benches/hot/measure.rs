//! The measurements.

use criterion::{BenchmarkId, Throughput};
use lastword_types::{
    HtlcId, LocalCommitment, MonitorRecord, MonitorState, MonitorUpdate, UpdateId, UpdateStep,
};
use lastword_wire::{
    AnyRecord, decode_card, decode_monitor_record, decode_monitor_state, encode_card,
    encode_monitor_record, encode_monitor_state,
};

use crate::samples;
use crate::shared::{self, HTLCS};

/// Measures everything, as the arguments of the program say.
pub(crate) fn run() {
    let mut criterion = shared::criterion();
    let mut group = criterion.benchmark_group("wire");
    for count in HTLCS {
        let (update, state) = (update(count), state(count));
        let bytes = encode_monitor_record(&update);
        group.throughput(Throughput::Bytes(size(&bytes)));
        group.bench_function(BenchmarkId::new("encode update", count), |bencher| {
            bencher.iter(|| encode_monitor_record(&update));
        });
        group.bench_function(BenchmarkId::new("decode update", count), |bencher| {
            bencher.iter(|| decode_monitor_record(&bytes).expect("we read what we wrote"));
        });
        let bytes = encode_monitor_state(&state);
        group.throughput(Throughput::Bytes(size(&bytes)));
        group.bench_function(BenchmarkId::new("encode snapshot", count), |bencher| {
            bencher.iter(|| encode_monitor_state(&state));
        });
        group.bench_function(BenchmarkId::new("decode snapshot", count), |bencher| {
            bencher.iter(|| decode_monitor_state(&bytes).expect("we read what we wrote"));
        });
    }
    let card = find("card_", |any| match any {
        AnyRecord::Card(card) => Some(card),
        _ => None,
    });
    let bytes = encode_card(&card);
    group.throughput(Throughput::Bytes(size(&bytes)));
    group.bench_function("encode card", |bencher| bencher.iter(|| encode_card(&card)));
    group.bench_function("decode card", |bencher| {
        bencher.iter(|| decode_card(&bytes).expect("we read what we wrote"));
    });
    group.finish();
    criterion.final_summary();
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).expect("it fits in memory")
}

/// An update of both commitments with so many HTLCs, one of them new.
fn update(count: u32) -> MonitorRecord {
    let mut steps = samples::both_commitments(1);
    for step in &mut steps {
        if let UpdateStep::LocalCommitment(LocalCommitment { htlc_signatures, .. }) = step {
            let one = htlc_signatures[0];
            htlc_signatures.resize(count as usize, one);
        }
    }
    let channel_id = samples::quiet_state().parameters.channel_id;
    MonitorRecord::Update(MonitorUpdate { channel_id, update_id: UpdateId(7), steps })
}

/// A monitor with so many HTLCs.
fn state(count: u32) -> MonitorState {
    let busy = find("monitor_state_busy", |any| match any {
        AnyRecord::MonitorState(state) => Some(*state),
        _ => None,
    });
    let pattern = busy.htlcs.first_key_value().expect("it has HTLCs").1.clone();
    let mut state = samples::quiet_state();
    for id in 0..count {
        let mut held = pattern.clone();
        held.htlc.htlc_id = HtlcId(u64::from(id));
        state.htlcs.insert((held.htlc.direction, held.htlc.htlc_id), held);
    }
    state
}

fn find<T>(name: &str, is_it: impl Fn(AnyRecord) -> Option<T>) -> T {
    let mut all = samples::all().into_iter().filter(|(known, _)| known.starts_with(name));
    all.find_map(|(_, any)| is_it(any)).expect("there is one among the samples")
}
