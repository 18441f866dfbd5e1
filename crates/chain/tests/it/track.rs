//! The tracker reaches the source's tip, or says why not and stays where it was.

use bitcoin::hashes::Hash;
use bitcoin::{BlockHash, OutPoint};
use lastword_chain::{MAX_WALK, Nonsense, RECENT_BLOCKS, Step, TrackError, Tracker};
use lastword_ports::{BlockSource, ChainError, ChainErrorKind, Header};
use lastword_regtest::SharedChain;
use lastword_types::{BlockHeight, BlockRef, ChainTip};

use crate::support::{Liar, Lie, anybody, chain_of, follow, heights, pay, place};

/// Begins at the tip of a chain.
fn begin(chain: &SharedChain) -> Tracker {
    Tracker::begin(&mut chain.clone()).expect("the source is honest")
}

/// Asks a liar, and checks that the error changed nothing and that the truth works again.
fn fails(tracker: &mut Tracker, chain: &SharedChain, lie: Lie) -> TrackError {
    let before = tracker.chain_tip();
    let mut liar = Liar::new(chain, lie);
    let error = loop {
        match tracker.next_step(&mut liar) {
            Ok(Some(step)) => tracker.accept(&step),
            Ok(None) => unreachable!("the lie was believed"),
            Err(error) => break error,
        }
    };
    assert_eq!(tracker.chain_tip(), before, "the lie came before any step");
    let mut good = tracker.clone();
    follow(&mut good, &mut chain.clone());
    assert_eq!(good.tip(), chain.lock().tip());
    error
}

fn nonsense(error: &TrackError) -> Option<(BlockRef, &Nonsense)> {
    if let TrackError::Nonsense { block, what } = error { Some((*block, what)) } else { None }
}

#[test]
fn a_burst_of_blocks_comes_one_by_one() {
    let chain = chain_of(3);
    let mut tracker = begin(&chain);
    assert_eq!(follow(&mut tracker, &mut chain.clone()), []);
    for _ in 0..4 {
        chain.lock().mine_empty();
    }
    let steps = follow(&mut tracker, &mut chain.clone());
    assert_eq!(heights(&steps), [("on", 4), ("on", 5), ("on", 6), ("on", 7)]);
    for step in &steps {
        let Step::Connected { block, body } = step else { panic!("all are connected") };
        let expected = chain.lock().block_at(block.height).map(bitcoin::consensus::serialize);
        assert_eq!(Some(body.as_bytes()), expected.as_deref());
    }
    assert_eq!(tracker.tip(), chain.lock().tip());
}

#[test]
fn a_step_comes_again_until_it_is_accepted() {
    let mut chain = chain_of(2);
    let mut tracker = begin(&chain);
    chain.lock().reorg(1);
    chain.lock().mine_empty();
    chain.lock().mine_empty();
    let before = tracker.chain_tip();
    for expected in [("back", 1), ("on", 2), ("on", 3)] {
        let first = tracker.next_step(&mut chain).expect("honest").expect("there is more");
        let second = tracker.next_step(&mut chain).expect("honest").expect("there is more");
        assert_eq!(first, second);
        assert_eq!(heights(std::slice::from_ref(&first)), [expected]);
        tracker.accept(&first);
    }
    assert_ne!(tracker.chain_tip(), before);
    assert_eq!(tracker.next_step(&mut chain).expect("honest"), None);
}

#[test]
fn a_reorg_goes_back_to_the_fork_and_on() {
    let chain = chain_of(10);
    let mut tracker = begin(&chain);
    chain.lock().reorg(3);
    for _ in 0..4 {
        chain.lock().mine_empty();
    }
    let steps = follow(&mut tracker, &mut chain.clone());
    let expected = [("back", 7), ("on", 8), ("on", 9), ("on", 10), ("on", 11)];
    assert_eq!(heights(&steps), expected);
    assert_eq!(tracker.chain_tip(), begin(&chain).chain_tip());
}

#[test]
fn a_reorg_may_end_lower() {
    let chain = chain_of(10);
    let mut tracker = begin(&chain);
    chain.lock().reorg(4);
    assert_eq!(heights(&follow(&mut tracker, &mut chain.clone())), [("back", 6)]);
    chain.lock().reorg(3);
    chain.lock().mine_empty();
    let steps = follow(&mut tracker, &mut chain.clone());
    assert_eq!(heights(&steps), [("back", 3), ("on", 4)]);
    assert_eq!(tracker.chain_tip(), begin(&chain).chain_tip());
}

