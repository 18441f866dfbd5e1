//! A real node and the in-process chain say the same of the same blocks.
//!
//! The tests of `lastword-regtest` say where each limit is; this one asks Bitcoin Core's own code.

use bitcoin::absolute::LockTime;
use bitcoin::block::Version;
use bitcoin::consensus::encode::serialize_hex;
use bitcoin::{
    Amount, Block, CompactTarget, OutPoint, ScriptBuf, Sequence, Transaction, TxOut, Witness,
};
use lastword_ports::BlockSource;
use lastword_regtest::{Chain, MAX_BLOCK_WEIGHT, seal};
use lastword_types::BlockHeight;
use serde_json::{Value, json};

use crate::bitcoind::Node;
use crate::support::{anybody, pay};

/// A block, what it tries, and whether it is valid.
type Case = (&'static str, Block, bool);

const COIN: u64 = 5_000_000_000;

/// The coinbase at a height.
fn coin(chain: &Chain, height: u32) -> OutPoint {
    let block = chain.block_at(BlockHeight(height)).expect("the chain is that long");
    OutPoint::new(block.txdata[0].compute_txid(), 0)
}

fn submit(node: &Node, block: &Block) {
    let answer = node.call("submitblock", &[json!(serialize_hex(block))]);
    assert_eq!(answer, Value::Null, "{}", block.block_hash());
}

/// Asks the node what it would say of a block on its tip.
fn propose(node: &Node, block: &Block) -> Value {
    let request = json!({ "mode": "proposal", "data": serialize_hex(block), "rules": ["segwit"] });
    node.call("getblocktemplate", &[request])
}

/// A block that is whole but for what `change` does to it.
fn changed(chain: &Chain, change: impl FnOnce(&mut Block)) -> Block {
    let mut block = chain.build(&anybody(), Vec::new());
    change(&mut block);
    seal(&mut block);
    block
}

fn with(chain: &Chain, transactions: Vec<Transaction>) -> Block {
    chain.build(&anybody(), transactions)
}

fn header_cases(chain: &Chain) -> Vec<Case> {
    let median = chain.median_time();
    let version =
        |version| changed(chain, |block| block.header.version = Version::from_consensus(version));
    let time = |time| changed(chain, |block| block.header.time = time);
    let target = changed(chain, |block| {
        block.header.bits = CompactTarget::from_consensus(0x207f_fffe);
    });
    let mut root = chain.build(&anybody(), Vec::new());
    root.txdata[0].output[0].value = Amount::from_sat(1);
    vec![
        ("nothing special", chain.build(&anybody(), Vec::new()), true),
        ("version 4", version(4), true),
        ("version 3", version(3), false),
        ("after the median time", time(median + 1), true),
        ("at the median time", time(median), false),
        ("another target", target, false),
        ("another merkle root", root, false),
    ]
}

fn coinbase_cases(chain: &Chain) -> Vec<Case> {
    let script = |bytes: usize| {
        changed(chain, |block| {
            let input = &mut block.txdata[0].input[0];
            let mut script = input.script_sig.to_bytes();
            script.resize(bytes, 0);
            input.script_sig = ScriptBuf::from_bytes(script);
        })
    };
    let height = changed(chain, |block| {
        let input = &mut block.txdata[0].input[0];
        let mut script = input.script_sig.to_bytes();
        script[1] ^= 1;
        input.script_sig = ScriptBuf::from_bytes(script);
    });
    let reward = |more: u64| {
        changed(chain, |block| block.txdata[0].output[0].value += Amount::from_sat(more))
    };
    let sigops = |count| chain.build(&ScriptBuf::from_bytes(vec![0xac; count]), Vec::new());
    let spend = pay(&[coin(chain, 1)], &[COIN]);
    let bare = |witness: bool| {
        let transactions = if witness { vec![spend.clone()] } else { Vec::new() };
        let mut block = chain.build(&anybody(), transactions);
        block.txdata[0].output.truncate(1);
        block.txdata[0].input[0].witness = Witness::new();
        block.header.merkle_root = block.compute_merkle_root().expect("not empty");
        while block.header.validate_pow(block.header.target()).is_err() {
            block.header.nonce += 1;
        }
        block
    };
    let mut reserved = with(chain, vec![spend.clone()]);
    reserved.txdata[0].input[0].witness = Witness::from_slice(&[[1; 32]]);
    let mut idle = chain.build(&anybody(), Vec::new());
    idle.txdata[0].input[0].witness = Witness::from_slice(&[[1; 32]]);
    vec![
        ("a coinbase script of 100 bytes", script(100), true),
        ("a coinbase script of 101 bytes", script(101), false),
        ("another height", height, false),
        ("the whole reward", reward(0), true),
        ("a satoshi more", reward(1), false),
        ("80,000 signature units", sigops(20_000), true),
        ("80,004 signature units", sigops(20_001), false),
        ("no witness and no commitment", bare(false), true),
        ("a witness and no commitment", bare(true), false),
        ("another reserved value", reserved, false),
        ("another reserved value without a witness", idle, false),
        ("no coinbase", changed(chain, |block| block.txdata = vec![spend]), false),
    ]
}

/// Blocks that hold one transaction at a limit each. The next block has height 110.
fn transaction_cases(chain: &Chain) -> Vec<Case> {
    let next = chain.height().0 + 1;
    let median = chain.median_time();
    let locked = |lock: u32| {
        let mut spend = pay(&[coin(chain, 1)], &[COIN]);
        spend.lock_time = LockTime::from_consensus(lock);
        with(chain, vec![spend])
    };
    let relative = |sequence: Sequence| {
        let mut spend = pay(&[coin(chain, 2)], &[COIN]);
        spend.input[0].sequence = sequence;
        with(chain, vec![spend])
    };
    let mature = |height| with(chain, vec![pay(&[coin(chain, height)], &[1])]);
    let blocks = |count: u32| Sequence::from_height(u16::try_from(count).expect("few"));
    let times =
        |units: u32| Sequence::from_512_second_intervals(u16::try_from(units).expect("few"));
    // The median time before block 2 is that of block 1.
    let start = chain.block_at(BlockHeight(0)).expect("the genesis block").header.time + 600;
    let units = (median - start) / 512;
    vec![
        ("a lock below the height", locked(next - 1), true),
        ("a lock at the height", locked(next), false),
        ("a lock below the time", locked(median - 1), true),
        ("a lock at the time", locked(median), false),
        ("a relative lock in blocks that is over", relative(blocks(next - 2)), true),
        ("a relative lock in blocks that is not", relative(blocks(next - 1)), false),
        ("a relative lock in time that is over", relative(times(units)), true),
        ("a relative lock in time that is not", relative(times(units + 1)), false),
        ("a coinbase 100 blocks old", mature(next - 100), true),
        ("a coinbase 99 blocks old", mature(next - 99), false),
    ]
}

fn spending_cases(chain: &Chain) -> Vec<Case> {
    let (one, two) = (coin(chain, 1), coin(chain, 2));
    let parent = pay(&[one], &[COIN]);
    let child = pay(&[OutPoint::new(parent.compute_txid(), 0)], &[1]);
    let mut wrong = pay(&[one, two], &[1]);
    wrong.input[1].witness = Witness::from_slice(&[[0x52]]);
    let nowhere = pay(&[OutPoint { vout: 5, ..one }], &[1]);
    let orders =
        |transactions: [&Transaction; 2]| with(chain, transactions.into_iter().cloned().collect());
    vec![
        ("all that is spent", with(chain, vec![pay(&[one, two], &[COIN, COIN])]), true),
        ("a satoshi from nowhere", with(chain, vec![pay(&[one, two], &[COIN, COIN + 1])]), false),
        ("one input twice", with(chain, vec![pay(&[one, one], &[1])]), false),
        ("one output twice", orders([&parent, &pay(&[two, one], &[1])]), false),
        ("a parent before its child", orders([&parent, &child]), true),
        ("a child before its parent", orders([&child, &parent]), false),
        ("what does not exist", with(chain, vec![nowhere]), false),
        ("a script that fails", with(chain, vec![wrong]), false),
        ("no outputs", with(chain, vec![pay(&[one], &[])]), false),
        ("4,000,000 units of weight", heavy(chain, 0), true),
        ("4,000,001 units of weight", heavy(chain, 1), false),
    ]
}

/// A block that is this much above the limit.
fn heavy(chain: &Chain, above: u64) -> Block {
    // OP_DROP, OP_TRUE: the item that is dropped makes up the last units.
    let script = ScriptBuf::from_bytes(vec![0x75, 0x51]);
    let mut parent = pay(&[coin(chain, 1)], &[COIN]);
    parent.output[0].script_pubkey = script.to_p2wsh();
    let build = |padding: u64, fine: u64| {
        let mut spend = pay(&[OutPoint::new(parent.compute_txid(), 0)], &[1]);
        let bytes = |count: u64| vec![0; usize::try_from(count).expect("less than a block")];
        let script_pubkey = ScriptBuf::from_bytes([vec![0x6a], bytes(padding)].concat());
        spend.output.push(TxOut { value: Amount::ZERO, script_pubkey });
        spend.input[0].witness = Witness::from_slice(&[bytes(fine), script.to_bytes()]);
        chain.build(&anybody(), vec![parent.clone(), spend])
    };
    let room = (MAX_BLOCK_WEIGHT - build(100_000, 1).weight()).to_wu();
    let block = build(100_000 + room / 4, 1 + room % 4 + above);
    assert_eq!(block.weight().to_wu(), MAX_BLOCK_WEIGHT.to_wu() + above);
    block
}

#[test]
fn a_real_node_and_the_chain_say_the_same_of_the_same_blocks() {
    let name = "a_real_node_and_the_chain_say_the_same_of_the_same_blocks";
    let Some((node, mut source)) = Node::start(name) else { return };
    let mut chain = Chain::new();
    for _ in 0..109 {
        chain.mine(&anybody().to_p2wsh());
    }
    for block in chain.blocks().skip(1) {
        submit(&node, block);
    }
    assert_eq!(source.tip().expect("it answers"), chain.tip());

    let mut cases = header_cases(&chain);
    cases.extend(coinbase_cases(&chain));
    cases.extend(transaction_cases(&chain));
    cases.extend(spending_cases(&chain));
    for (what, block, is_valid) in &cases {
        let ours = chain.clone().connect(block);
        let theirs = propose(&node, block);
        assert_eq!(ours.is_ok(), *is_valid, "{what}: {ours:?}");
        assert_eq!(theirs.is_null(), *is_valid, "{what}: {theirs}, and we say {ours:?}");
    }
    assert_eq!(cases.len(), 40);

    // A reorg here is a reorg there, and a block of the node is one of the chain.
    chain.submit(pay(&[coin(&chain, 1)], &[COIN])).expect("valid");
    for _ in 0..2 {
        chain.mine(&anybody());
        submit(&node, chain.block(chain.tip().hash).expect("just mined"));
    }
    chain.reorg(2);
    for _ in 0..3 {
        chain.mine(&anybody());
    }
    for block in chain.blocks().skip(110) {
        let answer = node.call("submitblock", &[json!(serialize_hex(block))]);
        // The blocks of a fork are taken in without a verdict until they have more work.
        assert!([json!(null), json!("inconclusive")].contains(&answer), "{answer}");
    }
    assert_eq!(source.tip().expect("it answers"), chain.tip());
    for hash in node.mine(2) {
        let block = source.block(hash).expect("it has it");
        assert_eq!(chain.connect(&block), Ok(()));
    }
    assert_eq!(source.tip().expect("it answers"), chain.tip());
}
