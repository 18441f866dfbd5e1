//! The crash matrix: one small life of a node, ended at every boundary in turn, continued on what
//! the crash may have left and on books of several ages. The same outcomes must come out.
//!
//! The life has two channels. A payment of two parts has one taken by the peer and one timed out; a
//! payment of one part times out; a third is settled off chain.

use std::collections::BTreeSet;

use lastword_engine::Driver;
use lastword_testkit::Survivors;
use lastword_types::{Event, HtlcFailure, MonitorUpdate, RemovalReason};

use crate::crash::{Bomb, unless_died};
use crate::node::{Logs, Node, Stores, ports};
use crate::world::{ANCHORS, Part, Payment, STATIC, World};

/// Which book a node finds after its crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Book {
    /// What the crash left of it.
    Own,
    /// As it was when the payments had been sent.
    AfterSending,
    /// As it was in the middle of the story.
    Middle,
    None,
}

/// One of the deaths.
#[derive(Debug, Clone, Copy)]
struct Death {
    boundary: usize,
    survivors: Survivors,
    book: Book,
}

/// One step of the life: what the world does, and then what the node does.
enum Step {
    Updates(Vec<MonitorUpdate>),
    PeerCloses(usize),
    PeerClaims,
    Mine(u32),
}

/// A life up to its present step.
struct Life {
    world: World,
    stores: Stores,
    driver: Option<Driver>,
    bomb: Bomb,
    two_parts: Payment,
    times_out: Payment,
    off_chain: Payment,
    told: Vec<Event>,
    /// The book as it was at certain moments.
    after_sending: Stores,
    middle: Option<Stores>,
}

impl Life {
    fn begin(logs: Logs) -> (Self, Vec<Step>) {
        let (mut world, mut node) = Node::with_channels(logs, &[STATIC, ANCHORS]);
        let two_parts = world.payment(1, &[Part(0, 50_000, 14), Part(1, 60_000, 14)]);
        let times_out = world.payment(2, &[Part(1, 40_000, 14)]);
        let off_chain = world.payment(3, &[Part(0, 30_000, 14)]);
        for payment in [&two_parts, &times_out, &off_chain] {
            node.pay(payment);
        }
        let reason = RemovalReason::Fulfilled { preimage: off_chain.preimage };
        let removal = world.channels[0].remove(off_chain.htlc_id(0), reason);
        let fail = world.channels[1].fail();
        let steps = vec![
            Step::Updates(removal.to_vec()),
            Step::PeerCloses(0),
            Step::Updates(vec![fail]),
            Step::Mine(1),
            Step::PeerClaims,
            Step::Mine(26),
        ];
        let after_sending = node.stores.image(Survivors::SyncedOnly);
        let stores = node.stores.image(Survivors::Everything);
        drop(node);
        let life = Self {
            world,
            stores,
            driver: None,
            bomb: Bomb::default(),
            two_parts,
            times_out,
            off_chain,
            told: Vec::new(),
            after_sending,
            middle: None,
        };
        (life, steps)
    }

    /// Lives through all steps, dying once where `death` says so; says whether it died.
    fn live(&mut self, steps: &[Step], death: Option<Death>) -> bool {
        let mut has_died = false;
        if let Some(death) = death {
            self.bomb = Bomb::at(death.boundary);
        }
        let mut run = |life: &mut Self, work: &mut dyn FnMut(&mut Self)| {
            while unless_died(|| work(life)).is_none() {
                assert!(!has_died, "a bomb goes off once");
                has_died = true;
                life.rise(death.expect("only a bomb kills"));
            }
        };
        run(self, &mut Self::start);
        for (at, step) in steps.iter().enumerate() {
            match step {
                Step::Updates(updates) => run(self, &mut |life| {
                    life.start();
                    life.driver().update(updates.clone()).unwrap();
                    life.node_acts();
                }),
                Step::PeerCloses(channel) => {
                    self.world.peer_closes(*channel);
                    run(self, &mut Self::node_acts);
                }
                Step::PeerClaims => {
                    let payment = self.two_parts.clone();
                    self.world.peer_claims(&payment, 0);
                    run(self, &mut Self::node_acts);
                }
                Step::Mine(blocks) => {
                    for _ in 0..*blocks {
                        self.world.mine(1);
                        run(self, &mut Self::node_acts);
                    }
                }
            }
            if at == 3 {
                self.middle = Some(self.stores.image(Survivors::SyncedOnly));
            }
        }
        has_died
    }

    fn driver(&mut self) -> &mut Driver {
        self.driver.as_mut().expect("it was started")
    }

    fn start(&mut self) {
        if self.driver.is_none() {
            let mut ports = ports(&self.world, &self.stores);
            ports.observer = Box::new(self.bomb.clone());
            self.driver = Some(Driver::start(ports).unwrap());
        }
    }

    /// The node follows the chain and tells what there is to tell.
    fn node_acts(&mut self) {
        self.start();
        self.driver().poll_chain().unwrap();
        while let Some(event) = self.driver().next_event() {
            self.told.push(event.clone());
            self.check_not_released(&event);
            self.driver().event_returned(&event, true).unwrap();
        }
    }