#[test]
fn a_reorg_may_come_while_we_catch_up() {
    let mut chain = chain_of(2);
    let mut tracker = begin(&chain);
    for _ in 0..5 {
        chain.lock().mine_empty();
    }
    let step = tracker.next_step(&mut chain).expect("honest").expect("there is more");
    tracker.accept(&step);
    chain.lock().reorg(6);
    for _ in 0..7 {
        chain.lock().mine_empty();
    }
    // Stale blocks stay known, so the way that was found is walked to its end first.
    let steps = follow(&mut tracker, &mut chain.clone());
    assert_eq!(heights(&steps)[..5], [("on", 4), ("on", 5), ("on", 6), ("on", 7), ("back", 1)]);
    assert_eq!(tracker.tip(), chain.lock().tip());
}

#[test]
fn a_tip_on_a_stale_fork_is_left_again_q2() {
    let chain = chain_of(5);
    let stale = chain.lock().tip();
    chain.lock().reorg(2);
    for _ in 0..3 {
        chain.lock().mine_empty();
    }
    let mut tracker = begin(&chain);
    let steps = follow(&mut tracker, &mut Liar::new(&chain, Lie::Tip(stale)));
    assert_eq!(heights(&steps), [("back", 3), ("on", 4), ("on", 5)]);
    let steps = follow(&mut tracker, &mut chain.clone());
    assert_eq!(heights(&steps), [("back", 3), ("on", 4), ("on", 5), ("on", 6)]);
}

#[test]
fn a_stored_tip_continues_where_it_was() {
    let chain = chain_of(7);
    let stored = begin(&chain).chain_tip();
    assert_eq!(stored.recent.len(), 7);
    chain.lock().reorg(7);
    chain.lock().mine_empty();
    let mut tracker = Tracker::new(stored.clone());
    assert_eq!(tracker.chain_tip(), stored);
    let steps = follow(&mut tracker, &mut chain.clone());
    assert_eq!(heights(&steps), [("back", 0), ("on", 1)]);
}

#[test]
fn ancestors_that_do_not_follow_on_each_other_are_dropped() {
    let chain = chain_of(5);
    let ChainTip { best, mut recent } = begin(&chain).chain_tip();
    recent.remove(2);
    let tracker = Tracker::new(ChainTip { best, recent: recent.clone() });
    assert_eq!(tracker.chain_tip().recent, recent[..2]);
    let best = BlockRef { height: BlockHeight(0), ..best };
    assert_eq!(Tracker::new(ChainTip { best, recent }).chain_tip().recent, []);
}

#[test]
fn a_reorg_as_deep_as_memory_is_followed_and_a_deeper_one_is_named() {
    let old = chain_of(RECENT_BLOCKS + 10);
    let fork = |depth: usize| {
        let mut chain = old.lock().clone();
        chain.reorg(depth);
        for _ in 0..=depth {
            chain.mine_empty();
        }
        SharedChain::new(chain)
    };
    let mut tracker = begin(&old);
    assert_eq!(tracker.chain_tip().recent.len(), RECENT_BLOCKS);

    let deeper = fork(RECENT_BLOCKS + 1);
    let before = tracker.chain_tip();
    let error = tracker.next_step(&mut deeper.clone()).expect_err("too deep");
    let TrackError::ReorgTooDeep { ours, theirs } = error else { panic!("{error}") };
    assert_eq!((ours, theirs), (old.lock().tip(), deeper.lock().tip()));
    assert_eq!(tracker.chain_tip(), before);

    // The next good source is followed.
    let deepest = fork(RECENT_BLOCKS);
    follow(&mut tracker, &mut deepest.clone());
    assert_eq!(tracker.tip(), deepest.lock().tip());
    assert_eq!(tracker.chain_tip().recent.len(), RECENT_BLOCKS);

    // A chain that ends below all that is remembered.
    let mut short = chain_of(5);
    let error = tracker.next_step(&mut short).expect_err("too deep");
    assert!(matches!(error, TrackError::ReorgTooDeep { theirs, .. } if theirs.height.0 == 5));
}

