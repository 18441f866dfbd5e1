//! Resolving received payments (rule R13): from the claimed parts in the ledgers to the others, to
//! the user and to the peers.
//!
//! ```text
//!   a part is claimed ─► every other part that can be is claimed ─► told ─► all parts released
//!                              │                                              at once
//!                              └─ one cannot be read: wait
//! ```
//!
//! Every part names all of them, so one that is claimed is enough; no book is asked.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use lastword_ports::{Ledger, LedgerState};
use lastword_types::{
    AmountMsat, Bug, ChannelId, EntryState, Event, EventKey, HtlcClaim, HtlcDirection, HtlcId,
    HtlcKey, HtlcOrigin, LedgerEntry, PaymentHash, PaymentPreimage, PreimageSource,
    ReleasePaymentComplete, Told,
};

use crate::action::{Action, Planned};
use crate::channel;
use crate::plan::View;
use crate::reason::Reason;

/// A payment of which a part is claimed, as that part tells it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Received {
    preimage: PaymentPreimage,
    parts: BTreeSet<HtlcKey>,
    amount_msat: AmountMsat,
}

impl Received {
    /// Reads the payment that an entry is a claimed part of.
    pub(crate) fn of(entry: &LedgerEntry<'_>) -> Option<Self> {
        match (entry.claim, entry.source) {
            (Some(preimage), Some(PreimageSource::Invoice { parts, amount_msat })) => {
                Some(Self { preimage: *preimage, parts: parts.clone(), amount_msat: *amount_msat })
            }
            (
                _,
                Some(PreimageSource::Invoice { .. } | PreimageSource::Downstream { .. }) | None,
            ) => None,
        }
    }

    fn hash(&self) -> PaymentHash {
        self.preimage.payment_hash()
    }

    fn key(&self) -> EventKey {
        EventKey::of_received(self.hash(), &self.parts)
    }

    fn source(&self) -> PreimageSource {
        let Self { parts, amount_msat, preimage: _ } = self;
        PreimageSource::Invoice { parts: parts.clone(), amount_msat: *amount_msat }
    }

    fn event(&self, claimed: AmountMsat) -> Event {
        Event::PaymentClaimed {
            payment_hash: self.hash(),
            preimage: self.preimage,
            amount_msat: claimed,
            lost_msat: AmountMsat(self.amount_msat.0.saturating_sub(claimed.0)),
            parts: self.parts.clone(),
        }
    }
}

/// Where the parts of a payment stand.
#[derive(Default)]
struct Parts {
    /// What those are worth that are claimed.
    claimed: AmountMsat,
    /// Those that can be and are not, by channel.
    missing: BTreeMap<ChannelId, BTreeSet<HtlcId>>,
    /// One that the user was not told of, for each channel.
    untold: BTreeMap<ChannelId, HtlcKey>,
    /// Those of which the peer has not heard, in open channels.
    unfulfilled: Vec<HtlcKey>,
    /// Channels that have to be read first, each with the reason.
    waits: BTreeMap<ChannelId, Reason>,
    is_told: bool,
}

impl Parts {
    fn read(view: &View<'_>, payment: &Received) -> Self {
        let mut all = Self::default();
        for part in &payment.parts {
            match view.ledgers.ledger(part.channel_id) {
                LedgerState::Present(ledger) => all.add(view, payment, *part, ledger),
                LedgerState::Missing => all.wait(*part, Reason::MonitorMissing),
                LedgerState::Damaged => all.wait(*part, Reason::MonitorDamaged),
            }
        }
        all
    }

    fn wait(&mut self, part: HtlcKey, reason: Reason) {
        self.waits.insert(part.channel_id, reason);
    }

    fn add(&mut self, view: &View<'_>, payment: &Received, part: HtlcKey, ledger: &dyn Ledger) {
        match ledger.entry(HtlcDirection::Received, part.htlc_id) {
            EntryState::Entry(entry) => self.add_entry(view, payment, part, &entry),
            // What is told of is forgotten with all the others, and what was not claimed before it
            // was forgotten never will be.
            EntryState::Forgotten => {}
            EntryState::Unknown if channel::is_in_flight(view, &ledger.head()) => {
                self.wait(part, Reason::InFlight);
            }
            EntryState::Unknown => self.wait(part, Reason::MonitorStale),
        }
    }

    fn add_entry(
        &mut self,
        view: &View<'_>,
        payment: &Received,
        part: HtlcKey,
        entry: &LedgerEntry<'_>,
    ) {
        if Received::of(entry).as_ref() == Some(payment) {
            let sum = self.claimed.0.saturating_add(entry.htlc.amount_msat.0);
            self.claimed = AmountMsat(sum);
            if !entry.is_removed && !entry.verdict.is_final() && !is_closed(view, part) {
                self.unfulfilled.push(part);
            }
            match entry.delivered {
                None => drop(self.untold.entry(part.channel_id).or_insert(part)),
                Some(Told::Claimed) => self.is_told = true,
                // Nothing else is told of what was received.
                Some(Told::Payment { .. } | Told::Forward) => {}
            }
            return;
        }
        let is_ours = entry.htlc.origin == HtlcOrigin::Ours;
        if entry.is_claimable && is_ours && entry.htlc.payment_hash == payment.hash() {
            self.missing.entry(part.channel_id).or_default().insert(part.htlc_id);
        }
    }
}

fn is_closed(view: &View<'_>, part: HtlcKey) -> bool {
    view.ledgers.is_closed(part.channel_id)
}

/// Appends what is to be done about one received payment.
pub(crate) fn plan_received(
    view: &View<'_>,
    payment: &Received,
    already: &mut BTreeSet<HtlcKey>,
    actions: &mut Vec<Planned>,
) {
    let Parts { claimed, missing, untold, unfulfilled, waits, is_told } =
        Parts::read(view, payment);
    let mut act = |action, reason| actions.push(Planned { action, reason });
    let is_whole = missing.is_empty();
    for (channel_id, mut htlc_ids) in missing {
        let direction = HtlcDirection::Received;
        htlc_ids
            .retain(|htlc_id| already.insert(HtlcKey { channel_id, direction, htlc_id: *htlc_id }));
        if htlc_ids.is_empty() {
            continue;
        }
        let (preimage, source) = (payment.preimage, payment.source());
        let claim = HtlcClaim { channel_id, htlc_ids, preimage, source };
        act(Action::Claim(claim), Reason::PartClaimed);
    }
    for htlc in unfulfilled {
        act(Action::FulfillHtlc { htlc, preimage: payment.preimage }, Reason::PartClaimed);
    }
    let payment_hash = payment.hash();
    if is_told {
        release(untold, Reason::Over, &mut act);
    } else if !waits.is_empty() {
        for (channel_id, reason) in waits {
            act(Action::WaitForPart { payment_hash, channel_id }, reason);
        }
    } else if is_whole
        && (view.payments.is_handled(payment.key()) || Bug::ClaimReleasedEarly.is_planted())
    {
        release(untold, Reason::Handled, &mut act);
    } else if is_whole && !untold.is_empty() {
        let (payment_id, events) = (payment.key().payment_id, Vec::from([payment.event(claimed)]));
        act(Action::Tell { payment_id, events }, Reason::AllPartsClaimed);
    }
}

/// Releases a payment in every channel that holds a part of it: one record for each, so that all are
/// one append.
fn release(
    untold: BTreeMap<ChannelId, HtlcKey>,
    reason: Reason,
    act: &mut impl FnMut(Action, Reason),
) {
    for htlc in untold.into_values() {
        act(Action::Release(ReleasePaymentComplete { htlc, told: Told::Claimed }), reason);
    }
}
