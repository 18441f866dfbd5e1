//! [`Cursor`]: a reader's place in the outbox.

use serde::{Deserialize, Serialize};

/// A reader's place in the outbox of a node.
///
/// # Shape
///
/// Each start of the node begins a new epoch, and positions count from 1 in each. A reader who comes
/// with the cursor of another epoch reads from the start, and knows by
/// [`EventKey`](crate::EventKey) what it has handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// The start of the node.
    pub epoch: u64,
    /// The event, in the order in which events were first read.
    pub position: u64,
}
