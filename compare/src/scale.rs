//! The rows of what grows with the number of channels, of blocks, or of payments.
//!
//! Our side is measured by the example `scale` of `lastword-engine`, in processes of its own; what is
//! measured of LDK stands here and runs right after it.

use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::Command;

use bitcoin::consensus::deserialize;
use lastword_compare_peer as peer;
use serde_json::Value;

use crate::compare::{LDK, Setting};
use crate::meter::{Result, count, least_micros_of, processor_time, resident, size};
use crate::row::{Bar, Row};

/// The word by which this program asks itself what LDK's channels need in memory.
pub(crate) const CHILD: &str = "--peer-resident";

/// What `scale` said.
struct Figures(Vec<Value>);

impl Figures {
    /// Has one part measured; nothing where there is no such program.
    fn of(setting: &Setting, part: &str) -> Result<Option<Self>> {
        let Some(program) = &setting.scale else { return Ok(None) };
        let output = Command::new(program).args(["--json", part]).output()?;
        // A bar that does not hold is told by the rows, so how it ended does not matter.
        let lines: Vec<Value> = serde_json::from_slice(&output.stdout).map_err(|error| {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            format!("scale {part}: {error}: {said}")
        })?;
        Ok(Some(Self(lines)).filter(|figures| !figures.0.is_empty()))
    }

    fn get(&self, id: &str) -> Result<f64> {
        let line = self.0.iter().find(|line| line["id"] == id);
        let ours = line.and_then(|line| line["ours"].as_f64());
        Ok(ours.ok_or_else(|| format!("scale tells nothing of {id}"))?)
    }
}

/// A block that concerns nobody, beside `bitcoin` decoding it.
pub(crate) fn block(setting: &Setting) -> Result<Vec<Row>> {
    let Some(figures) = Figures::of(setting, "block")? else { return Ok(vec![]) };
    let decode = figures.get("block-decode")?;
    let row = |id, what, bar| {
        let ours = figures.get(id)? * decode;
        Ok(Row { id, what, unit: "µs", ours, peer: Some((decode, "`bitcoin`")), bar })
    };
    let rows = [
        ("block-walk", "a raw block walked", Bar::None),
        ("block-raw", "a raw block that concerns none of 1,000,000", Bar::TimesAtMost(1.3)),
        ("block-raw-more", "what 1,000,000 channels cost more than 1,000", Bar::TimesAtMost(0.2)),
        ("block-merkle", "the merkle check, apart", Bar::None),
    ];
    rows.into_iter().map(|(id, what, bar)| row(id, what, bar)).collect()
}

/// The same block already parsed, beside LDK's `ChainMonitor`.
pub(crate) fn block_peer(setting: &Setting) -> Result<Vec<Row>> {
    const CHANNELS: u32 = 5_000;
    const OPENED: u32 = 50;
    let Some(figures) = Figures::of(setting, "block-peer")? else { return Ok(vec![]) };
    let program = setting.scale.as_ref().ok_or("there was one")?;
    let block = deserialize(&Command::new(program).arg("--write-block").output()?.stdout)?;
    let stored = peer::Stored::with_channels(&[OPENED]);
    let monitors = stored.first().map(|stored| stored.monitors.as_slice()).unwrap_or_default();
    let mut watching = peer::Watching::new(monitors, CHANNELS);
    let theirs = least_micros_of(3, || (), |()| watching.connect(&block));
    Ok(vec![Row {
        id: "block-peer",
        what: "the block parsed, 5,000 channels (LDK: 100 monitors of each of 50)",
        unit: "µs",
        ours: figures.get("block-peer")?,
        peer: Some((theirs, LDK)),
        bar: Bar::TimesAtMost(1.0 / 500.0),
    }])
}

/// A start, and what a quiet channel needs in memory.
pub(crate) fn restart_and_memory(setting: &Setting) -> Result<Vec<Row>> {
    const OURS: f64 = 101_000.0;
    const THEIRS: [u32; 2] = [500, 1_000];
    let Some(restart) = Figures::of(setting, "restart")? else { return Ok(vec![]) };
    let Some(memory) = Figures::of(setting, "memory")? else { return Ok(vec![]) };
    let seconds = restart.get("restart")?;
    let stored = peer::Stored::with_channels(&THEIRS);
    let [few, many] = stored.as_slice() else { return Err("there are two".into()) };
    let begun = processor_time();
    let mut node = peer::Restart::new();
    many.monitors.iter().for_each(|bytes| node.read_monitor(bytes));
    node.read_manager(&many.manager);
    let used = processor_time().saturating_sub(begun).as_secs_f64();
    assert_eq!(node.channels(), many.monitors.len());
    drop(node);
    let channels = size(many.monitors.len());
    let growth = their_resident(setting, many)? - their_resident(setting, few)?;
    let growth = growth / (channels - size(few.monitors.len()));
    let row = |id, what, unit, ours, peer: Option<f64>, bar| Row {
        id,
        what,
        unit,
        ours,
        peer: peer.map(|peer| (peer, LDK)),
        bar,
    };
    Ok(vec![
        row(
            "restart",
            "a start: 100,000 open, 1,000 closed with 10 undelivered HTLCs",
            "s",
            seconds,
            None,
            Bar::AtMost(1.0),
        ),
        row(
            "restart-peer",
            "the same, for each channel (LDK: 1,000 open and quiet ones)",
            "µs",
            seconds * 1e6 / OURS,
            Some(used * 1e6 / channels),
            Bar::TimesAtMost(1.0 / 50.0),
        ),
        row(
            "memory",
            "a quiet channel, from 10^5 to 10^6 (LDK: from 500 to 1,000)",
            "bytes",
            memory.get("memory")?,
            Some(growth),
            Bar::AtMost(400.0),
        ),
    ])
}

