//! Tests of the engine on real channels, an in-process chain and stores that crash.

mod channel;
mod crash;
mod full;
mod idle;
mod node;
mod peer;
mod reorg;
mod rows;
mod sending;
mod stores;
mod updates;
mod wallet;
mod world;
