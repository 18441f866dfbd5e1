//! The public surface of the in-process chain, rule by rule.

mod blocks;
mod pool;
mod prop;
mod remote;
mod scripts;
mod support;
mod transactions;
