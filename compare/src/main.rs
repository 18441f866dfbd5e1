//! Lastword measured beside its peers, in one run; see the README.

mod candidate;
mod compare;
mod machine;
mod meter;
mod ours;
mod row;
mod scale;

use std::path::PathBuf;
use std::{env, fs};

use serde_json::{Value, json};

use crate::compare::Setting;
use crate::meter::Result;

const USAGE: &str = "\
lastword-compare [--json] [--save FILE] [--folder FOLDER] [--scale PROGRAM] [--commit NAME] [ID...]
lastword-compare --engines [--folder FOLDER]

  ID          only the groups with a row whose id begins so
  --json      one object for each row
  --save      the same into a file, with the machine
  --scale     the example `scale` of lastword-engine; without it the rows that need it are left out
  --commit    what is measured, for --save
  --engines   the embedded engines under the store's workload, as a table
  --folder    where stores are made; its disk is what is measured (default: the system's)";

/// What the command line asks for.
struct Arguments {
    is_json: bool,
    is_engines: bool,
    save: Option<PathBuf>,
    commit: Option<String>,
    setting: Setting,
    only: Vec<String>,
}

fn arguments() -> Result<Arguments> {
    let (mut is_json, mut is_engines, mut save) = (false, false, None);
    let (mut folder, mut only) = (env::temp_dir(), Vec::new());
    let (mut scale, mut commit) = (None, None);
    let mut words = env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            "--json" => is_json = true,
            "--engines" => is_engines = true,
            "--save" => save = Some(words.next().ok_or(USAGE)?.into()),
            "--folder" => folder = words.next().ok_or(USAGE)?.into(),
            "--scale" => scale = Some(words.next().ok_or(USAGE)?.into()),
            "--commit" => commit = Some(words.next().ok_or(USAGE)?),
            flag if flag.starts_with('-') => return Err(USAGE.into()),
            id => only.push(id.to_owned()),
        }
    }
    let setting = Setting { folder, scale };
    Ok(Arguments { is_json, is_engines, save, commit, setting, only })
}

fn main() -> Result<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [word, path] = words.as_slice()
        && word == scale::CHILD
    {
        return scale::child(path.as_ref());
    }
    let Arguments { is_json, is_engines, save, commit, setting, only } = arguments()?;
    let machine = machine::describe(&setting.folder)?;
    if is_engines {
        println!("{machine}\n");
        candidate::report(&setting.folder)?;
        println!();
        return candidate::report_damage(&setting.folder);
    }
    if !is_json {
        println!("{machine}\n\n{}", row::Row::heads());
    }
    let mut rows = Vec::new();
    for group in compare::GROUPS.iter().filter(|group| group.is_wanted(&only)) {
        for row in (group.measure)(&setting)? {
            if is_json {
                println!("{}", row.json());
            } else {
                println!("{}", row.text());
            }
            rows.push(row);
        }
    }
    let missed: Vec<&str> = rows.iter().filter(|row| !row.holds()).map(|row| row.id).collect();
    if let Some(path) = save {
        let rows: Vec<Value> = rows.iter().map(row::Row::json).collect();
        let all = json!({ "commit": commit, "machine": machine, "rows": rows });
        fs::write(path, format!("{all:#}\n"))?;
    }
    if !is_json {
        println!("\n{} rows, {} bars do not hold {}", rows.len(), missed.len(), missed.join(" "));
    }
    Ok(())
}
