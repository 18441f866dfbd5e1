#![doc = include_str!("../README.md")]
#![no_std]

extern crate alloc;

mod book;
mod error;
mod intent;
mod outbox;

pub use book::{Accepted, Payments};
pub use error::{CursorError, IntentError, PaymentError};
pub use intent::{MAX_ATTEMPTS, MAX_METADATA_BYTES, MAX_PARTS};
pub use outbox::Outbox;
