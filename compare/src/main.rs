//! Lastword measured beside its peers, in one run; see the README.

mod candidate;
mod compare;
mod machine;
mod meter;
mod ours;
mod row;

use std::path::PathBuf;
use std::{env, fs};

use serde_json::{Value, json};

use crate::meter::Result;

const USAGE: &str = "\
lastword-compare [--json] [--save FILE] [--folder FOLDER] [ID...]
lastword-compare --engines [--folder FOLDER]

  ID          only the groups with a row whose id begins so
  --json      one object for each row
  --save      the same into a file, with the machine
  --engines   the embedded engines under the store's workload, as a table
  --folder    where stores are made; its disk is what is measured (default: the system's)";

/// What the command line asks for.
struct Arguments {
    is_json: bool,
    is_engines: bool,
    save: Option<PathBuf>,
    folder: PathBuf,
    only: Vec<String>,
}

fn arguments() -> Result<Arguments> {
    let (mut is_json, mut is_engines, mut save) = (false, false, None);
    let (mut folder, mut only) = (env::temp_dir(), Vec::new());
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => is_json = true,
            "--engines" => is_engines = true,
            "--save" => save = Some(words.next().ok_or(USAGE)?.into()),
            "--folder" => folder = words.next().ok_or(USAGE)?.into(),
            flag if flag.starts_with('-') => return Err(USAGE.into()),
            id => only.push(id.to_owned()),
        }
    }
    Ok(Arguments { is_json, is_engines, save, folder, only })
}

fn main() -> Result<()> {
    let Arguments { is_json, is_engines, save, folder, only } = arguments()?;
    let machine = machine::describe(&folder)?;
    if is_engines {
        println!("{machine}\n");
        candidate::report(&folder)?;
        println!();
        return candidate::report_damage(&folder);
    }
    if !is_json {
        println!("{machine}\n");
        println!("{:<61} {:>10} {:>10} {:<14} {:>8}  bar", "", "ours", "LDK", "", "ratio");
    }
    let mut rows = Vec::new();
    for group in compare::GROUPS.iter().filter(|group| group.is_wanted(&only)) {
        for row in (group.measure)(&folder)? {
            if is_json {
                println!("{}", row.json());
            } else {
                println!("{}", row.text());
            }
            rows.push(row);
        }
    }
    if let Some(path) = save {
        let rows: Vec<Value> = rows.iter().map(row::Row::json).collect();
        let all = json!({ "machine": machine, "rows": rows });
        fs::write(path, format!("{all:#}\n"))?;
    }
    let missed = rows.iter().filter(|row| !row.holds()).count();
    if !is_json {
        println!("\n{} rows, {missed} bars do not hold", rows.len());
    }
    Ok(())
}
