//! What consensus demands of one transaction, given the outputs that it spends.

use std::collections::BTreeSet;

use bitcoin::consensus::serialize;
use bitcoin::{Amount, OutPoint, Transaction, TxOut, Weight};
use lastword_types::BlockHeight;

use crate::block::{COINBASE_MATURITY, MAX_BLOCK_WEIGHT};
use crate::reject::Reject;

/// An output that nobody has spent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unspent {
    /// The output.
    pub output: TxOut,
    /// The height of the block that created it.
    pub height: BlockHeight,
    /// Whether a coinbase created it.
    pub is_coinbase: bool,
}

/// Where a transaction would stand: the height of its block and the median times of all before.
pub(crate) struct Context<'a> {
    /// The height of the block.
    pub(crate) height: BlockHeight,
    /// The median time of each block below, the genesis block first.
    pub(crate) median_times: &'a [u32],
}

impl Context<'_> {
    /// The median time of the block before, against which locks in time are measured (BIP 113).
    fn time(&self) -> u32 {
        self.median_times.last().copied().unwrap_or_default()
    }

    /// The median time of the block before the one at `height`.
    fn time_before(&self, height: BlockHeight) -> u32 {
        let before = height.0.saturating_sub(1);
        usize::try_from(before)
            .ok()
            .and_then(|index| self.median_times.get(index))
            .copied()
            .unwrap_or_else(|| self.time())
    }
}

/// What a transaction was found to be.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) fee: Amount,
    pub(crate) sigops_cost: usize,
    pub(crate) spent: Vec<(OutPoint, Unspent)>,
}

/// Checks what a transaction shows by itself, coinbases included.
pub(crate) fn check_shape(transaction: &Transaction) -> Result<(), Reject> {
    if transaction.input.is_empty() {
        return Err(Reject::NoInputs);
    }
    if transaction.output.is_empty() {
        return Err(Reject::NoOutputs);
    }
    let stripped = Weight::from_vb_unwrap(transaction.base_size() as u64);
    if stripped > MAX_BLOCK_WEIGHT {
        return Err(Reject::TooHeavy { weight: stripped, limit: MAX_BLOCK_WEIGHT });
    }
    let mut sum = Amount::ZERO;
    for (output, TxOut { value, .. }) in transaction.output.iter().enumerate() {
        sum = sum
            .checked_add(*value)
            .filter(|sum| *sum <= Amount::MAX_MONEY)
            .ok_or(Reject::TooMuchMoney { output })?;
    }
    if transaction.is_coinbase() {
        let bytes = transaction.input[0].script_sig.len();
        return if (2..=100).contains(&bytes) {
            Ok(())
        } else {
            Err(Reject::CoinbaseScript { bytes })
        };
    }
    let mut seen = BTreeSet::new();
    for (input, txin) in transaction.input.iter().enumerate() {
        let outpoint = txin.previous_output;
        if outpoint.is_null() {
            return Err(Reject::NullInput { input });
        }
        if !seen.insert(outpoint) {
            return Err(Reject::DuplicateInput { input, outpoint });
        }
    }
    Ok(())
}

/// Checks the absolute lock time (BIP 113: a time is measured against the median of the past).
pub(crate) fn check_final(transaction: &Transaction, context: &Context<'_>) -> Result<(), Reject> {
    let lock_time = transaction.lock_time;
    let over = if lock_time.is_block_height() { context.height.0 } else { context.time() };
    let is_final = lock_time.to_consensus_u32() == 0
        || lock_time.to_consensus_u32() < over
        || transaction.input.iter().all(|input| input.sequence.is_final());
    if is_final {
        Ok(())
    } else {
        Err(Reject::NotFinal { lock_time, height: context.height, time: context.time() })
    }
}

