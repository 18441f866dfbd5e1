//! The matrix of closings, with a crash in every case: every closing, format, direction, preimage and
//! reorg, on a chain that accepts only what consensus accepts.
//!
//! With `LASTWORD_CLOSINGS=all` in the environment every case is played with a crash at each of its
//! boundaries: `cargo xtask closings`. Any other word there picks the cases whose name has it.

mod mortal;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;

use lastword_engine::Boundary;
use lastword_sim::SimError;
use lastword_sim::closings::{
    Case, End, FORMATS, Place, Played, Reorg, Stage, Template, all_at_once,
};
use lastword_sim::world::inprocess::InProcess;
use lastword_testkit::Survivors;
use lastword_types::CommitmentFormat;
use mortal::{Book, Death, Mortal};

/// What the crashes leave, in turn. With one log there is no book of its own to lose.
const FINDS: [(Survivors, Book); 7] = [
    (Survivors::SyncedOnly, Book::Same),
    (Survivors::Everything, Book::Lost),
    (Survivors::SyncedOnly, Book::Older(3)),
    (Survivors::Prefix(1), Book::Same),
    (Survivors::SyncedOnly, Book::Lost),
    (Survivors::Everything, Book::Older(1)),
    (Survivors::Prefix(1), Book::Older(12)),
];

/// Two primes: the place of a crash, and how far the next one is from it.
const SPREAD: u64 = 37;

/// What was played.
#[derive(Default)]
struct Figure {
    cases: usize,
    plays: usize,
    steps: usize,
    told_again: usize,
    crashes: BTreeMap<Boundary, usize>,
    /// How many boundaries the cases have, together.
    boundaries: u64,
    shapes: BTreeSet<String>,
}

impl Figure {
    fn add(&mut self, other: Self) {
        self.cases += other.cases;
        self.plays += other.plays;
        self.steps += other.steps;
        self.told_again += other.told_again;
        self.boundaries += other.boundaries;
        self.shapes.extend(other.shapes);
        for (boundary, count) in other.crashes {
            *self.crashes.entry(boundary).or_default() += count;
        }
    }

    fn note(&mut self, played: Played, mortal: &Mortal) {
        self.plays += 1;
        self.steps += played.steps;
        self.told_again += played.told_again;
        self.shapes.extend(played.shapes);
        for boundary in mortal.deaths() {
            *self.crashes.entry(boundary).or_default() += 1;
        }
    }
}

#[test]
fn a_crash_in_any_closing_leaves_every_payment_one_last_word_and_takes_all_that_is_ours() {
    let which = std::env::var("LASTWORD_CLOSINGS").unwrap_or_default();
    let (mut all, cases) = (Figure::default(), which.as_str());
    thread::scope(|scope| {
        let threads = FORMATS.map(|format| scope.spawn(move || matrix_of(format, cases)));
        for one in threads {
            all.add(one.join().expect("every case of the format holds"));
        }
    });
    let crashes: usize = all.crashes.values().sum();
    println!(
        "figure: closings on the in-process chain: {} cases of {} combinations, {} plays, {} steps \
         looked at, {crashes} crashes, {} last words came again the same, {} distinct final states",
        all.cases,
        Case::combinations() * FORMATS.len(),
        all.plays,
        all.steps,
        all.told_again,
        all.shapes.len(),
    );
    println!("figure: closings: crashes by boundary: {:?}", all.crashes);
    println!("figure: closings: a crash at each boundary of each case: {} crashes", all.boundaries);
    assert!(crashes >= all.cases, "a case was never played with a crash");
    if which.is_empty() || which == "all" {
        assert_eq!(all.crashes.len(), 6, "a kind of boundary was never crashed at");
    }
}

/// One format: the past of a channel is lived once, the rest with every reorg.
fn matrix_of(format: CommitmentFormat, which: &str) -> Figure {
    let mut figure = Figure::default();
    let mut boundaries = BTreeMap::new();
    let is_whole = which == "all";
    let mut cases = Case::all(format);
    // The past of a case is that of the one without a reorg.
    let name = |case: &Case| format!("{:?}", Case { reorg: Reorg::None, ..*case });
    cases.retain(|case| is_whole || name(case).contains(which));
    let calm = Stage::new(Place::InProcess(InProcess::new()), 1).unwrap();
    for past in cases.iter().filter(|case| case.reorg == Reorg::None) {
        let has_own_book = figure.cases % 2 == 0;
        let stage = calm.fork().unwrap();
        let template = Template::new(stage, &[*past], Mortal::new(has_own_book)).unwrap();
        for case in cases.iter().filter(|case| Case { reorg: Reorg::None, ..**case } == *past) {
            figure.cases += 1;
            if is_whole {
                let (calm, _) = play(&template, *case, None, &mut figure);
                figure.boundaries += calm.passed();
                for at in 1..=calm.passed() {
                    play(&template, *case, Some(death(figure.plays, at)), &mut figure);
                }
                continue;
            }
            let passed: &mut u64 = boundaries.entry((past.closing, case.reorg)).or_insert(SPREAD);
            let at = 1 + u64::try_from(figure.plays).unwrap() * SPREAD % *passed;
            let (mortal, end) = play(&template, *case, Some(death(figure.plays, at)), &mut figure);
            *passed = mortal.passed();
            figure.boundaries += *passed;
            if mortal.deaths().is_empty() {
                // It was shorter than the one before, and now we know how long it is.
                play(&template, *case, Some(death(figure.plays, 1 + at % *passed)), &mut figure);
            }
            let replay = template.check_replay(&end, template.life().fork(None));
            replay.map_err(|error| error.chain()).unwrap();
        }
    }
    figure
}

fn death(turn: usize, at: u64) -> Death {
    let (survivors, book) = FINDS[turn % FINDS.len()];
    Death { at, survivors, book }
}

/// Plays one case; returns its life, and where it ended.
fn play(
    template: &Template<Mortal>,
    case: Case,
    death: Option<Death>,
    figure: &mut Figure,
) -> (Mortal, End) {
    let mortal = template.life().fork(death);
    let copy = template.fork(case.reorg, mortal.clone()).unwrap();
    let say = |error: SimError| format!("replay: {case:?}, {death:?}: {}", error.chain());
    let (played, end) = copy.play().map_err(say).unwrap();
    figure.note(played, &mortal);
    (mortal, end)
}

#[test]
fn all_closings_of_a_format_at_once_end_as_they_do_alone() {
    let mut rounds = 0;
    all_at_once(Place::InProcess(InProcess::new()), &mut |round| {
        rounds += 1;
        println!(
            "figure: closings at once, {:?}: {} channels, {} transactions accepted, {} confirmed",
            round.format, round.cases, round.accepted, round.mined
        );
        println!("figure: closings at once, {:?}: spent {:?}", round.format, round.tally.0);
    })
    .map_err(|error| error.chain())
    .unwrap();
    assert_eq!(rounds, FORMATS.len());
}
