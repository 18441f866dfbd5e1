//! A node that starts on records that nobody wrote.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::OnceLock;

use lastword_engine::Driver;
use lastword_explore::{Rest, scenarios};
use lastword_ports::{Frame, SnapshotStore as _, Stream, UpdateLog as _};
use lastword_testkit::CrashStore;
use lastword_types::{ChannelId, Event, Generation, PaymentId};

use crate::canary;
use crate::input::Input;

/// The channels of the nodes that are damaged, and one that none of them has.
const CHANNELS: [Stream; 3] = [
    Stream::Channel(ChannelId([0xC0; 32])),
    Stream::Channel(ChannelId([0xC1; 32])),
    Stream::Channel(ChannelId([0xC2; 32])),
];
/// The nodes that are damaged: from so many scenarios, evenly spread.
const NODES_MAX: usize = 24;
/// The inputs after which a node is stopped, in turn.
const INPUTS: [usize; 4] = [2, 4, 7, usize::MAX];
/// The most changes to a store in one run.
const CHANGES_MAX: usize = 24;
/// The most events that are handled after a start.
const EVENTS_MAX: usize = 200;

/// Believes that a start from any records ends in a node or a typed error; that it loses no record;
/// that what it tells is no contradiction; and that a second start tells no payment's last word
/// again.
///
/// # Panics
///
/// If not.
pub fn start(bytes: &[u8]) {
    let mut input = Input(bytes);
    let (rest, items) = node(input.byte());
    let mut items = items.clone();
    for _ in 0..CHANGES_MAX {
        if input.is_empty() {
            break;
        }
        change(&mut items, &mut input);
    }
    let Some(store) = written(&items) else { return };
    let records = records_of(&store);
    let mut words = BTreeMap::new();
    let Some(mut driver) = started(rest, &store) else {
        keeps(&store, &records);
        return;
    };
    let damaged = driver.damaged().len();
    drop(driver.poll_chain());
    live(&mut driver, &mut words);
    keeps(&store, &records);
    canary(damaged == 1 && !words.is_empty());
    drop(driver);
    let told = words.len();
    if let Some(mut driver) = started(rest, &store) {
        live(&mut driver, &mut words);
        drop(driver.explain());
    }
    assert!(words.len() >= told);
}

