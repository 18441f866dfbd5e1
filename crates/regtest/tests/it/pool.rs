//! The mempool, the choice of the miner, and reorgs.

use bitcoin::{Amount, Sequence};
use lastword_regtest::{BlockReject, Chain, Reject, Replacement};

use crate::support::{COIN, anybody, coinbase_of, funded, output, pay};

#[test]
fn the_first_seen_stays() {
    let (mut chain, coins) = funded(2);
    let first = pay(&coins[..1], &[COIN.to_sat() - 1]);
    let second = pay(&[coins[1], coins[0]], &[1]);
    chain.submit(first.clone()).expect("valid");
    let with = first.compute_txid();
    let conflict = Reject::Conflict { input: 1, outpoint: coins[0], with };
    assert_eq!(chain.submit(second), Err(conflict));
    assert_eq!(chain.mempool(), [with]);
    assert_eq!(chain.mempool_spender(coins[0]), Some(with));
}

#[test]
fn what_waits_or_is_confirmed_is_taken_again() {
    let (mut chain, coins) = funded(1);
    let parent = pay(&coins, &[COIN.to_sat()]);
    let child = pay(&[output(&parent, 0)], &[1]);
    for _ in 0..2 {
        assert_eq!(chain.submit(parent.clone()), Ok(()));
        assert_eq!(chain.submit(child.clone()), Ok(()));
    }
    assert_eq!(chain.mempool().len(), 2);
    chain.mine(&anybody());
    // The parent is confirmed and all its outputs are spent.
    assert_eq!(chain.submit(parent), Ok(()));
    assert_eq!(chain.submit(child), Ok(()));
    assert_eq!(chain.mempool(), []);
}

#[test]
fn a_replacement_pays_more_than_all_that_it_evicts() {
    let (mut chain, coins) = funded(2);
    chain.set_replacement(Replacement::ByFee);
    let parent = pay(&coins[..1], &[COIN.to_sat() - 10_000]);
    let child = pay(&[output(&parent, 0)], &[COIN.to_sat() - 15_000]);
    let other = pay(&coins[1..], &[1]);
    for transaction in [&parent, &child, &other] {
        chain.submit(transaction.clone()).expect("valid");
    }
    let paying = |fee: u64| pay(&coins[..1], &[COIN.to_sat() - fee]);
    let vbytes = paying(0).weight().to_vbytes_ceil();
    let needed = Amount::from_sat(15_000 + vbytes);
    let offered = needed - Amount::ONE_SAT;
    assert_eq!(chain.submit(paying(offered.to_sat())), Err(Reject::FeeTooLow { offered, needed }));
    let replacement = paying(needed.to_sat());
    assert_eq!(chain.submit(replacement.clone()), Ok(()));
    assert_eq!(chain.mempool(), [other.compute_txid(), replacement.compute_txid()]);
    assert_eq!(chain.transaction(child.compute_txid()), None);
}

#[test]
fn a_replacement_cannot_spend_what_it_evicts() {
    let (mut chain, coins) = funded(1);
    chain.set_replacement(Replacement::ByFee);
    let parent = pay(&coins, &[COIN.to_sat() - 1]);
    chain.submit(parent.clone()).expect("valid");
    let both = pay(&[output(&parent, 0), coins[0]], &[1]);
    let (outpoint, with) = (output(&parent, 0), parent.compute_txid());
    assert_eq!(chain.submit(both), Err(Reject::Conflict { input: 0, outpoint, with }));
    assert_eq!(chain.mempool(), [with]);
}

#[test]
fn a_block_evicts_what_it_contradicts() {
    let (mut chain, coins) = funded(2);
    let loser = pay(&coins[..1], &[COIN.to_sat()]);
    let child = pay(&[output(&loser, 0)], &[1]);
    let other = pay(&coins[1..], &[1]);
    for transaction in [&loser, &child, &other] {
        chain.submit(transaction.clone()).expect("valid");
    }
    let winner = pay(&coins[..1], &[7]);
    chain.mine_transactions(&anybody(), vec![winner.clone()]).expect("valid");
    assert_eq!(chain.mempool(), [other.compute_txid()]);
    assert_eq!(chain.spender(coins[0]), Some((winner.compute_txid(), chain.height())));
}

#[test]
fn the_miner_chooses() {
    let (mut chain, coins) = funded(3);
    let spends: Vec<_> = coins.iter().map(|coin| pay(&[*coin], &[COIN.to_sat()])).collect();
    let child = pay(&[output(&spends[1], 0)], &[1]);
    for transaction in spends.iter().chain([&child]) {
        chain.submit(transaction.clone()).expect("valid");
    }
    let txids: Vec<_> = spends.iter().map(bitcoin::Transaction::compute_txid).collect();
    chain.mine_empty();
    assert_eq!(chain.mempool().len(), 4);

    // Without the second, its child stays away too.
    chain.clone().mine_except(&anybody(), &txids[1..2]);
    let mut copy = chain.clone();
    copy.mine_except(&anybody(), &txids[1..2]);
    assert_eq!(copy.mempool(), [txids[1], child.compute_txid()]);

    chain.mine_block(&anybody(), &txids[2..]).expect("it waits");
    assert_eq!(chain.mempool(), [txids[0], txids[1], child.compute_txid()]);
    let gone = BlockReject::NotInMempool { txid: txids[2] };
    assert_eq!(chain.mine_block(&anybody(), &txids[2..]), Err(gone));
    let orphan = chain.mine_block(&anybody(), &[child.compute_txid()]);
    assert!(matches!(orphan, Err(BlockReject::Transaction { index: 1, .. })), "{orphan:?}");
    assert_eq!(chain.mempool().len(), 3);
}

