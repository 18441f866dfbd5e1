//! What the tests are made of: coins that anybody may spend, and chains that have some.

use bitcoin::absolute::LockTime;
use bitcoin::{
    Amount, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Witness, transaction,
};
use lastword_regtest::Chain;
use lastword_types::BlockHeight;

/// A witness script that is always satisfied.
pub(crate) fn anybody() -> ScriptBuf {
    ScriptBuf::from_bytes(vec![0x51])
}

/// What a coin is worth that [`funded`] makes.
pub(crate) const COIN: Amount = Amount::from_sat(5_000_000_000);

/// Mines `count` coinbases for anybody and makes them mature.
///
/// Coin `n` is at height `n + 1`.
pub(crate) fn funded(count: u32) -> (Chain, Vec<OutPoint>) {
    let mut chain = Chain::new();
    for _ in 0..count {
        chain.mine(&anybody().to_p2wsh());
    }
    for _ in 0..100 {
        chain.mine_empty();
    }
    let coins = (1..=count).map(|height| coinbase_of(&chain, height)).collect();
    (chain, coins)
}

/// The first output of the coinbase at a height.
pub(crate) fn coinbase_of(chain: &Chain, height: u32) -> OutPoint {
    let block = chain.block_at(BlockHeight(height)).expect("the block is there");
    OutPoint::new(block.txdata[0].compute_txid(), 0)
}

/// A transaction that spends what anybody may spend, and pays `amounts` to anybody.
pub(crate) fn pay(coins: &[OutPoint], amounts: &[u64]) -> Transaction {
    let inputs = coins.iter().map(|previous_output| TxIn {
        previous_output: *previous_output,
        script_sig: ScriptBuf::new(),
        sequence: Sequence::ENABLE_LOCKTIME_NO_RBF,
        witness: Witness::from_slice(&[anybody().as_bytes()]),
    });
    let outputs = amounts.iter().map(|amount| TxOut {
        value: Amount::from_sat(*amount),
        script_pubkey: anybody().to_p2wsh(),
    });
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: inputs.collect(),
        output: outputs.collect(),
    }
}

/// An output of a transaction.
pub(crate) fn output(transaction: &Transaction, vout: u32) -> OutPoint {
    OutPoint::new(transaction.compute_txid(), vout)
}
