//! What a transaction costs, measured on the transaction itself.
//!
//! Nothing here is a table of weights: a transaction is given the witnesses that it will have, with
//! signatures as long as they can be, and weighed. The signed transaction is the same or lighter by
//! a byte or two for each signature, so it never pays less than its rate.

use bitcoin::secp256k1::ecdsa::Signature;
use bitcoin::{Amount, Transaction, Witness};
use lastword_types::FeeRatePerKw;

/// Returns what a transaction costs at a rate, rounded up.
pub(crate) fn fee_of(transaction: &Transaction, rate: FeeRatePerKw) -> Amount {
    fee_ceil(rate, transaction.weight().to_wu())
}

/// Returns the fee of `weight` weight units, rounded up, so that the rate is reached.
pub(crate) fn fee_ceil(rate: FeeRatePerKw, weight: u64) -> Amount {
    Amount::from_sat(u64::from(rate.0).saturating_mul(weight).div_ceil(1000))
}

/// Returns the rate that a fee reaches, rounded down.
pub(crate) fn rate_of(fee: Amount, weight: u64) -> FeeRatePerKw {
    let rate = fee.to_sat().saturating_mul(1000).checked_div(weight).unwrap_or(0);
    FeeRatePerKw(u32::try_from(rate).unwrap_or(u32::MAX))
}

/// Returns a signature as long as one can be: its first half needs a leading zero, its second, which
/// BIP 146 keeps low, does not.
pub(crate) fn longest_signature() -> Signature {
    let mut halves = [0x01; 64];
    halves[0] = 0x80;
    Signature::from_compact(&halves).expect("both halves are below the order of the group")
}

/// Returns the longest witness that can spend a P2WPKH coin: `<sig> <pubkey>`.
pub(crate) fn longest_coin_witness() -> Witness {
    Witness::from_slice(&[[0_u8; LONGEST_SIGNATURE].as_slice(), &[0; COMPRESSED_PUBKEY]])
}

/// A DER signature with a low second half, and the byte of its sighash.
const LONGEST_SIGNATURE: usize = 72;
/// A compressed public key.
const COMPRESSED_PUBKEY: usize = 33;

#[cfg(test)]
mod tests {
    use super::{LONGEST_SIGNATURE, fee_ceil, longest_signature};
    use bitcoin::Amount;
    use lastword_types::FeeRatePerKw;

    #[test]
    fn the_longest_signature_is_as_long_as_it_says() {
        assert_eq!(longest_signature().serialize_der().len() + 1, LONGEST_SIGNATURE);
    }

    #[test]
    fn a_fee_is_rounded_up() {
        assert_eq!(fee_ceil(FeeRatePerKw(253), 1000), Amount::from_sat(253));
        assert_eq!(fee_ceil(FeeRatePerKw(253), 1001), Amount::from_sat(254));
        assert_eq!(fee_ceil(FeeRatePerKw(u32::MAX), 0), Amount::ZERO);
    }
}
