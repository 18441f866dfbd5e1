//! The order in which events leave the outbox.

use lastword_payments::{CursorError, Outbox};
use lastword_types::{Alarm, Cursor, Event, EventKind, HtlcKey};

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

fn events(read: &[(Cursor, Event)]) -> Vec<Event> {
    read.iter().map(|(_, event)| event.clone()).collect()
}

/// Acknowledges as a driver does.
fn acknowledge(outbox: &mut Outbox, cursor: Cursor) {
    for event in outbox.acknowledged(cursor).unwrap() {
        outbox.handled(&event);
    }
}

#[test]
fn a_reader_goes_on_behind_its_cursor_and_each_payment_keeps_its_order() {
    let mut outbox = Outbox::with_epoch(7);
    for payment in 1..4 {
        outbox
            .set(id(payment), vec![event(payment, EventKind::Sent), event(payment, path_taken(0))]);
    }
    let first = outbox.read_after(None, 2);
    assert_eq!(events(&first), [event(1, EventKind::Sent), event(2, EventKind::Sent)]);
    assert_eq!(first[1].0, Cursor { epoch: 7, position: 2 });
    let second = outbox.read_after(Some(first[1].0), 9);
    assert_eq!(events(&second), [event(3, EventKind::Sent)], "the paths wait for their payments");
    assert_eq!(outbox.read_after(Some(second[0].0), 9), []);
    // What was read and not acknowledged comes again, at its place.
    assert_eq!(outbox.read_after(Some(first[0].0), 1), first[1..]);
    assert_eq!(outbox.read_after(None, 9), [first.clone(), second.clone()].concat());
    acknowledge(&mut outbox, first[1].0);
    let third = outbox.read_after(Some(second[0].0), 9);
    assert_eq!(events(&third), [event(1, path_taken(0)), event(2, path_taken(0))]);
    assert_eq!(third[1].0.position, 5);
    acknowledge(&mut outbox, third[1].0);
    assert_eq!(events(&outbox.read_after(Some(third[1].0), 9)), [event(3, path_taken(0))]);
    acknowledge(&mut outbox, Cursor { epoch: 7, position: 6 });
    acknowledge(&mut outbox, first[0].0);
    assert!(outbox.is_idle(), "an old place once more is no mistake");
}

#[test]
fn a_cursor_of_another_epoch_reads_from_the_start_and_acknowledges_nothing() {
    let mut outbox = Outbox::with_epoch(7);
    outbox.push_alarm(alarm(1));
    outbox.set(id(1), vec![event(1, EventKind::Sent)]);
    let all = outbox.read_after(Some(Cursor { epoch: 6, position: 99 }), 9);
    assert_eq!(events(&all), [Event::Alarm(alarm(1)), event(1, EventKind::Sent)]);
    let stale = Cursor { epoch: 6, position: 99 };
    assert_eq!(outbox.read_after(Some(stale), 9), all, "from the start, though all was read");
    let cursor = Cursor { epoch: 6, position: 1 };
    assert_eq!(outbox.acknowledged(cursor), Err(CursorError::OtherEpoch { cursor, epoch: 7 }));
    let cursor = Cursor { epoch: 7, position: 3 };
    assert_eq!(outbox.acknowledged(cursor), Err(CursorError::NeverTold { cursor, last: 2 }));
    assert_eq!(events(&outbox.read_after(None, 9)), events(&all), "nothing was acknowledged");
    acknowledge(&mut outbox, all[1].0);
    assert!(outbox.is_idle());
}

#[test]
fn what_is_set_anew_while_a_reader_holds_it_is_not_read_twice() {
    let mut outbox = Outbox::with_epoch(7);
    outbox.set(id(1), vec![event(1, EventKind::Sent)]);
    let read = outbox.read_after(None, 9);
    outbox.set(id(1), vec![event(1, EventKind::Sent), event(1, path_taken(0))]);
    assert_eq!(outbox.read_after(Some(read[0].0), 9), []);
    acknowledge(&mut outbox, read[0].0);
    assert_eq!(events(&outbox.read_after(None, 9)), [event(1, path_taken(0))]);
}

#[test]
fn only_what_was_given_away_and_has_not_come_back_is_in_flight() {
    let mut outbox = Outbox::new();
    let (mine, other) = (event(1, EventKind::Sent), event(2, EventKind::Sent));
    outbox.set(id(1), vec![mine.clone()]);
    assert!(!outbox.is_in_flight(&mine), "it waits");
    assert_eq!(outbox.next(), Some(mine.clone()));
    assert!(outbox.is_in_flight(&mine) && !outbox.is_in_flight(&other));
    assert!(!outbox.is_in_flight(&event(1, EventKind::Failed)), "another one of that payment");
    outbox.handled(&mine);
    assert!(!outbox.is_in_flight(&mine));

    outbox.push_alarm(alarm(1));
    assert!(!outbox.is_in_flight(&Event::Alarm(alarm(1))));
    assert!(outbox.next().is_some());
    assert!(outbox.is_in_flight(&Event::Alarm(alarm(1))));
    assert!(!outbox.is_in_flight(&Event::Alarm(alarm(2))));
}

#[test]
fn a_channel_is_named_by_what_waits_and_by_what_is_in_flight() {
    let mut outbox = Outbox::new();
    let channel_id = alarm(1).channel_id();
    let other = lastword_types::ChannelId([0xee; 32]);
    assert!(!outbox.names(channel_id));
    outbox.push_alarm(alarm(1));
    assert!(outbox.names(channel_id) && !outbox.names(other));
    let told = outbox.next().unwrap();
    assert!(outbox.names(channel_id) && !outbox.names(other));
    outbox.handled(&told);
    assert!(!outbox.names(channel_id));

    let path = event(1, path_failed(0));
    let named = path.channel_id().unwrap();
    outbox.set(id(1), vec![path]);
    assert!(outbox.names(named) && !outbox.names(other));
}
