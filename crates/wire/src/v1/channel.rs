//! A channel's fixed facts, and commitments without their HTLCs.

use bitcoin::Amount;
use lastword_types::{
    self as types, AmountMsat, ChannelId, CommitmentFormat, CommitmentNumber, FeeRatePerKw, Side,
    ToSelfDelay,
};
use serde::{Deserialize, Serialize};

use super::chain::OutPoint;
use super::prim::{CompactSignature, Point, Signatures};

/// One side's half of a channel; amounts in satoshi.
#[derive(Serialize, Deserialize)]
struct ChannelSide {
    funding_pubkey: Point,
    revocation_basepoint: Point,
    payment_basepoint: Point,
    delayed_payment_basepoint: Point,
    htlc_basepoint: Point,
    dust_limit_sat: u64,
    to_self_delay: ToSelfDelay,
}

impl From<&types::ChannelSide> for ChannelSide {
    fn from(side: &types::ChannelSide) -> Self {
        Self {
            funding_pubkey: Point(side.funding_pubkey),
            revocation_basepoint: Point(side.revocation_basepoint),
            payment_basepoint: Point(side.payment_basepoint),
            delayed_payment_basepoint: Point(side.delayed_payment_basepoint),
            htlc_basepoint: Point(side.htlc_basepoint),
            dust_limit_sat: side.dust_limit.to_sat(),
            to_self_delay: side.to_self_delay,
        }
    }
}

impl From<ChannelSide> for types::ChannelSide {
    fn from(side: ChannelSide) -> Self {
        Self {
            funding_pubkey: side.funding_pubkey.0,
            revocation_basepoint: side.revocation_basepoint.0,
            payment_basepoint: side.payment_basepoint.0,
            delayed_payment_basepoint: side.delayed_payment_basepoint.0,
            htlc_basepoint: side.htlc_basepoint.0,
            dust_limit: Amount::from_sat(side.dust_limit_sat),
            to_self_delay: side.to_self_delay,
        }
    }
}

/// A channel's fixed facts; amounts in satoshi.
#[derive(Serialize, Deserialize)]
pub(crate) struct ChannelParameters {
    channel_id: ChannelId,
    funding_outpoint: OutPoint,
    funding_amount_sat: u64,
    format: CommitmentFormat,
    opener: Side,
    local: ChannelSide,
    remote: ChannelSide,
}

impl From<&types::ChannelParameters> for ChannelParameters {
    fn from(parameters: &types::ChannelParameters) -> Self {
        Self {
            channel_id: parameters.channel_id,
            funding_outpoint: parameters.funding_outpoint.into(),
            funding_amount_sat: parameters.funding_amount.to_sat(),
            format: parameters.format,
            opener: parameters.opener,
            local: (&parameters.local).into(),
            remote: (&parameters.remote).into(),
        }
    }
}

impl From<ChannelParameters> for types::ChannelParameters {
    fn from(parameters: ChannelParameters) -> Self {
        Self {
            channel_id: parameters.channel_id,
            funding_outpoint: parameters.funding_outpoint.into(),
            funding_amount: Amount::from_sat(parameters.funding_amount_sat),
            format: parameters.format,
            opener: parameters.opener,
            local: parameters.local.into(),
            remote: parameters.remote.into(),
        }
    }
}

/// A commitment without its HTLCs and signatures.
#[derive(Serialize, Deserialize)]
pub(crate) struct Commitment {
    pub(crate) number: CommitmentNumber,
    pub(crate) per_commitment_point: Point,
    pub(crate) feerate_per_kw: FeeRatePerKw,
    pub(crate) to_local_msat: AmountMsat,
    pub(crate) to_remote_msat: AmountMsat,
}

impl From<&types::UnsignedCommitment> for Commitment {
    fn from(commitment: &types::UnsignedCommitment) -> Self {
        Self {
            number: commitment.number,
            per_commitment_point: Point(commitment.per_commitment_point),
            feerate_per_kw: commitment.feerate_per_kw,
            to_local_msat: commitment.to_local_msat,
            to_remote_msat: commitment.to_remote_msat,
        }
    }
}

impl From<Commitment> for types::UnsignedCommitment {
    fn from(commitment: Commitment) -> Self {
        Self {
            number: commitment.number,
            per_commitment_point: commitment.per_commitment_point.0,
            feerate_per_kw: commitment.feerate_per_kw,
            to_local_msat: commitment.to_local_msat,
            to_remote_msat: commitment.to_remote_msat,
        }
    }
}

/// A commitment of ours with the peer's signatures.
#[derive(Serialize, Deserialize)]
pub(crate) struct SignedCommitment {
    commitment: Commitment,
    signature: CompactSignature,
    htlc_signatures: Signatures,
}

impl From<&types::SignedCommitment> for SignedCommitment {
    fn from(signed: &types::SignedCommitment) -> Self {
        Self {
            commitment: (&signed.commitment).into(),
            signature: CompactSignature(signed.signature),
            htlc_signatures: Signatures(signed.htlc_signatures.clone()),
        }
    }
}

impl From<SignedCommitment> for types::SignedCommitment {
    fn from(signed: SignedCommitment) -> Self {
        Self {
            commitment: signed.commitment.into(),
            signature: signed.signature.0,
            htlc_signatures: signed.htlc_signatures.0,
        }
    }
}
