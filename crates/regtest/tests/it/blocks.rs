//! Each rule for one block: accepted just inside the limit, refused just outside.

use bitcoin::block::Version;
use bitcoin::hashes::Hash;
use bitcoin::{
    Amount, Block, BlockHash, CompactTarget, OutPoint, ScriptBuf, TxMerkleNode, TxOut, Weight,
    Witness,
};
use lastword_regtest::{
    BlockReject, Chain, HALVING_INTERVAL, MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT, Reject, seal,
    subsidy,
};
use lastword_types::BlockHeight;

use crate::support::{COIN, anybody, funded, output, pay};

/// Builds the next block, changes it, and makes it whole again.
fn changed(chain: &Chain, change: impl FnOnce(&mut Block)) -> Block {
    let mut block = chain.build(&anybody(), Vec::new());
    change(&mut block);
    seal(&mut block);
    block
}

/// Connects on a copy, and checks that a refusal changed nothing.
fn connect(chain: &Chain, block: &Block) -> Result<(), BlockReject> {
    let mut copy = chain.clone();
    let result = copy.connect(block);
    if result.is_err() {
        assert_eq!(copy.tip(), chain.tip());
        assert!(copy.utxos().eq(chain.utxos()));
        assert_eq!(copy.block(block.block_hash()), None);
    }
    result
}

#[test]
fn a_block_builds_on_the_tip() {
    let chain = Chain::new();
    let tip = chain.tip().hash;
    let previous = BlockHash::all_zeros();
    let block = changed(&chain, |block| block.header.prev_blockhash = previous);
    assert_eq!(connect(&chain, &block), Err(BlockReject::NotOnTip { previous, tip }));
}

#[test]
fn a_block_has_version_four_at_least() {
    let chain = Chain::new();
    let with =
        |version| changed(&chain, |block| block.header.version = Version::from_consensus(version));
    assert_eq!(connect(&chain, &with(3)), Err(BlockReject::Version { version: 3 }));
    assert_eq!(connect(&chain, &with(-1)), Err(BlockReject::Version { version: -1 }));
    assert_eq!(connect(&chain, &with(4)), Ok(()));
}

#[test]
fn a_block_has_work_for_the_target_of_the_chain() {
    let chain = Chain::new();
    let other = changed(&chain, |block| {
        block.header.bits = CompactTarget::from_consensus(0x2100_ffff);
    });
    assert_eq!(connect(&chain, &other), Err(BlockReject::Target { bits: 0x2100_ffff }));

    let mut block = chain.build(&anybody(), Vec::new());
    assert_eq!(connect(&chain, &block), Ok(()));
    while block.header.validate_pow(block.header.target()).is_ok() {
        block.header.nonce += 1;
    }
    assert_eq!(connect(&chain, &block), Err(BlockReject::ProofOfWork));
}

#[test]
fn a_block_is_later_than_the_median_of_eleven_before() {
    let mut chain = Chain::new();
    for _ in 0..11 {
        chain.mine_empty();
    }
    let median = chain.median_time();
    let at = |time| changed(&chain, |block| block.header.time = time);
    assert_eq!(connect(&chain, &at(median)), Err(BlockReject::Time { time: median, median }));
    assert_eq!(connect(&chain, &at(median + 1)), Ok(()));
}

#[test]
fn the_header_commits_to_the_transactions() {
    let (chain, coins) = funded(1);
    let mut block = chain.build(&anybody(), vec![pay(&coins, &[1])]);
    assert_eq!(connect(&chain, &block), Ok(()));
    block.txdata[1].output[0].value = Amount::from_sat(2);
    assert_eq!(connect(&chain, &block), Err(BlockReject::MerkleRoot));
    block.txdata.clear();
    assert_eq!(connect(&chain, &block), Err(BlockReject::MerkleRoot));
    let mut zero = chain.build(&anybody(), Vec::new());
    zero.header.merkle_root = TxMerkleNode::all_zeros();
    zero.txdata.clear();
    seal(&mut zero);
    assert_eq!(connect(&chain, &zero), Err(BlockReject::MerkleRoot));
}

#[test]
fn a_block_begins_with_its_only_coinbase() {
    let (chain, coins) = funded(1);
    let without = changed(&chain, |block| block.txdata = vec![pay(&coins, &[1])]);
    assert_eq!(connect(&chain, &without), Err(BlockReject::NoCoinbase));

    let mut txid = None;
    let two = changed(&chain, |block| {
        let mut second = block.txdata[0].clone();
        second.input[0].witness = Witness::new();
        second.output[0].value = Amount::ZERO;
        txid = Some(second.compute_txid());
        block.txdata.push(second);
    });
    let txid = txid.expect("set above");
    let expected = BlockReject::Transaction { index: 1, txid, reject: Reject::Coinbase };
    assert_eq!(connect(&chain, &two), Err(expected));
}

