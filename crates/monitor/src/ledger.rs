//! [`Ledger`] for [`Monitor`]: what became of offered HTLCs and of claimed ones, for whoever has to
//! be told.

use lastword_ports::{Ledger, LedgerHead};
use lastword_types::{
    Bug, EntryState, Generation, HtlcDirection, HtlcId, HtlcKey, LedgerEntry, Outcome, PaymentId,
    Tombstone,
};

use crate::forget;
use crate::machine::Monitor;
use crate::marks::HtlcRef;
use crate::received;
use crate::verdict;

impl Monitor {
    fn read(&self, key @ (direction, htlc_id): HtlcRef) -> Option<LedgerEntry<'_>> {
        let state = self.state();
        let htlc = state.htlcs.get(&key)?;
        if htlc.delivered.is_some() && Bug::VerdictErasedByRelease.is_planted() {
            return None;
        }
        let verdict = verdict::of(state, self.index().closing.as_ref(), htlc);
        Some(LedgerEntry {
            key: HtlcKey { channel_id: state.parameters.channel_id, direction, htlc_id },
            htlc: &htlc.htlc,
            verdict,
            delivered: htlc.delivered,
            is_given_up: htlc.is_given_up,
            is_inbound_on_chain: htlc.is_inbound_on_chain,
            is_removed: htlc.removal.is_some(),
            claim: htlc.claim.as_ref(),
            source: htlc.source.as_ref(),
            is_claimable: !state.is_archived && received::is_claimable(&verdict, htlc),
        })
    }

    /// Says whether [`for_each_undelivered`](Ledger::for_each_undelivered) names an HTLC.
    pub fn owes(&self, direction: HtlcDirection, htlc_id: HtlcId) -> bool {
        match direction {
            HtlcDirection::Offered => self.index().undelivered.contains(&htlc_id),
            HtlcDirection::Received => self.index().owed.contains(&htlc_id),
        }
    }

    fn visit<'a>(&'a self, key: HtlcRef, visit: &mut dyn FnMut(LedgerEntry<'a>)) {
        if let Some(entry) = self.read(key) {
            visit(entry);
        }
    }
}

impl Ledger for Monitor {
    fn head(&self) -> LedgerHead {
        let state = self.state();
        LedgerHead {
            channel_id: state.parameters.channel_id,
            latest_update: state.latest_update,
            pruned_behind: state.pruned_behind,
            is_archived: state.is_archived,
        }
    }

    fn for_each_undelivered(&self, visit: &mut dyn FnMut(LedgerEntry<'_>)) {
        for htlc_id in &self.index().undelivered {
            self.visit((HtlcDirection::Offered, *htlc_id), visit);
        }
        for htlc_id in &self.index().owed {
            self.visit((HtlcDirection::Received, *htlc_id), visit);
        }
    }

    fn entry(&self, direction: HtlcDirection, htlc_id: HtlcId) -> EntryState<'_> {
        let key = (direction, htlc_id);
        match self.read(key) {
            Some(entry) => EntryState::Entry(entry),
            None if forget::is_spent_id(self.state(), key) => EntryState::Forgotten,
            None => EntryState::Unknown,
        }
    }

    fn entries_of<'a>(&'a self, payment_id: PaymentId, visit: &mut dyn FnMut(LedgerEntry<'a>)) {
        for htlc_id in self.index().by_payment.get(&payment_id).into_iter().flatten() {
            self.visit((HtlcDirection::Offered, *htlc_id), visit);
        }
    }

    fn tombstones_of(&self, payment_id: PaymentId, visit: &mut dyn FnMut(Tombstone)) {
        for htlc_id in self.index().buried.get(&payment_id).into_iter().flatten() {
            if let Some(tombstone) = self.state().tombstones.get(htlc_id) {
                visit(*tombstone);
            }
        }
        let all = (payment_id, Generation([0; 16]))..=(payment_id, Generation([u8::MAX; 16]));
        for (payment_id, generation) in self.state().told_unknown.range(all).copied() {
            visit(Tombstone { payment_id, generation, outcome: Outcome::Unknown });
        }
    }
}
