//! `option_static_remotekey`: every fee is agreed in advance, `to_remote` pays a key hash.

use bitcoin::EcdsaSighashType;
use bitcoin::transaction::Version;

use super::{Anchors, FormatRules};
use crate::commitment::MAX_ACCEPTED_HTLCS;
use crate::scripts;

pub(super) static RULES: FormatRules = FormatRules {
    version: Version::TWO,
    max_accepted_htlcs: MAX_ACCEPTED_HTLCS,
    commitment_pays_fee: true,
    commitment_weight: 724,
    htlc_output_weight: 172,
    htlc_success_weight: 703,
    htlc_timeout_weight: 663,
    htlc_pays_fee: true,
    anchors: Anchors::None,
    remote_htlc_sighash: EcdsaSighashType::All,
    csv_blocks: 0,
    to_remote: scripts::payment_key_hash,
};
