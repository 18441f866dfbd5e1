//! One part of each hot path, done once, for a tool that counts instructions.
//!
//! `cargo xtask instructions` runs this under callgrind and counts what [`counted`] does: that number
//! does not depend on what else the machine has to do.

use std::error::Error;
use std::hash::{BuildHasher as _, RandomState};
use std::hint::black_box;

use lastword_chain::{RawBlock, Undecodable};
use lastword_engine::Driver;
use lastword_ports::{LogId, SnapshotStore as _};
use lastword_store::MemoryStore;
use lastword_wire::decode_card;

use crate::undelivered::Monitors;
use crate::{Result, block, quiet, restart, update};

/// The word by which a part is asked for.
pub(crate) const PART: &str = "--instructions";
/// The word by which the same is asked for with something slower in it.
pub(crate) const PLANTED: &str = "--planted-slowdown";

const WATCHED: u32 = 10_000;
const PENDING: u32 = 100;
const OPEN: u32 = 2_000;
const CLOSED: u32 = 20;
const PLANNED: u32 = 50;

/// What is counted; its name is how the tool finds it.
#[inline(never)]
fn counted<R>(work: impl FnOnce() -> R) -> R {
    black_box(work())
}

/// Does one part; with something slower in it if that is planted, which the guard must see.
pub(crate) fn run(part: &str, is_planted: bool) -> Result<()> {
    match part {
        "block" => {
            let (index, bytes) = (block::index(WATCHED), block::generated());
            let hasher = RandomState::new();
            let matches = counted(|| {
                let block = RawBlock::parse(bytes)?;
                if is_planted {
                    // One more hash of each input.
                    for place in 0..block.transaction_count() {
                        for spent in block.spends(place) {
                            black_box(hasher.hash_one(spent));
                        }
                    }
                }
                Ok::<_, Undecodable>(index.matches(&block))
            });
            assert!(matches?.is_empty(), "the block concerns nobody");
        }
        "update" => {
            let (monitor, bytes) = update::prepare(PENDING)?;
            drop(counted(|| {
                // One clone of the monitor.
                let planted = is_planted.then(|| black_box(monitor.clone()));
                (update::take(monitor, &bytes), planted)
            }));
        }
        "restart" => {
            let mut store = MemoryStore::new(LogId([1; 16]));
            restart::generate(&mut store, OPEN, CLOSED)?;
            let driver = counted(|| {
                if is_planted {
                    // One more reading of each card.
                    store.cards(&mut |card| {
                        drop(card.map(|card| black_box(decode_card(card.body))));
                    })?;
                }
                Ok::<_, Box<dyn Error>>(Driver::start(quiet::ports(Box::new(store)))?)
            })?;
            assert_eq!(driver.damaged(), []);
        }
        "walk" => {
            let monitors = Monitors::new(PLANNED)?;
            let decided = counted(|| {
                // One more look at what is undelivered in one of ten monitors.
                let planted = if is_planted { monitors.walk_every(10) } else { 0 };
                monitors.walk() + planted
            });
            assert!(decided > 0, "there is something to tell");
        }
        "plan" => {
            let monitors = Monitors::new(PLANNED)?;
            drop(counted(|| {
                let plan = monitors.plan();
                // One clone of each action.
                let planted = is_planted.then(|| black_box(plan.clone()));
                (plan, planted)
            }));
        }
        _ => return Err(format!("there is no part {part}").into()),
    }
    Ok(())
}
