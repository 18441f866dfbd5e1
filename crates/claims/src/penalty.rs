//! Penalties: which of them share a transaction, and when they go apart.
//!
//! As long as the peer cannot take an output of a revoked commitment, its penalty shares a
//! transaction with others. When that time is near, each goes alone, so that nobody who spends one
//! of them holds up the rest (BOLT 5, "Revoked Transaction Close Handling", V-8 and V-9).

use bitcoin::OutPoint;
use lastword_types::{BlockHeight, ClaimKind, ClaimRequest, SweepWitness};

/// The blocks before its deadline from which on a penalty goes alone.
///
/// Source: BOLT 5, `security_delay`.
pub const SECURITY_DELAY: u32 = 18;

/// Says whether a request takes an output with the revocation key.
pub(crate) fn is_penalty(request: &ClaimRequest) -> bool {
    match &request.kind {
        ClaimKind::Commitment { .. } | ClaimKind::SecondStage { .. } => false,
        ClaimKind::Sweep { witness, .. } => match witness {
            SweepWitness::Revocation { .. } | SweepWitness::HtlcRevocation { .. } => true,
            SweepWitness::Delayed { .. }
            | SweepWitness::PaymentKeyHash { .. }
            | SweepWitness::PaymentKey
            | SweepWitness::Anchor
            | SweepWitness::HtlcPreimage { .. }
            | SweepWitness::HtlcTimeout { .. } => false,
        },
    }
}

/// Says whether a request is a penalty that the peer cannot contest soon.
pub(crate) fn is_unhurried(request: &ClaimRequest, next: BlockHeight) -> bool {
    is_penalty(request)
        && request.deadline.is_none_or(|deadline| deadline > next.plus(SECURITY_DELAY))
}

/// Says whether a request is a penalty that has to go alone.
pub(crate) fn is_pressing(request: &ClaimRequest, next: BlockHeight) -> bool {
    is_penalty(request) && !is_unhurried(request, next)
}

/// Says which request replaces a shared transaction, of those that now go alone: the one with the
/// most to pay with. The others need not pay for that.
///
/// Source: BIP 125, rule 3.
pub(crate) fn heir<'r>(
    claimed: impl Iterator<Item = &'r ClaimRequest>,
    next: BlockHeight,
) -> Option<OutPoint> {
    let pressing = claimed.filter(|request| is_pressing(request, next));
    pressing.map(|request| (request.amount, request.outpoint)).max().map(|(_, heir)| heir)
}
