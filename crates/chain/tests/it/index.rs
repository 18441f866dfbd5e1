//! The index finds what a block concerns, in one block's chains too, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash;
use bitcoin::{Block, Network, OutPoint, Transaction, Txid};
use lastword_chain::{Match, RawBlock, WatchIndex};
use lastword_types::{BlockHeight, ChannelId};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::pay;

fn channel(byte: u8) -> ChannelId {
    ChannelId([byte; 32])
}

/// An outpoint that no transaction here creates.
fn outpoint(byte: u8) -> OutPoint {
    OutPoint::new(Txid::from_byte_array([byte; 32]), u32::from(byte))
}

/// The places of what the index finds in the bytes of a block, which is what it finds in the block.
fn matches(index: &WatchIndex, block: &Block) -> Matches {
    let raw = RawBlock::from_block(block).expect("the block is small enough");
    let matches = index.matches(&raw);
    assert_eq!(index.matches_decoded(block), matches);
    let places = |found: Vec<Match>| found.into_iter().map(|found| found.place).collect();
    matches.into_iter().map(|(channel_id, found)| (channel_id, places(found))).collect()
}

/// A block with these transactions behind its coinbase; the index looks at nothing else.
fn block(transactions: Vec<Transaction>) -> Block {
    let mut block = genesis_block(Network::Regtest);
    block.txdata.extend(transactions);
    block
}

fn child_of(parent: &Transaction, vout: u32) -> Transaction {
    pay(&[OutPoint::new(parent.compute_txid(), vout)], &[1, 2])
}

#[test]
fn a_spend_concerns_those_who_watch_it() {
    let mut index = WatchIndex::new();
    index.set(channel(1), &[outpoint(1), outpoint(2)], None);
    index.set(channel(2), &[outpoint(3)], None);
    let spend =
        |bytes: &[u8]| pay(&bytes.iter().map(|byte| outpoint(*byte)).collect::<Vec<_>>(), &[1]);
    let block =
        block(vec![spend(&[9]), spend(&[3, 8]), spend(&[1, 3, 2]), spend(&[7]), spend(&[2])]);
    let expected = BTreeMap::from([(channel(1), vec![3, 5]), (channel(2), vec![2, 3])]);
    assert_eq!(matches(&index, &block), expected);
}

#[test]
fn a_block_that_concerns_nobody_gives_nothing() {
    let mut index = WatchIndex::new();
    let one = block(vec![pay(&[outpoint(1)], &[1])]);
    assert_eq!(matches(&index, &one), BTreeMap::new());
    index.set(channel(1), &[OutPoint { vout: 0, ..outpoint(1) }], None);
    assert_eq!(matches(&index, &one), BTreeMap::new());
    // Not even the coinbase's input, which names no output.
    index.set(channel(1), &[OutPoint::null()], None);
    assert_eq!(matches(&index, &one), BTreeMap::new());
    assert_eq!(matches(&index, &Block { txdata: Vec::new(), ..one }), BTreeMap::new());
}

#[test]
fn a_chain_of_spends_within_one_block_is_followed_to_its_end() {
    let mut index = WatchIndex::new();
    index.set(channel(1), &[outpoint(1)], None);
    index.set(channel(2), &[outpoint(2)], None);
    let commitment = pay(&[outpoint(1)], &[10, 20]);
    let second_stage = child_of(&commitment, 1);
    let stranger = pay(&[outpoint(5)], &[1]);
    let sweep = child_of(&second_stage, 0);
    // Spends outputs of both channels' transactions.
    let other = pay(&[outpoint(2)], &[7]);
    let both = pay(
        &[OutPoint::new(other.compute_txid(), 0), OutPoint::new(sweep.compute_txid(), 1)],
        &[1],
    );
    // The output at the place of an input follows from it; what is behind the inputs is change.
    let both =
        Transaction { output: [&both.output[..], &sweep.output, &sweep.output].concat(), ..both };
    let [after_other, after_sweep, change] = [0, 1, 2].map(|vout| child_of(&both, vout));
    let block = block(vec![
        commitment,
        stranger.clone(),
        second_stage,
        sweep,
        other,
        both,
        after_sweep,
        change,
        after_other,
    ]);
    let found = matches(&index, &block);
    let expected = BTreeMap::from([(channel(1), vec![1, 3, 4, 6, 7]), (channel(2), vec![5, 6, 9])]);
    assert_eq!(found, expected);

    // What a block created is not remembered for the next: the card says what is watched.
    let next = genesis_block(Network::Regtest);
    let child = child_of(&block.txdata[1], 0);
    let next = Block { txdata: vec![next.txdata[0].clone(), child], ..next };
    assert_eq!(matches(&index, &next), BTreeMap::new());
}

