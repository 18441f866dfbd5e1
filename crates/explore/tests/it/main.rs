//! A part of the exploration for every day; the whole of it is `cargo xtask crash`.
#![cfg(test)]

use std::collections::BTreeSet;

use lastword_explore::{Counts, Explorer, Options, Scenario, scenarios};

const CALM: Options =
    Options { first_every: 1, second_every: 0, is_lying_disk: false, until: None };

fn explore(options: Options, wanted: impl Fn(usize, &Scenario) -> bool) -> (Counts, usize) {
    let mut explorer = Explorer::new(options);
    let mut counts = Counts::default();
    for (at, scenario) in scenarios().into_iter().enumerate() {
        for is_one in [true, false] {
            if wanted(at, &scenario) {
                match explorer.explore(scenario, is_one) {
                    Ok(more) => counts.add(more),
                    Err(violation) => panic!("{violation}"),
                }
            }
        }
    }
    (counts, explorer.final_states())
}

#[test]
fn every_scenario_has_a_name_of_its_own() {
    let names: BTreeSet<String> = scenarios().iter().map(Scenario::to_string).collect();
    assert_eq!(names.len(), scenarios().len());
    assert!(names.len() >= 240, "only {}", names.len());
}

/// One scenario in each forty: every boundary, every image, every version of the book, and a second
/// crash in one recovery of each forty.
#[test]
fn no_crash_changes_the_last_word() {
    let options = Options { second_every: 40, ..CALM };
    let (counts, final_states) = explore(options, |at, _| at % 40 == 7 && at < 240);
    println!("figure: explore: {} crashes of {} lives", counts.cases, counts.scenarios);
    println!("figure: explore: {} of them risen from", counts.risen);
    println!("figure: explore: {final_states} final states");
    assert!(counts.scenarios >= 12 && counts.cases > 5_000, "{counts:?}");
    println!("figure: explore: {} events compared", counts.compared);
    assert!(counts.compared > 1_000, "{counts:?}");
    assert!(counts.versions > 0 && final_states > 12, "{counts:?}");
}

/// A disk that loses what it said was durable: the explorer must notice, or it would notice nothing.
#[test]
fn a_disk_that_lies_is_found_out() {
    let options = Options { is_lying_disk: true, ..CALM };
    let mut explorer = Explorer::new(options);
    let found = scenarios()
        .into_iter()
        .take(20)
        .filter(|scenario| explorer.explore(*scenario, false).is_err())
        .count();
    assert!(found > 10, "only {found} of 20 scenarios");
}
