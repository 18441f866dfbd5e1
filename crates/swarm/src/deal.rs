//! [`Deal`]: one generation of a payment, as its payer and its recipient know it, and what the payer's
//! user was told.

use std::collections::BTreeSet;

use lastword_types::{
    AmountMsat, Event, EventKind, Generation, HtlcKey, Outcome, PaymentId, PaymentPreimage,
};

use crate::htlc::Name;

/// What the recipient does with a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Claim,
    Fail,
    /// It waits until somebody else ends it.
    Keep,
}

/// One attempt.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// The first HTLC of each part.
    pub(crate) legs: Vec<(usize, Name)>,
    /// Whether its HTLCs are durable; `None` while nobody knows.
    pub(crate) exists: Option<bool>,
    pub(crate) amount_msat: u64,
}

/// A claim of a received payment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Claim {
    pub(crate) parts: BTreeSet<HtlcKey>,
    /// The driver said that it is durable.
    pub(crate) is_durable: bool,
    /// What the recipient's user was told.
    pub(crate) told: Option<Event>,
    /// The node durably knows that its user was told.
    pub(crate) is_over: bool,
}

/// One generation of a payment.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Deal {
    pub(crate) payer: usize,
    pub(crate) recipient: usize,
    pub(crate) payment_id: PaymentId,
    pub(crate) generation: Generation,
    pub(crate) preimage: PaymentPreimage,
    pub(crate) total_msat: AmountMsat,
    pub(crate) fee_msat: AmountMsat,
    pub(crate) attempts_max: u32,
    pub(crate) is_probe: bool,
    pub(crate) attempts: Vec<Attempt>,
    /// The node took the payment on, as far as its caller knows.
    pub(crate) is_taken_on: bool,
    /// At the end, it was given up for good.
    pub(crate) is_given_up: bool,
    pub(crate) decision: Option<Decision>,
    /// The recipient's node writes the claims itself, channel by channel.
    pub(crate) is_claimed_by_hand: bool,
    /// The claim of all parts that the recipient asked its driver for.
    pub(crate) claim: Option<Claim>,
    /// What the user was told, in order.
    pub(crate) told: Vec<(EventKind, Event)>,
    /// Events of which the node durably knows that they were handled.
    pub(crate) acknowledged: Vec<EventKind>,
    /// A release is durable: it is never told again.
    pub(crate) is_over: bool,
    /// What a query said.
    pub(crate) answered: Option<Outcome>,
}

impl Deal {
    /// Returns the last word that the user was given, if there is one.
    pub(crate) fn word(&self) -> Option<EventKind> {
        let terminal = |kind: &&EventKind| kind.is_terminal() && **kind != EventKind::Unknown;
        self.told.iter().map(|(kind, _)| kind).find(terminal).copied()
    }

    /// Says whether an HTLC of it ever was durable.
    pub(crate) fn ever_left(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.exists == Some(true))
    }

    /// Visits the first HTLCs of every attempt that left.
    pub(crate) fn legs(&self) -> impl Iterator<Item = (usize, Name)> + '_ {
        let left = self.attempts.iter().filter(|attempt| attempt.exists == Some(true));
        left.flat_map(|attempt| attempt.legs.iter().copied())
    }
}
