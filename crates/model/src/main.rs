//! Searches the worlds and prints what it found: `cargo xtask model`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

use std::process::ExitCode;

use lastword_model::{Extent, Found, Mode, Name, Rule, Rules, run};
use serde_json::json;

/// Steps after which a world is given up as not closed.
const LIMIT: usize = 100_000_000;

const USAGE: &str = "\
lastword-model [--json] [--small] [--world NAME] [--mode NAME] [--without CLAUSE]

  --json       one object for each search and one for all, instead of the table
  --small      the bounds of the tests
  --world      one world; reuse, retries, forgetting, successors, unreadable, neighbours, forward
  --mode       one mode; one-log, separate-stores, any-old-book
  --without    drops a clause of a rule, as lastword_model::Rule names it: R4Gate";

/// What the command line asks for.
struct Order {
    is_json: bool,
    extent: Extent,
    worlds: Vec<Name>,
    modes: Vec<Mode>,
    without: Option<Rule>,
}

fn main() -> ExitCode {
    let order = match read(std::env::args().skip(1)) {
        Ok(order) => order,
        Err(message) => {
            eprintln!("{message}\n\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let rules = order.without.map_or(Rules::all(), |rule| Rules::all().without(rule));
    let mut total = Total::default();
    for mode in &order.modes {
        for name in &order.worlds {
            let found = run(*name, *mode, order.extent, rules, LIMIT);
            print_found(&order, *name, *mode, &found);
            total.add(&found);
        }
    }
    total.print(order.is_json);
    if total.good == total.searches { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn read(mut arguments: impl Iterator<Item = String>) -> Result<Order, String> {
    let mut order = Order {
        is_json: false,
        extent: Extent::Full,
        worlds: Name::ALL.to_vec(),
        modes: Mode::ALL.to_vec(),
        without: None,
    };
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value"));
        match argument.as_str() {
            "--json" => order.is_json = true,
            "--small" => order.extent = Extent::Small,
            "--world" => {
                let value = value()?;
                order.worlds.retain(|name| name.word() == value);
            }
            "--mode" => {
                let value = value()?;
                order.modes.retain(|mode| mode.name().replace(' ', "-") == value);
            }
            "--without" => {
                let value = value()?;
                let mut rules = Rule::ALL.into_iter();
                let rule = rules.find(|rule| format!("{rule:?}") == value);
                order.without = Some(rule.ok_or(format!("no clause is called {value}"))?);
            }
            other => return Err(format!("unknown argument `{other}`")),
        }
    }
    if order.worlds.is_empty() || order.modes.is_empty() {
        return Err("no such world or mode".to_owned());
    }
    Ok(order)
}

fn print_found(order: &Order, name: Name, mode: Mode, found: &Found) {
    let seconds = found.time.as_secs_f64();
    if order.is_json {
        let violation = found.violation.as_ref();
        println!(
            "{}",
            json!({
                "world": name.word(),
                "mode": mode.name(),
                "unique_states": found.unique_states,
                "steps": found.steps,
                "max_depth": found.max_depth,
                "closed": found.is_closed,
                "circle": found.has_circle,
                "properties": found.properties,
                "violation": violation.map(|(property, _)| property),
                "trace": violation.map(|(_, trace)| trace),
                "unseen": found.unseen,
                "seconds": seconds,
            })
        );
        return;
    }
    let closed = if found.is_closed { "closed" } else { "NOT closed" };
    println!(
        "{:<11} {:<16} {:>9} states {:>10} steps, depth {:>3}, {closed}, {} properties; {seconds:.1} s",
        name.word(),
        mode.name(),
        found.unique_states,
        found.steps,
        found.max_depth,
        found.properties.len(),
    );
    if let Some((property, trace)) = &found.violation {
        println!("  broken: {property}");
        for step in trace {
            println!("    {step}");
        }
    }
    if found.has_circle == Some(true) {
        println!("  a state comes again: liveness is not shown");
    }
    if found.violation.is_none() {
        for sight in &found.unseen {
            println!("  never seen: {sight}");
        }
    }
}

/// The sums of a report.
#[derive(Default)]
struct Total {
    searches: usize,
    good: usize,
    closed: usize,
    unique_states: usize,
    steps: usize,
    violations: usize,
}

impl Total {
    fn add(&mut self, found: &Found) {
        self.searches += 1;
        self.good += usize::from(found.is_good());
        self.closed += usize::from(found.is_closed);
        self.unique_states += found.unique_states;
        self.steps += found.steps;
        self.violations += usize::from(found.violation.is_some());
    }

    fn print(&self, is_json: bool) {
        let Self { searches, good, closed, unique_states, steps, violations } = self;
        if is_json {
            println!(
                "{}",
                json!({
                    "searches": searches,
                    "good": good,
                    "closed": closed,
                    "unique_states": unique_states,
                    "steps": steps,
                    "violations": violations,
                })
            );
        } else {
            println!(
                "model: {searches} searches, {closed} closed, {unique_states} unique states, \
                 {steps} steps, {violations} violations"
            );
        }
    }
}
