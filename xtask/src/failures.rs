//! `cargo xtask failures`: what went wrong elsewhere, each with a test or a reason.
//!
//! `docs/FAILURES.md` has one row for each published failure and each known gap. A test that is
//! named after one (`museum_b036_…`, `gap_g7_…`) has to be named by its row, and the other way
//! round.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::sources::{self, Test};
use crate::table;

const DOCUMENT: &str = "docs/FAILURES.md";
const HEADER: [&str; 3] = ["id", "what went wrong", "here"];

/// The numbers of the published failures; the catalogue left some out.
const FAILURES: [u32; 118] = [
    1, 2, 3, 4, 6, 8, 9, 10, 11, 13, 14, 16, 17, 19, 20, 21, 22, 24, 25, 26, 27, 28, 29, 30, 31,
    32, 33, 35, 36, 37, 38, 39, 41, 42, 43, 44, 45, 47, 50, 52, 53, 54, 55, 58, 59, 60, 61, 62, 63,
    64, 65, 67, 68, 69, 71, 72, 73, 75, 76, 77, 78, 79, 80, 81, 82, 83, 84, 85, 86, 87, 89, 91, 92,
    93, 94, 95, 97, 98, 99, 100, 101, 103, 104, 105, 107, 108, 109, 110, 112, 115, 117, 118, 120,
    122, 124, 125, 127, 128, 129, 130, 131, 132, 134, 135, 136, 137, 138, 139, 140, 141, 143, 144,
    145, 147, 148, 149, 151, 153,
];

/// The numbers of the known gaps that a monitor meets.
const GAPS: [u32; 9] = [6, 7, 8, 9, 10, 11, 16, 17, 18];

/// What this repository makes of a failure.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Here<'d> {
    /// Tests fail where it happens.
    Tested(Vec<&'d str>),
    CannotOccur(&'d str),
    Later(&'d str),
}

/// The rows, and what is wrong with them.
#[derive(Debug)]
struct Report<'d> {
    rows: Vec<(&'d str, &'d str, Here<'d>)>,
    errors: Vec<String>,
}

/// Runs it.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let as_json = match arguments {
        [] => false,
        [flag] if flag == "--json" => true,
        other => return Err(format!("failures: unknown arguments {other:?}")),
    };
    let document = table::read(DOCUMENT)?;
    let tests = sources::tests()?;
    let report = report(&document, &tests)?;
    if as_json {
        report.json().iter().for_each(|line| println!("{line}"));
    } else {
        println!("failures: {}", report.summary());
    }
    for error in &report.errors {
        eprintln!("failures: {error}");
    }
    if report.errors.is_empty() {
        return Ok(());
    }
    Err(format!("failures: {} faults in {DOCUMENT} or the tests", report.errors.len()))
}

fn report<'d>(document: &'d str, tests: &[Test]) -> Result<Report<'d>, String> {
    let mut errors = Vec::new();
    let known: BTreeSet<String> = FAILURES
        .iter()
        .map(|number| format!("B{number:03}"))
        .chain(GAPS.iter().map(|number| format!("G{number}")))
        .collect();
    let paths: BTreeSet<String> = tests.iter().map(Test::path).collect();
    let mut missing = known.clone();
    let mut rows = Vec::new();
    for (line, [id, story, here]) in table::rows(document, HEADER)? {
        if !missing.remove(id) {
            let what = if known.contains(id) { "comes twice" } else { "is not in the catalogue" };
            errors.push(format!("line {line}: {id} {what}"));
        }
        if story.is_empty() {
            errors.push(format!("line {line}: {id} has no story"));
        }
        let here = read_here(here).map_err(|why| format!("line {line}: {id}: {why}"))?;
        if let Here::Tested(tests) = &here {
            let gone = tests.iter().filter(|path| !paths.contains(**path));
            errors.extend(gone.map(|path| format!("line {line}: {id}: there is no test {path}")));
        }
        rows.push((id, story, here));
    }
    errors.extend(missing.iter().map(|id| format!("{id} has no row")));
    for test in tests {
        let Some(id) = named_after(&test.name) else { continue };
        let path = test.path();
        let is_listed = rows.iter().any(|(row, _, here)| {
            let Here::Tested(tests) = here else { return false };
            *row == id && tests.contains(&&*path)
        });
        if !is_listed {
            errors.push(format!("{path} is not in the row of {id}"));
        }
    }
    Ok(Report { rows, errors })
}

