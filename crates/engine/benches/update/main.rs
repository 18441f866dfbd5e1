//! What an update of both commitments costs by the number of pending HTLCs:
//!
//! `RUSTFLAGS="--cfg lastword_bench" cargo bench -p lastword-engine`
//!
//! Without that cfg there is nothing here, so that nobody who only tests builds criterion.
//! `docs/COST.md` says what it should be, and why.

#[cfg(lastword_bench)]
mod measure;

fn main() {
    #[cfg(lastword_bench)]
    measure::run();
}
