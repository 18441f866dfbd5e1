//! The rows: what is measured of both sides, one after the other, in the same minutes.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lastword_compare_peer as peer;
use lastword_types::{MonitorRecord, MonitorState};
use tempfile::TempDir;

use crate::meter::{Meter, Result, Used, median, micros_of, size};
use crate::ours::{self, Alone, Pending, Tape};
use crate::row::{Bar, Row};
use crate::scale;

/// Whole programs are run so often; the median counts.
const RUNS: usize = 3;

/// Whose figures most of the others are.
pub(crate) const LDK: &str = "LDK";

/// Where and with what it is measured.
pub(crate) struct Setting {
    /// Where stores are made.
    pub(crate) folder: PathBuf,
    /// The program that measures our side of what grows with the number of channels.
    pub(crate) scale: Option<PathBuf>,
}

/// Rows that are measured together.
pub(crate) struct Group {
    pub(crate) ids: &'static [&'static str],
    pub(crate) measure: fn(&Setting) -> Result<Vec<Row>>,
}

impl Group {
    /// Says whether some id of the group begins with a wanted one; without any, all are wanted.
    pub(crate) fn is_wanted(&self, only: &[String]) -> bool {
        let is_named = |wanted: &String| self.ids.iter().any(|id| id.starts_with(wanted.as_str()));
        only.is_empty() || only.iter().any(is_named)
    }
}

/// Every row there is.
pub(crate) const GROUPS: &[Group] = &[
    Group {
        ids: &[
            "bytes.both_10",
            "bytes.snapshot_10",
            "encode.update_10",
            "decode.update_10",
            "encode.snapshot_10",
            "decode.snapshot_10",
        ],
        measure: |_| formats(10, &TEN),
    },
    Group {
        ids: &[
            "bytes.both_100",
            "bytes.snapshot_100",
            "encode.update_100",
            "decode.update_100",
            "encode.snapshot_100",
            "decode.snapshot_100",
        ],
        measure: |_| formats(100, &HUNDRED),
    },
    Group { ids: &["durable.channels_100", "cpu.channels_100"], measure: concurrent },
    Group { ids: &["durable.channel_1", "block.alone"], measure: alone },
    Group { ids: &["written.alone"], measure: written_alone },
    Group { ids: &["cpu.update", "written.batch_100", "block.batch_100"], measure: batched },
    Group {
        ids: &["block-walk", "block-raw", "block-raw-more", "block-merkle"],
        measure: scale::block,
    },
    Group { ids: &["block-peer"], measure: scale::block_peer },
    Group { ids: &["restart", "restart-peer", "memory"], measure: scale::restart_and_memory },
    Group { ids: &["update"], measure: scale::update },
    Group { ids: &["growth", "growth-crowd"], measure: scale::growth },
    Group { ids: &["mass", "mass-longest", "mass-memory"], measure: scale::mass },
    Group { ids: &["plan"], measure: scale::plan },
];

/// What a run did with so many updates of so many bytes.
#[derive(Clone, Copy)]
struct Run {
    used: Used,
    updates: f64,
    bytes: f64,
}

impl Run {
    fn rate(&self) -> f64 {
        self.updates / self.used.wall.as_secs_f64()
    }

    fn processor_micros(&self) -> f64 {
        self.used.processor.as_secs_f64() * 1e6 / self.updates
    }

    fn written(&self) -> f64 {
        self.used.written / self.bytes
    }

    fn block(&self) -> f64 {
        self.used.block / self.bytes
    }
}

fn over(runs: &[Run], figure: impl Fn(&Run) -> f64) -> f64 {
    median(runs.iter().map(figure).collect())
}

/// LDK's updates, read and ready to be applied.
struct PeerTape {
    monitors: Vec<Vec<u8>>,
    updates: Vec<Vec<peer::Update>>,
    count: f64,
    bytes: f64,
}

impl PeerTape {
    fn new(channels: u32, payments: usize) -> Self {
        let peer::Tape { monitors, updates } = peer::record_payments(channels, payments);
        let bytes = updates.iter().flatten().map(Vec::len).sum();
        let count = updates.iter().map(Vec::len).sum();
        let decode = |updates: &Vec<Vec<u8>>| {
            updates.iter().map(|update| peer::Update::decode(update)).collect()
        };
        let updates = updates.iter().map(decode).collect();
        Self { monitors, updates, count: size(count), bytes: size(bytes) }
    }

    /// Applies the updates, those of each channel in a thread of its own or one after the other.
    fn run(&self, folder: &Path, is_concurrent: bool) -> Result<Run> {
        let folder = tempfile::tempdir_in(folder)?;
        let durable = peer::Durable::new(folder.path(), &self.monitors);
        let apply = |(channel, updates): (usize, &Vec<peer::Update>)| {
            for update in updates {
                durable.update(channel, update);
            }
        };
        let meter = Meter::start()?;
        if is_concurrent {
            std::thread::scope(|scope| {
                for one in self.updates.iter().enumerate() {
                    scope.spawn(move || apply(one));
                }
            });
        } else {
            self.updates.iter().enumerate().for_each(apply);
        }
        Ok(Run { used: meter.stop()?, updates: self.count, bytes: self.bytes })
    }
}

