//! Blocks that are built to be expensive: what they cost stays in proportion to their bytes.
//!
//! Counted is what is handed on, for that is what is built, written and applied, once for each
//! channel. No test here looks at a clock.

use std::collections::BTreeMap;

use bitcoin::constants::genesis_block;
use bitcoin::hashes::Hash;
use bitcoin::{Block, Network, OutPoint, Transaction, Txid, Witness};
use lastword_chain::{Match, RawBlock, WatchIndex};
use lastword_types::ChannelId;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::pay;

fn channel(number: usize) -> ChannelId {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ChannelId(bytes)
}

/// The outpoint that the channel of this number watches.
fn watched(number: usize) -> OutPoint {
    let vout = u32::try_from(number).expect("few");
    OutPoint { txid: Txid::from_byte_array([7; 32]), vout }
}

fn watching(count: usize) -> WatchIndex {
    let mut index = WatchIndex::new();
    for number in 0..count {
        index.set(channel(number), &[watched(number)], None);
    }
    index
}

fn block(transactions: Vec<Transaction>) -> Block {
    let mut block = genesis_block(Network::Regtest);
    block.txdata.extend(transactions);
    block
}

fn outputs(parent: &Transaction) -> impl Iterator<Item = OutPoint> {
    let txid = parent.compute_txid();
    (0..).take(parent.output.len()).map(move |vout| OutPoint { txid, vout })
}

type Matches = BTreeMap<ChannelId, Vec<Match>>;

/// What is handed on, and by how many inputs; asserts that no input brings more than its watchers.
fn handed(index: &WatchIndex, block: &Block, watchers: usize) -> (Matches, usize) {
    let found = index.matches(&RawBlock::from_block(block).expect("the block is small enough"));
    let inputs: usize = found.values().flatten().map(|found| found.inputs.len()).sum();
    let all: usize = block.txdata.iter().map(|transaction| transaction.input.len()).sum();
    assert!(inputs <= all * watchers, "{inputs} handed on, of {all}");
    (found, inputs)
}

#[test]
fn descendants_of_a_transaction_that_gathers_many_channels_go_to_their_own_channel_only() {
    let count = 1_000;
    let index = watching(count);
    let amounts = vec![1; count];
    let gathering = pay(&(0..count).map(watched).collect::<Vec<_>>(), &amounts);
    let children: Vec<_> = outputs(&gathering).map(|output| pay(&[output], &[1])).collect();
    let spend = |child| pay(&outputs(child).collect::<Vec<_>>(), &[1]);
    let grandchildren: Vec<_> = children.iter().map(spend).collect();
    let block = block([vec![gathering], children, grandchildren].concat());
    let (found, inputs) = handed(&index, &block, 1);
    assert_eq!(inputs, 3 * count, "a million without the rule");
    for number in 0..count {
        let places: Vec<_> = found[&channel(number)].iter().map(|found| found.place).collect();
        assert_eq!(places, [1, 2 + number, 2 + count + number]);
    }
}

#[test]
fn gathering_again_and_again_hands_on_no_more_than_there_are_inputs() {
    let count = 200;
    let index = watching(count);
    let mut transactions = vec![pay(&(0..count).map(watched).collect::<Vec<_>>(), &vec![1; count])];
    for _ in 0..50 {
        let parent = transactions.last().expect("the first is there");
        let all: Vec<_> = outputs(parent).collect();
        transactions.push(pay(&all, &vec![1; count]));
    }
    let (found, inputs) = handed(&index, &block(transactions), 1);
    assert_eq!(inputs, 51 * count);
    assert!(found.values().all(|matches| matches.len() == 51));
}

#[test]
fn one_transaction_with_all_inputs_is_handed_on_once_to_each_channel() {
    let count = 20_000;
    let all: Vec<_> = (0..count).map(watched).collect();
    let gathering = block(vec![pay(&all, &[1])]);
    let (found, inputs) = handed(&watching(count), &gathering, 1);
    assert_eq!((found.len(), inputs), (count, count));

    let mut index = WatchIndex::new();
    index.set(channel(0), &all, None);
    let (found, _) = handed(&index, &gathering, 1);
    let inputs = (0..count).collect();
    assert_eq!(found, BTreeMap::from([(channel(0), vec![Match { place: 1, inputs }])]));
}

#[test]
fn thousands_of_spends_by_strangers_are_handed_on_once_each() {
    let count = 20_000;
    let index = watching(count);
    let spends = (0..count).map(|number| pay(&[watched(number)], &[1, 1]));
    let (found, inputs) = handed(&index, &block(spends.collect()), 1);
    assert_eq!((found.len(), inputs), (count, count));
}

#[test]
fn a_giant_witness_of_a_stranger_is_shown_to_no_channel() {
    let count = 1_000;
    let index = watching(count);
    let stranger = OutPoint { txid: Txid::from_byte_array([8; 32]), vout: 0 };
    let coins: Vec<_> = [stranger].into_iter().chain((0..count).map(watched)).collect();
    let mut gathering = pay(&coins, &[1]);
    gathering.input[0].witness = Witness::from_slice(&[vec![1; 2_000_000]]);
    let block = block(vec![gathering.clone()]);
    let (found, _) = handed(&index, &block, 1);
    let witness_bytes = |transaction: &Transaction| -> usize {
        transaction.input.iter().map(|input| input.witness.size()).sum()
    };
    let shown: usize = found
        .values()
        .flatten()
        .map(|found| {
            let shown = found.shown(&gathering);
            assert_eq!(shown.compute_txid(), gathering.compute_txid());
            let [input] = found.inputs[..] else { panic!("one input concerns the channel") };
            assert_eq!(shown.input[input], gathering.input[input]);
            // An absent witness still has its count of elements.
            witness_bytes(&shown) - (coins.len() - 1)
        })
        .sum();
    assert!(shown <= witness_bytes(&gathering), "{shown}");
    assert!(shown < 4 * count, "{shown}: only their own witnesses");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        rng_seed: RngSeed::Fixed(4),
        ..ProptestConfig::default()
    })]

    #[test]
    fn however_a_stranger_weaves_a_block_an_input_hands_on_what_its_outpoint_has_watchers(
        spends in prop::collection::vec(
            prop::collection::vec((any::<bool>(), any::<prop::sample::Index>(), 0..4_u32), 1..12),
            1..40,
        ),
    ) {
        let count = 12;
        let mut index = watching(count);
        // Each outpoint has two watchers.
        for number in 0..count {
            index.set(channel(count + number), &[watched(number)], None);
        }
        let mut transactions: Vec<Transaction> = Vec::new();
        for inputs in spends {
            let coin = |(is_child, at, vout): (bool, prop::sample::Index, u32)| {
                if !is_child || transactions.is_empty() {
                    return watched(at.index(count));
                }
                OutPoint { txid: at.get(&transactions).compute_txid(), vout }
            };
            let coins: Vec<_> = inputs.into_iter().map(coin).collect();
            transactions.push(pay(&coins, &[1, 1, 1, 1]));
        }
        handed(&index, &block(transactions), 2);
    }
}
