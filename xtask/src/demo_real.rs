//! `cargo xtask demo-real`: the demo against a real bitcoind, or the matrix of closings.

use crate::bitcoind;
use crate::run::{cargo, check};

/// Runs it; with `--matrix` first, the rest goes to `lastword closings`, else all to `lastword demo`.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let path = bitcoind::find_or_bring()?;
    let (command, arguments) = match arguments.split_first() {
        Some((first, rest)) if first == "--matrix" => ("closings", rest),
        Some(_) | None => ("demo", arguments),
    };
    let mut lastword = cargo(&["run", "--quiet", "--release", "--bin", "lastword", "--"]);
    check(lastword.arg(command).arg("--bitcoind").arg(path).args(arguments))
}
