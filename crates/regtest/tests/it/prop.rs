//! Whatever happens, nothing is spent twice and the chain is the fold of its blocks.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, OutPoint, Transaction};
use lastword_regtest::{Chain, Replacement};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::{anybody, funded, pay};

/// One thing that happens to a chain.
#[derive(Debug, Clone)]
enum Op {
    /// A transaction that spends some of the outputs that ever were, and splits what it gets.
    Spend {
        inputs: Vec<prop::sample::Index>,
        keep: u64,
        split: bool,
    },
    Mine,
    MineSome(Vec<prop::sample::Index>),
    /// A miner with a transaction that the mempool may refuse.
    MineSpend {
        inputs: Vec<prop::sample::Index>,
        keep: u64,
    },
    Reorg(usize),
    Replace(bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let inputs = || prop::collection::vec(any::<prop::sample::Index>(), 1..4);
    let op = prop_oneof![
        8 => (inputs(), 1..1_000_000_u64, any::<bool>())
            .prop_map(|(inputs, keep, split)| Op::Spend { inputs, keep, split }),
        2 => Just(Op::Mine),
        2 => inputs().prop_map(Op::MineSome),
        2 => (inputs(), 1..1_000_000_u64).prop_map(|(inputs, keep)| Op::MineSpend { inputs, keep }),
        1 => (1..4_usize).prop_map(Op::Reorg),
        1 => any::<bool>().prop_map(Op::Replace),
    ];
    prop::collection::vec(op, 1..40)
}

/// Every output that anybody may try to spend, whether it still exists or not.
struct World {
    chain: Chain,
    outputs: Vec<(OutPoint, Amount)>,
}

impl World {
    fn new() -> Self {
        let (chain, coins) = funded(4);
        let outputs = coins
            .into_iter()
            .map(|coin| (coin, chain.utxo(coin).expect("unspent").output.value))
            .collect();
        Self { chain, outputs }
    }

    fn spend(&mut self, inputs: &[prop::sample::Index], keep: u64, split: bool) -> Transaction {
        let chosen: BTreeMap<_, _> = inputs.iter().map(|at| *at.get(&self.outputs)).collect();
        let total: u64 = chosen.values().map(|amount| amount.to_sat()).sum();
        let rest = total.saturating_sub(keep);
        let amounts = if split { vec![rest / 2, rest - rest / 2] } else { vec![rest] };
        let coins: Vec<_> = chosen.into_keys().collect();
        let transaction = pay(&coins, &amounts);
        let txid = transaction.compute_txid();
        for (vout, output) in (0..).zip(&transaction.output) {
            self.outputs.push((OutPoint { txid, vout }, output.value));
        }
        transaction
    }

    fn apply(&mut self, op: &Op) {
        let reward = anybody();
        match op {
            Op::Spend { inputs, keep, split } => {
                let transaction = self.spend(inputs, *keep, *split);
                drop(self.chain.submit(transaction));
            }
            Op::Mine => {
                self.chain.mine(&reward);
            }
            Op::MineSome(chosen) => {
                let waiting = self.chain.mempool();
                if !waiting.is_empty() {
                    let chosen: Vec<_> = chosen.iter().map(|at| *at.get(&waiting)).collect();
                    drop(self.chain.mine_block(&reward, &chosen));
                }
            }
            Op::MineSpend { inputs, keep } => {
                let transaction = self.spend(inputs, *keep, false);
                drop(self.chain.mine_transactions(&reward, vec![transaction]));
            }
            Op::Reorg(depth) => {
                self.chain.reorg(*depth);
            }
            Op::Replace(by_fee) => {
                let replacement = if *by_fee { Replacement::ByFee } else { Replacement::Never };
                self.chain.set_replacement(replacement);
            }
        }
    }
}

/// Checks the chain against a fold of its own blocks, written without looking at its code.
fn check(chain: &Chain) {
    let mut unspent: BTreeMap<OutPoint, (Amount, u32)> = BTreeMap::new();
    let mut created = Amount::ZERO;
    for (height, block) in (0..).zip(chain.blocks()) {
        for (index, transaction) in block.txdata.iter().enumerate() {
            let mut balance = Amount::ZERO;
            for input in transaction.input.iter().filter(|_| index > 0) {
                let spent = unspent.remove(&input.previous_output);
                let (amount, _) = spent.expect("an input is unspent");
                let spender = chain.spender(input.previous_output);
                assert_eq!(spender.map(|(txid, _)| txid), Some(transaction.compute_txid()));
                assert_eq!(spender.map(|(_, height)| height.0), Some(height));
                balance += amount;
            }
            let out: Amount = transaction.output.iter().map(|output| output.value).sum();
            assert!(index == 0 || out <= balance);
            let txid = transaction.compute_txid();
            for (vout, output) in (0..).zip(&transaction.output) {
                if !output.script_pubkey.is_op_return() && height > 0 {
                    unspent.insert(OutPoint { txid, vout }, (output.value, height));
                }
            }
        }
        if height > 0 {
            created += lastword_regtest::subsidy(lastword_types::BlockHeight(height));
        }
    }
    let folded = unspent.iter().map(|(outpoint, (amount, height))| (*outpoint, *amount, *height));
    let told = chain.utxos().map(|(outpoint, one)| (outpoint, one.output.value, one.height.0));
    assert!(folded.eq(told), "the unspent outputs are the fold of the blocks");
    assert!(unspent.values().map(|(amount, _)| *amount).sum::<Amount>() <= created);
    check_mempool(chain, &unspent);
}

/// Checks that what waits could all be in the next block, in its order.
fn check_mempool(chain: &Chain, unspent: &BTreeMap<OutPoint, (Amount, u32)>) {
    let mut available: BTreeSet<OutPoint> = unspent.keys().copied().collect();
    for txid in chain.mempool() {
        let (transaction, height) = chain.transaction(txid).expect("it waits");
        assert_eq!(height, None);
        for input in &transaction.input {
            assert!(available.remove(&input.previous_output), "an input is unspent, once");
            assert_eq!(chain.mempool_spender(input.previous_output), Some(txid));
        }
        available.extend((0..).zip(&transaction.output).map(|(vout, _)| OutPoint { txid, vout }));
    }
    let mut copy = chain.clone();
    copy.mine(&anybody());
    assert_eq!(copy.mempool(), [], "all of it fits into the next block");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 64,
        rng_seed: RngSeed::Fixed(2),
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_spent_twice_and_the_same_calls_give_the_same_chain(ops in ops()) {
        let mut world = World::new();
        let mut again = World::new();
        for op in &ops {
            world.apply(op);
            again.apply(op);
        }
        check(&world.chain);
        prop_assert_eq!(world.chain.tip(), again.chain.tip());
        prop_assert_eq!(world.chain.mempool(), again.chain.mempool());
    }
}
