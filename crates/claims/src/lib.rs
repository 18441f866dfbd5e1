#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod child;
mod claims;
mod error;
mod fee;
mod package;
mod penalty;
mod presigned;
mod purse;
mod sweep;

pub use claims::{Claims, Due, MAX_SWEEPS_PER_TRANSACTION};
pub use error::{ClaimError, ClaimErrorKind};
pub use penalty::SECURITY_DELAY;
pub use purse::Wallet;
