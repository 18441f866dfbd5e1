//! What a plan over everything costs, beside a walk over the same entries:
//!
//! `RUSTFLAGS="--cfg lastword_bench" cargo bench -p lastword-engine --bench plan`
//!
//! Without that cfg there is nothing here, so that nobody who only tests builds criterion.
//! `docs/COST.md` says what it should be, and why.

#[cfg(lastword_bench)]
mod measure;

fn main() {
    #[cfg(lastword_bench)]
    measure::run();
}
