//! Tests of the engine on real channels, an in-process chain and stores that crash.

mod channel;
mod node;
mod peer;
mod rows;
mod wallet;
mod world;