#[test]
fn a_coinbase_says_its_height_in_two_to_a_hundred_bytes() {
    let mut chain = Chain::new();
    let script_of = |chain: &Chain, bytes: &[u8]| {
        changed(chain, |block| {
            block.txdata[0].input[0].script_sig = ScriptBuf::from_bytes(bytes.to_vec());
        })
    };
    let too_short = connect(&chain, &script_of(&chain, &[0x51]));
    let is_size = |result| match result {
        Err(BlockReject::Transaction { index: 0, reject, .. }) => Some(reject),
        _ => None,
    };
    assert_eq!(is_size(too_short), Some(Reject::CoinbaseScript { bytes: 1 }));
    assert_eq!(connect(&chain, &script_of(&chain, &[0x51, 0])), Ok(()));
    let height = BlockHeight(1);
    let wrong = connect(&chain, &script_of(&chain, &[0x52, 0]));
    assert_eq!(wrong, Err(BlockReject::CoinbaseHeight { height }));

    for _ in 0..16 {
        chain.mine_empty();
    }
    let long = |bytes: usize| {
        let mut script = vec![1, 17];
        script.resize(bytes, 0);
        connect(&chain, &script_of(&chain, &script))
    };
    assert_eq!(long(100), Ok(()));
    assert_eq!(is_size(long(101)), Some(Reject::CoinbaseScript { bytes: 101 }));
}

#[test]
fn a_coinbase_commits_to_the_witnesses() {
    let (chain, coins) = funded(1);
    let spend = pay(&coins, &[1]);
    let whole = chain.build(&anybody(), vec![spend]);
    let resealed = |change: &dyn Fn(&mut Block)| {
        let mut block = whole.clone();
        change(&mut block);
        block.header.merkle_root = block.compute_merkle_root().expect("not empty");
        while block.header.validate_pow(block.header.target()).is_err() {
            block.header.nonce += 1;
        }
        connect(&chain, &block)
    };
    let fails = Err(BlockReject::WitnessCommitment);
    assert_eq!(resealed(&|_| {}), Ok(()));
    assert_eq!(resealed(&|block| block.txdata[0].output.truncate(1)), fails);
    assert_eq!(resealed(&|block| block.txdata[0].input[0].witness.clear()), fails);
    assert_eq!(resealed(&|block| block.txdata[0].input[0].witness.push([0])), fails);
    assert_eq!(resealed(&|block| block.txdata[1].input[0].witness.push([0])), fails);
    // A block without witnesses needs no commitment, and one that it has must still be right.
    assert_eq!(
        resealed(&|block| {
            block.txdata.truncate(1);
            block.txdata[0].output[0].value = Amount::ZERO;
        }),
        fails
    );
    assert_eq!(
        resealed(&|block| {
            block.txdata.truncate(1);
            block.txdata[0].output.truncate(1);
            block.txdata[0].output[0].value = Amount::ZERO;
            block.txdata[0].input[0].witness.clear();
        }),
        Ok(())
    );
}

#[test]
fn a_coinbase_takes_the_subsidy_and_the_fees_at_most() {
    let (chain, coins) = funded(2);
    let fee = 777;
    let spend = pay(&coins, &[2 * COIN.to_sat() - fee]);
    let allowed = COIN + Amount::from_sat(fee);
    let whole = chain.build(&anybody(), vec![spend]);
    assert_eq!(whole.txdata[0].output[0].value, allowed);
    assert_eq!(connect(&chain, &whole), Ok(()));
    let mut greedy = whole;
    let claimed = allowed + Amount::ONE_SAT;
    greedy.txdata[0].output[0].value = claimed;
    seal(&mut greedy);
    assert_eq!(connect(&chain, &greedy), Err(BlockReject::Reward { claimed, allowed }));
}

#[test]
fn the_subsidy_halves() {
    let at = |height| subsidy(BlockHeight(height)).to_sat();
    assert_eq!(at(HALVING_INTERVAL - 1), 5_000_000_000);
    assert_eq!(at(HALVING_INTERVAL), 2_500_000_000);
    assert_eq!(at(HALVING_INTERVAL * 32), 1);
    assert_eq!(at(HALVING_INTERVAL * 33), 0);
    assert_eq!(at(u32::MAX), 0);
}

