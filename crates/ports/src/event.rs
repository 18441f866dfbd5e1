//! [`EventHandler`]: the user.

use alloc::boxed::Box;

use lastword_types::Event;
use thiserror::Error;

/// Events that a handler is given at once, unless it says otherwise.
const HANDLED_AT_ONCE: usize = 64;

/// The user could not handle an event; it is told again later.
#[derive(Debug, Error)]
#[error("the event was not handled")]
pub struct HandlerError(#[source] pub Option<Box<dyn core::error::Error + Send + Sync>>);

/// Takes events.
///
/// The engine calls it on threads of its own: the events of one payment in order, each after the
/// return from the one before; those of different payments at the same time. It may be slow, fail,
/// panic or never return: only the events of the same payment wait for it.
///
/// # To be correct, an implementation must
///
/// - return `Ok` only when it will never need to see the event again;
/// - expect an event again that it handled shortly before a crash, identical field for field.
///
/// Conformance: `lastword_testkit::conformance::event_handler(&mut MyHarness::new())`.
pub trait EventHandler: Send + Sync {
    /// Handles one event.
    ///
    /// # Errors
    ///
    /// [`HandlerError`]; the event is told again. A panic counts as one.
    fn handle(&self, event: &Event) -> Result<(), HandlerError>;

    /// Returns how many events it takes at once; 0 counts as 1. Calls that never return count.
    fn at_once_max(&self) -> usize {
        HANDLED_AT_ONCE
    }
}
