#![doc = include_str!("../README.md")]

mod channels;
mod deliver;
mod driver;
mod engine;
mod error;
mod follow;
mod growth;
mod handled;
mod logs;
mod order;
mod pay;
mod ports;
mod start;
mod tend;

pub use driver::{Driver, Request};
pub use engine::Engine;
pub use error::EngineError;
pub use ports::{Boundary, NoChannels, NoForwards, NoObserver, Observer, Ports};
