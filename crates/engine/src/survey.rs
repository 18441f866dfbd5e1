//! [`survey`]: what a store holds, by kind, and what of it cannot be read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use lastword_ports::{Lsn, Store, StoreError, Stream};
use lastword_types::{Card, ChannelId};
use lastword_wire::{self as wire, Frame};

use crate::channels;
use crate::damage::{Damage, DamagedPart};
use crate::error::EngineError;
use crate::finished;
use crate::start;

/// How many of something there are, and their bytes as the machines wrote them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Their bytes together, without what the store adds.
    pub bytes: u64,
}

impl Amount {
    fn add(&mut self, bytes: &[u8]) {
        self.count += 1;
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    }
}

/// What a store holds.
#[derive(Debug, Default)]
pub struct Survey {
    /// Channels, by their cards.
    pub channels: u64,
    /// Those of them that are closed.
    pub closed: u64,
    /// Those of them that are archived.
    pub archived: u64,
    /// Those of them of which something is not told.
    pub undelivered: u64,
    /// Payments in the book.
    pub payments: u64,
    /// Records, snapshots and cards, by the name of their kind.
    pub kinds: BTreeMap<String, Amount>,
    /// What cannot be read. A channel with damage is folded no further than to it.
    pub damage: Vec<Damage>,
}

impl Survey {
    fn note(&mut self, body: &[u8]) {
        let kind =
            Frame::parse(body).map_or_else(|_| "unreadable".into(), |it| format!("{:?}", it.kind));
        self.kinds.entry(kind).or_default().add(body);
    }

    fn complain(
        &mut self,
        stream: Stream,
        (part, position): (DamagedPart, Option<u64>),
        error: EngineError,
    ) {
        self.damage.push(Damage { stream: Some(stream), part, position, error });
    }
}

/// Reads a store whole: every card, every snapshot, every record, every channel folded to its end.
///
/// # Shape
///
/// Costs what the store holds. Nothing is changed.
///
/// # Errors
///
/// A store that cannot be read at all; damage to what it holds is part of the result.
pub fn survey(store: &dyn Store) -> Result<Survey, StoreError> {
    let mut survey = Survey::default();
    let mut cards = BTreeMap::new();
    let mut streams: BTreeSet<Stream> = finished::streams().chain([Stream::Payments]).collect();
    store.cards(&mut |stored| {
        let stored = match stored {
            Ok(stored) => stored,
            Err(error) => {
                streams.extend(error.place.stream);
                return survey.damage.push(Damage::reported(error, DamagedPart::Card));
            }
        };
        streams.insert(stored.stream);
        survey.note(stored.body);
        let read = match stored.stream {
            Stream::Channel(channel_id) => wire::decode_card(stored.body).map(|card| {
                cards.insert(channel_id, card);
            }),
            Stream::Chain => wire::decode_chain_tip(stored.body).map(drop),
            Stream::Payments | Stream::Finished(_) => Ok(()),
        };
        if let Err(source) = read {
            let error = EngineError::Bytes { what: "a card", source };
            survey.complain(stored.stream, (DamagedPart::Card, None), error);
        }
    })?;
    for stream in streams {
        count(store, stream, &mut survey);
        match stream {
            Stream::Channel(channel_id) => {
                fold(store, channel_id, cards.get(&channel_id), &mut survey);
            }
            Stream::Payments => match start::read_book(store) {
                Ok((book, _)) => {
                    let count = book.state().payments.len();
                    survey.payments = u64::try_from(count).unwrap_or(u64::MAX);
                }
                Err(error) => {
                    let position = position_of(&error);
                    let is_named = position.is_some()
                        && survey.damage.iter().any(|it| it.position == position);
                    if !is_named {
                        survey.complain(stream, (DamagedPart::Whole, position), error);
                    }
                }
            },
            Stream::Chain | Stream::Finished(_) => {}
        }
    }
    Ok(survey)
}

fn position_of(error: &EngineError) -> Option<u64> {
    if let EngineError::DamagedBook { position, .. } = error {
        return Some(*position);
    }
    if let EngineError::Store(error) = error { error.place.position } else { None }
}

/// Counts the records and the snapshot of a stream.
fn count(store: &dyn Store, stream: Stream, survey: &mut Survey) {
    if let Ok(Some(snapshot)) = store.latest(stream) {
        survey.note(&snapshot.body);
    }
    let mut unreadable: Vec<(Lsn, EngineError)> = Vec::new();
    // What the store itself refuses is met again by the fold.
    let replayed = store.replay(stream, None, &mut |lsn, body| {
        survey.note(body);
        let read = match stream {
            Stream::Channel(_) => wire::decode_monitor_record(body).map(drop),
            Stream::Payments | Stream::Finished(_) => wire::decode_payment_record(body).map(drop),
            Stream::Chain => Ok(()),
        };
        if let Err(source) = read {
            unreadable.push((lsn, EngineError::Bytes { what: "a record", source }));
        }
        ControlFlow::Continue(())
    });
    drop(replayed);
    for (lsn, error) in unreadable {
        survey.complain(stream, (DamagedPart::Record, Some(lsn.position)), error);
    }
}

/// Folds a channel and compares it with its card.
fn fold(store: &dyn Store, channel_id: ChannelId, card: Option<&Card>, survey: &mut Survey) {
    let stream = Stream::Channel(channel_id);
    survey.channels += 1;
    match channels::load(channel_id, store) {
        Ok(warm) => {
            let folded = warm.monitor.card();
            survey.closed += u64::from(folded.is_closed);
            survey.archived += u64::from(folded.is_archived);
            survey.undelivered += u64::from(folded.has_undelivered);
            // An older card is no damage: a start reads the channel instead.
            let covers = card.map_or(0, |card| card.covers);
            let folded = Card { covers, ..folded };
            if covers >= warm.last.position && card.is_some_and(|card| *card != folded) {
                let error = EngineError::Damaged(channel_id);
                survey.complain(stream, (DamagedPart::Card, None), error);
            }
        }
        Err(damage) => {
            // A record that cannot be decoded was named when it was counted.
            let is_same = |known: &Damage| {
                known.stream == damage.stream
                    && (known.position == damage.position
                        || known.part == DamagedPart::Card && damage.part == DamagedPart::Whole)
            };
            if !survey.damage.iter().any(is_same) {
                survey.damage.push(*damage);
            }
        }
    }
}
