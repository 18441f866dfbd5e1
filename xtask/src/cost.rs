//! The tables of `docs/COST.md`: what was measured stands beside what it should be and why.
//!
//! Whoever writes the page names an operation by its id and says what it should cost; the last cells of
//! its line, and the line that tells what it was measured on, are written by `cargo xtask bench --save`.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::run::root;

/// The page.
pub(crate) const PAGE: &str = "docs/COST.md";
/// How many cells of a line a person writes: id, operation, what it should cost, why.
const WRITTEN: usize = 4;
/// What the line begins with that says on what it was measured.
const MEASURED: &str = "Measured at ";

/// Writes what was measured into the page.
pub(crate) fn write(saved: &Path) -> Result<(), String> {
    let page = root().join(PAGE);
    let text = fs::read_to_string(&page).map_err(|error| format!("{PAGE}: {error}"))?;
    let figures = read(saved)?;
    let text = filled(&text, &figures)?;
    fs::write(&page, text).map_err(|error| format!("{PAGE}: {error}"))
}

fn read(saved: &Path) -> Result<Value, String> {
    let figures = fs::read(saved).map_err(|error| format!("{}: {error}", saved.display()))?;
    serde_json::from_slice(&figures).map_err(|error| format!("{}: {error}", saved.display()))
}

/// Returns the page with these figures in it.
fn filled(text: &str, figures: &Value) -> Result<String, String> {
    let rows = figures["rows"].as_array().ok_or("there are rows")?;
    let mut missing: Vec<&str> = rows.iter().filter_map(|row| row["id"].as_str()).collect();
    let mut filled = String::new();
    for line in text.lines() {
        let of = |row: &&Value| id_of(line).is_some_and(|id| row["id"] == id);
        if let Some(row) = rows.iter().find(of) {
            missing.retain(|id| row["id"] != *id);
            filled.push_str(&with_figures(line, row));
        } else if line.starts_with(MEASURED) {
            let [commit, machine] = ["commit", "machine"].map(|name| figures[name].as_str());
            let (commit, machine) = (commit.unwrap_or("unknown"), machine.unwrap_or("unknown"));
            filled.extend([MEASURED, commit, ", on ", machine, "."]);
        } else {
            filled.push_str(line);
        }
        filled.push('\n');
    }
    if missing.is_empty() {
        return Ok(filled);
    }
    Err(format!("{PAGE} has no line for {}: say what it should cost, and why", missing.join(", ")))
}

/// Returns the id that a line of a table begins with.
fn id_of(line: &str) -> Option<&str> {
    line.strip_prefix("| `")?.split('`').next()
}

fn with_figures(line: &str, row: &Value) -> String {
    // The first piece is what stands before the first bar.
    let written: Vec<&str> = line.split('|').take(WRITTEN + 1).collect();
    let number = |name: &str| row[name].as_f64();
    let unit = row["unit"].as_str().unwrap_or_default();
    let ours = number("ours").map_or(String::new(), |ours| format!("{} {unit}", short(ours)));
    let peer = number("peer").map_or(String::new(), |peer| {
        format!("{}: {} {unit}", row["peer_is"].as_str().unwrap_or_default(), short(peer))
    });
    let ratio = number("ratio").map_or(String::new(), short);
    let is =
        if row["bar_is"].as_str().is_some_and(|is| is.contains("least")) { "≥" } else { "≤" };
    let of = if row["bar_is"].as_str().is_some_and(|is| is.contains("ratio")) { " ×" } else { "" };
    let holds = if row["holds"] == true { "holds" } else { "**missed**" };
    let bar =
        number("bar").map_or(String::new(), |bar| format!("{is} {}{of}: {holds}", short(bar)));
    let cells = [ours, peer, ratio, bar].map(|cell| format!(" {cell} ").replace("  ", " "));
    format!("{}|{}|", written.join("|"), cells.join("|"))
}

/// Returns a number with three digits that count, whatever its size.
fn short(value: f64) -> String {
    let mut digits = 2;
    let mut bound = 10.0;
    while value.abs() >= bound && digits > 0 {
        (digits, bound) = (digits - 1, bound * 10.0);
    }
    let mut bound = 1.0;
    while value != 0.0 && value.abs() < bound && digits < 8 {
        (digits, bound) = (digits + 1, bound / 10.0);
    }
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::{PAGE, filled, read};
    use crate::run::root;

    #[test]
    fn figures_stand_in_the_last_cells_and_what_a_person_wrote_stays() {
        let page =
            "| id | a |\n|---|---|\n| `block` | a block | a hash | why | old |\nMeasured at 1.\n";
        let row = json!({
            "id": "block", "unit": "µs", "ours": 12.5, "peer": 100.0, "peer_is": "LDK",
            "ratio": 0.125, "bar": 0.2, "bar_is": "the greatest ratio", "holds": true,
        });
        let figures = json!({ "commit": "abc", "machine": "a machine", "rows": [row] });
        let expected = "| id | a |\n|---|---|\n\
             | `block` | a block | a hash | why | 12.5 µs | LDK: 100 µs | 0.125 | ≤ 0.2 ×: holds |\n\
             Measured at abc, on a machine.\n";
        assert_eq!(filled(page, &figures).as_deref(), Ok(expected));
    }

    #[test]
    fn an_operation_of_which_nobody_says_what_it_should_cost_is_named() {
        let figures = json!({ "rows": [json!({ "id": "new" })] });
        assert!(filled("nothing\n", &figures).is_err_and(|error| error.contains("new")));
    }

    #[test]
    fn the_page_holds_the_figures_that_were_saved() {
        let page = fs::read_to_string(root().join(PAGE)).expect("the page is there");
        let saved = read(&root().join("docs/bench.json")).expect("figures were saved");
        assert_eq!(filled(&page, &saved).as_deref(), Ok(page.as_str()));
    }
}
