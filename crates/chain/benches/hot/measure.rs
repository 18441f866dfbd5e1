//! The measurements.

use std::hint::black_box;
use std::path::Path;

use bitcoin::consensus::{deserialize, serialize};
use bitcoin::constants::genesis_block;
use bitcoin::hashes::{Hash, sha256};
use bitcoin::{Block, Network, OutPoint, Sequence, TxIn, Txid, Witness};
use criterion::{BatchSize, BenchmarkId, Criterion};
use lastword_chain::{RawBlock, WatchIndex};
use lastword_types::ChannelId;

use crate::shared::{self, CHANNELS};

/// Measures everything, as the arguments of the program say.
pub(crate) fn run() {
    let mut criterion = shared::criterion();
    block(&mut criterion);
    criterion.final_summary();
}

fn block(criterion: &mut Criterion) {
    let bytes = a_block();
    let mut group = criterion.benchmark_group("block");
    group.bench_function("decode", |bencher| {
        bencher.iter(|| deserialize::<Block>(black_box(&bytes)).is_ok());
    });
    let raw = RawBlock::parse(bytes.clone()).expect("the block is sound");
    group.bench_function("merkle", |bencher| {
        bencher.iter(|| black_box(&raw).has_committed_transactions());
    });
    for channels in CHANNELS {
        let index = index(channels);
        group.bench_with_input(BenchmarkId::new("raw", channels), &index, |bencher, index| {
            let pass = |bytes| RawBlock::parse(bytes).map(|block| index.matches(&block).len());
            bencher.iter_batched(|| bytes.clone(), pass, BatchSize::LargeInput);
        });
    }
    group.finish();
}

/// An index of channels that this block does not concern.
fn index(channels: u32) -> WatchIndex {
    let mut index = WatchIndex::new();
    for number in 0..channels {
        let hash = sha256::Hash::hash(&number.to_be_bytes()).to_byte_array();
        index.set(ChannelId(hash), &[OutPoint::new(Txid::from_byte_array(hash), 0)], None);
    }
    index
}

/// The real block of the folder that `LASTWORD_VECTORS` names, or one with as many inputs.
fn a_block() -> Vec<u8> {
    let folder = std::env::var_os("LASTWORD_VECTORS");
    let real =
        folder.and_then(|folder| std::fs::read(Path::new(&folder).join("mainnet-block.raw")).ok());
    real.unwrap_or_else(|| {
        let mut block = genesis_block(Network::Bitcoin);
        for number in 0..2_500_u32 {
            let mut transaction = block.txdata[0].clone();
            let hash = sha256::Hash::hash(&number.to_le_bytes()).to_byte_array();
            let input = TxIn {
                previous_output: OutPoint::new(Txid::from_byte_array(hash), 0),
                sequence: Sequence::MAX,
                witness: Witness::from_slice(&[vec![0; 72], vec![0; 33]]),
                ..TxIn::default()
            };
            transaction.input = vec![input; 3];
            block.txdata.push(transaction);
        }
        serialize(&block)
    })
}
