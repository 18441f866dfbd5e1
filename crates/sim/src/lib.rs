#![doc = include_str!("../README.md")]

pub mod channel;
pub mod closings;
pub mod error;
pub mod link;
pub mod messages;
pub mod node;
pub mod oracle;
pub mod outside;
pub mod peer;
pub mod record;
pub mod run;
pub mod scenario;
pub mod seed;
pub mod world;

pub use channel::closing;
pub use error::{SimError, Trying};
