//! What a block costs that concerns nobody, and one that closes channels.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use bitcoin::absolute::LockTime;
use bitcoin::consensus::{deserialize, serialize};
use bitcoin::hashes::{Hash as _, sha256};
use bitcoin::{
    Amount, Block, Network, OutPoint, ScriptBuf, Sequence, Transaction, TxIn, TxOut, Txid, Witness,
    constants, transaction,
};
use lastword_chain::{RawBlock, WatchIndex};
use lastword_types::{BlockHeight, ChannelId};

use crate::{Line, Result, least, ratio, tape};

/// The word by which the bytes of the block are asked for.
pub(crate) const WRITE: &str = "--write-block";

const ROUNDS: u32 = 60;
const MILLION: u32 = 1_000_000;

pub(crate) fn measure() -> Result<Vec<Line>> {
    let bytes = a_block();
    let block: Block = deserialize(&bytes)?;
    let decode = least(ROUNDS, || (), |()| deserialize::<Block>(&bytes).is_ok());
    let walk = least(ROUNDS, || bytes.clone(), |bytes| RawBlock::parse(bytes).is_ok());
    let raw = RawBlock::parse(bytes.clone())?;
    let merkle = least(ROUNDS / 3, || (), |()| raw.has_committed_transactions());

    let few = index(1_000);
    let of_few = pass(&few, &bytes);
    let some = least(ROUNDS, || (), |()| index_and_block(&few, &block));
    drop(few);
    let many = index(MILLION);
    let of_many = pass(&many, &bytes);

    let inputs: usize = block.txdata.iter().map(|transaction| transaction.input.len()).sum();
    let shape = format!("{} transactions, {inputs} inputs", block.txdata.len());
    let more = of_many.saturating_sub(of_few);
    let line = |id, what: String, ours, bar| Line { id, what, unit: "of decoding it", ours, bar };
    Ok(vec![
        line("block-walk", format!("walking a block: {shape}"), ratio(walk, decode), None),
        line("block-raw", "bytes in, 1,000,000 watch".into(), ratio(of_many, decode), Some(1.3)),
        line("block-raw-more", "1,000,000 more than 1,000".into(), ratio(more, decode), Some(0.2)),
        line("block-merkle", "the merkle check, apart".into(), ratio(merkle, decode), None),
        line("block-decoded", "decoded before, 1,000 watch".into(), ratio(some, decode), None),
        Line {
            id: "block-decode",
            what: "`bitcoin` decoding the block".into(),
            unit: "us",
            ours: decode.as_secs_f64() * 1e6,
            bar: None,
        },
    ])
}

/// The block parsed before, by as many channels as a peer was measured with.
pub(crate) fn measure_parsed() -> Result<Vec<Line>> {
    let block: Block = deserialize(&a_block())?;
    let index = index(5_000);
    let height = BlockHeight(tape::BIRTH);
    let look = || index_and_block(&index, &block) && index.due(height).is_empty();
    let time = least(ROUNDS, || (), |()| look());
    let what = "decoded before, 5,000 watch".into();
    let ours = time.as_secs_f64() * 1e6;
    Ok(vec![Line { id: "block-peer", what, unit: "us", ours, bar: None }])
}

/// Prints the bytes of the block that is measured, for who measures the same with something else.
pub(crate) fn print() -> Result<()> {
    Ok(std::io::stdout().write_all(&a_block())?)
}

/// Bytes in, the channels that it concerns out: none.
fn pass(index: &WatchIndex, bytes: &[u8]) -> Duration {
    least(
        ROUNDS,
        || bytes.to_vec(),
        |bytes| RawBlock::parse(bytes).is_ok_and(|block| index.matches(&block).is_empty()),
    )
}

fn index_and_block(index: &WatchIndex, block: &Block) -> bool {
    index.matches_decoded(block).is_empty()
}

pub(crate) fn index(channels: u32) -> WatchIndex {
    let mut index = WatchIndex::new();
    for number in 0..channels {
        let channel_id = channel_id(number);
        index.set(channel_id, &[tape::funding_outpoint(channel_id)], None);
    }
    index
}

fn channel_id(number: u32) -> ChannelId {
    ChannelId(sha256::Hash::hash(&number.to_be_bytes()).to_byte_array())
}

/// The real block, or one of its shape.
fn a_block() -> Vec<u8> {
    let folder = std::env::var_os("LASTWORD_VECTORS");
    let real =
        folder.and_then(|folder| std::fs::read(Path::new(&folder).join("mainnet-block.raw")).ok());
    real.unwrap_or_else(generated)
}

/// 2,500 transactions with 6,518 inputs and 1.38 MB, as the real one has.
pub(crate) fn generated() -> Vec<u8> {
    const TRANSACTIONS: u32 = 2_500;
    const INPUTS: u32 = 6_518;
    let mut block = constants::genesis_block(Network::Bitcoin);
    let mut inputs = 0;
    for number in 1..TRANSACTIONS {
        let until = INPUTS * number / (TRANSACTIONS - 1);
        let spent = (inputs..until).map(|number| TxIn {
            previous_output: OutPoint::new(txid(number), number % 3),
            script_sig: ScriptBuf::new(),
            sequence: Sequence::MAX,
            witness: Witness::from_slice(&[vec![0; 72], vec![0; 33]]),
        });
        let output = TxOut {
            value: Amount::from_sat(1_000),
            script_pubkey: ScriptBuf::from_bytes(vec![0; 25]),
        };
        let input = spent.collect();
        inputs = until;
        block.txdata.push(Transaction {
            version: transaction::Version::TWO,
            lock_time: LockTime::ZERO,
            input,
            output: vec![output; 3],
        });
    }
    serialize(&block)
}

fn txid(number: u32) -> Txid {
    Txid::from_byte_array(sha256::Hash::hash(&number.to_le_bytes()).to_byte_array())
}
