//! Each rule for one transaction: accepted just inside the limit, refused just outside.

use bitcoin::absolute::LockTime;
use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, ScriptBuf, Sequence, TxOut, Weight};
use lastword_regtest::{BlockReject, Chain, MAX_BLOCK_WEIGHT, Reject, median_time};
use lastword_types::BlockHeight;

use crate::support::{COIN, anybody, coinbase_of, funded, output, pay};

/// Submits, and checks that a refusal changed nothing.
fn refused(chain: &mut Chain, transaction: bitcoin::Transaction) -> Reject {
    let before = (chain.mempool(), chain.tip());
    let txid = transaction.compute_txid();
    let reject = chain.submit(transaction).expect_err("the transaction is refused");
    assert_eq!((chain.mempool(), chain.tip()), before);
    assert_eq!(chain.transaction(txid), None);
    reject
}

#[test]
fn a_transaction_needs_inputs_and_outputs() {
    let (mut chain, coins) = funded(1);
    assert_eq!(refused(&mut chain, pay(&[], &[1])), Reject::NoInputs);
    assert_eq!(refused(&mut chain, pay(&coins, &[])), Reject::NoOutputs);
    assert_eq!(chain.submit(pay(&coins, &[0])), Ok(()));
}

#[test]
fn outputs_are_worth_no_more_than_all_money() {
    let (mut chain, coins) = funded(1);
    let all = Amount::MAX_MONEY.to_sat();
    let inflation = Reject::Inflation { spent: COIN, created: Amount::MAX_MONEY };
    assert_eq!(refused(&mut chain, pay(&coins, &[all - 1, 1])), inflation);
    let too_much = Reject::TooMuchMoney { output: 1 };
    assert_eq!(refused(&mut chain, pay(&coins, &[all, 1])), too_much);
    assert_eq!(refused(&mut chain, pay(&coins, &[1, u64::MAX])), too_much);
}

#[test]
fn a_transaction_spends_each_outpoint_once() {
    let (mut chain, coins) = funded(2);
    let twice = pay(&[coins[0], coins[1], coins[0]], &[1]);
    let expected = Reject::DuplicateInput { input: 2, outpoint: coins[0] };
    assert_eq!(refused(&mut chain, twice), expected);
    assert_eq!(chain.submit(pay(&coins, &[1])), Ok(()));
}

#[test]
fn only_a_coinbase_has_an_input_without_an_outpoint() {
    let (mut chain, coins) = funded(1);
    let null = pay(&[coins[0], OutPoint::null()], &[1]);
    assert_eq!(refused(&mut chain, null), Reject::NullInput { input: 1 });
    let mut coinbase = pay(&[OutPoint::null()], &[1]);
    coinbase.input[0].script_sig = ScriptBuf::from_bytes(vec![0x51, 0x51]);
    assert_eq!(refused(&mut chain, coinbase), Reject::Coinbase);
}

#[test]
fn inputs_must_exist_and_be_unspent() {
    let (mut chain, coins) = funded(2);
    let nowhere = OutPoint { vout: 7, ..coins[0] };
    let missing = Reject::MissingInput { input: 1, outpoint: nowhere };
    assert_eq!(refused(&mut chain, pay(&[coins[0], nowhere], &[1])), missing);

    let first = pay(&coins[..1], &[COIN.to_sat()]);
    chain.submit(first.clone()).expect("valid");
    // An output that a waiting transaction does not have.
    let beyond = output(&first, 1);
    let missing = Reject::MissingInput { input: 0, outpoint: beyond };
    assert_eq!(refused(&mut chain, pay(&[beyond], &[1])), missing);

    chain.mine(&anybody());
    let spent = Reject::Spent { input: 1, outpoint: coins[0], by: first.compute_txid() };
    assert_eq!(refused(&mut chain, pay(&[coins[1], coins[0]], &[1])), spent);
}

#[test]
fn a_transaction_creates_no_more_than_it_spends() {
    let (mut chain, coins) = funded(2);
    let all = 2 * COIN.to_sat();
    let inflation =
        Reject::Inflation { spent: Amount::from_sat(all), created: Amount::from_sat(all + 1) };
    assert_eq!(refused(&mut chain, pay(&coins, &[all, 1])), inflation);
    assert_eq!(chain.submit(pay(&coins, &[all - 1, 1])), Ok(()));
}