fn ours_of(tape: &Tape, used: Used) -> Run {
    Run { used, updates: size(tape.len()), bytes: tape.bytes() }
}

fn concurrent(setting: &Setting) -> Result<Vec<Row>> {
    let folder = &setting.folder;
    let (tape, peer) = (Tape::new(100, 20)?, PeerTape::new(100, 3));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        ours.push(ours_of(&tape, ours::concurrent(folder, &tape)?));
        theirs.push(peer.run(folder, true)?);
    }
    let row = |id, what, unit, figure: fn(&Run) -> f64, bar| {
        let peer = Some((over(&theirs, figure), LDK));
        Row { id, what, unit, ours: over(&ours, figure), peer, bar }
    };
    Ok(vec![
        row(
            "durable.channels_100",
            "durable updates, 100 channels concurrently",
            "updates/s",
            Run::rate,
            Bar::TimesAtLeast(20.0),
        ),
        row(
            "cpu.channels_100",
            "processor time of such an update, all threads",
            "µs",
            Run::processor_micros,
            Bar::None,
        ),
    ])
}

/// Ours, LDK's and the bare append take turns of a few updates, so that whatever else the disk does
/// meets all three.
fn alone(setting: &Setting) -> Result<Vec<Row>> {
    let folder = &setting.folder;
    const TURNS: usize = 25;
    const UPDATES: usize = 20;
    const PAYMENTS: usize = TURNS * UPDATES / 5;
    let (tape, peer) = (Tape::new(1, PAYMENTS)?, PeerTape::new(1, PAYMENTS));
    let (mut ours, theirs) = (Alone::new(folder, &tape)?, tempfile::tempdir_in(folder)?);
    let durable = peer::Durable::new(theirs.path(), &peer.monitors);
    let mut their_updates = peer.updates.iter().flatten();
    let mut bare = Bare::new(folder)?;
    let mut used: [Vec<Used>; 3] = Default::default();
    for sizes in tape.sizes().chunks(UPDATES) {
        used[0].push(ours.step(UPDATES)?);
        let meter = Meter::start()?;
        for update in their_updates.by_ref().take(UPDATES) {
            durable.update(0, update);
        }
        used[1].push(meter.stop()?);
        let meter = Meter::start()?;
        bare.append(sizes)?;
        used[2].push(meter.stop()?);
    }
    let [ours, theirs, bare] = used;
    // The median of the turns.
    let micros = |turns: &[Used]| {
        let one = |turn: &Used| turn.wall.as_secs_f64() * 1e6 / size(UPDATES);
        median(turns.iter().map(one).collect())
    };
    let (our_micros, their_micros) = (micros(&ours), micros(&theirs));
    let bare = micros(&bare);
    let (ours, theirs) = (Used::sum(&ours), Used::sum(&theirs));
    let row = |id, what, unit, ours, peer: f64, bar| Row {
        id,
        what,
        unit,
        ours,
        peer: Some((peer, LDK)),
        bar,
    };
    Ok(vec![
        row(
            "durable.channel_1",
            "durable updates, one channel alone",
            "updates/s",
            1e6 / our_micros,
            1e6 / their_micros,
            Bar::TimesAtLeast(2.0),
        ),
        row(
            "durable.channel_1_bare",
            "the same, over one bare append and fdatasync",
            "times",
            our_micros / bare,
            their_micros / bare,
            Bar::AtMost(1.5),
        ),
        row(
            "block.alone",
            "bytes to the block layer for a byte appended, alone",
            "bytes",
            ours.block / tape.bytes(),
            theirs.block / peer.bytes,
            Bar::None,
        ),
    ])
}

/// Bytes handed to write calls over so long a life that the journal was full many times and each
/// channel got its snapshots. They are the same on any disk, so a disk in memory is taken where there
/// is one: it need not be waited for.
fn written_alone(setting: &Setting) -> Result<Vec<Row>> {
    const PAYMENTS: usize = 12_000;
    let memory = Path::new("/dev/shm");
    let folder = if memory.is_dir() { memory } else { &setting.folder };
    let (tape, peer) = (Tape::new(1, PAYMENTS)?, PeerTape::new(1, 60));
    let used = Alone::new(folder, &tape)?.step(tape.len())?;
    let theirs = peer.run(folder, false)?;
    Ok(vec![Row {
        id: "written.alone",
        what: "bytes to write calls for a byte appended, alone",
        unit: "bytes",
        ours: used.written / tape.bytes(),
        peer: Some((theirs.written(), LDK)),
        bar: Bar::AtMost(25.0),
    }])
}

