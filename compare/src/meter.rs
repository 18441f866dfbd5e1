//! What a piece of work costs: time, processor time, bytes written.

use std::error::Error;
use std::fs;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The result of anything here.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// The state of this process's meters at a moment.
pub(crate) struct Meter {
    at: Instant,
    processor: Duration,
    io: Io,
}

/// What was used between two moments.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Used {
    /// Time that passed.
    pub(crate) wall: Duration,
    /// Time that processors worked for this process.
    pub(crate) processor: Duration,
    /// Bytes that were handed to write calls.
    pub(crate) written: f64,
    /// Bytes that this process caused to be sent to the block layer.
    pub(crate) block: f64,
}

impl Used {
    /// Returns what was used in all of these.
    pub(crate) fn sum(parts: &[Self]) -> Self {
        Self {
            wall: parts.iter().map(|part| part.wall).sum(),
            processor: parts.iter().map(|part| part.processor).sum(),
            written: parts.iter().map(|part| part.written).sum(),
            block: parts.iter().map(|part| part.block).sum(),
        }
    }
}

#[derive(Clone, Copy)]
struct Io {
    written: u64,
    block: u64,
}

impl Meter {
    /// Reads the meters.
    pub(crate) fn start() -> Result<Self> {
        Ok(Self { io: io()?, processor: processor_time(), at: Instant::now() })
    }

    /// Reads the meters again.
    pub(crate) fn stop(&self) -> Result<Used> {
        let (wall, processor, io) = (self.at.elapsed(), processor_time(), io()?);
        Ok(Used {
            wall,
            processor: processor.saturating_sub(self.processor),
            written: count(io.written.saturating_sub(self.io.written)),
            block: count(io.block.saturating_sub(self.io.block)),
        })
    }
}

/// Returns the processor time of this process, all threads.
pub(crate) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

fn io() -> Result<Io> {
    let text = fs::read_to_string("/proc/self/io")?;
    let field = |name: &str| -> Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.ok_or("/proc/self/io has its lines")?.trim().parse()?)
    };
    Ok(Io { written: field("wchar:")?, block: field("write_bytes:")? })
}

/// Returns a count as a number to calculate with; everything counted here is below 2^52.
#[expect(clippy::cast_precision_loss, reason = "what is counted here is below 2^52")]
pub(crate) fn count(value: u64) -> f64 {
    value as f64
}

/// Returns a length as a number to calculate with.
pub(crate) fn size(value: usize) -> f64 {
    count(u64::try_from(value).unwrap_or(u64::MAX))
}

/// Returns the median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the median processor time of one call, in microseconds, over runs of many calls.
pub(crate) fn micros_of<R>(mut call: impl FnMut() -> R) -> f64 {
    const RUNS: usize = 11;
    const RUN: Duration = Duration::from_millis(20);
    let once = |calls: u32, call: &mut dyn FnMut()| {
        let start = processor_time();
        for _ in 0..calls {
            call();
        }
        processor_time().saturating_sub(start)
    };
    let mut call = || {
        std::hint::black_box(call());
    };
    let mut calls = 1;
    while once(calls, &mut call) < RUN {
        calls *= 2;
    }
    let runs = (0..RUNS).map(|_| once(calls, &mut call).as_secs_f64() * 1e6 / f64::from(calls));
    median(runs.collect())
}

/// Returns the least processor time of one call, in microseconds; what `prepare` makes is not counted.
pub(crate) fn least_micros_of<T, R>(
    rounds: u32,
    mut prepare: impl FnMut() -> T,
    mut call: impl FnMut(T) -> R,
) -> f64 {
    let round = |_| {
        let input = std::hint::black_box(prepare());
        let start = processor_time();
        let result = std::hint::black_box(call(input));
        let used = processor_time().saturating_sub(start);
        drop(result);
        used.as_secs_f64() * 1e6
    };
    (0..rounds).map(round).fold(f64::INFINITY, f64::min)
}

/// Returns the bytes of memory that this process holds.
pub(crate) fn resident() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|it| it.trim().strip_suffix(" kB"));
    let kilobytes: f64 = kilobytes.ok_or("the system tells what is resident")?.parse()?;
    Ok(kilobytes * 1024.0)
}
