//! [`Shell`]: how a node calls the engine, whether it runs on this thread or on its own.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use lastword_engine::{Driver, Engine, NoChannels, NoForwards, Observer, Ports};
use lastword_ports::{BlockSource, Broadcaster, EventHandler, HandlerError, Store};
use lastword_types::Event;

use super::node_signer;
use crate::error::{SimError, Trying as _};
use crate::link::{FixedFees, Line, LinkedWallet};
use crate::seed::{Seed, Wallet};

/// The calls that a node makes.
pub trait Shell {
    /// Runs a closure with the driver.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the engine stopped.
    fn with<R: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut Driver) -> R + Send + 'static,
    ) -> Result<R, SimError>;

    /// Returns when every event that is due was handled.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the engine stopped or failed.
    fn deliver(&mut self) -> Result<(), SimError>;
}

/// The synchronous driver on this thread.
#[derive(Debug)]
pub struct Direct {
    driver: Driver,
    line: Line,
}

impl Direct {
    /// Starts the driver on its stores.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the engine does not start.
    pub fn start(ports: Ports, line: Line) -> Result<Self, SimError> {
        Ok(Self { driver: Driver::start(ports).trying("start the engine")?, line })
    }
}

impl Shell for Direct {
    fn with<R: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut Driver) -> R + Send + 'static,
    ) -> Result<R, SimError> {
        Ok(call(&mut self.driver))
    }

    fn deliver(&mut self) -> Result<(), SimError> {
        while let Some(event) = self.driver.next_event() {
            let is_handled = self.line.tell(&event).is_ok();
            self.driver.event_returned(&event, is_handled).trying("record a handled event")?;
        }
        Ok(())
    }
}

/// The engine on its own threads, called from a thread that may block.
///
/// Its handler waits until the node has nothing else to do: so a run passes its boundaries in the
/// same order each time, although several threads take part.
#[derive(Debug)]
pub struct Threaded {
    engine: Engine,
    runtime: tokio::runtime::Handle,
    gate: Arc<Gate>,
}

/// Lets the handler work, or makes it wait.
#[derive(Debug, Default)]
struct Gate {
    is_open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    fn set(&self, is_open: bool) {
        *self.is_open.lock().unwrap_or_else(PoisonError::into_inner) = is_open;
        self.changed.notify_all();
    }

    fn wait(&self) {
        let mut is_open = self.is_open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_open {
            is_open = self.changed.wait(is_open).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// The line as a handler behind a gate.
struct GatedHandler {
    gate: Arc<Gate>,
    line: Line,
}

impl EventHandler for GatedHandler {
    fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        self.gate.wait();
        self.line.handle(event)
    }

    /// One at a time, so that a run passes its boundaries in the same order each time.
    fn at_once_max(&self) -> usize {
        1
    }
}

impl Threaded {
    /// Starts the engine; the line is its event handler.
    ///
    /// # Errors
    ///
    /// [`SimError`] if the engine does not start.
    pub fn start(
        runtime: tokio::runtime::Handle,
        ports: Ports,
        line: Line,
    ) -> Result<Self, SimError> {
        let gate = Arc::new(Gate::default());
        let handler = Box::new(GatedHandler { gate: gate.clone(), line });
        let engine = runtime.block_on(Engine::start(ports, handler)).trying("start the engine")?;
        Ok(Self { engine, runtime, gate })
    }
}

impl Shell for Threaded {
    fn with<R: Send + 'static>(
        &mut self,
        call: impl FnOnce(&mut Driver) -> R + Send + 'static,
    ) -> Result<R, SimError> {
        self.runtime.block_on(self.engine.call(call)).trying("call the engine")
    }

    fn deliver(&mut self) -> Result<(), SimError> {
        self.gate.set(true);
        let idle = self.runtime.block_on(self.engine.when_idle());
        self.gate.set(false);
        idle.trying("wait for the engine")
    }
}

/// What differs between the nodes of a run.
pub struct Stand {
    /// The log of the monitors.
    pub monitors: Box<dyn Store>,
    /// The log of the payment book.
    pub books: Option<Box<dyn Store>>,
    /// Where blocks come from.
    pub source: Box<dyn BlockSource>,
    /// Where transactions go.
    pub broadcaster: Box<dyn Broadcaster>,
    /// Who is told of every boundary.
    pub observer: Box<dyn Observer>,
}

/// Returns the ports of a node of this seed.
pub fn node_ports(seed: Seed, line: &Line, stand: Stand) -> Ports {
    Ports {
        monitors: stand.monitors,
        books: stand.books,
        source: stand.source,
        broadcaster: stand.broadcaster,
        signer: Box::new(node_signer(seed)),
        coins: Box::new(LinkedWallet::new(line.clone(), seed.wallet(Wallet::Node))),
        fees: Box::new(FixedFees),
        forwards: Box::new(NoForwards),
        channels: Box::new(NoChannels),
        observer: stand.observer,
    }
}
