//! A long life of a node with many channels: payments, closings, kills and restarts, block after
//! block, on a store on disk. Its memory has to stay flat, and every payment has to get its one last
//! word.
//!
//! The chain is a list of blocks without scripts being run: what is tested is the node over a long
//! time, and the simulators verify scripts.

mod chain;
mod life;
mod peer;

use std::io::IsTerminal as _;
use std::time::Instant;

use lastword_engine::{Stats, Survey, survey};
use lastword_store::RedbStore;

use crate::Result;
use crate::memory::resident_bytes;
use crate::restart::{Folder, generate};
use life::{Life, Told};

/// The word by which the soak is asked for.
pub(crate) const SOAK: &str = "--soak";

/// Blocks without new deeds at the end: whatever is open comes to its end.
const CALM_BLOCKS: u32 = 220;
/// Growth of resident memory that counts as flat: what an allocator does not give back.
const GROWTH_MAX: f64 = 24e6;
/// The same as a share of what was resident.
const GROWTH_SHARE: f64 = 0.10;
/// Monitors in memory at any time: those in use, those that close, and what the bytes for quiet ones
/// hold.
const MONITORS_MAX: u64 = 600;

/// What a soak may be told.
struct Options {
    channels: u32,
    blocks: u32,
    seed: u64,
    is_json: bool,
    /// Lets no monitor go: to see that this is noticed.
    keeps_all: bool,
}

fn options(arguments: &[String]) -> Result<Options> {
    let (is_json, keeps_all) = (false, false);
    let mut options = Options { channels: 100_000, blocks: 2_000, seed: 1, is_json, keeps_all };
    let mut arguments = arguments.iter();
    while let Some(word) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{word} needs a number"));
        match word.as_str() {
            "--channels" => options.channels = value()?.parse()?,
            "--blocks" => options.blocks = value()?.parse()?,
            "--seed" => options.seed = value()?.parse()?,
            "--json" => options.is_json = true,
            "--keep-all" => options.keeps_all = true,
            _ => return Err(format!("a soak knows no {word}").into()),
        }
    }
    Ok(options)
}

/// What was held at a block.
#[derive(Clone, Copy, Default)]
struct Sample {
    resident: f64,
    monitors: u64,
}

impl Sample {
    fn of(life: &Life) -> Result<Self> {
        let monitors = life.stats()?.monitors.count;
        Ok(Self { resident: resident_bytes("VmRSS:")?, monitors })
    }

    fn max(self, other: Self) -> Self {
        let resident = self.resident.max(other.resident);
        Self { resident, monitors: self.monitors.max(other.monitors) }
    }
}

/// How it was.
struct Lived {
    told: Told,
    survey: Survey,
    /// What the driver held after the last block with deeds.
    stats: Stats,
    /// After a quarter of the blocks: by then the first HTLCs have expired and every kind of thing
    /// has happened.
    early: Sample,
    late: Sample,
    most: Sample,
    seconds: f64,
}

/// Lives through it and says how it was.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let options = options(arguments)?;
    let lived = live(&options)?;
    if let Some(damage) = lived.survey.damage.first() {
        return Err(format!("a fold is not its card: {damage:?}").into());
    }
    let growth = lived.late.resident - lived.early.resident;
    let is_flat = growth <= GROWTH_MAX.max(lived.early.resident * GROWTH_SHARE)
        && lived.most.monitors <= MONITORS_MAX;
    if options.is_json {
        print_json(&options, &lived, is_flat);
    } else {
        print_text(&options, &lived);
    }
    if is_flat {
        return Ok(());
    }
    let (grown, most) = (growth / 1e6, lived.most.monitors);
    Err(format!("memory grew by {grown:.1} MB, and {most} monitors were in it").into())
}

fn live(options: &Options) -> Result<Lived> {
    let Options { channels, blocks, seed, keeps_all, .. } = *options;
    let folder = Folder::new()?;
    let path = folder.path("soak.redb");
    generate(&mut RedbStore::open(&path)?, channels, 0)?;
    let mut life = Life::begin(&path, channels, seed, keeps_all)?;
    let begun = Instant::now();
    let (mut early, mut late, mut most) = (Sample::default(), Sample::default(), Sample::default());
    for block in 1..=blocks {
        life.block(true)?;
        late = Sample::of(&life)?;
        if block == blocks.div_ceil(4) {
            early = late;
        }
        most = most.max(late);
        show(block, blocks, late);
    }
    let stats = life.stats()?;
    let seconds = begun.elapsed().as_secs_f64();
    for _ in 0..CALM_BLOCKS {
        life.block(false)?;
    }
    let told = life.end()?;
    let survey = survey(&RedbStore::open(&path)?)?;
    Ok(Lived { told, survey, stats, early, late, most, seconds })
}

fn print_json(options: &Options, lived: &Lived, holds: bool) {
    let Options { channels, blocks, seed, .. } = options;
    let Lived { told, survey, early, late, most, seconds, .. } = lived;
    let Told { payments, sent, failed, events, again, kills, restarts } = told;
    let [early, late, most] = [early, late, most].map(|sample| {
        format!(r#"{{"resident": {:.0}, "monitors": {}}}"#, sample.resident, sample.monitors)
    });
    let (closed, archived) = (survey.closed, survey.archived);
    println!(
        r#"{{"channels": {channels}, "blocks": {blocks}, "seed": {seed}, "seconds": {seconds:.1},"#
    );
    println!(r#" "payments": {payments}, "sent": {sent}, "failed": {failed}, "events": {events},"#);
    println!(r#" "again": {again}, "kills": {kills}, "restarts": {restarts},"#);
    println!(r#" "closed": {closed}, "archived": {archived}, "folded": {},"#, survey.channels);
    println!(r#" "early": {early}, "late": {late}, "most": {most}, "holds": {holds}}}"#);
}

fn print_text(options: &Options, lived: &Lived) {
    let Options { channels, blocks, .. } = options;
    let Lived { told, survey, stats, early, late, most, seconds } = lived;
    let rate = f64::from(*blocks) / seconds;
    println!("soak: {channels} channels, {blocks} blocks in {seconds:.1} s, {rate:.1} a second");
    println!(
        "  {} payments: {} sent, {} failed, each one last word; {} events, {} terminal ones again, \
         the same",
        told.payments, told.sent, told.failed, told.events, told.again
    );
    println!(
        "  {} kills, {} restarts; {} channels closed, {} archived; {} folded, each equal to its card",
        told.kills, told.restarts, survey.closed, survey.archived, survey.channels
    );
    let of = |sample: &Sample| {
        format!("{:.1} MB and {} monitors", sample.resident / 1e6, sample.monitors)
    };
    println!(
        "  in memory: {} after a quarter, {} at the end, at most {}",
        of(early),
        of(late),
        of(most)
    );
    print_stats(stats);
}

/// Prints what the driver held after its last block.
fn print_stats(stats: &Stats) {
    for (kind, amount) in stats.kinds() {
        println!("  {kind:<10} {:>9} {:>12} bytes", amount.count, amount.bytes);
    }
}

/// A line that says how far it is, where a person looks.
#[expect(clippy::print_stderr, reason = "a person waits")]
fn show(block: u32, blocks: u32, Sample { resident, monitors }: Sample) {
    if std::io::stderr().is_terminal() {
        let end = if block == blocks { "\n" } else { "" };
        let megabytes = resident / 1e6;
        eprint!("\rsoak: block {block} of {blocks}, {megabytes:.1} MB, {monitors} monitors  {end}");
    }
}
