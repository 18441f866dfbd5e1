//! A block's bytes are walked as `bitcoin` decodes them: the same are taken, the same refused.

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash;
use bitcoin::{Block, Network, OutPoint, ScriptBuf, Transaction, Txid, Witness};
use lastword_chain::{MAX_BLOCK_BYTES, RawBlock};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::pay;

/// A block with transactions of each shape, and the merkle root that they have.
fn block() -> Block {
    let mut block = genesis_block(Network::Regtest);
    let coin = |byte| OutPoint::new(Txid::from_byte_array([byte; 32]), u32::from(byte));
    let segwit = pay(&[coin(1), coin(2)], &[1, 2]);
    let mut half = pay(&[coin(3), coin(4)], &[1]);
    half.input[0].witness = Witness::new();
    half.input[0].script_sig = ScriptBuf::from_bytes(vec![7; 300]);
    let mut legacy = half.clone();
    legacy.input[1].witness = Witness::new();
    legacy.output.pop();
    let nothing = pay(&[], &[]);
    let large = Transaction { output: vec![segwit.output[0].clone(); 300], ..segwit.clone() };
    block.txdata.extend([segwit, half, legacy, nothing, large]);
    block.header.merkle_root = block.compute_merkle_root().expect("it has transactions");
    block
}

/// Compares everything that can be asked of the bytes with what `bitcoin` says.
fn agrees(bytes: &[u8]) -> bool {
    let decoded: Option<Block> = deserialize(bytes).ok();
    let walked = RawBlock::parse(bytes.to_vec()).ok();
    assert_eq!(decoded.is_some(), walked.is_some());
    let (Some(block), Some(raw)) = (decoded, walked) else { return false };
    assert_eq!(raw.block_hash(), block.block_hash());
    assert_eq!(raw.transaction_count(), block.txdata.len());
    for (place, transaction) in block.txdata.iter().enumerate() {
        assert_eq!(raw.transaction(place).as_ref(), Ok(transaction));
        assert_eq!(raw.txid(place), Some(transaction.compute_txid()));
        let spends: Vec<_> = transaction.input.iter().map(|input| input.previous_output).collect();
        assert_eq!(raw.spends(place).collect::<Vec<_>>(), spends);
    }
    if raw.has_committed_transactions() {
        assert!(block.check_merkle_root());
    }
    true
}

#[test]
fn every_shape_of_a_transaction_is_walked() {
    let block = block();
    assert!(agrees(&serialize(&block)));
    let raw = RawBlock::from_block(&block).expect("it is small");
    assert!(raw.has_committed_transactions());
    assert_eq!(raw.transaction_count(), 6);
    assert!(raw.transaction(6).is_err());
    assert_eq!(raw.txid(6), None);
    assert_eq!(raw.spends(6).count(), 0);
}

#[test]
fn a_block_that_ends_early_or_late_is_refused() {
    let bytes = serialize(&block());
    for end in 0..bytes.len() {
        let error = RawBlock::parse(bytes[..end].to_vec()).expect_err("something is missing");
        assert!(error.at <= end, "{error}");
    }
    let longer = [bytes, vec![0]].concat();
    assert!(RawBlock::parse(longer).is_err());
}

#[test]
fn bytes_that_are_too_many_for_a_block_are_not_walked() {
    let mut block = block();
    block.txdata[1].input[0].witness = Witness::from_slice(&[vec![0; MAX_BLOCK_BYTES]]);
    let error = RawBlock::from_block(&block).expect_err("too large");
    assert_eq!(error.at, MAX_BLOCK_BYTES);
}

#[test]
fn every_byte_may_be_any_of_those_that_mean_something() {
    let bytes = serialize(&block());
    let mut taken = 0;
    for at in 80..1_300 {
        for byte in [0, 1, 2, 0xFC, 0xFD, 0xFE, 0xFF] {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            taken += u32::from(agrees(&bytes));
        }
    }
    assert!(taken > 100, "{taken}");
}

#[test]
fn a_number_that_promises_more_than_there_is_costs_nothing() {
    let mut bytes = serialize(&block());
    for promise in [[0xFF; 9], [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0]] {
        bytes.splice(80..89, promise);
        assert!(!agrees(&bytes));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2_000,
        rng_seed: RngSeed::Fixed(6),
        ..ProptestConfig::default()
    })]

    #[test]
    fn what_is_taken_is_what_bitcoin_decodes(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in prop::option::of((any::<prop::sample::Index>(), 0..4_usize)),
    ) {
        let mut bytes = serialize(&block());
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some((at, count)) = cut {
            let at = at.index(bytes.len() - 4);
            bytes.drain(at..at + count);
        }
        agrees(&bytes);
    }
}
