//! The command line of a build with bugs in it.
//!
//! ```text
//! lastword-explore --bugs                        one line of JSON for each bug there is
//! lastword-explore --bug NAME [--seconds N]      plants one and looks for it; `none` plants none
//! ```

use std::process::ExitCode;
use std::time::{Duration, Instant};

use lastword_explore::{Counts, Hunt, Options};
use lastword_types::Bug;
use lastword_types::bug::{BugFacts, Finder};
use serde_json::json;

/// Does what the arguments say, if they speak of bugs. A bug that is found is a success.
pub(crate) fn main(arguments: &[String]) -> Option<ExitCode> {
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).map(String::as_str)
    };
    if arguments.iter().any(|argument| argument == "--bugs") {
        list();
        return Some(ExitCode::SUCCESS);
    }
    let name = value("--bug")?;
    let seconds = value("--seconds").and_then(|text| text.parse().ok()).unwrap_or(10);
    match Bug::named(name) {
        Some(bug) => bug.plant(),
        None if name == "none" => {}
        None => {
            eprintln!("there is no bug `{name}`; --bugs names them all");
            return Some(ExitCode::FAILURE);
        }
    }
    let begun = Instant::now();
    let (what, counts) = look_until(begun + Duration::from_secs(seconds));
    println!(
        "{}",
        json!({
            "bug": name, "found": what.is_some(), "seconds": begun.elapsed().as_secs_f64(),
            "lives": counts.scenarios, "cases": counts.cases, "what": what,
        })
    );
    Some(if what.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Every life with some crashes, with all, then with two in a row, until something does not fit the
/// truth.
fn look_until(until: Instant) -> (Option<String>, Counts) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut counts = Counts::default();
    for (first_every, second_every) in [(7, 0), (1, 0), (1, 4)] {
        let options =
            Options { first_every, second_every, until: Some(until), ..Options::default() };
        let (wanted, progress) = (&|_: &_, _| true, &|_: &_| {});
        let found = Hunt { options, threads, stops_at_first: true, wanted, progress }.run();
        counts.add(found.counts);
        if let Some(violation) = found.violations.first() {
            return (Some(violation.to_string()), counts);
        }
    }
    (None, counts)
}

fn list() {
    for bug in Bug::ALL {
        let BugFacts { name, what, rule, source, finder } = bug.facts();
        let finder = match finder {
            Finder::Crash => "crash",
            Finder::Sim => "sim",
        };
        let what = what.trim();
        let line =
            json!({ "bug": name, "what": what, "rule": rule, "source": source, "by": finder });
        println!("{line}");
    }
}
