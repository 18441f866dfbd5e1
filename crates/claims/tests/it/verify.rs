//! What every transaction must satisfy, checked by Bitcoin Core's own interpreter.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::consensus::serialize;
use bitcoin::{Amount, OutPoint, Transaction, TxOut};

/// Verifies the script of every input.
pub(crate) fn scripts_verify(transaction: &Transaction, outputs: &BTreeMap<OutPoint, TxOut>) {
    let bytes = serialize(transaction);
    for (index, input) in transaction.input.iter().enumerate() {
        let spent = &outputs[&input.previous_output];
        bitcoinconsensus::verify_with_flags(
            spent.script_pubkey.as_bytes(),
            spent.value.to_sat(),
            &bytes,
            None,
            index,
            bitcoinconsensus::VERIFY_ALL_PRE_TAPROOT,
        )
        .unwrap_or_else(|error| panic!("input {index} of {transaction:?}: {error:?}"));
    }
}

/// Returns what goes in less what comes out.
pub(crate) fn fee(transaction: &Transaction, outputs: &BTreeMap<OutPoint, TxOut>) -> Amount {
    let paid_in: Amount =
        transaction.input.iter().map(|input| outputs[&input.previous_output].value).sum();
    let paid_out: Amount = transaction.output.iter().map(|output| output.value).sum();
    paid_in.checked_sub(paid_out).expect("no transaction makes money")
}

/// Asserts that a fee reaches the rate for the signed transaction, and is above it by no more than a
/// hundredth and `slack`.
pub(crate) fn pays(fee: Amount, transaction: &Transaction, rate: u32, slack: Amount) {
    let weight = transaction.weight().to_wu();
    let least = (u64::from(rate) * weight).div_ceil(1000);
    let most = least + least / 100 + 1 + slack.to_sat();
    let fee = fee.to_sat();
    assert!((least..=most).contains(&fee), "{fee} is not in {least}..={most} for {weight} wu");
}

/// Asserts that no output is dust.
pub(crate) fn nothing_is_dust(transaction: &Transaction) {
    for output in &transaction.output {
        assert!(output.value >= output.script_pubkey.minimal_non_dust(), "{output:?}");
    }
}

/// Asserts that no two of the transactions spend the same output.
pub(crate) fn nothing_is_spent_twice(transactions: &[Transaction]) {
    let mut spent = BTreeSet::new();
    for input in transactions.iter().flat_map(|transaction| &transaction.input) {
        assert!(spent.insert(input.previous_output), "{} is spent twice", input.previous_output);
    }
}

/// Returns the outputs of a transaction, by outpoint.
pub(crate) fn outputs_of(
    transaction: &Transaction,
) -> impl Iterator<Item = (OutPoint, TxOut)> + '_ {
    let txid = transaction.compute_txid();
    transaction
        .output
        .iter()
        .zip(0..)
        .map(move |(output, vout)| (OutPoint { txid, vout }, output.clone()))
}

/// Returns the transaction that spends `outpoint`.
pub(crate) fn spender(transactions: &[Transaction], outpoint: OutPoint) -> Option<&Transaction> {
    transactions
        .iter()
        .find(|transaction| transaction.input.iter().any(|input| input.previous_output == outpoint))
}
