//! The crash matrix: a scenario with a crash at each of its boundaries in turn, and storms of many
//! crashes in one run. After each the truth is the same.

use std::collections::{BTreeMap, BTreeSet};

use lastword_engine::Boundary;
use lastword_sim::oracle::{Judgement, PartEnd, judge};
use lastword_sim::run::Run;
use lastword_sim::scenario::{Dice, Scenario};
use lastword_sim::seed::Seed;
use lastword_testkit::Survivors;
use lastword_types::{CommitmentFormat, Event, Generation, PaymentId};

use crate::mortal::{Book, Fate, Mortal, Return};
use crate::support::outside;

/// What a run came to.
struct Report {
    judgement: Judgement,
    last_words: BTreeMap<(PaymentId, Generation), Event>,
    passed: u64,
    deaths: Vec<Boundary>,
}

fn run(name: &str, scenario: &Scenario, has_own_book: bool, fate: Fate) -> Report {
    let (outside, world) = outside(scenario);
    let mut node = Mortal::new(scenario.seed, (outside.clone(), world), has_own_book, fate);
    let mut last = None;
    let outcome = Run::new(scenario, outside.clone(), &mut node)
        .run(&mut |place, step| last = Some((place, step)))
        .map_err(|error| format!("{name}: after {:?}, at {last:?}: {}", node.deaths, error.chain()))
        .unwrap();
    let (passed, deaths) = (node.passed(), node.deaths.clone());
    let judgement = judge(&outside.lock(), &outcome).unwrap();
    assert_eq!(judgement.violations, Vec::<String>::new(), "{name}: after {deaths:?}");

    // What is released is never told again, whatever the book has forgotten.
    let told = outside.lock().told.words();
    node.rise_without_book().map_err(|error| format!("{name}: {}", error.chain())).unwrap();
    let outside = outside.lock();
    assert_eq!(outside.told.words(), told, "{name}: after {deaths:?}, told again after the end");
    let last_words = outside
        .told
        .stories()
        .into_iter()
        .filter_map(|(key, story)| Some((key, story.distinct_terminal.into_iter().next()?)))
        .collect();
    Report { judgement, last_words, passed, deaths }
}

/// Runs with one crash at the boundary `at`.
fn once(at: u64, found: Return) -> Fate {
    let mut left = Some((at, found));
    Box::new(move || left.take())
}

/// Checks that every payment has the same last word in both runs, but for those of which a try
/// never left: the tries after it are not the same.
fn check_same(name: &str, calm: &Report, crashed: &Report) {
    let again: BTreeSet<PaymentId> = crashed
        .judgement
        .lines
        .iter()
        .filter(|line| line.parts.contains(&PartEnd::NeverSent))
        .map(|line| line.order.payment_id)
        .collect();
    for (key, event) in crashed.last_words.iter().filter(|(key, _)| !again.contains(&key.0)) {
        assert_eq!(Some(event), calm.last_words.get(key), "{name}");
    }
}

/// Crashes at each boundary in turn; what is found then goes round.
fn matrix(scenario: &Scenario, has_own_book: bool, finds: &[Return]) {
    let calm = run("calm", scenario, has_own_book, Box::new(|| None));
    let mut points: BTreeMap<Boundary, u64> = BTreeMap::new();
    let mut told_again = 0;
    for at in 1..=calm.passed {
        let place = usize::try_from(at).unwrap() % finds.len();
        let found = finds[place];
        let name = format!("seed {}, crash at boundary {at}, {found:?}", scenario.seed.0);
        let crashed = run(&name, scenario, has_own_book, once(at, found));
        check_same(&name, &calm, &crashed);
        for death in &crashed.deaths {
            *points.entry(*death).or_default() += 1;
        }
        told_again += crashed.judgement.told_again();
    }
    let tried: u64 = points.values().sum();
    println!(
        "figure: crash matrix of the demo's scenarios: {tried} crash points tried, {told_again} last words came again, the same: {points:?}"
    );
    assert_eq!(tried, calm.passed, "every boundary of the calm run was a crash point");
    for boundary in [
        Boundary::Append,
        Boundary::Sync,
        Boundary::HandlerReturn,
        Boundary::Release,
        Boundary::PaymentReleased,
        Boundary::Broadcast,
    ] {
        assert!(points.contains_key(&boundary), "no crash at {boundary:?}");
    }
}

#[test]
fn a_crash_at_any_boundary_changes_no_last_word_with_a_book_of_its_own() {
    let find = |survivors, book| Return { survivors, book };
    let finds = [
        find(Survivors::SyncedOnly, Book::Same),
        find(Survivors::Everything, Book::Lost),
        find(Survivors::SyncedOnly, Book::Older(3)),
        find(Survivors::Prefix(1), Book::Same),
        find(Survivors::SyncedOnly, Book::Lost),
        find(Survivors::Everything, Book::Older(1)),
        find(Survivors::Prefix(1), Book::Older(12)),
    ];
    matrix(&Scenario::small(Seed(1)), true, &finds);
}

