//! `cargo xtask spec`: the requirements of the BOLTs on an on-chain resolver against the tests.
//!
//! `docs/BOLT5.md` has one row for each requirement. A test claims rows by its name: by the end of
//! it (`…_ll5_rl3`) or by its beginning (`t_3_…`, `f_7_and_z_5_…`). A row that applies and that no
//! test claims is a gap.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::sources::{self, Test};
use crate::table;

const DOCUMENT: &str = "docs/BOLT5.md";
const HEADER: [&str; 4] = ["id", "level", "requirement", "here"];
const LEVELS: [&str; 6] = ["MUST", "MUST NOT", "SHOULD", "SHOULD NOT", "MAY", "FACT"];

/// The families of the checklist, and how many rows each has: a row that is gone is noticed.
const FAMILIES: [(&str, u32); 15] = [
    ("G", 6),
    ("F", 7),
    ("C", 1),
    ("L", 4),
    ("LL", 9),
    ("LR", 5),
    ("R", 5),
    ("RL", 3),
    ("RR", 3),
    ("V", 11),
    ("H", 4),
    ("Q", 2),
    ("P", 12),
    ("T", 16),
    ("Z", 8),
];

/// One requirement, as the document has it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Row<'d> {
    id: &'d str,
    level: &'d str,
    /// Where the text stands.
    section: &'d str,
    requirement: &'d str,
    here: Here<'d>,
}

/// What this repository makes of a requirement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Here<'d> {
    Applies,
    NotApplicable(&'d str),
    Later(&'d str),
}

/// Rows and the tests that claim them.
#[derive(Debug)]
struct Report<'d> {
    rows: Vec<(Row<'d>, Vec<String>)>,
    errors: Vec<String>,
}

/// Runs it.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let as_json = match arguments {
        [] => false,
        [flag] if flag == "--json" => true,
        other => return Err(format!("spec: unknown arguments {other:?}")),
    };
    let document = table::read(DOCUMENT)?;
    let tests = sources::tests()?;
    let report = report(&document, &tests)?;
    if as_json {
        report.json().iter().for_each(|line| println!("{line}"));
    } else {
        println!("spec: {}", report.summary());
    }
    for note in report.notes() {
        eprintln!("spec: {note}");
    }
    for error in &report.errors {
        eprintln!("spec: {error}");
    }
    if report.errors.is_empty() {
        return Ok(());
    }
    Err(format!("spec: {} faults in {DOCUMENT} or the tests", report.errors.len()))
}

fn report<'d>(document: &'d str, tests: &[Test]) -> Result<Report<'d>, String> {
    let mut errors = Vec::new();
    let mut claims: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for test in tests {
        for id in claimed(&test.name) {
            claims.entry(id).or_default().push(test.path());
        }
    }
    let known: BTreeSet<String> = FAMILIES
        .iter()
        .flat_map(|(family, count)| (1..=*count).map(move |number| format!("{family}-{number}")))
        .collect();
    let mut missing = known.clone();
    let mut rows = Vec::new();
    for (line, [id, level, requirement, here]) in table::rows(document, HEADER)? {
        if !missing.remove(id) {
            let what = if known.contains(id) { "comes twice" } else { "is no requirement" };
            errors.push(format!("line {line}: {id} {what}"));
        }
        if !LEVELS.contains(&level) {
            errors.push(format!("line {line}: `{level}` is no level"));
        }
        if requirement.is_empty() {
            errors.push(format!("line {line}: {id} says nothing"));
        }
        let here = read_here(here).map_err(|why| format!("line {line}: {id}: {why}"))?;
        let tests = claims.remove(id).unwrap_or_default();
        if here == Here::Applies && tests.is_empty() {
            errors.push(format!("gap: {id} ({level}: {requirement}) applies and has no test"));
        }
        let section = section(document, line);
        if section.is_empty() {
            errors.push(format!("line {line}: {id} has no source"));
        }
        rows.push((Row { id, level, section, requirement, here }, tests));
    }
    errors.extend(missing.iter().map(|id| format!("{id} has no row")));
    for (id, tests) in claims.iter().filter(|(id, _)| !known.contains(*id)) {
        errors.push(format!("{} claims {id}, which is no requirement", tests.join(", ")));
    }
    Ok(Report { rows, errors })
}