#[test]
fn another_genesis_block_is_a_reorg_too_deep() {
    let chain = chain_of(2);
    let genesis = BlockRef { height: BlockHeight(0), hash: BlockHash::all_zeros() };
    let mut tracker = Tracker::new(ChainTip { best: genesis, recent: Vec::new() });
    let before = tracker.chain_tip();
    let error = tracker.next_step(&mut chain.clone()).expect_err("another chain");
    assert!(matches!(error, TrackError::ReorgTooDeep { ours, .. } if ours == genesis));
    assert_eq!(tracker.chain_tip(), before);
}

#[test]
fn a_tip_out_of_reach_is_refused_before_any_walk() {
    let chain = chain_of(2);
    let mut tracker = begin(&chain);
    let at = |height| BlockRef { height: BlockHeight(height), hash: BlockHash::all_zeros() };
    let theirs = at(MAX_WALK + 3);
    let mut liar = Liar::new(&chain, Lie::Tip(theirs));
    let error = tracker.next_step(&mut liar).expect_err("too far");
    assert!(matches!(error, TrackError::TooFarAhead { theirs: told, .. } if told == theirs));
    assert_eq!(liar.calls, 1);
    let error = fails(&mut tracker, &chain, Lie::Tip(at(MAX_WALK + 2)));
    assert!(matches!(error, TrackError::Source(error) if error.kind == ChainErrorKind::NotFound));
}

#[test]
fn a_source_may_be_away_at_any_call() {
    let chain = chain_of(6);
    let start = begin(&chain);
    chain.lock().reorg(2);
    for _ in 0..4 {
        chain.lock().mine_empty();
    }
    // Until no call is missing any more.
    let mut away = 0;
    loop {
        let mut tracker = start.clone();
        let mut liar = Liar::new(&chain, Lie::AwayAfter(away));
        let error = loop {
            let before = tracker.chain_tip();
            match tracker.next_step(&mut liar) {
                Ok(Some(step)) => tracker.accept(&step),
                Ok(None) => break None,
                Err(error) => {
                    assert_eq!(tracker.chain_tip(), before);
                    break Some(error);
                }
            }
        };
        follow(&mut tracker, &mut chain.clone());
        assert_eq!(tracker.tip(), chain.lock().tip());
        let Some(error) = error else { break };
        assert!(matches!(error, TrackError::Source(error) if error.kind == ChainErrorKind::Retry));
        away += 1;
    }
    // Two tips, four headers, four blocks.
    assert_eq!(away, 10);
}

#[test]
fn a_tip_may_vanish_while_we_walk_to_it() {
    let chain = chain_of(2);
    let mut tracker = begin(&chain);
    for _ in 0..3 {
        chain.lock().mine_empty();
    }
    for height in [5, 4, 3] {
        let error = fails(&mut tracker, &chain, Lie::Gone(place(&chain, height).hash));
        let TrackError::Source(error) = error else { panic!("{error}") };
        assert_eq!(error.kind, ChainErrorKind::NotFound);
    }
}

#[test]
fn a_header_must_be_the_one_that_was_asked_for() {
    let mut chain = chain_of(2);
    let mut tracker = begin(&chain);
    for _ in 0..2 {
        chain.lock().mine_empty();
    }
    let (third, tip) = (place(&chain, 3), place(&chain, 4));
    let honest = chain.header(third.hash).expect("it is there");
    for got in [
        BlockRef { height: BlockHeight(4), ..third },
        BlockRef { height: BlockHeight(2), ..third },
        BlockRef { hash: tip.hash, ..third },
    ] {
        let lie = Lie::Header(third.hash, Header { block: got, ..honest });
        let error = fails(&mut tracker, &chain, lie);
        assert_eq!(nonsense(&error), Some((third, &Nonsense::Header { got })));
    }
    // A tip at another height than its header has.
    let lifted = BlockRef { height: BlockHeight(9), ..tip };
    let error = fails(&mut tracker, &chain, Lie::Tip(lifted));
    assert_eq!(nonsense(&error), Some((lifted, &Nonsense::Header { got: tip })));
}

