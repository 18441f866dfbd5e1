//! [`Growth`]: when the state of a stream is worth writing again.

/// Records behind a snapshot before another is worth it, however small the state.
const RECORDS_MIN: u32 = 64;

/// How far a stream has grown behind its last snapshot.
///
/// A snapshot is due when there are [`RECORDS_MIN`] records behind the last one, and twice as many
/// bytes in them as it had. So snapshots cost about half of what the records do, however large the
/// state has become, and a replay reads no more than two states' worth behind the snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Growth {
    records: u32,
    bytes: usize,
    snapshot_bytes: usize,
}

impl Growth {
    /// Begins behind a snapshot of so many bytes.
    pub(crate) fn behind(snapshot_bytes: usize) -> Self {
        Self { snapshot_bytes, ..Self::default() }
    }

    /// Counts a record.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.records = self.records.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
    }

    /// Says whether a snapshot is due.
    pub(crate) fn is_due(self) -> bool {
        self.records >= RECORDS_MIN && self.bytes / 2 >= self.snapshot_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The costs that the page of [`Growth`] promises, over a state that grows with every record.
    #[test]
    fn snapshots_cost_half_of_the_records_and_a_replay_stays_short() {
        const RECORD: usize = 100;
        let (mut growth, mut state, mut snapshots, mut longest) = (Growth::default(), 500, 0, 0);
        for _ in 0..100_000 {
            growth.add(RECORD);
            state += 30;
            longest = longest.max(growth.bytes.saturating_sub(2 * growth.snapshot_bytes));
            if growth.is_due() {
                snapshots += state;
                growth = Growth::behind(state);
            }
        }
        assert!(snapshots <= 100_000 * RECORD * 2 / 3, "{snapshots}");
        assert!(longest <= 64 * RECORD, "{longest}");
    }

    #[test]
    fn a_small_state_waits_for_enough_records() {
        let mut growth = Growth::behind(10);
        for _ in 0..RECORDS_MIN {
            assert!(!growth.is_due());
            growth.add(1_000);
        }
        assert!(growth.is_due());
    }
}
