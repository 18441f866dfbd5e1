//! `cargo xtask failures`: what went wrong elsewhere, each with a test or a reason.
//!
//! `docs/FAILURES.md` has one row for each published failure and each known gap; tests are named
//! after them (`museum_b036_…`, `gap_g7_…`).

use crate::catalogue::Catalogue;

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

/// Returns the document and what it has to hold.
pub(crate) fn catalogue() -> Catalogue<3> {
    let failures = FAILURES.iter().map(|number| format!("B{number:03}"));
    let gaps = GAPS.iter().map(|number| format!("G{number}"));
    Catalogue {
        command: "failures",
        document: "docs/FAILURES.md",
        header: ["id", "what went wrong", "here"],
        ids: failures.chain(gaps).collect(),
        named_after,
    }
}

fn named_after(name: &str) -> Option<String> {
    let rest = name.strip_prefix("museum_").or_else(|| name.strip_prefix("gap_"))?;
    rest.split('_').next().map(str::to_ascii_uppercase)
}
