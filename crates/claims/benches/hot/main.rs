//! What claims cost by the number of HTLCs:
//!
//! `cargo xtask bench --criterion claims`
//!
//! Without the cfg `lastword_bench`, which that sets, there is nothing here, so that nobody who only
//! tests builds criterion. `docs/COST.md` says what it should be, and why.

#[cfg(lastword_bench)]
mod measure;
#[cfg(lastword_bench)]
#[path = "../../../../benches/shared.rs"]
mod shared;
#[cfg(lastword_bench)]
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/wallet.rs"]
mod wallet;
#[cfg(lastword_bench)]
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/world.rs"]
mod world;

fn main() {
    #[cfg(lastword_bench)]
    measure::run();
}
