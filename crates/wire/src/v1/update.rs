//! The steps of a monitor update.

use alloc::boxed::Box;

use lastword_types::{
    self as types, CommitmentNumber, HtlcDirection, HtlcId, HtlcRemoved, PaymentPreimage,
    PerCommitmentSecret,
};
use serde::{Deserialize, Serialize};

use super::chain::WireTxid;
use super::channel::Commitment;
use super::funding::{LocalCommitmentOn, NewFunding, RemoteCommitmentOn};
use super::htlc::Htlc;
use super::prim::{CompactSignature, List, Point, Signatures};

/// One thing that happened in a channel.
#[derive(Serialize, Deserialize)]
pub(crate) enum UpdateStep {
    LocalCommitment(LocalCommitment),
    RemoteCommitment(RemoteCommitment),
    RemoteRevocation { number: CommitmentNumber, secret: PerCommitmentSecret },
    Fulfill { htlc_id: HtlcId, preimage: PaymentPreimage },
    Preimage { preimage: PaymentPreimage },
    MutualClose { txid: WireTxid },
    FailChannel,
    DataLoss,
    NewFunding(Box<NewFunding>),
    FundingLocked { funding_txid: WireTxid },
    LocalCommitmentOn { funding_txid: WireTxid, commitment: LocalCommitmentOn },
    RemoteCommitmentOn { funding_txid: WireTxid, commitment: RemoteCommitmentOn },
    ClaimHtlc { htlc_id: HtlcId, preimage: PaymentPreimage },
}

impl From<&types::UpdateStep> for UpdateStep {
    fn from(step: &types::UpdateStep) -> Self {
        match step {
            types::UpdateStep::LocalCommitment(local) => Self::LocalCommitment(local.into()),
            types::UpdateStep::RemoteCommitment(remote) => Self::RemoteCommitment(remote.into()),
            types::UpdateStep::RemoteRevocation { number, secret } => {
                Self::RemoteRevocation { number: *number, secret: *secret }
            }
            types::UpdateStep::Fulfill { htlc_id, preimage } => {
                Self::Fulfill { htlc_id: *htlc_id, preimage: *preimage }
            }
            types::UpdateStep::Preimage { preimage } => Self::Preimage { preimage: *preimage },
            types::UpdateStep::MutualClose { txid } => Self::MutualClose { txid: (*txid).into() },
            types::UpdateStep::FailChannel => Self::FailChannel,
            types::UpdateStep::DataLoss => Self::DataLoss,
            types::UpdateStep::NewFunding(new) => {
                Self::NewFunding(Box::new(NewFunding::from(&**new)))
            }
            types::UpdateStep::FundingLocked { funding_txid } => {
                Self::FundingLocked { funding_txid: (*funding_txid).into() }
            }
            types::UpdateStep::LocalCommitmentOn { funding_txid, commitment } => {
                Self::LocalCommitmentOn {
                    funding_txid: (*funding_txid).into(),
                    commitment: commitment.into(),
                }
            }
            types::UpdateStep::RemoteCommitmentOn { funding_txid, commitment } => {
                Self::RemoteCommitmentOn {
                    funding_txid: (*funding_txid).into(),
                    commitment: commitment.into(),
                }
            }
            types::UpdateStep::ClaimHtlc { htlc_id, preimage } => {
                Self::ClaimHtlc { htlc_id: *htlc_id, preimage: *preimage }
            }
        }
    }
}

impl From<UpdateStep> for types::UpdateStep {
    fn from(step: UpdateStep) -> Self {
        match step {
            UpdateStep::LocalCommitment(local) => Self::LocalCommitment(local.into()),
            UpdateStep::RemoteCommitment(remote) => Self::RemoteCommitment(remote.into()),
            UpdateStep::RemoteRevocation { number, secret } => {
                Self::RemoteRevocation { number, secret }
            }
            UpdateStep::Fulfill { htlc_id, preimage } => Self::Fulfill { htlc_id, preimage },
            UpdateStep::Preimage { preimage } => Self::Preimage { preimage },
            UpdateStep::MutualClose { txid } => Self::MutualClose { txid: txid.into() },
            UpdateStep::FailChannel => Self::FailChannel,
            UpdateStep::DataLoss => Self::DataLoss,
            UpdateStep::NewFunding(new) => Self::NewFunding(Box::new((*new).into())),
            UpdateStep::FundingLocked { funding_txid } => {
                Self::FundingLocked { funding_txid: funding_txid.into() }
            }
            UpdateStep::LocalCommitmentOn { funding_txid, commitment } => Self::LocalCommitmentOn {
                funding_txid: funding_txid.into(),
                commitment: commitment.into(),
            },
            UpdateStep::RemoteCommitmentOn { funding_txid, commitment } => {
                Self::RemoteCommitmentOn {
                    funding_txid: funding_txid.into(),
                    commitment: commitment.into(),
                }
            }
            UpdateStep::ClaimHtlc { htlc_id, preimage } => Self::ClaimHtlc { htlc_id, preimage },
        }
    }
}

