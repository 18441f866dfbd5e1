//! The measurements.

use std::ops::ControlFlow;
use std::path::Path;

use criterion::{BenchmarkId, Throughput};
use lastword_ports::{Frame, SnapshotStore as _, Stream, UpdateLog as _};
use lastword_store::RedbStore;
use lastword_types::ChannelId;

use crate::shared::{self, CHANNELS, HTLCS};

/// The bytes of a usual update, and of a card.
const RECORD: [u8; 300] = [7; 300];
const CARD: [u8; 160] = [9; 160];
/// Cards in a sync.
const BATCH: u32 = 50_000;

/// Measures everything, as the arguments of the program say.
pub(crate) fn run() {
    let mut criterion = shared::criterion();
    let mut group = criterion.benchmark_group("store");
    for records in HTLCS {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let mut store = RedbStore::open(&folder.path().join("node")).expect("it opens");
        group.throughput(Throughput::Elements(u64::from(records)));
        group.bench_function(BenchmarkId::new("append and sync", records), |bencher| {
            let frames: Vec<Frame<'_>> = (0..records)
                .map(|number| Frame::Record { stream: stream(number), body: &RECORD })
                .collect();
            bencher.iter(|| {
                store.append(&frames).expect("there is room");
                store.sync().expect("the disk works")
            });
        });
    }
    for channels in CHANNELS {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let path = folder.path().join("node");
        generate(&path, channels);
        group.throughput(Throughput::Elements(u64::from(channels)));
        group.bench_function(BenchmarkId::new("open", channels), |bencher| {
            bencher.iter(|| RedbStore::open(&path).expect("it opens"));
        });
        let store = RedbStore::open(&path).expect("it opens");
        group.bench_function(BenchmarkId::new("visit cards", channels), |bencher| {
            bencher.iter(|| {
                let mut found = 0_u32;
                store.cards(&mut |card| found += u32::from(card.is_ok())).expect("they are sound");
                assert_eq!(found, channels);
            });
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("replay one channel", channels), |bencher| {
            bencher.iter(|| {
                let mut visit = |_, _: &[u8]| ControlFlow::Continue(());
                store.replay(stream(channels / 2), None, &mut visit).expect("it is sound");
            });
        });
    }
    group.finish();
    criterion.final_summary();
}

fn stream(number: u32) -> Stream {
    let mut id = [0x5A; 32];
    id[..4].copy_from_slice(&number.wrapping_mul(0x9E37_79B1).to_be_bytes());
    Stream::Channel(ChannelId(id))
}

/// Writes a record and a card for each channel.
fn generate(path: &Path, channels: u32) {
    let mut store = RedbStore::open(path).expect("it opens");
    for first in (0..channels).step_by(BATCH as usize) {
        let frames: Vec<Frame<'_>> = (first..channels.min(first + BATCH))
            .flat_map(|number| {
                let stream = stream(number);
                [Frame::Record { stream, body: &RECORD }, Frame::Card { stream, body: &CARD }]
            })
            .collect();
        store.append(&frames).expect("there is room");
        let _durable = store.sync().expect("the disk works");
    }
}
