//! `cargo xtask fuzz`: every fuzz target built, run and judged.
//!
//! It needs a nightly compiler, for only that has the sanitizer, so it is no part of `cargo xtask ci`.
//! Each target has a canary: a thing that is true and that the target holds for false when it is built
//! with the feature `canary`. A fuzzer that does not find it would not find a bug there either.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::json;

use crate::run::{check, root};

/// The platform is named, so that the flags below are not those of build scripts.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";
/// What cargo-fuzz builds with: coverage of edges, traced comparisons, and the address sanitizer.
const FLAGS: &str = "--cfg fuzzing -Zsanitizer=address -Cdebug-assertions -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Cllvm-args=-simplifycfg-branch-fold-threshold=0";
/// Seconds for each target of `--smoke`.
const SMOKE_SECONDS: u64 = 4;
/// Seconds in which a canary must be found.
const CANARY_SECONDS: u64 = 300;
/// What a target says when it came to its canary.
const CANARY: &str = "the canary is found";

/// A target, and what it starts from.
struct Target {
    name: &'static str,
    seeds: Seeds,
    /// No single allocation may be larger: one that is follows a claim in the bytes.
    malloc_mb: u32,
}

/// The inputs that a corpus begins with.
#[derive(Clone, Copy)]
enum Seeds {
    /// The golden files whose names begin so.
    Golden(&'static str),
    /// The same, each with its length before it.
    Measured(&'static str),
    /// The files of a folder of `fuzz/seeds`.
    Files(&'static str),
    /// None: the target makes sound things itself and its input says how to damage them.
    None,
}

const TARGETS: [Target; 13] = [
    Target { name: "wire_frame", seeds: Seeds::Golden(""), malloc_mb: 4 },
    Target { name: "wire_monitor_record", seeds: Seeds::Golden("monitor_"), malloc_mb: 4 },
    Target { name: "wire_payment_record", seeds: Seeds::Golden("payment_"), malloc_mb: 4 },
    Target { name: "wire_monitor_state", seeds: Seeds::Golden("monitor_state"), malloc_mb: 4 },
    Target { name: "wire_book_state", seeds: Seeds::Golden("book_state"), malloc_mb: 4 },
    Target { name: "wire_card", seeds: Seeds::Golden("card_"), malloc_mb: 4 },
    Target { name: "wire_chain_tip", seeds: Seeds::Golden("chain_tip"), malloc_mb: 4 },
    Target { name: "wire_book_mark", seeds: Seeds::Golden("book_mark"), malloc_mb: 4 },
    Target { name: "wire_event", seeds: Seeds::Golden("event_"), malloc_mb: 4 },
    Target { name: "recovery_store", seeds: Seeds::None, malloc_mb: 64 },
    Target { name: "recovery_start", seeds: Seeds::None, malloc_mb: 16 },
    // The decoder that these are compared with, or made by, reserves up to 16 MB for a claim.
    Target { name: "chain_raw_block", seeds: Seeds::Files("block"), malloc_mb: 20 },
    Target { name: "chain_monitor", seeds: Seeds::Measured("monitor_state"), malloc_mb: 20 },
];

struct Arguments {
    what: What,
    is_json: bool,
    /// All of them if there is none.
    names: Vec<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    List,
    Run { seconds: u64 },
    Canaries,
}

/// What a run of one target came to.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    executed: u64,
    coverage: u64,
    features: u64,
    corpus: String,
    has_crashed: bool,
}

/// Runs it.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Arguments { what, is_json, names } = parse(arguments)?;
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| names.is_empty() || names.iter().any(|name| name == target.name))
        .collect();
    if what == What::List {
        for target in chosen {
            println!("{}", target.name);
        }
        return Ok(());
    }
    if let Err(why) = nightly() {
        for target in &chosen {
            println!("skipped: {}: {why}", target.name);
        }
        println!("fuzz: 0 run, {} skipped", chosen.len());
        return Ok(());
    }
    let programs = build(what == What::Canaries)?;
    let mut bad = Vec::new();
    for target in &chosen {
        let holds = match what {
            What::List => true,
            What::Run { seconds } => fuzz(&programs, target, seconds, is_json)?,
            What::Canaries => find_canary(&programs, target, is_json)?,
        };
        if !holds {
            bad.push(target.name);
        }
    }
    println!("fuzz: {} run, {} as they should not be", chosen.len(), bad.len());
    if bad.is_empty() { Ok(()) } else { Err(format!("fuzz: look at {}", bad.join(", "))) }
}

fn parse(arguments: &[String]) -> Result<Arguments, String> {
    let mut parsed = Arguments { what: What::List, is_json: false, names: Vec::new() };
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => parsed.is_json = true,
            "--smoke" => parsed.what = What::Run { seconds: SMOKE_SECONDS },
            "--canaries" => parsed.what = What::Canaries,
            "--seconds" => {
                let seconds = arguments.next().and_then(|number| number.parse().ok());
                let seconds = seconds.ok_or("fuzz: --seconds needs a number")?;
                parsed.what = What::Run { seconds };
            }
            name if TARGETS.iter().any(|target| target.name == name) => {
                parsed.names.push(name.to_owned());
            }
            other => return Err(format!("fuzz: there is no target or option `{other}`")),
        }
    }
    Ok(parsed)
}

