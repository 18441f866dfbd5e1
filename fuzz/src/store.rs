//! A store whose files hold anything.

use std::io;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::sync::{Arc, Mutex, MutexGuard, Once, OnceLock, PoisonError};

use lastword_ports::{
    Frame, SnapshotStore as _, StoreError, StoreErrorKind, Stream, UpdateLog as _,
};
use lastword_store::RedbStore;
use lastword_types::ChannelId;
use redb::StorageBackend;

use crate::canary;
use crate::input::Input;

const CHANNEL: Stream = Stream::Channel(ChannelId([0xC1; 32]));
const OTHER: Stream = Stream::Channel(ChannelId([0xC2; 32]));
const STREAMS: [Stream; 4] = [CHANNEL, OTHER, Stream::Payments, Stream::Chain];

/// A disk is full here: a damaged file may ask for any length.
const DISK_BYTES: u64 = 16 << 20;
/// The most changes to a file in one run.
const CHANGES_MAX: usize = 64;

/// Believes that a store opens on anything, or refuses it with a typed error, and that what it then
/// says of each stream is an answer or a typed refusal.
///
/// # Panics
///
/// If it panics.
pub fn store(bytes: &[u8]) {
    static LAST: Mutex<String> = Mutex::new(String::new());
    static ONCE: Once = Once::new();
    let last = || LAST.lock().unwrap_or_else(PoisonError::into_inner);
    // libFuzzer's hook ends the process at every panic, those that the store catches too. So another
    // is in its place, and what comes through to here ends the process.
    ONCE.call_once(|| set_hook(Box::new(move |panic| *last() = panic.to_string())));
    let result = catch_unwind(AssertUnwindSafe(|| {
        let found = look(files_of(Input(bytes)));
        canary(found.is_some_and(|found| found.is_canary()));
    }));
    if result.is_err() {
        eprintln!("a panic came out: {}", last());
        std::process::abort();
    }
}

/// Makes a store's files of the fuzzer's bytes.
fn files_of(mut input: Input<'_>) -> Files {
    match input.byte() % 4 {
        0 => {
            let length = input.short();
            [input.take(length).to_vec(), input.0.to_vec()]
        }
        1 => [sound()[0].clone(), input.0.to_vec()],
        _ => damaged(&mut input),
    }
}

/// The database and the journal of a store.
type Files = [Vec<u8>; 2];

/// Returns the files of a store with a past.
fn sound() -> &'static Files {
    static SOUND: OnceLock<Files> = OnceLock::new();
    SOUND.get_or_init(past)
}

/// Applies changes to the files of a store with a past.
fn damaged(input: &mut Input<'_>) -> Files {
    let mut files = sound().clone();
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            break;
        }
        let shape = input.byte();
        let file = &mut files[usize::from(shape >> 7)];
        let at = usize::from(input.byte()) << 16 | input.short();
        let Some(at) = at.checked_rem(file.len()) else { continue };
        let count = usize::from(shape & 0x0F) + 1;
        let end = (at + count).min(file.len());
        match shape >> 4 & 7 {
            // The file ends here.
            7 => file.truncate(at.max(1)),
            // A page moves.
            6 => {
                let to = usize::from(input.byte()) << 12;
                let page = at & !0xFFF;
                if page + 0x1000 <= file.len() && to + 0x1000 <= file.len() {
                    file.copy_within(page..page + 0x1000, to);
                }
            }
            _ => {
                let change = input.take(end - at);
                file[at..at + change.len()].copy_from_slice(change);
            }
        }
    }
    files
}

