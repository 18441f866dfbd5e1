//! `cargo xtask windows`: the crash windows of the implementation that this project set out from,
//! each with a test.
//!
//! `docs/WINDOWS.md` has one row for each of the 40; tests are named after them (`row_7_…`).

use crate::catalogue::Catalogue;

const WINDOWS: u32 = 40;

/// Returns the document and what it has to hold.
pub(crate) fn catalogue() -> Catalogue<4> {
    Catalogue {
        command: "windows",
        document: "docs/WINDOWS.md",
        header: ["row", "durable, and lost", "LDK", "here"],
        ids: (1..=WINDOWS).map(|row| row.to_string()).collect(),
        named_after,
    }
}

fn named_after(name: &str) -> Option<String> {
    let number = name.strip_prefix("row_")?.split('_').next()?;
    number.parse::<u32>().ok().map(|row| row.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_named_after_its_row() {
        assert_eq!(named_after("row_7_an_older_book"), Some("7".to_owned()));
        assert_eq!(named_after("row_seven"), None);
        assert_eq!(named_after("rows_of_other_tables"), None);
    }
}
