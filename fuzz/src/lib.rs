//! What the fuzz targets believe.
//!
//! Each function takes the bytes that the fuzzer made and panics if its belief does not hold. Built
//! with the feature `canary` each holds one thing for false that is true: a canary, which the
//! fuzzer has to find.

mod block;
mod canonical;
mod input;
mod monitor;
mod node;
mod store;

pub use block::raw_block;
pub use canonical::{
    book_mark, book_state, card, chain_tip, event, frame, monitor_record, monitor_state,
    payment_record,
};
pub use monitor::monitor;
pub use node::start;
pub use store::store;

/// Panics if this build has canaries and the fuzzer came to where one sits.
#[track_caller]
fn canary(is_there: bool) {
    assert!(!(cfg!(feature = "canary") && is_there), "the canary is found");
}