/// Makes a store with several syncs, snapshots and prunes behind it, of which some are in its
/// database and some in its journal.
fn past() -> Files {
    let disks = [Disk::default(), Disk::default()];
    let mut store =
        RedbStore::open_backends(disks[0].clone(), disks[1].clone()).expect("empty disks");
    for round in 0..4_u8 {
        for number in 0..6_u8 {
            let body = vec![round * 6 + number; 20 + usize::from(number) * 40];
            let stream = if number % 3 == 0 { OTHER } else { CHANNEL };
            let card = [round, number];
            let batch = [
                Frame::Record { stream, body: &body },
                Frame::Card { stream, body: &card },
                Frame::Record { stream: Stream::Payments, body: &body[..10] },
                Frame::Card { stream: Stream::Chain, body: &card },
            ];
            store.append(&batch).expect("it works");
        }
        let at = store.sync().expect("it works").upto();
        if round % 2 == 0 {
            store.put(CHANNEL, at, &[0x77; 500]).expect("it works");
            store.prune(CHANNEL, at).expect("it works");
        }
        if round == 1 {
            let _durable = store.checkpoint().expect("it works");
        }
    }
    let proof = store.sync().expect("it works");
    // A crash here leaves both files as they are; closing may write on.
    let files = disks.each_ref().map(|disk| disk.bytes().clone());
    drop((store, proof));
    files
}

/// What became of a damaged store.
#[derive(Default)]
struct Found {
    damaged_streams: Vec<Stream>,
    faults: usize,
}

impl Found {
    /// One channel alone is damaged, in a place that only its own bytes can tell of.
    fn is_canary(&self) -> bool {
        self.damaged_streams == [OTHER] && self.faults == 1
    }
}

/// Opens the files and asks for all that is in them.
fn look(files: Files) -> Option<Found> {
    let [database, journal] = files.map(Disk::holding);
    let opened = RedbStore::open_backends(database, journal);
    let mut store = opened.map_err(|error| typed(&error)).ok()?;
    let mut found = Found::default();
    for stream in STREAMS {
        let mut last = None;
        let result = store.replay(stream, None, &mut |lsn, _| {
            assert!(last.is_none_or(|last| last < lsn.position), "positions rise");
            last = Some(lsn.position);
            ControlFlow::Continue(())
        });
        if let Err(error) = result {
            typed(&error);
            found.damaged_streams.push(stream);
        }
        judge(store.latest(stream));
    }
    let cards = store.cards(&mut |card| judge(card));
    judge(cards);
    let verified = store.verify(&mut |fault| {
        typed(&fault);
        found.faults += 1;
    });
    judge(verified);
    // It may be written to, or says that it may not.
    let written = store.append(&[Frame::Record { stream: OTHER, body: b"more" }]);
    if written.map_err(|error| typed(&error)).is_ok() {
        judge(store.sync());
    }
    Some(found)
}

/// Takes an answer, or a refusal that a caller can act on.
fn judge<T>(answer: Result<T, StoreError>) {
    if let Err(error) = answer {
        typed(&error);
    }
}

/// Asserts that an error is one that a caller can act on.
fn typed(error: &StoreError) {
    match error.kind {
        StoreErrorKind::Corrupt
        | StoreErrorKind::Refused
        | StoreErrorKind::Full
        | StoreErrorKind::Retry
        | StoreErrorKind::Poisoned => {}
        StoreErrorKind::Fenced => panic!("nobody else has the file"),
    }
    assert!(!error.to_string().is_empty());
}

/// A file in memory.
#[derive(Debug, Clone, Default)]
struct Disk(Arc<Mutex<Vec<u8>>>);

impl Disk {
    fn holding(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }

    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns where a part of the file lies, if the disk is that large.
fn part(offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
    let start = usize::try_from(offset).ok().filter(|_| offset <= DISK_BYTES);
    let start = start.ok_or(io::ErrorKind::StorageFull)?;
    let end = start.checked_add(length).ok_or(io::ErrorKind::StorageFull)?;
    Ok(start..end)
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes().len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let range = part(offset, out.len())?;
        out.copy_from_slice(self.bytes().get(range).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let length = part(len, 0)?.end;
        self.bytes().resize(length, 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let range = part(offset, data.len())?;
        let mut bytes = self.bytes();
        if bytes.len() < range.end {
            bytes.resize(range.end, 0);
        }
        bytes[range].copy_from_slice(data);
        Ok(())
    }
}
