#![doc = include_str!("../README.md")]

mod check;
mod disk;
mod forwards;
mod payments;
mod rules;
mod truth;
mod worlds;

pub use check::Found;
pub use rules::{Mode, Rule, Rules};
pub use worlds::{Extent, Name, run};
