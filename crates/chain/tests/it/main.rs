//! The public surface: the tracker, the index, and bitcoind as a source.

mod agreement;
mod bitcoind;
mod hostile;
mod http;
mod index;
#[cfg(test)]
mod package;
mod prop;
mod raw;
mod rpc_errors;
mod support;
mod track;