/// Checks a transaction, no coinbase, against the outputs that it spends, given in input order.
pub(crate) fn check_spend(
    transaction: &Transaction,
    context: &Context<'_>,
    spent: Vec<(OutPoint, Unspent)>,
) -> Result<Checked, Reject> {
    debug_assert_eq!(transaction.input.len(), spent.len());
    for (input, (_, unspent)) in spent.iter().enumerate() {
        let from = unspent.height.plus(COINBASE_MATURITY);
        if unspent.is_coinbase && context.height < from {
            return Err(Reject::Immature { input, from });
        }
    }
    let fee = check_value(transaction, &spent)?;
    check_sequences(transaction, context, &spent)?;
    check_scripts(transaction, &spent)?;
    let sigops_cost = transaction.total_sigop_cost(|outpoint| {
        spent.iter().find(|(other, _)| other == outpoint).map(|(_, unspent)| unspent.output.clone())
    });
    Ok(Checked { fee, sigops_cost, spent })
}

/// Returns the fee.
fn check_value(transaction: &Transaction, spent: &[(OutPoint, Unspent)]) -> Result<Amount, Reject> {
    // Both sums are sums of outputs that `check_shape` found to be money, so they fit.
    let sum_in: Amount = spent.iter().map(|(_, unspent)| unspent.output.value).sum();
    let sum_out: Amount = transaction.output.iter().map(|output| output.value).sum();
    sum_in.checked_sub(sum_out).ok_or(Reject::Inflation { spent: sum_in, created: sum_out })
}

/// Checks the relative locks (BIP 68).
fn check_sequences(
    transaction: &Transaction,
    context: &Context<'_>,
    spent: &[(OutPoint, Unspent)],
) -> Result<(), Reject> {
    // Consensus compares the version as an unsigned number: a negative one has relative locks.
    if transaction.version.0.cast_unsigned() < 2 {
        return Ok(());
    }
    for (input, (txin, (_, unspent))) in transaction.input.iter().zip(spent).enumerate() {
        let sequence = txin.sequence.to_consensus_u32();
        if sequence & SEQUENCE_DISABLE != 0 {
            continue;
        }
        let value = sequence & SEQUENCE_VALUE;
        if sequence & SEQUENCE_IS_TIME != 0 {
            let start = context.time_before(unspent.height);
            let from = start.saturating_add(value << SEQUENCE_TIME_SHIFT);
            if context.time() < from {
                return Err(Reject::LockedToTime { input, from });
            }
        } else {
            let from = unspent.height.plus(value);
            if context.height < from {
                return Err(Reject::LockedToHeight { input, from });
            }
        }
    }
    Ok(())
}

/// Runs every input's script in Bitcoin Core's interpreter, with all rules on.
fn check_scripts(transaction: &Transaction, spent: &[(OutPoint, Unspent)]) -> Result<(), Reject> {
    let bytes = serialize(transaction);
    let outputs: Vec<bitcoinconsensus::Utxo> = spent
        .iter()
        .map(|(_, Unspent { output, .. })| bitcoinconsensus::Utxo {
            script_pubkey: output.script_pubkey.as_bytes().as_ptr(),
            script_pubkey_len: u32::try_from(output.script_pubkey.len())
                .expect("a script is shorter than a block"),
            value: i64::try_from(output.value.to_sat()).expect("money fits in 63 bits"),
        })
        .collect();
    for (input, (outpoint, Unspent { output, .. })) in spent.iter().enumerate() {
        bitcoinconsensus::verify(
            output.script_pubkey.as_bytes(),
            output.value.to_sat(),
            &bytes,
            Some(&outputs),
            input,
        )
        .map_err(|_| Reject::Script { input, outpoint: *outpoint })?;
    }
    Ok(())
}

/// Bit 31 of a sequence: no relative lock (BIP 68).
const SEQUENCE_DISABLE: u32 = 1 << 31;
/// Bit 22 of a sequence: the lock is a time (BIP 68).
const SEQUENCE_IS_TIME: u32 = 1 << 22;
/// The bits of a sequence that say how long (BIP 68).
const SEQUENCE_VALUE: u32 = 0xffff;
/// A relative time counts in units of 512 seconds (BIP 68).
const SEQUENCE_TIME_SHIFT: u32 = 9;
