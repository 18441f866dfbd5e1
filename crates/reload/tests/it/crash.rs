//! Random lives of a node: payments, verdicts, crashes between any two actions, books of any age.
//!
//! The user's record never rolls back, and no ledger goes behind what it held; the payment book
//! returns as it was (one log) or as it ever was, or not at all (any book). Ledgers become
//! unreadable and come back.

use std::collections::{BTreeMap, BTreeSet};

use lastword_reload::{RetryOwed, Scope, may_drop, retry_owed};
use lastword_types::{
    AmountMsat, Event, EventKind, Generation, HtlcFailure, HtlcKey, HtlcOrigin, PaymentId,
    PaymentRecord, PaymentState, Verdict,
};
use proptest::prelude::*;

use crate::tools::{FAILED, FAILING, FEE, FULFILLED, LIVE, add, channel, id, intent_of, open};
use crate::world::{Book, Bytes, World};

#[derive(Debug, Clone)]
enum Op {
    /// Begin a payment; `is_lost`: the process dies before its HTLCs are durable.
    Pay {
        payment: u8,
        channels: Vec<u8>,
        attempts_max: u32,
        is_lost: bool,
    },
    /// Try a payment again, if that is owed.
    Retry {
        payment: u8,
        channels: Vec<u8>,
        is_lost: bool,
    },
    Abandon(u8),
    /// Move the verdict of an open HTLC.
    Move {
        which: usize,
        to: Verdict,
    },
    /// Plan and execute; with `cut` only so many actions, then the process dies.
    Plan {
        cut: Option<usize>,
    },
    /// Tell an event; without `is_recorded` the process dies before its return is durable.
    Tell {
        is_recorded: bool,
    },
    Hide(u8),
    Show(u8),
    Drop(u8),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Books {
    /// One log: the book returns as it was.
    OneLog,
    /// Separate stores, or a backup: any book that ever was returns, or none.
    Any,
}

fn ops() -> impl Strategy<Value = Op> {
    let channels = prop_oneof![
        Just(vec![1]),
        Just(vec![2]),
        Just(vec![1, 2]),
        Just(vec![2, 1]),
        Just(vec![1, 2, 3]),
    ];
    let verdicts = prop_oneof![
        3 => Just(FULFILLED),
        3 => Just(FAILED),
        1 => Just(Verdict::Failed { reason: HtlcFailure::Removed { code: 15 } }),
        1 => Just(FAILING),
        1 => Just(LIVE),
    ];
    prop_oneof![
        3 => (1..3_u8, channels.clone(), 1..4_u32, prop::bool::weighted(0.2)).prop_map(
            |(payment, channels, attempts_max, is_lost)| {
                Op::Pay { payment, channels, attempts_max, is_lost }
            }
        ),
        4 => (1..3_u8, channels, prop::bool::weighted(0.2))
            .prop_map(|(payment, channels, is_lost)| Op::Retry { payment, channels, is_lost }),
        1 => (1..3_u8).prop_map(Op::Abandon),
        6 => (any::<usize>(), verdicts).prop_map(|(which, to)| Op::Move { which, to }),
        6 => prop::option::weighted(0.3, 0..8_usize).prop_map(|cut| Op::Plan { cut }),
        6 => prop::bool::weighted(0.7).prop_map(|is_recorded| Op::Tell { is_recorded }),
        1 => (1..4_u8).prop_map(Op::Hide),
        2 => (1..4_u8).prop_map(Op::Show),
        1 => (1..3_u8).prop_map(Op::Drop),
    ]
}

struct Life {
    world: World,
    books: Books,
    /// Every book that was ever durable.
    history: Vec<Book>,
    /// Chooses books; advances with each crash.
    dice: usize,
    generations_given: u8,
    attempts_given: u64,
    /// How many attempts of each generation left the node.
    attempts_made: BTreeMap<Generation, u32>,
    /// The last generation of each id, and those of which an HTLC was durable.
    latest: BTreeMap<PaymentId, Generation>,
    committed: BTreeSet<Generation>,
}

impl Life {
    fn new(books: Books, dice: usize) -> Self {
        let mut world = World::default();
        open(&mut world, &[1, 2, 3]);
        Self {
            world,
            books,
            history: vec![Book::default()],
            dice,
            generations_given: 0,
            attempts_given: 0,
            attempts_made: BTreeMap::new(),
            latest: BTreeMap::new(),
            committed: BTreeSet::new(),
        }
    }

