//! What an engine says when one byte of a record that it acknowledged is damaged on the disk.

use std::fs;
use std::path::Path;

use super::{KINDS, Kind, Write};
use crate::meter::Result;

const RECORDS: u64 = 200;
const DAMAGED: u64 = 100;
const BODY_BYTES: usize = 300;

/// Prints what is left of 200 records, each acknowledged by itself, after one was damaged.
pub(crate) fn report(folder: &Path) -> Result<()> {
    println!("| engine | closed in order | opens | records before | the record | records after |");
    println!("|---|---|---|---|---|---|");
    for kind in &KINDS {
        for is_closed in [true, false] {
            println!("{}", line(folder, kind, is_closed)?);
        }
    }
    Ok(())
}

fn line(folder: &Path, kind: &Kind, is_closed: bool) -> Result<String> {
    let (live, image) = (tempfile::tempdir_in(folder)?, tempfile::tempdir_in(folder)?);
    let mut candidate = (kind.open)(live.path())?;
    for position in 1..=RECORDS {
        candidate.commit(&[Write::Record { channel: 0, position, body: body(position) }])?;
    }
    if is_closed {
        drop(candidate);
        copy(live.path(), image.path())?;
    } else {
        // What a process that is killed now leaves.
        copy(live.path(), image.path())?;
        drop(candidate);
    }
    let flipped = flip(image.path())?;
    if flipped == 0 {
        return Err(format!("{}: the record was not found on the disk", kind.name).into());
    }
    let name = kind.name;
    let closed = if is_closed { "yes" } else { "no" };
    let mut candidate = match (kind.open)(image.path()) {
        Ok(candidate) => candidate,
        Err(error) => return Ok(format!("| {name} | {closed} | refuses: {error} | | | |")),
    };
    let mut is_there =
        |position| candidate.replay(0, &[position]).is_ok_and(|bytes| bytes == BODY_BYTES);
    let before = (1..DAMAGED).filter(|position| is_there(*position)).count();
    let damaged = if is_there(DAMAGED) { "read as it is" } else { "not there, or refused" };
    let after = (DAMAGED + 1..=RECORDS).filter(|position| is_there(*position)).count();
    Ok(format!("| {name} | {closed} | yes | {before} of 99 | {damaged} | {after} of 100 |"))
}

/// A body that can be found on the disk.
fn body(position: u64) -> Vec<u8> {
    let mut body: Vec<u8> = (0..BODY_BYTES)
        .map(|index| {
            let mixed = position.wrapping_mul(0x9e37_79b9).wrapping_add(index as u64 * 0x85eb_ca6b);
            mixed.to_le_bytes()[2]
        })
        .collect();
    body[..8].copy_from_slice(&position.to_be_bytes());
    body
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.metadata()?.is_dir() {
            fs::create_dir_all(&to)?;
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}

/// Flips a byte in the middle of the record, wherever it lies, and returns how often it was found.
fn flip(folder: &Path) -> Result<usize> {
    let wanted = body(DAMAGED);
    let mut found = 0;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found += flip(&path)?;
            continue;
        }
        let mut bytes = fs::read(&path)?;
        let places: Vec<usize> = bytes
            .windows(BODY_BYTES)
            .enumerate()
            .filter(|(_, window)| *window == wanted.as_slice())
            .map(|(place, _)| place)
            .collect();
        for place in &places {
            bytes[place + BODY_BYTES / 2] ^= 1;
        }
        if !places.is_empty() {
            fs::write(&path, bytes)?;
        }
        found += places.len();
    }
    Ok(found)
}
