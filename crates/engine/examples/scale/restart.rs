//! What a start costs: many quiet channels, and closed ones with something to tell.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lastword_engine::Driver;
use lastword_ports::{Frame, Lsn, Store, Stream};
use lastword_store::RedbStore;
use lastword_types::{
    Card, ChainDelta, ChainTip, ChannelId, HtlcDirection, MonitorRecord, NewChannel,
};
use lastword_wire::{encode_card, encode_chain_tip, encode_monitor_record, encode_monitor_state};

use crate::quiet::{channel_id, ports, quiet_card, tip};
use crate::tape::{Tape, funding_outpoint};
use crate::{Line, Result, thread_time};

const OPEN: u32 = 100_000;
const CLOSED: u32 = 1_000;
const UNDELIVERED: u32 = 10;
/// Channels in an append.
const BATCH: u32 = 1_000;

pub(crate) fn measure() -> Result<Vec<Line>> {
    let folder = Folder::new()?;
    let path = folder.path("node.redb");
    generate(&mut RedbStore::open(&path)?, OPEN, CLOSED)?;
    let (opened, started) = start(&path)?;
    let (_, again) = start(&path)?;
    let line = |id, what: String, time: Duration, bar| Line {
        id,
        what,
        unit: "s",
        ours: time.as_secs_f64(),
        bar,
    };
    Ok(vec![
        line("restart-open", "opening the store".into(), opened, None),
        line(
            "restart",
            "100,000 open, 1,000 closed with 10 undelivered".into(),
            started,
            Some(1.0),
        ),
        line("restart-again", "the same, once the outcomes are recorded".into(), again, None),
    ])
}

/// A folder that goes when this does.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Result<Self> {
        let name = format!("lastword-scale-{}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to whoever empties the folder of temporary files.
        drop(fs::remove_dir_all(&self.0));
    }
}

/// Opens the store and starts on it; what each took of the processor.
fn start(path: &Path) -> Result<(Duration, Duration)> {
    let since = Instant::now();
    let before = thread_time(since);
    let store = RedbStore::open(path)?;
    let opened = thread_time(since);
    let mut driver = Driver::start(ports(Box::new(store)))?;
    let started = thread_time(since);
    assert_eq!(driver.damaged(), []);
    assert!(driver.next_event().is_some(), "there is something to tell");
    Ok((opened.saturating_sub(before), started.saturating_sub(before)))
}

/// Writes the store of a node: for each open channel its first record and its card, for each closed
/// one a snapshot and its card.
pub(crate) fn generate(store: &mut dyn Store, open: u32, closed: u32) -> Result<()> {
    let pattern = Tape::new(channel_id(0))?;
    let Some(MonitorRecord::Created(pattern)) = pattern.records.first() else {
        return Err("a channel begins with its creation".into());
    };
    for first in (0..open).step_by(BATCH as usize) {
        let mut position = store.append(&[])?.position;
        let mut frames = Vec::new();
        for number in first..open.min(first + BATCH) {
            let channel_id = channel_id(number);
            position += 1;
            let record = MonitorRecord::Created(Box::new(born_like(pattern, channel_id)));
            let card = quiet_card(channel_id, position);
            frames.push((channel_id, encode_monitor_record(&record), encode_card(&card)));
            position += 1;
        }
        append(store, &frames)?;
    }
    for number in open..open + closed {
        write_closed(store, channel_id(number))?;
    }
    let _durable = store.sync()?;
    Ok(())
}

fn append(store: &mut dyn Store, channels: &[(ChannelId, Vec<u8>, Vec<u8>)]) -> Result<Lsn> {
    let frames: Vec<Frame<'_>> = channels
        .iter()
        .flat_map(|(channel_id, record, card)| {
            let stream = Stream::Channel(*channel_id);
            [Frame::Record { stream, body: record }, Frame::Card { stream, body: card }]
        })
        .collect();
    let end = store.append(&frames)?;
    let _durable = store.sync()?;
    Ok(end)
}

/// A channel that the peer has closed with HTLCs of ours, all of which it had fulfilled.
fn write_closed(store: &mut dyn Store, channel_id: ChannelId) -> Result<()> {
    let mut tape = Tape::new(channel_id)?;
    let mut htlcs = Vec::new();
    for _ in 0..UNDELIVERED {
        htlcs.push(tape.add(HtlcDirection::Offered)?);
    }
    for htlc_id in htlcs {
        tape.fulfil(htlc_id)?;
    }
    let block = tip();
    let block = lastword_types::BlockRef { height: block.height.plus(1), ..block };
    let transactions = vec![tape.peers_commitment()?];
    tape.apply(MonitorRecord::Chain(ChainDelta::Connected { block, transactions }))?;
    let record = tape.records.last().map(encode_monitor_record).unwrap_or_default();
    let covers = store.append(&[])?.position + 1;
    let card = Card { covers, ..tape.monitor.card() };
    // The tip is durable with the block, so a start has nothing to take back.
    let tip = encode_chain_tip(&ChainTip { best: block, recent: vec![tip()] });
    let stream = Stream::Channel(channel_id);
    store.append(&[Frame::Card { stream: Stream::Chain, body: &tip }])?;
    let covers_tip = covers + 1;
    let end =
        append(store, &[(channel_id, record, encode_card(&Card { covers: covers_tip, ..card }))])?;
    let at = Lsn { position: covers_tip, ..end };
    store.put(stream, at, &encode_monitor_state(tape.monitor.state()))?;
    store.prune(stream, at)?;
    Ok(())
}

/// A channel with another name and funding output than the pattern.
fn born_like(pattern: &NewChannel, channel_id: ChannelId) -> NewChannel {
    let mut new = pattern.clone();
    new.parameters.channel_id = channel_id;
    new.parameters.funding_outpoint = funding_outpoint(channel_id);
    new
}
