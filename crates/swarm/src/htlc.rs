//! What is true of an HTLC, whoever knows it.

use lastword_types::{HtlcDirection, HtlcId, HtlcOrigin, PaymentPreimage, RemovalReason};

/// An HTLC: which end offered it, and its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Name {
    pub(crate) offerer: usize,
    pub(crate) id: u64,
}

impl Name {
    /// Returns the end that receives it.
    pub(crate) fn receiver(self) -> usize {
        1 - self.offerer
    }

    /// Returns how an end names it.
    pub(crate) fn seen_by(self, end: usize) -> (HtlcDirection, HtlcId) {
        let direction =
            if self.offerer == end { HtlcDirection::Offered } else { HtlcDirection::Received };
        (direction, HtlcId(self.id))
    }
}

/// What an HTLC is a part of.
#[derive(Debug, Clone)]
pub(crate) struct Leg {
    /// Which generation of which payment.
    pub(crate) deal: usize,
    /// The channels from the payer to the recipient.
    pub(crate) route: Vec<usize>,
    /// Which of them this one is in.
    pub(crate) hop: usize,
    /// The HTLC upstream.
    pub(crate) inbound: Option<(usize, Name)>,
    /// The HTLC downstream.
    pub(crate) outbound: Option<(usize, Name)>,
    /// Whether who sends it on names the HTLC downstream as soon as it hears of this one.
    pub(crate) is_named: bool,
    /// The name that it gave.
    pub(crate) reserved: Option<(usize, Name)>,
}

impl Leg {
    /// Says whether it is the downstream half of a forward that was named before it was made.
    pub(crate) fn is_reserved(&self) -> bool {
        self.inbound.is_some() && self.is_named
    }
}

/// What is true of an HTLC, whoever knows it.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Fact {
    pub(crate) amount_msat: u64,
    pub(crate) preimage: PaymentPreimage,
    pub(crate) expiry: u32,
    /// As its offerer's monitor has it.
    pub(crate) origin: HtlcOrigin,
    pub(crate) leg: Leg,
    /// Both ends are bound to it.
    pub(crate) is_committed: bool,
    /// How the receiver wants to remove it.
    pub(crate) wanted: Option<RemovalReason>,
    /// How the receiver has begun to remove it, durably.
    pub(crate) removal: Option<RemovalReason>,
    /// The receiver's monitor was told to claim it.
    pub(crate) is_claimed: bool,
    /// The preimage was shown for this very HTLC, by a message or a transaction.
    pub(crate) is_shown: bool,
    /// The offerer's monitor has durably taken in that it was fulfilled by a message.
    pub(crate) is_fulfilled: bool,
    /// No commitment that the receiver may confirm holds it, and it was failed.
    pub(crate) is_failed: bool,
    /// The offerer of a forward was told to fail the inbound half because time was up.
    pub(crate) is_failed_back: bool,
}
