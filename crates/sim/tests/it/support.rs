//! A node in this process, with stores that a test chooses.

use lastword_engine::NoObserver;
use lastword_ports::LogId;
use lastword_sim::link::Line;
use lastword_sim::node::{Direct, Node, Stand, node_ports};
use lastword_sim::outside::{Outside, SharedOutside};
use lastword_sim::scenario::Scenario;
use lastword_sim::seed::Seed;
use lastword_sim::world::inprocess::InProcess;
use lastword_store::MemoryStore;
use lastword_types::CommitmentFormat;

pub(crate) const FORMATS: [CommitmentFormat; 3] = [
    CommitmentFormat::StaticRemoteKey,
    CommitmentFormat::AnchorsZeroFeeHtlc,
    CommitmentFormat::ZeroFee,
];

/// A world of its own for a scenario.
pub(crate) fn outside(scenario: &Scenario) -> (SharedOutside, InProcess) {
    let world = InProcess::new();
    let channels = u16::try_from(scenario.channels.len()).unwrap();
    let outside = Outside::new(scenario.seed, Box::new(world.clone()), channels).unwrap();
    (SharedOutside::new(outside), world)
}

/// A node that never dies.
pub(crate) fn immortal(seed: Seed, outside: &SharedOutside, world: &InProcess) -> Node<Direct> {
    let line = Line::new(outside.clone());
    let stand = Stand {
        monitors: Box::new(MemoryStore::new(LogId([1; 16]))),
        books: Some(Box::new(MemoryStore::new(LogId([2; 16])))),
        source: Box::new(world.clone()),
        broadcaster: Box::new(world.clone()),
        observer: Box::new(NoObserver),
    };
    let shell = Direct::start(node_ports(seed, &line, stand), line.clone()).unwrap();
    Node::new(seed, shell, line)
}
