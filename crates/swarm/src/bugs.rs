//! The command line of a build with bugs in it.
//!
//! ```text
//! lastword-swarm --bugs                        one line of JSON for each bug there is
//! lastword-swarm --bug NAME [--seconds N]      plants one and looks for it; `none` plants none
//! ```

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use lastword_swarm::{Options, run_seed};
use lastword_types::Bug;
use serde_json::json;

/// Does what the arguments say, if they speak of bugs. A bug that is found is a success.
pub(crate) fn main(arguments: &[String]) -> Option<ExitCode> {
    let value = |flag: &str| {
        let at = arguments.iter().position(|argument| argument == flag)?;
        arguments.get(at + 1).map(String::as_str)
    };
    if arguments.iter().any(|argument| argument == "--bugs") {
        for bug in Bug::ALL {
            let facts = bug.facts();
            println!("{}", json!({ "bug": facts.name, "what": facts.what, "rule": facts.rule }));
        }
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
    // A bug may show itself by a panic, which is a violation and needs no second voice.
    std::panic::set_hook(Box::new(|_| {}));
    let begun = Instant::now();
    let (what, seeds) = look_until(begun + Duration::from_secs(seconds));
    println!(
        "{}",
        json!({
            "bug": name, "found": what.is_some(), "seconds": begun.elapsed().as_secs_f64(),
            "lives": seeds, "cases": seeds, "what": what,
        })
    );
    Some(if what.is_some() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Seed after seed, until one breaks a rule.
fn look_until(until: Instant) -> (Option<String>, u64) {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, found) = (AtomicU64::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while Instant::now() < until && found.lock().expect("nobody panics").is_none() {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if let Err(violation) = run_seed(seed, &Options::default()) {
                        *found.lock().expect("nobody panics") = Some(violation.to_string());
                    }
                }
            });
        }
    });
    (found.into_inner().expect("nobody panicked"), next.into_inner())
}
