//! A channel of ours with pending payments.

use lastword_monitor::Monitor;
use lastword_types::{BlockHeight, BlockRef, MonitorRecord, MonitorState};

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;

use super::channel::Channel;
use crate::meter::Result;

/// A channel with pending payments that we offered.
pub(crate) struct Pending {
    /// What its monitor remembers.
    pub(crate) state: MonitorState,
    /// The update that brought the last of the payments into both commitments.
    pub(crate) both: MonitorRecord,
}

/// Makes a channel with pending payments.
pub(crate) fn pending(count: usize) -> Result<Pending> {
    let mut channel = Channel::new(0);
    let birth = BlockRef { height: BlockHeight(800_000), hash: BlockHash::all_zeros() };
    let mut monitor = Monitor::create(channel.birth(birth)?)?;
    let mut both = None;
    for _ in 0..count {
        let [update, revoked] = channel.offer()?.map(MonitorRecord::Update);
        monitor.apply(&update)?;
        monitor.apply(&revoked)?;
        both = Some(update);
    }
    Ok(Pending { state: monitor.state().clone(), both: both.ok_or("there is a payment")? })
}
