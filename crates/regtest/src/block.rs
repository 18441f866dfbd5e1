//! What consensus demands of one block, and how a block is made to meet it.

use std::collections::BTreeMap;

use bitcoin::block::Header;
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, CompactTarget, OutPoint, ScriptBuf, Transaction, TxOut, Weight,
    WitnessCommitment,
};
use lastword_types::BlockHeight;

use crate::reject::{BlockReject, Reject};
use crate::rules::{Checked, Context, Unspent, check_final, check_shape, check_spend};

/// The most that a block may weigh (BIP 141).
pub const MAX_BLOCK_WEIGHT: Weight = Weight::from_wu(4_000_000);
/// The most that the signature operations of a block may cost (BIP 141).
pub const MAX_BLOCK_SIGOPS_COST: usize = 80_000;
/// Blocks between a coinbase and the first block that may spend it.
pub const COINBASE_MATURITY: u32 = 100;
/// Blocks between halvings of the subsidy on a regtest chain.
pub const HALVING_INTERVAL: u32 = 150;
/// Every second hash meets the target of a regtest chain, and the target never changes.
pub(crate) const TARGET: u32 = 0x207f_ffff;
/// How many blocks the median time is taken over (BIP 113).
const MEDIAN_TIME_BLOCKS: usize = 11;

/// Returns what a block may create at this height, fees not counted.
#[must_use]
pub fn subsidy(height: BlockHeight) -> Amount {
    let halvings = height.0 / HALVING_INTERVAL;
    Amount::from_sat(Amount::from_int_btc(50).to_sat().checked_shr(halvings).unwrap_or(0))
}

/// Returns the median of the last eleven times, or 0 if there is none.
///
/// # Shape
///
/// `times` in the order of the chain; only the last eleven count.
///
/// Source: BIP 113.
#[must_use]
pub fn median_time(times: &[u32]) -> u32 {
    let mut last = times[times.len().saturating_sub(MEDIAN_TIME_BLOCKS)..].to_vec();
    last.sort_unstable();
    last.get(last.len() / 2).copied().unwrap_or(0)
}

/// Makes a block whole after its transactions were changed: witness commitment, merkle root,
/// proof of work.
///
/// For tests that need a block which breaks exactly one rule. A block without a coinbase gets no
/// commitment.
pub fn seal(block: &mut Block) {
    if block.txdata.first().is_some_and(Transaction::is_coinbase) {
        commit_to_witnesses(block);
    }
    if let Some(root) = block.compute_merkle_root() {
        block.header.merkle_root = root;
    }
    solve(&mut block.header);
}

/// Replaces the coinbase's witness commitment (BIP 141).
fn commit_to_witnesses(block: &mut Block) {
    let Some(root) = block.witness_root() else { return };
    let commitment = Block::compute_witness_commitment(&root, &WITNESS_RESERVED);
    let mut script = COMMITMENT_PREFIX.to_vec();
    script.extend_from_slice(commitment.as_byte_array());
    let coinbase = &mut block.txdata[0];
    coinbase.input[0].witness = bitcoin::Witness::from_slice(&[WITNESS_RESERVED]);
    coinbase.output.retain(|output| commitment_in(output).is_none());
    coinbase
        .output
        .push(TxOut { value: Amount::ZERO, script_pubkey: ScriptBuf::from_bytes(script) });
}

/// Tries nonces until the hash meets the target that the header names, if it names ours.
fn solve(header: &mut Header) {
    while header.bits == CompactTarget::from_consensus(TARGET)
        && header.validate_pow(header.target()).is_err()
    {
        header.nonce = header.nonce.wrapping_add(1);
    }
}

/// Checks a block on top of the chain that `context` describes; `unspent` finds what the chain
/// holds, or says why it does not.
pub(crate) fn check_block(
    block: &Block,
    context: &Context<'_>,
    unspent: &dyn Fn(usize, OutPoint) -> Result<Unspent, Reject>,
) -> Result<Vec<Checked>, BlockReject> {
    check_header(&block.header, context)?;
    check_commitments(block, context.height)?;
    let weight = block.weight();
    if weight > MAX_BLOCK_WEIGHT {
        return Err(BlockReject::TooHeavy { weight, limit: MAX_BLOCK_WEIGHT });
    }
    let checked = check_transactions(block, context, unspent)?;
    let cost = checked.iter().map(|one| one.sigops_cost).sum();
    if cost > MAX_BLOCK_SIGOPS_COST {
        return Err(BlockReject::TooManySigops { cost, limit: MAX_BLOCK_SIGOPS_COST });
    }
    let fees: Amount = checked.iter().map(|one| one.fee).sum();
    let allowed = subsidy(context.height) + fees;
    let claimed = block.txdata[0].output.iter().map(|output| output.value).sum();
    if claimed > allowed {
        return Err(BlockReject::Reward { claimed, allowed });
    }
    Ok(checked)
}

fn check_header(header: &Header, context: &Context<'_>) -> Result<(), BlockReject> {
    let version = header.version.to_consensus();
    if version < 4 {
        return Err(BlockReject::Version { version });
    }
    let bits = header.bits.to_consensus();
    if bits != TARGET {
        return Err(BlockReject::Target { bits });
    }
    if header.validate_pow(header.target()).is_err() {
        return Err(BlockReject::ProofOfWork);
    }
    let median = context.median_times.last().copied().unwrap_or_default();
    if header.time <= median {
        return Err(BlockReject::Time { time: header.time, median });
    }
    Ok(())
}

