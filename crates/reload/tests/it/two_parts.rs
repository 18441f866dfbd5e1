//! A payment of two parts: every state of the book against every pair of ledger states.
//!
//! The expectation is said a second time, as rules over what the two entries show, not as the steps
//! by which the plan finds it.

use lastword_types::{Outcome, PaymentState, Verdict};

use crate::tools::{
    FAILED, FAILING, FULFILLED, LIVE, add_part, deliver, events, failed, intent, note, open,
    sent_for, set_bytes, short,
};
use crate::world::{Bytes, World};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    NoEntry,
    Unreadable,
    Undelivered(Verdict),
    ToldSent(Verdict),
    ToldFailed,
}

use Seen::{NoEntry, ToldFailed, ToldSent, Undelivered, Unreadable};

const SEEN: [Seen; 9] = [
    NoEntry,
    Unreadable,
    Undelivered(LIVE),
    Undelivered(FAILING),
    Undelivered(FULFILLED),
    Undelivered(FAILED),
    ToldSent(FULFILLED),
    ToldSent(FAILED),
    ToldFailed,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Pending,
    Decided(Outcome),
    Handled(Outcome),
}

fn world(known: Known, seen: [Seen; 2]) -> World {
    let intent = intent(1, &[1, 2]);
    let mut world = World::default();
    open(&mut world, &[1, 2]);
    match known {
        Known::Nothing => {}
        Known::Pending => note(&mut world, &intent, PaymentState::Pending),
        Known::Decided(outcome) => note(&mut world, &intent, PaymentState::Decided(outcome)),
        Known::Handled(outcome) => note(&mut world, &intent, PaymentState::Handled(outcome)),
    }
    for (part, seen) in (0_u16..).zip(seen) {
        let index = usize::from(part);
        match seen {
            NoEntry => {}
            Unreadable => set_bytes(&mut world, [1, 2][index], Bytes::Damaged),
            Undelivered(verdict) => drop(add_part(&mut world, &intent, part, verdict)),
            ToldSent(verdict) => {
                add_part(&mut world, &intent, part, verdict);
                deliver(&mut world, &intent, index, sent_for(&intent));
            }
            ToldFailed => {
                add_part(&mut world, &intent, part, FAILED);
                deliver(&mut world, &intent, index, failed());
            }
        }
    }
    world
}

/// What the rules say, written like [`short`].
fn expected(known: Known, seen: [Seen; 2], sent: Outcome) -> String {
    let any = |wanted: Seen| seen.contains(&wanted);
    let is_told_sent = seen.iter().any(|seen| matches!(seen, ToldSent(_)));
    let told = if is_told_sent { Some(sent) } else { any(ToldFailed).then(failed) };
    let has_undelivered = seen.iter().any(|seen| matches!(seen, Undelivered(_)));
    if known == Known::Nothing && !has_undelivered {
        return String::new();
    }
    let letter = |outcome: Outcome| if outcome == sent { 's' } else { 'f' };
    let mut words: Vec<String> = Vec::new();
    if known == Known::Nothing {
        words.push("B".into());
    }
    // The taken parts, and the failed ones, that no release covers.
    let which = |verdict: Verdict| {
        [0, 1].into_iter().filter(move |part: &usize| seen[*part] == Undelivered(verdict))
    };
    let taken: Vec<String> = which(FULFILLED).map(|part| format!("s{part}")).collect();
    let lost: Vec<String> = which(FAILED).map(|part| format!("f{part}")).collect();
    let releases = |outcome: Outcome, verdicts: &[Verdict]| -> Vec<String> {
        let is_meant =
            |part: &usize| verdicts.iter().any(|verdict| seen[*part] == Undelivered(*verdict));
        let parts = [0, 1].into_iter().filter(is_meant);
        parts.map(|part| format!("R{}{}", letter(outcome), part + 1)).collect()
    };
    let tell = |events: &[String]| format!("T[{}]", events.join(" "));

    if let Known::Handled(handled) = known {
        let outcome = told.unwrap_or(handled);
        if handled == sent && outcome == sent {
            if !taken.is_empty() {
                words.push(tell(&taken));
            }
            words.extend(releases(outcome, &[FAILED]));
        } else {
            words.extend(releases(outcome, &[FAILED, FULFILLED]));
        }
        return words.join(" ");
    }
    if let Some(told) = told {
        words.push(format!("A{}", letter(told)));
        if told == sent {
            words.extend(taken.iter().map(|_| "H".into()));
        }
        words.push(tell(&[]));
        words.extend(releases(told, &[FAILED, FULFILLED]));
        return words.join(" ");
    }
    let is_open = any(Undelivered(LIVE)) || any(Undelivered(FAILING));
    let certain = if any(Undelivered(FULFILLED)) {
        Some(sent)
    } else {
        (!is_open && !any(Unreadable)).then(failed)
    };
    let recorded = match known {
        Known::Decided(outcome) => Some(outcome),
        Known::Nothing | Known::Pending | Known::Handled(_) => None,
    };
    let is_denied = recorded.is_some()
        && match certain {
            Some(certain) => Some(letter(certain)) != recorded.map(letter),
            None => !any(Unreadable),
        };
    if is_denied {
        words.push("B".into());
    }
    match certain {
        Some(outcome) => {
            if recorded.is_none() || is_denied {
                words.push(format!("D{}", letter(outcome)));
            }
            let mut queue = if outcome == sent { taken.clone() } else { lost.clone() };
            let place = if outcome == sent { 0 } else { queue.len() };
            queue.insert(place, if outcome == sent { "S".into() } else { "F".into() });
            words.push(tell(&queue));
        }
        None => {
            let is_silent = recorded == Some(sent) && !is_denied;
            if (!lost.is_empty() && !is_silent) || is_denied {
                words.push(tell(&lost));
            }
            if any(Unreadable) {
                let damaged = [0, 1].into_iter().filter(|part: &usize| seen[*part] == Unreadable);
                words.extend(damaged.map(|part| format!("W{}", part + 1)));
            }
        }
    }
    words.join(" ")
}

