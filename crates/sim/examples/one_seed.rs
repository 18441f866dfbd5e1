//! Runs the scenario of one number in this process, without a crash, and prints what became of it:
//!
//! ```text
//! payment 1, parts [TimedOut, Claimed]: sent, last words: 1, released
//! ```
//!
//! `cargo run -p lastword-sim --example one_seed -- 7`
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use std::error::Error;

use lastword_engine::NoObserver;
use lastword_ports::LogId;
use lastword_sim::link::Line;
use lastword_sim::node::{Direct, Node, Stand, node_ports};
use lastword_sim::oracle::judge;
use lastword_sim::outside::{Outside, SharedOutside};
use lastword_sim::run::Run;
use lastword_sim::scenario::Scenario;
use lastword_sim::seed::Seed;
use lastword_sim::world::inprocess::InProcess;
use lastword_store::MemoryStore;

fn main() -> Result<(), Box<dyn Error>> {
    let seed = std::env::args().nth(1).map_or(Ok(1), |seed| seed.parse())?;
    let scenario = Scenario::demo(Seed(seed));
    let channels = u16::try_from(scenario.channels.len())?;

    // Everything that is not the node, and the one way to it.
    let world = InProcess::new();
    let outside = Outside::new(scenario.seed, Box::new(world.clone()), channels)?;
    let outside = SharedOutside::new(outside);
    let line = Line::new(outside.clone());

    // The node: the real engine on stores in memory.
    let stand = Stand {
        monitors: Box::new(MemoryStore::new(LogId([1; 16]))),
        books: None,
        source: Box::new(world.clone()),
        broadcaster: Box::new(world),
        observer: Box::new(NoObserver),
    };
    let driver = Direct::start(node_ports(scenario.seed, &line, stand), line.clone())?;
    let mut node = Node::new(scenario.seed, driver, line);

    let outcome = Run::new(&scenario, outside.clone(), &mut node).run(&mut |_, step| {
        println!("{step}");
    })?;

    let outside = outside.lock();
    let judgement = judge(&outside, &outcome)?;
    for line in &judgement.lines {
        println!(
            "payment {}, parts {:?}: {}, last words: {}, {}",
            line.payment,
            line.parts,
            if line.is_sent == Some(true) { "sent" } else { "failed" },
            line.terminal_events,
            if line.is_released { "released" } else { "not released" },
        );
    }
    assert_eq!(judgement.violations, Vec::<String>::new());
    Ok(())
}
