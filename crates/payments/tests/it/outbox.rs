//! The order in which events leave the outbox.

use lastword_payments::Outbox;
use lastword_types::{Alarm, Event, EventKind, HtlcKey};

use crate::tools::{event, id, intent, path_failed, path_taken};

fn alarm(byte: u8) -> Alarm {
    let htlc: HtlcKey = intent(byte, 1, 1).parts[0].key();
    Alarm::FinalityViolated { htlc }
}

/// Takes and handles everything.
fn drain(outbox: &mut Outbox) -> Vec<Event> {
    let mut told = Vec::new();
    while let Some(event) = outbox.next() {
        outbox.handled(&event);
        told.push(event);
    }
    assert!(outbox.is_idle());
    told
}

#[test]
fn a_payments_events_come_in_the_order_of_their_kinds() {
    let mut outbox = Outbox::new();
    let (paths, end) = ([path_failed(0), path_failed(1)], EventKind::Failed);
    outbox.set(id(1), vec![event(1, end), event(1, paths[1]), event(1, paths[0])]);
    assert_eq!(drain(&mut outbox), [event(1, paths[0]), event(1, paths[1]), event(1, end)]);

    outbox.set(id(1), vec![event(1, path_taken(0)), event(1, EventKind::Sent)]);
    assert_eq!(drain(&mut outbox), [event(1, EventKind::Sent), event(1, path_taken(0))]);
}

#[test]
fn the_next_event_of_a_payment_waits_for_the_one_before() {
    let mut outbox = Outbox::new();
    outbox.set(id(1), vec![event(1, path_failed(0)), event(1, EventKind::Failed)]);
    let first = outbox.next().unwrap();
    assert_eq!(outbox.next(), None, "one at a time");
    assert!(!outbox.is_idle());
    outbox.handled(&first);
    assert_eq!(outbox.next(), Some(event(1, EventKind::Failed)));
}

#[test]
fn a_failing_event_delays_only_its_own_payment() {
    let mut outbox = Outbox::new();
    for payment in 1..=3 {
        outbox.set(
            id(payment),
            vec![event(payment, path_failed(0)), event(payment, EventKind::Failed)],
        );
    }
    let bad = outbox.next().unwrap();
    assert_eq!(bad, event(1, path_failed(0)));
    outbox.failed(&bad);
    for payment in 2..=3 {
        let good = outbox.next().unwrap();
        assert_eq!(
            good,
            event(payment, path_failed(0)),
            "it waits until the others had their turn"
        );
        outbox.handled(&good);
    }
    assert_eq!(outbox.next(), Some(bad.clone()), "and is told again before what follows it");
    outbox.handled(&bad);
    let rest: Vec<Event> = [2, 3, 1].map(|payment| event(payment, EventKind::Failed)).into();
    assert_eq!(drain(&mut outbox), rest);
}

#[test]
fn payments_take_turns() {
    let mut outbox = Outbox::new();
    outbox.set(
        id(1),
        vec![event(1, EventKind::Sent), event(1, path_taken(0)), event(1, path_taken(1))],
    );
    outbox.set(id(2), vec![event(2, EventKind::Sent)]);
    let order: Vec<Event> = drain(&mut outbox);
    assert_eq!(order[1], event(2, EventKind::Sent));
}

#[test]
fn several_payments_can_be_in_flight() {
    let mut outbox = Outbox::new();
    outbox.set(id(1), vec![event(1, EventKind::Sent)]);
    outbox.set(id(2), vec![event(2, EventKind::Sent)]);
    let (first, second) = (outbox.next().unwrap(), outbox.next().unwrap());
    assert_eq!(outbox.next(), None);
    outbox.handled(&second);
    assert!(!outbox.is_idle());
    outbox.handled(&first);
    assert!(outbox.is_idle());
}

#[test]
fn what_is_set_replaces_what_waits() {
    let mut outbox = Outbox::new();
    outbox.set(id(1), vec![event(1, path_failed(0))]);
    outbox.set(id(1), vec![event(1, EventKind::Sent)]);
    outbox.set(id(2), vec![event(2, EventKind::Failed)]);
    outbox.set(id(2), Vec::new());
    assert_eq!(drain(&mut outbox), [event(1, EventKind::Sent)]);
}

#[test]
fn an_event_in_flight_is_kept_and_not_queued_twice() {
    let mut outbox = Outbox::new();
    outbox.set(id(1), vec![event(1, EventKind::Sent)]);
    let running = outbox.next().unwrap();
    outbox.set(id(1), vec![event(1, EventKind::Sent), event(1, path_taken(0))]);
    assert_eq!(outbox.next(), None);
    outbox.handled(&running);
    assert_eq!(drain(&mut outbox), [event(1, path_taken(0))]);
}

#[test]
fn an_event_that_is_no_longer_wanted_does_not_come_again_when_its_handler_fails() {
    let mut outbox = Outbox::new();
    outbox.set(id(1), vec![event(1, path_failed(0))]);
    let running = outbox.next().unwrap();
    outbox.set(id(1), vec![event(1, EventKind::Sent)]);
    outbox.failed(&running);
    assert_eq!(drain(&mut outbox), [event(1, EventKind::Sent)]);

    outbox.set(id(1), vec![event(1, EventKind::Sent)]);
    let running = outbox.next().unwrap();
    outbox.set(id(1), vec![event(1, EventKind::Sent)]);
    outbox.failed(&running);
    assert_eq!(outbox.next(), Some(running), "one that is still wanted does");
}

#[test]
fn an_event_that_failed_takes_its_place_in_the_order() {
    let mut outbox = Outbox::new();
    outbox.set(id(1), vec![event(1, path_failed(1))]);
    let running = outbox.next().unwrap();
    outbox.set(id(1), vec![event(1, path_failed(1)), event(1, path_failed(0))]);
    outbox.failed(&running);
    assert_eq!(drain(&mut outbox), [event(1, path_failed(0)), event(1, path_failed(1))]);
}

#[test]
fn foreign_and_repeated_events_are_left_out() {
    let mut outbox = Outbox::new();
    outbox.set(
        id(1),
        vec![
            event(2, EventKind::Sent),
            Event::Alarm(alarm(1)),
            event(1, EventKind::Sent),
            event(1, EventKind::Sent),
        ],
    );
    assert_eq!(drain(&mut outbox), [event(1, EventKind::Sent)]);
    outbox.handled(&event(1, EventKind::Sent));
    outbox.failed(&event(1, EventKind::Sent));
    outbox.failed(&Event::Alarm(alarm(1)));
    assert!(outbox.is_idle(), "what is not in flight is ignored");
}

#[test]
fn an_alarm_is_told_once_and_again_only_if_its_handler_failed() {
    let mut outbox = Outbox::new();
    outbox.push_alarm(alarm(1));
    outbox.push_alarm(alarm(2));
    outbox.push_alarm(alarm(1));
    outbox.set(id(1), vec![event(1, EventKind::Sent)]);
    let first = outbox.next().unwrap();
    assert_eq!(first, Event::Alarm(alarm(1)));
    assert_eq!(outbox.next(), Some(event(1, EventKind::Sent)), "alarms come one at a time");
    outbox.handled(&event(1, EventKind::Sent));
    outbox.failed(&first);
    assert_eq!(drain(&mut outbox), [Event::Alarm(alarm(2)), first.clone()]);
    outbox.push_alarm(alarm(1));
    assert!(outbox.is_idle());
}
