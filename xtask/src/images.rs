//! `cargo xtask images`: every file that a crash may leave of a store, opened again, in release.

use crate::run::{cargo, check};

/// Runs it; the arguments are the example's.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut images = cargo(&["run", "--quiet", "--release", "-p", "lastword-store"]);
    check(images.args(["--example", "images", "--"]).args(arguments))
}
