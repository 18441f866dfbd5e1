//! What an update of both commitments costs, from its bytes until it is applied.

use lastword_monitor::Monitor;
use lastword_types::{ChannelId, HtlcDirection};
use lastword_wire::{decode_monitor_record, encode_monitor_record};

use crate::tape::Tape;
use crate::{Line, Result, least};

const ROUNDS: u32 = 200;
/// LDK decodes and applies such an update in 1.2 ms; a tenth of that.
const BAR_US: f64 = 120.0;

pub(crate) fn measure() -> Result<Vec<Line>> {
    [("update-1", 1), ("update-10", 10), ("update", 100), ("update-483", 483)]
        .into_iter()
        .map(|(id, pending)| {
            let bar = (pending == 100).then_some(BAR_US);
            let what = format!("bytes to applied, {pending} HTLCs pending");
            Ok(Line { id, what, unit: "us", ours: apply(pending)?, bar })
        })
        .collect()
}

fn apply(pending: u32) -> Result<f64> {
    let (before, bytes) = prepare(pending)?;
    let time = least(ROUNDS, || before.clone(), |monitor| take(monitor, &bytes));
    Ok(time.as_secs_f64() * 1e6)
}

/// Returns a channel with so many HTLCs pending, and the bytes of an update of both commitments.
pub(crate) fn prepare(pending: u32) -> Result<(Monitor, Vec<u8>)> {
    let mut tape = Tape::new(ChannelId([7; 32]))?;
    for _ in 0..pending {
        tape.add(HtlcDirection::Offered)?;
    }
    tape.turn()?;
    let before = tape.monitor.clone();
    let bytes = encode_monitor_record(&tape.whole_turn()?);
    Ok((before, bytes))
}

/// Takes an update in, from its bytes until it is applied.
pub(crate) fn take(mut monitor: Monitor, bytes: &[u8]) -> Monitor {
    let record = decode_monitor_record(bytes).ok();
    let is_applied = record.is_some_and(|record| monitor.apply(&record).is_ok());
    assert!(is_applied, "the update is sound");
    monitor
}
