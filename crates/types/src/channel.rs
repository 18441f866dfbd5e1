//! What a channel is for its whole life: keys, funding, format.

use bitcoin::secp256k1::PublicKey;
use bitcoin::{Amount, OutPoint};
use serde::{Deserialize, Serialize};

use crate::id::ChannelId;

/// One of the two nodes of a channel, seen from the node that runs Lastword.
///
/// As the owner of a commitment transaction it says whose transaction it is (BOLT 3: only its owner
/// can broadcast it).
///
/// Source: BOLT 5, "local node" and "remote node".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// This node.
    Local,
    /// The peer.
    Remote,
}

impl Side {
    /// Returns the other side.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Local => Self::Remote,
            Self::Remote => Self::Local,
        }
    }
}

/// The blocks that a side must wait before it may spend its own output.
///
/// Source: BOLT 2, `to_self_delay`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ToSelfDelay(pub u16);

/// The shape of a channel's commitment transactions.
///
/// A format more is a variant here and a file more in `bolt3`.
///
/// Source: BOLT 3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CommitmentFormat {
    /// `option_static_remotekey`: `to_remote` pays a key that never changes.
    StaticRemoteKey,
    /// `option_anchors`: two anchor outputs, HTLC transactions without a fee of their own.
    AnchorsZeroFeeHtlc,
    /// `zero_fee_commitments`: version 3, no fee at all, one anchor that anybody may spend.
    ZeroFee,
}

/// What one side brought into the channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelSide {
    /// Signs the funding output.
    pub funding_pubkey: PublicKey,
    /// Paid by the other side's penalty and by nobody else.
    pub revocation_basepoint: PublicKey,
    /// Receives `to_remote` of the other side's commitments.
    pub payment_basepoint: PublicKey,
    /// Receives `to_local` of its own commitments.
    pub delayed_payment_basepoint: PublicKey,
    /// Signs HTLC outputs.
    pub htlc_basepoint: PublicKey,
    /// Outputs below it do not exist in this side's commitments.
    pub dust_limit: Amount,
    /// The delay on this side's own outputs in its own commitments, as the other side demanded.
    pub to_self_delay: ToSelfDelay,
}

/// A channel's facts: fixed, but for the funding, which changes when a splice is locked.
///
/// Source: BOLT 2, channel establishment; BOLT 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChannelParameters {
    /// Its name.
    pub channel_id: ChannelId,
    /// The output that holds its funds: that of the funding which both sides have locked.
    pub funding_outpoint: OutPoint,
    /// The value of that output.
    pub funding_amount: Amount,
    /// The shape of its commitment transactions.
    pub format: CommitmentFormat,
    /// Who opened it: pays commitment fees and comes first in the obscuring factor.
    pub opener: Side,
    /// This node's half.
    pub local: ChannelSide,
    /// The peer's half.
    pub remote: ChannelSide,
}

impl ChannelParameters {
    /// Returns one side's half.
    pub fn side(&self, side: Side) -> &ChannelSide {
        match side {
            Side::Local => &self.local,
            Side::Remote => &self.remote,
        }
    }
}
