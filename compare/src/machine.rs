//! What the figures were measured on.

use std::fs;
use std::path::Path;
use std::thread;

use crate::meter::Result;

/// Says in one line what this machine is, and how busy it was with other things.
pub(crate) fn describe(folder: &Path) -> Result<String> {
    let cores = thread::available_parallelism()?;
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model = processors.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("an unnamed processor", |it| it.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or("unknown");
    let disk = disk_of(&folder.canonicalize()?)?;
    let kernel = kernel.trim();
    Ok(format!("{cores} cores of {model}, Linux {kernel}, {disk}, load {load} at the start"))
}

/// Returns the file system of a folder: the longest mount point that is a prefix of its path.
fn disk_of(folder: &Path) -> Result<String> {
    let mounts = fs::read_to_string("/proc/mounts")?;
    let mut best = (0, "an unknown file system".to_owned());
    for line in mounts.lines() {
        let mut words = line.split(' ').skip(1);
        let (Some(point), Some(kind)) = (words.next(), words.next()) else { continue };
        if folder.starts_with(point) && point.len() >= best.0 {
            best = (point.len(), kind.to_owned());
        }
    }
    Ok(best.1)
}
