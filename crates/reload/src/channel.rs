//! Comparing the node's channels with their monitors. No channel is closed because the node is
//! behind.
//!
//! ```text
//!   node:     … latest_update │ in flight …            monitor: … durable
//!
//!   durable <  latest_update                  the monitor is older than the node
//!   durable in the middle of what is in flight  up to it: durable; behind it: written again
//!   durable >  all that the node knows        the node is behind
//! ```

use alloc::vec::Vec;

use lastword_ports::{ChannelEntry, LedgerHead, LedgerState};
use lastword_types::{MonitorUpdate, UpdateId};

use crate::action::{Action, Planned};
use crate::plan::View;
use crate::reason::Reason;

/// Appends what a node has to learn of its channels.
pub(crate) fn plan_channels(view: &View<'_>, actions: &mut Vec<Planned>) {
    view.channels.for_each_channel(&mut |entry| {
        // Closed is state: it holds however old the node's bytes are.
        let is_closed = view.ledgers.is_closed(entry.channel_id);
        if entry.is_open && is_closed {
            let action = Action::MarkChannelClosed { channel_id: entry.channel_id };
            actions.push(Planned { action, reason: Reason::ChannelClosed });
        }
        let head = match view.ledgers.ledger(entry.channel_id) {
            LedgerState::Present(ledger) => ledger.head(),
            LedgerState::Missing | LedgerState::Damaged => return,
        };
        let mut in_flight = Vec::new();
        view.channels.for_each_in_flight(entry.channel_id, &mut |update| {
            in_flight.push(update.clone());
        });
        // What the node lost of a closed channel needs no message to a peer any more.
        let is_live = entry.is_open && !is_closed;
        if head.is_archived {
            actions.extend(drop_updates(entry, &in_flight));
        } else {
            plan_updates(entry, in_flight, head.latest_update, is_live, actions);
        }
    });
}

fn plan_updates(
    ChannelEntry { channel_id, latest_update: have, is_open: _ }: ChannelEntry,
    in_flight: Vec<MonitorUpdate>,
    durable: UpdateId,
    is_live: bool,
    actions: &mut Vec<Planned>,
) {
    if durable < have {
        let action = Action::MonitorBehind { channel_id, have, durable };
        actions.push(Planned { action, reason: Reason::MonitorStale });
        return;
    }
    let known = in_flight.last().map_or(have, |last| last.update_id);
    let up_to = durable.min(known);
    if have < up_to {
        let action = Action::UpdatesDurable { channel_id, up_to };
        actions.push(Planned { action, reason: Reason::InFlight });
    }
    for update in in_flight.into_iter().filter(|update| durable < update.update_id) {
        actions.push(Planned { action: Action::ReplayUpdate(update), reason: Reason::InFlight });
    }
    if is_live && known < durable {
        let action = Action::ManagerBehind { channel_id, have: known, durable };
        actions.push(Planned { action, reason: Reason::ManagerStale });
    }
}

/// The node need not wait for updates of a channel that nothing changes any more.
fn drop_updates(
    ChannelEntry { channel_id, latest_update: have, is_open: _ }: ChannelEntry,
    in_flight: &[MonitorUpdate],
) -> Option<Planned> {
    let up_to = in_flight.last()?.update_id;
    let action = Action::UpdatesDurable { channel_id, up_to };
    (have < up_to).then_some(Planned { action, reason: Reason::ChannelArchived })
}

/// Says whether the node handed over an update of a channel that its monitor does not have and can
/// still take.
pub(crate) fn is_in_flight(view: &View<'_>, head: &LedgerHead) -> bool {
    let LedgerHead { channel_id, latest_update: durable, is_archived, .. } = *head;
    let mut is_in_flight = false;
    view.channels.for_each_in_flight(channel_id, &mut |update| {
        is_in_flight |= durable < update.update_id;
    });
    is_in_flight && !is_archived
}
