//! What the benches of all crates share: the sizes, and for how long each is measured.
#![allow(dead_code, reason = "not every crate has something of both kinds")]

use std::time::Duration;

use criterion::Criterion;

/// HTLCs of a channel.
pub(crate) const HTLCS: [u32; 4] = [1, 10, 100, 483];
/// Channels of a node.
pub(crate) const CHANNELS: [u32; 4] = [1_000, 10_000, 100_000, 1_000_000];

/// Returns how everything is measured: shortly, unless the arguments of the program say otherwise.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .configure_from_args()
}
