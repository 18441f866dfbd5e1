//! An HTLC: its facts, its identity and whom it is for.

use alloc::vec::Vec;
use core::fmt;

use bitcoin::hashes::{Hash as _, ripemd160, sha256};
use serde::{Deserialize, Serialize};

use crate::amount::AmountMsat;
use crate::block::BlockHeight;
use crate::id::{ChannelId, Generation, HtlcId, PartIndex, PaymentId, write_hex};
use crate::terms::Terms;

/// The SHA-256 of a preimage.
///
/// Source: BOLT 2, `payment_hash`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PaymentHash(pub [u8; 32]);

impl fmt::Debug for PaymentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaymentHash(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}

impl PaymentHash {
    /// Returns what the scripts of commitment transactions hold of it.
    pub fn hash160(&self) -> PaymentHash160 {
        PaymentHash160(ripemd160::Hash::hash(&self.0).to_byte_array())
    }
}

impl fmt::Display for PaymentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

/// The RIPEMD-160 of a payment hash: all that a commitment transaction shows of it.
///
/// Source: BOLT 3, "Offered HTLC Outputs".
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PaymentHash160(pub [u8; 20]);

impl fmt::Debug for PaymentHash160 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaymentHash160(")?;
        write_hex(f, &self.0)?;
        f.write_str(")")
    }
}

/// The secret that takes an HTLC; it does not show itself in `Debug`.
///
/// Source: BOLT 0, payment preimage.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PaymentPreimage(pub [u8; 32]);

impl PaymentPreimage {
    /// Returns the hash that this preimage opens.
    pub fn payment_hash(&self) -> PaymentHash {
        PaymentHash(sha256::Hash::hash(&self.0).to_byte_array())
    }
}

impl fmt::Debug for PaymentPreimage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PaymentPreimage(..)")
    }
}

/// Who offered an HTLC, seen from this node, whichever commitment it stands in.
///
/// Source: BOLT 3, offered and received HTLCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HtlcDirection {
    /// This node offered it and pays.
    Offered,
    /// The peer offered it and this node may claim.
    Received,
}

/// The identity of an HTLC; never the hash, never (hash, amount).
///
/// Source: `docs/INVARIANTS.md`, I12.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HtlcKey {
    /// The channel.
    pub channel_id: ChannelId,
    /// Who offered it.
    pub direction: HtlcDirection,
    /// Its id among those that this side offered.
    pub htlc_id: HtlcId,
}

/// An HTLC as it was added to a channel.
///
/// Source: BOLT 2, `update_add_htlc`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Htlc {
    /// Who offered it.
    pub direction: HtlcDirection,
    /// Its id.
    pub htlc_id: HtlcId,
    /// Its amount.
    pub amount_msat: AmountMsat,
    /// What its preimage must hash to.
    pub payment_hash: PaymentHash,
    /// The height from which its offerer may take it back.
    pub cltv_expiry: BlockHeight,
    /// Whom it is for.
    pub origin: HtlcOrigin,
}

/// Whom an HTLC is for, so that monitors alone can tell the whole story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum HtlcOrigin {
    /// Offered: a part of a payment of our own.
    Payment(PaymentOrigin),
    /// Offered: the outbound half of a forward.
    Forward(ForwardOrigin),
    /// Received: pays an invoice of our own.
    Ours,
    /// Received: the inbound half of a forward.
    Forwarded {
        /// The outbound half, once it exists.
        outbound: HtlcKey,
    },
}

/// The part of a payment that an offered HTLC carries.
///
/// The fields of a terminal event are a pure function of these and, for sent, the preimage: a
/// payment rebuilt without any book reports the same events, field for field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PaymentOrigin {
    /// The caller's key.
    pub payment_id: PaymentId,
    /// The incarnation of that key.
    pub generation: Generation,
    /// Counts retries within the generation, from 0.
    pub attempt: u32,
    /// Which part of the attempt.
    pub part: PartIndex,
    /// The channels of all parts of the attempt, by part.
    pub part_channels: Vec<ChannelId>,
    /// What this part delivers to the recipient; the HTLC's amount less this is the part's fee.
    pub part_amount_msat: AmountMsat,
    /// What all parts deliver to the recipient.
    pub total_msat: AmountMsat,
    /// The fee agreed for all parts of the attempt.
    pub fee_msat: AmountMsat,
    /// The caller's data, with the first part; the others carry its hash.
    pub metadata: Metadata,
    /// What the payment is for, how often it may be tried, and where it was tried before.
    pub terms: Terms,
}

/// The caller's data about a payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Metadata {
    /// The data itself; in the first part of an attempt.
    Here(Vec<u8>),
    /// Its SHA-256; in the other parts.
    Hash([u8; 32]),
}

impl Metadata {
    /// Returns the form in which every part but the first carries the data.
    #[must_use]
    pub fn hashed(&self) -> Self {
        match self {
            Self::Here(data) => Self::Hash(sha256::Hash::hash(data).to_byte_array()),
            Self::Hash(hash) => Self::Hash(*hash),
        }
    }
}

/// The inbound half of a forward, kept with the outbound half.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardOrigin {
    /// The inbound HTLC.
    pub inbound: HtlcKey,
    /// Its amount.
    pub inbound_amount_msat: AmountMsat,
    /// Its expiry.
    pub inbound_cltv_expiry: BlockHeight,
}
