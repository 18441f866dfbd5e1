//! `cargo xtask crash`: every crash of many small lives, in release.
//!
//! The curve's arithmetic is nearly two thirds of a life and nothing in it can crash, so tokens stand
//! in its place: the `secp256k1` crate brings them for fuzzers, behind a `cfg` that no build enables by
//! itself. With `--real-keys` the arithmetic is real.

use std::path::PathBuf;

use crate::bugs;
use crate::run::{cargo, check, root};

/// What puts tokens in the place of keys.
pub(crate) const TOKENS: &str = "--cfg secp256k1_fuzz";

/// Runs it; the arguments are the explorer's, and `--real-keys`. With `--bug` it is another build.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if arguments.iter().any(|argument| argument == "--bug" || argument == "--bugs") {
        return bugs::run_one("crash", arguments);
    }
    let (ours, explorers): (Vec<_>, Vec<_>) =
        arguments.iter().partition(|argument| *argument == "--real-keys");
    let mut explorer = cargo(&["run", "--quiet", "--release", "-p", "lastword-explore", "--"]);
    if ours.is_empty() {
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        explorer.env("RUSTFLAGS", format!("{flags} {TOKENS}").trim_start());
        // A folder of its own, so that the other builds keep what they have.
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| root().join("target"));
        explorer.env("CARGO_TARGET_DIR", target.join("tokens"));
    }
    check(explorer.args(explorers))
}
