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

/// What the rules say of a case.
struct Rules {
    known: Known,
    seen: [Seen; 2],
    sent: Outcome,
}

impl Rules {
    fn any(&self, wanted: Seen) -> bool {
        self.seen.contains(&wanted)
    }

    fn letter(&self, outcome: Outcome) -> char {
        if outcome == self.sent { 's' } else { 'f' }
    }

    /// The undelivered parts of this verdict.
    fn parts(&self, verdict: Verdict) -> Vec<usize> {
        (0..2).filter(|part| self.seen[*part] == Undelivered(verdict)).collect()
    }

    fn taken(&self) -> Vec<String> {
        self.parts(FULFILLED).iter().map(|part| format!("s{part}")).collect()
    }

    fn lost(&self) -> Vec<String> {
        self.parts(FAILED).iter().map(|part| format!("f{part}")).collect()
    }

    fn releases(&self, outcome: Outcome, verdicts: &[Verdict]) -> Vec<String> {
        let mut parts: Vec<usize> =
            verdicts.iter().flat_map(|verdict| self.parts(*verdict)).collect();
        parts.sort_unstable();
        parts.iter().map(|part| format!("R{}{}", self.letter(outcome), part + 1)).collect()
    }

    /// What the ledgers prove that the user knows.
    fn told(&self) -> Option<Outcome> {
        if self.seen.iter().any(|seen| matches!(seen, ToldSent(_))) {
            return Some(self.sent);
        }
        self.any(ToldFailed).then(failed)
    }

    /// What the undelivered entries come to.
    fn certain(&self) -> Option<Outcome> {
        let is_open = self.any(Undelivered(LIVE)) || self.any(Undelivered(FAILING));
        if self.any(Undelivered(FULFILLED)) {
            Some(self.sent)
        } else {
            (!is_open && !self.any(Unreadable)).then(failed)
        }
    }

    /// The whole plan, written like [`short`].
    fn expected(&self) -> String {
        let has_undelivered = self.seen.iter().any(|seen| matches!(seen, Undelivered(_)));
        let mut words = Vec::new();
        match (self.known, self.told()) {
            (Known::Nothing, _) if !has_undelivered => return String::new(),
            (Known::Handled(handled), told) => return self.after_the_word(handled, told),
            (Known::Nothing, _) => words.push("B".into()),
            (Known::Pending | Known::Decided(_), _) => {}
        }
        words.extend(match self.told() {
            Some(told) => self.in_silence(told),
            None => self.undecided(),
        });
        words.join(" ")
    }

    fn after_the_word(&self, handled: Outcome, told: Option<Outcome>) -> String {
        let outcome = told.unwrap_or(handled);
        if handled != self.sent || outcome != self.sent {
            return self.releases(outcome, &[FAILED, FULFILLED]).join(" ");
        }
        let taken = self.taken();
        let mut words: Vec<String> = if taken.is_empty() { Vec::new() } else { vec![tell(&taken)] };
        words.extend(self.releases(outcome, &[FAILED]));
        words.join(" ")
    }

    fn in_silence(&self, told: Outcome) -> Vec<String> {
        let mut words = vec![format!("A{}", self.letter(told))];
        if told == self.sent {
            words.extend(self.taken().iter().map(|_| "H".into()));
        }
        words.push(tell(&[]));
        words.extend(self.releases(told, &[FAILED, FULFILLED]));
        words
    }

    fn undecided(&self) -> Vec<String> {
        let recorded = match self.known {
            Known::Decided(outcome) => Some(outcome),
            Known::Nothing | Known::Pending | Known::Handled(_) => None,
        };
        let certain = self.certain();
        let is_denied = recorded.is_some_and(|recorded| match certain {
            Some(certain) => self.letter(certain) != self.letter(recorded),
            None => !self.any(Unreadable),
        });
        let mut words: Vec<String> = Vec::new();
        if is_denied {
            words.push("B".into());
        }
        if let Some(outcome) = certain {
            if recorded.is_none() || is_denied {
                words.push(format!("D{}", self.letter(outcome)));
            }
            words.push(if outcome == self.sent {
                tell(&[vec!["S".into()], self.taken()].concat())
            } else {
                tell(&[self.lost(), vec!["F".into()]].concat())
            });
        } else if self.any(Unreadable) {
            let damaged = (0..2).filter(|part: &usize| self.seen[*part] == Unreadable);
            words.extend(damaged.map(|part| format!("W{}", part + 1)));
        } else if is_denied || !self.lost().is_empty() {
            words.push(tell(&self.lost()));
        }
        words
    }
}

fn tell(events: &[String]) -> String {
    format!("T[{}]", events.join(" "))
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
                let rules = Rules { known, seen, sent };
                assert_eq!(short(&plan), rules.expected(), "{known:?} {seen:?}");
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
