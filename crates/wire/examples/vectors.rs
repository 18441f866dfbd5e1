//! Holds the golden files, and as many damaged copies of them, against a reader in another language
//! that knows nothing but `docs/WIRE.md`.
//!
//! ```text
//! $ cargo run --example vectors -- --json
//! {"damaged":72676,"differences":0,"files":94,"values":2591990}
//! ```
//!
//! Of each file every byte is damaged in one bit, and it is cut at every length; `--every N` takes one
//! of N of these. Both readers must take or refuse each of them alike; of what both take, every value
//! that the other reader names must stand in ours.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use bitcoin::Transaction;
use bitcoin::consensus::deserialize;
use bitcoin::secp256k1::PublicKey;
use bitcoin::secp256k1::ecdsa::Signature;
use hex::{DisplayHex as _, FromHex as _};
use lastword_wire::AnyRecord;
use serde_json::Value;

type Failure = Box<dyn core::error::Error>;

/// One record for both readers.
struct Case {
    /// The file, and what was done to it.
    name: String,
    bytes: Vec<u8>,
}

fn main() -> ExitCode {
    let result = run().and_then(|line| Ok(writeln!(io::stdout(), "{line}")?));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Nothing is left to do if the reason cannot be shown.
            drop(writeln!(io::stderr(), "{failure}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<String, Failure> {
    let (mut is_json, mut every) = (false, 1);
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--json" => is_json = true,
            "--every" => every = arguments.next().ok_or("--every N")?.parse()?,
            _ => return Err("usage: vectors [--json] [--every N]".into()),
        }
    }
    let (files, cases) = cases(every)?;
    let answers = ask(&cases)?;
    if answers.len() < cases.len() {
        let ended = format!("the other reader ended after {} of {}", answers.len(), cases.len());
        return Err(ended.into());
    }
    let mut values = 0;
    for (case, answer) in cases.iter().zip(&answers) {
        values += compare(case, answer).map_err(|why| format!("{}: {why}", case.name))?;
    }
    let damaged = cases.len() - files;
    Ok(if is_json {
        serde_json::json!({"files": files, "damaged": damaged, "values": values, "differences": 0})
            .to_string()
    } else {
        format!(
            "vectors: {files} golden files and {damaged} damaged copies, two readers agree on all; \
             {values} values compared"
        )
    })
}

/// Returns how many golden files there are, and these with one of `every` of their damaged copies.
fn cases(every: usize) -> Result<(usize, Vec<Case>), Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/v1");
    let mut paths: Vec<_> = fs::read_dir(folder)?.collect::<Result<_, _>>()?;
    paths.sort_by_key(fs::DirEntry::path);
    let mut cases = Vec::new();
    let mut damage = (0..every.max(1)).cycle();
    for path in &paths {
        let name = path.file_name().to_string_lossy().into_owned();
        let text: String = fs::read_to_string(path.path())?.split_whitespace().collect();
        let bytes = Vec::from_hex(&text)?;
        for at in (0..bytes.len()).filter(|_| damage.next() == Some(0)) {
            let bit = at % 8;
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << bit;
            cases.push(Case { name: format!("{name}, bit {bit} of byte {at}"), bytes: flipped });
            cases.push(Case { name: format!("{name}, cut at {at}"), bytes: bytes[..at].to_vec() });
        }
        cases.push(Case { name, bytes });
    }
    Ok((paths.len(), cases))
}

/// Returns the other reader's answers.
fn ask(cases: &[Case]) -> Result<Vec<Value>, Failure> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/wire_reader.py");
    let mut reader = Command::new("python3")
        .arg(script)
        .arg("--lines")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("the other reader needs python3: {error}"))?;
    let mut questions = reader.stdin.take().ok_or("its input is piped")?;
    let answers = BufReader::new(reader.stdout.take().ok_or("its output is piped")?);
    thread::scope(|scope| {
        // A reader that ends early is seen by the answers that are missing.
        scope.spawn(move || {
            cases.iter().try_for_each(|case| writeln!(questions, "{}", case.bytes.as_hex()))
        });
        let answers: Result<_, Failure> =
            answers.lines().map(|line| Ok(serde_json::from_str(&line?)?)).collect();
        answers
    })
}

