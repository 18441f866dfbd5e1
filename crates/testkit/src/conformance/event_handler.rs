//! The suite of [`EventHandler`].

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::thread;

use lastword_ports::EventHandler;
use lastword_types::{
    Alarm, AmountMsat, ChannelId, Event, Generation, HtlcDirection, HtlcFailure, HtlcId, HtlcKey,
    PartIndex, PaymentHash, PaymentId, PaymentPreimage,
};

use super::{Rule, Violation, ensure, expect_equal};

/// A handler may fail now and then; so often in a row is never.
const TRIES_MAX: usize = 16;

/// How the suite gets an event handler, ends it, and sees what it did.
pub trait HandlerHarness {
    /// The implementation.
    type Handler: EventHandler;
    /// What the handler did, as far as it matters that it is done once: rows of a table, messages
    /// that were sent, a balance.
    type Effects: Debug + PartialEq;

    /// Opens one that has done nothing.
    fn open(&mut self) -> Self::Handler;

    /// Ends it as a crash would, and opens it again on what that leaves.
    fn reopen(&mut self, handler: Self::Handler) -> Self::Handler;

    /// Returns what it has done, in an order that does not depend on which payment came first.
    fn effects(&mut self, handler: &Self::Handler) -> Self::Effects;
}

/// Makes a harness of three closures: open, reopen, effects.
pub fn handler_harness<H: EventHandler, E: Debug + PartialEq>(
    open: impl FnMut() -> H,
    reopen: impl FnMut(H) -> H,
    effects: impl FnMut(&H) -> E,
) -> impl HandlerHarness<Handler = H, Effects = E> {
    Closures { open, reopen, effects }
}

struct Closures<O, R, E> {
    open: O,
    reopen: R,
    effects: E,
}

impl<H, V, O, R, E> HandlerHarness for Closures<O, R, E>
where
    H: EventHandler,
    V: Debug + PartialEq,
    O: FnMut() -> H,
    R: FnMut(H) -> H,
    E: FnMut(&H) -> V,
{
    type Handler = H;
    type Effects = V;

    fn open(&mut self) -> H {
        (self.open)()
    }

    fn reopen(&mut self, handler: H) -> H {
        (self.reopen)(handler)
    }

    fn effects(&mut self, handler: &H) -> V {
        (self.effects)(handler)
    }
}

/// Checks everything that [`EventHandler`] asks of an implementation, and returns the first rule that
/// is broken.
///
/// # Errors
///
/// The [`Violation`].
pub fn check_event_handler<H: HandlerHarness>(harness: &mut H) -> Result<(), Violation> {
    let stories = stories();
    let all: Vec<&Event> = stories.iter().flatten().collect();

    let handler = harness.open();
    let before = harness.effects(&handler);
    for event in &all {
        handle(&handler, event)?;
    }
    let done = harness.effects(&handler);
    ensure(done != before, Rule::HandlerActs, || {
        "what the harness shows is the same before all events and after them".to_owned()
    })?;

    // Each comes again, right behind itself and after all the others.
    for event in &all {
        handle(&handler, event)?;
        handle(&handler, event)?;
        let again = harness.effects(&handler);
        expect_equal(Rule::HandlerOnce, &format!("effects after {event:?} again"), &again, &done)?;
    }

    // What it said it handled survives a crash, and comes again once more all the same.
    let handler = harness.reopen(handler);
    expect_equal(Rule::HandlerKeeps, "effects after a crash", &harness.effects(&handler), &done)?;
    for event in &all {
        handle(&handler, event)?;
    }
    let again = harness.effects(&handler);
    expect_equal(Rule::HandlerOnce, "effects after a crash and all again", &again, &done)?;

    check_crash_anywhere(harness, &all, &done)?;
    check_payments_apart(harness, &stories, &done)
}

/// A crash behind any event, before the engine knows that it was handled: it comes again.
fn check_crash_anywhere<H: HandlerHarness>(
    harness: &mut H,
    all: &[&Event],
    done: &H::Effects,
) -> Result<(), Violation> {
    for crash in 0..all.len() {
        let mut handler = harness.open();
        for (index, event) in all.iter().enumerate() {
            handle(&handler, event)?;
            if index == crash {
                handler = harness.reopen(handler);
                handle(&handler, event)?;
            }
        }
        let effects = harness.effects(&handler);
        let what = format!("effects with a crash right after {:?}", all[crash]);
        expect_equal(Rule::HandlerOnce, &what, &effects, done)?;
    }
    Ok(())
}

