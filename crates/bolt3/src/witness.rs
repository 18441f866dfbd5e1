//! Witnesses: how each output is opened, and what the opening of an HTLC says.

use bitcoin::hashes::{Hash as _, hash160};
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{EcdsaSighashType, Script, Witness, ecdsa};
use lastword_types::{PaymentHash, PaymentHash160, PaymentPreimage};

/// Builds the witness of a commitment or closing transaction: `0 <sig> <sig> <script>`, the
/// signatures in the order of the keys.
///
/// Source: BOLT 3, "Commitment Transaction".
pub fn funding_witness(
    script: &Script,
    local_signature: &Signature,
    local_pubkey: &PublicKey,
    remote_signature: &Signature,
    remote_pubkey: &PublicKey,
) -> Witness {
    let (first, second) = if local_pubkey.serialize() <= remote_pubkey.serialize() {
        (local_signature, remote_signature)
    } else {
        (remote_signature, local_signature)
    };
    let mut witness = Witness::new();
    witness.push([]);
    push_signature(&mut witness, first, EcdsaSighashType::All);
    push_signature(&mut witness, second, EcdsaSighashType::All);
    witness.push(script.as_bytes());
    witness
}

/// Builds the witness of an HTLC transaction: `0 <remote sig> <local sig> <preimage> <script>` for
/// HTLC-success, and with an empty element in place of the preimage for HTLC-timeout.
///
/// Source: BOLT 3, "HTLC-Timeout and HTLC-Success Transactions".
pub fn htlc_witness(
    remote_signature: &Signature,
    remote_sighash: EcdsaSighashType,
    local_signature: &Signature,
    preimage: Option<PaymentPreimage>,
    script: &Script,
) -> Witness {
    let mut witness = Witness::new();
    witness.push([]);
    push_signature(&mut witness, remote_signature, remote_sighash);
    push_signature(&mut witness, local_signature, EcdsaSighashType::All);
    witness.push(preimage.as_ref().map_or(&[][..], |preimage| &preimage.0));
    witness.push(script.as_bytes());
    witness
}

/// Builds the owner's witness of `to_local` or of an HTLC transaction's output, after the delay:
/// `<sig> <> <script>`.
///
/// Source: BOLT 3, "`to_local` Output".
pub fn delayed_witness(signature: &Signature, script: &Script) -> Witness {
    signed(signature, Some(&[]), script.as_bytes())
}

/// Builds the witness of the revocation key on `to_local` or on an HTLC transaction's output:
/// `<sig> 1 <script>`.
///
/// Source: BOLT 3, "`to_local` Output".
pub fn revocation_witness(signature: &Signature, script: &Script) -> Witness {
    signed(signature, Some(&[1]), script.as_bytes())
}

/// Builds the witness of the revocation key on an HTLC output: `<sig> <revocationpubkey> <script>`.
///
/// Source: BOLT 3, "Offered HTLC Outputs" and "Received HTLC Outputs".
pub fn htlc_revocation_witness(
    signature: &Signature,
    revocation_pubkey: &PublicKey,
    script: &Script,
) -> Witness {
    signed(signature, Some(&revocation_pubkey.serialize()), script.as_bytes())
}

/// Builds the witness of `to_remote` with anchors, one block after its confirmation:
/// `<sig> <script>`.
///
/// Source: BOLT 3, "`to_remote` Output".
pub fn payment_key_witness(signature: &Signature, script: &Script) -> Witness {
    signed(signature, None, script.as_bytes())
}

/// Builds the witness of `to_remote` as P2WPKH: `<sig> <pubkey>`.
///
/// Source: BOLT 3, "`to_remote` Output".
pub fn payment_key_hash_witness(signature: &Signature, pubkey: &PublicKey) -> Witness {
    signed(signature, None, &pubkey.serialize())
}

/// Builds the owner's witness of an anchor: `<sig> <script>`.
///
/// Source: BOLT 3, "`to_local_anchor` and `to_remote_anchor` Output (`option_anchors`)".
pub fn anchor_witness(signature: &Signature, script: &Script) -> Witness {
    signed(signature, None, script.as_bytes())
}

/// Builds the witness that takes an offered HTLC of the other side's commitment with its preimage:
/// `<sig> <preimage> <script>`.
///
/// Source: BOLT 3, "Offered HTLC Outputs".
pub fn htlc_preimage_witness(
    signature: &Signature,
    preimage: &PaymentPreimage,
    script: &Script,
) -> Witness {
    signed(signature, Some(&preimage.0), script.as_bytes())
}

/// Builds the witness that takes a received HTLC of the other side's commitment back after its
/// expiry: `<sig> <> <script>`.
///
/// Source: BOLT 3, "Received HTLC Outputs".
pub fn htlc_timeout_witness(signature: &Signature, script: &Script) -> Witness {
    signed(signature, Some(&[]), script.as_bytes())
}

/// What a witness that spends an HTLC output says.
///
/// Source: BOLT 5, "HTLC Output Handling".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HtlcSpend {
    /// The recipient claimed it and showed the preimage.
    Preimage(PaymentPreimage),
    /// The offerer took it back.
    Timeout,
    /// The revocation key took it.
    Revocation,
    /// No witness of this HTLC's script: it cannot have been accepted by the chain.
    Other,
}

