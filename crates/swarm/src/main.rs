//! The simulator's command line.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lastword_swarm::{Mark, Marks, Options, Report, Violation, run_seed, shrink};
use serde_json::json;

#[cfg(lastword_bugs)]
mod bugs;

const USAGE: &str = "\
lastword-swarm [--seeds N] [--base B] [--minutes M] [--threads T] [--json] [--all-faults]
lastword-swarm --seed S [--keep STEPS]

  --seeds       how many seeds, from --base on
  --minutes     as many seeds as fit
  --all-faults  fails if some fault or deed was never met
  --seed        one seed, with its story
  --keep        of its steps only these, as in 3-7,12";

/// One seed in so many is run twice.
const TWICE_EVERY: u64 = 64;
/// Violations after which a run stops.
const VIOLATIONS_MAX: usize = 5;

struct Arguments {
    seeds: u64,
    base: u64,
    minutes: Option<u64>,
    threads: usize,
    is_json: bool,
    needs_all: bool,
    seed: Option<u64>,
    keep: Option<BTreeSet<u32>>,
}

fn main() -> ExitCode {
    #[cfg(lastword_bugs)]
    if let Some(code) = bugs::main(&std::env::args().skip(1).collect::<Vec<_>>()) {
        return code;
    }
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    if let Some(seed) = arguments.seed {
        return replay(seed, arguments.keep);
    }
    let total = run(&arguments);
    print(&total, &arguments);
    let is_short = arguments.needs_all && total.marks.missing().next().is_some();
    if total.violations.is_empty() && !is_short { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments(given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut arguments = Arguments {
        seeds: 1_000,
        base: 0,
        minutes: None,
        threads,
        is_json: false,
        needs_all: false,
        seed: None,
        keep: None,
    };
    let mut given = given;
    while let Some(flag) = given.next() {
        let mut value = || given.next().ok_or(format!("{flag} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("{text} is no number"));
        match flag.as_str() {
            "--json" => arguments.is_json = true,
            "--all-faults" => arguments.needs_all = true,
            "--seeds" => arguments.seeds = number(value()?)?,
            "--base" => arguments.base = number(value()?)?,
            "--minutes" => arguments.minutes = Some(number(value()?)?),
            "--seed" => arguments.seed = Some(number(value()?)?),
            "--keep" => arguments.keep = Some(steps(&value()?)?),
            "--threads" => {
                arguments.threads = usize::try_from(number(value()?)?).unwrap_or(1).max(1);
            }
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(arguments)
}

/// Reads a list of steps.
fn steps(text: &str) -> Result<BTreeSet<u32>, String> {
    let mut steps = BTreeSet::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.parse::<u32>().map_err(|_| format!("{text} is no step"));
        steps.extend(number(from)?..=number(to)?);
    }
    Ok(steps)
}

/// Writes a list of steps.
fn list(keep: &BTreeSet<u32>) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for step in keep {
        match parts.last_mut() {
            Some((_, to)) if *to + 1 == *step => *to = *step,
            Some(_) | None => parts.push((*step, *step)),
        }
    }
    let part = |(from, to): &(u32, u32)| {
        if from == to { from.to_string() } else { format!("{from}-{to}") }
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

fn replay(seed: u64, keep: Option<BTreeSet<u32>>) -> ExitCode {
    match run_seed(seed, &Options { keep, wants_story: true }) {
        Ok(report) => {
            report.story.iter().for_each(|line| println!("{line}"));
            println!(
                "seed {seed}: {} steps, no violation, trace {:016x}",
                report.steps, report.trace
            );
            ExitCode::SUCCESS
        }
        Err(violation) => {
            violation.story.iter().for_each(|line| println!("{line}"));
            println!("violation: {violation}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Default)]
struct Total {
    seeds: u64,
    steps: u64,
    twice: u64,
    marks: Marks,
    violations: Vec<Violation>,
    took: Duration,
}

fn run(arguments: &Arguments) -> Total {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let total = Mutex::new(Total::default());
    // Drawn on a terminal only.
    let bar = ProgressBar::new(arguments.seeds);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} seeds, {msg} steps, {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let is_over = match arguments.minutes {
                        Some(minutes) => begun.elapsed() >= Duration::from_secs(minutes * 60),
                        None => at >= arguments.seeds,
                    };
                    if is_over {
                        return;
                    }
                    let is_twice = at.is_multiple_of(TWICE_EVERY);
                    let outcome = run_one(arguments.base.wrapping_add(at), is_twice);
                    let mut total = total.lock().expect("nobody panics with it");
                    if total.violations.len() >= VIOLATIONS_MAX {
                        return;
                    }
                    total.seeds += 1;
                    total.twice += u64::from(is_twice);
                    match outcome {
                        Ok(report) => {
                            total.steps += report.steps;
                            total.marks.add(&report.marks);
                        }
                        Err(violation) => total.violations.push(*violation),
                    }
                    bar.set_message(total.steps.to_string());
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut total = total.into_inner().expect("nobody panicked with it");
    total.took = begun.elapsed();
    total.violations = total.violations.into_iter().map(shrink).collect();
    total
}

/// Runs a seed, now and then twice: both runs must be alike.
fn run_one(seed: u64, is_twice: bool) -> Result<Report, Box<Violation>> {
    let report = run_seed(seed, &Options::default())?;
    if is_twice && run_seed(seed, &Options::default())?.trace != report.trace {
        return Err(Box::new(Violation {
            seed,
            rule: "determinism",
            what: "two runs of this seed differ".to_owned(),
            step: 0,
            steps: 0,
            keep: None,
            story: Vec::new(),
        }));
    }
    Ok(report)
}

fn replay_line(violation: &Violation) -> String {
    let keep = violation.keep.as_ref().map(|keep| format!(" --keep {}", list(keep)));
    format!("cargo xtask sim --seed {}{}", violation.seed, keep.unwrap_or_default())
}

fn print(total: &Total, arguments: &Arguments) {
    let Total { seeds, steps, twice, marks, violations, took } = total;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = (*steps as f64 / took.as_secs_f64() / arguments.threads as f64).round();
    if arguments.is_json {
        let of = |is_fault: bool| -> serde_json::Map<String, serde_json::Value> {
            let marks = Mark::ALL.iter().filter(|mark| mark.is_fault() == is_fault);
            marks.map(|mark| (mark.name().to_owned(), json!(total.marks.count(*mark)))).collect()
        };
        let told = |violation: &Violation| {
            json!({
                "seed": violation.seed, "rule": violation.rule, "what": violation.what,
                "replay": replay_line(violation), "story": violation.story,
            })
        };
        let line = json!({
            "fidelity": "real", "base": arguments.base, "seeds": seeds, "steps": steps,
            "run_twice": twice, "seconds": took.as_secs(), "threads": arguments.threads,
            "steps_a_second_and_thread": rate, "faults": of(true), "deeds": of(false),
            "violations": violations.iter().map(told).collect::<Vec<_>>(),
        });
        println!("{line}");
        return;
    }
    for violation in violations {
        violation.story.iter().for_each(|line| println!("  {line}"));
        println!("violation: {violation}\n  replay: {}", replay_line(violation));
    }
    for mark in Mark::ALL {
        let kind = if mark.is_fault() { "fault" } else { "deed" };
        println!("{:>9} {kind} {mark}", marks.count(*mark));
    }
    println!(
        "sim: {seeds} seeds from {}, {steps} steps, {twice} run twice, {} violations, {} never met",
        arguments.base,
        violations.len(),
        marks.missing().count(),
    );
    println!("sim: {rate} steps a second and thread, {} threads", arguments.threads);
}
