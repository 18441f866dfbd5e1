//! What a channel's snapshot needs after many payments were settled and told.

use lastword_types::{ChannelId, HtlcDirection};
use lastword_wire::encode_monitor_state;

use crate::tape::Tape;
use crate::{Line, Result};

const PAYMENTS: u32 = 10_000;

pub(crate) fn measure() -> Result<Vec<Line>> {
    let mut tape = Tape::new(ChannelId([7; 32]))?;
    for number in 0..PAYMENTS {
        // To and fro, so that the balances last.
        let is_offered = number % 2 == 0;
        let direction = if is_offered { HtlcDirection::Offered } else { HtlcDirection::Received };
        let htlc_id = tape.add(direction)?;
        tape.settle(direction, htlc_id)?;
        tape.records.clear();
    }
    // A book that has outlived them all does not need to know any more what they came to.
    let mut state = tape.monitor.state().clone();
    state.tombstones.clear();
    let pruned = u32::try_from(encode_monitor_state(&state).len())?;
    let line = |id, what: &str, ours, bar| Line { id, what: what.into(), unit: "kB", ours, bar };
    Ok(vec![
        line("growth-whole", "10,000 settled payments", tape.bytes() / 1e3, None),
        line("growth", "without their tombstones", f64::from(pruned) / 1e3, Some(480.0)),
    ])
}
