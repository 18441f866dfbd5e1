//! Every closing, with every format, every kind of HTLC, every place of it, every way its preimage
//! is learnt and every reorganisation: generated, and none left out but by a stated rule. In
//! every third case the monitor under test dies and comes back after every record.

mod case;
mod look;
mod play;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use case::{Case, NO_OUTPUT};
use lastword_types::CommitmentFormat;
use play::Play;

use crate::channel::FORMATS;

/// The monitor of every third case dies and comes back after every record.
const STRIDE: usize = 3;

/// What was played, and by which rule how much could not be.
#[derive(Default)]
struct Figure {
    cases: usize,
    steps: usize,
    states: BTreeSet<String>,
    cannot_be: BTreeMap<&'static str, usize>,
}

#[test]
fn the_closing_matrix_ends_every_htlc_once_and_claims_all_that_is_ours() {
    let mut all = Figure::default();
    thread::scope(|scope| {
        let threads = FORMATS.map(|format| scope.spawn(move || matrix_of(format)));
        for one in threads {
            let one = one.join().expect("every case of the format holds");
            all.cases += one.cases;
            all.steps += one.steps;
            all.states.extend(one.states);
            for (rule, count) in one.cannot_be {
                *all.cannot_be.entry(rule).or_default() += count;
            }
        }
    });
    for (rule, count) in &all.cannot_be {
        println!("cannot be, {count:3} times: {rule}");
    }
    println!(
        "figure: closing matrix: {} cases, {} steps, {} distinct final states, {} combinations \
         that cannot be; a crash after every record of every third case",
        all.cases,
        all.steps,
        all.states.len(),
        all.cannot_be.values().sum::<usize>()
    );
}

fn matrix_of(format: CommitmentFormat) -> Figure {
    let mut figure = Figure::default();
    for case in Case::all(format) {
        let dies = figure.cases.is_multiple_of(STRIDE);
        let play = case.cannot_be().map_or_else(|| Play::new(case, dies).ok_or(NO_OUTPUT), Err);
        match play {
            Err(rule) => *figure.cannot_be.entry(rule).or_default() += 1,
            Ok(play) => {
                let (steps, state) = play.run();
                figure.cases += 1;
                figure.steps += steps;
                figure.states.insert(state);
            }
        }
    }
    figure
}
