//! The scripts of the funding output and of every output of commitment and HTLC transactions.

use alloc::borrow::ToOwned as _;
use alloc::vec::Vec;

use bitcoin::hashes::{Hash as _, hash160};
use bitcoin::opcodes::all as op;
use bitcoin::script::Builder;
use bitcoin::secp256k1::PublicKey;
use bitcoin::{CompressedPublicKey, Script, ScriptBuf};
use lastword_types::{BlockHeight, CommitmentFormat, PaymentHash, PaymentHash160, ToSelfDelay};

use crate::format::{FormatRules, rules};
use crate::keys::CommitmentKeys;

/// The blocks after which anybody may spend an anchor.
///
/// Source: BOLT 3, "`to_local_anchor` and `to_remote_anchor` Output (`option_anchors`)".
pub const ANCHOR_FREE_FOR_ALL_BLOCKS: u16 = 16;

/// Returns the witness script of the funding output; the order of the keys does not matter.
///
/// Source: BOLT 3, "Funding Transaction Output".
pub fn funding_script(first: &PublicKey, second: &PublicKey) -> ScriptBuf {
    let (first, second) = (first.serialize(), second.serialize());
    let (lesser, greater) = if first <= second { (first, second) } else { (second, first) };
    builder(71)
        .push_opcode(op::OP_PUSHNUM_2)
        .push_slice(lesser)
        .push_slice(greater)
        .push_opcode(op::OP_PUSHNUM_2)
        .push_opcode(op::OP_CHECKMULTISIG)
        .into_script()
}

/// Returns the witness script of `to_local` and of the output of an HTLC transaction.
///
/// Source: BOLT 3, "`to_local` Output".
pub fn to_local(
    revocation_pubkey: &PublicKey,
    delayed_pubkey: &PublicKey,
    to_self_delay: ToSelfDelay,
) -> ScriptBuf {
    builder(80)
        .push_opcode(op::OP_IF)
        .push_slice(revocation_pubkey.serialize())
        .push_opcode(op::OP_ELSE)
        .push_int(i64::from(to_self_delay.0))
        .push_opcode(op::OP_CSV)
        .push_opcode(op::OP_DROP)
        .push_slice(delayed_pubkey.serialize())
        .push_opcode(op::OP_ENDIF)
        .push_opcode(op::OP_CHECKSIG)
        .into_script()
}

/// Returns the script of `to_remote`: the witness script, or the script pubkey itself where the
/// format pays a key hash.
///
/// Source: BOLT 3, "`to_remote` Output".
pub fn to_remote(format: CommitmentFormat, remote_pubkey: &PublicKey) -> ScriptBuf {
    (rules(format).to_remote)(remote_pubkey)
}

/// Returns the script pubkey of `to_remote` in the formats that pay a key hash.
pub(crate) fn payment_key_hash(remote_pubkey: &PublicKey) -> ScriptBuf {
    ScriptBuf::new_p2wpkh(&CompressedPublicKey(*remote_pubkey).wpubkey_hash())
}

/// Returns the script pubkey of the shared anchor (P2A), which anybody spends with an empty witness.
///
/// Source: BOLT 3 with `zero_fee_commitments`, "`shared_anchor` Output".
pub fn shared_anchor() -> ScriptBuf {
    ScriptBuf::from_bytes(SHARED_ANCHOR.to_vec())
}

/// `OP_1 <0x4e73>`.
const SHARED_ANCHOR: [u8; 4] = [0x51, 0x02, 0x4e, 0x73];

/// Returns the witness script of the anchor of the side with this funding key.
///
/// Source: BOLT 3, "`to_local_anchor` and `to_remote_anchor` Output (`option_anchors`)".
pub fn anchor(funding_pubkey: &PublicKey) -> ScriptBuf {
    builder(40)
        .push_slice(funding_pubkey.serialize())
        .push_opcode(op::OP_CHECKSIG)
        .push_opcode(op::OP_IFDUP)
        .push_opcode(op::OP_NOTIF)
        .push_int(i64::from(ANCHOR_FREE_FOR_ALL_BLOCKS))
        .push_opcode(op::OP_CSV)
        .push_opcode(op::OP_ENDIF)
        .into_script()
}

/// Returns the witness script of an HTLC that the owner of the commitment offered.
///
/// Source: BOLT 3, "Offered HTLC Outputs".
pub fn offered_htlc(
    format: CommitmentFormat,
    keys: &CommitmentKeys,
    payment_hash: &PaymentHash,
) -> ScriptBuf {
    HtlcScripts::new(rules(format), keys).offered(payment_hash.hash160())
}

