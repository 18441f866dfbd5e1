//! Shows a record's head and TLVs without understanding its values.
//!
//! ```text
//! $ cargo run --example inspect -- crates/wire/testdata/v1/payment_decided_sent.hex
//! Payment(Decided), version 1, 97 bytes
//!  offset type  length  value
//!       4    0      48  1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d…
//!      54    2      41  00999999999999999999999999999999…
//! ```

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::process::ExitCode;

use hex::{DisplayHex as _, FromHex as _};
use lastword_wire::{Frame, TlvRecord, VERSION};

/// The bytes of a value that are shown.
const SHOWN: usize = 16;

fn main() -> ExitCode {
    let Some(path) = env::args().nth(1) else {
        return refuse("usage: inspect FILE (hex, or the bytes themselves)");
    };
    let bytes = match fs::read(&path) {
        Ok(bytes) => from_hex(&bytes).unwrap_or(bytes),
        Err(error) => return refuse(&format!("{path}: {error}")),
    };
    match Frame::parse(&bytes) {
        Ok(frame) => match show(&frame) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => refuse(&error.to_string()),
        },
        Err(error) => refuse(&format!("{path}: {error}")),
    }
}

/// Reads hex digits with white space between them, if it is nothing else.
fn from_hex(bytes: &[u8]) -> Option<Vec<u8>> {
    let digits: String = std::str::from_utf8(bytes).ok()?.split_whitespace().collect();
    Vec::from_hex(&digits).ok()
}

fn show(frame: &Frame<'_>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{:?}, version {VERSION}, {} bytes", frame.kind, frame.length)?;
    writeln!(out, "{:>7} {:>4} {:>7}  value", "offset", "type", "length")?;
    for TlvRecord { tlv_type, offset, value, .. } in &frame.records {
        let shown = value.get(..SHOWN).unwrap_or(value).to_lower_hex_string();
        let more = if value.len() > SHOWN { "…" } else { "" };
        writeln!(out, "{offset:>7} {tlv_type:>4} {:>7}  {shown}{more}", value.len())?;
    }
    Ok(())
}

fn refuse(why: &str) -> ExitCode {
    // Nothing is left to do if the reason cannot be shown.
    drop(writeln!(io::stderr(), "{why}"));
    ExitCode::FAILURE
}