fn started(rest: &Rest, store: &CrashStore) -> Option<Driver> {
    match rest.start(Box::new(store.clone())) {
        Ok(driver) => Some(driver),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

/// Handles what is told, and holds it against what was told before.
fn live(driver: &mut Driver, words: &mut BTreeMap<(PaymentId, Generation), Event>) {
    for _ in 0..EVENTS_MAX {
        let Some(event) = driver.next_event() else { break };
        let is_recorded = driver.event_returned(&event, true).is_ok();
        let (Event::PaymentSent { payment_id, generation, .. }
        | Event::PaymentFailed { payment_id, generation, .. }
        | Event::PaymentUnknown { payment_id, generation, .. }) = &event
        else {
            continue;
        };
        let before = words.insert((*payment_id, *generation), event.clone());
        // Told twice it is the same, and it is told twice only if the first time was not recorded.
        assert!(before.is_none() || !is_recorded, "{before:?}, and then {event:?}");
    }
}

/// What one write puts into a store.
#[derive(Debug, Clone)]
struct Item {
    stream: Stream,
    /// The position that it has where nothing is changed.
    position: u64,
    what: What,
    body: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Record,
    Card,
    Snapshot,
}

/// Returns a node in the middle of its life, and what its store holds; each is made once.
fn node(number: u8) -> &'static (Rest, Vec<Item>) {
    static NODES: [OnceLock<(Rest, Vec<Item>)>; NODES_MAX] = [const { OnceLock::new() }; NODES_MAX];
    let number = usize::from(number) % NODES_MAX;
    NODES[number].get_or_init(|| {
        let scenarios = scenarios();
        let scenario = scenarios[number * scenarios.len() / NODES_MAX];
        let rest = Rest::after(scenario, INPUTS[number % INPUTS.len()]);
        let items = items_of(&rest.store());
        (rest, items)
    })
}

/// Reads all that a store holds, in the order of its positions.
fn items_of(store: &CrashStore) -> Vec<Item> {
    let mut items = Vec::new();
    for stream in CHANNELS.into_iter().chain([Stream::Payments]) {
        let snapshot = store.latest(stream).expect("it is sound");
        let after = snapshot.as_ref().map(|snapshot| snapshot.at);
        if let Some(snapshot) = snapshot {
            let (position, body) = (snapshot.at.position, snapshot.body);
            items.push(Item { stream, position, what: What::Snapshot, body });
        }
        let result = store.replay(stream, after, &mut |lsn, body| {
            let (position, body) = (lsn.position, body.to_vec());
            items.push(Item { stream, position, what: What::Record, body });
            ControlFlow::Continue(())
        });
        result.expect("it is sound");
    }
    items.sort_by_key(|item| item.position);
    let end = store.clone().append(&[]).expect("it is sound").position;
    let cards = store.cards(&mut |card| {
        let card = card.expect("it is sound");
        let (stream, body) = (card.stream, card.body.to_vec());
        items.push(Item { stream, position: end, what: What::Card, body });
    });
    cards.expect("it is sound");
    items
}

/// Changes one thing in a store.
fn change(items: &mut Vec<Item>, input: &mut Input<'_>) {
    let shape = input.byte();
    let Some(at) = usize::from(input.byte()).checked_rem(items.len()) else { return };
    let place = input.short();
    let body = &mut items[at].body;
    let inside = place % body.len().max(1);
    match shape % 10 {
        0 => {
            if let Some(byte) = body.get_mut(inside) {
                *byte = input.byte();
            }
        }
        1 => {
            if let Some(byte) = body.get_mut(inside) {
                *byte ^= 1 << (input.byte() % 8);
            }
        }
        2 => body.truncate(inside),
        3 => {
            let count = usize::from(input.byte() % 16);
            let more = input.take(count).to_vec();
            body.splice(inside..inside, more);
        }
        4 => drop(items.remove(at)),
        5 => {
            let item = items[at].clone();
            items.insert(place % (items.len() + 1), item);
        }
        6 => {
            let streams = [CHANNELS[0], CHANNELS[1], CHANNELS[2], Stream::Payments, Stream::Chain];
            items[at].stream = streams[place % streams.len()];
        }
        7 => {
            let other = place % items.len();
            items.swap(at, other);
        }
        8 => *body = input.take(place % 300).to_vec(),
        _ => {
            items[at].what = [What::Record, What::Card, What::Snapshot][place % 3];
        }
    }
}

/// Writes a store, each thing at its position where that can be.
fn written(items: &[Item]) -> Option<CrashStore> {
    let mut store = CrashStore::new(lastword_ports::LogId([0xaa; 16]));
    for Item { stream, position, what, body } in items {
        let mut end = store.append(&[]).ok()?;
        while end.position + 1 < *position && end.position < 2_000 {
            // A card that nobody reads, in the place of what was forgotten.
            let filler = Frame::Card { stream: Stream::Payments, body: &[] };
            end = store.append(&[filler]).ok()?;
        }
        match what {
            What::Record => drop(store.append(&[Frame::Record { stream: *stream, body }]).ok()?),
            What::Card => drop(store.append(&[Frame::Card { stream: *stream, body }]).ok()?),
            What::Snapshot => {
                let at = store.sync().ok()?.upto();
                store.put(*stream, at, body).ok()?;
            }
        }
    }
    let _durable = store.sync().ok()?;
    Some(store)
}

type Records = Vec<(Stream, u64, Vec<u8>)>;

fn records_of(store: &CrashStore) -> Records {
    let mut records = Vec::new();
    for stream in CHANNELS.into_iter().chain([Stream::Payments]) {
        let result = store.replay(stream, None, &mut |lsn, body| {
            records.push((stream, lsn.position, body.to_vec()));
            ControlFlow::Continue(())
        });
        result.expect("the store itself is sound");
    }
    records
}

/// Asserts that every record is still there, unless a snapshot took its place.
fn keeps(store: &CrashStore, before: &Records) {
    if store.writes().prunes > 0 {
        return;
    }
    let after = records_of(store);
    for record in before {
        assert!(after.contains(record), "a record is gone: {record:?}");
    }
}
