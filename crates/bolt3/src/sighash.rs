//! BIP 143: what a signature signs.

use bitcoin::secp256k1::Message;
use bitcoin::sighash::SighashCache;
use bitcoin::{Amount, EcdsaSighashType, Script, Transaction};

use crate::error::Bolt3Error;

/// Returns the message of one input; `script` is the witness script or a P2WPKH script pubkey.
pub(crate) fn message(
    transaction: &Transaction,
    input: usize,
    script: &Script,
    amount: Amount,
    sighash: EcdsaSighashType,
) -> Result<Message, Bolt3Error> {
    let mut cache = SighashCache::new(transaction);
    if script.is_p2wpkh() {
        cache.p2wpkh_signature_hash(input, script, amount, sighash).map(Message::from).ok()
    } else {
        cache.p2wsh_signature_hash(input, script, amount, sighash).map(Message::from).ok()
    }
    .ok_or(Bolt3Error::NoSuchInput)
}