#[test]
fn a_full_mempool_takes_several_blocks() {
    let (mut chain, coins) = funded(3);
    for coin in &coins {
        let mut large = pay(&[*coin], &[1]);
        let script = bitcoin::ScriptBuf::from_bytes([&[0x6a][..], &vec![0; 400_000]].concat());
        large.output.push(bitcoin::TxOut { value: Amount::ZERO, script_pubkey: script });
        chain.submit(large).expect("valid");
    }
    let waiting = chain.mempool();
    chain.mine(&anybody());
    assert_eq!(chain.mempool(), waiting[2..]);
    chain.mine(&anybody());
    assert_eq!(chain.mempool(), []);
}

#[test]
fn what_a_reorg_takes_off_waits_again_in_order() {
    let (mut chain, coins) = funded(3);
    let before: Vec<_> = chain.utxos().map(|(at, unspent)| (at, unspent.clone())).collect();
    let fork = chain.tip();
    let parent = pay(&coins[..1], &[COIN.to_sat()]);
    let child = pay(&[output(&parent, 0)], &[1]);
    let waiting = pay(&coins[1..2], &[1]);
    chain.submit(parent.clone()).expect("valid");
    let first = chain.mine(&anybody().to_p2wsh());
    chain.submit(child.clone()).expect("valid");
    let second = chain.mine(&anybody().to_p2wsh());
    chain.submit(waiting.clone()).expect("valid");

    assert_eq!(chain.reorg(2), [second, first]);
    assert_eq!(chain.tip(), fork);
    assert!(chain.utxos().map(|(at, unspent)| (at, unspent.clone())).eq(before));
    let [parent, child, waiting] = [parent, child, waiting].map(|one| one.compute_txid());
    assert_eq!(chain.mempool(), [parent, child, waiting]);
    assert_eq!(chain.spender(coins[0]), None);
    assert_eq!(chain.transaction(parent).map(|(_, height)| height), Some(None));

    // The blocks that left stay known, and the next ones at their heights are others.
    assert_eq!(chain.height_of(second), Some(fork.height.plus(2)));
    assert!(chain.block(second).is_some());
    let third = chain.mine(&anybody().to_p2wsh());
    assert_ne!(third, first);
    assert_eq!(chain.block_at(fork.height.plus(1)).map(bitcoin::Block::block_hash), Some(third));
    assert_eq!(chain.mempool(), []);
}

#[test]
fn what_a_reorg_makes_invalid_is_lost() {
    let (mut chain, coins) = funded(2);
    let parent = pay(&coins[..1], &[COIN.to_sat()]);
    chain.submit(parent.clone()).expect("valid");
    chain.mine(&anybody());
    let mut locked = pay(&[output(&parent, 0)], &[1]);
    locked.input[0].sequence = Sequence::from_height(1);
    chain.submit(locked.clone()).expect("valid");
    chain.reorg(1);
    assert_eq!(chain.mempool(), [parent.compute_txid()]);

    // A coinbase at height 1 is mature from height 101 on, which is the tip's.
    let (mut chain, _) = funded(1);
    let coin = coinbase_of(&chain, 1);
    chain.submit(pay(&[coin], &[1])).expect("valid");
    chain.reorg(1);
    assert_eq!(chain.mempool().len(), 1);
    chain.reorg(1);
    assert_eq!(chain.mempool(), []);
}

#[test]
fn a_block_that_left_is_not_mined_again() {
    let mut chain = Chain::new();
    let first = chain.mine_empty();
    chain.reorg(1);
    let second = chain.mine_empty();
    assert_ne!(first, second);
    assert_eq!(chain.height_of(first), chain.height_of(second));
    let reward = |hash| chain.block(hash).map(|block| block.txdata[0].compute_txid());
    assert_ne!(reward(first), reward(second));
}

#[test]
fn a_reorg_stops_at_the_genesis_block() {
    let mut chain = Chain::new();
    let mined = chain.mine_empty();
    let genesis = chain.block_at(lastword_types::BlockHeight(0)).map(bitcoin::Block::block_hash);
    assert_eq!(chain.reorg(0), []);
    assert_eq!(chain.reorg(5), [mined]);
    assert_eq!(Some(chain.tip().hash), genesis);
    assert_eq!(chain.reorg(1), []);
}

#[test]
fn the_same_calls_give_the_same_chain() {
    let run = || {
        let (mut chain, coins) = funded(2);
        chain.submit(pay(&coins, &[5])).expect("valid");
        chain.mine(&anybody());
        chain.reorg(3);
        chain.mine_empty();
        chain.mine(&anybody());
        let blocks: Vec<_> = chain.blocks().map(bitcoin::consensus::serialize).collect();
        (chain.tip(), blocks)
    };
    assert_eq!(run(), run());
}
