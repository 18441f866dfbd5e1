//! A store with a past that a seed decides, and what it said after each sync.

use lastword_ports::{
    Durable, Frame, SnapshotStore as _, StoreError, Stream, SyncJob, UpdateLog as _,
};
use lastword_store::RedbStore;

use crate::pages::Pages;
use crate::recorder::{Files, Promised, Recorder, Window};
use crate::scenario::{CHANNEL, Contents, Dice, OTHER, contents};

const SYNCS: usize = 24;
/// One step in so many closes the store and opens it again.
const CLOSED_EVERY: u64 = 10;

/// What happened: the windows between the syncs of the disks, and what the store said.
pub(crate) struct Past {
    pub(crate) windows: Vec<Window>,
    /// By number, as the windows name them: the empty store, then what each sync was to keep.
    pub(crate) states: Vec<Contents>,
}

/// Runs a store; on disks that lie nothing is ever safe.
pub(crate) fn run(dice: &mut Dice, is_lying: bool) -> Past {
    let disks = Recorder::holding(empty(), Promised::default(), is_lying);
    // From a checkpoint at each sync to one now and then.
    let size_max = small(dice, 14_000);
    let open = || {
        let mut store = disks.open().expect("a closed store opens");
        store.set_journal_size_max(size_max);
        store
    };
    let mut store = open();
    let mut states = vec![contents(&mut store).expect("it reads")];
    let mut jobs: Vec<(usize, SyncJob)> = Vec::new();
    let mut promised = Promised::default();
    for number in 1..=SYNCS {
        step(&mut store, dice);
        states.push(contents(&mut store).expect("it reads"));
        promised.asked = number;
        disks.promise(promised);
        let mut proven = None;
        match dice.draw() % 8 {
            0..3 => proven = Some((number, store.sync())),
            3 => proven = Some((number, store.checkpoint())),
            _ => jobs.push((number, store.begin_sync().expect("the disks do not fail"))),
        }
        if !jobs.is_empty() && dice.draw().is_multiple_of(2) {
            let (number, job) = jobs.swap_remove(small(dice, jobs.len()));
            acknowledge(&mut promised, proven.take());
            proven = (!dice.draw().is_multiple_of(4)).then(|| (number, job.run()));
        }
        acknowledge(&mut promised, proven);
        disks.promise(promised);
        if dice.draw().is_multiple_of(CLOSED_EVERY) {
            jobs.clear();
            let _proof = store.sync().expect("the disks do not fail");
            promised.acknowledged = number;
            disks.promise(promised);
            drop(store);
            store = open();
        }
    }
    drop((store, jobs));
    Past { windows: disks.into_windows(), states }
}

fn acknowledge(promised: &mut Promised, proven: Option<(usize, Result<Durable, StoreError>)>) {
    if let Some((number, result)) = proven {
        let _proof = result.expect("the disks do not fail");
        promised.acknowledged = promised.acknowledged.max(number);
    }
}

/// A new store, made on other disks: a store gets its name when it is whole.
fn empty() -> Files {
    let disks = crate::disk::Disks::default();
    drop(disks.opened());
    [&disks.database, &disks.journal].map(|disk| Pages::holding(&disk.bytes()))
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
