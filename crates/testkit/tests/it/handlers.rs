//! The suite of event handlers takes a good one and names what is wrong with a bad one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use lastword_ports::{EventHandler, HandlerError};
use lastword_testkit::conformance::{
    Rule, Violation, check_event_handler, event_handler, handler_harness,
};
use lastword_types::{Event, EventKey};

/// How a handler does it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Good,
    /// It counts every call.
    Counts,
    /// It does nothing.
    Idle,
    /// It returns `Ok` for what is only in memory.
    Forgets,
    /// It refuses what it does not know.
    Refuses,
    /// What comes first wins.
    FirstOnly,
    /// It fails the first time, each time it is opened.
    FailsFirst,
}

/// Rows by event, and how often each was written.
type Rows = BTreeMap<Option<EventKey>, u32>;

struct Books {
    manner: Manner,
    disk: Arc<Mutex<Rows>>,
    memory: Mutex<Rows>,
    calls: Mutex<u32>,
}

impl Books {
    fn open(manner: Manner, disk: Arc<Mutex<Rows>>) -> Self {
        Self { manner, disk, memory: Mutex::default(), calls: Mutex::new(0) }
    }

    fn rows(&self) -> Rows {
        let mut rows = self.disk.lock().expect("no call panics").clone();
        rows.extend(self.memory.lock().expect("no call panics").clone());
        rows
    }
}

impl EventHandler for Books {
    fn handle(&self, event: &Event) -> Result<(), HandlerError> {
        let mut calls = self.calls.lock().expect("no call panics");
        *calls += 1;
        let key = event.key();
        let mut disk = self.disk.lock().expect("no call panics");
        match self.manner {
            Manner::Counts => *disk.entry(key).or_insert(0) += 1,
            Manner::Idle => {}
            Manner::Forgets => {
                self.memory.lock().expect("no call panics").entry(key).or_insert(1);
            }
            Manner::Refuses if matches!(event, Event::Probed { .. }) => {
                return Err(HandlerError(None));
            }
            Manner::FirstOnly if !disk.is_empty() => {}
            Manner::FailsFirst if *calls == 1 => return Err(HandlerError(None)),
            Manner::Good | Manner::Refuses | Manner::FirstOnly | Manner::FailsFirst => {
                disk.entry(key).or_insert(1);
            }
        }
        Ok(())
    }
}

fn check(manner: Manner) -> Result<(), Violation> {
    check_event_handler(&mut handler_harness(
        || Books::open(manner, Arc::default()),
        |books: Books| Books::open(manner, books.disk),
        Books::rows,
    ))
}

#[test]
fn a_handler_that_does_each_event_once_passes() {
    event_handler(&mut handler_harness(
        || Books::open(Manner::Good, Arc::default()),
        |books: Books| Books::open(Manner::Good, books.disk),
        Books::rows,
    ));
    assert_eq!(check(Manner::FailsFirst), Ok(()), "a handler may fail now and then");
}

#[test]
fn each_mistake_of_a_handler_is_found_by_its_rule() {
    for (manner, rule) in [
        (Manner::Counts, Rule::HandlerOnce),
        (Manner::Idle, Rule::HandlerActs),
        (Manner::Forgets, Rule::HandlerKeeps),
        (Manner::Refuses, Rule::HandlerTakes),
        (Manner::FirstOnly, Rule::HandlerApart),
    ] {
        let violation = check(manner).expect_err("it is wrong");
        assert_eq!(violation.rule, rule, "{manner:?}: {violation}");
    }
}
