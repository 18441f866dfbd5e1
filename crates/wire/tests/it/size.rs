//! How long records are: what is written with every payment has to be short.

use lastword_types::{ChannelId, MonitorRecord, MonitorUpdate, UpdateId};
use lastword_wire::encode_monitor_record;

use crate::samples::both_commitments;

fn update_bytes(pending: u8) -> usize {
    encode_monitor_record(&MonitorRecord::Update(MonitorUpdate {
        channel_id: ChannelId([0xC1; 32]),
        update_id: UpdateId(100_000),
        steps: both_commitments(pending),
    }))
    .len()
}

#[test]
fn an_update_of_both_commitments_costs_little_more_than_its_signatures() {
    assert!(update_bytes(10) <= 1_100, "{}", update_bytes(10));
    assert!(update_bytes(100) <= 7_000, "{}", update_bytes(100));
    // A pending HTLC more costs its signature and nothing else.
    assert_eq!(update_bytes(50) - update_bytes(49), 64);
}
