//! `cargo xtask sim`: a small network of nodes under every fault at once, from seeds.

use crate::run::{cargo, check};

/// The seeds that run in CI, about a minute of both cores when nothing else runs.
pub(crate) const CI_SEEDS: &str = "3000";

/// Runs it; the arguments are the simulator's.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut simulator = cargo(&["run", "--quiet", "--release", "-p", "lastword-swarm", "--"]);
    check(simulator.args(arguments))
}
