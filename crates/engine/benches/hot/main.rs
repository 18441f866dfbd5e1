//! What an update, a plan and a start cost by the number of HTLCs and of channels:
//!
//! `cargo xtask bench --criterion engine`
//!
//! Without the cfg `lastword_bench`, which that sets, there is nothing here, so that nobody who only
//! tests builds criterion. `docs/COST.md` says what it should be, and why.

#[cfg(lastword_bench)]
mod measure;
#[cfg(lastword_bench)]
#[path = "../../examples/quiet/mod.rs"]
mod quiet;
#[cfg(lastword_bench)]
#[path = "../../../../benches/shared.rs"]
mod shared;
#[cfg(lastword_bench)]
#[allow(dead_code, reason = "a report uses the rest")]
#[path = "../../examples/tape/mod.rs"]
mod tape;
#[cfg(lastword_bench)]
#[allow(dead_code, reason = "a report uses the rest")]
#[path = "../../examples/undelivered/mod.rs"]
mod undelivered;

fn main() {
    #[cfg(lastword_bench)]
    measure::run();
}