/// Reads what a witness that spends an HTLC output says.
///
/// Total: any garbage gives [`HtlcSpend::Other`]. A witness that consensus accepts always gives one
/// of the others, also where it is not of the usual shape: in place of the empty element of a
/// timeout the script takes any element that has not the size of a preimage.
///
/// # Shape
///
/// `script` is the witness script of the output, as [`offered_htlc`](crate::scripts::offered_htlc)
/// or [`received_htlc`](crate::scripts::received_htlc) made it. A preimage counts only if it hashes
/// to `payment_hash`.
///
/// Source: BOLT 3, "Offered HTLC Outputs" and "Received HTLC Outputs".
pub fn read_htlc_spend(
    witness: &Witness,
    script: &Script,
    payment_hash: &PaymentHash,
) -> HtlcSpend {
    read_spend(witness, script, |preimage| preimage.payment_hash() == *payment_hash)
}

/// Reads the same of an HTLC of which only what its script shows is known.
///
/// Source: BOLT 3, "Offered HTLC Outputs" and "Received HTLC Outputs".
pub fn read_past_htlc_spend(
    witness: &Witness,
    script: &Script,
    payment_hash160: PaymentHash160,
) -> HtlcSpend {
    read_spend(witness, script, |preimage| preimage.payment_hash().hash160() == payment_hash160)
}

fn read_spend(
    witness: &Witness,
    script: &Script,
    opens: impl FnOnce(&PaymentPreimage) -> bool,
) -> HtlcSpend {
    let Some(form) = HtlcForm::of(script) else { return HtlcSpend::Other };
    let (Some(last), Some(top)) = (witness.last(), witness.second_to_last()) else {
        return HtlcSpend::Other;
    };
    if last != script.as_bytes() {
        return HtlcSpend::Other;
    }
    let stack = Stack::of(witness);
    if hash160::Hash::hash(top).to_byte_array() == form.revocation_hash {
        return if stack == Stack::OneSignature { HtlcSpend::Revocation } else { HtlcSpend::Other };
    }
    // The script asks for the size first, and consensus leaves exactly one count of elements to
    // each branch.
    let (preimage_stack, timeout_stack) = if form.is_offered {
        (Stack::OneSignature, Stack::TwoSignatures)
    } else {
        (Stack::TwoSignatures, Stack::OneSignature)
    };
    match <[u8; 32]>::try_from(top).map(PaymentPreimage) {
        Ok(preimage) if stack == preimage_stack && opens(&preimage) => {
            HtlcSpend::Preimage(preimage)
        }
        Err(_) if stack == timeout_stack => HtlcSpend::Timeout,
        Ok(_) | Err(_) => HtlcSpend::Other,
    }
}

/// What lies below the branching element of an HTLC witness.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stack {
    /// `<sig>`
    OneSignature,
    /// `<> <sig> <sig>`; BIP 147 makes the first one empty.
    TwoSignatures,
    /// What no branch takes.
    Other,
}

impl Stack {
    fn of(witness: &Witness) -> Self {
        let is_empty = |index| witness.nth(index).is_none_or(<[u8]>::is_empty);
        match witness.len() {
            3 if !is_empty(0) => Self::OneSignature,
            5 if is_empty(0) && !is_empty(1) && !is_empty(2) => Self::TwoSignatures,
            _ => Self::Other,
        }
    }
}

/// What an HTLC's witness script says about itself.
struct HtlcForm {
    is_offered: bool,
    revocation_hash: [u8; 20],
}

impl HtlcForm {
    /// Reads the beginning of both forms and the opcode after it.
    fn of(script: &Script) -> Option<Self> {
        let rest = script.as_bytes().strip_prefix(&REVOCATION)?;
        let (revocation_hash, rest) = rest.split_first_chunk::<20>()?;
        let (_, rest) = rest.strip_prefix(&OTHER_KEY)?.split_first_chunk::<33>()?;
        let is_offered = match *rest.strip_prefix(&SIZE)?.first()? {
            OP_NOTIF => true,
            OP_IF => false,
            _ => return None,
        };
        Some(Self { is_offered, revocation_hash: *revocation_hash })
    }
}

const OP_IF: u8 = 0x63;
const OP_NOTIF: u8 = 0x64;
/// `OP_DUP OP_HASH160`, then a push of 20 bytes.
const REVOCATION: [u8; 3] = [0x76, 0xa9, 0x14];
/// `OP_EQUAL OP_IF OP_CHECKSIG OP_ELSE`, then a push of 33 bytes.
const OTHER_KEY: [u8; 5] = [0x87, 0x63, 0xac, 0x67, 0x21];
/// `OP_SWAP OP_SIZE 32 OP_EQUAL`.
const SIZE: [u8; 5] = [0x7c, 0x82, 0x01, 0x20, 0x87];

fn signed(signature: &Signature, element: Option<&[u8]>, last: &[u8]) -> Witness {
    let mut witness = Witness::new();
    push_signature(&mut witness, signature, EcdsaSighashType::All);
    if let Some(element) = element {
        witness.push(element);
    }
    witness.push(last);
    witness
}

fn push_signature(witness: &mut Witness, signature: &Signature, sighash: EcdsaSighashType) {
    let signature = ecdsa::Signature { signature: *signature, sighash_type: sighash };
    witness.push_ecdsa_signature(&signature);
}
