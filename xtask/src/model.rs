//! `cargo xtask model`: the rules of telling, searched whole in every world and mode.
//!
//! The search runs in release; what it finds is in `docs/MODEL.md`. Further arguments go to it:
//! `--world`, `--mode`, `--small`, `--without`.

use crate::run::{cargo, check};

/// Runs it.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut command = cargo(&["run", "--release", "--quiet", "-p", "lastword-model", "--"]);
    check(command.args(arguments))
}
