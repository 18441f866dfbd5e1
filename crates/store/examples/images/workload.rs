//! A store with a past that a seed decides, and what it said after each sync.

use lastword_ports::{Frame, SnapshotStore as _, Stream, UpdateLog as _};
use lastword_store::RedbStore;

use crate::pages::Pages;
use crate::recorder::{Promised, Recorder, Window};
use crate::scenario::{CHANNEL, Contents, Dice, OTHER, contents, sync};

const SYNCS: usize = 12;
/// One step in so many closes the store and opens it again.
const CLOSED_EVERY: u64 = 6;

/// What happened: the windows between the syncs of the disk, and what the store said.
pub(crate) struct Past {
    pub(crate) windows: Vec<Window>,
    /// By number, as the windows name them: the empty store, then what each sync was to keep.
    pub(crate) states: Vec<Contents>,
}

/// Runs a store; on a disk that lies nothing is ever safe.
pub(crate) fn run(dice: &mut Dice, is_lying: bool) -> Past {
    let disk = Recorder::holding(Pages::holding(&empty()), Promised::default(), is_lying);
    let mut store = RedbStore::open_backend(disk.clone()).expect("an empty store opens");
    let mut states = vec![contents(&mut store).expect("it reads")];
    for number in 1..=SYNCS {
        step(&mut store, dice);
        states.push(contents(&mut store).expect("it reads"));
        disk.promise(Promised { acknowledged: number - 1, asked: number });
        sync(&mut store);
        disk.promise(Promised { acknowledged: number, asked: number });
        if dice.draw().is_multiple_of(CLOSED_EVERY) {
            drop(store);
            store = RedbStore::open_backend(disk.clone()).expect("a closed store opens");
        }
    }
    drop(store);
    Past { windows: disk.into_windows(), states }
}

/// A new store, made on another disk: a store gets its name when it is whole.
fn empty() -> Vec<u8> {
    let disk = crate::disk::Disk::default();
    drop(RedbStore::open_backend(disk.clone()).expect("an empty disk takes a store"));
    disk.bytes()
}

/// Some batches, now and then a snapshot with what it makes unnecessary.
fn step(store: &mut RedbStore, dice: &mut Dice) {
    let streams = [CHANNEL, OTHER, Stream::Payments];
    for _ in 0..=dice.draw() % 3 {
        let body = vec![0x5A; small(dice, 1_800)];
        let card = vec![0xCA; small(dice, 200)];
        let stream = streams[small(dice, streams.len())];
        let mut batch = vec![Frame::Record { stream, body: &body }];
        if dice.draw().is_multiple_of(2) {
            batch.push(Frame::Card { stream, body: &card });
        }
        if dice.draw().is_multiple_of(4) {
            batch.push(Frame::Record { stream: Stream::Payments, body: &card });
            batch.push(Frame::Card { stream: Stream::Chain, body: &card });
        }
        store.append(&batch).expect("the disk does not fail");
    }
    if dice.draw().is_multiple_of(4) {
        let stream = streams[small(dice, streams.len())];
        let at = store.append(&[]).expect("the disk does not fail");
        store.put(stream, at, &vec![0x77; small(dice, 3_000)]).expect("the place is reached");
        store.prune(stream, at).expect("the place is reached");
    }
}

fn small(dice: &mut Dice, below: usize) -> usize {
    usize::try_from(dice.draw()).unwrap_or(usize::MAX) % below
}
