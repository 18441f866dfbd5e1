//! `cargo xtask bench`: Lastword measured beside its peers, in one run.
//!
//! The comparison is a workspace of its own, `compare`, so that no peer is ever in the lock file of
//! this one. It is built with optimisations, which takes minutes the first time. What grows with the
//! number of channels is measured by an example of the engine, which the comparison starts.

use std::path::PathBuf;

use crate::cost;
use crate::run::{cargo, check, git, output, root};

/// Where `--save` keeps the figures.
const SAVED: &str = "docs/bench.json";

/// The crates that have benches of their hot operations.
const BENCHED: &[&str] =
    &["bolt3", "wire", "monitor", "claims", "payments", "reload", "store", "chain", "engine"];

/// Runs it; what is not named here goes to the comparison.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    if let Some((_, rest)) = arguments.split_first().filter(|(first, _)| *first == "--criterion") {
        return criterion(rest);
    }
    let scale = scale()?;
    let mut command =
        cargo(&["run", "--quiet", "--release", "--bin", "lastword-compare", "--manifest-path"]);
    command.arg(root().join("compare").join("Cargo.toml")).arg("--");
    command.arg("--scale").arg(scale).args(["--commit", &commit()]);
    let is_saving = arguments.iter().any(|argument| argument == "--save");
    for argument in arguments {
        command.arg(argument);
        if argument == "--save" {
            command.arg(root().join(SAVED));
        }
    }
    check(&mut command)?;
    if is_saving { cost::write(&root().join(SAVED)) } else { Ok(()) }
}

/// Builds what measures our side of blocks, starts and many channels, and returns where it is.
pub(crate) fn scale() -> Result<PathBuf, String> {
    let flags = ["build", "--quiet", "--release", "-p", "lastword-engine", "--example", "scale"];
    check(&mut cargo(&flags))?;
    let metadata = output(&mut cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let target = metadata["target_directory"].as_str().ok_or("cargo names no target folder")?;
    Ok(PathBuf::from(target).join("release/examples/scale"))
}

/// Names what is measured.
fn commit() -> String {
    let Ok(commit) = output(&mut git(&["rev-parse", "--short=12", "HEAD"])) else {
        return "unknown".to_owned();
    };
    // What `--save` itself writes is no change of what is measured.
    let changed = output(&mut git(&["status", "--porcelain", "--untracked-files=no"]));
    let is_changed = changed.is_ok_and(|changed| {
        changed.lines().any(|line| ![SAVED, cost::PAGE].iter().any(|saved| line.ends_with(saved)))
    });
    let commit = commit.trim();
    if is_changed { format!("{commit} with changes") } else { commit.to_owned() }
}

/// Runs the benches of the hot operations of each crate; the arguments are crates, and after `--`
/// criterion's own.
fn criterion(arguments: &[String]) -> Result<(), String> {
    let mut parts = arguments.splitn(2, |argument| argument == "--");
    let named = parts.next().unwrap_or_default();
    let further = parts.next().unwrap_or_default();
    for name in BENCHED {
        if !named.is_empty() && !named.iter().any(|it| it == name) {
            continue;
        }
        let mut command = cargo(&["bench", "--quiet", "-p", &format!("lastword-{name}")]);
        command.args(["--bench", "hot"]);
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        command.env("RUSTFLAGS", format!("{flags} --cfg lastword_bench").trim_start());
        // A folder of its own, so that the other builds keep what they have.
        let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
        let target = target.unwrap_or_else(|| root().join("target"));
        command.env("CARGO_TARGET_DIR", target.join("criterion"));
        if !further.is_empty() {
            command.arg("--").args(further);
        }
        check(&mut command)?;
    }
    Ok(())
}
