//! The images of a past, each opened.

use std::collections::HashSet;

use crate::disk::Change;
use crate::pages;
use crate::recorder::{Files, Promised, Recorder, Window};
use crate::scenario::{Contents, Dice, contents};
use crate::workload::{self, Past};

/// With so many changes or fewer, every subset of them is tried.
const ALL_SUBSETS_OF: usize = 9;
/// Subsets that are drawn where there are too many.
const DRAWN: usize = 96;
/// A disk writes this much whole, or not.
const SECTOR: usize = 512;
/// One image in so many is crashed again while it is opened.
const AGAIN_EVERY: u64 = 8;

/// What was tried, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) seeds: u64,
    pub(crate) syncs: u64,
    pub(crate) images: u64,
    /// Images of the opening of an image.
    pub(crate) second: u64,
    /// Images that no other equals; the same bytes are opened once in each window.
    pub(crate) distinct: u64,
    pub(crate) lost: u64,
    pub(crate) unopened: u64,
    /// The first that was wrong, in words.
    pub(crate) first: Option<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.syncs += other.syncs;
        self.images += other.images;
        self.second += other.second;
        self.distinct += other.distinct;
        self.lost += other.lost;
        self.unopened += other.unopened;
        self.first = self.first.take().or(other.first);
    }
}

/// What becomes of one change in a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Lost,
    Kept,
    /// Of a write, these of its sectors reach the disk, by the bits of the number.
    Torn(u64),
}

/// Runs one store and opens every image of it.
pub(crate) fn seed(seed: u64, is_lying: bool, tally: &mut Tally) {
    // A generator of this kind stays at zero for ever, and needs some steps after a small number.
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let past = workload::run(&mut dice, is_lying);
    tally.seeds += 1;
    for (number, window) in past.windows.iter().enumerate() {
        tally.syncs += 1;
        let place = format!("seed {seed}, window {number}");
        explore(window, &past, &place, &mut dice, tally);
        if tally.first.is_some() {
            return;
        }
    }
}

fn explore(window: &Window, past: &Past, place: &str, dice: &mut Dice, tally: &mut Tally) {
    let mut seen = HashSet::new();
    for fates in every_fate(window.changes.len(), dice) {
        let files = image(window, &fates);
        tally.images += 1;
        if !seen.insert(pages::print(&files, &window.changes)) {
            continue;
        }
        tally.distinct += 1;
        let promised = Promised { acknowledged: window.first, asked: window.last };
        let disk = Recorder::holding(files, promised, false);
        let allowed = &past.states[window.first..=window.last];
        let result = open(&disk, allowed, tally);
        if let Err(what) = result {
            tally.first = Some(format!("{place}, {fates:?}: {what}"));
            return;
        }
        if !dice.draw().is_multiple_of(AGAIN_EVERY) {
            continue;
        }
        for window in disk.into_windows().iter().filter(|window| !window.changes.is_empty()) {
            let again: Vec<Fate> = window.changes.iter().map(|_| drawn(dice)).collect();
            tally.images += 1;
            tally.second += 1;
            let disk = Recorder::holding(image(window, &again), promised, false);
            if let Err(what) = open(&disk, allowed, tally) {
                tally.first = Some(format!("{place}, {fates:?}, then {again:?}: {what}"));
                return;
            }
        }
    }
}

/// Opens an image: it must say one of the things that it may.
fn open(disk: &Recorder, allowed: &[Contents], tally: &mut Tally) -> Result<(), String> {
    let mut store = disk.open().map_err(|error| {
        tally.unopened += 1;
        format!("it does not open: {error}")
    })?;
    let said = contents(&mut store).map_err(|error| {
        tally.unopened += 1;
        format!("it does not read: {error}")
    })?;
    if allowed.contains(&said) {
        return Ok(());
    }
    tally.lost += 1;
    let count = |contents: &Contents| contents.records.iter().map(Vec::len).sum::<usize>();
    let expected: Vec<usize> = allowed.iter().map(count).collect();
    Err(format!("{} records where {expected:?} may be", count(&said)))
}

/// Returns what a crash may do to these changes.
fn every_fate(count: usize, dice: &mut Dice) -> Vec<Vec<Fate>> {
    let fate = |is_kept| if is_kept { Fate::Kept } else { Fate::Lost };
    let mut all: Vec<Vec<Fate>> = Vec::new();
    if count <= ALL_SUBSETS_OF {
        let subsets = 0..1_u32 << count;
        all.extend(
            subsets.map(|subset| (0..count).map(|at| fate(subset >> at & 1 == 1)).collect()),
        );
    } else {
        all.extend((0..=count).map(|kept| (0..count).map(|at| fate(at < kept)).collect()));
        all.extend((0..count).map(|lost| (0..count).map(|at| fate(at != lost)).collect()));
        all.extend((0..count).map(|one| (0..count).map(|at| fate(at == one)).collect()));
        all.extend((0..DRAWN).map(|_| (0..count).map(|_| drawn(dice)).collect()));
    }
    // Each write torn, after everything before it and beside everything.
    for torn in 0..count {
        let sectors = dice.draw();
        let after = |at| if at == torn { Fate::Torn(sectors) } else { fate(at < torn) };
        let beside = |at| if at == torn { Fate::Torn(sectors) } else { Fate::Kept };
        all.push((0..count).map(after).collect());
        all.push((0..count).map(beside).collect());
    }
    all
}

fn drawn(dice: &mut Dice) -> Fate {
    match dice.draw() % 8 {
        0..3 => Fate::Lost,
        3..7 => Fate::Kept,
        _ => Fate::Torn(dice.draw()),
    }
}

/// Returns the files that a crash leaves.
fn image(window: &Window, fates: &[Fate]) -> Files {
    let mut files = window.base.clone();
    for ((file, change), fate) in window.changes.iter().zip(fates) {
        let bytes = &mut files[*file];
        match (fate, change) {
            (Fate::Lost, _) => {}
            (Fate::Kept, _) | (Fate::Torn(_), Change::Resize(_)) => bytes.apply(change),
            (Fate::Torn(sectors), Change::Write(offset, data)) => {
                for (at, sector) in sectors_of(*offset, data).enumerate() {
                    if sectors >> (at % 64) & 1 == 1 {
                        bytes.write(sector.0, sector.1);
                    }
                }
            }
        }
    }
    files
}

/// Cuts a write at the sectors of the disk, wherever in one it begins.
fn sectors_of(offset: usize, data: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let first = (SECTOR - offset % SECTOR).min(data.len());
    let (head, rest) = data.split_at(first);
    let later = rest.chunks(SECTOR).enumerate();
    let later = later.map(move |(number, part)| (offset + first + number * SECTOR, part));
    std::iter::once((offset, head)).chain(later)
}
