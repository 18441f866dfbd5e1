//! `cargo xtask bugs`: every planted bug, and how long the explorer and the simulator take to find it.
//!
//! The programs are built with `--cfg lastword_bugs` into a folder of their own, so that no other
//! build knows of it. First each of them looks at the code as it is and must find nothing; then
//! every bug has a process of its own, for a bug may hang or panic.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::crash;
use crate::run::{cargo, check, root};

/// How long a bug may stay hidden.
const LIMIT: Duration = Duration::from_secs(10);
/// How long a program may take to notice that its time is up.
const GRACE: Duration = Duration::from_secs(5);

/// A program that looks for bugs.
struct Finder {
    /// Its name in the list of bugs.
    name: &'static str,
    package: &'static str,
    /// What it is built with, besides the bugs.
    flags: &'static str,
}

const FINDERS: [Finder; 2] = [
    Finder { name: "crash", package: "lastword-explore", flags: crash::TOKENS },
    Finder { name: "sim", package: "lastword-swarm", flags: "" },
];

/// Runs it: `--json` for a program, else a table; further arguments are names of bugs.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let is_json = arguments.iter().any(|argument| argument == "--json");
    let wanted: Vec<&String> = arguments.iter().filter(|argument| *argument != "--json").collect();
    for finder in &FINDERS {
        build(finder)?;
    }
    let mut bugs = list()?;
    if !wanted.is_empty() {
        bugs.retain(|bug| wanted.iter().any(|name| *name == text(bug, "bug")));
    }
    if bugs.is_empty() {
        return Err("bugs: there is no bug of that name".to_owned());
    }
    for finder in &FINDERS {
        let calm = hunt(finder, "none")?;
        if let Some(what) = calm.get("what").and_then(Value::as_str) {
            return Err(format!("bugs: {} finds something where no bug is: {what}", finder.name));
        }
    }
    let mut rows = Vec::new();
    for bug in bugs {
        let finder = FINDERS.iter().find(|finder| finder.name == text(&bug, "by"));
        let finder = finder.ok_or_else(|| format!("bugs: nobody looks for {bug}"))?;
        let found = hunt(finder, text(&bug, "bug"))?;
        let row = row(&bug, &found);
        if is_json {
            println!("{row}");
        }
        rows.push(row);
    }
    if !is_json {
        print(&rows);
    }
    let hidden: Vec<&str> =
        rows.iter().filter(|row| row["found"] != true).map(|row| text(row, "bug")).collect();
    if hidden.is_empty() {
        println!("bugs: {} planted, all of them found", rows.len());
        Ok(())
    } else {
        Err(format!("bugs: not found: {}", hidden.join(", ")))
    }
}

/// Starts a program with one bug in it, or with whatever else its arguments say.
pub(crate) fn run_one(name: &str, arguments: &[String]) -> Result<(), String> {
    let finder = FINDERS.iter().find(|finder| finder.name == name);
    let finder = finder.ok_or_else(|| format!("bugs: nobody looks for bugs by {name}"))?;
    build(finder)?;
    check(Command::new(program(finder)).args(arguments))
}

fn row(bug: &Value, hunt: &Value) -> Value {
    json!({
        "bug": bug["bug"], "what": bug["what"], "rule": bug["rule"], "source": bug["source"],
        "by": bug["by"], "found": hunt["found"], "seconds": hunt["seconds"],
        "lives": hunt["lives"], "cases": hunt["cases"], "how": hunt["what"],
    })
}

fn print(rows: &[Value]) {
    println!(
        "{:26} {:6} {:14} {:9} {:>7} {:>6}",
        "bug", "rule", "from", "found by", "seconds", "cases"
    );
    for row in rows {
        let by = if row["found"] == true { text(row, "by") } else { "NOBODY" };
        println!(
            "{:26} {:6} {:14} {:9} {:>7.2} {:>6}",
            text(row, "bug"),
            text(row, "rule"),
            text(row, "source"),
            by,
            row["seconds"].as_f64().unwrap_or(f64::NAN),
            row["cases"].as_u64().unwrap_or(0),
        );
    }
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

/// Every bug that the programs know.
fn list() -> Result<Vec<Value>, String> {
    let mut command = Command::new(program(&FINDERS[0]));
    let lines = crate::run::output(command.arg("--bugs"))?;
    let parse = |line: &str| serde_json::from_str(line).map_err(|error| format!("{line}: {error}"));
    lines.lines().map(parse).collect()
}

/// Looks for one bug, and returns what the program says of it.
fn hunt(finder: &Finder, bug: &str) -> Result<Value, String> {
    let seconds = LIMIT.as_secs().to_string();
    let mut command = Command::new(program(finder));
    command.args(["--bug", bug, "--seconds", &seconds]);
    // What a bug makes the program say on its way is of no interest.
    command.stdout(Stdio::piped()).stderr(Stdio::null());
    let failed = |error| format!("{} with {bug}: {error}", finder.name);
    let mut child = command.spawn().map_err(failed)?;
    let begun = Instant::now();
    while begun.elapsed() < LIMIT + GRACE {
        if child.try_wait().map_err(failed)?.is_some() {
            let output = child.wait_with_output().map_err(failed)?;
            let line = String::from_utf8_lossy(&output.stdout);
            let ended = format!("it ended with {}", output.status);
            return Ok(serde_json::from_str(line.trim())
                .unwrap_or_else(|_| json!({ "found": false, "what": ended })));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().map_err(failed)?;
    child.wait().map_err(failed)?;
    Ok(json!({ "found": false, "seconds": begun.elapsed().as_secs_f64() }))
}

fn build(finder: &Finder) -> Result<(), String> {
    let mut command = cargo(&["build", "--quiet", "--release", "-p", finder.package]);
    command.arg("--target-dir").arg(folder(finder));
    // Nobody debugs these programs, and they build faster so.
    command.env("CARGO_PROFILE_RELEASE_DEBUG", "false");
    check(command.env("RUSTFLAGS", format!("--cfg lastword_bugs {}", finder.flags)))
}

fn program(finder: &Finder) -> PathBuf {
    folder(finder).join("release").join(finder.package)
}

/// Where builds with bugs lie: below the folder of the others.
fn folder(finder: &Finder) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| root().join("target"), PathBuf::from);
    target.join("bugs").join(finder.name)
}
