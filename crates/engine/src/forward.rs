//! Forwards: none is sent on twice.

use std::collections::BTreeMap;

use lastword_ports::{InboundState, LedgerState, Ledgers as _};
use lastword_types::{
    ChannelId, EntryState, HtlcDirection, HtlcKey, HtlcOrigin, MonitorUpdate, UpdateStep, Verdict,
};

use crate::driver::Driver;
use crate::error::EngineError;
use crate::pay::offered_htlcs;

impl Driver {
    /// Reads the monitors of the inbound halves of forwards that updates send on. One that cannot
    /// be read is set apart, and the check finds it so.
    pub(crate) fn warm_inbound(&mut self, updates: &[MonitorUpdate]) {
        let here = |channel_id: &ChannelId| self.channels.contains(*channel_id);
        let inbound: Vec<ChannelId> =
            forwards(updates).map(|(_, inbound)| inbound.channel_id).filter(here).collect();
        for channel_id in inbound {
            drop(self.warm(channel_id));
        }
    }

    /// Refuses to send on what was sent on before, or what is settled: a node whose memory is older
    /// than its monitors may have it in a queue.
    pub(crate) fn check_forwards(&self, updates: &[MonitorUpdate]) -> Result<(), EngineError> {
        let mut begun = BTreeMap::new();
        for (outbound, inbound) in forwards(updates).filter(|(key, _)| self.is_new(*key)) {
            let is_known = self.channels.contains(inbound.channel_id)
                || self.forwards.inbound_state(inbound) != InboundState::Unknown;
            if !is_known {
                return Err(EngineError::UnknownInbound { outbound, inbound });
            }
            self.check_readable(outbound, inbound)?;
            let earlier = self.channels.forwards_of(inbound).find(|other| self.may_be_paid(*other));
            let earlier = earlier.or_else(|| begun.insert(inbound, outbound));
            if let Some(earlier) = earlier {
                return Err(EngineError::ForwardedBefore { inbound, outbound: earlier });
            }
            if self.is_settled(inbound) {
                return Err(EngineError::InboundSettled(inbound));
            }
        }
        Ok(())
    }

    /// Refuses to send on what a damaged channel may know better: that the inbound half is settled,
    /// or that it was sent on before.
    fn check_readable(&self, outbound: HtlcKey, inbound: HtlcKey) -> Result<(), EngineError> {
        let channel_id = inbound.channel_id;
        if self.channels.is_damaged(channel_id) {
            return Err(EngineError::Damaged(channel_id));
        }
        let LedgerState::Present(ledger) = self.channels.ledger(channel_id) else { return Ok(()) };
        let origin = match ledger.entry(HtlcDirection::Received, inbound.htlc_id) {
            EntryState::Entry(entry) => &entry.htlc.origin,
            EntryState::Forgotten | EntryState::Unknown => return Ok(()),
        };
        match origin {
            HtlcOrigin::Forwarded { outbound: named }
                if *named != outbound && self.channels.is_damaged(named.channel_id) =>
            {
                Err(EngineError::Damaged(named.channel_id))
            }
            HtlcOrigin::Forwarded { .. }
            | HtlcOrigin::Forward(_)
            | HtlcOrigin::Payment(_)
            | HtlcOrigin::Ours => Ok(()),
        }
    }

    /// Says whether an HTLC is one that its channel never had; an update may come again.
    fn is_new(&self, key: HtlcKey) -> bool {
        match self.channels.ledger(key.channel_id) {
            LedgerState::Present(ledger) => match ledger.entry(key.direction, key.htlc_id) {
                EntryState::Unknown => true,
                EntryState::Forgotten | EntryState::Entry(_) => false,
            },
            LedgerState::Missing | LedgerState::Damaged => true,
        }
    }

    fn may_be_paid(&self, outbound: HtlcKey) -> bool {
        let Ok(warm) = self.channels.get(outbound.channel_id) else { return true };
        let verdict = warm.monitor.verdict(outbound.direction, outbound.htlc_id);
        !matches!(verdict, Some(Verdict::Failed { .. }))
    }

    fn is_settled(&self, inbound: HtlcKey) -> bool {
        let LedgerState::Present(ledger) = self.channels.ledger(inbound.channel_id) else {
            return false;
        };
        match ledger.entry(HtlcDirection::Received, inbound.htlc_id) {
            EntryState::Entry(entry) => {
                entry.is_removed || entry.claim.is_some() || entry.verdict.is_final()
            }
            EntryState::Forgotten => true,
            EntryState::Unknown => false,
        }
    }
}

/// Returns the forwards that updates send on, the outbound half first.
fn forwards(updates: &[MonitorUpdate]) -> impl Iterator<Item = (HtlcKey, HtlcKey)> + '_ {
    let steps = updates
        .iter()
        .flat_map(|update| update.steps.iter().map(|step: &UpdateStep| (update.channel_id, step)));
    steps.flat_map(|(channel_id, step)| {
        let offered = offered_htlcs(step).into_iter();
        offered.filter_map(move |htlc| match &htlc.origin {
            HtlcOrigin::Forward(forward) => {
                let (direction, htlc_id) = (htlc.direction, htlc.htlc_id);
                Some((HtlcKey { channel_id, direction, htlc_id }, forward.inbound))
            }
            HtlcOrigin::Payment(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => None,
        })
    })
}
