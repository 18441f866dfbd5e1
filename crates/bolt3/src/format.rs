//! [`FormatRules`]: everything in which the commitment formats differ, one file for each format.
//!
//! A format more is a variant of [`CommitmentFormat`], a file below this one, and a line in
//! [`rules`]; nothing else asks which format it is.

use bitcoin::secp256k1::PublicKey;
use bitcoin::transaction::Version;
use bitcoin::{Amount, EcdsaSighashType, ScriptBuf};
use lastword_types::{CommitmentFormat, FeeRatePerKw};

mod anchors;
mod static_remote_key;
mod zero_fee;

/// The facts of one commitment format.
///
/// # Units
///
/// Weights are the expected weights of BOLT 3, Appendix A, with signatures of 73 bytes: what fees
/// are computed from. Real transactions weigh a little less.
///
/// Source: BOLT 3.
#[derive(Debug, Clone, Copy)]
pub struct FormatRules {
    /// The version of commitment and HTLC transactions. Version 3 binds them to the rules of
    /// [`TRUC_PARENT_MAX_VSIZE`] and [`TRUC_CHILD_MAX_VSIZE`].
    pub version: Version,
    /// The most HTLCs that one side may have offered in one commitment.
    pub max_accepted_htlcs: usize,
    /// Whether a commitment transaction pays a fee, which its opener pays.
    pub commitment_pays_fee: bool,
    /// The weight of a commitment transaction without HTLCs.
    pub commitment_weight: u64,
    /// What each untrimmed HTLC adds to it.
    pub htlc_output_weight: u64,
    /// The weight of an HTLC-success transaction.
    pub htlc_success_weight: u64,
    /// The weight of an HTLC-timeout transaction.
    pub htlc_timeout_weight: u64,
    /// Whether HTLC transactions pay a fee out of their own output.
    pub htlc_pays_fee: bool,
    /// The outputs by which a child may pay for an unconfirmed commitment.
    pub anchors: Anchors,
    /// What the other side's signature on an HTLC transaction covers.
    pub remote_htlc_sighash: EcdsaSighashType,
    /// The relative lock, in blocks, on `to_remote` and on every spend of an HTLC output but the
    /// one with the revocation key; 0 for none.
    pub csv_blocks: u16,
    /// Makes the script of `to_remote`: the witness script, or the script pubkey of a key hash.
    pub to_remote: fn(&PublicKey) -> ScriptBuf,
}

/// The outputs of a commitment by which a child may pay for it.
///
/// Source: BOLT 3, "Commitment Transaction Outputs".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchors {
    /// None: a commitment confirms by its own fee or not at all.
    None,
    /// One for each side, of this value, which the opener pays.
    OneForEachSide(Amount),
    /// One for everybody (P2A), which takes what the other outputs leave, up to this value.
    Shared(Amount),
}

/// The largest virtual size that nodes relay of a version-3 transaction.
///
/// # Units
///
/// Virtual bytes.
///
/// Source: BIP 431, rule 4.
pub const TRUC_PARENT_MAX_VSIZE: usize = 10_000;

/// The largest virtual size that nodes relay of a version-3 transaction that spends an unconfirmed
/// one.
///
/// # Units
///
/// Virtual bytes.
///
/// Source: BIP 431, rule 5.
pub const TRUC_CHILD_MAX_VSIZE: usize = 1_000;

impl FormatRules {
    /// Returns the fee of a commitment transaction, anchors not counted.
    ///
    /// # Units
    ///
    /// Rounded down to whole satoshi.
    ///
    /// Source: BOLT 3, "Fee Calculation".
    pub fn commitment_fee(&self, feerate_per_kw: FeeRatePerKw, untrimmed_count: usize) -> Amount {
        if !self.commitment_pays_fee {
            return Amount::ZERO;
        }
        // At most 966 HTLCs fit into a commitment; more would only make the fee unpayable.
        let count = u64::try_from(untrimmed_count).unwrap_or(u64::MAX);
        let weight = count.saturating_mul(self.htlc_output_weight);
        feerate_per_kw.fee_floor(weight.saturating_add(self.commitment_weight))
    }

    /// Returns the fee that an HTLC transaction pays out of its own output.
    ///
    /// # Units
    ///
    /// Rounded down to whole satoshi.
    ///
    /// Source: BOLT 3, "Fee Calculation".
    pub fn htlc_fee(&self, feerate_per_kw: FeeRatePerKw, is_success: bool) -> Amount {
        if !self.htlc_pays_fee {
            return Amount::ZERO;
        }
        let weight = if is_success { self.htlc_success_weight } else { self.htlc_timeout_weight };
        feerate_per_kw.fee_floor(weight)
    }
}

/// Returns the facts of a format.
///
/// Source: BOLT 3.
pub fn rules(format: CommitmentFormat) -> &'static FormatRules {
    match format {
        CommitmentFormat::StaticRemoteKey => &static_remote_key::RULES,
        CommitmentFormat::AnchorsZeroFeeHtlc => &anchors::RULES,
        CommitmentFormat::ZeroFee => &zero_fee::RULES,
    }
}

/// Returns what the other side's signature on an HTLC transaction covers. Our own is always
/// `SIGHASH_ALL`.
///
/// Source: BOLT 5, "Generation of HTLC Transactions".
pub fn remote_htlc_sighash(format: CommitmentFormat) -> EcdsaSighashType {
    rules(format).remote_htlc_sighash
}
