#![doc = include_str!("../README.md")]

mod bitcoind;
mod index;
mod raw;
mod rpc;
mod table;
mod track;

pub use bitcoind::BitcoindSource;
pub use index::{Match, WatchIndex};
pub use raw::{MAX_BLOCK_BYTES, RawBlock, Undecodable};
pub use rpc::{RPC_TIMEOUT, RpcRefusal};
pub use track::{MAX_WALK, Nonsense, RECENT_BLOCKS, Step, TrackError, Tracker};
