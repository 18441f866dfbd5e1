#![doc = include_str!("../README.md")]
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
pub use ledger::{Ledger, LedgerHead, LedgerState, Ledgers};
pub use log::{Frame, Place, StoreError, StoreErrorKind, Stream, SyncJob, UpdateLog};
pub use signer::{ChannelSigner, SignerError, SigningRequest};
pub use snapshot::{CardVisitor, Snapshot, SnapshotStore, Store, StoredCard};
