//! A block source that is away, refuses us or answers nonsense, and a broadcaster that is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bitcoin::{Block, BlockHash};
use lastword_chain::{Nonsense, TrackError};
use lastword_engine::{Driver, EngineError};
use lastword_ports::{BlockSource, Broadcaster, ChainError, ChainErrorKind, Header};
use lastword_regtest::SharedChain;
use lastword_testkit::{ChainFault, FaultyChain, Survivors};
use lastword_types::{BlockHeight, BlockRef};

use crate::node::{Logs, Node, ports};
use crate::world::{ANCHORS, Part, Payment, STATIC, World};

/// A payment that the next two blocks decide, and the disks of the node before them.
fn decisive_blocks() -> (World, Node, Payment) {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[STATIC, ANCHORS]);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    world.peer_closes(0);
    world.peer_claims(&payment, 0);
    (world, node, payment)
}

fn start_with(world: &World, before: &Node, source: Box<dyn BlockSource>) -> Node {
    let stores = before.stores.image(Survivors::Everything);
    let mut ports = ports(world, &stores);
    ports.source = source;
    Node { driver: Driver::start(ports).unwrap(), stores }
}

fn is_of_source(error: &EngineError, wanted: ChainErrorKind) -> bool {
    matches!(error, EngineError::Track(TrackError::Source(source)) if source.kind == wanted)
}

/// Each of the calls that following two blocks needs fails in turn, in each of its ways.
#[test]
fn a_source_that_fails_at_any_call_is_named_and_the_next_poll_goes_on() {
    let (world, before, payment) = decisive_blocks();
    let mut cases = 0;
    let kinds = [ChainErrorKind::Retry, ChainErrorKind::Refused, ChainErrorKind::NotFound];
    let faults = kinds.map(ChainFault::Error).into_iter().chain([ChainFault::Nonsense]);
    for fault in faults {
        for call in 1..=5 {
            let mut source = FaultyChain::new(world.chain.clone());
            source.fail_at(call, fault);
            let mut node = start_with(&world, &before, Box::new(source));
            let place = format!("{fault:?} at call {call}");
            let Err(error) = node.driver.poll_chain() else { panic!("{place} was not noticed") };
            match (fault, &error) {
                (ChainFault::Error(kind), error) => {
                    assert!(is_of_source(error, kind), "{place}: {error}");
                }
                (
                    ChainFault::Nonsense,
                    EngineError::Track(TrackError::Nonsense { .. } | TrackError::Source(_)),
                ) => {}
                (ChainFault::Nonsense, other) => panic!("{place}: {other}"),
            }
            cases += 1;
            // A fault of the second block leaves the first followed; nothing else moved.
            node.poll();
            assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)], "{place}");
        }
    }
    println!("figure: faults of a block source: {cases} cases");
}

/// A source that hides a block: the one above it is said to follow on our tip.
struct Skipper {
    chain: SharedChain,
    is_lying: Arc<AtomicBool>,
}

impl Skipper {
    fn lie(&self) -> bool {
        self.is_lying.load(Ordering::SeqCst)
    }

    fn below(block: BlockRef) -> BlockRef {
        BlockRef { height: BlockHeight(block.height.0 - 1), ..block }
    }
}

impl BlockSource for Skipper {
    fn tip(&mut self) -> Result<BlockRef, ChainError> {
        let tip = self.chain.tip()?;
        Ok(if self.lie() { Self::below(tip) } else { tip })
    }

    fn header(&mut self, hash: BlockHash) -> Result<Header, ChainError> {
        let header = self.chain.header(hash)?;
        if !self.lie() {
            return Ok(header);
        }
        let hidden = self.chain.header(header.previous)?;
        Ok(Header { block: Self::below(header.block), previous: hidden.previous })
    }

    fn block(&mut self, hash: BlockHash) -> Result<Block, ChainError> {
        self.chain.block(hash)
    }
}

#[test]
fn a_block_that_does_not_connect_is_refused_and_names_both_parents() {
    let (world, before, payment) = decisive_blocks();
    let is_lying = Arc::new(AtomicBool::new(true));
    let skipper = Skipper { chain: world.chain.clone(), is_lying: is_lying.clone() };
    let mut node = start_with(&world, &before, Box::new(skipper));
    let (states, written, tip) = (node.states(&world), node.stores.records(), node.driver.tip());
    let error = node.driver.poll_chain().expect_err("a block is missing between");
    let EngineError::Track(TrackError::Nonsense { what, .. }) = error else { panic!("{error}") };
    let Nonsense::Previous { expected, got } = what else { panic!("{what}") };
    assert_eq!(expected, tip.hash);
    assert_ne!(got, tip.hash);
    assert_eq!(node.states(&world), states);
    assert_eq!(node.stores.records(), written);
    assert_eq!(node.driver.tip(), tip);
    assert_eq!(node.tell(), []);
    is_lying.store(false, Ordering::SeqCst);
    node.poll();
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
}

/// A start needs no source: it works while the source is away, and tells what is known.
#[test]
fn a_start_without_a_source_tells_what_is_known() {
    let (world, mut node, payment) = decisive_blocks();
    node.poll();
    let mut source = FaultyChain::new(world.chain.clone());
    source.fail_at(1, ChainFault::Error(ChainErrorKind::Retry));
    let mut node = start_with(&world, &node, Box::new(source));
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
    let error = node.driver.poll_chain().expect_err("it is away");
    assert!(is_of_source(&error, ChainErrorKind::Retry), "{error}");
    node.poll();
}

/// A broadcaster whose other side is away.
struct Away {
    chain: SharedChain,
    is_away: Arc<AtomicBool>,
}

impl Broadcaster for Away {
    fn broadcast(&mut self, transaction: &bitcoin::Transaction) -> Result<(), ChainError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(ChainError::new(ChainErrorKind::Retry, "nobody answers"));
        }
        self.chain.broadcast(transaction)
    }

    fn broadcast_package(&mut self, package: &[bitcoin::Transaction]) -> Result<(), ChainError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(ChainError::new(ChainErrorKind::Retry, "nobody answers"));
        }
        self.chain.broadcast_package(package)
    }
}

#[test]
fn claims_are_offered_again_after_the_broadcaster_was_away() {
    let (mut world, before) = Node::with_channels(Logs::One, &[ANCHORS]);
    let is_away = Arc::new(AtomicBool::new(true));
    let stores = before.stores.image(Survivors::Everything);
    let mut ports = ports(&world, &stores);
    ports.broadcaster = Box::new(Away { chain: world.chain.clone(), is_away: is_away.clone() });
    let mut node = Node { driver: Driver::start(ports).unwrap(), stores };
    let update = world.channels[0].fail();
    node.driver.update(vec![update]).unwrap();
    let funding = world.channels[0].ours.funding_outpoint;
    let error = node.driver.poll_chain().expect_err("it is away");
    assert!(matches!(error, EngineError::Chain(source) if source.kind == ChainErrorKind::Retry));
    assert_eq!(world.chain.lock().mempool_spender(funding), None);
    // Blocks are followed all the same.
    world.mine(1);
    assert!(node.driver.poll_chain().is_err());
    assert_eq!(node.driver.tip().height.0, world.height());
    is_away.store(false, Ordering::SeqCst);
    node.poll();
    assert!(world.chain.lock().mempool_spender(funding).is_some());
}
