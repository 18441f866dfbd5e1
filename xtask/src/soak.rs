//! `cargo xtask soak`: a long life of a node with many channels, whose memory has to stay flat.

use crate::run::{cargo, check};

/// What runs in CI: a few seconds.
pub(crate) const CI: [&str; 4] = ["--channels", "2000", "--blocks", "120"];

/// Runs it; the arguments are the soak's.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let flags = ["run", "--quiet", "--release", "-p", "lastword-engine", "--example", "scale"];
    check(cargo(&flags).args(["--", "--soak"]).args(arguments))
}