#[test]
fn a_coinbase_is_spent_a_hundred_blocks_later() {
    let mut chain = Chain::new();
    chain.mine(&anybody().to_p2wsh());
    let coin = coinbase_of(&chain, 1);
    for _ in 0..98 {
        chain.mine_empty();
    }
    // The next block is the one at height 100: 99 blocks later.
    let immature = Reject::Immature { input: 0, from: BlockHeight(101) };
    assert_eq!(refused(&mut chain, pay(&[coin], &[1])), immature);
    chain.mine_empty();
    assert_eq!(chain.submit(pay(&[coin], &[1])), Ok(()));
}

#[test]
fn a_lock_until_a_height_ends_with_the_block_above_it() {
    let (mut chain, coins) = funded(1);
    let next = chain.height().plus(1);
    let locked = |height: BlockHeight| {
        let mut transaction = pay(&coins, &[1]);
        transaction.lock_time = LockTime::from_height(height.0).expect("a height");
        transaction
    };
    let expected = Reject::NotFinal {
        lock_time: LockTime::from_height(next.0).expect("a height"),
        height: next,
        time: chain.median_time(),
    };
    assert_eq!(refused(&mut chain, locked(next)), expected);

    let mut waived = locked(next);
    waived.input[0].sequence = Sequence::MAX;
    assert_eq!(chain.clone().submit(waived), Ok(()));
    assert_eq!(chain.clone().submit(locked(BlockHeight(next.0 - 1))), Ok(()));
    chain.mine_empty();
    assert_eq!(chain.submit(locked(next)), Ok(()));
}

#[test]
fn a_lock_until_a_time_ends_when_the_median_time_is_past_it() {
    let (mut chain, coins) = funded(1);
    let locked = |time: u32| {
        let mut transaction = pay(&coins, &[1]);
        transaction.lock_time = LockTime::from_time(time).expect("a time");
        transaction
    };
    let median = chain.median_time();
    let reject = refused(&mut chain, locked(median));
    assert!(matches!(reject, Reject::NotFinal { time, .. } if time == median), "{reject}");
    assert_eq!(chain.clone().submit(locked(median - 1)), Ok(()));
    chain.mine_empty();
    assert_eq!(chain.submit(locked(median)), Ok(()));
}

#[test]
fn a_relative_lock_in_blocks_counts_from_the_block_of_the_output() {
    let (mut chain, coins) = funded(1);
    let parent = pay(&coins, &[COIN.to_sat()]);
    chain.submit(parent.clone()).expect("valid");
    let locked = |blocks: u16| {
        let mut child = pay(&[output(&parent, 0)], &[1]);
        child.input[0].sequence = Sequence::from_height(blocks);
        child
    };
    // In the mempool the parent counts as confirmed in the next block, as its child does.
    let from = chain.height().plus(2);
    assert_eq!(refused(&mut chain, locked(1)), Reject::LockedToHeight { input: 0, from });
    assert_eq!(chain.clone().submit(locked(0)), Ok(()));

    chain.mine(&anybody());
    let confirmed = chain.height();
    for _ in 0..9 {
        chain.mine_empty();
    }
    // The next block is ten above the parent's.
    let from = confirmed.plus(11);
    assert_eq!(refused(&mut chain, locked(11)), Reject::LockedToHeight { input: 0, from });
    let mut waived = locked(11);
    waived.version = Version::ONE;
    assert_eq!(chain.clone().submit(waived), Ok(()));
    let mut disabled = locked(11);
    disabled.input[0].sequence = Sequence(0x8000_000b);
    assert_eq!(chain.clone().submit(disabled), Ok(()));
    // Consensus reads the version without a sign.
    let mut negative = locked(11);
    negative.version = Version(-1);
    assert_eq!(refused(&mut chain, negative), Reject::LockedToHeight { input: 0, from });
    assert_eq!(chain.submit(locked(10)), Ok(()));
}

#[test]
fn a_relative_lock_in_time_counts_from_the_median_time_before_the_output() {
    let (mut chain, coins) = funded(1);
    let start = chain.median_time();
    let parent = pay(&coins, &[COIN.to_sat()]);
    chain.submit(parent.clone()).expect("valid");
    chain.mine(&anybody());
    for _ in 0..63 {
        chain.mine_empty();
    }
    // 64 blocks of 600 seconds are 75 units of 512 seconds, exactly.
    assert_eq!(chain.median_time() - start, 75 * 512);
    let locked = |units: u16| {
        let mut child = pay(&[output(&parent, 0)], &[1]);
        child.input[0].sequence = Sequence::from_512_second_intervals(units);
        child
    };
    let from = start + 76 * 512;
    assert_eq!(refused(&mut chain, locked(76)), Reject::LockedToTime { input: 0, from });
    assert_eq!(chain.submit(locked(75)), Ok(()));
}

