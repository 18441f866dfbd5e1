#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod action;
mod channel;
mod forward;
mod gather;
mod payment;
mod plan;
mod reason;
mod received;
mod status;
mod story;

pub use action::{Action, Plan, Planned};
pub use plan::{Scope, View, may_drop, plan};
pub use reason::Reason;
pub use status::{LivePayment, PartStatus, PaymentStatus, RetryOwed, retry_owed, status};