fn read_here(cell: &str) -> Result<Here<'_>, String> {
    let rest = |prefix| cell.strip_prefix(prefix).map(str::trim).filter(|it| !it.is_empty());
    if let Some(tests) = rest("test:") {
        let tests = tests.split(',').map(|test| test.trim().trim_matches('`')).collect();
        Ok(Here::Tested(tests))
    } else if let Some(reason) = rest("cannot occur:") {
        Ok(Here::CannotOccur(reason))
    } else if let Some(capability) = rest("later:") {
        Ok(Here::Later(capability))
    } else {
        Err(format!("`{cell}` is neither a test nor a reason why there is none"))
    }
}

/// Returns the row that a test is named after.
fn named_after(name: &str) -> Option<String> {
    let id = if let Some(rest) = name.strip_prefix("museum_") {
        rest.split('_').next()
    } else {
        name.strip_prefix("gap_").and_then(|rest| rest.split('_').next())
    };
    id.map(str::to_ascii_uppercase)
}

impl Report<'_> {
    fn count(&self, status: &str) -> usize {
        self.rows.iter().filter(|(_, _, here)| here.status() == status).count()
    }

    fn summary(&self) -> String {
        format!(
            "{} rows, {} tested, {} cannot occur, {} later",
            self.rows.len(),
            self.count("tested"),
            self.count("cannot occur"),
            self.count("later"),
        )
    }

    fn json(&self) -> Vec<Value> {
        let row = |(id, story, here): &(&str, &str, Here<'_>)| {
            let (tests, reason) = match here {
                Here::Tested(tests) => (&tests[..], None),
                Here::CannotOccur(reason) | Here::Later(reason) => (&[][..], Some(*reason)),
            };
            let status = here.status();
            json!({ "id": id, "story": story, "status": status, "reason": reason, "tests": tests })
        };
        let summary = json!({
            "rows": self.rows.len(),
            "tested": self.count("tested"),
            "cannot_occur": self.count("cannot occur"),
            "later": self.count("later"),
            "errors": self.errors,
        });
        self.rows.iter().map(row).chain([summary]).collect()
    }
}

impl Here<'_> {
    fn status(&self) -> &'static str {
        match self {
            Self::Tested(_) => "tested",
            Self::CannotOccur(_) => "cannot occur",
            Self::Later(_) => "later",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    fn document() -> String {
        let mut document = "| id | what went wrong | here |\n|---|---|---|\n".to_owned();
        for number in FAILURES {
            writeln!(document, "| B{number:03} | a story | later: storage |").unwrap();
        }
        for number in GAPS {
            writeln!(document, "| G{number} | a story | cannot occur: no such thing |").unwrap();
        }
        document
    }

    fn test(name: &str) -> Test {
        Test { krate: "monitor".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn all_of_them_with_a_reason_or_a_test_pass() {
        let tested = "| B036 | a story | test: `monitor::museum_b036_it_stays`, `monitor::other` |";
        let text = document().replace("| B036 | a story | later: storage |", tested);
        let report = report(&text, &[test("museum_b036_it_stays"), test("other")]).unwrap();

        assert_eq!(report.errors, Vec::<String>::new());
        assert_eq!(report.summary(), "127 rows, 1 tested, 9 cannot occur, 117 later");
        assert_eq!(report.json()[127]["tested"], 1);
    }

    #[test]
    fn a_row_that_is_gone_and_a_test_that_is_gone_are_faults() {
        let text = document().replace("| B001 | a story | later: storage |\n", "");
        let text = text.replacen("later: storage", "test: `monitor::nowhere`", 1);
        let report = report(&text, &[test("somewhere")]).unwrap();

        let gone = "line 3: B002: there is no test monitor::nowhere";
        assert_eq!(report.errors, [gone, "B001 has no row"]);
    }

    #[test]
    fn a_test_that_no_row_names_is_a_fault() {
        let tests = [test("museum_b001_twins"), test("gap_g6_dust"), test("museum_b005_nothing")];
        let text = document();
        let report = report(&text, &tests).unwrap();

        let expected = ["museum_b001_twins", "gap_g6_dust", "museum_b005_nothing"];
        assert_eq!(report.errors.len(), 3, "{:?}", report.errors);
        assert!(report.errors.iter().zip(expected).all(|(error, name)| error.contains(name)));
    }

    #[test]
    fn a_row_without_a_reason_is_refused() {
        for here in ["", "test:", "later", "cannot occur:"] {
            let text = document().replacen("later: storage", here, 1);
            assert!(report(&text, &[]).is_err(), "{here}");
        }
    }
}