/// Events of different payments come in any order, and at the same time.
fn check_payments_apart<H: HandlerHarness>(
    harness: &mut H,
    stories: &[Vec<Event>],
    done: &H::Effects,
) -> Result<(), Violation> {
    let handler = harness.open();
    for event in stories.iter().rev().flatten() {
        handle(&handler, event)?;
    }
    let effects = harness.effects(&handler);
    expect_equal(Rule::HandlerApart, "effects with the last payment first", &effects, done)?;

    let handler = harness.open();
    let results: Vec<Result<(), Violation>> = thread::scope(|scope| {
        let handler = &handler;
        let tell = |story: &Vec<Event>| story.iter().try_for_each(|event| handle(handler, event));
        let calls: Vec<_> = stories.iter().map(|story| scope.spawn(move || tell(story))).collect();
        calls.into_iter().filter_map(|call| call.join().ok()).collect()
    });
    ensure(results.len() == stories.len(), Rule::HandlerTakes, || "a call panicked".to_owned())?;
    results.into_iter().collect::<Result<(), Violation>>()?;
    let effects = harness.effects(&handler);
    expect_equal(Rule::HandlerApart, "effects with all payments at once", &effects, done)
}

fn handle(handler: &impl EventHandler, event: &Event) -> Result<(), Violation> {
    let mut failure = None;
    for _ in 0..TRIES_MAX {
        match handler.handle(event) {
            Ok(()) => return Ok(()),
            Err(error) => failure = Some(error),
        }
    }
    let detail = format!("{event:?} was refused {TRIES_MAX} times: {failure:?}");
    Err(Violation { rule: Rule::HandlerTakes, detail })
}

/// Every kind of event, payment by payment, each payment's in the order in which they are told.
fn stories() -> Vec<Vec<Event>> {
    let generation = Generation([9; 16]);
    let payment_hash = PaymentPreimage([8; 32]).payment_hash();
    let htlc = |channel: u8, direction| HtlcKey {
        channel_id: ChannelId([channel; 32]),
        direction,
        htlc_id: HtlcId(4),
    };
    let offered = |channel| htlc(channel, HtlcDirection::Offered);
    let reason = HtlcFailure::TimedOut;
    let failed = |n: u8, part: u16| Event::PaymentPathFailed {
        payment_id: PaymentId([n; 32]),
        generation,
        attempt: 0,
        part: PartIndex(part),
        htlc: offered(n),
        reason,
    };
    let sent = Event::PaymentSent {
        payment_id: PaymentId([1; 32]),
        generation,
        payment_hash,
        preimage: PaymentPreimage([8; 32]),
        amount_msat: AmountMsat(70_000),
        fee_msat: AmountMsat(11),
    };
    let path = |part: u16| Event::PaymentPathSuccessful {
        payment_id: PaymentId([1; 32]),
        generation,
        attempt: 1,
        part: PartIndex(part),
        htlc: offered(1),
        amount_msat: AmountMsat(35_000),
    };
    let payment_id = |n: u8| PaymentId([n; 32]);
    let hash = PaymentHash([7; 32]);
    let lost =
        Event::PaymentFailed { payment_id: payment_id(2), generation, payment_hash: hash, reason };
    let probed = Event::Probed {
        payment_id: payment_id(3),
        generation,
        payment_hash: hash,
        is_reached: true,
        reason: HtlcFailure::Removed { code: 0x400F },
    };
    let unknown =
        Event::PaymentUnknown { payment_id: payment_id(4), generation, payment_hash: hash };
    // The id of the first payment, used again.
    let reused = Event::PaymentFailed {
        payment_id: payment_id(1),
        generation: Generation([10; 16]),
        payment_hash: hash,
        reason,
    };
    let claimed = Event::PaymentClaimed {
        payment_hash,
        preimage: PaymentPreimage([8; 32]),
        amount_msat: AmountMsat(5_000),
        lost_msat: AmountMsat(0),
        parts: BTreeSet::from([htlc(5, HtlcDirection::Received)]),
    };
    let alarm = Event::Alarm(Alarm::DataLoss { channel_id: ChannelId([6; 32]) });
    vec![
        vec![failed(1, 0), sent, path(0), path(1), reused],
        vec![failed(2, 0), failed(2, 1), lost],
        vec![probed],
        vec![unknown],
        vec![claimed],
        vec![alarm],
    ]
}