    /// A last word is never told of a payment of which a part is durably released.
    fn check_not_released(&mut self, event: &Event) {
        let Some(key) = event.key().filter(|key| key.kind.is_terminal()) else { return };
        let payment = self.payments().into_iter().find(|it| it.id() == key.payment_id).unwrap();
        let mut node = Node { stores: self.stores.clone(), driver: self.driver.take().unwrap() };
        for part in 0..payment.intent.parts.len() {
            assert_eq!(node.delivered(&payment, part), None, "{event:?} after a release");
        }
        self.driver = Some(node.driver);
    }

    /// Puts the disks back as the crash may have left them.
    fn rise(&mut self, death: Death) {
        self.driver = None;
        let left = self.stores.image(death.survivors);
        self.stores = match death.book {
            Book::Own => left,
            Book::AfterSending => left.with_books_of(&self.after_sending),
            Book::Middle => left.with_books_of(self.middle.as_ref().unwrap_or(&self.after_sending)),
            Book::None => left.without_book(),
        };
    }

    fn payments(&self) -> [Payment; 3] {
        [self.two_parts.clone(), self.times_out.clone(), self.off_chain.clone()]
    }

    /// Checks the end: one distinct last word each, the right one, everything released.
    fn check(mut self, place: &str) {
        let why = HtlcFailure::TimedOut;
        let expected = [self.two_parts.sent(), self.times_out.failed(why), self.off_chain.sent()];
        for (payment, expected) in self.payments().iter().zip(expected) {
            let words: Vec<&Event> = self
                .told
                .iter()
                .filter(|event| {
                    event
                        .key()
                        .is_some_and(|key| key.payment_id == payment.id() && key.kind.is_terminal())
                })
                .collect();
            assert!(!words.is_empty(), "{place}: payment {} has no last word", payment.id());
            assert!(words.iter().all(|word| **word == expected), "{place}: {words:?}");
            assert!(words.len() <= 2, "{place}: one crash, told {} times", words.len());
        }
        let driver = self.driver.take().unwrap();
        let mut node = Node { stores: self.stores.clone(), driver };
        for payment in self.payments() {
            assert!(node.is_released(&payment), "{place}: {} is not released", payment.id());
            assert!(!node.driver.owes(payment.id()), "{place}");
        }
        // After all that, no start has anything to say, whatever the book.
        let stores = node.stores.image(Survivors::SyncedOnly);
        for left in [stores.image(Survivors::Everything), stores.without_book()] {
            assert_eq!(Node::start(&self.world, left).tell(), [], "{place}");
        }
    }
}

/// How many boundaries are between two that are tried, so that the matrix stays short.
const STRIDE: usize = 2;

#[test]
fn a_crash_at_any_boundary_leaves_the_same_outcomes() {
    let (mut points, mut told_twice, mut boundaries) = (0, 0, BTreeSet::new());
    for (logs, books) in [
        (Logs::One, &[Book::Own][..]),
        (Logs::Two, &[Book::Own, Book::AfterSending, Book::Middle, Book::None][..]),
    ] {
        let (mut calm, steps) = Life::begin(logs);
        assert!(!calm.live(&steps, None));
        let last = calm.bomb.passed().len();
        boundaries.extend(calm.bomb.passed());
        let calm_told = calm.told.len();
        calm.check(&format!("no crash, {logs:?} log(s)"));
        for (index, survivors) in
            [Survivors::SyncedOnly, Survivors::Everything].into_iter().enumerate()
        {
            for (at, book) in books.iter().enumerate() {
                // Each row of the matrix begins elsewhere, so that together they try every boundary.
                let first = 1 + (index + at) % STRIDE;
                for boundary in (first..=last).step_by(STRIDE) {
                    let death = Death { boundary, survivors, book: *book };
                    let place = format!("replay: crash matrix, {logs:?} log(s), {death:?}");
                    let (mut life, steps) = Life::begin(logs);
                    let has_died = unless_panicked(&place, || life.live(&steps, Some(death)));
                    assert!(has_died, "{place}: it is no boundary");
                    told_twice += usize::from(life.told.len() > calm_told);
                    life.check(&place);
                    points += 1;
                }
            }
        }
    }
    println!(
        "figure: engine crash matrix: {points} crash points, every {STRIDE}nd boundary in each row"
    );
    println!("figure: engine crash matrix: {told_twice} of them told an event again, identically");
    println!("figure: engine crash matrix: boundaries of {} kinds", boundaries.len());
    assert!(points > 200, "only {points} points");
    assert_eq!(boundaries.len(), 6, "{boundaries:?}");
    assert!(told_twice > 0, "a matrix that never repeats an event tests nothing");
}

/// Says which death it was if the life ends in a defect.
fn unless_panicked<R>(place: &str, work: impl FnOnce() -> R) -> R {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)) {
        Ok(result) => result,
        Err(defect) => {
            println!("{place}");
            std::panic::resume_unwind(defect)
        }
    }
}
