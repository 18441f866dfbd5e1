//! `cargo xtask demo-real`: the demo against a real bitcoind.

use crate::bitcoind;
use crate::run::{cargo, check};

/// Runs it; `arguments` go to `lastword demo`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let path = bitcoind::find_or_bring()?;
    let mut command = cargo(&["run", "--quiet", "--release", "--bin", "lastword", "--", "demo"]);
    check(command.arg("--bitcoind").arg(path).args(arguments))
}
