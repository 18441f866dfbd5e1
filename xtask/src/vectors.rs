//! `cargo xtask vectors`: the golden files of the wire format against a reader in another language.

use crate::run::{cargo, check};

/// Runs it; the arguments are the comparison's.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut vectors =
        cargo(&["run", "--quiet", "-p", "lastword-wire", "--example", "vectors", "--"]);
    // There is nothing to be had without checking.
    check(vectors.args(arguments.iter().filter(|argument| *argument != "--check")))
}
