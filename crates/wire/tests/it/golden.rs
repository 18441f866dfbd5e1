//! The golden files: what was once written is read for ever, and written the same.
//!
//! A new value gets its file by `LASTWORD_WRITE_GOLDEN=1 cargo test -p lastword-wire golden`. A
//! file that exists is never written again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hex::{DisplayHex as _, FromHex as _};
use lastword_wire::{Frame, RecordKind};

use crate::samples;
use lastword_wire::AnyRecord as Any;

/// Hex digits in a line of a golden file.
const LINE: usize = 96;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1")
}

/// Reads a golden file: hex, white space ignored.
pub(crate) fn read(name: &str) -> Vec<u8> {
    let path = folder().join(format!("{name}.hex"));
    let text = fs::read_to_string(&path).expect(name);
    let digits: String = text.split_whitespace().collect();
    Vec::from_hex(&digits).expect(name)
}

/// Writes the files that are not there yet, if asked; to replace one is to break every store.
fn write_missing_if_asked() {
    if std::env::var_os("LASTWORD_WRITE_GOLDEN").is_none() {
        return;
    }
    for (name, value) in samples::all() {
        let path = folder().join(format!("{name}.hex"));
        if path.exists() {
            continue;
        }
        let digits = value.encode().to_lower_hex_string();
        let lines: Vec<&str> = (0..digits.len())
            .step_by(LINE)
            .map(|at| &digits[at..digits.len().min(at + LINE)])
            .collect();
        fs::write(path, lines.join("\n") + "\n").expect("the folder can be written");
    }
}

#[test]
fn golden_files_decode_to_their_values_and_encode_to_the_same_bytes() {
    write_missing_if_asked();
    for (name, value) in samples::all() {
        let bytes = read(name);
        assert_eq!(Any::decode(&bytes), Ok(value.clone()), "{name}");
        assert_eq!(value.encode().to_lower_hex_string(), bytes.to_lower_hex_string(), "{name}");
    }
}

#[test]
fn every_golden_file_has_a_value_and_every_name_is_used_once() {
    write_missing_if_asked();
    let names: Vec<String> =
        samples::all().into_iter().map(|(name, _)| format!("{name}.hex")).collect();
    let known: BTreeSet<String> = names.iter().cloned().collect();
    assert_eq!(names.len(), known.len());
    let files: BTreeSet<String> = fs::read_dir(folder())
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be read").file_name().into_string().expect("UTF-8"))
        .collect();
    assert_eq!(files, known);
}

#[test]
fn every_record_kind_has_a_golden_file() {
    let seen: BTreeSet<RecordKind> = samples::all()
        .iter()
        .map(|(name, value)| Frame::parse(&value.encode()).expect(name).kind)
        .collect();
    let every: BTreeSet<RecordKind> = RecordKind::ALL.into_iter().map(|(_, kind)| kind).collect();
    assert_eq!(seen, every);
}