/// One life each, long enough for several checkpoints of ours, and for LDK to write every monitor anew.
fn batched(setting: &Setting) -> Result<Vec<Row>> {
    let folder = &setting.folder;
    let (tape, peer) = (Tape::new(100, 150)?, PeerTape::new(10, 30));
    let ours = ours_of(&tape, ours::batched(folder, &tape)?);
    let theirs = peer.run(folder, false)?;
    let row = |id, what, unit, figure: fn(&Run) -> f64, bar| Row {
        id,
        what,
        unit,
        ours: figure(&ours),
        peer: Some((figure(&theirs), LDK)),
        bar,
    };
    Ok(vec![
        row(
            "cpu.update",
            "processor time of an update in a batch of 100",
            "µs",
            Run::processor_micros,
            Bar::TimesAtMost(0.1),
        ),
        row(
            "written.batch_100",
            "bytes to write calls for a byte appended, batches of 100",
            "bytes",
            Run::written,
            Bar::AtMost(3.0),
        ),
        row(
            "block.batch_100",
            "bytes to the block layer for a byte appended, batches of 100",
            "bytes",
            Run::block,
            Bar::None,
        ),
    ])
}

/// A file at whose end bytes are written, with a sync for each append.
struct Bare {
    file: File,
    _folder: TempDir,
}

impl Bare {
    fn new(folder: &Path) -> Result<Self> {
        let folder = tempfile::tempdir_in(folder)?;
        Ok(Self { file: File::create(folder.path().join("bare"))?, _folder: folder })
    }

    fn append(&mut self, sizes: &[usize]) -> Result<()> {
        for length in sizes {
            self.file.write_all(&vec![7; *length])?;
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// The ids and texts of the rows of one channel state.
struct Names {
    bytes: (&'static str, &'static str, Bar),
    encode_update: (&'static str, &'static str),
    decode_update: (&'static str, &'static str),
    encode_snapshot: (&'static str, &'static str),
    decode_snapshot: (&'static str, &'static str),
    snapshot_bytes: (&'static str, &'static str),
}

const TEN: Names = Names {
    bytes: (
        "bytes.both_10",
        "an update of both commitments, 10 HTLCs pending",
        Bar::TimesAtMost(0.2),
    ),
    encode_update: ("encode.update_10", "that update encoded"),
    decode_update: ("decode.update_10", "that update decoded"),
    snapshot_bytes: ("bytes.snapshot_10", "a snapshot, 10 HTLCs pending"),
    encode_snapshot: ("encode.snapshot_10", "that snapshot encoded"),
    decode_snapshot: ("decode.snapshot_10", "that snapshot decoded"),
};

const HUNDRED: Names = Names {
    bytes: (
        "bytes.both_100",
        "an update of both commitments, 100 HTLCs pending",
        Bar::TimesAtMost(0.15),
    ),
    encode_update: ("encode.update_100", "that update encoded"),
    decode_update: ("decode.update_100", "that update decoded"),
    snapshot_bytes: ("bytes.snapshot_100", "a snapshot, 100 HTLCs pending"),
    encode_snapshot: ("encode.snapshot_100", "that snapshot encoded"),
    decode_snapshot: ("decode.snapshot_100", "that snapshot decoded"),
};

/// Sizes and speeds of the formats, on a channel with so many pending payments.
///
/// LDK's update is the one after a payment was fulfilled, so it has an HTLC less than ours.
fn formats(count: usize, names: &Names) -> Result<Vec<Row>> {
    let Pending { state, both } = ours::pending(count)?;
    let theirs = peer::pending(count);
    let keys = peer::Keys::new();
    let (their_update, their_monitor) =
        (peer::Update::decode(&theirs.both), peer::Monitor::decode(&keys, &theirs.monitor));
    let update = lastword_wire::encode_monitor_record(&both);
    let snapshot = lastword_wire::encode_monitor_state(&state);
    let bytes = |(id, what, bar), ours: &[u8], peer: &[u8]| Row {
        id,
        what,
        unit: "bytes",
        ours: size(ours.len()),
        peer: Some((size(peer.len()), LDK)),
        bar,
    };
    // Rates, so that more is better.
    let rate = |(id, what), ours: f64, peer: f64| Row {
        id,
        what,
        unit: "in a second",
        ours: 1e6 / ours,
        peer: Some((1e6 / peer, LDK)),
        bar: Bar::TimesAtLeast(5.0),
    };
    let (id, what) = names.snapshot_bytes;
    Ok(vec![
        bytes(names.bytes, &update, &theirs.both),
        rate(
            names.encode_update,
            micros_of(|| lastword_wire::encode_monitor_record(&both)),
            micros_of(|| their_update.encode()),
        ),
        rate(
            names.decode_update,
            micros_of(|| decode_record(&update)),
            micros_of(|| peer::Update::decode(&theirs.both)),
        ),
        bytes((id, what, Bar::None), &snapshot, &theirs.monitor),
        rate(
            names.encode_snapshot,
            micros_of(|| lastword_wire::encode_monitor_state(&state)),
            micros_of(|| their_monitor.encode()),
        ),
        rate(
            names.decode_snapshot,
            micros_of(|| decode_state(&snapshot)),
            micros_of(|| peer::Monitor::decode(&keys, &theirs.monitor)),
        ),
    ])
}

fn decode_record(bytes: &[u8]) -> MonitorRecord {
    lastword_wire::decode_monitor_record(bytes).expect("we read what we wrote")
}

fn decode_state(bytes: &[u8]) -> MonitorState {
    lastword_wire::decode_monitor_state(bytes).expect("we read what we wrote")
}
