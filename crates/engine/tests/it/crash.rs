//! Ends a node at a chosen boundary.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use lastword_engine::{Boundary, Driver, Observer};

use crate::node::{Stores, ports};
use crate::world::World;

/// What a node dies of.
struct Died;

/// Counts boundaries, and ends the process at the one that is set.
///
/// A clone is another handle on the same count.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bomb(Arc<Mutex<Count>>);

#[derive(Debug, Default)]
struct Count {
    passed: Vec<Boundary>,
    dies_at: Option<usize>,
}

impl Bomb {
    /// Makes the n-th boundary the last one, counted from 1 over the life of this bomb.
    pub(crate) fn at(boundary: usize) -> Self {
        let bomb = Self::default();
        bomb.0.lock().unwrap().dies_at = Some(boundary);
        bomb
    }

    /// Makes the n-th boundary from now the last one.
    pub(crate) fn set_in(&self, boundaries: usize) {
        let mut count = self.0.lock().unwrap();
        count.dies_at = Some(count.passed.len() + boundaries);
    }

    /// The boundaries so far.
    pub(crate) fn passed(&self) -> Vec<Boundary> {
        self.0.lock().unwrap().passed.clone()
    }
}

impl Observer for Bomb {
    fn at(&mut self, boundary: Boundary) {
        let is_last = {
            let mut count = self.0.lock().unwrap();
            count.passed.push(boundary);
            count.dies_at == Some(count.passed.len())
        };
        if is_last {
            // Without the hook, so that thousands of deaths print nothing.
            resume_unwind(Box::new(Died));
        }
    }
}

/// Runs `work`; `None` if the node died in it.
pub(crate) fn unless_died<R>(work: impl FnOnce() -> R) -> Option<R> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(result) => Some(result),
        Err(died) if died.is::<Died>() => None,
        Err(other) => resume_unwind(other),
    }
}

/// Starts a node on these very stores and runs `work` on it, until its n-th boundary after the
/// start; says whether it came to its end.
pub(crate) fn die_at(
    world: &World,
    stores: &Stores,
    boundary: usize,
    work: impl FnOnce(&mut Driver),
) -> bool {
    let bomb = Bomb::default();
    let mut ports = ports(world, stores);
    ports.observer = Box::new(bomb.clone());
    let mut driver = Driver::start(ports).unwrap();
    bomb.set_in(boundary);
    unless_died(move || work(&mut driver)).is_some()
}
