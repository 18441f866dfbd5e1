//! The plan, through its public API, on fake ledgers and a small book.
#![cfg(test)]

mod channels;
mod crash;
mod display;
mod forwards;
mod generations;
mod ldk_rows;
mod model;
mod one_part;
mod prop;
mod received;
mod retries;
mod tools;
mod traces;
mod two_parts;
mod world;
