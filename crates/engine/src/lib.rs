#![doc = include_str!("../README.md")]

mod act;
mod apart;
mod channels;
mod damage;
mod deliver;
mod driver;
mod engine;
mod error;
mod finished;
mod follow;
mod forward;
mod growth;
mod handled;
mod late;
mod logs;
mod order;
mod owed;
mod pay;
mod ports;
mod quiet;
mod receive;
mod stage;
mod start;
mod starting;
mod stats;
mod survey;
mod tend;

pub use damage::{Damage, DamagedPart};
pub use driver::{Driver, Request};
pub use engine::Engine;
pub use error::{BookDamage, EngineError};
pub use late::Ticket;
pub use ports::{Boundary, NoChannels, NoForwards, NoObserver, Observer, Ports, Progress};
pub use starting::Starting;
pub use stats::Stats;
pub use survey::{Amount, Survey, survey};
