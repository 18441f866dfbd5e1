//! The transactions that wait for a block: [`Mempool`].

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, FeeRate, OutPoint, Transaction, Txid, Weight};

use crate::reject::Reject;

/// What happens to a transaction that spends what one in the mempool spends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replacement {
    /// The first seen stays.
    #[default]
    Never,
    /// The later one takes the place of the earlier ones and of all that build on them, if it pays
    /// a higher rate than each that it conflicts with, and more than all that it evicts by at least
    /// 1 sat for each virtual byte of its own.
    ByFee,
}

/// A transaction that may be in the next block.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) transaction: Transaction,
    pub(crate) fee: Amount,
    pub(crate) weight: Weight,
    pub(crate) sigops_cost: usize,
    sequence: u64,
}

impl Entry {
    fn fee_rate(&self) -> FeeRate {
        self.fee / self.weight
    }
}

/// The transactions that wait, each valid in the next block together with those before it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mempool {
    entries: BTreeMap<Txid, Entry>,
    /// The order of arrival; parents stand before their children.
    arrival: BTreeMap<u64, Txid>,
    spends: BTreeMap<OutPoint, Txid>,
    next_sequence: u64,
}

impl Mempool {
    pub(crate) fn insert(
        &mut self,
        transaction: Transaction,
        fee: Amount,
        sigops_cost: usize,
    ) -> Txid {
        let txid = transaction.compute_txid();
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        self.arrival.insert(sequence, txid);
        for input in &transaction.input {
            let before = self.spends.insert(input.previous_output, txid);
            assert_eq!(before, None, "a conflict was refused or evicted before");
        }
        let weight = transaction.weight();
        self.entries.insert(txid, Entry { transaction, fee, weight, sigops_cost, sequence });
        txid
    }

    /// Removes one transaction and leaves what builds on it.
    pub(crate) fn remove(&mut self, txid: Txid) -> Option<Transaction> {
        let entry = self.entries.remove(&txid)?;
        self.arrival.remove(&entry.sequence);
        for input in &entry.transaction.input {
            self.spends.remove(&input.previous_output);
        }
        Some(entry.transaction)
    }

    /// Removes a transaction and everything that builds on it.
    pub(crate) fn evict(&mut self, txid: Txid) {
        for gone in self.with_descendants([txid]) {
            self.remove(gone);
        }
    }

    /// Says which transactions must go so that this one may come, if that is allowed.
    pub(crate) fn check_replacement(
        &self,
        transaction: &Transaction,
        fee: Amount,
    ) -> Result<BTreeSet<Txid>, Reject> {
        let inputs = || transaction.input.iter().map(|input| input.previous_output).enumerate();
        let direct: BTreeSet<Txid> =
            inputs().filter_map(|(_, outpoint)| self.spender(outpoint)).collect();
        let evicted = self.with_descendants(direct.iter().copied());
        for (input, outpoint) in inputs() {
            // The transaction cannot spend what it throws out.
            if evicted.contains(&outpoint.txid) {
                return Err(Reject::Conflict { input, outpoint, with: outpoint.txid });
            }
        }
        let rate = fee / transaction.weight();
        let vbytes = Amount::from_sat(transaction.weight().to_vbytes_ceil());
        let old: Amount = evicted.iter().filter_map(|txid| self.fee(*txid)).sum();
        let needed = old + vbytes;
        let is_better =
            direct.iter().filter_map(|txid| self.entry(*txid)).all(|e| e.fee_rate() < rate);
        if !evicted.is_empty() && (fee < needed || !is_better) {
            return Err(Reject::FeeTooLow { offered: fee, needed });
        }
        Ok(evicted)
    }

    /// Returns these and everything that builds on them.
    pub(crate) fn with_descendants(&self, roots: impl IntoIterator<Item = Txid>) -> BTreeSet<Txid> {
        let mut found = BTreeSet::new();
        let mut open: Vec<Txid> = roots.into_iter().collect();
        while let Some(txid) = open.pop() {
            if !found.insert(txid) {
                continue;
            }
            let first = OutPoint { txid, vout: 0 };
            let last = OutPoint { txid, vout: u32::MAX };
            open.extend(self.spends.range(first..=last).map(|(_, child)| *child));
        }
        found
    }

    pub(crate) fn spender(&self, outpoint: OutPoint) -> Option<Txid> {
        self.spends.get(&outpoint).copied()
    }

    pub(crate) fn entry(&self, txid: Txid) -> Option<&Entry> {
        self.entries.get(&txid)
    }

    pub(crate) fn fee(&self, txid: Txid) -> Option<Amount> {
        self.entry(txid).map(|entry| entry.fee)
    }

    /// Visits the transactions in the order of their arrival.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = (Txid, &Entry)> {
        self.arrival.values().filter_map(|txid| self.entry(*txid).map(|entry| (*txid, entry)))
    }
}
