//! Runs in which nothing crashes.

use lastword_sim::oracle::{PartEnd, judge};
use lastword_sim::run::Run;
use lastword_sim::scenario::Scenario;
use lastword_sim::seed::Seed;

use crate::support::{FORMATS, immortal, outside};

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

#[test]
fn a_peer_that_breaks_its_word_keeps_nothing_in_any_format() {
    for (seed, format) in (0..).zip(FORMATS) {
        let scenario = Scenario::breach(Seed(seed), format);
        let (outside, world) = outside(&scenario);
        let mut node = immortal(scenario.seed, &outside, &world);
        let outcome = Run::new(&scenario, outside.clone(), &mut node).run(&mut |_, _| {}).unwrap();
        let judgement = judge(&outside.lock(), &outcome).unwrap();

        assert_eq!(judgement.violations, Vec::<String>::new(), "{format:?}");
        assert_eq!(outcome.breaches(), 1, "{format:?}");
        let ends: Vec<_> = judgement.lines.iter().flat_map(|line| &line.parts).collect();
        // The peer took one, and lost it again.
        let known = [&PartEnd::Claimed, &PartEnd::Punished, &PartEnd::FulfilledByMessage];
        assert_eq!(ends, known, "{format:?}");
        assert_eq!(outcome.accounts[0].theirs_sat, 0, "{format:?}");
        assert_eq!(outcome.accounts[0].theirs_max_sat, 0, "{format:?}");
    }
}

/// HTLCs stand before a splice, come while two tries of it wait, and end after it: on the funding
/// that the second try brought.
#[test]
fn a_spliced_channel_pays_on_and_closes_on_its_new_funding() {
    for (seed, format) in (0..).zip(FORMATS) {
        let scenario = Scenario::splice(Seed(seed), format);
        let (outside, world) = outside(&scenario);
        let mut node = immortal(scenario.seed, &outside, &world);
        let outcome = Run::new(&scenario, outside.clone(), &mut node).run(&mut |_, _| {}).unwrap();
        let judgement = judge(&outside.lock(), &outcome).unwrap();

        assert_eq!(judgement.violations, Vec::<String>::new(), "{format:?}");
        let ends: Vec<_> = judgement.lines.iter().flat_map(|line| &line.parts).collect();
        let known = [
            &PartEnd::Claimed,
            &PartEnd::FulfilledByMessage,
            &PartEnd::TimedOut,
            &PartEnd::FailedByMessage,
            &PartEnd::TimedOut,
        ];
        assert_eq!(ends, known, "{format:?}");
        let spec = scenario.channels[0];
        let first_sat = (spec.local_msat.0 + spec.remote_msat.0) / 1_000;
        assert_eq!(outcome.accounts[0].funding_sat, first_sat - 52_000, "{format:?}");
        assert!(outcome.accounts[0].is_settled(), "{format:?}");
    }
}

#[test]
fn a_peer_that_breaks_its_word_on_the_funding_before_a_splice_keeps_nothing() {
    for (seed, format) in (0..).zip(FORMATS) {
        let scenario = Scenario::unsplice(Seed(seed), format);
        let (outside, world) = outside(&scenario);
        let mut node = immortal(scenario.seed, &outside, &world);
        let outcome = Run::new(&scenario, outside.clone(), &mut node).run(&mut |_, _| {}).unwrap();
        let judgement = judge(&outside.lock(), &outcome).unwrap();

        assert_eq!(judgement.violations, Vec::<String>::new(), "{format:?}");
        assert_eq!(outcome.breaches(), 1, "{format:?}");
        let spec = scenario.channels[0];
        let first_sat = (spec.local_msat.0 + spec.remote_msat.0) / 1_000;
        assert_eq!(outcome.accounts[0].funding_sat, first_sat, "{format:?}");
        assert_eq!(outcome.accounts[0].theirs_sat, 0, "{format:?}");
    }
}
