//! The workload: what a store does for channels that get updates, snapshots and pruning.

use std::collections::VecDeque;

use super::{Candidate, Write};
use crate::meter::{Meter, Result, Used, count, size};

/// Records of a channel between two snapshots of it.
const RECORDS_PER_SNAPSHOT: usize = 64;
const SNAPSHOT_BYTES: usize = 6_000;
/// Where a stream ends, and its card.
const HEAD_BYTES: usize = 150;

/// What is appended, and how.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Channels that get records in turn.
    pub(crate) channels: u32,
    /// The records of all channels share a commit, or each waits for its own.
    pub(crate) is_grouped: bool,
    /// The records' sizes are between these two, their logarithms evenly spread.
    pub(crate) bytes: (usize, usize),
    /// The work ends with the first commit that brings the bodies above this.
    pub(crate) body_bytes: f64,
    /// Or with this many commits.
    pub(crate) commits: u64,
}

/// What came of it.
pub(crate) struct Outcome {
    pub(crate) commits: f64,
    pub(crate) records: f64,
    pub(crate) body_bytes: f64,
    pub(crate) used: Used,
    /// The records that each channel has left.
    pub(crate) left: Vec<VecDeque<u64>>,
}

/// Numbers that look random and are the same in every run.
struct Numbers(u64);

impl Numbers {
    /// Returns a number below one (splitmix64).
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        count((bits ^ (bits >> 31)) >> 12) / count(1 << 52)
    }

    /// Returns bytes that do not compress.
    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_bits().to_le_bytes()[..6]);
        }
        bytes.truncate(length);
        bytes
    }
}

/// Does the work.
pub(crate) fn run(candidate: &mut dyn Candidate, load: Load) -> Result<Outcome> {
    let mut numbers = Numbers(1);
    let mut left = vec![VecDeque::new(); usize::try_from(load.channels)?];
    let (mut commits, mut records, mut body_bytes, mut position) = (0, 0, 0.0, 0);
    let mut waiting = Vec::new();
    let meter = Meter::start()?;
    'work: loop {
        for channel in 0..load.channels {
            position += 1;
            let positions = &mut left[usize::try_from(channel)?];
            let (least, most) = (size(load.bytes.0), size(load.bytes.1));
            let length = least * (most / least).powf(numbers.next());
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size")]
            let body = numbers.bytes(length as usize);
            records += 1;
            body_bytes += size(body.len());
            positions.push_back(position);
            waiting.push(Write::Record { channel, position, body });
            waiting.push(Write::Head { channel, body: numbers.bytes(HEAD_BYTES) });
            // Channels reach their snapshots at different times, as they would.
            let due = RECORDS_PER_SNAPSHOT + usize::try_from(channel)? % RECORDS_PER_SNAPSHOT;
            if positions.len() > due {
                let body = numbers.bytes(SNAPSHOT_BYTES);
                waiting.push(Write::Snapshot { channel, body });
                let positions = positions.drain(..RECORDS_PER_SNAPSHOT).collect();
                waiting.push(Write::Forget { channel, positions });
            }
            if !load.is_grouped || channel + 1 == load.channels {
                candidate.commit(&waiting)?;
                waiting.clear();
                commits += 1;
                if commits >= load.commits || body_bytes >= load.body_bytes {
                    break 'work;
                }
            }
        }
    }
    let used = meter.stop()?;
    Ok(Outcome { commits: count(commits), records: count(records), body_bytes, used, left })
}
