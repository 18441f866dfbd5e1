//! A random walk over a store, beside a model that is too simple to be wrong.

use std::collections::BTreeMap;

use lastword_ports::{Frame, Lsn, Stream, UpdateLog};

use super::subject::{STREAMS, Subject};
use super::{Harness, Rule, Violation, ensure, expect_equal};

/// How to read the cards of a store that has them.
pub(super) type ReadCards<'a, S> =
    Option<&'a dyn Fn(&S) -> Result<Vec<(Stream, Vec<u8>)>, Violation>>;

/// The steps of one walk.
const STEPS: u32 = 120;

/// A frame of the model: each has a body that no other has.
#[derive(Debug, Clone)]
struct ModelFrame {
    stream: Stream,
    is_record: bool,
    body: Vec<u8>,
}

impl ModelFrame {
    fn frame(&self) -> Frame<'_> {
        let Self { stream, is_record, body } = self;
        if *is_record {
            Frame::Record { stream: *stream, body }
        } else {
            Frame::Card { stream: *stream, body }
        }
    }
}

/// What a store should hold.
#[derive(Debug, Default)]
struct Model {
    batches: Vec<Vec<ModelFrame>>,
    /// So many of them were synced.
    synced_count: usize,
    /// So many records of each stream are forgotten, the last of them at this place.
    pruned: BTreeMap<Stream, (usize, Lsn)>,
    frame_count: u32,
}

impl Model {
    /// Returns the records of a stream in the first batches, forgotten ones too.
    fn records(&self, stream: Stream, batch_count: usize) -> Vec<Vec<u8>> {
        let frames = self.batches[..batch_count].iter().flatten();
        let of_stream = frames.filter(|frame| frame.is_record && frame.stream == stream);
        of_stream.map(|frame| frame.body.clone()).collect()
    }

    /// Returns the newest cards in the first batches, ordered by stream.
    fn cards(&self, batch_count: usize) -> Vec<(Stream, Vec<u8>)> {
        let frames = self.batches[..batch_count].iter().flatten();
        let cards: BTreeMap<Stream, Vec<u8>> = frames
            .filter(|frame| !frame.is_record)
            .map(|frame| (frame.stream, frame.body.clone()))
            .collect();
        cards.into_iter().collect()
    }

    fn pruned_count(&self, stream: Stream) -> usize {
        self.pruned.get(&stream).map_or(0, |(count, _)| *count)
    }

    fn draw_batch(&mut self, dice: &mut Dice) -> Vec<ModelFrame> {
        (0..=dice.below(4))
            .map(|_| {
                self.frame_count += 1;
                let mut body = self.frame_count.to_be_bytes().to_vec();
                body.resize(4 + dice.below(300), 0x5A);
                let stream = STREAMS[dice.below(STREAMS.len())];
                ModelFrame { stream, is_record: dice.below(10) < 7, body }
            })
            .collect()
    }
}

/// Walks: appends, syncs, prunes and reopens at random, and compares after every step.
pub(super) fn walk<H: Harness>(
    harness: &mut H,
    seed: u64,
    cards: ReadCards<'_, H::Store>,
) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let mut store = Subject::open(harness);
    let mut model = Model::default();
    let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    for step in 0..STEPS {
        take_step(&mut store, &mut model, &mut dice, cards).map_err(|violation| Violation {
            detail: format!("random walk {seed}, step {step}: {}", violation.detail),
            ..violation
        })?;
    }
    Ok(())
}

fn take_step<H: Harness>(
    store: &mut Subject<'_, H>,
    model: &mut Model,
    dice: &mut Dice,
    cards: ReadCards<'_, H::Store>,
) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    match dice.below(10) {
        0..=5 => {
            let batch = model.draw_batch(dice);
            let frames: Vec<Frame<'_>> = batch.iter().map(ModelFrame::frame).collect();
            store.append(&frames)?;
            model.batches.push(batch);
        }
        6 | 7 => {
            let _proof = store.sync()?;
            model.synced_count = model.batches.len();
        }
        8 => {
            let _proof = store.sync()?;
            model.synced_count = model.batches.len();
            let stream = STREAMS[dice.below(STREAMS.len())];
            let records = store.records(stream, None)?;
            if !records.is_empty() {
                let count = 1 + dice.below(records.len());
                let upto: Lsn = records[count - 1].0;
                store.prune(stream, upto)?;
                model.pruned.insert(stream, (model.pruned_count(stream) + count, upto));
            }
        }
        _ => {
            store.reopen();
            return settle(store, model, cards);
        }
    }
    compare(store, model, cards)
}

/// Compares a store that did not crash with the model.
fn compare<H: Harness>(
    store: &Subject<'_, H>,
    model: &Model,
    cards: ReadCards<'_, H::Store>,
) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    for stream in STREAMS {
        let expected =
            model.records(stream, model.batches.len()).split_off(model.pruned_count(stream));
        let what = format!("records of {stream:?}");
        expect_equal(Rule::ReplayWhole, &what, &store.bodies(stream)?, &expected)?;
    }
    if let Some(cards) = cards {
        let expected = model.cards(model.batches.len());
        expect_equal(Rule::CardNewest, "cards", &cards(store.store())?, &expected)?;
    }
    Ok(())
}

/// Finds out which prefix survived a crash, and goes on from there.
fn settle<H: Harness>(
    store: &mut Subject<'_, H>,
    model: &mut Model,
    cards: ReadCards<'_, H::Store>,
) -> Result<(), Violation>
where
    H::Store: UpdateLog,
{
    let mut seen = BTreeMap::new();
    for stream in STREAMS {
        seen.insert(stream, store.bodies(stream)?);
    }
    let seen_cards = cards.map(|cards| cards(store.store())).transpose()?;
    let survives = |batch_count: usize| {
        STREAMS.iter().all(|stream| {
            let all = model.records(*stream, batch_count);
            is_what_may_be_left(&seen[stream], &all, model.pruned_count(*stream))
        }) && seen_cards.as_ref().is_none_or(|seen| *seen == model.cards(batch_count))
    };
    let survivors = (0..=model.batches.len()).rev().find(|batch_count| survives(*batch_count));
    let Some(survivors) = survivors else {
        let detail = format!("{} batches, and reopened as no prefix of them", model.batches.len());
        return Err(Violation { rule: Rule::PrefixSurvives, detail });
    };
    ensure(survivors >= model.synced_count, Rule::SyncedSurvives, || {
        format!("{} batches were synced and {survivors} survived", model.synced_count)
    })?;

    model.batches.truncate(survivors);
    model.synced_count = survivors;
    // A crash may bring forgotten records back: they are forgotten once more.
    model.pruned.iter().try_for_each(|(stream, (_, upto))| store.prune(*stream, *upto))?;
    compare(store, model, cards)
}

/// Says whether `seen` is all of `all` but some of those that were to be forgotten.
fn is_what_may_be_left(seen: &[Vec<u8>], all: &[Vec<u8>], pruned_count: usize) -> bool {
    let Some((forgotten, kept)) = all.split_at_checked(pruned_count) else { return false };
    let Some(back) = seen.strip_suffix(kept) else { return false };
    let mut forgotten = forgotten.iter();
    back.iter().all(|body| forgotten.any(|other| other == body))
}

/// A small generator (xorshift): the same seed gives the same walk on every machine.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let high = usize::try_from(self.0 >> 33).expect("31 bits fit");
        high % limit
    }
}
