//! `lastword-claims` as its user sees it: real commitments, verified by Bitcoin Core's interpreter.
#![cfg(test)]

mod bump;
mod child;
mod coins;
mod economy;
mod mempool;
mod museum;
mod order;
mod penalty;
mod prop;
mod requests;
mod scripts;
mod verify;
mod wallet;
mod world;
