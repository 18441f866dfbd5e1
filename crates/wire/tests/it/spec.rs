//! `docs/WIRE.md` says what the code does.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use hex::{DisplayHex as _, FromHex as _};
use lastword_wire::RecordKind;

use crate::golden;
use crate::samples;
use crate::tlv::split;

/// Reads the specification, which a package of this crate alone does not hold.
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn specification(test: &str) -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/WIRE.md");
    let page = fs::read_to_string(path).ok();
    if page.is_none() {
        eprintln!("skipped: {test}: docs/WIRE.md is not in this package");
    }
    page
}

#[test]
fn the_worked_examples_are_golden_files() {
    let Some(page) = specification("the_worked_examples_are_golden_files") else { return };
    let mut checked = Vec::new();
    let mut name = "";
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(file) = line.strip_prefix('`').and_then(|line| line.strip_suffix(".hex`")) {
            name = file;
        }
        if line != "```hex" {
            continue;
        }
        let digits: String = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        let bytes = Vec::from_hex(&digits).expect(name);
        assert_eq!(bytes.to_lower_hex_string(), golden::read(name).to_lower_hex_string());
        checked.push(name);
    }
    assert_eq!(checked, ["payment_decided_sent", "card_busy"]);
}

/// Returns the cells of the rows of a section's table.
fn rows<'p>(page: &'p str, section: &str) -> Vec<Vec<&'p str>> {
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).expect(section);
    let section = rest.split("\n## ").next().unwrap_or_default();
    section
        .lines()
        .filter(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn the_table_of_record_kinds_is_complete() {
    let Some(page) = specification("the_table_of_record_kinds_is_complete") else { return };
    let stated: Vec<(String, String)> = rows(&page, "Record kinds")
        .into_iter()
        .map(|row| (row[0].replace('`', ""), row[1].replace('`', "")))
        .collect();
    let known = RecordKind::ALL.map(|(byte, kind)| (format!("{byte:02x}"), format!("{kind:?}")));
    assert_eq!(stated, known);
}

#[test]
fn the_tables_of_types_name_every_type_that_is_written() {
    let name = "the_tables_of_types_name_every_type_that_is_written";
    let Some(page) = specification(name) else { return };
    let mut stated: BTreeMap<u8, BTreeMap<u64, bool>> = BTreeMap::new();
    for section in ["Monitor records", "Payment records", "Snapshots", "Cards", "Events"] {
        let mut kind = 0;
        for row in rows(&page, section) {
            if let Some(byte) = row[0].strip_prefix('`') {
                kind = u8::from_str_radix(&byte[..2], 16).expect(section);
            }
            let tlv_type = row[1].parse().expect(section);
            let is_optional = row[2].starts_with("*optional*");
            stated.entry(kind).or_default().insert(tlv_type, is_optional);
        }
    }
    // A type is optional if some golden record of its kind is without it.
    let mut counts: BTreeMap<u8, (usize, BTreeMap<u64, usize>)> = BTreeMap::new();
    for (_, value) in samples::all() {
        let (head, tlvs) = split(&value.encode());
        let (records, types) = counts.entry(head[2]).or_default();
        *records += 1;
        for (tlv_type, _) in tlvs {
            *types.entry(tlv_type).or_default() += 1;
        }
    }
    let written = counts.into_iter().map(|(kind, (records, types))| {
        let types = types.into_iter().map(|(tlv_type, count)| (tlv_type, count < records));
        (kind, types.collect::<BTreeMap<_, _>>())
    });
    // A record without any type has no row.
    let written = written.filter(|(_, types)| !types.is_empty());
    assert_eq!(stated, written.collect());
}
