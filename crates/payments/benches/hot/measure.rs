//! The measurements.

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/tools.rs"]
mod tools;

use criterion::{BatchSize, BenchmarkId};
use lastword_payments::Payments;
use lastword_ports::PaymentBook as _;
use lastword_types::{Intent, PaymentId, PaymentRecord};

use crate::shared::{self, CHANNELS};

/// Measures everything, as the arguments of the program say: with as many payments as elsewhere there
/// are channels.
pub(crate) fn run() {
    let mut criterion = shared::criterion();
    let mut group = criterion.benchmark_group("payments");
    for count in CHANNELS {
        let mut book = Payments::new();
        for number in 0..count {
            book.apply(&PaymentRecord::Intent(intent(number))).expect("the id is free");
        }
        let further = PaymentRecord::Intent(intent(count));
        group.bench_function(BenchmarkId::new("check an intent", count), |bencher| {
            bencher.iter(|| book.check(&further).expect("the id is free"));
        });
        group.bench_function(BenchmarkId::new("look up", count), |bencher| {
            bencher.iter(|| book.payment(id(count / 2)).expect("it is there").state);
        });
        group.bench_function(BenchmarkId::new("visit the unfinished", count), |bencher| {
            bencher.iter(|| {
                let mut unfinished = 0_u32;
                book.for_each_pending(&mut |_| unfinished += 1);
                unfinished
            });
        });
        group.bench_function(BenchmarkId::new("restore", count), |bencher| {
            let restore = |state| Payments::restore(state).expect("it is sound");
            bencher.iter_batched(|| book.state().clone(), restore, BatchSize::PerIteration);
        });
    }
    group.finish();
    criterion.final_summary();
}

fn id(number: u32) -> PaymentId {
    let mut id = [0x5A; 32];
    // As ids are: two that are near each other have nothing in common.
    id[..4].copy_from_slice(&number.wrapping_mul(0x9E37_79B1).to_be_bytes());
    id[4..8].copy_from_slice(&number.to_be_bytes());
    PaymentId(id)
}

fn intent(number: u32) -> Intent {
    Intent { payment_id: id(number), ..tools::intent(1, 1, 1) }
}
