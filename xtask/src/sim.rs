//! `cargo xtask sim`: a small network of nodes under every fault at once, from seeds.

use crate::bugs;
use crate::run::{cargo, check};

/// The seeds that run in CI, about a minute of both cores when nothing else runs.
pub(crate) const CI_SEEDS: &str = "3000";

/// Runs it; the arguments are the simulator's. With `--bug` it is another build.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if arguments.iter().any(|argument| argument == "--bug") {
        return bugs::run_one("sim", arguments);
    }
    let mut simulator = cargo(&["run", "--quiet", "--release", "-p", "lastword-swarm", "--"]);
    check(simulator.args(arguments))
}
