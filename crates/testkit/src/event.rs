//! [`RecordingHandler`]: a user who remembers, and who may fail.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lastword_ports::{EventHandler, HandlerError};
use lastword_types::Event;

/// An event handler that keeps what it was told, and fails when asked to.
///
/// A clone is another handle to the same record.
///
/// # Examples
///
/// ```
/// use lastword_ports::EventHandler;
/// use lastword_testkit::RecordingHandler;
/// use lastword_types::{Event, Generation, HtlcFailure, PaymentHash, PaymentId};
///
/// let event = Event::PaymentFailed {
///     payment_id: PaymentId([1; 32]),
///     generation: Generation([2; 16]),
///     payment_hash: PaymentHash([3; 32]),
///     reason: HtlcFailure::NeverSent,
/// };
/// let user = RecordingHandler::new();
/// user.fail_next(1);
/// let handler = user.clone();
/// assert!(handler.handle(&event).is_err());
/// assert!(handler.handle(&event).is_ok());
/// assert_eq!((user.told().len(), user.handled()), (2, vec![event]));
/// ```
#[derive(Debug, Clone, Default)]
pub struct RecordingHandler(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    told: Vec<(Event, bool)>,
    failures_left: usize,
}

impl RecordingHandler {
    /// Makes a handler that was told nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes the next calls fail, so many of them.
    pub fn fail_next(&self, calls: usize) {
        self.record().failures_left = calls;
    }

    /// Returns every event that it was called with, in order, also those where it failed.
    pub fn told(&self) -> Vec<Event> {
        self.record().told.iter().map(|(event, _)| event.clone()).collect()
    }

    /// Returns the events that it handled, in order.
    pub fn handled(&self) -> Vec<Event> {
        let record = self.record();
        let handled = record.told.iter().filter(|(_, is_handled)| *is_handled);
        handled.map(|(event, _)| event.clone()).collect()
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventHandler for RecordingHandler {
    fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let mut record = self.record();
        let is_handled = record.failures_left == 0;
        record.failures_left = record.failures_left.saturating_sub(1);
        record.told.push((event.clone(), is_handled));
        if is_handled { Ok(()) } else { Err(HandlerError(Some("told to fail".into()))) }
    }

    /// One at a time, so that what it was told has an order.
    fn at_once_max(&self) -> usize {
        1
    }
}
