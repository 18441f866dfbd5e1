//! `lastword verify`: what a real run left, whole and damaged.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn lastword(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_lastword")).args(arguments).output().unwrap()
}

fn verify(file: &Path) -> (bool, Value) {
    let output = lastword(&["verify", "--json", file.to_str().unwrap()]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.stdout.is_empty(), "{errors}");
    (output.status.success(), serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn the_stores_of_a_demo_are_sound_and_a_flipped_bit_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let kept = folder.path().join("kept");
    let output = lastword(&["demo", "--json", "--seed", "3", "--keep", kept.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let (is_sound, monitors) = verify(&kept.join("monitors.redb"));
    assert!(is_sound, "{monitors}");
    let channels = monitors["channels"].as_u64().unwrap();
    assert!(channels > 5, "{monitors}");
    assert_eq!(monitors["kinds"]["Card"]["count"], channels);
    assert!(monitors["kinds"]["Monitor(Update)"]["bytes"].as_u64().unwrap() > 1_000, "{monitors}");
    let (is_sound, book) = verify(&kept.join("book.redb"));
    assert!(is_sound, "{book}");

    // The head of every update: magic, kind, version, the first type, its length, the channel's id.
    let file = kept.join("monitors.redb");
    let sound = fs::read(&file).unwrap();
    fs::write(&file, flipped(&sound, b"LW\x02\x01\x00")).unwrap();
    let (is_sound, monitors) = verify(&file);
    assert!(!is_sound, "{monitors}");
    let damage = monitors["damage"].as_array().unwrap();
    assert!(!damage.is_empty());
    for place in damage {
        assert_eq!(place["what"], "the record is damaged", "{place}");
        assert!(place["position"].is_u64() && place["stream"].is_string(), "{place}");
    }

    // Every card: each channel is named, and none hides another.
    fs::write(&file, flipped(&sound, b"LW\x23\x01\x00")).unwrap();
    let (is_sound, monitors) = verify(&file);
    assert!(!is_sound, "{monitors}");
    let damage = monitors["damage"].as_array().unwrap();
    let named: BTreeSet<&str> =
        damage.iter().filter_map(|place| place["stream"].as_str()).collect();
    assert_eq!(named.len() as u64, channels, "{monitors}");
}

/// Flips a bit behind every place where a record begins like this.
fn flipped(sound: &[u8], head: &[u8]) -> Vec<u8> {
    let mut bytes = sound.to_vec();
    let found = (0..sound.len() - head.len()).filter(|at| sound[*at..].starts_with(head));
    for at in found {
        bytes[at + 5] ^= 1;
    }
    bytes
}

/// Stores of a node as the first version of the store's format left them, after 65 kills: every record
/// is read, and they get the journals that they lack.
#[test]
fn the_stores_of_the_first_version_are_read_whole() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1");
    let count = |store: &Value, kind: &str| store["kinds"][kind]["count"].as_u64();
    for name in ["monitors.redb", "book.redb"] {
        fs::copy(kept.join(name), folder.path().join(name)).unwrap();
    }
    for _ in 0..2 {
        let (is_sound, monitors) = verify(&folder.path().join("monitors.redb"));
        assert!(is_sound, "{monitors}");
        assert_eq!((&monitors["channels"], &monitors["closed"]), (&11.into(), &10.into()));
        for (kind, expected) in [
            ("Card", 11),
            ("ChainTip", 1),
            ("Monitor(Claim)", 5),
            ("Monitor(Connected)", 103),
            ("Monitor(Created)", 11),
            ("Monitor(Disconnected)", 19),
            ("Monitor(Release)", 46),
            ("Monitor(Update)", 171),
        ] {
            assert_eq!(count(&monitors, kind), Some(expected), "{kind}: {monitors}");
        }
        let (is_sound, book) = verify(&folder.path().join("book.redb"));
        assert!(is_sound, "{book}");
        assert_eq!(book["payments"], 23, "{book}");
        for (kind, expected) in [
            ("Payment(Adopted)", 17),
            ("Payment(Decided)", 7),
            ("Payment(Handled)", 12),
            ("Payment(Intent)", 5),
            ("Payment(Rebuilt)", 18),
        ] {
            assert_eq!(count(&book, kind), Some(expected), "{kind}: {book}");
        }
        assert!(folder.path().join("book.redb.journal").exists());
    }
}

#[test]
fn a_folder_that_is_not_empty_is_not_taken_for_a_new_one() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("something"), b"of mine").unwrap();
    let output = lastword(&["demo", "--keep", folder.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not empty"));
}

#[test]
fn a_file_that_is_no_store_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("no.redb");
    fs::write(&file, b"this is no store at all").unwrap();
    let output = lastword(&["verify", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("open the store"));
}
