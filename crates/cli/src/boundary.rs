//! Where the node stops: the n-th boundary of a kind.

use std::sync::{Arc, Mutex, PoisonError};

use lastword_engine::{Boundary, Observer};
use serde::{Deserialize, Serialize};

use crate::wire::{FromNode, ToNode, Wire};

/// A kind of boundary, as it goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Kind {
    /// A batch was appended.
    Append,
    /// A log was synced.
    Sync,
    /// Effects were released.
    Release,
    /// The user's handler returned.
    HandlerReturn,
    /// `ReleasePaymentComplete` became durable.
    PaymentReleased,
    /// A transaction was broadcast.
    Broadcast,
}

impl Kind {
    /// Every kind.
    pub(crate) const ALL: [Self; 6] = [
        Self::Append,
        Self::Sync,
        Self::Release,
        Self::HandlerReturn,
        Self::PaymentReleased,
        Self::Broadcast,
    ];

    fn of(boundary: Boundary) -> Self {
        match boundary {
            Boundary::Append => Self::Append,
            Boundary::Sync => Self::Sync,
            Boundary::Release => Self::Release,
            Boundary::HandlerReturn => Self::HandlerReturn,
            Boundary::PaymentReleased => Self::PaymentReleased,
            Boundary::Broadcast => Self::Broadcast,
        }
    }

    /// Returns it for a person.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Sync => "sync",
            Self::Release => "release of effects",
            Self::HandlerReturn => "handler return",
            Self::PaymentReleased => "release of a payment",
            Self::Broadcast => "broadcast",
        }
    }
}

/// Where a node stops: at the `count`-th boundary of `kind`, or at the `limit`-th of any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) kind: Kind,
    pub(crate) count: u32,
    pub(crate) limit: u32,
}

/// Counts boundaries; at the chosen one it says so and never returns.
pub(crate) struct Stopper {
    wire: Arc<Mutex<Wire>>,
    stop: Option<Stop>,
    of_kind: u32,
    of_any: u32,
}

impl Stopper {
    pub(crate) fn new(wire: Arc<Mutex<Wire>>, stop: Option<Stop>) -> Self {
        Self { wire, stop, of_kind: 0, of_any: 0 }
    }
}

impl Observer for Stopper {
    fn at(&mut self, boundary: Boundary) {
        let Some(stop) = self.stop else { return };
        let kind = Kind::of(boundary);
        self.of_any += 1;
        self.of_kind += u32::from(kind == stop.kind);
        if self.of_kind < stop.count && self.of_any < stop.limit {
            return;
        }
        let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        let stopped = FromNode::Stopped { kind, passed: self.of_any };
        // Nothing more is said until this process is killed; if the demo ends first, so does this.
        if wire.write(&stopped).is_ok() {
            while let Ok(Some(_)) = wire.read::<ToNode>() {}
        }
        std::process::exit(1);
    }
}
