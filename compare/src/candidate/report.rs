//! The table of ADR 0006.

use std::fs;
use std::path::Path;
use std::time::Instant;

use super::workload::{Load, Outcome, run};
use super::{KINDS, Kind};
use crate::meter::{Result, count, size};

/// Prints what every engine does with every load.
pub(crate) fn report(folder: &Path) -> Result<()> {
    println!(
        "| engine | channels | records in a commit | bytes of a record | records/s | commit, µs | \
         CPU of a record, µs | written for a byte | block layer for a byte | on disk for a byte \
         kept | cold open, ms | replay of a channel, ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|---|");
    for (channels, is_grouped) in [(1, false), (10, false), (10, true), (100, false), (100, true)] {
        for bytes in [(300, 300), (100, 5_000)] {
            let commits = if is_grouped { 2_000 } else { 3_000 };
            let body_bytes = 40e6;
            let load = Load { channels, is_grouped, bytes, body_bytes, commits };
            for kind in &KINDS {
                println!("{}", line(folder, kind, load)?);
            }
        }
    }
    Ok(())
}

fn line(folder: &Path, kind: &Kind, load: Load) -> Result<String> {
    let folder = tempfile::tempdir_in(folder)?;
    let mut candidate = (kind.open)(folder.path())?;
    let Outcome { commits, records, body_bytes, used, left } = run(&mut *candidate, load)?;
    drop(candidate);
    let kept = size(left.iter().map(std::collections::VecDeque::len).sum());
    let kept_bytes = body_bytes / records * kept + f64::from(load.channels) * 6_000.0;
    let on_disk = disk_bytes(folder.path())?;

    let start = Instant::now();
    let mut candidate = (kind.open)(folder.path())?;
    let open = start.elapsed();
    let start = Instant::now();
    for (channel, positions) in (0..).zip(&left) {
        let positions: Vec<u64> = positions.iter().copied().collect();
        candidate.replay(channel, &positions)?;
    }
    let replay = start.elapsed().as_secs_f64() / f64::from(load.channels);
    let wall = used.wall.as_secs_f64();
    Ok(format!(
        "| {} | {} | {} | {} to {} | {:.0} | {:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {:.1} | {:.2} |",
        kind.name,
        load.channels,
        if load.is_grouped { load.channels } else { 1 },
        load.bytes.0,
        load.bytes.1,
        records / wall,
        wall / commits * 1e6,
        used.processor.as_secs_f64() / records * 1e6,
        used.written / body_bytes,
        used.block / body_bytes,
        on_disk / kept_bytes,
        open.as_secs_f64() * 1e3,
        replay * 1e3,
    ))
}

/// Returns the bytes of every file in a folder and its folders, as far as they have blocks.
fn disk_bytes(folder: &Path) -> Result<f64> {
    use std::os::unix::fs::MetadataExt as _;

    let mut bytes = 0.0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() {
            disk_bytes(&entry.path())?
        } else {
            count(metadata.blocks() * 512)
        };
    }
    Ok(bytes)
}
