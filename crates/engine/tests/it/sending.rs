//! Crashes while a channel is opened and while a payment begins, at every boundary.

use lastword_engine::EngineError;
use lastword_testkit::Survivors;
use lastword_types::HtlcFailure;

use crate::crash::die_at;
use crate::node::{Logs, Node, Stores};
use crate::world::{ANCHORS, Part, STATIC, World};

const SURVIVORS: [Survivors; 3] =
    [Survivors::SyncedOnly, Survivors::Prefix(1), Survivors::Everything];

/// A channel whose opening was cut off is there or not, and asking again makes it whole.
#[test]
fn a_channel_whose_opening_was_cut_off_can_be_opened_again() {
    let mut points = 0;
    for survivors in SURVIVORS {
        for boundary in 1.. {
            let (world, born) = World::with_channels(&[STATIC]);
            let stores = Stores::new(Logs::One);
            let new = born[0].clone();
            let is_whole = die_at(&world, &stores, boundary, |driver| {
                driver.open_channel(new.clone()).unwrap();
            });
            if is_whole {
                break;
            }
            points += 1;
            let place = format!("{survivors:?}, boundary {boundary}");
            let mut node = Node::start(&world, stores.image(survivors));
            match node.driver.open_channel(born[0].clone()) {
                Ok(()) | Err(EngineError::ChannelExists(_)) => {}
                Err(other) => panic!("{place}: {other}"),
            }
            let mut node = node.crash(&world, Survivors::SyncedOnly);
            assert_eq!(node.damaged(), [], "{place}");
            assert_eq!(node.state(0).parameters, born[0].parameters, "{place}");
            world.mine(3);
            node.poll();
        }
    }
    assert!(points >= 6, "only {points} points");
}

/// A payment whose beginning was cut off either stands with all of its parts or never left (R1, R2);
/// with an old book it may leave no trace. In no case does it hang, or block its channels.
#[test]
fn a_payment_whose_beginning_was_cut_off_stands_whole_or_fails_as_never_sent() {
    let mut points = 0;
    for logs in [Logs::One, Logs::Two] {
        for survivors in SURVIVORS {
            for boundary in 1.. {
                let (mut world, node) = Node::with_channels(logs, &[STATIC, ANCHORS]);
                let payment = world.payment(1, &[Part(0, 50_000, 9), Part(1, 60_000, 9)]);
                let stores = node.stores.image(Survivors::Everything);
                drop(node);
                let is_whole = die_at(&world, &stores, boundary, |driver| {
                    driver.send_payment(payment.intent.clone(), payment.updates.clone()).unwrap();
                });
                if is_whole {
                    break;
                }
                points += 1;
                let place = format!("{logs:?}, {survivors:?}, boundary {boundary}");
                let mut node = Node::start(&world, stores.image(survivors));
                let parts: Vec<bool> =
                    (0..2).map(|part| !node.state(part).htlcs.is_empty()).collect();
                assert_eq!(parts[0], parts[1], "{place}: all parts are one append");
                let told = node.tell();
                match (parts[0], node.is_known(payment.id())) {
                    (true, is_known) => {
                        assert!(is_known, "{place}: a ledger holds it");
                        assert_eq!(told, [], "{place}");
                    }
                    (false, true) => {
                        assert_eq!(told, [payment.failed(HtlcFailure::NeverSent)], "{place}");
                    }
                    (false, false) => assert_eq!(told, [], "{place}: no trace"),
                }
                let mut node = node.crash(&world, Survivors::SyncedOnly);
                assert_eq!(node.tell(), [], "{place}");
                if !parts[0] {
                    assert!(
                        node.driver
                            .send_payment(
                                {
                                    let mut again = payment.intent.clone();
                                    again.generation.0[0] ^= 1;
                                    again
                                },
                                Vec::new(),
                            )
                            .is_err_and(|error| matches!(error, EngineError::PartWithoutUpdate(_))),
                        "{place}: the id is free"
                    );
                }
            }
        }
    }
    println!("figure: crashes while a payment begins: {points} points");
    assert!(points >= 18, "only {points} points");
}
