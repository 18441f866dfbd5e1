//! `option_anchors`: two anchors to raise the fee later, HTLC transactions without a fee.
//!
//! Every spend but the owner's own anchor waits one block, so that no chain of unconfirmed
//! transactions can keep a commitment from confirming.

use bitcoin::opcodes::all as op;
use bitcoin::secp256k1::PublicKey;
use bitcoin::transaction::Version;
use bitcoin::{Amount, EcdsaSighashType, ScriptBuf};

use super::{Anchors, FormatRules};
use crate::commitment::MAX_ACCEPTED_HTLCS;
use crate::scripts::builder;

pub(super) static RULES: FormatRules = FormatRules {
    version: Version::TWO,
    max_accepted_htlcs: MAX_ACCEPTED_HTLCS,
    commitment_pays_fee: true,
    commitment_weight: 1124,
    htlc_output_weight: 172,
    htlc_success_weight: 706,
    htlc_timeout_weight: 666,
    htlc_pays_fee: false,
    anchors: Anchors::OneForEachSide(Amount::from_sat(330)),
    remote_htlc_sighash: EcdsaSighashType::SinglePlusAnyoneCanPay,
    csv_blocks: CSV_BLOCKS,
    to_remote,
};

const CSV_BLOCKS: u16 = 1;

fn to_remote(remote_pubkey: &PublicKey) -> ScriptBuf {
    builder(37)
        .push_slice(remote_pubkey.serialize())
        .push_opcode(op::OP_CHECKSIGVERIFY)
        .push_int(i64::from(CSV_BLOCKS))
        .push_opcode(op::OP_CSV)
        .into_script()
}
