//! What an update and a closing cost by the number of HTLCs:
//!
//! `cargo xtask bench --criterion monitor`
//!
//! Without the cfg `lastword_bench`, which that sets, there is nothing here, so that nobody who only
//! tests builds criterion. `docs/COST.md` says what it should be, and why.

#[cfg(lastword_bench)]
mod measure;
#[cfg(lastword_bench)]
#[path = "../../../../benches/shared.rs"]
mod shared;

fn main() {
    #[cfg(lastword_bench)]
    measure::run();
}