#[test]
fn every_book_meets_every_pair_of_ledgers() {
    let sent = sent_for(&intent(1, &[1, 2]));
    let books = [
        Known::Nothing,
        Known::Pending,
        Known::Decided(sent),
        Known::Decided(failed()),
        Known::Handled(sent),
        Known::Handled(failed()),
    ];
    let mut cases_count = 0;
    for known in books {
        for first in SEEN {
            for second in SEEN {
                let seen = [first, second];
                let plan = world(known, seen).plan_all();
                assert_eq!(short(&plan), expected(known, seen, sent), "{known:?} {seen:?}");
                cases_count += 1;
            }
        }
    }
    assert_eq!(cases_count, 6 * 81);
}

/// The product in one table: whatever the book knew, the user hears the same last word.
#[test]
fn with_any_book_and_with_none_the_terminal_event_is_the_same_field_for_field() {
    let finals = [Undelivered(FULFILLED), Undelivered(FAILED), NoEntry];
    for first in finals {
        for second in finals {
            let seen = [first, second];
            if seen == [NoEntry, NoEntry] {
                // Without any HTLC only the book knows of the payment.
                continue;
            }
            let mut tales = Vec::new();
            for known in [Known::Nothing, Known::Pending] {
                let mut world = world(known, seen);
                world.settle();
                tales.push(world.told);
            }
            assert_eq!(tales[0], tales[1], "{seen:?}");
            assert_eq!(
                tales[0].iter().filter(|event| event.key().unwrap().kind.is_terminal()).count(),
                1
            );
        }
    }
}

#[test]
fn a_sent_payment_is_told_in_order_and_its_failed_part_in_silence() {
    let mut world = world(Known::Pending, [Undelivered(FAILED), Undelivered(FULFILLED)]);
    world.settle();
    assert_eq!(events(&world.told), "S s1");
    assert!(world.plan_all().is_empty());
}

#[test]
fn a_part_that_failed_while_the_other_was_open_was_told_before() {
    let mut world = world(Known::Pending, [Undelivered(FAILED), Undelivered(LIVE)]);
    world.settle();
    assert_eq!(events(&world.told), "f0");
    let second = intent(1, &[1, 2]).parts[1].key();
    world.line(second).verdict = FAILED;
    world.settle();
    assert_eq!(events(&world.told), "f0 f1 F", "and not again");
}

#[test]
fn the_least_reason_is_told() {
    use lastword_types::{Event, HtlcFailure};
    let removed = Verdict::Failed { reason: HtlcFailure::Removed { code: 0x1007 } };
    for seen in [[FAILED, removed], [removed, FAILED]] {
        let mut world = world(Known::Pending, seen.map(Undelivered));
        world.settle();
        let Some(Event::PaymentFailed { reason, .. }) = world.told.last() else {
            panic!("a last word");
        };
        assert_eq!(*reason, HtlcFailure::Removed { code: 0x1007 });
    }
}
