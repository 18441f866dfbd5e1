//! `zero_fee_commitments`: version 3, no fee anywhere, one anchor that anybody may spend.
//!
//! The rules of version 3 allow an unconfirmed commitment one small child, which whoever pays more
//! may replace. So nothing can pin it, and no output has to wait a block for its confirmation.
//!
//! Source: BOLT 3 with `zero_fee_commitments`; BIP 431.

use bitcoin::transaction::Version;
use bitcoin::{Amount, EcdsaSighashType};

use super::{Anchors, FormatRules};
use crate::scripts;

pub(super) static RULES: FormatRules = FormatRules {
    version: Version(3),
    // A commitment with more would not fit into the size that version 3 allows.
    max_accepted_htlcs: 114,
    commitment_pays_fee: false,
    // That of `option_static_remotekey`, and the anchor: a value, a length and four bytes.
    commitment_weight: 776,
    htlc_output_weight: 172,
    htlc_success_weight: 703,
    htlc_timeout_weight: 663,
    htlc_pays_fee: false,
    anchors: Anchors::Shared(Amount::from_sat(240)),
    remote_htlc_sighash: EcdsaSighashType::SinglePlusAnyoneCanPay,
    csv_blocks: 0,
    to_remote: scripts::payment_key_hash,
};
