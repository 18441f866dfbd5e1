//! `cargo xtask mutants`: a seeded sample of the mutants of what decides payments, and what our tests
//! make of them.
//!
//! `cargo-mutants` makes and runs them. Where a bug can be planted (`Bug::`) it is left alone: that
//! is no rule of ours, and `cargo xtask bugs` looks after it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::run::{cargo, output, root};

/// Of a hundred mutants that a test can tell from the code, so many must be caught.
const CAUGHT_PERCENT_MIN: usize = 92;

/// Files that are mutated together, and the packages whose tests look at them.
struct Group {
    name: &'static str,
    files: &'static [&'static str],
    /// None: each package's own tests.
    test_packages: &'static [&'static str],
    /// What the tests are given.
    test_arguments: &'static [&'static str],
}

const GROUPS: [Group; 2] = [
    Group {
        name: "payments",
        files: &["crates/payments/src/*.rs", "crates/reload/src/*.rs"],
        test_packages: &[],
        test_arguments: &[],
    },
    Group {
        name: "ledger",
        files: &[
            "crates/types/src/ledger.rs",
            "crates/types/src/terms.rs",
            "crates/monitor/src/archive.rs",
            "crates/monitor/src/forget.rs",
            "crates/monitor/src/ledger.rs",
            "crates/monitor/src/release.rs",
            "crates/monitor/src/verdict.rs",
        ],
        test_packages: &["lastword-monitor", "lastword-reload"],
        // Half of the time of all these tests, and nearly all of what they see others see too.
        test_arguments: &["--skip", "matrix::", "--skip", "museum_b058", "--skip", "museum_b028"],
    },
];

struct Arguments {
    seed: u64,
    sample: usize,
}

/// What became of the mutants, by name.
#[derive(Default)]
struct Outcomes {
    caught: Vec<String>,
    missed: Vec<String>,
    timeouts: Vec<String>,
    unviable: Vec<String>,
}

/// Runs it.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let Arguments { seed, sample } = parse(arguments)?;
    output(&mut cargo(&["mutants", "--version"]))
        .map_err(|_| "mutants: cargo-mutants is missing: cargo install --locked cargo-mutants")?;
    let mut all = Vec::new();
    for (index, group) in GROUPS.iter().enumerate() {
        all.extend(list(group)?.into_iter().map(|name| (index, name)));
    }
    let total = all.len();
    let chosen: BTreeSet<(usize, String)> = choose(all, sample, seed).into_iter().collect();
    println!("mutants: {} of {total}, seed {seed}", chosen.len());
    let mut outcomes = Outcomes::default();
    for (index, group) in GROUPS.iter().enumerate() {
        let names = chosen.iter().filter(|(of, _)| *of == index).map(|(_, name)| name.as_str());
        try_out(group, &names.collect::<Vec<_>>(), &mut outcomes)?;
    }
    report(&outcomes)
}

fn parse(arguments: &[String]) -> Result<Arguments, String> {
    let mut parsed = Arguments { seed: 1, sample: 200 };
    let mut arguments = arguments.iter();
    while let Some(flag) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{flag} needs a value"))?;
        let wrong = |_| format!("{value} is no number");
        match flag.as_str() {
            "--seed" => parsed.seed = value.parse().map_err(wrong)?,
            "--sample" => parsed.sample = value.parse().map_err(wrong)?,
            other => return Err(format!("mutants: unknown argument {other}")),
        }
    }
    Ok(parsed)
}

/// Returns the names of all mutants of a group, but those of planted bugs.
fn list(group: &Group) -> Result<Vec<String>, String> {
    let mut command = cargo(&["mutants", "--list", "--json"]);
    for file in group.files {
        command.args(["--file", file]);
    }
    let json = output(&mut command)?;
    let mutants: Vec<Value> =
        serde_json::from_str(&json).map_err(|error| format!("mutants: the list: {error}"))?;
    let mut names = Vec::new();
    for mutant in &mutants {
        let name = mutant["name"].as_str().ok_or("mutants: one has no name")?;
        if !is_of_a_bug(mutant)? {
            names.push(name.to_owned());
        }
    }
    Ok(names)
}

/// Says whether a mutant changes whether a bug is planted.
fn is_of_a_bug(mutant: &Value) -> Result<bool, String> {
    let file = mutant["file"].as_str().ok_or("mutants: one has no file")?;
    let line = |end: &str| mutant["span"][end]["line"].as_u64().unwrap_or(0);
    let (first, last) = (line("start"), line("end"));
    let text = fs::read_to_string(root().join(file)).map_err(|error| format!("{file}: {error}"))?;
    let names_a_bug =
        (1..).zip(text.lines()).any(|(at, line)| at == first && line.contains("Bug::"));
    Ok(first == last && names_a_bug)
}

