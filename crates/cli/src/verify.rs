//! `lastword verify`: what a store holds, and every place in it that is damaged.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use lastword_engine::{DamagedPart, Survey, survey};
use lastword_ports::Stream;
use lastword_sim::{SimError, Trying as _};
use lastword_store::RedbStore;
use serde::Serialize;

use crate::VerifyArgs;

/// One store as a JSON object.
#[derive(Serialize)]
struct StoreObject {
    file: String,
    file_bytes: u64,
    channels: u64,
    closed: u64,
    archived: u64,
    undelivered: u64,
    payments: u64,
    kinds: BTreeMap<String, KindObject>,
    /// The position behind which a tail of the journal was cut that a crash had torn.
    cut_behind: Option<u64>,
    damage: Vec<DamageObject>,
}

#[derive(Serialize)]
struct KindObject {
    count: u64,
    bytes: u64,
}

/// One place that cannot be read.
#[derive(Serialize)]
struct DamageObject {
    /// A channel's id, or `payments`, `chain`; absent where nobody knows.
    stream: Option<String>,
    position: Option<u64>,
    /// `card`, `snapshot`, `record` or `whole` where a reader of the bytes found it; what the store
    /// itself found says so in `what`.
    part: Option<&'static str>,
    what: String,
}

/// Reads the stores and says whether all of them are sound.
pub(crate) fn run(arguments: &VerifyArgs) -> Result<bool, SimError> {
    let mut is_sound = true;
    for file in &arguments.files {
        let store = read(file)?;
        is_sound &= store.damage.is_empty();
        let mut out = io::stdout().lock();
        if arguments.json {
            let line = serde_json::to_string(&store).trying("write JSON")?;
            writeln!(out, "{line}").trying("print")?;
        } else {
            print_table(&store, &mut out).trying("print")?;
        }
    }
    Ok(is_sound)
}

fn read(file: &Path) -> Result<StoreObject, SimError> {
    let metadata = std::fs::metadata(file).trying("find the store")?;
    if metadata.len() == 0 {
        return Err(SimError::with("the file is empty", file.display().to_string()));
    }
    let mut store = RedbStore::open(file).trying("open the store")?;
    let journal = std::fs::metadata(journal_of(file)).trying("find the journal")?.len();
    let cut_behind = store.recovered().cut.map(|cut| cut.behind);
    let mut damage = Vec::new();
    store
        .verify(&mut |error| {
            let (stream, position) = (error.place.stream, error.place.position);
            damage.push(DamageObject {
                stream: stream.map(name),
                position,
                part: None,
                what: error.detail.into(),
            });
        })
        .trying("read the store")?;
    let Survey { channels, closed, archived, undelivered, payments, kinds, damage: unread } =
        survey(&store).trying("read the store")?;
    for one in unread {
        let place = (one.stream.map(name), one.position);
        // The rows of the store were looked at first.
        if !damage.iter().any(|known| known.stream == place.0) {
            let (stream, position) = place;
            let part = Some(part_name(one.part));
            damage.push(DamageObject { stream, position, part, what: chain(&one.error) });
        }
    }
    let kinds = kinds
        .into_iter()
        .map(|(kind, amount)| (kind, KindObject { count: amount.count, bytes: amount.bytes }));
    Ok(StoreObject {
        file: file.display().to_string(),
        file_bytes: metadata.len() + journal,
        channels,
        closed,
        archived,
        undelivered,
        payments,
        kinds: kinds.collect(),
        cut_behind,
        damage,
    })
}

/// The other file of a store.
fn journal_of(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

fn part_name(part: DamagedPart) -> &'static str {
    match part {
        DamagedPart::Card => "card",
        DamagedPart::Snapshot => "snapshot",
        DamagedPart::Record => "record",
        DamagedPart::Whole => "whole",
    }
}

fn name(stream: Stream) -> String {
    match stream {
        Stream::Channel(channel_id) => channel_id.to_string(),
        Stream::Payments => "payments".into(),
        Stream::Chain => "chain".into(),
        Stream::Finished(part) => format!("finished {part}"),
    }
}

fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        words = format!("{words}: {error}");
        next = error.source();
    }
    words
}

fn print_table(store: &StoreObject, out: &mut impl Write) -> io::Result<()> {
    let StoreObject { file, file_bytes, channels, closed, archived, undelivered, payments, .. } =
        store;
    writeln!(
        out,
        "{file}: {file_bytes} bytes; {channels} channels, {closed} closed, {archived} archived, \
         {undelivered} with something untold; {payments} payments in the book"
    )?;
    for (kind, KindObject { count, bytes }) in &store.kinds {
        writeln!(out, "  {kind:<28} {count:>8} {bytes:>12} bytes")?;
    }
    if let Some(position) = store.cut_behind {
        writeln!(out, "  a torn tail of the journal was cut behind position {position}")?;
    }
    for DamageObject { stream, position, part, what } in &store.damage {
        let stream = stream.as_deref().unwrap_or("somewhere");
        let position = position.map_or(String::new(), |position| format!(", position {position}"));
        let part = part.map_or(String::new(), |part| format!(", {part}"));
        writeln!(out, "  DAMAGED {stream}{part}{position}: {what}")?;
    }
    let is_sound = store.damage.is_empty();
    writeln!(out, "  {}", if is_sound { "all of it is sound" } else { "this store is damaged" })
}
