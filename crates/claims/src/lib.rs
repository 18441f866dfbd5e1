#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod channel;
mod child;
mod claims;
mod error;
mod fee;
mod offers;
mod package;
mod penalty;
mod presigned;
mod purse;
mod round;
mod schedule;
mod sweep;
mod terms;

pub use channel::MAX_SWEEPS_PER_TRANSACTION;
pub use claims::{Claims, Due, Refusal};
pub use error::{ClaimError, ClaimErrorKind};
pub use penalty::SECURITY_DELAY;
pub use purse::Wallet;
pub use round::{Offer, Round};
