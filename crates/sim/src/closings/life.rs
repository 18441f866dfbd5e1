//! [`Life`]: who keeps the node alive, or lets it die and brings it back.

use lastword_engine::{Driver, NoObserver};
use lastword_ports::LogId;
use lastword_store::MemoryStore;

use super::stage::Stage;
use crate::error::{SimError, Trying as _};

/// The life of a node on a stage.
pub trait Life {
    /// Starts the node on what its stores hold.
    ///
    /// # Errors
    ///
    /// [`SimError`] if it does not start.
    fn start(&mut self, stage: &Stage) -> Result<(), SimError>;

    /// Does something with the node to its end. If the node dies of it, the node comes back and the
    /// same is done again.
    ///
    /// # Errors
    ///
    /// What the work says.
    fn with<R>(
        &mut self,
        stage: &Stage,
        work: impl FnMut(&mut Driver) -> Result<R, SimError>,
    ) -> Result<R, SimError>;

    /// Lets the node die and come back without its payment book, where that has a log of its own.
    ///
    /// # Errors
    ///
    /// [`SimError`] if it does not start.
    fn lose_book(&mut self, stage: &Stage) -> Result<(), SimError>;
}

/// A node that never dies.
#[derive(Debug, Default)]
pub struct Immortal(Option<Driver>);

impl Life for Immortal {
    fn start(&mut self, stage: &Stage) -> Result<(), SimError> {
        let store = MemoryStore::new(LogId([1; 16]));
        let ports = stage.ports(Box::new(store), None, Box::new(NoObserver))?;
        self.0 = Some(Driver::start(ports).trying("start the engine")?);
        Ok(())
    }

    fn with<R>(
        &mut self,
        _stage: &Stage,
        mut work: impl FnMut(&mut Driver) -> Result<R, SimError>,
    ) -> Result<R, SimError> {
        work(self.0.as_mut().ok_or(SimError::new("the node was not started"))?)
    }

    fn lose_book(&mut self, _stage: &Stage) -> Result<(), SimError> {
        Ok(())
    }
}