/// A commitment of ours, as the difference to the one before.
#[derive(Serialize, Deserialize)]
pub(crate) struct LocalCommitment {
    commitment: Commitment,
    added: List<HtlcAdded>,
    removed: List<HtlcRemoved>,
    signature: CompactSignature,
    htlc_signatures: Signatures,
}

impl From<&types::LocalCommitment> for LocalCommitment {
    fn from(local: &types::LocalCommitment) -> Self {
        Self {
            commitment: Commitment {
                number: local.number,
                per_commitment_point: Point(local.per_commitment_point),
                feerate_per_kw: local.feerate_per_kw,
                to_local_msat: local.to_local_msat,
                to_remote_msat: local.to_remote_msat,
            },
            added: local.added.iter().map(HtlcAdded::from).collect(),
            removed: List(local.removed.clone()),
            signature: CompactSignature(local.signature),
            htlc_signatures: Signatures(local.htlc_signatures.clone()),
        }
    }
}

impl From<LocalCommitment> for types::LocalCommitment {
    fn from(local: LocalCommitment) -> Self {
        Self {
            number: local.commitment.number,
            per_commitment_point: local.commitment.per_commitment_point.0,
            feerate_per_kw: local.commitment.feerate_per_kw,
            to_local_msat: local.commitment.to_local_msat,
            to_remote_msat: local.commitment.to_remote_msat,
            added: local.added.into_vec(),
            removed: local.removed.0,
            signature: local.signature.0,
            htlc_signatures: local.htlc_signatures.0,
        }
    }
}

/// A commitment of the peer, as the difference to the one before.
#[derive(Serialize, Deserialize)]
pub(crate) struct RemoteCommitment {
    commitment: Commitment,
    added: List<HtlcAdded>,
    removed: List<HtlcRemoved>,
}

impl From<&types::RemoteCommitment> for RemoteCommitment {
    fn from(remote: &types::RemoteCommitment) -> Self {
        Self {
            commitment: Commitment {
                number: remote.number,
                per_commitment_point: Point(remote.per_commitment_point),
                feerate_per_kw: remote.feerate_per_kw,
                to_local_msat: remote.to_local_msat,
                to_remote_msat: remote.to_remote_msat,
            },
            added: remote.added.iter().map(HtlcAdded::from).collect(),
            removed: List(remote.removed.clone()),
        }
    }
}

impl From<RemoteCommitment> for types::RemoteCommitment {
    fn from(remote: RemoteCommitment) -> Self {
        Self {
            number: remote.commitment.number,
            per_commitment_point: remote.commitment.per_commitment_point.0,
            feerate_per_kw: remote.commitment.feerate_per_kw,
            to_local_msat: remote.commitment.to_local_msat,
            to_remote_msat: remote.commitment.to_remote_msat,
            added: remote.added.into_vec(),
            removed: remote.removed.0,
        }
    }
}

/// An HTLC that enters a commitment.
#[derive(Serialize, Deserialize)]
enum HtlcAdded {
    New(Box<Htlc>),
    Known { direction: HtlcDirection, htlc_id: HtlcId },
}

impl From<&types::HtlcAdded> for HtlcAdded {
    fn from(added: &types::HtlcAdded) -> Self {
        match added {
            types::HtlcAdded::New(htlc) => Self::New(Box::new(htlc.into())),
            types::HtlcAdded::Known { direction, htlc_id } => {
                Self::Known { direction: *direction, htlc_id: *htlc_id }
            }
        }
    }
}

impl From<HtlcAdded> for types::HtlcAdded {
    fn from(added: HtlcAdded) -> Self {
        match added {
            HtlcAdded::New(htlc) => Self::New((*htlc).into()),
            HtlcAdded::Known { direction, htlc_id } => Self::Known { direction, htlc_id },
        }
    }
}