/// Says what is missing, if anything is.
fn nightly() -> Result<(), String> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(format!("the flags are those of {PLATFORM}"));
    }
    let answer = Command::new("rustup").args(["run", "nightly", "cargo", "--version"]).output();
    if answer.is_ok_and(|answer| answer.status.success()) {
        return Ok(());
    }
    Err("there is no nightly compiler (rustup toolchain install nightly)".to_owned())
}

fn folder() -> PathBuf {
    root().join("fuzz")
}

/// Where everything lies that is made here: the workspace of the targets has a folder of its own.
fn target_folder() -> PathBuf {
    let given = std::env::var_os("CARGO_TARGET_DIR");
    given.map_or_else(|| folder().join("target"), |target| PathBuf::from(target).join("fuzz"))
}

/// Builds all targets, and returns the folder with the programs.
fn build(has_canaries: bool) -> Result<PathBuf, String> {
    let made = target_folder();
    let mut cargo = Command::new("rustup");
    cargo.args(["run", "nightly", "cargo", "build", "--quiet", "--release", "--bins"]);
    cargo.args(["--target", PLATFORM]).env("RUSTFLAGS", FLAGS).env("CARGO_TARGET_DIR", &made);
    if has_canaries {
        cargo.args(["--features", "canary"]);
    }
    check(cargo.current_dir(folder()))?;
    // The other build would take the place of this one.
    let programs = made.join(if has_canaries { "with-canaries" } else { "programs" });
    create(&programs)?;
    for Target { name, .. } in &TARGETS {
        copy(&made.join(PLATFORM).join("release").join(name), &programs.join(name))?;
    }
    Ok(programs)
}

fn create(folder: &Path) -> Result<(), String> {
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    // A program that runs can be replaced and cannot be written to.
    if to.exists() {
        fs::remove_file(to).map_err(|error| format!("{}: {error}", to.display()))?;
    }
    let copied = fs::copy(from, to);
    copied.map(drop).map_err(|error| format!("{}: {error}", from.display()))
}

/// Runs a target for so long, and says whether nothing crashed.
fn fuzz(programs: &Path, target: &Target, seconds: u64, is_json: bool) -> Result<bool, String> {
    let corpus = target_folder().join("corpus").join(target.name);
    seed(target, &corpus)?;
    let limit = format!("-max_total_time={seconds}");
    let output = start(programs, target, &[corpus.into(), limit.into()])?;
    let Figures { executed, coverage, features, corpus, has_crashed } = figures(&output);
    let name = target.name;
    if is_json {
        let row = json!({
            "id": name, "seconds": seconds, "executed": executed, "coverage": coverage,
            "features": features, "corpus": corpus, "holds": !has_crashed,
        });
        println!("{row}");
    } else {
        println!(
            "fuzz: {name:<20} {executed:>12} runs in {seconds} s, {coverage:>6} edges, \
             {features:>6} features, corpus {corpus}{}",
            if has_crashed { ", CRASHED" } else { "" }
        );
    }
    if has_crashed {
        eprintln!("{}", tail(&output));
    }
    Ok(!has_crashed)
}

/// Says whether a target finds its canary, beginning with the seeds alone.
fn find_canary(programs: &Path, target: &Target, is_json: bool) -> Result<bool, String> {
    let corpus = target_folder().join("canary-corpus").join(target.name);
    if corpus.exists() {
        fs::remove_dir_all(&corpus).map_err(|error| format!("{}: {error}", corpus.display()))?;
    }
    seed(target, &corpus)?;
    let seeds = start(programs, target, &[corpus.clone().into(), "-runs=0".into()])?;
    let limit = format!("-max_total_time={CANARY_SECONDS}");
    let began = std::time::Instant::now();
    let output = start(programs, target, &[corpus.into(), limit.into()])?;
    let is_hidden = seeds.status.success();
    let is_found = !output.status.success() && stderr(&output).contains(CANARY);
    let Figures { executed, .. } = figures(&output);
    let seconds = began.elapsed().as_secs();
    let name = target.name;
    if is_json {
        let row = json!({
            "id": name, "seconds": seconds, "executed": executed, "hidden": is_hidden,
            "found": is_found, "holds": is_hidden && is_found,
        });
        println!("{row}");
    } else {
        let what = match (is_hidden, is_found) {
            (true, true) => "canary found",
            (false, _) => "the SEEDS find the canary",
            (true, false) => "canary NOT found",
        };
        println!("fuzz: {name:<20} {what} after {executed} runs, {seconds} s");
    }
    if !is_found && !output.status.success() {
        eprintln!("{}", tail(&output));
    }
    Ok(is_hidden && is_found)
}

