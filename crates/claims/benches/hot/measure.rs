//! The measurements.

use criterion::{BatchSize, BenchmarkId, Throughput};
use lastword_claims::Claims;
use lastword_types::CommitmentFormat;

use crate::shared::{self, HTLCS};
use crate::wallet::Node;
use crate::world::{LATE, World};

/// Measures everything, as the arguments of the program say.
pub(crate) fn run() {
    let mut criterion = shared::criterion();
    let mut group = criterion.benchmark_group("claims");
    for count in HTLCS {
        let amounts = vec![10_000; count as usize];
        let mut world = World::new(CommitmentFormat::StaticRemoteKey, 1, &amounts);
        let requests = [world.their_commitment_requests(), world.penalty_requests()];
        let mut node = Node::new(&mut world, &[1_000_000]);
        let channel_id = world.parameters.channel_id;
        group.throughput(Throughput::Elements(u64::from(count)));
        for (name, requests) in ["their commitment", "penalty"].into_iter().zip(requests) {
            let wanted = || {
                let mut claims = Claims::new();
                claims.replace(channel_id, requests.clone());
                claims
            };
            group.bench_function(
                BenchmarkId::new(format!("{name}, asked for"), count),
                |bencher| {
                    bencher.iter(wanted);
                },
            );
            group.bench_function(BenchmarkId::new(format!("{name}, signed"), count), |bencher| {
                let sign = |mut claims| node.due(&mut claims, LATE);
                bencher.iter_batched(wanted, sign, BatchSize::LargeInput);
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
