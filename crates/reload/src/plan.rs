//! [`plan`]: from ledgers and books of any age to actions.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use lastword_ports::{ChannelBook, ForwardBook, LedgerState, Ledgers, PaymentBook};
use lastword_types::{HtlcKey, PaymentId, PaymentState};

use crate::action::Plan;
use crate::channel::plan_channels;
use crate::forward::{plan_forward, plan_inbound};
use crate::gather::{Gatherer, Part, Subjects, channels_of, gather};
use crate::payment::plan_payment;
use crate::received::plan_received;

/// How much a plan looks at. The rules are the same for both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// Everything: at a start, and after a monitor was repaired.
    All,
    /// Only what changed: the live path.
    Changed {
        /// Payments of which an entry or the book changed.
        payments: BTreeSet<PaymentId>,
        /// Outbound halves of forwards of which the entry or the inbound half changed.
        forwards: BTreeSet<HtlcKey>,
        /// Received HTLCs of which the entry changed.
        received: BTreeSet<HtlcKey>,
    },
}

impl Scope {
    /// Returns the scope of nothing.
    pub fn nothing() -> Self {
        Self::Changed {
            payments: BTreeSet::new(),
            forwards: BTreeSet::new(),
            received: BTreeSet::new(),
        }
    }

    /// Returns the scope of one payment.
    pub fn of_payment(payment_id: PaymentId) -> Self {
        Self::Changed {
            payments: BTreeSet::from([payment_id]),
            forwards: BTreeSet::new(),
            received: BTreeSet::new(),
        }
    }

    /// Says whether there is nothing to look at.
    pub fn is_empty(&self) -> bool {
        *self == Self::nothing()
    }

    /// Returns the scope of this and another.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (
                Self::Changed { mut payments, mut forwards, mut received },
                Self::Changed { payments: p, forwards: f, received: r },
            ) => {
                payments.extend(p);
                forwards.extend(f);
                received.extend(r);
                Self::Changed { payments, forwards, received }
            }
        }
    }
}

/// What a plan looks at.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What the monitors know: durable, and current to the end.
    pub ledgers: &'a dyn Ledgers,
    /// What the payment book knows, of any age.
    pub payments: &'a dyn PaymentBook,
    /// What the node knows of its forwards, of any age.
    pub forwards: &'a dyn ForwardBook,
    /// What the node knows of its channels, of any age.
    pub channels: &'a dyn ChannelBook,
}

/// Returns what is to be done, each action with its reason.
///
/// It is pure and total, and the same for every order in which the ledgers and books name things.
/// The live path and the start call it alike; only the scope differs.
///
/// # Shape
///
/// [`Scope::All`] looks at every undelivered entry, every payment that the book holds as
/// unfinished, and every channel of the node. [`Scope::Changed`] looks at what it names: the
/// channels of the generation that the book holds and of the entries found there, or, where the
/// book does not know a payment, all ledgers with undelivered entries. That the book holds an older
/// generation than the ledgers is seen by [`Scope::All`], at the start that restored the book.
///
/// # Crash safety
///
/// The ledgers must be durable when it is called: what follows from it may then be told at once
/// (rule R4). Between a payment's intent and the updates that add its HTLCs it must not be called
/// for that payment: the parts would count as never sent (rule R2).
///
/// Source: `docs/INVARIANTS.md`, R1 to R9 and R12.
pub fn plan(scope: &Scope, view: &View<'_>) -> Plan {
    let subjects = Subjects::of(scope, view);
    // A record or two and what is told of each, or releases.
    let mut actions = Vec::with_capacity(subjects.payments_at_most().saturating_mul(3));
    let mut gatherer = Gatherer::default();
    for (payment_id, channels) in subjects.payments() {
        let found = gatherer.of(view, payment_id, &channels);
        plan_payment(view, payment_id, found, &mut actions);
    }
    // No HTLC is claimed twice in one plan, whatever contradicts itself: its ledger would refuse it.
    let mut claimed = BTreeSet::new();
    for payment in &subjects.received {
        plan_received(view, payment, &mut claimed, &mut actions);
    }
    for (outbound, facts) in &subjects.forwards {
        plan_forward(view, (*outbound, *facts), &mut claimed, &mut actions);
    }
    let Subjects { forwards, inbound, .. } = &subjects;
    match scope {
        Scope::All => {
            plan_inbound(view, inbound, Some(forwards), &mut actions);
            plan_channels(view, &mut actions);
        }
        Scope::Changed { .. } => plan_inbound(view, inbound, None, &mut actions),
    }
    Plan { actions }
}

/// Says whether the book may drop a payment (rule R9).
///
/// It may when the outcome is handled, every entry of the payment that a ledger holds is delivered,
/// and every ledger that could hold one was read; a damaged one could hold a later attempt of any.
/// A part that was taken and not yet told of keeps it too: its entry is not delivered.
///
/// # Crash safety
///
/// The ledgers must be durable when it is called.
pub fn may_drop(payment_id: PaymentId, view: &View<'_>) -> bool {
    let Some(payment) = view.payments.payment(payment_id) else {
        return false;
    };
    match payment.state {
        PaymentState::Pending | PaymentState::Decided(_) => return false,
        PaymentState::Handled(_) => {}
    }
    let found = gather(view, payment_id, []);
    let mut channels: BTreeSet<_> = found.parts.iter().flat_map(Part::channels).collect();
    channels.extend(channels_of(payment.intent));
    let is_read = |channel_id| matches!(view.ledgers.ledger(channel_id), LedgerState::Present(_));
    let mut is_whole = true;
    view.ledgers.for_each_damaged(&mut |_| is_whole = false);
    is_whole && channels.into_iter().all(is_read) && !found.parts.iter().any(Part::is_undelivered)
}
