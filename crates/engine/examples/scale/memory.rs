//! What an open, quiet channel needs in memory: how a process grows with them.

use std::fs;
use std::process::Command;

use lastword_engine::Driver;

use crate::quiet::{Cards, ports};
use crate::{Line, Result};

/// The word by which this program asks itself for one measurement.
pub(crate) const CHILD: &str = "--resident-with-channels";

const FEW: u32 = 100_000;
const MANY: u32 = 1_000_000;

pub(crate) fn measure() -> Result<Vec<Line>> {
    let growth = resident(MANY)? - resident(FEW)?;
    let what = "a quiet channel, from 100,000 to 1,000,000".into();
    let ours = growth / f64::from(MANY - FEW);
    Ok(vec![Line { id: "memory", what, unit: "bytes", ours, bar: Some(400.0) }])
}

/// Asks a process of its own, so that nothing of another measurement is counted.
fn resident(channels: u32) -> Result<f64> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).arg(CHILD).arg(channels.to_string()).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Starts a node with so many quiet channels and prints the bytes that the process holds.
pub(crate) fn child(channels: u32) -> Result<()> {
    let driver = Driver::start(ports(Box::new(Cards { channels })))?;
    assert_eq!(driver.damaged(), []);
    println!("{}", resident_bytes("VmRSS:")?);
    drop(driver);
    Ok(())
}

/// Returns what the system says of this process: what is resident, or was at most.
pub(crate) fn resident_bytes(row: &str) -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix(row));
    let kilobytes = resident.and_then(|it| it.trim().strip_suffix(" kB"));
    let kilobytes: f64 = kilobytes.ok_or("the system tells what is resident")?.parse()?;
    Ok(kilobytes * 1024.0)
}
