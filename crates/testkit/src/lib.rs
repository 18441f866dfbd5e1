#![doc = include_str!("../README.md")]

mod crash;
mod event;
mod faulty;
mod state;

pub use crash::{CrashStore, Survivors, Writes};
pub use event::RecordingHandler;
pub use faulty::{Fault, FaultyStore, StoreCall};
