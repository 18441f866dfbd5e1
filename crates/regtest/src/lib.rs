#![doc = include_str!("../README.md")]

mod block;
mod chain;
mod mempool;
mod mine;
mod protocol;
mod reject;
mod remote;
mod rules;
mod server;
mod shared;

pub use block::{COINBASE_MATURITY, HALVING_INTERVAL, MAX_BLOCK_SIGOPS_COST, MAX_BLOCK_WEIGHT};
pub use block::{median_time, seal, subsidy};
pub use chain::Chain;
pub use mempool::Replacement;
pub use mine::BLOCK_SPACING_SECONDS;
pub use protocol::MAX_MESSAGE_BYTES;
pub use reject::{BlockReject, Reject};
pub use remote::{RemoteChain, RemoteError};
pub use rules::Unspent;
pub use server::{Server, serve};
pub use shared::SharedChain;