#[test]
fn what_waits_fits_into_a_block() {
    let (mut chain, coins) = funded(1);
    let limit = MAX_BLOCK_WEIGHT - Weight::from_wu(4_000);
    let padded = |bytes: usize| {
        let mut transaction = pay(&coins, &[1]);
        let script = ScriptBuf::from_bytes([&[0x6a][..], &vec![0; bytes]].concat());
        transaction.output.push(TxOut { value: Amount::ZERO, script_pubkey: script });
        transaction
    };
    let room = (limit - padded(100_000).weight()).to_wu() / 4;
    let bytes = 100_000 + usize::try_from(room).expect("less than a block");
    let weight = padded(bytes + 1).weight();
    assert!(weight > limit && padded(bytes).weight() <= limit);
    assert_eq!(refused(&mut chain, padded(bytes + 1)), Reject::TooHeavy { weight, limit });
    // Base size counts four times, whatever witnesses weigh.
    let reject = refused(&mut chain, padded(1_000_001));
    assert!(matches!(reject, Reject::TooHeavy { limit: MAX_BLOCK_WEIGHT, .. }), "{reject}");

    assert_eq!(chain.submit(padded(bytes)), Ok(()));
    chain.mine(&anybody());
    assert_eq!(chain.mempool(), []);
}

#[test]
fn the_median_is_taken_over_eleven_times() {
    assert_eq!(median_time(&[]), 0);
    assert_eq!(median_time(&[5]), 5);
    assert_eq!(median_time(&[900, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1]), 6);
}

#[test]
fn a_chain_of_waiting_transactions_confirms_in_one_block() {
    let (mut chain, coins) = funded(1);
    let mut coin = coins[0];
    for step in 0..20 {
        let transaction = pay(&[coin], &[COIN.to_sat() - step]);
        coin = output(&transaction, 0);
        chain.submit(transaction).expect("valid");
    }
    chain.mine(&anybody());
    assert_eq!(chain.utxo(coin).map(|unspent| unspent.height), Some(chain.height()));
    assert_eq!(chain.spender(coins[0]).map(|(_, height)| height), Some(chain.height()));
}

#[test]
fn an_output_that_returns_cannot_be_spent() {
    let (mut chain, coins) = funded(1);
    let mut burn = pay(&coins, &[1]);
    burn.output[0].script_pubkey = ScriptBuf::new_op_return([1]);
    chain.submit(burn.clone()).expect("valid");
    chain.mine(&anybody());
    let outpoint = output(&burn, 0);
    assert_eq!(chain.utxo(outpoint), None);
    let missing = Reject::MissingInput { input: 0, outpoint };
    assert_eq!(refused(&mut chain, pay(&[outpoint], &[1])), missing);
    let error = chain.mine_transactions(&anybody(), vec![pay(&[outpoint], &[1])]);
    let index_of = |error| match error {
        Err(BlockReject::Transaction { index, reject, .. }) => Some((index, reject)),
        _ => None,
    };
    assert_eq!(index_of(error), Some((1, missing)));
}

#[test]
fn a_fee_is_what_is_spent_and_not_created() {
    let (mut chain, coins) = funded(2);
    let parent = pay(&coins, &[1, COIN.to_sat()]);
    let child = pay(&[output(&parent, 1)], &[COIN.to_sat() - 3]);
    let fees = |chain: &Chain| [&parent, &child].map(|tx| chain.fee(tx.compute_txid()));
    assert_eq!(fees(&chain), [None, None]);
    let expected = [Some(COIN - Amount::ONE_SAT), Some(Amount::from_sat(3))];
    chain.submit(parent.clone()).expect("valid");
    chain.submit(child.clone()).expect("valid");
    assert_eq!(fees(&chain), expected);
    chain.mine(&anybody());
    assert_eq!(fees(&chain), expected);
    let tip = chain.height().0;
    assert_eq!(chain.fee(coinbase_of(&chain, tip).txid), Some(Amount::ZERO));
}
