//! [`Ledger`] for [`Monitor`]: what became of offered HTLCs, for whoever has to be told.

use lastword_ports::{Ledger, LedgerHead};
use lastword_types::{Bug, HtlcDirection, HtlcId, HtlcKey, LedgerEntry, PaymentId, Tombstone};

use crate::machine::Monitor;
use crate::verdict;

impl Monitor {
    fn visit(&self, htlc_id: HtlcId, visit: &mut dyn FnMut(LedgerEntry<'_>)) {
        let direction = HtlcDirection::Offered;
        let Some(htlc) = self.state().htlcs.get(&(direction, htlc_id)) else { return };
        if htlc.delivered.is_some() && Bug::VerdictErasedByRelease.is_planted() {
            return;
        }
        visit(LedgerEntry {
            key: HtlcKey { channel_id: self.state().parameters.channel_id, direction, htlc_id },
            htlc: &htlc.htlc,
            verdict: verdict::of(self.state(), self.index().closing.as_ref(), htlc),
            delivered: htlc.delivered,
            is_given_up: htlc.is_given_up,
            is_inbound_on_chain: htlc.is_inbound_on_chain,
        });
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
            self.visit(*htlc_id, visit);
        }
    }

    fn entries_of(&self, payment_id: PaymentId, visit: &mut dyn FnMut(LedgerEntry<'_>)) {
        for htlc_id in self.index().by_payment.get(&payment_id).into_iter().flatten() {
            self.visit(*htlc_id, visit);
        }
    }

    fn tombstones_of(&self, payment_id: PaymentId, visit: &mut dyn FnMut(HtlcKey, Tombstone)) {
        let channel_id = self.state().parameters.channel_id;
        for htlc_id in self.index().buried.get(&payment_id).into_iter().flatten() {
            if let Some(tombstone) = self.state().tombstones.get(htlc_id) {
                let direction = HtlcDirection::Offered;
                visit(HtlcKey { channel_id, direction, htlc_id: *htlc_id }, *tombstone);
            }
        }
    }
}
