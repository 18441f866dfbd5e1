#![doc = include_str!("../README.md")]

mod bitcoind;
mod index;
mod rpc;
mod track;

pub use bitcoind::BitcoindSource;
pub use index::WatchIndex;
pub use rpc::{RPC_TIMEOUT, RpcRefusal};
pub use track::{MAX_WALK, Nonsense, RECENT_BLOCKS, Step, TrackError, Tracker};
