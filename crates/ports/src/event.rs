//! [`EventHandler`]: the user.

use alloc::boxed::Box;

use lastword_types::Event;
use thiserror::Error;

/// The user could not handle an event; it is told again later.
#[derive(Debug, Error)]
#[error("the event was not handled")]
pub struct HandlerError(#[source] pub Option<Box<dyn core::error::Error + Send + Sync>>);

/// Takes events.
///
/// The engine calls it on a thread of its own, one event at a time, those of one payment in order.
/// It may be slow or fail: only the events of the same payment wait for it.
///
/// # To be correct, an implementation must
///
/// - return `Ok` only when it will never need to see the event again;
/// - expect an event again that it handled shortly before a crash, identical field for field.
pub trait EventHandler: Send {
    /// Handles one event.
    ///
    /// # Errors
    ///
    /// [`HandlerError`]; the event is told again.
    fn handle(&mut self, event: &Event) -> Result<(), HandlerError>;
}
