//! `cargo xtask ci`: everything that must hold before a change lands, in order of cost.

use crate::instructions::{self, Ran};
use crate::run::{cargo, check};
use crate::{crash, deps, failures, images, sim, soak, spec, test, vectors, windows};

/// Runs it.
pub(crate) fn run() -> Result<(), String> {
    println!("ci: formatting");
    check(&mut cargo(&["fmt", "--all", "--", "--check"]))?;
    println!("ci: the edges between crates");
    deps::run()?;
    println!("ci: the tests against requirements, failures and windows");
    spec::run(&[])?;
    failures::catalogue().run(&[])?;
    windows::catalogue().run(&[])?;
    println!("ci: clippy");
    check(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    println!("ci: docs");
    check(cargo(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    println!("ci: the golden files against a reader in another language");
    vectors::run(&["--every".to_owned(), "16".to_owned()])?;
    println!("ci: every file that a crash may leave of a store");
    images::run(&[])?;
    images::run(&["--lying".to_owned()])?;
    println!("ci: every crash of many small lives");
    crash::run(&["--second-every".to_owned(), "64".to_owned()])?;
    println!("ci: a small network under every fault at once");
    sim::run(&["--seeds".to_owned(), sim::CI_SEEDS.to_owned(), "--all-faults".to_owned()])?;
    println!("ci: a long life, made short");
    soak::run(&soak::CI.map(str::to_owned))?;
    println!("ci: what a block, an update, a start and a plan cost in instructions");
    let skipped = match instructions::guard(&[])? {
        Ran::Counted => vec![],
        Ran::Skipped(why) => vec![why],
    };
    test::run(&skipped)
}
