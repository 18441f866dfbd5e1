//! Catalogues: documents with one row for each thing that went wrong elsewhere, each with a test or a
//! reason.
//!
//! A test that is named after a row has to be named by it, and the other way round.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::sources::{self, Test};
use crate::table;

/// A document with a table that has a row for each of `ids`, in `N` columns: the id first, what this
/// repository makes of it last.
pub(crate) struct Catalogue<const N: usize> {
    /// The command that checks it.
    pub(crate) command: &'static str,
    pub(crate) document: &'static str,
    pub(crate) header: [&'static str; N],
    pub(crate) ids: BTreeSet<String>,
    /// Returns the row that a test is named after.
    pub(crate) named_after: fn(&str) -> Option<String>,
}

/// What this repository makes of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Here<'d> {
    /// Tests fail where it happens.
    Tested(Vec<&'d str>),
    CannotOccur(&'d str),
    Later(&'d str),
}

/// A row: its id, the columns between, and what is made of it.
type Row<'d> = (&'d str, Vec<&'d str>, Here<'d>);

/// The rows, and what is wrong with them.
#[derive(Debug)]
pub(crate) struct Report<'d> {
    header: Vec<&'static str>,
    rows: Vec<Row<'d>>,
    errors: Vec<String>,
}

impl<const N: usize> Catalogue<N> {
    /// Checks the document against the tests and prints what it found.
    pub(crate) fn run(&self, arguments: &[String]) -> Result<(), String> {
        let Self { command, document: name, .. } = self;
        let as_json = match arguments {
            [] => false,
            [flag] if flag == "--json" => true,
            other => return Err(format!("{command}: unknown arguments {other:?}")),
        };
        let document = table::read(name)?;
        let report = self.report(&document, &sources::tests()?)?;
        if as_json {
            report.json().iter().for_each(|line| println!("{line}"));
        } else {
            println!("{command}: {}", report.summary());
        }
        for error in &report.errors {
            eprintln!("{command}: {error}");
        }
        if report.errors.is_empty() {
            return Ok(());
        }
        Err(format!("{command}: {} faults in {name} or the tests", report.errors.len()))
    }

    fn report<'d>(&self, document: &'d str, tests: &[Test]) -> Result<Report<'d>, String> {
        let mut errors = Vec::new();
        let paths: BTreeSet<String> = tests.iter().map(Test::path).collect();
        let mut missing = self.ids.clone();
        let mut rows: Vec<Row<'d>> = Vec::new();
        for (line, cells) in table::rows(document, self.header)? {
            let [id, between @ .., here] = &cells[..] else { continue };
            if !missing.remove(*id) {
                let is_known = self.ids.contains(*id);
                let what = if is_known { "comes twice" } else { "is not in the catalogue" };
                errors.push(format!("line {line}: {id} {what}"));
            }
            if between.iter().any(|cell| cell.is_empty()) {
                errors.push(format!("line {line}: {id} has an empty column"));
            }
            let here = read_here(here).map_err(|why| format!("line {line}: {id}: {why}"))?;
            if let Here::Tested(tests) = &here {
                let gone = tests.iter().filter(|path| !paths.contains(**path));
                errors
                    .extend(gone.map(|path| format!("line {line}: {id}: there is no test {path}")));
            }
            rows.push((*id, between.to_vec(), here));
        }
        errors.extend(missing.iter().map(|id| format!("{id} has no row")));
        for test in tests {
            let Some(id) = (self.named_after)(&test.name) else { continue };
            let path = test.path();
            let is_listed = rows.iter().any(|(row, _, here)| {
                let Here::Tested(tests) = here else { return false };
                *row == id && tests.contains(&&*path)
            });
            if !is_listed {
                errors.push(format!("{path} is not in the row of {id}"));
            }
        }
        Ok(Report { header: self.header.to_vec(), rows, errors })
    }
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
        let row = |(id, between, here): &Row<'_>| {
            let (tests, reason) = match here {
                Here::Tested(tests) => (&tests[..], None),
                Here::CannotOccur(reason) | Here::Later(reason) => (&[][..], Some(*reason)),
            };
            let status = here.status();
            let mut row = json!({ "id": id, "status": status, "reason": reason, "tests": tests });
            for (name, cell) in self.header.iter().skip(1).zip(between) {
                row[name.replace(' ', "_")] = json!(cell);
            }
            row
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
    use crate::failures::catalogue;

    fn document() -> String {
        let mut document = "| id | what went wrong | here |\n|---|---|---|\n".to_owned();
        for id in catalogue().ids {
            let here =
                if id.starts_with('G') { "cannot occur: no such thing" } else { "later: storage" };
            writeln!(document, "| {id} | a story | {here} |").unwrap();
        }
        document
    }

    fn report<'d>(document: &'d str, tests: &[Test]) -> Result<Report<'d>, String> {
        catalogue().report(document, tests)
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