/// Returns the witness script of an HTLC that the owner of the commitment received.
///
/// # Units
///
/// `cltv_expiry` is an absolute height.
///
/// Source: BOLT 3, "Received HTLC Outputs".
pub fn received_htlc(
    format: CommitmentFormat,
    keys: &CommitmentKeys,
    payment_hash: &PaymentHash,
    cltv_expiry: BlockHeight,
) -> ScriptBuf {
    HtlcScripts::new(rules(format), keys).received(payment_hash.hash160(), cltv_expiry)
}

/// Returns the script pubkey of an output whose script is given as everywhere in this crate: the
/// witness script, or for a P2WPKH or P2A output the script pubkey itself.
///
/// Source: BOLT 3, "Commitment Transaction Outputs".
pub fn script_pubkey(script: &Script) -> ScriptBuf {
    let is_itself = script.is_p2wpkh() || script.as_bytes() == SHARED_ANCHOR;
    if is_itself { script.to_owned() } else { script.to_p2wsh() }
}

/// What all HTLC scripts of one commitment share, serialized and hashed once.
pub(crate) struct HtlcScripts {
    csv_blocks: u16,
    revocation_hash: [u8; 20],
    owner_htlc_pubkey: [u8; 33],
    other_htlc_pubkey: [u8; 33],
}

impl HtlcScripts {
    pub(crate) fn new(rules: &FormatRules, keys: &CommitmentKeys) -> Self {
        Self {
            csv_blocks: rules.csv_blocks,
            revocation_hash: hash160::Hash::hash(&keys.revocation_pubkey.serialize())
                .to_byte_array(),
            owner_htlc_pubkey: keys.owner_htlc_pubkey.serialize(),
            other_htlc_pubkey: keys.other_htlc_pubkey.serialize(),
        }
    }

    pub(crate) fn offered(&self, payment_hash: PaymentHash160) -> ScriptBuf {
        let script = self
            .revocation_or_size()
            .push_opcode(op::OP_NOTIF)
            .push_opcode(op::OP_DROP)
            .push_opcode(op::OP_PUSHNUM_2)
            .push_opcode(op::OP_SWAP)
            .push_slice(self.owner_htlc_pubkey)
            .push_opcode(op::OP_PUSHNUM_2)
            .push_opcode(op::OP_CHECKMULTISIG)
            .push_opcode(op::OP_ELSE)
            .push_opcode(op::OP_HASH160)
            .push_slice(payment_hash.0)
            .push_opcode(op::OP_EQUALVERIFY)
            .push_opcode(op::OP_CHECKSIG)
            .push_opcode(op::OP_ENDIF);
        self.end(script)
    }

    pub(crate) fn received(
        &self,
        payment_hash: PaymentHash160,
        cltv_expiry: BlockHeight,
    ) -> ScriptBuf {
        let script = self
            .revocation_or_size()
            .push_opcode(op::OP_IF)
            .push_opcode(op::OP_HASH160)
            .push_slice(payment_hash.0)
            .push_opcode(op::OP_EQUALVERIFY)
            .push_opcode(op::OP_PUSHNUM_2)
            .push_opcode(op::OP_SWAP)
            .push_slice(self.owner_htlc_pubkey)
            .push_opcode(op::OP_PUSHNUM_2)
            .push_opcode(op::OP_CHECKMULTISIG)
            .push_opcode(op::OP_ELSE)
            .push_opcode(op::OP_DROP)
            .push_int(i64::from(cltv_expiry.0))
            .push_opcode(op::OP_CLTV)
            .push_opcode(op::OP_DROP)
            .push_opcode(op::OP_CHECKSIG)
            .push_opcode(op::OP_ENDIF);
        self.end(script)
    }

    /// The beginning of both forms: the revocation key, or else a branch on whether the top element
    /// has the size of a preimage. `witness` reads this shape back.
    fn revocation_or_size(&self) -> Builder {
        builder(144)
            .push_opcode(op::OP_DUP)
            .push_opcode(op::OP_HASH160)
            .push_slice(self.revocation_hash)
            .push_opcode(op::OP_EQUAL)
            .push_opcode(op::OP_IF)
            .push_opcode(op::OP_CHECKSIG)
            .push_opcode(op::OP_ELSE)
            .push_slice(self.other_htlc_pubkey)
            .push_opcode(op::OP_SWAP)
            .push_opcode(op::OP_SIZE)
            .push_int(32)
            .push_opcode(op::OP_EQUAL)
    }

    fn end(&self, script: Builder) -> ScriptBuf {
        let script = match self.csv_blocks {
            0 => script,
            blocks => {
                script.push_int(i64::from(blocks)).push_opcode(op::OP_CSV).push_opcode(op::OP_DROP)
            }
        };
        script.push_opcode(op::OP_ENDIF).into_script()
    }
}

/// A builder that grows to this many bytes without allocating again.
pub(crate) fn builder(capacity_bytes: usize) -> Builder {
    Builder::from(Vec::with_capacity(capacity_bytes))
}
