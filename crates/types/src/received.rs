//! Received HTLCs that are claimed: with which preimage, and by what right.

use alloc::collections::BTreeSet;

use bitcoin::hashes::{Hash as _, HashEngine as _, sha256};
use serde::{Deserialize, Serialize};

use crate::amount::AmountMsat;
use crate::htlc::{HtlcKey, PaymentHash, PaymentPreimage};
use crate::id::{ChannelId, Generation, HtlcId, PaymentId};
use crate::ledger::LedgerEntry;
use crate::payment::{EventKey, EventKind};

/// Parts of one received payment at most: every one of them names all the others.
///
/// Source: BOLT 2, `max_accepted_htlcs`: no more than these fit into one commitment.
pub const MAX_CLAIM_PARTS: usize = 483;

/// By what right this node shows a preimage for an HTLC that it received.
///
/// An HTLC that is only passing through is never claimed with the preimage of an invoice.
///
/// Source: BOLT 5, "HTLC Output Handling: Local Commitment, Remote Offers".
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PreimageSource {
    /// It is a part of a payment that this node accepted for an invoice of its own.
    Invoice {
        /// All parts, in every channel; so that each monitor tells which others there are.
        parts: BTreeSet<HtlcKey>,
        /// What they are worth together.
        amount_msat: AmountMsat,
    },
    /// It is the inbound half of a forward whose outbound half was fulfilled.
    Downstream {
        /// That half.
        outbound: HtlcKey,
    },
}

/// The claim of HTLCs that one channel received, all of one payment.
///
/// # Shape
///
/// At least one HTLC; of a forward exactly one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HtlcClaim {
    /// The channel.
    pub channel_id: ChannelId,
    /// Those of its received HTLCs that are claimed.
    pub htlc_ids: BTreeSet<HtlcId>,
    /// With this.
    pub preimage: PaymentPreimage,
    /// Why we may.
    pub source: PreimageSource,
}

/// What a ledger knows of one HTLC.
#[expect(
    clippy::large_enum_variant,
    reason = "it lives for one question; a box would be an allocation for each"
)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState<'a> {
    /// The channel never had it.
    Unknown,
    /// It left the channel for good and is forgotten.
    Forgotten,
    /// It has an entry.
    Entry(LedgerEntry<'a>),
}

impl EventKey {
    /// Returns the name of the event that tells of a received payment: the same at every start,
    /// whatever any book knows, and no name of a payment that this node makes.
    ///
    /// # Shape
    ///
    /// Its id is the SHA-256 of `lastword received`, the payment hash, and the channel id and HTLC id
    /// (big-endian) of each part; its generation is the beginning of the payment hash.
    pub fn of_received(payment_hash: PaymentHash, parts: &BTreeSet<HtlcKey>) -> Self {
        let mut engine = sha256::Hash::engine();
        engine.input(b"lastword received");
        engine.input(&payment_hash.0);
        for HtlcKey { channel_id, htlc_id, direction: _ } in parts {
            engine.input(&channel_id.0);
            engine.input(&htlc_id.0.to_be_bytes());
        }
        let digest = sha256::Hash::from_engine(engine).to_byte_array();
        let mut generation = [0; 16];
        generation.iter_mut().zip(payment_hash.0).for_each(|(to, from)| *to = from);
        let (payment_id, generation) = (PaymentId(digest), Generation(generation));
        Self { payment_id, generation, kind: EventKind::Claimed }
    }
}
