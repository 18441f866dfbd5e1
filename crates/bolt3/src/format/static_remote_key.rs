//! `option_static_remotekey`: every fee is agreed in advance, `to_remote` pays a key hash.

use bitcoin::secp256k1::PublicKey;
use bitcoin::{CompressedPublicKey, EcdsaSighashType, ScriptBuf};

use super::FormatRules;

pub(super) static RULES: FormatRules = FormatRules {
    commitment_weight: 724,
    htlc_output_weight: 172,
    htlc_success_weight: 703,
    htlc_timeout_weight: 663,
    htlc_pays_fee: true,
    anchor_amount: None,
    remote_htlc_sighash: EcdsaSighashType::All,
    csv_blocks: 0,
    to_remote,
};

fn to_remote(remote_pubkey: &PublicKey) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&CompressedPublicKey(*remote_pubkey).wpubkey_hash())
}