fn start(programs: &Path, target: &Target, more: &[OsString]) -> Result<Output, String> {
    let artifacts = folder().join("artifacts").join(target.name);
    create(&artifacts)?;
    let mut program = Command::new(programs.join(target.name));
    program.args(more).args(["-print_final_stats=1", "-seed=1"]);
    program.arg(format!("-malloc_limit_mb={}", target.malloc_mb));
    if matches!(target.seeds, Seeds::None) {
        // Inputs would grow from nothing, a byte at a time, and these targets are slow.
        program.args(["-len_control=0", "-max_len=400"]);
    }
    program.arg(format!("-artifact_prefix={}/", artifacts.display()));
    program.output().map_err(|error| format!("{} did not start: {error}", target.name))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn tail(output: &Output) -> String {
    let said = stderr(output);
    let lines: Vec<&str> = said.lines().collect();
    lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n")
}

/// Reads what libFuzzer says at its end.
fn figures(output: &Output) -> Figures {
    let mut figures = read_figures(&stderr(output));
    figures.has_crashed = !output.status.success();
    figures
}

fn read_figures(said: &str) -> Figures {
    let mut figures = Figures::default();
    for line in said.lines() {
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:") {
            figures.executed = count.trim().parse().unwrap_or(0);
        }
        let Some((runs, rest)) = line.strip_prefix('#').and_then(|line| line.split_once('\t'))
        else {
            continue;
        };
        // A run that ends at a canary has no statistics behind it.
        figures.executed = runs.parse().unwrap_or(figures.executed).max(figures.executed);
        let words: Vec<&str> = rest.split_whitespace().collect();
        let after = |name: &str| {
            let at = words.iter().position(|word| *word == name)?;
            words.get(at + 1).copied()
        };
        let number = |name| after(name).and_then(|word| word.parse().ok());
        figures.coverage = number("cov:").unwrap_or(figures.coverage);
        figures.features = number("ft:").unwrap_or(figures.features);
        figures.corpus = after("corp:").unwrap_or(&figures.corpus).to_owned();
    }
    figures
}

/// Puts the seeds of a target into its corpus.
fn seed(target: &Target, corpus: &Path) -> Result<(), String> {
    create(corpus)?;
    let (files, prefix, is_measured) = match target.seeds {
        Seeds::Golden(prefix) => (root().join("crates/wire/testdata/v1"), prefix, false),
        Seeds::Measured(prefix) => (root().join("crates/wire/testdata/v1"), prefix, true),
        Seeds::Files(name) => (folder().join("seeds").join(name), "", false),
        Seeds::None => return Ok(()),
    };
    let entries = fs::read_dir(&files).map_err(|error| format!("{}: {error}", files.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("{}: {error}", files.display()))?.path();
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.starts_with(prefix) {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| format!("{name}: {error}"))?;
        let mut bytes = unhex(&text).ok_or_else(|| format!("{name} is no hex"))?;
        if is_measured {
            let length = u16::try_from(bytes.len()).map_err(|error| format!("{name}: {error}"))?;
            bytes.splice(0..0, length.to_be_bytes());
        }
        fs::write(corpus.join(name), bytes).map_err(|error| format!("{name}: {error}"))?;
    }
    Ok(())
}

/// Reads hex with white space in it.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_program_of_the_fuzz_workspace_is_a_target_and_is_told_of() {
        let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("it is there");
        let bins = manifest.split("[[bin]]").skip(1);
        let named = bins.filter_map(|bin| bin.split('"').nth(1)).collect::<BTreeSet<_>>();
        assert_eq!(named, TARGETS.iter().map(|target| target.name).collect());
        let readme = fs::read_to_string(folder().join("README.md")).expect("it is there");
        for Target { name, .. } in &TARGETS {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn every_target_that_says_so_has_seeds() {
        let made = std::env::temp_dir().join(format!("lastword-seeds-{}", std::process::id()));
        for target in &TARGETS {
            let corpus = made.join(target.name);
            seed(target, &corpus).expect(target.name);
            let count = fs::read_dir(&corpus).expect("it was made").count();
            assert_eq!(count == 0, matches!(target.seeds, Seeds::None), "{}", target.name);
        }
        fs::remove_dir_all(made).expect("it was made");
    }

    #[test]
    fn the_last_figures_count() {
        let said = "#12\tNEW    cov: 5 ft: 6 corp: 2/10b lim: 4 exec/s: 0 rss: 9Mb\n\
            #40\tDONE   cov: 7 ft: 9 corp: 3/22b lim: 4 exec/s: 1 rss: 9Mb\n\
            stat::number_of_executed_units: 41";
        let corpus = "3/22b".to_owned();
        let expected =
            Figures { executed: 41, coverage: 7, features: 9, corpus, has_crashed: false };
        assert_eq!(read_figures(said), expected);
    }

    #[test]
    fn hex_is_read_and_nothing_else() {
        assert_eq!(unhex("00 fF\n1"), Some(vec![0, 0xFF, 1]));
        assert_eq!(unhex("0g"), None);
    }
}
