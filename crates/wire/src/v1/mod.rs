//! The bodies of format version 1: what stands in each TLV, field by field, in wire order.
//!
//! A structure here never gains, loses or moves a field, and an enum gains variants only at its
//! end; what a record needs more is a new TLV. Leaf types of `lastword_types` that consist of
//! integers and byte arrays alone stand for themselves. Whatever holds keys, signatures, hashes,
//! transactions or lists has a structure here, because the bytes of those must not depend on how
//! another crate chooses to serialize them.

mod chain;
mod channel;
mod event;
mod funding;
mod htlc;
mod monitor;
mod past;
mod payment;
pub(crate) mod prim;
mod state;
mod transaction;
mod update;