/// Says of one block that it follows on another than it does.
struct Sibling(SharedChain, BlockRef, BlockHash);
impl BlockSource for Sibling {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        Ok(self.1)
    }
    fn header(&mut self, _: BlockHash) -> Result<Header, ChainError> {
        Ok(Header { block: self.1, previous: self.2 })
    }
    fn block(&mut self, hash: BlockHash) -> Result<bitcoin::Block, ChainError> {
        self.0.block(hash)
    }
}

#[test]
fn a_header_that_does_not_link_is_found_out_by_its_block() {
    let chain = chain_of(3);
    let mut tracker = begin(&chain);
    chain.lock().mine_empty();
    chain.lock().mine_empty();
    let (second, third, fourth) = (place(&chain, 2), place(&chain, 3), place(&chain, 4));
    // Skips a block: the fourth is said to follow on another third.
    let other = BlockHash::from_byte_array([7; 32]);
    let lie = Lie::Header(fourth.hash, Header { block: fourth, previous: other });
    let error = fails(&mut tracker, &chain, lie);
    assert!(matches!(error, TrackError::Source(error) if error.kind == ChainErrorKind::NotFound));

    // A fork that is none: the fourth is said to be the third's sibling.
    let mut liar = Liar::new(&chain, Lie::None);
    let lifted = BlockRef { height: BlockHeight(3), hash: fourth.hash };
    liar.lie = Lie::Tip(lifted);
    let error = tracker.next_step(&mut liar).expect_err("its header says four");
    assert_eq!(nonsense(&error), Some((lifted, &Nonsense::Header { got: fourth })));
    let mut sibling = Sibling(chain.clone(), lifted, second.hash);
    let step = tracker.next_step(&mut sibling).expect("it fits so far").expect("a step");
    assert_eq!(step, Step::Disconnected { fork: second });
    let mut misled = tracker.clone();
    misled.accept(&step);
    let error = misled.next_step(&mut sibling).expect_err("the block tells");
    let previous = Nonsense::Previous { expected: second.hash, got: third.hash };
    assert_eq!(nonsense(&error), Some((lifted, &previous)));
    assert_eq!(misled.tip(), second);
    follow(&mut misled, &mut chain.clone());
    assert_eq!(misled.tip(), chain.lock().tip());
}

#[test]
fn a_block_must_be_the_one_that_was_asked_for_and_whole() {
    let chain = chain_of(0);
    chain.lock().mine(&anybody().to_p2wsh());
    for _ in 0..100 {
        chain.lock().mine_empty();
    }
    let mut tracker = begin(&chain);
    let coin = {
        let chain = chain.lock();
        let block = chain.block_at(BlockHeight(1)).expect("it is there");
        OutPoint::new(block.txdata[0].compute_txid(), 0)
    };
    let first = pay(&[coin], &[100, 200]);
    let second = pay(&[OutPoint::new(first.compute_txid(), 0)], &[50]);
    chain.lock().mine_transactions(&anybody(), vec![first, second]).expect("valid");
    let tip = chain.lock().tip();
    let honest = chain.clone().block(tip.hash).expect("it is there");
    assert_eq!(honest.txdata.len(), 3);

    let other = place(&chain, 7);
    let block = chain.clone().block(other.hash).expect("it is there");
    let error = fails(&mut tracker, &chain, Lie::Block(tip.hash, Box::new(block)));
    assert_eq!(nonsense(&error), Some((tip, &Nonsense::Block { got: other.hash })));

    let mut changes: Vec<bitcoin::Block> = vec![honest.clone(); 4];
    changes[0].txdata[2].output[0].value = bitcoin::Amount::from_sat(51);
    changes[1].txdata.pop();
    changes[2].txdata.clear();
    // The third of three stands for a fourth in the tree, so repeating it keeps the root.
    changes[3].txdata.push(honest.txdata[2].clone());
    assert!(changes[3].check_merkle_root());
    for block in changes {
        let error = fails(&mut tracker, &chain, Lie::Block(tip.hash, Box::new(block)));
        assert_eq!(nonsense(&error), Some((tip, &Nonsense::Transactions)));
    }
}

#[test]
#[should_panic(expected = "the step is fresh")]
fn a_step_is_accepted_once() {
    let mut chain = chain_of(1);
    let mut tracker = begin(&chain);
    chain.lock().mine_empty();
    let step = tracker.next_step(&mut chain).expect("honest").expect("there is more");
    tracker.accept(&step);
    tracker.accept(&step);
}
