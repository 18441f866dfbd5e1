//! The explorer's command line.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::process::ExitCode;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use lastword_explore::{Counts, Found, Hunt, Options, Scenario, Violation, life_name, scenarios};
use serde_json::json;

const USAGE: &str = "\
lastword-explore [--json] [--scenario NAME] [--second-every N] [--threads N]

  --scenario      only lives whose name begins like this: a scenario, then `/one-log` or `/two-logs`
  --second-every  of the lives that rose from a first crash, every how many dies once more (1: all)
  --threads       how many scenarios at once";

struct Arguments {
    is_json: bool,
    scenario: Option<String>,
    second_every: usize,
    threads: usize,
}

#[cfg(lastword_bugs)]
mod bugs;

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
    let found = run(&arguments);
    if found.wanted == 0 {
        eprintln!("no scenario begins like that");
        return ExitCode::FAILURE;
    }
    print(&found, &arguments);
    if found.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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

fn run(arguments: &Arguments) -> Found {
    let wanted = |scenario: &Scenario, is_one| {
        let name = life_name(*scenario, is_one);
        arguments.scenario.as_ref().is_none_or(|prefix| name.starts_with(prefix.as_str()))
    };
    let lives = |is_one| scenarios().iter().filter(|scenario| wanted(scenario, is_one)).count();
    let lives = lives(true) + lives(false);
    // Drawn on a terminal only.
    let bar = ProgressBar::new(u64::try_from(lives).unwrap_or(u64::MAX));
    let style =
        ProgressStyle::with_template("{bar:40} {pos}/{len} lives, {msg} crashes, {elapsed}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    let progress = |counts: &Counts| {
        bar.set_message(counts.cases.to_string());
        bar.inc(1);
    };
    let options = Options { second_every: arguments.second_every, ..Options::default() };
    let hunt = Hunt {
        options,
        threads: arguments.threads,
        stops_at_first: false,
        wanted: &wanted,
        progress: &progress,
    };
    let found = hunt.run();
    bar.finish_and_clear();
    found
}

/// Says whether the arithmetic of the curve is real: a build with this `cfg` puts tokens in its
/// place, whose keys are their secrets.
const KEYS: &str = if cfg!(secp256k1_fuzz) { "token" } else { "real" };

fn print(found: &Found, arguments: &Arguments) {
    let Found { counts, final_states, violations, took, on_cores, .. } = found;
    let cases = per_second(counts.risen, *on_cores);
    let steps = per_second(counts.timed_steps, counts.stepping);
    if arguments.is_json {
        let violations: Vec<String> = violations.iter().map(Violation::to_string).collect();
        let line = json!({
            "scenarios": counts.scenarios, "boundaries": counts.boundaries,
            "versions": counts.versions, "cases": counts.cases, "risen": counts.risen,
            "known": counts.cases - counts.risen, "steps": counts.steps, "blocks": counts.blocks,
            "events_compared": counts.compared, "final_states": final_states.len(), "violations": violations,
            "cases_per_second_per_core": cases, "steps_per_second_per_core": steps,
            "seconds": took.as_secs_f64().round(), "core_seconds": on_cores.as_secs_f64().round(),
            "threads": arguments.threads, "keys": KEYS,
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
         {} final states, {} events compared, {} violations",
        counts.scenarios,
        counts.boundaries,
        counts.versions,
        counts.cases,
        counts.risen,
        final_states.len(),
        counts.compared,
        violations.len(),
    );
    println!(
        "explore: {cases} crashes risen from and {steps} steps a second and core, {} threads, \
         {KEYS} keys",
        arguments.threads,
    );
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn per_second(count: u64, time: Duration) -> f64 {
    (count as f64 / time.as_secs_f64()).round()
}