#[test]
fn a_block_weighs_four_million_at_most() {
    let (chain, coins) = funded(1);
    let built = |padding: usize, fine: usize| {
        let mut spend = pay(&coins, &[1]);
        let script = ScriptBuf::from_bytes([&[0x6a][..], &vec![0; padding]].concat());
        spend.output.push(TxOut { value: Amount::ZERO, script_pubkey: script });
        // The reserved value must have 32 bytes, so the last units of weight come from a P2WSH
        // item that the script never looks at: OP_DROP, OP_TRUE.
        let script = ScriptBuf::from_bytes(vec![0x75, 0x51]);
        let parent = {
            let mut parent = pay(&coins, &[COIN.to_sat()]);
            parent.output[0].script_pubkey = script.to_p2wsh();
            parent
        };
        spend.input[0].previous_output = output(&parent, 0);
        spend.input[0].witness = Witness::from_slice(&[&vec![0; fine][..], script.as_bytes()]);
        chain.build(&anybody(), vec![parent, spend])
    };
    let room = MAX_BLOCK_WEIGHT - built(100_000, 1).weight();
    let padding = 100_000 + usize::try_from(room.to_wu() / 4).expect("less than a block");
    let rest = usize::try_from(room.to_wu() % 4).expect("less than four");
    let full = built(padding, 1 + rest);
    assert_eq!(full.weight(), MAX_BLOCK_WEIGHT);
    assert_eq!(connect(&chain, &full), Ok(()));
    let weight = MAX_BLOCK_WEIGHT + Weight::from_wu(1);
    let expected = Err(BlockReject::TooHeavy { weight, limit: MAX_BLOCK_WEIGHT });
    assert_eq!(connect(&chain, &built(padding, 2 + rest)), expected);
}

#[test]
fn a_block_checks_eighty_thousand_signature_units_at_most() {
    let chain = Chain::new();
    // Each OP_CHECKSIG in an output costs four.
    let with = |count| chain.build(&ScriptBuf::from_bytes(vec![0xac; count]), Vec::new());
    assert_eq!(connect(&chain, &with(20_000)), Ok(()));
    let expected = BlockReject::TooManySigops { cost: 80_004, limit: MAX_BLOCK_SIGOPS_COST };
    assert_eq!(connect(&chain, &with(20_001)), Err(expected));
}

#[test]
fn a_block_spends_each_output_once() {
    let (mut chain, coins) = funded(1);
    let (first, second) = (pay(&coins, &[1]), pay(&coins, &[2]));
    let reject = Reject::Spent { input: 0, outpoint: coins[0], by: first.compute_txid() };
    let txid = second.compute_txid();
    let expected = BlockReject::Transaction { index: 2, txid, reject };
    let tip = chain.tip();
    let mined = chain.mine_transactions(&anybody(), vec![first.clone(), second.clone()]);
    assert_eq!(mined, Err(expected));
    // The same transaction twice is a name that exists already.
    let mined = chain.mine_transactions(&anybody(), vec![first.clone(), first.clone()]);
    let index = |result| match result {
        Err(BlockReject::Transaction { index, reject, .. }) => Some((index, reject)),
        _ => None,
    };
    let outpoint = output(&first, 0);
    assert_eq!(index(mined), Some((2, Reject::OutputExists { outpoint })));
    assert_eq!(chain.tip(), tip);
    assert!(chain.mine_transactions(&anybody(), vec![second]).is_ok());
}

#[test]
fn a_parent_stands_before_its_child() {
    let (mut chain, coins) = funded(1);
    let parent = pay(&coins, &[COIN.to_sat()]);
    let outpoint = output(&parent, 0);
    let child = pay(&[outpoint], &[1]);
    let reject = Reject::MissingInput { input: 0, outpoint };
    let expected = BlockReject::Transaction { index: 1, txid: child.compute_txid(), reject };
    let mined = chain.mine_transactions(&anybody(), vec![child.clone(), parent.clone()]);
    assert_eq!(mined, Err(expected));
    assert!(chain.mine_transactions(&anybody(), vec![parent, child]).is_ok());
}

#[test]
fn absurd_values_are_refused_and_do_not_overflow() {
    let (mut chain, coins) = funded(1);
    let absurd = pay(&coins, &[u64::MAX, u64::MAX]);
    let child = pay(&[output(&absurd, 0), output(&absurd, 1)], &[1]);
    let txid = absurd.compute_txid();
    let reject = Reject::TooMuchMoney { output: 0 };
    let mined = chain.mine_transactions(&anybody(), vec![absurd, child]);
    assert_eq!(mined, Err(BlockReject::Transaction { index: 1, txid, reject }));
    let nowhere = pay(&[OutPoint::null(), OutPoint::null()], &[1]);
    assert!(chain.mine_transactions(&anybody(), vec![nowhere]).is_err());
}
