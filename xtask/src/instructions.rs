//! `cargo xtask instructions`: what the hot paths cost in instructions, held against a file.
//!
//! Times move with whatever else a machine does; instructions hardly do. So a change that makes a
//! block, an update or a start dearer is seen on any machine that has valgrind.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::run::{cargo, check, output, root};

/// The parts, by the word that the measured program knows.
const PARTS: [&str; 5] = ["block", "update", "restart", "walk", "plan"];
/// How much more or less than the file says is let pass, in hundredths.
const BAND_PERCENT: u64 = 5;

/// Runs it.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let is_saving = arguments.iter().any(|argument| argument == "--save");
    let is_json = arguments.iter().any(|argument| argument == "--json");
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("instructions: skipped, there is no valgrind here");
        return Ok(());
    }
    let flags = ["build", "--quiet", "--release", "-p", "lastword-engine", "--example", "scale"];
    check(&mut cargo(&flags))?;
    let program = program()?;
    let file = root().join("docs/instructions.txt");
    let known = fs::read_to_string(&file).unwrap_or_default();
    let (mut lines, mut worse) = (String::new(), Vec::new());
    for part in PARTS {
        let count = count(&program, part)?;
        lines.extend([part, " ", &count.to_string(), "\n"]);
        let expected = known.lines().find_map(|line| line.strip_prefix(part)?.trim().parse().ok());
        let holds = expected.is_some_and(|expected| is_within(count, expected));
        if !holds {
            worse.push(part);
        }
        let expected = expected.unwrap_or(0);
        if is_json {
            println!(
                "{{\"id\": \"{part}\", \"unit\": \"instructions\", \"ours\": {count}, \
                 \"expected\": {expected}, \"holds\": {holds}}}"
            );
        } else {
            println!("instructions: {part:<8} {count:>12}, {expected:>12} expected");
        }
    }
    if is_saving {
        return fs::write(&file, lines).map_err(|error| format!("{}: {error}", file.display()));
    }
    if worse.is_empty() {
        return Ok(());
    }
    Err(format!(
        "more than {BAND_PERCENT} % off: {}; if that is meant, `cargo xtask instructions --save`",
        worse.join(", ")
    ))
}

fn is_within(count: u64, expected: u64) -> bool {
    count.abs_diff(expected).saturating_mul(100) <= expected.saturating_mul(BAND_PERCENT)
}

/// Where cargo put the program.
fn program() -> Result<PathBuf, String> {
    let metadata = output(&mut cargo(&["metadata", "--format-version", "1", "--no-deps"]))?;
    let metadata: serde_json::Value =
        serde_json::from_str(&metadata).map_err(|error| format!("cargo metadata: {error}"))?;
    let target = metadata["target_directory"].as_str().ok_or("cargo names no target folder")?;
    Ok(PathBuf::from(target).join("release/examples/scale"))
}

/// Counts the instructions of one part.
fn count(program: &PathBuf, part: &str) -> Result<u64, String> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.args(["--collect-atstart=no", "--toggle-collect=*instructions::counted*"]);
    let ran = valgrind.arg(program).args(["--instructions", part]).output();
    let ran = ran.map_err(|error| format!("valgrind did not start: {error}"))?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let collected =
        said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    collected
        .filter(|count| *count > 0)
        .ok_or_else(|| format!("{part}: nothing was counted: {said}"))
}

#[cfg(test)]
mod tests {
    use super::is_within;

    #[test]
    fn a_slowdown_beyond_the_band_is_seen_and_so_is_a_file_that_says_too_much() {
        assert!(is_within(105, 100) && is_within(95, 100));
        assert!(!is_within(106, 100) && !is_within(94, 100));
    }
}