/// Returns `sample` of the list, drawn by the seed: the same for the same list.
fn choose<T>(mut list: Vec<T>, sample: usize, seed: u64) -> Vec<T> {
    let mut state = seed;
    for place in 0..sample.min(list.len()) {
        let left = u64::try_from(list.len() - place).unwrap_or(u64::MAX);
        let step = usize::try_from(next(&mut state) % left).unwrap_or(0);
        list.swap(place, place + step);
    }
    list.truncate(sample);
    list
}

/// The next number of `splitmix64`.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Has the tests look at mutants of a group.
fn try_out(group: &Group, names: &[&str], outcomes: &mut Outcomes) -> Result<(), String> {
    if names.is_empty() {
        return Ok(());
    }
    let folder = root().join("target").join("mutants").join(group.name);
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut command = cargo(&["mutants", "--no-shuffle", "--jobs", "1", "--output"]);
    command.arg(&folder).args(["--minimum-test-timeout", "60"]);
    for file in group.files {
        command.args(["--file", file]);
    }
    for name in names {
        command.args(["--re", &format!("^{}$", escaped(name))]);
    }
    for package in group.test_packages {
        command.args(["--test-package", package]);
    }
    command.arg("--").arg("--").args(group.test_arguments);
    // One folder for all: what the mutants stand on is built once.
    command.env("CARGO_TARGET_DIR", root().join("target").join("mutants").join("build"));
    let status = command.status().map_err(|error| format!("mutants did not start: {error}"))?;
    // Missed mutants (2) and timeouts (3) are outcomes like any other.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        return Err(format!("mutants: {} ended with {status}", group.name));
    }
    read_outcomes(&folder.join("mutants.out").join("outcomes.json"), outcomes)
}

fn read_outcomes(path: &Path, outcomes: &mut Outcomes) -> Result<(), String> {
    let wrong = |error: &dyn core::fmt::Display| format!("{}: {error}", path.display());
    let json = fs::read_to_string(path).map_err(|error| wrong(&error))?;
    let json: Value = serde_json::from_str(&json).map_err(|error| wrong(&error))?;
    for outcome in json["outcomes"].as_array().into_iter().flatten() {
        let Some(name) = outcome["scenario"]["Mutant"]["name"].as_str() else { continue };
        let list = match outcome["summary"].as_str() {
            Some("CaughtMutant") => &mut outcomes.caught,
            Some("MissedMutant") => &mut outcomes.missed,
            Some("Timeout") => &mut outcomes.timeouts,
            Some("Unviable") => &mut outcomes.unviable,
            other => return Err(wrong(&format!("{name} is {other:?}"))),
        };
        list.push(name.to_owned());
    }
    Ok(())
}

fn report(outcomes: &Outcomes) -> Result<(), String> {
    let Outcomes { caught, missed, timeouts, unviable } = outcomes;
    for (what, names) in [("missed", missed), ("timeout", timeouts)] {
        for name in names {
            println!("{what}: {name}");
        }
    }
    let told_apart = (caught.len() + missed.len()).max(1);
    let percent = caught.len() * 100 / told_apart;
    let line = format!(
        "mutants: {} caught, {} missed, {} timeouts, {} do not compile: {percent} % caught",
        caught.len(),
        missed.len(),
        timeouts.len(),
        unviable.len(),
    );
    if percent < CAUGHT_PERCENT_MIN {
        return Err(format!("{line}, less than {CAUGHT_PERCENT_MIN}"));
    }
    println!("{line}");
    Ok(())
}

/// Returns a regular expression that matches a text and nothing else.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for sign in text.chars() {
        if r"\.+*?()|[]{}^$#&-~".contains(sign) {
            escaped.push('\\');
        }
        escaped.push(sign);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same_sample_without_repeating() {
        let draw = |seed| choose((0..500).collect(), 200, seed);
        let first: Vec<i32> = draw(7);
        assert_eq!(first, draw(7));
        assert_ne!(first, draw(8));
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 200);
        assert_eq!(choose(vec![1, 2, 3], 200, 7).len(), 3);
    }

    #[test]
    fn a_name_is_matched_as_it_is() {
        assert_eq!(escaped("a.rs:1: f -> T<'a>"), r"a\.rs:1: f \-> T<'a>");
    }
}
