//! What is owed of received HTLCs and of the two halves of forwards, as far as their monitors are in
//! memory.

use std::collections::BTreeSet;

use lastword_ports::{LedgerState, Ledgers as _};
use lastword_types::{
    ChannelId, EntryState, HtlcDirection, HtlcId, HtlcKey, HtlcOrigin, HtlcState, PreimageSource,
};

use crate::channels::Channels;

/// The least HTLC there is.
const FIRST_HTLC: HtlcKey = HtlcKey {
    channel_id: ChannelId([0; 32]),
    direction: HtlcDirection::Offered,
    htlc_id: HtlcId(0),
};

impl Channels {
    /// Brings the index of received HTLCs up to date with one of them.
    pub(crate) fn recount_received(&mut self, key: HtlcKey) {
        let Ok(warm) = self.get(key.channel_id) else { return };
        let is_owed = warm.monitor.owes(key.direction, key.htlc_id);
        if is_owed && self.owed.insert(key) {
            self.count_untold(key.channel_id);
        } else if !is_owed && self.owed.remove(&key) {
            self.uncount_untold(key.channel_id);
        }
    }

    /// Returns the undelivered outbound halves of the forwards of an inbound half.
    pub(crate) fn forwards_of(&self, inbound: HtlcKey) -> impl Iterator<Item = HtlcKey> + '_ {
        let behind = self.forwarded.range((inbound, FIRST_HTLC)..);
        behind.take_while(move |(of, _)| *of == inbound).map(|(_, outbound)| *outbound)
    }

    /// Returns the channel of the inbound half of a forward, if it is here.
    pub(crate) fn inbound_channel(&self, outbound: HtlcKey) -> Option<ChannelId> {
        let inbound = self.forwards.get(&outbound)?;
        Some(inbound.channel_id).filter(|channel_id| self.contains(*channel_id))
    }

    /// Returns the channels of the inbound halves of all forwards, as far as they are here.
    pub(crate) fn channels_of_forwards(&self) -> BTreeSet<ChannelId> {
        self.forwards.keys().filter_map(|outbound| self.inbound_channel(*outbound)).collect()
    }

    /// Says whether a received HTLC is claimed by a right that was said.
    pub(crate) fn is_claimed(&self, key: HtlcKey) -> bool {
        self.received(key).is_some_and(|htlc| htlc.source.is_some())
    }

    /// Returns the channels that have to be read to plan for a received HTLC, as far as they are here.
    pub(crate) fn claim_channels(&self, key: HtlcKey) -> BTreeSet<ChannelId> {
        let htlc = self.received(key);
        let channels: BTreeSet<ChannelId> = match htlc.map(|it| (&it.source, &it.htlc.origin)) {
            Some((Some(PreimageSource::Invoice { parts, .. }), _)) => {
                parts.iter().map(|part| part.channel_id).collect()
            }
            Some((_, HtlcOrigin::Forwarded { outbound })) => [outbound.channel_id].into(),
            Some((_, HtlcOrigin::Ours | HtlcOrigin::Payment(_) | HtlcOrigin::Forward(_)))
            | None => BTreeSet::new(),
        };
        channels.into_iter().filter(|channel_id| self.contains(*channel_id)).collect()
    }

    /// Returns the same of all received HTLCs of which something is owed.
    pub(crate) fn channels_of_owed(&self) -> BTreeSet<ChannelId> {
        self.owed.iter().flat_map(|key| self.claim_channels(*key)).collect()
    }

    /// Says whether a received payment was told of: one part says so, or all are forgotten since.
    pub(crate) fn is_told(&self, parts: &BTreeSet<HtlcKey>) -> bool {
        let entry = |part: &HtlcKey| match self.ledger(part.channel_id) {
            LedgerState::Present(ledger) => ledger.entry(part.direction, part.htlc_id),
            LedgerState::Missing | LedgerState::Damaged => EntryState::Unknown,
        };
        let is_told = |part| matches!(entry(part), EntryState::Entry(it) if it.delivered.is_some());
        parts.iter().any(is_told) || parts.iter().all(|it| entry(it) == EntryState::Forgotten)
    }

    /// Returns what a warm monitor remembers of a received HTLC.
    pub(crate) fn received(&self, key: HtlcKey) -> Option<&HtlcState> {
        match key.direction {
            HtlcDirection::Offered => return None,
            HtlcDirection::Received => {}
        }
        let warm = self.get(key.channel_id).ok()?;
        warm.monitor.state().htlcs.get(&(key.direction, key.htlc_id))
    }
}
