//! Whatever the chain does and whenever the source is away, the tracker ends at the tip by a way
//! that a reader of its steps can follow.

use lastword_chain::{Step, Tracker};
use lastword_types::BlockRef;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::support::{Liar, Lie, chain_of};

#[derive(Debug, Clone)]
enum Op {
    Mine(usize),
    Reorg(usize),
    /// Takes so many steps.
    Follow(usize),
    /// Takes steps until the source is away at this call.
    FollowUntilAway(u32),
    /// Takes a step and forgets it, as a crash does.
    Peek,
    /// Stores the tip and starts again from it.
    Restart,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        (1..6_usize).prop_map(Op::Mine),
        (1..8_usize).prop_map(Op::Reorg),
        (1..6_usize).prop_map(Op::Follow),
        (0..12_u32).prop_map(Op::FollowUntilAway),
        Just(Op::Peek),
        Just(Op::Restart),
    ];
    prop::collection::vec(op, 0..40)
}

/// A reader who knows only the steps: the chain as it sees it.
struct Reader {
    chain: Vec<BlockRef>,
    tracker: Tracker,
}

impl Reader {
    fn take(&mut self, step: &Step) {
        match step {
            Step::Disconnected { fork } => {
                let at = self.chain.iter().position(|block| block == fork);
                let at = at.expect("the fork is a block that the reader has");
                assert!(at + 1 < self.chain.len(), "something is disconnected");
                self.chain.truncate(at + 1);
            }
            Step::Connected { block, body } => {
                let tip = self.chain.last().expect("the reader has a tip");
                assert_eq!(body.header().prev_blockhash, tip.hash);
                assert_eq!(body.block_hash(), block.hash);
                assert_eq!(block.height, tip.height.plus(1));
                self.chain.push(*block);
            }
        }
        self.tracker.accept(step);
        assert_eq!(Some(&self.tracker.tip()), self.chain.last());
    }

    fn follow(&mut self, source: &mut Liar, most: usize) {
        for _ in 0..most {
            let Ok(Some(step)) = self.tracker.next_step(source) else { return };
            self.take(&step);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 256,
        rng_seed: RngSeed::Fixed(2),
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_tracker_ends_at_the_tip_by_a_valid_way(ops in ops()) {
        let chain = chain_of(20);
        let mut honest = Liar::new(&chain, Lie::None);
        let tracker = Tracker::begin(&mut honest).expect("honest");
        let tip = tracker.chain_tip();
        let known = tip.recent.into_iter().rev().chain([tip.best]).collect();
        let mut reader = Reader { chain: known, tracker };
        for op in &ops {
            match op {
                Op::Mine(count) => (0..*count).for_each(|_| {
                    chain.lock().mine_empty();
                }),
                Op::Reorg(depth) => {
                    chain.lock().reorg(*depth);
                }
                Op::Follow(steps) => reader.follow(&mut honest, *steps),
                Op::FollowUntilAway(calls) => {
                    reader.follow(&mut Liar::new(&chain, Lie::AwayAfter(*calls)), usize::MAX);
                }
                Op::Peek => {
                    reader.tracker.next_step(&mut honest).expect("honest");
                }
                Op::Restart => reader.tracker = Tracker::new(reader.tracker.chain_tip()),
            }
        }
        reader.follow(&mut honest, usize::MAX);
        prop_assert_eq!(reader.tracker.tip(), chain.lock().tip());
        let hashes: Vec<_> = reader.chain.iter().map(|block| block.hash).collect();
        let best: Vec<_> = chain.lock().blocks().map(bitcoin::Block::block_hash).collect();
        prop_assert_eq!(hashes, best);
    }
}
