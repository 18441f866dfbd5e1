//! The explorer's command line.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use lastword_explore::{Counts, Explorer, Options, Scenario, Violation, scenarios};
use serde_json::json;

const USAGE: &str = "\
lastword-explore [--json] [--scenario NAME] [--second-every N] [--threads N]

  --scenario      only scenarios whose name begins like this
  --second-every  of the lives that rose from a first crash, every how many dies once more (1: all)
  --threads       how many scenarios at once";

struct Arguments {
    is_json: bool,
    scenario: Option<String>,
    second_every: usize,
    threads: usize,
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let wanted = |scenario: &Scenario| {
        let name = scenario.to_string();
        arguments.scenario.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
    };
    let work: Vec<(Scenario, bool)> = scenarios()
        .into_iter()
        .filter(wanted)
        .flat_map(|scenario| [(scenario, true), (scenario, false)])
        .collect();
    if work.is_empty() {
        eprintln!("no scenario begins like that");
        return ExitCode::FAILURE;
    }
    let report = run(&work, &arguments);
    print(&report, &arguments);
    if report.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments(given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut arguments = Arguments { is_json: false, scenario: None, second_every: 8, threads };
    let mut given = given;
    while let Some(flag) = given.next() {
        let mut value = || given.next().ok_or(format!("{flag} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text} is no number"));
        match flag.as_str() {
            "--json" => arguments.is_json = true,
            "--scenario" => arguments.scenario = Some(value()?),
            "--second-every" => arguments.second_every = number(value()?)?,
            "--threads" => arguments.threads = number(value()?)?.max(1),
            other => return Err(format!("unknown argument {other}")),
        }
    }
    Ok(arguments)
}

struct Report {
    counts: Counts,
    ends: HashSet<u64>,
    violations: Vec<Violation>,
    took: Duration,
}

fn run(work: &[(Scenario, bool)], arguments: &Arguments) -> Report {
    let begun = Instant::now();
    let next = AtomicUsize::new(0);
    let total = Mutex::new((Counts::default(), HashSet::new(), Vec::new()));
    // Drawn on a terminal only.
    let bar = ProgressBar::new(u64::try_from(work.len()).unwrap_or(u64::MAX));
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} lives, {msg} crashes, {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    std::thread::scope(|scope| {
        for _ in 0..arguments.threads {
            scope.spawn(|| {
                let mut explorer = Explorer::new(Options {
                    second_every: arguments.second_every,
                    is_lying_disk: false,
                });
                while let Some((scenario, is_one)) = work.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let outcome = explorer.explore(*scenario, *is_one);
                    let mut total = total.lock().expect("nobody panics with it");
                    match outcome {
                        Ok(counts) => total.0.add(counts),
                        Err(violation) => total.2.push(*violation),
                    }
                    bar.set_message(total.0.cases.to_string());
                    bar.inc(1);
                }
                total.lock().expect("nobody panics with it").1.extend(explorer.into_final_states());
            });
        }
    });
    bar.finish_and_clear();
    let (counts, ends, violations) = total.into_inner().expect("nobody panicked with it");
    Report { counts, ends, violations, took: begun.elapsed() }
}

fn print(report: &Report, arguments: &Arguments) {
    let Report { counts, ends, violations, took } = report;
    #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
    let rate = |count: u64| (count as f64 / took.as_secs_f64() / arguments.threads as f64).round();
    if arguments.is_json {
        let violations: Vec<String> = violations.iter().map(Violation::to_string).collect();
        let line = json!({
            "scenarios": counts.scenarios, "boundaries": counts.boundaries,
            "versions": counts.versions, "cases": counts.cases, "risen": counts.risen,
            "steps": counts.steps, "final_states": ends.len(), "violations": violations,
            "risen_a_second_and_thread": rate(counts.risen),
            "steps_a_second_and_thread": rate(counts.steps), "threads": arguments.threads,
        });
        println!("{line}");
        return;
    }
    for violation in violations {
        println!(
            "violation: {violation}\n  replay: lastword-explore --scenario {}",
            violation.scenario
        );
    }
    println!(
        "explore: {} lives, {} boundaries, {} versions of the book, {} crashes, {} risen from, \
         {} final states, {} violations",
        counts.scenarios,
        counts.boundaries,
        counts.versions,
        counts.cases,
        counts.risen,
        ends.len(),
        violations.len(),
    );
    println!(
        "explore: {} crashes and {} steps a second and thread, {} threads",
        rate(counts.risen),
        rate(counts.steps),
        arguments.threads,
    );
}
