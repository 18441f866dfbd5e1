//! What a channel's snapshot needs after many payments were settled and told.

use lastword_types::{ChannelId, HtlcDirection};

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
    let what = "a snapshot after 10,000 settled payments".into();
    Ok(vec![Line { id: "growth", what, unit: "kB", ours: tape.bytes() / 1e3, bar: Some(480.0) }])
}
