//! The commands of this repository: `cargo xtask`.
//!
//! One file for each command. Each prints what it does and ends with one summary line.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks")]

mod alone;
mod bench;
mod bitcoind;
mod bugs;
mod catalogue;
mod ci;
mod closings;
mod cost;
mod crash;
mod demo_real;
mod deps;
mod failures;
mod fuzz;
mod images;
mod instructions;
mod model;
mod mutants;
mod run;
mod sim;
mod soak;
mod sources;
mod spec;
mod table;
mod test;
mod vectors;
mod windows;

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask COMMAND

  test        every test of the workspace, with a real bitcoind where one can be had
  ci          formatting, clippy, docs, deps, the tables, then every test: what .ci/run runs
  deps        the workspace's edges against the table of layers
  spec        the requirements of the BOLTs against the tests; --json for a program
  failures    what went wrong elsewhere against the tests; --json for a program
  windows     the crash windows against the tests; --json for a program
  instructions  what a block, an update and a start cost under valgrind, against docs/instructions.txt;
              --save, --json, or --planted: with something slower in each, which must be seen
  images      every file that a crash may leave of a store; --images N, --base SEED, --lying, --json
  vectors     the golden files and damaged copies against a reader in Python; --check, --json, --every N
  crash       every crash of many small lives; --json, --scenario NAME, --second-every N, --real-keys,
              or --bug NAME: with a planted bug
  bugs        every planted bug, and how fast it is found; --json, or names of bugs
  sim         a small network under every fault at once; --seeds N, --base B, --minutes M, --seed S,
              --keep STEPS, --all-faults, --json
  soak        a long life of a node with 100,000 channels: memory flat, each payment its last word;
              --channels N, --blocks N, --seed S, --json; --keep-all has to be caught
  model       every state of a model of the rules, in three modes; --json for a program
  mutants     a sample of the mutants of what decides payments, against the tests;
              --seed S, --sample N; needs cargo-mutants
  fuzz        the fuzz targets; --smoke or --seconds N runs them, --canaries proves that each can find
              something, --json, or names of targets; needs a nightly compiler, so it is no part of ci
  alone       each crate packaged, built and tested outside the workspace
  bench       our figures beside LDK's, in one run; --json, --save, --engines, or ids of rows;
              --criterion [CRATE...] [-- ...] instead: the hot operations of each crate
  bitcoind    finds a bitcoind or brings one, and prints its path
  demo-real   the demo against that bitcoind; further arguments go to `lastword demo`;
              with --matrix first every kind of closing instead, and they go to `lastword closings`
  closings    every kind of closing with a crash at each of its boundaries; takes minutes";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next();
    let rest: Vec<String> = arguments.collect();
    let result = match command.as_deref() {
        Some("test") => test::run(&[]),
        Some("ci") => ci::run(),
        Some("deps") => deps::run(),
        Some("spec") => spec::run(&rest),
        Some("failures") => failures::catalogue().run(&rest),
        Some("windows") => windows::catalogue().run(&rest),
        Some("crash") => crash::run(&rest),
        Some("fuzz") => fuzz::run(&rest),
        Some("sim") => sim::run(&rest),
        Some("soak") => soak::run(&rest),
        Some("instructions") => instructions::run(&rest),
        Some("images") => images::run(&rest),
        Some("vectors") => vectors::run(&rest),
        Some("bugs") => bugs::run(&rest),
        Some("model") => model::run(&rest),
        Some("mutants") => mutants::run(&rest),
        Some("alone") => alone::run(&rest),
        Some("bench") => bench::run(&rest),
        Some("bitcoind") => bitcoind::run(),
        Some("closings") => closings::run(),
        Some("demo-real") => demo_real::run(&rest),
        Some(other) => Err(format!("unknown command `{other}`\n\n{USAGE}")),
        None => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}
