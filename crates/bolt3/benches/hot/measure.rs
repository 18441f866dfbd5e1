//! The measurements.

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/support.rs"]
mod support;

use criterion::{BenchmarkId, Throughput};
use lastword_bolt3::{generate_from_seed, point_of, sign_commitment, verify_commitment};
use lastword_types::{CommitmentFormat, Htlc, HtlcDirection, Side};

use self::support::{Channel, htlc, number, signer};
use crate::shared::{self, HTLCS};

/// Measures everything, as the arguments of the program say.
pub(crate) fn run() {
    let mut criterion = shared::criterion();
    let channel = Channel::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let mut group = criterion.benchmark_group("commitment");
    for count in HTLCS {
        let htlcs = htlcs(count);
        group.throughput(Throughput::Elements(u64::from(count)));
        group.bench_function(BenchmarkId::new("build", count), |bencher| {
            bencher.iter(|| channel.commitment(Side::Local, 1_000, &htlcs));
        });
        let parameters = &channel.parameters;
        let theirs = channel.commitment(Side::Remote, 1_000, &htlcs).expect("it is sound");
        let mut ours = signer(channel.keys(Side::Local));
        let signed = sign_commitment(&mut ours, parameters, &theirs).expect("the keys are there");
        group.bench_function(BenchmarkId::new("sign", count), |bencher| {
            bencher.iter(|| sign_commitment(&mut ours, parameters, &theirs));
        });
        group.bench_function(BenchmarkId::new("verify", count), |bencher| {
            let (signature, of_htlcs) = &signed;
            let verify = || verify_commitment(parameters, &theirs, signature, of_htlcs);
            bencher.iter(|| verify().expect("it was signed just before"));
        });
    }
    group.finish();
    let mut group = criterion.benchmark_group("secret");
    let seed = [7; 32];
    group.bench_function("derive", |bencher| {
        bencher.iter(|| generate_from_seed(&seed, number(1 << 40).secret_index()));
    });
    let secret = generate_from_seed(&seed, number(42).secret_index());
    group.bench_function("point", |bencher| bencher.iter(|| point_of(&secret)));
    group.finish();
    criterion.final_summary();
}

/// Offered and received by turns, as many as one side may have.
fn htlcs(count: u32) -> Vec<Htlc> {
    let one = |id: u32| {
        let offered = id % 2 == 0;
        let direction = if offered { HtlcDirection::Offered } else { HtlcDirection::Received };
        let preimage = u8::try_from(id % 251).expect("it is below 251");
        htlc(direction, u64::from(id / 2), 10_000_000, preimage, 800_000 + id)
    };
    (0..count).map(one).collect()
}
