//! A node dies while its user looks at an event, and its payment book is gone: the monitor alone
//! tells the payment again, field for field. Once the user has answered, nothing is told any more.
//!
//! The channel, the chain and the peer are those of this crate's tests: real transactions on a chain
//! in this process.

#![expect(clippy::print_stdout, reason = "an example says what happens")]

#[path = "../tests/it/channel.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod channel;
#[path = "../tests/it/node.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod node;
#[path = "../tests/it/peer.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod peer;
#[path = "../tests/it/wallet.rs"]
#[expect(clippy::unwrap_used, reason = "made for the tests")]
mod wallet;
#[path = "../tests/it/world.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "made for the tests, which use all of it")]
mod world;

use lastword_engine::{Driver, EngineError};
use lastword_testkit::Survivors;
use lastword_types::Event;
use node::{Logs, Stores, ports};
use world::{ANCHORS, Part, World};

fn main() -> Result<(), EngineError> {
    // Monitors and payment book have a disk each. The fundings are mined once the channel is there.
    let (mut world, channels) = World::with_channels(&[ANCHORS]);
    let stores = Stores::new(Logs::Two);
    let mut driver = Driver::start(ports(&world, &stores))?;
    for channel in channels {
        driver.open_channel(channel)?;
    }
    world.mine(1);

    // The intent and the HTLC become durable together; only then may the HTLC leave.
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    driver.send_payment(payment.intent.clone(), payment.updates.clone())?;
    driver.update(payment.answers.clone())?;

    // The peer closes the channel and claims the HTLC on chain, with the preimage.
    world.peer_closes(0);
    world.peer_claims(&payment, 0);
    driver.poll_chain()?;
    let first = driver.next_event();
    println!("told:       {}", name(first.as_ref()));

    println!("            the process dies, and the book with it");
    drop(driver);
    let stores = stores.image(Survivors::SyncedOnly).without_book();
    let mut driver = Driver::start(ports(&world, &stores))?;
    let again = driver.next_event();
    println!("told again: {} (identical: {})", name(again.as_ref()), first == again);

    // The user answers: that it knows is durable in the monitor from now on.
    if let Some(event) = again {
        driver.event_returned(&event, true)?;
    }
    while let Some(event) = driver.next_event() {
        println!("told:       {}", name(Some(&event)));
        driver.event_returned(&event, true)?;
    }

    println!("            the process dies again, and the book with it");
    drop(driver);
    let stores = stores.image(Survivors::SyncedOnly).without_book();
    let mut driver = Driver::start(ports(&world, &stores))?;
    driver.poll_chain()?;
    println!("told:       {}", name(driver.next_event().as_ref()));
    Ok(())
}

fn name(event: Option<&Event>) -> &'static str {
    match event {
        Some(Event::PaymentSent { .. }) => "PaymentSent",
        Some(Event::PaymentPathSuccessful { .. }) => "PaymentPathSuccessful",
        Some(Event::PaymentPathFailed { .. }) => "PaymentPathFailed",
        Some(Event::PaymentFailed { .. }) => "PaymentFailed",
        Some(Event::Probed { .. }) => "Probed",
        Some(Event::PaymentUnknown { .. }) => "PaymentUnknown",
        Some(Event::PaymentClaimed { .. }) => "PaymentClaimed",
        Some(Event::Alarm(_)) => "an alarm",
        None => "nothing",
    }
}