/// Returns how many values of a record were found in ours.
fn compare(case: &Case, answer: &Value) -> Result<usize, String> {
    let ours = AnyRecord::decode(&case.bytes);
    match (ours, answer.get("value")) {
        (Err(_), None) => Ok(0),
        (Err(refusal), Some(_)) => {
            Err(format!("we refuse it ({refusal}), the other reader takes it"))
        }
        (Ok(_), None) => Err(format!("we take it, the other reader refuses it: {answer}")),
        (Ok(ours), Some(theirs)) => compare_values(&format!("{ours:?}"), theirs),
    }
}

/// Returns how many values there are, if each of theirs is shown in ours.
fn compare_values(ours: &str, theirs: &Value) -> Result<usize, String> {
    let numbers: BTreeSet<&str> = ours.split(|letter: char| !letter.is_ascii_digit()).collect();
    // Secrets are never shown: there must be as many as the other reader has values that are not.
    let secrets = ours.matches("(..)").count();
    let mut hidden = Vec::new();
    let mut count = 0;
    each_leaf("", theirs, &mut |name, leaf| {
        count += 1;
        let is_shown = match leaf {
            Value::Number(number) => {
                let number = number.to_string();
                numbers.contains(number.as_str()) && is_number_named(ours, name, &number)
            }
            Value::String(digits) => is_text_shown(ours, digits),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => true,
        };
        if !is_shown {
            hidden.push(leaf.clone());
        }
    });
    let are_secrets = hidden.iter().all(|leaf| leaf.as_str().is_some_and(|text| text.len() == 64));
    if are_secrets && hidden.len() <= secrets {
        Ok(count)
    } else {
        Err(format!("{hidden:?} are not among our values, nor among {secrets} secrets"))
    }
}

/// Visits every value with the name of its field.
fn each_leaf(name: &str, value: &Value, visit: &mut impl FnMut(&str, &Value)) {
    match value {
        Value::Array(elements) => {
            for element in elements {
                each_leaf(name, element, visit);
            }
        }
        Value::Object(fields) => fields
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "is" | "kind"))
            .for_each(|(name, field)| each_leaf(name, field, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => visit(name, value),
    }
}

/// Says whether a field of ours that has the name of theirs has its value too, where there is one.
/// An `htlc_id` may stand in a key, which has no names.
fn is_number_named(ours: &str, name: &str, number: &str) -> bool {
    if name == "htlc_id" {
        return true;
    }
    let name = format!(" {}: ", name.replace(' ', "_"));
    let mut fields = ours.split(name.as_str()).skip(1).peekable();
    let is_value = |field: &str| {
        let value =
            field.trim_start_matches(|letter: char| letter.is_alphabetic() || letter == '(');
        value.split(|letter: char| !letter.is_ascii_digit()).next() == Some(number)
    };
    fields.peek().is_none() || fields.any(is_value)
}

/// Says whether what the other reader writes as hex stands in our value, in one of the ways in which
/// Rust's libraries show bytes.
fn is_text_shown(ours: &str, digits: &str) -> bool {
    let Ok(bytes) = Vec::from_hex(digits) else { return false };
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    let shown = [
        bytes.to_lower_hex_string(),
        reversed.to_lower_hex_string(),
        format!("{bytes:?}"),
        PublicKey::from_slice(&bytes).map_or_else(|_| String::new(), |point| format!("{point:?}")),
        deserialize::<Transaction>(&bytes)
            .map_or_else(|_| String::new(), |transaction| format!("{transaction:?}")),
    ];
    let is_shown = shown.iter().any(|text| !text.is_empty() && ours.contains(text));
    let signatures = bytes.chunks(64).map(Signature::from_compact);
    is_shown
        || bytes.is_empty()
        || signatures.into_iter().all(|one| one.is_ok_and(|one| ours.contains(&format!("{one:?}"))))
}
