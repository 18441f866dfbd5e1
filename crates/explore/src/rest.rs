//! [`Rest`]: a node that stands still in the middle of its life, for whoever wants to damage it.

use std::sync::Arc;

use lastword_engine::{Driver, EngineError, NoObserver};
use lastword_ports::Store;
use lastword_testkit::{CrashStore, Survivors};
use lastword_types::BlockRef;

use crate::chain::{Blocks, Chain};
use crate::life::Life;
use crate::living::{Living, newborn};
use crate::node::start_on;
use crate::record::Case;
use crate::scenario::Scenario;

/// A node with one log for all that lived through a part of a scenario and was stopped.
///
/// # Examples
///
/// ```
/// use lastword_explore::{Rest, scenarios};
///
/// let rest = Rest::after(scenarios()[0], 2);
/// let driver = rest.start(Box::new(rest.store()))?;
/// assert_eq!(driver.damaged(), []);
/// # Ok::<(), lastword_engine::EngineError>(())
/// ```
#[derive(Debug)]
pub struct Rest {
    blocks: Arc<Blocks>,
    /// The tip at the end of its life.
    tip: BlockRef,
    store: CrashStore,
}

impl Rest {
    /// Lives through the first so many inputs of a scenario, or all of them if there are fewer.
    ///
    /// # Panics
    ///
    /// If the node fails where nothing was damaged: that is a bug of its own.
    #[must_use]
    pub fn after(scenario: Scenario, inputs: usize) -> Self {
        let life = Life::of(scenario);
        let stores = newborn(&life, true).expect("an undamaged node begins");
        let case = Case::new(life.payments.len(), false);
        let rise = Living::rise(&life, &stores, case, None);
        let mut living = rise.ok().expect("an undamaged node starts");
        for input in life.inputs.iter().take(inputs) {
            let result = living.take(input);
            assert!(result.is_ok(), "an undamaged node lives on");
        }
        drop(living);
        let (blocks, tip) = (Arc::clone(&life.blocks), life.last_tip());
        Self { blocks, tip, store: stores.monitors }
    }

    /// Returns a copy of what is on its disk.
    pub fn store(&self) -> CrashStore {
        self.store.image(Survivors::Everything)
    }

    /// Starts the node on a store, with the chain as it is at the end of its life.
    ///
    /// # Errors
    ///
    /// [`EngineError`], as [`Driver::start`].
    pub fn start(&self, store: Box<dyn Store>) -> Result<Driver, EngineError> {
        let chain = Chain::new(Arc::clone(&self.blocks), self.tip);
        start_on(store, None, &chain, Box::new(NoObserver))
    }
}
