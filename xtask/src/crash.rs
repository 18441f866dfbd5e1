//! `cargo xtask crash`: every crash of many small lives, in release.

use crate::run::{cargo, check};

/// Runs it; the arguments are the explorer's.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut explorer = cargo(&["run", "--quiet", "--release", "-p", "lastword-explore", "--"]);
    check(explorer.args(arguments))
}
