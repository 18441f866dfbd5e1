//! The properties of the plan, on arbitrary worlds: also on those that no rule would lead to.

use std::collections::BTreeSet;

use lastword_reload::{Action, Plan};
use lastword_types::{
    AmountMsat, Generation, HtlcFailure, HtlcOrigin, Intent, OutcomeKind, PaymentId, PaymentState,
    Told, Verdict,
};
use proptest::prelude::*;

use crate::tools::{
    FAILED, FAILING, FULFILLED, LIVE, add_part, channel, failed, id, intent_of, note, open, retry,
    sent_for, set_bytes,
};
use crate::world::{Bytes, Line, World};

/// One part of one generation: whether it has an entry, its verdict, and what was told.
#[derive(Debug, Clone)]
struct Entry {
    verdict: Option<Verdict>,
    told: Option<bool>,
}

#[derive(Debug, Clone)]
struct Tale {
    payment: u8,
    generation: u8,
    attempt: u32,
    attempts_max: u32,
    channels: Vec<u8>,
    entries: Vec<Entry>,
    /// What the book holds, if it holds this generation.
    state: Option<u8>,
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(LIVE),
        Just(FAILING),
        Just(FULFILLED),
        Just(FAILED),
        Just(Verdict::Failed { reason: HtlcFailure::Removed { code: 15 } }),
    ]
}

fn tales() -> impl Strategy<Value = Tale> {
    let entry = (
        prop::option::weighted(0.8, verdicts()),
        prop::option::weighted(0.2, prop::bool::weighted(0.7)),
    )
        .prop_map(|(verdict, told)| Entry { verdict, told });
    (
        1..3_u8,
        1..4_u8,
        (0..2_u32, 1..4_u32),
        prop::sample::subsequence(vec![1_u8, 2, 3], 1..=3).prop_shuffle(),
        prop::collection::vec(entry, 3),
        prop::option::of(0..5_u8),
    )
        .prop_map(
            |(payment, generation, (attempt, attempts_max), channels, entries, state)| Tale {
                payment,
                generation,
                attempt,
                attempts_max,
                channels,
                entries,
                state,
            },
        )
}

fn world_of(tales: &[Tale], unreadable: &BTreeSet<u8>) -> World {
    let mut world = World::default();
    open(&mut world, &[1, 2, 3]);
    for tale in tales {
        // A generation is 16 random bytes: no two payments share one.
        let generation = 10 * tale.payment + tale.generation;
        let mut intent = intent_of(tale.payment, generation, &tale.channels);
        intent.attempt = tale.attempt;
        intent.terms.retry.attempts_max = tale.attempts_max;
        for part in &mut intent.parts {
            part.htlc_id.0 += 1_000 * u64::from(tale.attempt);
        }
        let outcome_of = |is_sent: bool| if is_sent { sent_for(&intent) } else { failed() };
        for (part, entry) in intent.parts.iter().zip(&tale.entries) {
            let index = intent.parts.iter().position(|other| other == part).unwrap();
            if let Some(verdict) = entry.verdict {
                let key = add_part(&mut world, &intent, u16::try_from(index).unwrap(), verdict);
                let generation = intent.generation;
                world.line(key).delivered = entry
                    .told
                    .filter(|_| verdict.is_final())
                    .map(|is_sent| Told::Payment { generation, outcome: outcome_of(is_sent) });
            }
        }
        match tale.state {
            None => {}
            Some(0) => note(&mut world, &intent, PaymentState::Pending),
            Some(n @ 1..=2) => {
                note(&mut world, &intent, PaymentState::Decided(outcome_of(n == 1)));
            }
            Some(n) => note(&mut world, &intent, PaymentState::Handled(outcome_of(n == 3))),
        }
    }
    for byte in unreadable {
        set_bytes(&mut world, *byte, Bytes::Damaged);
    }
    world
}

fn worlds() -> impl Strategy<Value = World> {
    let unreadable = prop::collection::btree_set(1..4_u8, 0..2);
    (prop::collection::vec(tales(), 0..5), unreadable)
        .prop_map(|(tales, unreadable)| world_of(&tales, &unreadable))
}

fn execute(world: &mut World, plan: &Plan) {
    for planned in &plan.actions {
        world.execute(&planned.action);
    }
}

fn payment_of(line: &Line) -> Option<PaymentId> {
    match &line.htlc.origin {
        HtlcOrigin::Payment(origin) => Some(origin.payment_id),
        HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => None,
    }
}

fn readable_lines(world: &World) -> Vec<Line> {
    let sheets = world.sheets.values().filter(|sheet| sheet.bytes == Bytes::Present);
    sheets.flat_map(|sheet| sheet.lines.values().cloned()).collect()
}

