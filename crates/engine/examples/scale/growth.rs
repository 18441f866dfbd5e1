//! What a channel needs on disk after many payments were settled and told, compacted, its tombstones
//! gone because the payment book has outlived them.

use std::fs;
use std::path::Path;

use lastword_engine::survey;
use lastword_ports::{Frame, Lsn, SnapshotStore as _, Stream, UpdateLog as _};
use lastword_store::RedbStore;
use lastword_types::{BookEpoch, Card, ChannelId, HtlcDirection, MonitorRecord};
use lastword_wire::{encode_card, encode_monitor_record, encode_monitor_state};

use crate::quiet::channel_id;
use crate::restart::Folder;
use crate::tape::Tape;
use crate::{Line, Result};

const PAYMENTS: u32 = 10_000;
const CHANNEL: ChannelId = ChannelId([7; 32]);
/// Payments that share a sync.
const TOGETHER: u32 = 50;
/// Channels in the store that holds more than one.
const CROWD: u32 = 20;

pub(crate) fn measure() -> Result<Vec<Line>> {
    let folder = Folder::new()?;
    let path = folder.path("growth.redb");
    let (whole, pruned) = live(&path)?;
    let held = survey(&RedbStore::open(&path)?)?;
    if let Some(damage) = held.damage.first() {
        return Err(format!("the channel cannot be read: {damage:?}").into());
    }
    let bytes: u64 = held.kinds.values().map(|amount| amount.bytes).sum();
    let fresh = folder.path("fresh.redb");
    write_fresh(&fresh, &pruned)?;
    let crowded = folder.path("crowded.redb");
    write_crowded(&crowded, &pruned)?;
    let line =
        |id, what: &str, ours: f64, bar| Line { id, what: what.into(), unit: "kB", ours, bar };
    let [file, fresh, crowded] = [&path, &fresh, &crowded].map(|path| file_bytes(path));
    let (file, fresh, crowded) = (file?, fresh?, crowded? / u64::from(CROWD));
    Ok(vec![
        line("growth-whole", "10,000 settled payments", whole / 1e3, None),
        line(
            "growth",
            "without their tombstones, all that the store holds",
            of(bytes),
            Some(480.0),
        ),
        line(
            "growth-crowd",
            "a channel's share of a file with 20 of them",
            of(crowded),
            Some(480.0),
        ),
        line("growth-fresh", "the file of a new store with this channel alone", of(fresh), None),
        line("growth-file", "the file in which they were settled", of(file), None),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "a file has less than 2^52 bytes")]
fn of(bytes: u64) -> f64 {
    bytes as f64 / 1e3
}

/// The bytes of a store's files.
fn file_bytes(path: &Path) -> Result<u64> {
    Ok(fs::metadata(path)?.len())
}

/// Settles the payments on a store, with a snapshot whenever the records behind the last one are as
/// many bytes; returns the bytes of the state with its tombstones, and the state without them.
fn live(path: &Path) -> Result<(f64, Tape)> {
    let mut store = RedbStore::open(path)?;
    let stream = Stream::Channel(CHANNEL);
    let mut tape = Tape::new(CHANNEL)?;
    let (mut behind, mut snapshot) = (0, 0);
    for number in 0..PAYMENTS {
        // To and fro, so that the balances last.
        let is_offered = number % 2 == 0;
        let direction = if is_offered { HtlcDirection::Offered } else { HtlcDirection::Received };
        let htlc_id = tape.add(direction)?;
        tape.settle(direction, htlc_id)?;
        if (number + 1) % TOGETHER == 0 {
            let (end, bytes) = write(&mut store, &mut tape)?;
            behind += bytes;
            if behind >= snapshot {
                snapshot = compact(&mut store, stream, end, &tape)?;
                behind = 0;
            }
        }
    }
    let whole = tape.bytes();
    // The book has durably entered an epoch since, and needs none of them.
    tape.apply(MonitorRecord::PruneTombstones { behind: BookEpoch(1) })?;
    let (end, _) = write(&mut store, &mut tape)?;
    compact(&mut store, stream, end, &tape)?;
    let _durable = store.checkpoint()?;
    Ok((whole, tape))
}

/// Appends the records of a channel with its card; returns the end of the log and their bytes.
fn write(store: &mut RedbStore, tape: &mut Tape) -> Result<(Lsn, usize)> {
    let stream = Stream::Channel(CHANNEL);
    let bodies: Vec<Vec<u8>> =
        tape.records.drain(..).map(|it| encode_monitor_record(&it)).collect();
    let frames: Vec<Frame<'_>> = bodies.iter().map(|body| Frame::Record { stream, body }).collect();
    let end = store.append(&frames)?;
    let body = encode_card(&Card { covers: end.position, ..tape.monitor.card() });
    store.append(&[Frame::Card { stream, body: &body }])?;
    let _durable = store.sync()?;
    Ok((end, bodies.iter().map(Vec::len).sum()))
}

/// Puts a snapshot and drops the records that it covers; returns its bytes.
fn compact(store: &mut RedbStore, stream: Stream, at: Lsn, tape: &Tape) -> Result<usize> {
    let body = encode_monitor_state(tape.monitor.state());
    store.put(stream, at, &body)?;
    store.prune(stream, at)?;
    let _durable = store.sync()?;
    Ok(body.len())
}

/// Writes a store that holds this channel and nothing else. The engine lays out a mebibyte at least.
fn write_fresh(path: &Path, tape: &Tape) -> Result<()> {
    let mut store = RedbStore::open(path)?;
    put(&mut store, tape)?;
    let _durable = store.checkpoint()?;
    Ok(())
}

/// Writes a store with as many channels like this one as make the layout small beside them.
fn write_crowded(path: &Path, tape: &Tape) -> Result<()> {
    let mut store = RedbStore::open(path)?;
    for number in 0..CROWD {
        put(&mut store, &tape.like(channel_id(number))?)?;
    }
    let _durable = store.checkpoint()?;
    Ok(())
}

fn put(store: &mut RedbStore, tape: &Tape) -> Result<()> {
    let card = tape.monitor.card();
    let stream = Stream::Channel(card.channel_id);
    let at = store.append(&[Frame::Card { stream, body: &encode_card(&card) }])?;
    let _durable = store.sync()?;
    compact(store, stream, at, tape)?;
    Ok(())
}
