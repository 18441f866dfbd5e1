//! [`Bolt3Error`]: why a key, a transaction or a signature cannot be had.

use bitcoin::Amount;
use lastword_ports::SignerError;
use lastword_types::{AmountMsat, BlockHeight, HtlcDirection, HtlcId, SecretIndex};
use thiserror::Error;

/// What these functions refuse.
///
/// Source: BOLT 3.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Bolt3Error {
    /// The inputs of a key derivation give no key: a hash outside the curve's order, or the point
    /// at infinity. Honest keys never do this.
    #[error("the derivation gives no key")]
    NoKey,
    /// A per-commitment secret is zero or outside the curve's order.
    #[error("a per-commitment secret is no private key")]
    NotASecretKey,
    /// A per-commitment secret does not fit the ones received before it: fail the channel.
    #[error("the per-commitment secret of index {} does not fit the others", .index.value())]
    SecretMismatch {
        /// Its index.
        index: SecretIndex,
    },
    /// Per-commitment secrets must come one by one, downwards; `expected` is `None` after index 0.
    #[error("a per-commitment secret of index {} is out of order", .got.value())]
    SecretOutOfOrder {
        /// The only new index that may come.
        expected: Option<SecretIndex>,
        /// The index that came.
        got: SecretIndex,
    },
    /// Stored slots are not what any run of insertions leaves behind.
    #[error("slot {slot} of the stored secrets cannot be")]
    SlotInvalid {
        /// The first slot that is wrong.
        slot: u8,
    },
    /// The balances and HTLCs are not worth the funding output.
    #[error("the commitment is worth {got}, the funding output {expected}")]
    AmountsDoNotSum {
        /// The funding amount.
        expected: AmountMsat,
        /// The sum of balances and HTLCs.
        got: AmountMsat,
    },
    /// A sum of amounts does not fit into its number.
    #[error("the amounts do not fit into their number")]
    AmountOverflow,
    /// The opener cannot pay for the anchors: the outputs are worth more than the funding output.
    #[error("outputs of {outputs} spend a funding output of {funding}")]
    OutputsExceedFunding {
        /// The funding amount.
        funding: Amount,
        /// The sum of the outputs.
        outputs: Amount,
    },
    /// Every output is trimmed, and a transaction must have one.
    #[error("every output of the commitment is trimmed")]
    NoOutputs,
    /// One side offered more HTLCs than BOLT 2 allows.
    #[error("{count} HTLCs in one direction")]
    TooManyHtlcs {
        /// How many.
        count: usize,
    },
    /// An HTLC is named twice.
    #[error("the {direction:?} HTLC {htlc_id} is named twice")]
    DuplicateHtlc {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
    },
    /// An HTLC expires at what is a time and not a height (BOLT 2: below 500,000,000).
    #[error("the {direction:?} HTLC {htlc_id} expires at {cltv_expiry}, which is no height")]
    ExpiryOutOfRange {
        /// Who offered it.
        direction: HtlcDirection,
        /// Its id.
        htlc_id: HtlcId,
        /// Its expiry.
        cltv_expiry: BlockHeight,
    },
    /// The commitment has no such output.
    #[error("the commitment has no output {vout}")]
    NoSuchOutput {
        /// The output that was asked for.
        vout: u32,
    },
    /// The output is not an HTLC.
    #[error("output {vout} of the commitment is not an HTLC")]
    NotAnHtlc {
        /// The output that was asked for.
        vout: u32,
    },
    /// The signature on the commitment is wrong: fail the channel (BOLT 2).
    #[error("the signature on the commitment is wrong")]
    InvalidSignature,
    /// A signature on an HTLC transaction is wrong: fail the channel (BOLT 2).
    #[error("HTLC signature {signature_index} is wrong")]
    InvalidHtlcSignature {
        /// Its place, in output order.
        signature_index: usize,
    },
    /// There must be one signature for each untrimmed HTLC.
    #[error("{got} HTLC signatures for {expected} HTLC outputs")]
    SignatureCount {
        /// The number of untrimmed HTLCs.
        expected: usize,
        /// The number of signatures.
        got: usize,
    },
    /// Our own commitment was to be signed for the peer, who must never have that.
    #[error("this is our own commitment, which the peer must never have signed")]
    OwnCommitment,
    /// A sighash was asked of an input that the transaction does not have, or of a script of
    /// another kind.
    #[error("the transaction has no such input to sign")]
    NoSuchInput,
    /// The signer refused or failed.
    #[error("the signer did not sign")]
    Signer(#[from] SignerError),
}