#[test]
fn a_crash_at_any_boundary_changes_no_last_word_with_one_log() {
    let find = |survivors| Return { survivors, book: Book::Same };
    let finds =
        [find(Survivors::SyncedOnly), find(Survivors::Everything), find(Survivors::Prefix(1))];
    matrix(&Scenario::small(Seed(2)), false, &finds);
}

/// Every payment is tried twice; whatever comes back, each has one last word.
#[test]
fn a_crash_at_any_boundary_changes_no_last_word_of_a_payment_that_is_tried_again() {
    let find = |survivors, book| Return { survivors, book };
    let finds = [
        find(Survivors::SyncedOnly, Book::Same),
        find(Survivors::Everything, Book::Lost),
        find(Survivors::SyncedOnly, Book::Older(3)),
        find(Survivors::Prefix(1), Book::Lost),
        find(Survivors::Everything, Book::Older(9)),
    ];
    matrix(&Scenario::retried(Seed(1)), true, &finds);
}

/// The same where book and monitors share a log.
#[test]
fn a_crash_at_any_boundary_changes_no_last_word_of_a_retry_with_one_log() {
    let find = |survivors| Return { survivors, book: Book::Same };
    let finds = [find(Survivors::SyncedOnly), find(Survivors::Everything)];
    matrix(&Scenario::retried(Seed(2)), false, &finds);
}

/// The commitments go out with their children, and either may be what a crash leaves.
#[test]
fn a_crash_at_any_boundary_changes_no_last_word_of_zero_fee_channels() {
    let mut scenario = Scenario::small(Seed(3));
    for channel in &mut scenario.channels {
        channel.format = CommitmentFormat::ZeroFee;
    }
    let find = |survivors| Return { survivors, book: Book::Same };
    matrix(&scenario, false, &[find(Survivors::SyncedOnly), find(Survivors::Everything)]);
}

#[test]
fn a_crash_at_any_boundary_lets_no_thief_keep_anything() {
    let find = |survivors, book| Return { survivors, book };
    let finds = [
        find(Survivors::SyncedOnly, Book::Same),
        find(Survivors::Everything, Book::Lost),
        find(Survivors::Prefix(1), Book::Older(2)),
        find(Survivors::SyncedOnly, Book::Lost),
    ];
    for (seed, format) in (1..).zip([
        CommitmentFormat::StaticRemoteKey,
        CommitmentFormat::AnchorsZeroFeeHtlc,
        CommitmentFormat::ZeroFee,
    ]) {
        matrix(&Scenario::breach(Seed(seed), format), true, &finds);
    }
}

#[test]
fn a_crash_at_any_boundary_changes_no_last_word_across_a_splice() {
    let find = |survivors, book| Return { survivors, book };
    let finds = [
        find(Survivors::SyncedOnly, Book::Same),
        find(Survivors::Everything, Book::Lost),
        find(Survivors::Prefix(1), Book::Older(2)),
        find(Survivors::SyncedOnly, Book::Lost),
    ];
    matrix(&Scenario::splice(Seed(1), CommitmentFormat::AnchorsZeroFeeHtlc), true, &finds);
    matrix(&Scenario::unsplice(Seed(2), CommitmentFormat::ZeroFee), true, &finds);
}

/// Crashes again and again, at boundaries and with finds that the dice choose.
fn storm(seed: Seed) -> Fate {
    let mut dice = Dice::new(seed, "storm");
    Box::new(move || {
        let after = u64::from(dice.between(1, 25));
        let survivors = match dice.below(3) {
            0 => Survivors::SyncedOnly,
            1 => Survivors::Everything,
            _ => Survivors::Prefix(1),
        };
        let book = match dice.below(3) {
            0 => Book::Same,
            1 => Book::Lost,
            _ => Book::Older(usize::try_from(dice.between(1, 30)).unwrap()),
        };
        Some((after, Return { survivors, book }))
    })
}

#[test]
fn a_storm_of_crashes_changes_no_last_word() {
    let (mut deaths, mut told_again) = (0, 0);
    for seed in 0..4 {
        let seed = Seed(seed);
        let report =
            run(&format!("storm of seed {}", seed.0), &Scenario::demo(seed), true, storm(seed));
        assert!(report.judgement.has_divided_payment());
        deaths += report.deaths.len();
        told_again += report.judgement.told_again();
    }
    println!(
        "figure: {deaths} crashes in four storms, {told_again} last words came again, the same"
    );
    assert!(deaths > 100);
    assert!(told_again > 0);
}
