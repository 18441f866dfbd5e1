//! Tests of the engine on real channels, an in-process chain and stores that crash.

mod channel;
mod full;
mod node;
mod peer;
mod rows;
mod sending;
mod stores;
mod wallet;
mod world;