    fn remember(&mut self) {
        if self.history.last() != Some(&self.world.book) {
            self.history.push(self.world.book.clone());
        }
    }

    fn crash(&mut self) {
        self.remember();
        let book = match self.books {
            Books::OneLog => self.world.book.clone(),
            Books::Any => {
                self.dice = self.dice.wrapping_mul(31).wrapping_add(7);
                self.history[self.dice % self.history.len()].clone()
            }
        };
        self.world.crash(book);
    }

    fn lines_of(&self, generation: Generation) -> Vec<(HtlcKey, Verdict, bool, bool)> {
        let mut lines = Vec::new();
        for sheet in self.world.sheets.values() {
            for line in sheet.lines.values() {
                if let HtlcOrigin::Payment(origin) = &line.htlc.origin
                    && origin.generation == generation
                {
                    let key = HtlcKey {
                        channel_id: sheet.channel_id,
                        direction: line.htlc.direction,
                        htlc_id: line.htlc.htlc_id,
                    };
                    let is_readable = sheet.bytes == Bytes::Present;
                    lines.push((key, line.verdict, line.delivered.is_some(), is_readable));
                }
            }
        }
        lines
    }

    fn keys(&self, is_meant: impl Fn(Verdict, bool) -> bool) -> Vec<HtlcKey> {
        let generations = self.committed.iter();
        let lines = generations.flat_map(|generation| self.lines_of(*generation));
        lines.filter(|line| is_meant(line.1, line.2)).map(|line| line.0).collect()
    }

    /// Both halves of rule R8, the ledgers' half of what is durable, readable or not.
    fn is_free(&self, payment_id: PaymentId) -> bool {
        let is_book_free = self
            .world
            .book
            .0
            .get(&payment_id)
            .is_none_or(|entry| matches!(entry.state, PaymentState::Handled(_)));
        let is_undelivered = |line: &crate::world::Line| {
            line.delivered.is_none()
                && matches!(&line.htlc.origin, HtlcOrigin::Payment(o) if o.payment_id == payment_id)
        };
        let lines = self.world.sheets.values().flat_map(|sheet| sheet.lines.values());
        is_book_free && !lines.into_iter().any(is_undelivered)
    }

    fn act(&mut self, op: &Op) {
        match op {
            Op::Pay { payment, channels, attempts_max, is_lost } => {
                let is_readable = channels
                    .iter()
                    .all(|byte| self.world.sheets[&channel(*byte)].bytes == Bytes::Present);
                if is_readable && self.is_free(id(*payment)) && self.generations_given < 200 {
                    self.pay(*payment, channels, *attempts_max, *is_lost);
                }
            }
            Op::Retry { payment, channels, is_lost } => self.retry(*payment, channels, *is_lost),
            Op::Abandon(payment) => self.abandon(id(*payment)),
            Op::Move { which, to } => {
                let open = self.keys(|verdict, _| !verdict.is_final());
                if !open.is_empty() {
                    self.world.line(open[which % open.len()]).verdict = *to;
                }
            }
            Op::Plan { cut } => {
                let plan = self.plan();
                let count = cut.unwrap_or(plan.actions.len());
                for planned in plan.actions.iter().take(count) {
                    self.world.execute(&planned.action);
                    self.remember();
                }
                if cut.is_some() {
                    self.crash();
                }
            }
            Op::Tell { is_recorded } => self.tell(*is_recorded),
            Op::Hide(byte) => self.set(*byte, Bytes::Damaged),
            Op::Show(byte) => self.set(*byte, Bytes::Present),
            Op::Drop(payment) => {
                let payment_id = id(*payment);
                if self.world.with_view(|view| may_drop(payment_id, view)) {
                    let generation = self.world.book.0[&payment_id].intent.generation;
                    self.world.book.apply(&PaymentRecord::Dropped { payment_id, generation });
                    self.remember();
                }
            }
        }
    }

