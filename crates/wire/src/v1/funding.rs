//! Several fundings of one channel.

use bitcoin::Amount;
use lastword_types::{self as types, AmountMsat, CommitmentNumber, FundingKind};
use serde::{Deserialize, Serialize};

use super::chain::{BlockRef, OutPoint};
use super::channel::{Commitment, SignedCommitment};
use super::prim::{CompactSignature, Point, Signatures};

/// A funding output; its amount in satoshi.
#[derive(Serialize, Deserialize)]
struct FundingOutput {
    funding_outpoint: OutPoint,
    funding_amount_sat: u64,
    local_funding_pubkey: Point,
    remote_funding_pubkey: Point,
    kind: FundingKind,
}

/// A funding besides the locked one, with the commitments on it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Funding {
    output: FundingOutput,
    is_retired: bool,
    local: SignedCommitment,
    local_previous: Option<SignedCommitment>,
    remote: Commitment,
    remote_previous: Option<Commitment>,
    confirmed: Option<BlockRef>,
}

impl From<&types::Funding> for Funding {
    fn from(funding: &types::Funding) -> Self {
        Self {
            output: FundingOutput {
                funding_outpoint: funding.funding_outpoint.into(),
                funding_amount_sat: funding.funding_amount.to_sat(),
                local_funding_pubkey: Point(funding.local_funding_pubkey),
                remote_funding_pubkey: Point(funding.remote_funding_pubkey),
                kind: funding.kind,
            },
            is_retired: funding.is_retired,
            local: (&funding.local).into(),
            local_previous: funding.local_previous.as_ref().map(Into::into),
            remote: (&funding.remote).into(),
            remote_previous: funding.remote_previous.as_ref().map(Into::into),
            confirmed: funding.confirmed.map(Into::into),
        }
    }
}

impl From<Funding> for types::Funding {
    fn from(funding: Funding) -> Self {
        Self {
            funding_outpoint: funding.output.funding_outpoint.into(),
            funding_amount: Amount::from_sat(funding.output.funding_amount_sat),
            local_funding_pubkey: funding.output.local_funding_pubkey.0,
            remote_funding_pubkey: funding.output.remote_funding_pubkey.0,
            kind: funding.output.kind,
            is_retired: funding.is_retired,
            local: funding.local.into(),
            local_previous: funding.local_previous.map(Into::into),
            remote: funding.remote.into(),
            remote_previous: funding.remote_previous.map(Into::into),
            confirmed: funding.confirmed.map(Into::into),
        }
    }
}

/// A funding that both sides have signed first commitments for.
#[derive(Serialize, Deserialize)]
pub(crate) struct NewFunding {
    output: FundingOutput,
    local: LocalCommitmentOn,
    remote: RemoteCommitmentOn,
}

impl From<&types::NewFunding> for NewFunding {
    fn from(new: &types::NewFunding) -> Self {
        Self {
            output: FundingOutput {
                funding_outpoint: new.funding_outpoint.into(),
                funding_amount_sat: new.funding_amount.to_sat(),
                local_funding_pubkey: Point(new.local_funding_pubkey),
                remote_funding_pubkey: Point(new.remote_funding_pubkey),
                kind: new.kind,
            },
            local: (&new.local).into(),
            remote: (&new.remote).into(),
        }
    }
}

impl From<NewFunding> for types::NewFunding {
    fn from(new: NewFunding) -> Self {
        Self {
            funding_outpoint: new.output.funding_outpoint.into(),
            funding_amount: Amount::from_sat(new.output.funding_amount_sat),
            local_funding_pubkey: new.output.local_funding_pubkey.0,
            remote_funding_pubkey: new.output.remote_funding_pubkey.0,
            kind: new.output.kind,
            local: new.local.into(),
            remote: new.remote.into(),
        }
    }
}

/// A commitment of ours on one more funding.
#[derive(Serialize, Deserialize)]
pub(crate) struct LocalCommitmentOn {
    number: CommitmentNumber,
    to_local_msat: AmountMsat,
    to_remote_msat: AmountMsat,
    signature: CompactSignature,
    htlc_signatures: Signatures,
}

impl From<&types::LocalCommitmentOn> for LocalCommitmentOn {
    fn from(local: &types::LocalCommitmentOn) -> Self {
        Self {
            number: local.number,
            to_local_msat: local.to_local_msat,
            to_remote_msat: local.to_remote_msat,
            signature: CompactSignature(local.signature),
            htlc_signatures: Signatures(local.htlc_signatures.clone()),
        }
    }
}

impl From<LocalCommitmentOn> for types::LocalCommitmentOn {
    fn from(local: LocalCommitmentOn) -> Self {
        Self {
            number: local.number,
            to_local_msat: local.to_local_msat,
            to_remote_msat: local.to_remote_msat,
            signature: local.signature.0,
            htlc_signatures: local.htlc_signatures.0,
        }
    }
}

/// A commitment of the peer on one more funding.
#[derive(Serialize, Deserialize)]
pub(crate) struct RemoteCommitmentOn {
    number: CommitmentNumber,
    to_local_msat: AmountMsat,
    to_remote_msat: AmountMsat,
}

impl From<&types::RemoteCommitmentOn> for RemoteCommitmentOn {
    fn from(remote: &types::RemoteCommitmentOn) -> Self {
        let types::RemoteCommitmentOn { number, to_local_msat, to_remote_msat } = *remote;
        Self { number, to_local_msat, to_remote_msat }
    }
}

impl From<RemoteCommitmentOn> for types::RemoteCommitmentOn {
    fn from(remote: RemoteCommitmentOn) -> Self {
        let RemoteCommitmentOn { number, to_local_msat, to_remote_msat } = remote;
        Self { number, to_local_msat, to_remote_msat }
    }
}
