//! The miner: what goes into the next block of a [`Chain`].

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::absolute::LockTime;
use bitcoin::block::{Header, Version};
use bitcoin::hashes::Hash;
use bitcoin::script::Builder;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, Script, ScriptBuf, Sequence, Transaction,
    TxIn, TxMerkleNode, TxOut, Txid, Witness, transaction,
};
use lastword_types::BlockHeight;

use crate::block::{MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, TARGET, seal, subsidy};
use crate::chain::Chain;
use crate::reject::BlockReject;

/// Each block's time is this much after its parent's height says.
pub const BLOCK_SPACING_SECONDS: u32 = 600;

impl Chain {
    /// Mines a block with what waits in the mempool, as far as it fits, first come first served.
    ///
    /// # Panics
    ///
    /// If `reward` is so large that no block can hold it (a megabyte), or holds thousands of
    /// signature checks.
    pub fn mine(&mut self, reward: &Script) -> BlockHash {
        self.mine_except(reward, &[])
    }

    /// Mines a block without transactions, whose reward nobody can spend.
    #[expect(clippy::missing_panics_doc, reason = "no argument can cause the panic")]
    pub fn mine_empty(&mut self) -> BlockHash {
        let nobody = ScriptBuf::new_op_return([]);
        self.mine_transactions(&nobody, Vec::new()).expect("an empty block breaks no rule")
    }

    /// Mines a block with what waits in the mempool but for these and all that builds on them.
    ///
    /// # Panics
    ///
    /// As [`Chain::mine`].
    pub fn mine_except(&mut self, reward: &Script, excluded: &[Txid]) -> BlockHash {
        let chosen = self.choose(reward, excluded);
        self.mine_transactions(reward, chosen)
            .expect("what waits is valid in the next block, and the reward is reasonable")
    }

    /// Mines a block with exactly these transactions of the mempool, in this order.
    ///
    /// # Errors
    ///
    /// [`BlockReject`], as when a parent is missing or stands behind its child; the chain is
    /// unchanged.
    pub fn mine_block(
        &mut self,
        reward: &Script,
        transactions: &[Txid],
    ) -> Result<BlockHash, BlockReject> {
        let chosen = transactions
            .iter()
            .map(|txid| match self.mempool.entry(*txid) {
                Some(entry) => Ok(entry.transaction.clone()),
                None => Err(BlockReject::NotInMempool { txid: *txid }),
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.mine_transactions(reward, chosen)
    }

    /// Mines a block with exactly these transactions, in this order, whether the mempool has them
    /// or not: a miner may have a transaction that conflicts with what everybody else has seen.
    ///
    /// # Errors
    ///
    /// [`BlockReject`]; the chain is unchanged.
    pub fn mine_transactions(
        &mut self,
        reward: &Script,
        transactions: Vec<Transaction>,
    ) -> Result<BlockHash, BlockReject> {
        let block = self.build(reward, transactions);
        self.connect(&block)?;
        self.made += 1;
        Ok(block.block_hash())
    }

    /// Builds the next block with these transactions and does not connect it.
    ///
    /// The coinbase takes the subsidy and the fees. Nothing is checked: [`Chain::connect`] does.
    pub fn build(&self, reward: &Script, transactions: Vec<Transaction>) -> Block {
        let height = self.height().plus(1);
        let tip = self.tip();
        let genesis = self.block_at(BlockHeight(0)).map_or(0, |block| block.header.time);
        let reserve = Amount::MAX_MONEY - subsidy(height);
        // Fees beyond all money come from a transaction that the check will refuse.
        let fees = Some(self.fees(&transactions)).filter(|fees| *fees <= reserve);
        let value = subsidy(height) + fees.unwrap_or(Amount::ZERO);
        let mut txdata = vec![coinbase(height, self.made, value, reward)];
        txdata.extend(transactions);
        let header = Header {
            version: Version::NO_SOFT_FORK_SIGNALLING,
            prev_blockhash: tip.hash,
            merkle_root: TxMerkleNode::all_zeros(),
            time: genesis + height.0 * BLOCK_SPACING_SECONDS,
            bits: CompactTarget::from_consensus(TARGET),
            nonce: 0,
        };
        let mut block = Block { header, txdata };
        seal(&mut block);
        block
    }

    /// Adds up the fees; a transaction that spends what is not there, or too much, pays none here
    /// and is refused when the block is checked.
    fn fees(&self, transactions: &[Transaction]) -> Amount {
        let mut created: BTreeMap<OutPoint, Amount> = BTreeMap::new();
        let mut fees = Amount::ZERO;
        for transaction in transactions {
            let value_of = |outpoint: &OutPoint| {
                let confirmed = self.utxo(*outpoint).map(|unspent| unspent.output.value);
                confirmed.or_else(|| created.get(outpoint).copied()).unwrap_or(Amount::ZERO)
            };
            let add = |sum: Amount, value: Amount| sum.checked_add(value).unwrap_or(Amount::ZERO);
            let inputs = transaction.input.iter().map(|input| value_of(&input.previous_output));
            let spent = inputs.fold(Amount::ZERO, add);
            let paid = transaction.output.iter().map(|out| out.value).fold(Amount::ZERO, add);
            fees = add(fees, spent.checked_sub(paid).unwrap_or(Amount::ZERO));
            let txid = transaction.compute_txid();
            created.extend(
                (0..)
                    .zip(&transaction.output)
                    .map(|(vout, output)| (OutPoint { txid, vout }, output.value)),
            );
        }
        fees
    }

    /// Chooses what fits into the next block, parents before children.
    fn choose(&self, reward: &Script, excluded: &[Txid]) -> Vec<Transaction> {
        let mut out: BTreeSet<Txid> = self.mempool.with_descendants(excluded.iter().copied());
        let empty = self.build(reward, Vec::new());
        // The count of transactions may grow from one byte to five.
        let mut weight = empty.weight() + bitcoin::Weight::from_non_witness_data_size(4);
        let mut sigops_cost = empty.txdata[0].total_sigop_cost(|_| None);
        let mut chosen = Vec::new();
        for (txid, entry) in self.mempool.in_order() {
            if out.contains(&txid) {
                continue;
            }
            let fits = weight + entry.weight <= MAX_BLOCK_WEIGHT
                && sigops_cost + entry.sigops_cost <= MAX_BLOCK_SIGOPS_COST;
            if fits {
                weight += entry.weight;
                sigops_cost += entry.sigops_cost;
                chosen.push(entry.transaction.clone());
            } else {
                out.extend(self.mempool.with_descendants([txid]));
            }
        }
        chosen
    }
}

/// Makes a coinbase; `extra` tells it from others of the same height, which a reorg leaves behind.
fn coinbase(height: BlockHeight, extra: u32, value: Amount, reward: &Script) -> Transaction {
    let script_sig =
        Builder::new().push_int(i64::from(height.0)).push_slice(extra.to_le_bytes()).into_script();
    Transaction {
        version: transaction::Version::TWO,
        lock_time: LockTime::ZERO,
        input: vec![TxIn {
            previous_output: OutPoint::null(),
            script_sig,
            sequence: Sequence::MAX,
            witness: Witness::new(),
        }],
        output: vec![TxOut { value, script_pubkey: reward.to_owned() }],
    }
}
