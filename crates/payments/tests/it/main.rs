//! The payment book and the outbox, through their public API.
#![cfg(test)]

mod book;
mod intent;
mod outbox;
mod prop;
mod tools;
