#![doc = include_str!("../README.md")]

mod chain;
pub mod conformance;
mod crash;
mod event;
mod faulty;
mod late;
mod state;

pub use chain::{ChainFault, FaultyChain, FixedFees};
pub use crash::{CrashStore, Survivors, Writes};
pub use event::RecordingHandler;
pub use faulty::{Fault, FaultyStore, StoreCall};
pub use late::{LateStore, LateSyncs};