/// Asks a process of its own what it holds after reading these channels.
fn their_resident(setting: &Setting, stored: &peer::Stored) -> Result<f64> {
    let folder = tempfile::tempdir_in(&setting.folder)?;
    let path = folder.path().join("stored");
    let mut file = BufWriter::new(File::create(&path)?);
    for bytes in stored.monitors.iter().chain([&stored.manager]) {
        file.write_all(&u64::try_from(bytes.len())?.to_be_bytes())?;
        file.write_all(bytes)?;
    }
    file.write_all(&u64::MAX.to_be_bytes())?;
    drop(file.into_inner()?);
    let output = Command::new(std::env::current_exe()?).arg(CHILD).arg(path).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Reads LDK's monitors and manager from a file, each by itself, and prints what is resident then.
pub(crate) fn child(path: &Path) -> Result<()> {
    let mut file = BufReader::new(File::open(path)?);
    let mut node = peer::Restart::new();
    let mut waiting: Option<Vec<u8>> = None;
    loop {
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_be_bytes(length);
        if length == u64::MAX {
            break;
        }
        if let Some(bytes) = waiting.take() {
            node.read_monitor(&bytes);
        }
        let mut bytes = vec![0; usize::try_from(length)?];
        file.read_exact(&mut bytes)?;
        waiting = Some(bytes);
    }
    node.read_manager(&waiting.take().ok_or("the manager comes last")?);
    println!("{}", resident()?);
    drop(node);
    Ok(())
}

/// An update of both commitments, from bytes to applied.
pub(crate) fn update(setting: &Setting) -> Result<Vec<Row>> {
    const ROUNDS: u32 = 40;
    let Some(figures) = Figures::of(setting, "update")? else { return Ok(vec![]) };
    let (keys, theirs) = (peer::Keys::new(), peer::pending(100));
    let theirs = least_micros_of(
        ROUNDS,
        || peer::Monitor::decode(&keys, &theirs.monitor),
        |monitor| {
            monitor.apply(&peer::Update::decode(&theirs.both));
            monitor
        },
    );
    Ok(vec![Row {
        id: "update",
        what: "an update of both commitments, 100 HTLCs, bytes to applied",
        unit: "µs",
        ours: figures.get("update")?,
        peer: Some((theirs, LDK)),
        bar: Bar::TimesAtMost(0.1),
    }])
}

/// What settled payments leave on disk.
pub(crate) fn growth(setting: &Setting) -> Result<Vec<Row>> {
    const PAYMENTS: f64 = 10_000.0;
    const THEIRS: [usize; 2] = [200, 1_000];
    let Some(figures) = Figures::of(setting, "growth")? else { return Ok(vec![]) };
    let theirs = peer::monitor_bytes_after(&THEIRS);
    let [few, many] = theirs.as_slice() else { return Err("there are two".into()) };
    // Half of ours are offered and half received, so of theirs the mean of both sides.
    let mean = |bytes: &[usize; 2]| size(bytes.iter().sum()) / 2.0;
    let each = (mean(many) - mean(few)) / size(THEIRS[1] - THEIRS[0]);
    let theirs = (mean(few) + each * (PAYMENTS - count(200))) / 1e3;
    let row = |id, what| -> Result<Row> {
        let ours = figures.get(id)?;
        Ok(Row { id, what, unit: "kB", ours, peer: Some((theirs, LDK)), bar: Bar::AtMost(480.0) })
    };
    Ok(vec![
        row("growth", "10,000 settled payments on a channel (LDK: scaled from 1,000)")?,
        row("growth-crowd", "the same, a channel's share of a file with 20 of them")?,
    ])
}

/// Thousands of channels that close at once.
pub(crate) fn mass(setting: &Setting) -> Result<Vec<Row>> {
    let Some(figures) = Figures::of(setting, "mass")? else { return Ok(vec![]) };
    let row = |id, what, unit, bar| -> Result<Row> {
        Ok(Row { id, what, unit, ours: figures.get(id)?, peer: None, bar })
    };
    Ok(vec![
        row(
            "mass",
            "1,400 channels closing in a block, and 10,000 in eight",
            "s",
            Bar::AtMost(12.0),
        )?,
        row("mass-longest", "the longest of those blocks", "s", Bar::None)?,
        row("mass-memory", "the most that was resident then", "GiB", Bar::AtMost(1.0))?,
    ])
}

/// A plan over everything, beside a walk over the same entries.
pub(crate) fn plan(setting: &Setting) -> Result<Vec<Row>> {
    let Some(figures) = Figures::of(setting, "plan")? else { return Ok(vec![]) };
    let walk = figures.get("plan-walk")?;
    Ok(vec![Row {
        id: "plan",
        what: "a plan, for each of 100,000 undelivered HTLCs",
        unit: "ns",
        ours: figures.get("plan")? * walk,
        peer: Some((walk, "the walk")),
        bar: Bar::TimesAtMost(10.0),
    }])
}