/// Returns the source that is named above a line.
fn section(document: &str, line: usize) -> &str {
    let above = document.lines().take(line);
    above.filter_map(|line| line.strip_prefix("Source: ")).last().unwrap_or_default()
}

fn read_here(cell: &str) -> Result<Here<'_>, String> {
    let reason = |prefix| cell.strip_prefix(prefix).map(str::trim).filter(|it| !it.is_empty());
    if cell == "applies" {
        Ok(Here::Applies)
    } else if let Some(reason) = reason("not applicable:") {
        Ok(Here::NotApplicable(reason))
    } else if let Some(capability) = reason("later:") {
        Ok(Here::Later(capability))
    } else {
        Err(format!("`{cell}` is neither `applies` nor a reason why not"))
    }
}

/// Returns the rows that a test's name claims.
fn claimed(name: &str) -> Vec<String> {
    let words: Vec<&str> = name.split('_').collect();
    let mut ids = Vec::new();
    let mut beginning = &words[..];
    while let [family, number, rest @ ..] = beginning
        && let [next, ..] = rest
        && let Some(id) = row_id(family, number)
    {
        ids.push(id);
        beginning = if *next == "and" { &rest[1..] } else { &[] };
    }
    for word in words.iter().skip(1).rev() {
        let digits = word.find(|c: char| c.is_ascii_digit()).unwrap_or(word.len());
        let (family, number) = word.split_at(digits);
        let Some(id) = row_id(family, number) else { break };
        ids.push(id);
    }
    ids
}

/// Returns the id of a row of a known family, whether or not the family has that many.
fn row_id(family: &str, number: &str) -> Option<String> {
    let family = family.to_ascii_uppercase();
    let is_known = FAMILIES.iter().any(|(known, _)| *known == family);
    let number: u32 = number.parse().ok()?;
    is_known.then(|| format!("{family}-{number}"))
}

impl Report<'_> {
    /// Says which rows have tests although the document says that they are not for now.
    fn notes(&self) -> Vec<String> {
        let is_early = |row: &Row<'_>, tests: &[String]| match row.here {
            Here::Applies => false,
            Here::NotApplicable(_) | Here::Later(_) => !tests.is_empty(),
        };
        let early = self.rows.iter().filter(|(row, tests)| is_early(row, tests));
        early.map(|(row, tests)| format!("{} has a test: {}", row.id, tests.join(", "))).collect()
    }

    fn count(&self, status: &str) -> usize {
        self.rows.iter().filter(|(row, tests)| row.status(tests) == status).count()
    }

    fn summary(&self) -> String {
        format!(
            "{} rows, {} covered, {} not applicable, {} later, {} gaps",
            self.rows.len(),
            self.count("covered"),
            self.count("not applicable"),
            self.count("later"),
            self.count("gap"),
        )
    }

    fn json(&self) -> Vec<Value> {
        let row = |(row, tests): &(Row<'_>, Vec<String>)| {
            let reason = match row.here {
                Here::Applies => None,
                Here::NotApplicable(reason) | Here::Later(reason) => Some(reason),
            };
            json!({
                "id": row.id,
                "level": row.level,
                "section": row.section.trim_end_matches('.'),
                "requirement": row.requirement,
                "status": row.status(tests),
                "reason": reason,
                "tests": tests,
            })
        };
        let summary = json!({
            "rows": self.rows.len(),
            "covered": self.count("covered"),
            "not_applicable": self.count("not applicable"),
            "later": self.count("later"),
            "gaps": self.count("gap"),
            "errors": self.errors,
        });
        self.rows.iter().map(row).chain([summary]).collect()
    }
}