#[test]
fn several_channels_may_watch_one_outpoint() {
    let mut index = WatchIndex::new();
    for byte in [3, 1, 2] {
        index.set(channel(byte), &[outpoint(1), outpoint(1)], None);
    }
    let block = block(vec![pay(&[outpoint(1)], &[1])]);
    let all: Vec<_> = matches(&index, &block).into_keys().collect();
    assert_eq!(all, [channel(1), channel(2), channel(3)]);
    index.remove(channel(2));
    index.remove(channel(2));
    index.remove(channel(9));
    let all: Vec<_> = matches(&index, &block).into_keys().collect();
    assert_eq!(all, [channel(1), channel(3)]);
}

#[test]
fn what_is_set_replaces_what_was_set() {
    let mut index = WatchIndex::new();
    index.set(channel(1), &[outpoint(1), outpoint(2)], Some(BlockHeight(5)));
    index.set(channel(1), &[outpoint(2), outpoint(3)], Some(BlockHeight(9)));
    assert_eq!(index.len(), 1);
    let hit = |byte| !matches(&index, &block(vec![pay(&[outpoint(byte)], &[1])])).is_empty();
    assert_eq!([1, 2, 3].map(hit), [false, true, true]);
    assert_eq!(index.due(BlockHeight(8)), []);
    assert_eq!(index.due(BlockHeight(9)), [channel(1)]);
}

#[test]
fn deadlines_come_in_their_order() {
    let mut index = WatchIndex::new();
    assert_eq!(index.next_deadline(), None);
    for (byte, height) in [(1, Some(30)), (2, Some(10)), (3, None), (4, Some(20)), (5, Some(10))] {
        index.set(channel(byte), &[], height.map(BlockHeight));
    }
    assert_eq!(index.next_deadline(), Some(BlockHeight(10)));
    assert_eq!(index.due(BlockHeight(9)), []);
    assert_eq!(index.due(BlockHeight(10)), [channel(2), channel(5)]);
    assert_eq!(index.due(BlockHeight(29)), [channel(2), channel(5), channel(4)]);
    index.remove(channel(2));
    assert_eq!(index.due(BlockHeight(u32::MAX)), [channel(5), channel(4), channel(1)]);
}

/// Does what `matches` does, channel by channel and with sets of outpoints.
fn naive(watched: &BTreeMap<ChannelId, BTreeSet<OutPoint>>, block: &Block) -> Matches {
    let mut found = BTreeMap::new();
    for (channel_id, outpoints) in watched {
        let mut outpoints = outpoints.clone();
        let mut places = Vec::new();
        for (place, transaction) in block.txdata.iter().enumerate().skip(1) {
            if transaction.input.iter().any(|input| outpoints.contains(&input.previous_output)) {
                places.push(place);
                let txid = transaction.compute_txid();
                let inputs = (0..).zip(&transaction.input);
                let mine = inputs.filter(|(_, input)| outpoints.contains(&input.previous_output));
                let mine: Vec<u32> = mine.map(|(at, _)| at).collect();
                let is_one = transaction.input.len() == 1;
                let followed = (0..4).filter(|vout| is_one || mine.contains(vout));
                outpoints.extend(followed.map(|vout| OutPoint { txid, vout }));
            }
        }
        if !places.is_empty() {
            found.insert(*channel_id, places);
        }
    }
    found
}

type Matches = BTreeMap<ChannelId, Vec<usize>>;

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        rng_seed: RngSeed::Fixed(2),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_index_finds_what_a_visit_to_every_channel_would(
        sets in prop::collection::vec((0..6_u8, prop::collection::vec(0..20_u8, 0..5)), 0..12),
        removed in prop::collection::vec(0..6_u8, 0..3),
        spends in prop::collection::vec((any::<bool>(), 0..40_u8, 0..3_u32, 0..3_u8), 0..20),
    ) {
        let mut index = WatchIndex::new();
        let mut watched: BTreeMap<ChannelId, BTreeSet<OutPoint>> = BTreeMap::new();
        for (byte, outpoints) in &sets {
            let outpoints: Vec<_> = outpoints.iter().map(|byte| outpoint(*byte)).collect();
            index.set(channel(*byte), &outpoints, None);
            watched.insert(channel(*byte), outpoints.into_iter().collect());
        }
        for byte in removed {
            index.remove(channel(byte));
            watched.remove(&channel(byte));
        }
        let mut transactions: Vec<Transaction> = Vec::new();
        for (is_child, byte, vout, more) in spends {
            let parent = transactions.get(usize::from(byte) % transactions.len().max(1));
            let coin = match parent {
                Some(parent) if is_child => OutPoint::new(parent.compute_txid(), vout),
                Some(_) | None => outpoint(byte),
            };
            let inputs = [coin, outpoint(byte / 2), outpoint(byte / 3)];
            transactions.push(pay(&inputs[..=usize::from(more)], &[1, 2, 3]));
        }
        let block = block(transactions);
        prop_assert_eq!(matches(&index, &block), naive(&watched, &block));
    }
}
