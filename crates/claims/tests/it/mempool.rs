//! A mempool as claims meet it: who replaces whom, by the rules of the network.

use bitcoin::{Amount, OutPoint, Transaction};
use lastword_claims::{Claims, Due, Refusal};
use lastword_types::BlockHeight;

use crate::verify::{fee, outputs_of};
use crate::wallet::Node;
use crate::world::World;

/// What waits for a block, each with its fee; it holds no two that spend the same.
#[derive(Default)]
pub(crate) struct Mempool {
    pub(crate) entries: Vec<(Transaction, Amount)>,
    /// The least rate that it takes.
    pub(crate) floor: u32,
}

impl Mempool {
    /// Takes a transaction, or says that it pays too little: for its weight, or to replace what is
    /// there (BIP 125, rules 3 and 4, and a better rate).
    pub(crate) fn offer(&mut self, transaction: &Transaction, fee: Amount) -> Result<(), Refusal> {
        if self.holds(transaction) {
            return Ok(());
        }
        let weight = transaction.weight().to_wu();
        let relay = Amount::from_sat(weight.div_ceil(4));
        let rivals = || self.entries.iter().filter(|(it, _)| conflicts(it, transaction));
        let replaced: Amount = rivals().map(|(_, fee)| *fee).sum();
        let rate = |fee: Amount, weight: u64| fee.to_sat() * 1_000_000 / weight;
        let is_better =
            rivals().all(|(it, paid)| rate(*paid, it.weight().to_wu()) < rate(fee, weight));
        let least = Amount::from_sat((u64::from(self.floor.max(250)) * weight).div_ceil(1000));
        let needed = if rivals().next().is_some() { replaced + relay } else { Amount::ZERO };
        if fee < least.max(needed) || !is_better {
            return Err(Refusal::Fee);
        }
        self.entries.retain(|(it, _)| !conflicts(it, transaction));
        self.entries.push((transaction.clone(), fee));
        Ok(())
    }

    pub(crate) fn holds(&self, transaction: &Transaction) -> bool {
        self.entries.iter().any(|(it, _)| it == transaction)
    }

    /// The transaction that spends an output.
    pub(crate) fn spender(&self, outpoint: OutPoint) -> Option<&(Transaction, Amount)> {
        let spends = |it: &Transaction| it.input.iter().any(|it| it.previous_output == outpoint);
        self.entries.iter().find(|(it, _)| spends(it))
    }

    /// Lets a transaction go, as when one that it builds on was replaced.
    pub(crate) fn evict(&mut self, transaction: &Transaction) {
        self.entries.retain(|(it, _)| it != transaction);
    }
}

/// Asks for what is due, offers it in its order, and tells the claims what was refused.
pub(crate) fn offer_all(
    node: &mut Node,
    claims: &mut Claims,
    mempool: &mut Mempool,
    world: &World,
    tip: BlockHeight,
) -> (Due, Vec<Transaction>) {
    let due = node.due(claims, tip);
    let mut refused = Vec::new();
    for transaction in &due.transactions {
        let paid = fee(transaction, &world.outputs);
        if let Err(refusal) = mempool.offer(transaction, paid) {
            claims.refused(world.parameters.channel_id, transaction.compute_txid(), refusal);
            refused.push(transaction.clone());
        }
    }
    for [parent, child] in &due.packages {
        let mut outputs = world.outputs.clone();
        outputs.extend(outputs_of(parent));
        if let Err(refusal) = mempool.offer(child, fee(child, &outputs)) {
            claims.refused(world.parameters.channel_id, child.compute_txid(), refusal);
            refused.push(child.clone());
        }
    }
    (due, refused)
}

fn conflicts(one: &Transaction, other: &Transaction) -> bool {
    let mut inputs = one.input.iter();
    inputs.any(|one| other.input.iter().any(|other| one.previous_output == other.previous_output))
}
