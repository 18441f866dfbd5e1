//! `cargo xtask instructions`: what the hot paths cost in instructions, held against a file.
//!
//! Times move with whatever else a machine does; instructions hardly do. So a change that makes a
//! block, an update or a start dearer is seen on any machine that has valgrind.
//!
//! They do move with the compiler, so the file's first line names the one that it was counted with. With
//! another nothing can be said, and that is said.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::bench;
use crate::run::{output, root};

/// The parts, by the word that the measured program knows.
const PARTS: [&str; 5] = ["block", "update", "restart", "walk", "plan"];
/// How much more or less than the file says is let pass, in hundredths.
const BAND_PERCENT: u64 = 5;
/// What was counted, and with what.
const FILE: &str = "docs/instructions.txt";
/// How the measured program is asked for a part, and for the same with something slower in it.
const PART: &str = "--instructions";
const PLANTED: &str = "--planted-slowdown";

/// How it went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ran {
    /// Everything was counted.
    Counted,
    /// Nothing was, and why.
    Skipped(String),
}

/// Runs it.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    match guard(arguments)? {
        Ran::Counted => Ok(()),
        Ran::Skipped(why) => {
            println!("skipped: {why}");
            Ok(())
        }
    }
}

/// Counts, and holds the counts against the file.
pub(crate) fn guard(arguments: &[String]) -> Result<Ran, String> {
    let is_asked = |word: &str| arguments.iter().any(|argument| argument == word);
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Ok(Ran::Skipped("instructions: there is no valgrind here".to_owned()));
    }
    let compiler = compiler()?;
    let file = root().join(FILE);
    let known = fs::read_to_string(&file).unwrap_or_default();
    let is_saving = is_asked("--save");
    if let Some(other) = other_compiler(&known, &compiler).filter(|_| !is_saving) {
        return Ok(Ran::Skipped(format!(
            "instructions: {FILE} was counted with {other}, and this is {compiler}; \
             `cargo xtask instructions --save` at a commit whose cost is known to be good counts anew"
        )));
    }
    let program = bench::scale()?;
    if is_asked("--planted") {
        return planted(&program).map(|()| Ran::Counted);
    }
    let (mut lines, mut off) = (format!("{compiler}\n"), Vec::new());
    for part in PARTS {
        let count = count(&program, PART, part)?;
        lines.extend([part, " ", &count.to_string(), "\n"]);
        let expected = expected(&known, part);
        let holds = expected.is_some_and(|expected| is_within(count, expected));
        if !holds {
            off.push(part);
        }
        let expected = expected.unwrap_or(0);
        if is_asked("--json") {
            println!(
                "{{\"id\": \"{part}\", \"unit\": \"instructions\", \"ours\": {count}, \
                 \"expected\": {expected}, \"holds\": {holds}}}"
            );
        } else {
            println!("instructions: {part:<8} {count:>12}, {expected:>12} expected");
        }
    }
    if is_saving {
        fs::write(&file, lines).map_err(|error| format!("{FILE}: {error}"))?;
        return Ok(Ran::Counted);
    }
    if off.is_empty() {
        return Ok(Ran::Counted);
    }
    Err(format!(
        "more than {BAND_PERCENT} % off: {}; if that is meant, `cargo xtask instructions --save`",
        off.join(", ")
    ))
}

/// Counts each part twice, once with something slower in it, and sees that the guard would tell.
fn planted(program: &Path) -> Result<(), String> {
    let mut unseen = Vec::new();
    for part in PARTS {
        let [sound, slower] = [PART, PLANTED].map(|how| count(program, how, part));
        let (sound, slower) = (sound?, slower?);
        let is_seen = slower > sound && !is_within(slower, sound);
        let more = slower.saturating_sub(sound).saturating_mul(1000) / sound;
        let said = if is_seen { "seen" } else { "NOT SEEN" };
        let (percent, tenth) = (more / 10, more % 10);
        println!(
            "instructions: {part:<8} {sound:>12}, planted {slower:>12}, {percent}.{tenth} % more: {said}"
        );
        if !is_seen {
            unseen.push(part);
        }
    }
    if unseen.is_empty() {
        return Ok(());
    }
    Err(format!("a planted slowdown is not seen in {}", unseen.join(", ")))
}

/// Names the compiler and what it compiles for.
fn compiler() -> Result<String, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = output(Command::new(rustc).arg("-vV").current_dir(root()))?;
    let version = said.lines().next().ok_or("rustc has no version")?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(format!("{version} {}", host.unwrap_or("somewhere")))
}

/// Returns the compiler of the file, if it is another.
fn other_compiler<'a>(known: &'a str, compiler: &str) -> Option<&'a str> {
    known.lines().next().filter(|line| *line != compiler)
}

/// Returns what the file says of a part.
fn expected(known: &str, part: &str) -> Option<u64> {
    known.lines().find_map(|line| line.strip_prefix(part)?.strip_prefix(' ')?.parse().ok())
}

fn is_within(count: u64, expected: u64) -> bool {
    count.abs_diff(expected).saturating_mul(100) <= expected.saturating_mul(BAND_PERCENT)
}

/// Counts the instructions of one part.
fn count(program: &Path, how: &str, part: &str) -> Result<u64, String> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    valgrind.args(["--collect-atstart=no", "--toggle-collect=*instructions::counted*"]);
    let ran = valgrind.arg(program).args([how, part]).output();
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
    use super::{expected, is_within, other_compiler};

    #[test]
    fn a_slowdown_beyond_the_band_is_seen_and_so_is_a_file_that_says_too_much() {
        assert!(is_within(105, 100) && is_within(95, 100));
        assert!(!is_within(106, 100) && !is_within(94, 100));
    }

    #[test]
    fn a_file_that_another_compiler_counted_is_named_and_an_empty_one_is_nobodys() {
        assert_eq!(other_compiler("rustc 1\nblock 5\n", "rustc 2"), Some("rustc 1"));
        assert_eq!(other_compiler("rustc 1\nblock 5\n", "rustc 1"), None);
        assert_eq!(other_compiler("", "rustc 1"), None);
    }

    #[test]
    fn a_part_is_found_by_its_whole_name() {
        assert_eq!(expected("rustc 1\nplanned 7\nplan 5\n", "plan"), Some(5));
        assert_eq!(expected("rustc 1\n", "plan"), None);
    }
}
