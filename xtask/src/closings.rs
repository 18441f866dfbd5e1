//! `cargo xtask closings`: the whole matrix of closings, a crash at each boundary of each case.

use crate::run::{cargo, check};

/// Runs it. What it prints ends with the figures.
pub(crate) fn run() -> Result<(), String> {
    let mut command = cargo(&["test", "--release", "-p", "lastword-sim", "--test", "it"]);
    command.args(["closings::a_crash", "--", "--nocapture"]).env("LASTWORD_CLOSINGS", "all");
    check(&mut command)
}
