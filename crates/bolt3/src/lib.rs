#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

pub mod commitment;
pub mod error;
pub mod format;
pub mod keys;
pub mod read;
pub mod scripts;
pub mod secrets;
pub mod signer;
pub mod verify;
pub mod witness;

mod curve;
mod sighash;

pub use commitment::{
    CommitmentInput, CommitmentOutput, CommitmentTx, HtlcTx, MAX_ACCEPTED_HTLCS, OutputKind,
    build_commitment, commitment_number, obscuring_factor,
};
pub use error::Bolt3Error;
pub use format::{
    Anchors, FormatRules, TRUC_CHILD_MAX_VSIZE, TRUC_PARENT_MAX_VSIZE, remote_htlc_sighash, rules,
};
pub use keys::{
    CommitmentKeys, derive_private_key, derive_public_key, derive_revocation_private_key,
    derive_revocation_public_key,
};
pub use read::{HtlcFacts, ReadCommitment, read_commitment, read_static_outputs};
pub use scripts::{funding_script, script_pubkey};
pub use secrets::{SecretStore, generate_from_seed, point_of};
pub use signer::{ChannelKeys, InMemorySigner, sign_commitment};
pub use verify::verify_commitment;
pub use witness::{
    HtlcSpend, anchor_witness, delayed_witness, funding_witness, htlc_preimage_witness,
    htlc_revocation_witness, htlc_timeout_witness, htlc_witness, payment_key_hash_witness,
    payment_key_witness, read_htlc_spend, read_past_htlc_spend, revocation_witness,
};