/// Checks that header and coinbase commit to what the block holds.
fn check_commitments(block: &Block, height: BlockHeight) -> Result<(), BlockReject> {
    if !block.check_merkle_root() {
        return Err(BlockReject::MerkleRoot);
    }
    let Some(coinbase) = block.txdata.first().filter(|first| first.is_coinbase()) else {
        return Err(BlockReject::NoCoinbase);
    };
    let says = Builder::new().push_int(i64::from(height.0)).into_script();
    if !coinbase.input[0].script_sig.as_bytes().starts_with(says.as_bytes()) {
        return Err(BlockReject::CoinbaseHeight { height });
    }
    check_witness_commitment(block, coinbase)
}

/// Checks the last commitment in the coinbase; a block without one may hold no witness (BIP 141).
fn check_witness_commitment(block: &Block, coinbase: &Transaction) -> Result<(), BlockReject> {
    let holds = match coinbase.output.iter().rev().find_map(commitment_in) {
        None => block.txdata.iter().flat_map(|tx| &tx.input).all(|input| input.witness.is_empty()),
        Some(commitment) => {
            let witness = &coinbase.input[0].witness;
            let reserved = witness.nth(0).filter(|item| witness.len() == 1 && item.len() == 32);
            block.witness_root().zip(reserved).is_some_and(|(root, reserved)| {
                Block::compute_witness_commitment(&root, reserved) == commitment
            })
        }
    };
    if holds { Ok(()) } else { Err(BlockReject::WitnessCommitment) }
}

/// Reads the witness commitment in an output.
fn commitment_in(output: &TxOut) -> Option<WitnessCommitment> {
    let rest = output.script_pubkey.as_bytes().strip_prefix(&COMMITMENT_PREFIX)?;
    WitnessCommitment::from_slice(rest.get(..32)?).ok()
}

/// Checks each transaction against the chain and the transactions before it.
fn check_transactions(
    block: &Block,
    context: &Context<'_>,
    unspent: &dyn Fn(usize, OutPoint) -> Result<Unspent, Reject>,
) -> Result<Vec<Checked>, BlockReject> {
    let mut overlay = Overlay { unspent, created: BTreeMap::new(), spent: BTreeMap::new() };
    let mut checked = Vec::with_capacity(block.txdata.len());
    for (index, transaction) in block.txdata.iter().enumerate() {
        let txid = transaction.compute_txid();
        let one = overlay
            .check(index, transaction, context)
            .map_err(|reject| BlockReject::Transaction { index, txid, reject })?;
        for (outpoint, _) in &one.spent {
            overlay.spent.insert(*outpoint, txid);
        }
        for (outpoint, output) in outputs_of(txid, transaction) {
            let is_coinbase = index == 0;
            let unspent = Unspent { output: output.clone(), height: context.height, is_coinbase };
            overlay.created.insert(outpoint, unspent);
        }
        checked.push(one);
    }
    Ok(checked)
}

/// The chain with the block's own transactions laid over it.
struct Overlay<'a> {
    unspent: &'a dyn Fn(usize, OutPoint) -> Result<Unspent, Reject>,
    created: BTreeMap<OutPoint, Unspent>,
    spent: BTreeMap<OutPoint, bitcoin::Txid>,
}

impl Overlay<'_> {
    fn check(
        &self,
        index: usize,
        transaction: &Transaction,
        context: &Context<'_>,
    ) -> Result<Checked, Reject> {
        check_shape(transaction)?;
        check_final(transaction, context)?;
        for (outpoint, _) in outputs_of(transaction.compute_txid(), transaction) {
            if self.find(0, outpoint).is_ok() {
                return Err(Reject::OutputExists { outpoint });
            }
        }
        if index == 0 {
            let sigops_cost = transaction.total_sigop_cost(|_| None);
            return Ok(Checked { fee: Amount::ZERO, sigops_cost, spent: Vec::new() });
        }
        if transaction.is_coinbase() {
            return Err(Reject::Coinbase);
        }
        let spent = transaction
            .input
            .iter()
            .enumerate()
            .map(|(input, txin)| {
                let outpoint = txin.previous_output;
                self.find(input, outpoint).map(|unspent| (outpoint, unspent))
            })
            .collect::<Result<Vec<_>, Reject>>()?;
        check_spend(transaction, context, spent)
    }

    fn find(&self, input: usize, outpoint: OutPoint) -> Result<Unspent, Reject> {
        if let Some(by) = self.spent.get(&outpoint) {
            return Err(Reject::Spent { input, outpoint, by: *by });
        }
        match self.created.get(&outpoint) {
            Some(unspent) => Ok(unspent.clone()),
            None => (self.unspent)(input, outpoint),
        }
    }
}

/// Returns the outputs that somebody might spend.
pub(crate) fn outputs_of(
    txid: bitcoin::Txid,
    transaction: &Transaction,
) -> impl Iterator<Item = (OutPoint, &TxOut)> {
    (0..)
        .zip(&transaction.output)
        .filter(|(_, output)| !output.script_pubkey.is_op_return())
        .map(move |(vout, output)| (OutPoint { txid, vout }, output))
}

/// What the coinbase's witness holds: 32 bytes without meaning so far (BIP 141).
const WITNESS_RESERVED: [u8; 32] = [0; 32];
/// `OP_RETURN`, a push of 36 bytes, and the header of a commitment (BIP 141).
const COMMITMENT_PREFIX: [u8; 6] = [0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
