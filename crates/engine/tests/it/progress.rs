//! What a driver says of how far it is, when something takes long.

use std::sync::{Arc, Mutex};

use lastword_engine::{Boundary, Driver, Observer, Progress};

use crate::node::{Logs, Node, ports};
use crate::world::{ANCHORS, Part};

/// Keeps everything that it is told.
#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<Progress>>>);

impl Observer for Notes {
    fn at(&mut self, _: Boundary) {}

    fn progress(&mut self, progress: Progress) {
        self.0.lock().unwrap().push(progress);
    }
}

#[test]
fn each_block_and_each_claim_is_a_step_that_is_told() {
    let (mut world, mut node) = Node::with_channels(Logs::One, &[ANCHORS; 3]);
    let payments: Vec<_> =
        [1, 2, 3].map(|id| world.payment(id, &[Part(usize::from(id) - 1, 50_000, 12)])).into();
    for payment in &payments {
        node.pay(payment);
    }
    let stores = node.stores.clone();
    drop(node);
    let notes = Notes::default();
    let mut ports = ports(&world, &stores);
    ports.observer = Box::new(notes.clone());
    let mut driver = Driver::start(ports).unwrap();
    let height = world.height();
    world.mine(30);
    driver.poll_chain().unwrap();

    let told = notes.0.lock().unwrap().clone();
    let blocks: Vec<_> = told.iter().filter(|it| matches!(it, Progress::Block { .. })).collect();
    assert_eq!(blocks.len(), 30);
    let last = Progress::Block { height: world.chain.lock().tip().height, channels: 0 };
    assert_eq!((world.height(), blocks[29]), (height + 30, &last));
    let closing = |it: &&&Progress| matches!(it, Progress::Block { channels: 3, .. });
    assert_eq!(blocks.iter().filter(closing).count(), 1, "all expire in one block: {told:?}");
    let claims: Vec<_> = told.iter().filter(|it| matches!(it, Progress::Claims { .. })).collect();
    let offered = [2, 1, 0].map(|left| Progress::Claims { offered: 3 - left, left });
    assert_eq!(claims, offered.iter().collect::<Vec<_>>(), "our commitments, one by one");
}
