//! A block whose bytes nobody mined.

use std::collections::BTreeSet;

use bitcoin::consensus::deserialize;
use bitcoin::{Block, OutPoint};
use lastword_chain::{RawBlock, WatchIndex};
use lastword_types::ChannelId;

use crate::canary;

/// The most outpoints that are watched in one run.
const WATCHED_MAX: usize = 8;

/// Believes that bytes are walked as `bitcoin` decodes them, and that an index hands on no more
/// inputs of a block than it has.
///
/// # Panics
///
/// If not.
pub fn raw_block(bytes: &[u8]) {
    let decoded: Option<Block> = deserialize(bytes).ok();
    let walked = RawBlock::parse(bytes.to_vec());
    assert_eq!(decoded.is_some(), walked.is_ok(), "one takes what the other refuses");
    let raw = match walked {
        Ok(raw) => raw,
        Err(refusal) => {
            assert!(refusal.at <= bytes.len(), "{refusal}");
            return;
        }
    };
    let Some(block) = decoded else { return };
    assert_eq!(raw.block_hash(), block.block_hash());
    assert_eq!(raw.transaction_count(), block.txdata.len());
    for (place, transaction) in block.txdata.iter().enumerate() {
        assert_eq!(raw.transaction(place).as_ref(), Ok(transaction));
        assert_eq!(raw.txid(place), Some(transaction.compute_txid()));
        let spends = transaction.input.iter().map(|input| input.previous_output);
        assert!(raw.spends(place).eq(spends));
    }
    if raw.has_committed_transactions() {
        assert!(block.check_merkle_root());
    }
    index(&raw, &block);
    // One transaction more than any seed has, or an input more.
    let inputs = block.txdata.iter().map(|transaction| transaction.input.len());
    canary(block.txdata.len() > 2 || inputs.max() > Some(1));
}

/// Watches what the block spends first.
fn index(raw: &RawBlock, block: &Block) {
    let inputs = || block.txdata.iter().skip(1).flat_map(|transaction| &transaction.input);
    let coins: BTreeSet<OutPoint> =
        inputs().map(|input| input.previous_output).take(WATCHED_MAX).collect();
    let mut index = WatchIndex::new();
    for (number, coin) in (0_u8..).zip(&coins) {
        index.set(ChannelId([number; 32]), &[*coin], None);
    }
    let found = index.matches(raw);
    assert_eq!(index.matches_decoded(block), found);
    let handed: usize = found.values().flatten().map(|found| found.inputs.len()).sum();
    assert!(handed <= inputs().count(), "{handed} inputs are handed on");
    for found in found.values().flatten() {
        let transaction = &block.txdata[found.place];
        assert_eq!(found.shown(transaction).compute_txid(), transaction.compute_txid());
    }
}