fn open_generations(world: &World, payment_id: PaymentId) -> BTreeSet<Generation> {
    let lines = world.sheets.values().flat_map(|sheet| sheet.lines.values());
    lines
        .filter(|line| line.delivered.is_none())
        .filter_map(|line| match &line.htlc.origin {
            HtlcOrigin::Payment(origin) if origin.payment_id == payment_id => {
                Some(origin.generation)
            }
            HtlcOrigin::Payment(_)
            | HtlcOrigin::Forward(_)
            | HtlcOrigin::Ours
            | HtlcOrigin::Forwarded { .. } => None,
        })
        .collect()
}

fn is_sent(state: PaymentState) -> bool {
    match state {
        PaymentState::Pending => false,
        PaymentState::Decided(outcome) | PaymentState::Handled(outcome) => {
            outcome.kind() == OutcomeKind::Sent
        }
    }
}

fn lines_of(world: &World, generation: Generation) -> Vec<Line> {
    let mut lines = readable_lines(world);
    lines.retain(|line| match &line.htlc.origin {
        HtlcOrigin::Payment(origin) => origin.generation == generation,
        HtlcOrigin::Forward(_) | HtlcOrigin::Ours | HtlcOrigin::Forwarded { .. } => false,
    });
    lines
}

fn is_taken(world: &World, generation: Generation) -> bool {
    let lines = lines_of(world, generation);
    lines.iter().any(|line| matches!(line.verdict, Verdict::Fulfilled { .. }))
}

fn is_told_failed(world: &World, generation: Generation) -> bool {
    lines_of(world, generation).iter().any(|line| match line.delivered {
        Some(Told::Payment { outcome, .. }) => outcome.kind() == OutcomeKind::Failed,
        Some(Told::Forward | Told::Claimed) | None => false,
    })
}

