//! Tests of the engine on real channels, an in-process chain and stores that crash.
#![cfg(test)]

mod archive;
mod books;
mod breach;
mod cards;
mod channel;
mod claim;
mod crash;
mod damage;
mod deadline;
mod forget;
mod full;
mod gate;
mod handle;
mod idle;
mod inbound;
mod late;
mod matrix;
mod mempool;
mod model;
mod node;
mod package;
mod peer;
mod progress;
mod quiet;
mod reorg;
mod retry;
mod rows;
mod sending;
mod siblings;
mod source;
mod stores;
mod together;
mod updates;
mod wallet;
mod world;
