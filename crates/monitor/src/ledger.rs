//! [`Ledger`] for [`Monitor`]: what became of offered HTLCs, for whoever has to be told.

use lastword_ports::Ledger;
use lastword_types::{ChannelId, HtlcDirection, HtlcId, HtlcKey, LedgerEntry, PaymentId, UpdateId};

use crate::machine::Monitor;
use crate::verdict;

impl Monitor {
    fn visit(&self, htlc_id: HtlcId, visit: &mut dyn FnMut(LedgerEntry<'_>)) {
        let direction = HtlcDirection::Offered;
        let Some(htlc) = self.state().htlcs.get(&(direction, htlc_id)) else { return };
        visit(LedgerEntry {
            key: HtlcKey { channel_id: self.state().parameters.channel_id, direction, htlc_id },
            htlc: &htlc.htlc,
            verdict: verdict::of(self.state(), self.index().closing.as_ref(), htlc),
            delivered: htlc.delivered,
            is_given_up: htlc.is_given_up,
        });
    }
}

impl Ledger for Monitor {
    fn channel_id(&self) -> ChannelId {
        self.state().parameters.channel_id
    }

    fn latest_update(&self) -> UpdateId {
        self.state().latest_update
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
}
