//! `cargo xtask test`: every test of the workspace, and an honest count of what did not run.
//!
//! A test that lacks a part prints `skipped: NAME: WHY` and returns. The harness counts it as
//! passed; this command does not. Lines that begin with `figure:` are shown too, all other output
//! of passing tests is swallowed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::bitcoind;
use crate::run::cargo;

/// What the harness printed, counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: usize,
    failed: usize,
    skipped: Vec<String>,
    /// Inside the part of the output that repeats what passing tests printed.
    in_successes: bool,
}

/// Runs it; `skipped` is what was skipped before.
pub(crate) fn run(skipped: &[String]) -> Result<(), String> {
    let mut command = cargo(&["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    match bitcoind::find_or_bring() {
        Ok(path) => {
            command.env("BITCOIND", path);
        }
        Err(why) => println!("test: no bitcoind: {why}"),
    }
    command.stdout(Stdio::piped());
    let mut child = command.spawn().map_err(|error| format!("cargo did not start: {error}"))?;
    let stdout = child.stdout.take().ok_or("cargo has no output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(stdout).lines() {
        let line = line.map_err(|error| format!("the output of cargo is not text: {error}"))?;
        if tally.take(&line) {
            println!("{line}");
        }
    }
    let status = child.wait().map_err(|error| format!("cargo was lost: {error}"))?;

    for skipped in &tally.skipped {
        println!("skipped: {skipped}");
    }
    let passed = tally.passed.saturating_sub(tally.skipped.len());
    for skipped in skipped {
        println!("skipped: {skipped}");
    }
    let all_skipped = tally.skipped.len() + skipped.len();
    println!("{passed} passed, {} failed, {all_skipped} skipped", tally.failed);
    if !status.success() || tally.failed > 0 {
        return Err(format!("test: cargo test ended with {status}"));
    }
    if passed == 0 {
        return Err("test: no test ran".to_owned());
    }
    Ok(())
}

impl Tally {
    /// Counts a line; says whether it should be shown.
    fn take(&mut self, line: &str) -> bool {
        if let Some(skipped) = line.strip_prefix("skipped: ") {
            if !self.skipped.iter().any(|known| known == skipped) {
                self.skipped.push(skipped.to_owned());
            }
            return false;
        }
        if line == "successes:" {
            self.in_successes = true;
            return false;
        }
        if let Some(result) = line.strip_prefix("test result: ") {
            self.in_successes = false;
            self.passed += count(result, "passed");
            self.failed += count(result, "failed");
            return true;
        }
        if line == "failures:" {
            self.in_successes = false;
        }
        // The names of tests would hide the summary; those of failed ones are repeated at the end.
        let is_quiet = line.ends_with(" ... ok") || line.is_empty();
        line.starts_with("figure: ") || !self.in_successes && !is_quiet
    }
}

/// Returns the number before `word` in the harness's own summary.
fn count(result: &str, word: &str) -> usize {
    let mut before = None;
    for token in result.split([' ', ';', '.']) {
        if token == word {
            return before.and_then(|number: &str| number.parse().ok()).unwrap_or(0);
        }
        before = Some(token);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_test_is_not_counted_as_passed() {
        let mut tally = Tally::default();
        let output = [
            "running 2 tests",
            "test a ... ok",
            "successes:",
            "---- a stdout ----",
            "skipped: a: no vectors",
            "figure: 12 crash points",
            "noise",
            "test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ];
        let shown: Vec<&str> = output.into_iter().filter(|line| tally.take(line)).collect();

        assert_eq!(tally.passed, 2);
        assert_eq!(tally.skipped, ["a: no vectors"]);
        assert_eq!(shown, [output[0], output[5], output[7]]);
    }
}
