//! A part of the simulation for every day; more of it is `cargo xtask sim`.
#![cfg(test)]

use std::collections::BTreeSet;

use lastword_swarm::{Mark, Marks, Options, run_seed};

#[test]
fn no_seed_breaks_a_rule() {
    let (mut marks, mut steps) = (Marks::default(), 0);
    for seed in 0..12 {
        match run_seed(seed, &Options::default()) {
            Ok(report) => {
                marks.add(&report.marks);
                steps += report.steps;
            }
            Err(violation) => panic!("{violation}"),
        }
    }
    let met = Mark::ALL.len() - marks.missing().count();
    println!("figure: 12 seeds: {steps} steps, {met} of {} faults and deeds", Mark::ALL.len());
    assert!(marks.count(Mark::Crash) > 5 && marks.count(Mark::Sent) > 5, "{marks:?}");
}

#[test]
fn a_seed_runs_twice_alike_and_another_does_not() {
    let trace = |seed| run_seed(seed, &Options::default()).map(|report| report.trace).unwrap();
    assert_eq!(trace(7), trace(7));
    assert_ne!(trace(7), trace(8));
}

#[test]
fn a_step_draws_the_same_when_others_are_left_out() {
    let story = |keep: Option<BTreeSet<u32>>| {
        run_seed(3, &Options { keep, wants_story: true }).unwrap().story
    };
    let first = story(Some((0..60).collect()));
    let begins_alike = |other: &[String]| {
        let end = first.iter().position(|line| line.starts_with("from here on")).unwrap();
        other.starts_with(&first[..end])
    };
    assert!(begins_alike(&story(None)), "what comes later changes nothing before it");
    assert!(story(Some(BTreeSet::new())).len() < first.len());
}
