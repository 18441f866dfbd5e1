//! `lastword-monitor` as its user sees it: two nodes, one channel, real transactions.
#![cfg(test)]

mod archive;
mod balance;
mod bolt5;
mod breach;
mod card;
mod chain;
mod channel;
mod checklist;
mod deadline;
mod forget;
mod ledger;
mod matrix;
mod mempool;
mod museum;
mod odd;
mod offchain;
mod prop;
mod received;
mod refusals;
mod reorg;
mod spend;
mod splice;
mod theft;
mod twins;
mod world;
