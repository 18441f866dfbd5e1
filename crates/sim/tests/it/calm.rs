//! Runs in which nothing crashes.

use lastword_sim::oracle::judge;
use lastword_sim::run::Run;
use lastword_sim::scenario::Scenario;
use lastword_sim::seed::Seed;

use crate::support::{immortal, outside};

fn check(scenario: &Scenario) {
    let (outside, world) = outside(scenario);
    let mut node = immortal(scenario.seed, &outside, &world);
    let mut last = None;
    let outcome = Run::new(scenario, outside.clone(), &mut node)
        .run(&mut |place, step| last = Some((place, step)))
        .map_err(|error| format!("seed {}, at {last:?}: {}", scenario.seed.0, error.chain()))
        .unwrap();
    let judgement = judge(&outside.lock(), &outcome).unwrap();

    assert_eq!(judgement.violations, Vec::<String>::new(), "seed {}", scenario.seed.0);
    assert!(judgement.has_failed_payment());
    assert!(judgement.has_divided_payment());
    assert!(outcome.reorgs > 0);
    assert_eq!(judgement.told_again(), 0);
}

#[test]
fn a_small_run_without_crashes_ends_in_the_truth() {
    for seed in 0..3 {
        check(&Scenario::small(Seed(seed)));
    }
}

#[test]
fn a_demo_without_crashes_ends_in_the_truth() {
    for seed in 0..3 {
        check(&Scenario::demo(Seed(seed)));
    }
}
