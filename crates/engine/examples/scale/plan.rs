//! What a plan over everything costs, beside a walk over the same entries.

use crate::undelivered::{HTLCS, Monitors};
use crate::{Line, Result, least, ratio};

const CHANNELS: u32 = 1_000;
const ROUNDS: u32 = 5;

pub(crate) fn measure() -> Result<Vec<Line>> {
    let monitors = Monitors::new(CHANNELS)?;
    let walk = least(
        ROUNDS,
        || (),
        |()| assert_eq!(monitors.walk(), CHANNELS * HTLCS, "each was fulfilled, nobody knows"),
    );
    let planned = least(ROUNDS, || (), |()| monitors.plan());
    let what = "planning 100,000 undelivered HTLCs in 1,000 monitors".into();
    let unit = "of walking them";
    Ok(vec![
        Line { id: "plan", what, unit, ours: ratio(planned, walk), bar: Some(10.0) },
        Line {
            id: "plan-walk",
            what: "walking them, each".into(),
            unit: "ns",
            ours: walk.as_secs_f64() * 1e9 / f64::from(CHANNELS * HTLCS),
            bar: None,
        },
    ])
}
