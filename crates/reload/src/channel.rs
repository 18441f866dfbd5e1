//! Comparing the node's channels with their monitors. No channel is closed because the node is
//! behind.

use alloc::vec::Vec;

use lastword_ports::{ChannelEntry, LedgerState};

use crate::action::{Action, Planned};
use crate::plan::View;
use crate::reason::Reason;

/// Appends what a node has to learn of its channels.
pub(crate) fn plan_channels(view: &View<'_>, actions: &mut Vec<Planned>) {
    view.channels.for_each_channel(&mut |entry| actions.extend(plan_channel(view, entry)));
}

fn plan_channel(view: &View<'_>, entry: ChannelEntry) -> Option<Planned> {
    let ChannelEntry { channel_id, latest_update: have, is_open } = entry;
    if !is_open {
        return None;
    }
    // Closed is state: it holds however old the node's bytes are, and makes its updates moot.
    if view.ledgers.is_closed(channel_id) {
        let action = Action::MarkChannelClosed { channel_id };
        return Some(Planned { action, reason: Reason::ChannelClosed });
    }
    let durable = match view.ledgers.ledger(channel_id) {
        LedgerState::Present(ledger) => ledger.latest_update(),
        LedgerState::Missing | LedgerState::Damaged => return None,
    };
    (have < durable).then_some(Planned {
        action: Action::ManagerBehind { channel_id, have, durable },
        reason: Reason::ManagerStale,
    })
}