proptest! {
    #[test]
    fn order_blind(world in worlds()) {
        let mut reversed = world.clone();
        reversed.is_reversed = true;
        prop_assert_eq!(world.plan_all(), reversed.plan_all());
    }

    /// Once everything was executed and handled, planning gives nothing but what is waited for, and
    /// every entry that is still undelivered has a reason to be.
    #[test]
    fn idempotent_quiet_and_complete(mut world in worlds()) {
        world.settle();
        let plan = world.plan_all();
        let waits: BTreeSet<PaymentId> = plan.actions.iter().map(|planned| {
            if let Action::Wait { payment_id, .. } | Action::Retry { payment_id, .. } =
                &planned.action
            {
                *payment_id
            } else {
                panic!("still to do: {planned}")
            }
        }).collect();
        let lines = readable_lines(&world);
        for line in lines.iter().filter(|line| line.delivered.is_none()) {
            let payment_id = payment_of(line).unwrap();
            prop_assert!(world.book.0.contains_key(&payment_id), "it is known");
            let is_held_up = lines.iter().any(|other| {
                payment_of(other) == Some(payment_id) && !other.verdict.is_final()
            });
            prop_assert!(is_held_up || waits.contains(&payment_id));
        }
    }

    /// Before anything is handled, planning again records and releases nothing and tells the same.
    #[test]
    fn a_second_plan_tells_the_same_and_does_nothing_new(mut world in worlds()) {
        // Against rule R8, the release of one generation makes way for another at once.
        if (1..3).any(|n| open_generations(&world, id(n)).len() > 1) {
            return Ok(());
        }
        let first = world.plan_all();
        execute(&mut world, &first);
        let second = world.plan_all();
        let queued = world.queued.clone();
        for planned in &second.actions {
            let is_quiet = matches!(
                planned.action,
                Action::Tell { .. } | Action::Wait { .. } | Action::Retry { .. }
            );
            prop_assert!(is_quiet, "{:?}", planned);
        }
        execute(&mut world, &second);
        prop_assert_eq!(world.queued, queued);
    }

    /// What was told is told again by no plan.
    #[test]
    fn what_is_handled_is_not_told(mut world in worlds()) {
        world.settle();
        let keys: Vec<_> = world.told.iter().map(|event| event.key().unwrap()).collect();
        let distinct: BTreeSet<_> = keys.iter().copied().collect();
        prop_assert_eq!(keys.len(), distinct.len());
    }

    /// More durable knowledge never turns sent into failed.
    #[test]
    fn monotone(
        mut world in worlds(),
        which in any::<usize>(),
        to in verdicts(),
        repaired in 1..4_u8,
    ) {
        let plan = world.plan_all();
        execute(&mut world, &plan);
        let sent: Vec<(PaymentId, Generation)> = (1..3)
            .filter_map(|n| world.book.0.get(&id(n)))
            .filter(|entry| is_sent(entry.state))
            .map(|entry| (entry.intent.payment_id, entry.intent.generation))
            .filter(|(_, generation)| is_taken(&world, *generation))
            .collect();
        let mut open: Vec<&mut Line> = world
            .sheets
            .values_mut()
            .flat_map(|sheet| sheet.lines.values_mut())
            .filter(|line| !line.verdict.is_final())
            .collect();
        if !open.is_empty() {
            let index = which % open.len();
            open[index].verdict = to;
        }
        world.sheets.get_mut(&channel(repaired)).unwrap().bytes = Bytes::Present;
        let plan = world.plan_all();
        execute(&mut world, &plan);
        for (payment_id, generation) in sent {
            let entry = &world.book.0[&payment_id];
            // Only another generation may take its place, and only a release that the damage hid,
            // which says that the user was told otherwise, may stand against it.
            let is_replaced = entry.intent.generation != generation;
            prop_assert!(
                is_replaced || is_sent(entry.state) || is_told_failed(&world, generation)
            );
        }
    }

    /// A payment's last word is a function of its entries: with the book and without it.
    #[test]
    fn the_same_with_a_book_and_without(
        channels in prop::sample::subsequence(vec![1_u8, 2, 3], 1..=3).prop_shuffle(),
        verdicts in prop::collection::vec(prop::option::weighted(0.9, verdicts()), 3),
    ) {
        let intent = intent_of(1, 1, &channels);
        let mut world = World::default();
        open(&mut world, &channels);
        for (part, verdict) in (0..).zip(&verdicts[..channels.len()]) {
            if let Some(verdict) = verdict {
                add_part(&mut world, &intent, part, *verdict);
            }
        }
        prop_assume!(verdicts[..channels.len()].iter().any(Option::is_some));
        let mut booked = world.clone();
        note(&mut booked, &intent, PaymentState::Pending);
        booked.settle();
        world.settle();
        prop_assert_eq!(&booked.told, &world.told);
        if verdicts[..channels.len()].iter().all(Option::is_some) {
            prop_assert_eq!(booked.book, world.book, "a whole intent is rebuilt whole");
        }
    }

    /// The same for a payment that was tried several times: with the newest book, with that of any
    /// earlier attempt and with none the user hears the same, and is advised the same.
    #[test]
    fn retries_are_the_same_with_any_book_and_without(
        attempts_max in 1..4_u32,
        channels in prop::collection::vec(
            prop::sample::subsequence(vec![1_u8, 2, 3], 1..=3).prop_shuffle(),
            1..4,
        ),
        failures in prop::collection::vec(failures(), 9),
        last in prop::collection::vec(verdicts(), 3),
        is_given_up in prop::bool::weighted(0.3),
    ) {
        let attempts = attempts(attempts_max, &channels);
        let mut world = World::default();
        open(&mut world, &[1, 2, 3]);
        let mut failures = failures.into_iter().cycle();
        for attempt in &attempts {
            let is_last = attempt.attempt == attempts.last().unwrap().attempt;
            for (part, verdict) in (0..).zip(&last[..attempt.parts.len()]) {
                let verdict = if is_last { *verdict } else { failures.next().unwrap() };
                let key = add_part(&mut world, attempt, part, verdict);
                world.line(key).is_given_up = is_last && is_given_up;
            }
        }
        let mut tellings = Vec::new();
        for book in attempts.iter().map(Some).chain([None]) {
            let mut world = world.clone();
            if let Some(intent) = book {
                note(&mut world, intent, PaymentState::Pending);
            }
            world.settle();
            tellings.push((world.told.clone(), world.plan_all(), world.book.clone()));
        }
        for other in &tellings[1..] {
            prop_assert_eq!(&tellings[0], other);
        }
    }
}

fn failures() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(FAILED),
        Just(Verdict::Failed { reason: HtlcFailure::Absent }),
        (0..3_u16).prop_map(|code| Verdict::Failed { reason: HtlcFailure::Removed { code } }),
    ]
}

/// Attempts of payment 1, each over its own channels, as many as the terms allow.
fn attempts(attempts_max: u32, channels: &[Vec<u8>]) -> Vec<Intent> {
    let mut first = intent_of(1, 1, &channels[0]);
    first.terms.retry.attempts_max = attempts_max;
    let mut attempts = vec![first];
    for (number, channels) in (1..attempts_max).zip(&channels[1..]) {
        let mut parts = intent_of(1, 1, channels).parts;
        for part in &mut parts {
            part.htlc_id.0 += 1_000 * u64::from(number);
        }
        let held = attempts.last().unwrap();
        attempts.push(retry(held, number, AmountMsat(u64::from(number)), parts));
    }
    attempts
}
