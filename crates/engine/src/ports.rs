//! [`Ports`]: everything that a driver stands on.

use core::fmt;

use lastword_ports::{
    BlockSource, Broadcaster, ChannelBook, ChannelEntry, ChannelSigner, CoinSource, FeeSource,
    ForwardBook, InboundState, Store,
};
use lastword_types::{BlockHeight, HtlcKey};

/// The adapters that a driver owns and calls.
pub struct Ports {
    /// The log of the monitors and of the chain's tip.
    pub monitors: Box<dyn Store>,
    /// The log of the payment book; `None` keeps it in the log of the monitors, where an event
    /// handled and its releases are one append.
    pub books: Option<Box<dyn Store>>,
    /// Where blocks come from.
    pub source: Box<dyn BlockSource>,
    /// Where transactions go.
    pub broadcaster: Box<dyn Broadcaster>,
    /// Who signs.
    pub signer: Box<dyn ChannelSigner>,
    /// Who pays fees and takes sweeps in.
    pub coins: Box<dyn CoinSource>,
    /// What fees are worth today.
    pub fees: Box<dyn FeeSource>,
    /// The node's forwards.
    pub forwards: Box<dyn ForwardBook + Send>,
    /// The node's channels.
    pub channels: Box<dyn ChannelBook + Send>,
    /// Told of every boundary.
    pub observer: Box<dyn Observer>,
}

impl fmt::Debug for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ports").field("has_books", &self.books.is_some()).finish_non_exhaustive()
    }
}

/// A place between two steps of the one order where a process may die.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Boundary {
    /// A batch was appended.
    Append,
    /// A log was synced.
    Sync,
    /// A gate opened: effects may be acted on.
    Release,
    /// The user's handler returned.
    HandlerReturn,
    /// `ReleasePaymentComplete` became durable.
    PaymentReleased,
    /// A transaction was handed to the broadcaster.
    Broadcast,
}

/// How far a driver is with what may take long, for whoever waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// At a start, the cards and the payment book are read: from here on the chain can be followed.
    CardsRead {
        /// How many channels there are.
        channels: usize,
        /// How many of them are set apart.
        damaged: usize,
        /// How many monitors have to be read.
        wanted: usize,
    },
    /// At a start, some more of the monitors are read.
    MonitorsRead {
        /// How many by now.
        read: usize,
        /// Of how many.
        wanted: usize,
    },
    /// At its end, what has to be told and done is planned, and durable.
    Started,
    /// A block was taken in.
    Block {
        /// Its height.
        height: BlockHeight,
        /// How many channels it concerned.
        channels: usize,
    },
    /// A claim was offered to the network, the most urgent ones first.
    Claims {
        /// How many were offered for this tip.
        offered: usize,
        /// How many outputs, or groups of them, still wait for their turn.
        left: usize,
    },
}

/// Watches the driver pass its boundaries: for metrics, and for tests that crash there.
pub trait Observer: Send {
    /// Called right after the boundary was passed. It may never return; then the driver is dead
    /// and its stores hold what a crash would have left.
    fn at(&mut self, boundary: Boundary);

    /// Called whenever something long is a step further.
    fn progress(&mut self, _progress: Progress) {}
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn at(&mut self, _boundary: Boundary) {}
}

/// The forward book of a node that forwards nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoForwards;

impl ForwardBook for NoForwards {
    fn inbound_state(&self, _htlc: HtlcKey) -> InboundState {
        InboundState::Unknown
    }

    fn for_each_pending(&self, _visit: &mut dyn FnMut(HtlcKey)) {}
}

/// The channel book of a node that keeps its channels in the monitors alone.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoChannels;

impl ChannelBook for NoChannels {
    fn for_each_channel(&self, _visit: &mut dyn FnMut(ChannelEntry)) {}
}