impl Row<'_> {
    fn status(&self, tests: &[String]) -> &'static str {
        match self.here {
            Here::Applies if tests.is_empty() => "gap",
            Here::Applies => "covered",
            Here::NotApplicable(_) => "not applicable",
            Here::Later(_) => "later",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    /// A document in which every row is `here`.
    fn document(here: &str) -> String {
        let mut document = "Source: BOLT 5.\n\n| id | level | requirement | here |\n".to_owned();
        for (family, count) in FAMILIES {
            for number in 1..=count {
                writeln!(document, "| {family}-{number} | MUST | something | {here} |").unwrap();
            }
        }
        document
    }

    fn test(name: &str) -> Test {
        Test { krate: "monitor".to_owned(), name: name.to_owned() }
    }

    #[test]
    fn names_claim_rows_by_their_end_and_their_beginning() {
        assert_eq!(claimed("an_offer_is_fulfilled_ll5_rl3"), ["RL-3", "LL-5"]);
        assert_eq!(claimed("t_16_htlcs_differ_by_expiry_only"), ["T-16"]);
        assert_eq!(claimed("f_7_and_z_5_a_child_is_replaced"), ["F-7", "Z-5"]);
        for none in ["row_7_an_older_book", "w3_and_w4_an_older_book", "ll5", "a_test_of_b3"] {
            assert_eq!(claimed(none), Vec::<String>::new(), "{none}");
        }
    }

    #[test]
    fn a_row_that_applies_and_has_no_test_is_a_gap() {
        let text = document("later: splices").replacen("later: splices", "applies", 2);
        let report = report(&text, &[test("it_is_watched_g1")]).unwrap();

        assert_eq!(report.errors, ["gap: G-2 (MUST: something) applies and has no test"]);
        assert_eq!(report.summary(), "96 rows, 1 covered, 0 not applicable, 94 later, 1 gaps");
        assert_eq!(report.json()[1]["status"], "gap");
        assert_eq!(report.json()[1]["section"], "BOLT 5");
        assert_eq!(report.json()[96]["gaps"], 1);
    }

    #[test]
    fn a_missing_a_doubled_and_an_unknown_row_are_faults() {
        let text = document("not applicable: nothing").replace("| G-2 |", "| G-1 |");
        let text = text.replace("| Z-8 |", "| Z-9 |").replace("| C-1 | MUST |", "| C-1 | OFTEN |");
        let report = report(&text, &[]).unwrap();

        assert_eq!(report.errors.len(), 5, "{:?}", report.errors);
        let [twice, level, unknown, g2, z8] = &report.errors[..] else { unreachable!() };
        assert!(twice.ends_with("G-1 comes twice") && level.ends_with("`OFTEN` is no level"));
        assert!(unknown.ends_with("Z-9 is no requirement"));
        assert_eq!([g2, z8], ["G-2 has no row", "Z-8 has no row"]);
    }

    #[test]
    fn a_test_that_claims_what_is_not_there_is_a_fault() {
        let text = document("later: splices");
        let report = report(&text, &[test("it_is_watched_g7"), test("it_is_watched_g1")]).unwrap();

        assert_eq!(
            report.errors,
            ["monitor::it_is_watched_g7 claims G-7, which is no requirement"]
        );
        assert_eq!(report.notes(), ["G-1 has a test: monitor::it_is_watched_g1"]);
    }

    #[test]
    fn a_row_without_a_source_is_a_fault() {
        let text = document("later: splices").replace("Source: ", "");
        assert_eq!(report(&text, &[]).unwrap().errors.len(), 96);
    }

    #[test]
    fn a_row_without_a_reason_is_refused() {
        for here in ["later:", "not applicable: ", "later", "", "yes"] {
            assert!(report(&document(here), &[]).is_err(), "{here}");
        }
    }
}
