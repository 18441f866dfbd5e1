//! `cargo xtask bench`: Lastword measured beside its peers, in one run.
//!
//! The comparison is a workspace of its own, `compare`, so that no peer is ever in the lock file of
//! this one. It is built with optimisations, which takes minutes the first time.

use crate::run::{cargo, check, root};

/// Where `--save` keeps the figures.
const SAVED: &str = "docs/bench.json";

/// Runs it; what is not `--save` goes to the comparison.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let mut command =
        cargo(&["run", "--quiet", "--release", "--bin", "lastword-compare", "--manifest-path"]);
    command.arg(root().join("compare").join("Cargo.toml")).arg("--");
    for argument in arguments {
        command.arg(argument);
        if argument == "--save" {
            command.arg(root().join(SAVED));
        }
    }
    check(&mut command)
}
