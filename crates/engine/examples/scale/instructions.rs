//! One part of each hot path, done once, for a tool that counts instructions.
//!
//! `cargo xtask instructions` runs this under callgrind and counts what [`counted`] does: that number
//! does not depend on what else the machine has to do.

use std::hint::black_box;

use lastword_chain::RawBlock;
use lastword_engine::Driver;
use lastword_ports::LogId;
use lastword_store::MemoryStore;

use crate::undelivered::Monitors;
use crate::{Result, block, memory, restart, update};

/// The word by which a part is asked for.
pub(crate) const PART: &str = "--instructions";

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

/// Does one part.
pub(crate) fn run(part: &str) -> Result<()> {
    match part {
        "block" => {
            let (index, bytes) = (block::index(WATCHED), block::generated());
            let matches = counted(|| RawBlock::parse(bytes).map(|block| index.matches(&block)));
            assert!(matches?.is_empty(), "the block concerns nobody");
        }
        "update" => {
            let (monitor, bytes) = update::prepare(PENDING)?;
            drop(counted(|| update::take(monitor, &bytes)));
        }
        "restart" => {
            let mut store = MemoryStore::new(LogId([1; 16]));
            restart::generate(&mut store, OPEN, CLOSED)?;
            let ports = memory::ports(Box::new(store));
            let driver = counted(|| Driver::start(ports))?;
            assert_eq!(driver.damaged(), []);
        }
        "walk" => {
            let monitors = Monitors::new(PLANNED)?;
            assert!(counted(|| monitors.walk()) > 0, "there is something to tell");
        }
        "plan" => {
            let monitors = Monitors::new(PLANNED)?;
            drop(counted(|| monitors.plan()));
        }
        _ => return Err(format!("there is no part {part}").into()),
    }
    Ok(())
}