    /// With one log the live path and the start must agree.
    fn plan(&self) -> lastword_reload::Plan {
        let plan = self.world.plan_all();
        if self.books == Books::OneLog {
            let payments = BTreeSet::from([id(1), id(2)]);
            let scope =
                Scope::Changed { payments, forwards: BTreeSet::new(), received: BTreeSet::new() };
            assert_eq!(self.world.plan(&scope), plan);
        }
        plan
    }

    /// A monitor is set apart when it is read, which is at a start; once it is repaired, everything
    /// is planned again before anything more is told.
    fn set(&mut self, byte: u8, bytes: Bytes) {
        if bytes == Bytes::Damaged {
            self.crash();
        }
        self.world.sheets.get_mut(&channel(byte)).unwrap().bytes = bytes;
        if bytes == Bytes::Present {
            self.execute_all();
        }
    }

    fn execute_all(&mut self) {
        for planned in self.plan().actions {
            self.world.execute(&planned.action);
            self.remember();
        }
    }

    fn pay(&mut self, payment: u8, channels: &[u8], attempts_max: u32, is_lost: bool) {
        self.generations_given += 1;
        let mut intent = intent_of(payment, self.generations_given, channels);
        intent.terms.retry.attempts_max = attempts_max;
        self.latest.insert(intent.payment_id, intent.generation);
        self.world.book.apply(&PaymentRecord::Intent(intent.clone()));
        self.remember();
        if is_lost {
            self.crash();
        } else {
            add(&mut self.world, &intent, &vec![LIVE; channels.len()]);
            self.committed.insert(intent.generation);
            self.attempts_made.insert(intent.generation, 1);
        }
    }

    fn retry(&mut self, payment: u8, channels: &[u8], is_lost: bool) {
        let payment_id = id(payment);
        // A start plans before anybody is heard.
        self.execute_all();
        let Some(owed) = self.world.with_view(|view| retry_owed(payment_id, view)) else {
            return;
        };
        self.check_retry(&owed);
        self.attempts_given += 1;
        let held = self.world.book.0[&payment_id].intent.clone();
        let mut parts = intent_of(payment, 0, channels).parts;
        for part in &mut parts {
            part.htlc_id.0 += 1_000 * self.attempts_given;
        }
        let fee = AmountMsat(FEE.0 + self.attempts_given);
        let generation = owed.generation;
        let attempt = owed.intent(&held, fee, parts);
        self.world.book.apply(&PaymentRecord::Retried(attempt.clone()));
        self.remember();
        if is_lost {
            self.crash();
        } else {
            add(&mut self.world, &attempt, &vec![LIVE; channels.len()]);
            *self.attempts_made.entry(generation).or_default() += 1;
        }
    }

    /// What must hold whenever another attempt may be made: after a last word there is none, and
    /// none while another can be paid.
    fn check_retry(&self, owed: &RetryOwed) {
        let mut told = self.world.told.iter().filter_map(Event::key);
        assert!(
            !told.any(|key| key.generation == owed.generation && key.kind.is_terminal()),
            "a retry after the last word"
        );
        let lines = self.lines_of(owed.generation);
        assert!(lines.iter().all(|line| matches!(line.1, Verdict::Failed { .. })), "paid twice");
        assert_eq!(owed.attempt, self.attempts_made[&owed.generation], "each number once");
    }

    /// As the engine does it: the record, and what the plan makes of it.
    fn abandon(&mut self, payment_id: PaymentId) {
        let Some(entry) = self.world.book.0.get(&payment_id) else { return };
        let generation = entry.intent.generation;
        if entry.state == PaymentState::Pending && !entry.is_abandoned {
            self.world.book.apply(&PaymentRecord::Abandoned { payment_id, generation });
            self.remember();
            self.execute_all();
        }
    }

    fn tell(&mut self, is_recorded: bool) {
        let Some(event) = self.world.tell_next() else { return };
        self.check_told(&event);
        if is_recorded {
            self.world.book.apply(&PaymentRecord::Handled { key: event.key().unwrap() });
            self.remember();
            // What the handler's return makes due is planned at once.
            self.execute_all();
        } else {
            self.crash();
        }
    }

