//! Forgetting (rule R10): an HTLC that is settled leaves the ledger in the commit that makes it
//! possible, and what may still be asked about it stays in a smaller form.
//!
//! ```text
//!   in an open channel, an HTLC in no commitment that the state holds
//!       offered and told of    ─► Tombstone, if it was part of a payment ┐
//!       received, removed and,  ─►                                       ├─► PastHtlc, if a revoked
//!         if claimed, told of                                            ┘   commitment may hold it
//!   once the funding is spent, or we decided to fail the channel
//!       nothing: the monitor is archived as a whole
//! ```
//!
//! There is no record of it: whoever folds the log forgets at the same places.

use lastword_types::{
    Bug, HtlcDirection, HtlcFailure, HtlcOrigin, HtlcState, MonitorState, PastHtlc, Told, Tombstone,
};

use crate::index::{self, Index};
use crate::marks::HtlcRef;
use crate::received;

/// Says whether an HTLC may be forgotten.
pub(crate) fn may_forget(
    state: &MonitorState,
    index: &Index,
    key: HtlcRef,
    htlc: &HtlcState,
) -> bool {
    !index::is_closed(state) && !index.standing.contains(&key) && is_over(htlc)
}

/// Says whether nobody has to be told anything more of an HTLC that stands in no commitment.
fn is_over(htlc: &HtlcState) -> bool {
    match htlc.htlc.direction {
        // A forward that was failed back early can still be paid for by us, and then that is said.
        HtlcDirection::Offered => {
            (htlc.delivered.is_some() || Bug::ForgottenBeforeTold.is_planted())
                && htlc.failed != Some(HtlcFailure::FailedBack)
        }
        // Its removal is then irrevocable, for the peer has revoked the last commitment with it.
        HtlcDirection::Received => htlc.removal.is_some() && !received::is_untold(htlc),
    }
}

/// Says whether an id is one that was given and is forgotten, as far as ids tell: they rise.
///
/// Source: BOLT 2, `update_add_htlc`.
pub(crate) fn is_spent_id(state: &MonitorState, key @ (direction, htlc_id): HtlcRef) -> bool {
    let highest = state.forgotten.get(&direction);
    highest.is_some_and(|highest| htlc_id <= *highest) && !state.htlcs.contains_key(&key)
}

/// Takes an HTLC out of the ledger and keeps what may still be asked about it.
pub(crate) fn forget(state: &mut MonitorState, index: &mut Index, key: HtlcRef) {
    let Some(htlc) = state.htlcs.remove(&key) else { return };
    let (direction, htlc_id) = key;
    let highest = state.forgotten.entry(direction).or_insert(htlc_id);
    *highest = (*highest).max(htlc_id);
    if let Some(past) = past(state, &htlc) {
        state.past.insert(key, past);
    }
    if let Some(tombstone) = tombstone(&htlc) {
        index.bury(htlc_id, &tombstone);
        state.tombstones.insert(htlc_id, tombstone);
    }
    if index.leave(key, &htlc) {
        state.preimages.remove(&htlc.htlc.payment_hash);
    }
}

/// What a revoked commitment that held the HTLC asks for, if one may have an output for it.
///
/// Source: BOLT 3, "Trimmed Outputs": below the dust limit there is none at any fee rate.
fn past(state: &MonitorState, htlc: &HtlcState) -> Option<PastHtlc> {
    let spell = htlc.remote?;
    let amount = htlc.htlc.amount_msat.to_sat_floor();
    (amount >= state.parameters.remote.dust_limit).then_some(PastHtlc {
        payment_hash160: htlc.htlc.payment_hash.hash160(),
        amount,
        cltv_expiry: htlc.htlc.cltv_expiry,
        from: spell.from,
        // It stands in none of the peer's commitments, so it has left them.
        until: spell.until?,
        is_failed: htlc.failed.is_some(),
    })
}

fn tombstone(htlc: &HtlcState) -> Option<Tombstone> {
    let delivered = htlc.delivered.filter(|_| !Bug::TombstoneNotKept.is_planted());
    match (&htlc.htlc.origin, delivered) {
        (HtlcOrigin::Payment(origin), Some(Told::Payment { generation, outcome })) => {
            Some(Tombstone { payment_id: origin.payment_id, generation, outcome })
        }
        (HtlcOrigin::Payment(_), Some(Told::Forward | Told::Claimed) | None)
        | (HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. }, _) => None,
    }
}
