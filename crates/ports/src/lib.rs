//! The narrow traits through which the layers of Lastword meet.
//!
//! Each port is small, object safe, synchronous and speaks in the words of its caller. What an
//! implementation must do to be correct is written at the trait and checked by a conformance suite
//! in `lastword-testkit`.
//!
//! | port | implemented by | called by |
//! |---|---|---|
//! | [`UpdateLog`], [`SnapshotStore`] | stores | the engine |
//! | [`Ledger`], [`Ledgers`] | monitors, the engine | the plan |
//! | [`PaymentBook`], [`ForwardBook`], [`ChannelBook`] | payments, a node | the plan |
//! | [`BlockSource`], [`Broadcaster`] | chain adapters | the engine |
//! | [`FeeSource`], [`CoinSource`], [`ChannelSigner`] | a wallet, a signer | claims |
//! | [`EventHandler`] | the user | the engine |
//!
//! [`Durable`], [`Proofs`] and [`Gated`] carry the rule "durable first, visible second" in types.
#![no_std]

extern crate alloc;

mod book;
mod chain;
mod durable;
mod event;
mod ledger;
mod log;
mod signer;
mod snapshot;

pub use book::{ChannelBook, ChannelEntry, ForwardBook, InboundState, PaymentBook, PaymentView};
pub use chain::{
    BlockSource, Broadcaster, ChainError, ChainErrorKind, Coin, CoinSource, FeeSource, Header,
    Urgency,
};
pub use durable::{Durable, Gated, LogId, Lsn, Proofs};
pub use event::{EventHandler, HandlerError};
pub use ledger::{Ledger, LedgerState, Ledgers};
pub use log::{Frame, Place, StoreError, StoreErrorKind, Stream, UpdateLog};
pub use signer::{ChannelSigner, SignerError, SigningRequest};
pub use snapshot::{Snapshot, SnapshotStore, Store};
