//! What reading and writing updates and snapshots cost by the number of HTLCs:
//!
//! `cargo xtask bench --criterion wire`
//!
//! Without the cfg `lastword_bench`, which that sets, there is nothing here, so that nobody who only
//! tests builds criterion. `docs/COST.md` says what it should be, and why.

#[cfg(lastword_bench)]
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/book.rs"]
mod book;
#[cfg(lastword_bench)]
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/build.rs"]
mod build;
#[cfg(lastword_bench)]
mod measure;
#[cfg(lastword_bench)]
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/samples.rs"]
mod samples;
#[cfg(lastword_bench)]
#[path = "../../../../benches/shared.rs"]
mod shared;
#[cfg(lastword_bench)]
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/it/terms.rs"]
mod terms;

fn main() {
    #[cfg(lastword_bench)]
    measure::run();
}
