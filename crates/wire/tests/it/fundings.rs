//! Arbitrary commitments, on one funding of a channel and on several.

use bitcoin::Amount;
use lastword_types::{
    Funding, FundingKind, LocalCommitment, LocalCommitmentOn, NewFunding, RemoteCommitment,
    RemoteCommitmentOn,
};
use proptest::option;
use proptest::prelude::{BoxedStrategy, Just, Strategy, any, prop_oneof};

use crate::strategies::{added, block, integer, key, outpoint, removed, signed, unsigned};

pub(crate) fn local() -> BoxedStrategy<LocalCommitment> {
    (signed(), added(), removed())
        .prop_map(|(signed, added, removed)| LocalCommitment {
            number: signed.commitment.number,
            per_commitment_point: signed.commitment.per_commitment_point,
            feerate_per_kw: signed.commitment.feerate_per_kw,
            to_local_msat: signed.commitment.to_local_msat,
            to_remote_msat: signed.commitment.to_remote_msat,
            added,
            removed,
            signature: signed.signature,
            htlc_signatures: signed.htlc_signatures,
        })
        .boxed()
}

pub(crate) fn remote() -> BoxedStrategy<RemoteCommitment> {
    (unsigned(), added(), removed())
        .prop_map(|(commitment, added, removed)| RemoteCommitment {
            number: commitment.number,
            per_commitment_point: commitment.per_commitment_point,
            feerate_per_kw: commitment.feerate_per_kw,
            to_local_msat: commitment.to_local_msat,
            to_remote_msat: commitment.to_remote_msat,
            added,
            removed,
        })
        .boxed()
}

fn funding_kind() -> impl Strategy<Value = FundingKind> {
    prop_oneof![Just(FundingKind::Splice), Just(FundingKind::Replacement)]
}

pub(crate) fn local_on() -> impl Strategy<Value = LocalCommitmentOn> {
    signed().prop_map(|signed| LocalCommitmentOn {
        number: signed.commitment.number,
        to_local_msat: signed.commitment.to_local_msat,
        to_remote_msat: signed.commitment.to_remote_msat,
        signature: signed.signature,
        htlc_signatures: signed.htlc_signatures,
    })
}

pub(crate) fn remote_on() -> impl Strategy<Value = RemoteCommitmentOn> {
    unsigned().prop_map(|commitment| RemoteCommitmentOn {
        number: commitment.number,
        to_local_msat: commitment.to_local_msat,
        to_remote_msat: commitment.to_remote_msat,
    })
}

pub(crate) fn new_funding() -> impl Strategy<Value = NewFunding> {
    (outpoint(), integer(), [key(), key()], funding_kind(), local_on(), remote_on()).prop_map(
        |(funding_outpoint, amount, [ours, theirs], kind, local, remote)| NewFunding {
            funding_outpoint,
            funding_amount: Amount::from_sat(amount),
            local_funding_pubkey: ours,
            remote_funding_pubkey: theirs,
            kind,
            local,
            remote,
        },
    )
}

pub(crate) fn funding() -> impl Strategy<Value = Funding> {
    let commitments = (signed(), option::of(signed()), unsigned(), option::of(unsigned()));
    (new_funding(), commitments, any::<bool>(), option::of(block())).prop_map(
        |(new, (local, local_previous, remote, remote_previous), is_retired, confirmed)| Funding {
            funding_outpoint: new.funding_outpoint,
            funding_amount: new.funding_amount,
            local_funding_pubkey: new.local_funding_pubkey,
            remote_funding_pubkey: new.remote_funding_pubkey,
            kind: new.kind,
            is_retired,
            local,
            local_previous,
            remote,
            remote_previous,
            confirmed,
        },
    )
}