    /// What must hold whenever the user hears something.
    fn check_told(&self, event: &Event) {
        let key = event.key().unwrap();
        let lines = self.lines_of(key.generation);
        let is_committed = self.committed.contains(&key.generation);
        if is_committed || self.books == Books::OneLog {
            assert_eq!(self.latest[&key.payment_id], key.generation, "V7, an older generation");
        }
        let is_readably_over = lines.iter().any(|line| line.2 && line.3);
        let any = |wanted: fn(Verdict) -> bool| lines.iter().any(|line| wanted(line.1));
        let is_taken = any(|verdict| matches!(verdict, Verdict::Fulfilled { .. }));
        let is_open = any(|verdict| !verdict.is_final());
        match key.kind {
            EventKind::Sent => {
                assert!(is_taken, "V4, nobody was paid");
                assert!(!is_readably_over, "V2, told after a release");
            }
            EventKind::Failed => {
                assert!(!is_taken && !is_open, "V5, somebody can be paid");
                assert!(!is_readably_over, "V2, told after a release");
            }
            EventKind::Probed => panic!("nobody probes"),
            EventKind::Unknown => panic!("no trace is dropped in this world"),
            EventKind::Claimed => panic!("nobody pays us"),
            EventKind::PathFailed { .. } => {
                let mut told = self.world.told.iter().filter_map(Event::key);
                assert!(!told.any(|other| {
                    other.generation == key.generation && other.kind == EventKind::Sent
                }));
            }
            EventKind::PathSuccessful { .. } => {
                let mut told = self.world.told.iter().filter_map(Event::key);
                assert!(told.any(|other| {
                    other.generation == key.generation && other.kind == EventKind::Sent
                }));
            }
        }
        self.check_one_last_word();
    }

    /// V1: every repetition of a generation's last word is identical.
    fn check_one_last_word(&self) {
        let mut words: BTreeMap<Generation, &Event> = BTreeMap::new();
        for event in &self.world.told {
            let key = event.key().unwrap();
            if key.kind.is_terminal() {
                let first = words.entry(key.generation).or_insert(event);
                assert_eq!(*first, event, "one last word");
            }
        }
    }

    /// V3: without further crashes everything comes to its end.
    fn end(mut self) {
        for byte in 1..4 {
            self.set(byte, Bytes::Present);
        }
        for (n, key) in self.keys(|verdict, _| !verdict.is_final()).into_iter().enumerate() {
            self.world.line(key).verdict = if n % 2 == 0 { FULFILLED } else { FAILED };
        }
        self.world.settle();
        // Nobody tries again: what may still be tried is given up.
        for payment in 1..3 {
            self.abandon(id(payment));
        }
        self.world.settle();
        assert!(self.world.plan_all().is_empty(), "quiet");
        assert_eq!(self.keys(|_, is_delivered| !is_delivered), [], "everything is released");
        self.check_one_last_word();
        let told: BTreeSet<Generation> = self
            .world
            .told
            .iter()
            .filter_map(Event::key)
            .filter(|key| key.kind.is_terminal())
            .map(|key| key.generation)
            .collect();
        for generation in &self.committed {
            assert!(told.contains(generation), "every generation has its last word");
        }
        if self.books == Books::OneLog {
            let given = self.generations_given;
            assert_eq!(told.len(), usize::from(given), "those of which nothing left, too");
        }
        for payment in 1..3 {
            assert!(self.is_free(id(payment)), "the id is free again");
        }
    }
}

fn live(books: Books, dice: usize, ops: &[Op]) {
    let mut life = Life::new(books, dice);
    for op in ops {
        life.act(op);
    }
    life.end();
}

proptest! {
    #[test]
    fn with_one_log_every_generation_has_one_last_word(
        ops in prop::collection::vec(ops(), 0..80),
    ) {
        live(Books::OneLog, 0, &ops);
    }

    #[test]
    fn with_any_book_every_generation_that_left_has_one_last_word(
        dice in any::<usize>(),
        ops in prop::collection::vec(ops(), 0..80),
    ) {
        live(Books::Any, dice, &ops);
    }
}
