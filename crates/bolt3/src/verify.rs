//! [`verify_commitment`]: whether a commitment is signed as it must be.

use bitcoin::EcdsaSighashType;
use bitcoin::secp256k1::ecdsa::Signature;
use lastword_types::ChannelParameters;

use crate::commitment::CommitmentTx;
use crate::curve::curve;
use crate::error::Bolt3Error;
use crate::format::remote_htlc_sighash;
use crate::scripts::funding_script;
use crate::sighash::message;

/// Verifies the signatures that the owner of a commitment needs from the other side.
///
/// On our own commitment these are the peer's signatures (BOLT 2: check before revoking the old
/// one); on the peer's commitment they are ours, so the same call checks what we are about to send.
///
/// # Shape
///
/// `htlc_signatures` has one for each untrimmed HTLC, in output order.
///
/// # Errors
///
/// [`Bolt3Error::SignatureCount`], [`Bolt3Error::InvalidSignature`] or
/// [`Bolt3Error::InvalidHtlcSignature`]
///
/// Source: BOLT 2, "Committing Updates So Far: `commitment_signed`".
pub fn verify_commitment(
    parameters: &ChannelParameters,
    commitment: &CommitmentTx,
    signature: &Signature,
    htlc_signatures: &[Signature],
) -> Result<(), Bolt3Error> {
    let expected = commitment.htlc_vouts().len();
    if htlc_signatures.len() != expected {
        return Err(Bolt3Error::SignatureCount { expected, got: htlc_signatures.len() });
    }
    let secp = curve();
    let script =
        funding_script(&parameters.local.funding_pubkey, &parameters.remote.funding_pubkey);
    let signed = message(
        &commitment.transaction,
        0,
        &script,
        parameters.funding_amount,
        EcdsaSighashType::All,
    )?;
    let funding_pubkey = parameters.side(commitment.owner().other()).funding_pubkey;
    secp.verify_ecdsa(&signed, signature, &funding_pubkey)
        .map_err(|_| Bolt3Error::InvalidSignature)?;

    let sighash = remote_htlc_sighash(commitment.format());
    let pairs = commitment.htlc_vouts().zip(htlc_signatures);
    for (signature_index, (vout, signature)) in pairs.enumerate() {
        let htlc = commitment.htlc_transaction(vout)?;
        let signed = message(&htlc.transaction, 0, &htlc.script, htlc.amount, sighash)?;
        secp.verify_ecdsa(&signed, signature, &commitment.keys.other_htlc_pubkey)
            .map_err(|_| Bolt3Error::InvalidHtlcSignature { signature_index })?;
    }
    Ok(())
}
