//! [`Handlers`]: the user's handler, at work on several payments' events at once.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;

use lastword_ports::EventHandler;
use lastword_types::Event;

/// What became of an event that the handler was given.
#[derive(Debug)]
pub(crate) enum Returned {
    Handled(Event),
    /// It failed or panicked: the event is told again later.
    Failed(Event),
}

/// The user's handler, each call on a thread of its own.
///
/// # Shape
///
/// At most [`EventHandler::at_once_max`] calls run; one that never returns keeps its thread and its
/// place for ever, and takes nothing from the others.
pub(crate) struct Handlers {
    handler: Option<Arc<dyn EventHandler>>,
    free: usize,
    most: usize,
}

impl Handlers {
    /// Makes the handlers of an engine; without one nothing is given to anybody.
    pub(crate) fn new(handler: Option<Box<dyn EventHandler>>) -> Self {
        let most = handler.as_ref().map_or(0, |handler| handler.at_once_max().max(1));
        Self { handler: handler.map(Arc::from), free: most, most }
    }

    /// Says whether another event may be given.
    pub(crate) fn has_room(&self) -> bool {
        self.free > 0
    }

    /// Says whether no call runs.
    pub(crate) fn is_idle(&self) -> bool {
        self.free == self.most
    }

    /// Takes note that a call returned.
    pub(crate) fn returned(&mut self) {
        self.free = (self.free + 1).min(self.most);
    }

    /// Gives an event to the handler; what becomes of it is told to `then`, from another thread.
    ///
    /// Without a handler, or where no thread can be started, the event comes back.
    pub(crate) fn give(
        &mut self,
        event: Event,
        then: impl FnOnce(Returned) + Send + 'static,
    ) -> Option<Event> {
        let Some(handler) = self.handler.clone() else { return Some(event) };
        let given = event.clone();
        let work = move || then(call(&*handler, given));
        match thread::Builder::new().name("lastword-handler".to_owned()).spawn(work) {
            Ok(_) => {
                self.free -= 1;
                None
            }
            Err(error) => {
                tracing::error!(%error, "no thread for the event handler");
                Some(event)
            }
        }
    }
}

/// Calls the handler; a panic in it is a failure like any other.
fn call(handler: &dyn EventHandler, event: Event) -> Returned {
    // What the handler keeps is its own: it hears the event again, whatever state it left.
    match catch_unwind(AssertUnwindSafe(|| handler.handle(&event))) {
        Ok(Ok(())) => Returned::Handled(event),
        Ok(Err(error)) => {
            tracing::warn!(%error, "an event will be told again");
            Returned::Failed(event)
        }
        Err(_) => {
            tracing::error!("the event handler panicked; the event will be told again");
            Returned::Failed(event)
        }
    }
}
