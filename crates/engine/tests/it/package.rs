//! Commitments that pay too little by themselves: they are offered with the child that pays.

use std::sync::{Arc, Mutex};

use bitcoin::transaction::Version;
use bitcoin::{Transaction, Txid};
use lastword_engine::Driver;
use lastword_ports::{Broadcaster, ChainError, ChainErrorKind};
use lastword_regtest::SharedChain;
use lastword_testkit::Survivors;
use lastword_types::{CommitmentFormat, HtlcFailure};

use crate::node::{Logs, Node, ports};
use crate::world::{ANCHORS, Part, STATIC};

const ZERO_FEE: CommitmentFormat = CommitmentFormat::ZeroFee;

/// A network that takes nothing of version 3 whose parent is unconfirmed, nor anything without a
/// fee, but as a package; it remembers what was offered.
struct Network {
    chain: SharedChain,
    offered: Offered,
}

/// The txids of each offer.
type Offered = Arc<Mutex<Vec<Vec<Txid>>>>;

impl Network {
    fn remember(&self, transactions: &[Transaction]) {
        let txids = transactions.iter().map(Transaction::compute_txid).collect();
        self.offered.lock().unwrap().push(txids);
    }
}

impl Broadcaster for Network {
    fn broadcast(&mut self, transaction: &Transaction) -> Result<(), ChainError> {
        self.remember(std::slice::from_ref(transaction));
        let is_unconfirmed = |txid| self.chain.lock().mempool().contains(&txid);
        let pays_nothing = transaction.input.len() == 1
            && transaction.output.iter().any(|it| it.script_pubkey.to_hex_string() == "51024e73");
        let builds_on = transaction.input.iter().any(|it| is_unconfirmed(it.previous_output.txid));
        if pays_nothing || builds_on {
            return Err(ChainError::new(ChainErrorKind::Rejected, "only as a package"));
        }
        self.chain.broadcast(transaction)
    }

    fn broadcast_package(&mut self, package: &[Transaction]) -> Result<(), ChainError> {
        self.remember(package);
        self.chain.broadcast_package(package)
    }
}

fn on_network(format: CommitmentFormat) -> (crate::world::World, Node, Offered) {
    let (world, before) = Node::with_channels(Logs::One, &[format]);
    let stores = before.stores.image(Survivors::Everything);
    drop(before);
    let offered = Offered::default();
    let mut ports = ports(&world, &stores);
    ports.broadcaster =
        Box::new(Network { chain: world.chain.clone(), offered: Arc::clone(&offered) });
    let node = Node { driver: Driver::start(ports).unwrap(), stores };
    (world, node, offered)
}

#[test]
fn our_commitment_and_its_child_are_one_offer_f6_z5() {
    for (format, version) in
        [(STATIC, None), (ANCHORS, Some(Version::TWO)), (ZERO_FEE, Some(Version(3)))]
    {
        let (mut world, mut node, offered) = on_network(format);
        let payment = world.payment(1, &[Part(0, 50_000, 10)]);
        node.pay(&payment);
        let update = world.channels[0].fail();
        node.driver.update(vec![update]).unwrap();
        node.poll();
        let funding = world.channels[0].ours.funding_outpoint;
        let commitment = world.chain.lock().mempool_spender(funding).expect("it is offered");
        let package = offered.lock().unwrap().last().cloned().expect("something was");
        assert_eq!(package[0], commitment, "{format:?}");
        let children: Vec<Version> = package[1..]
            .iter()
            .map(|txid| world.chain.lock().transaction(*txid).expect("taken").0.version)
            .collect();
        assert_eq!(children, Vec::from_iter(version), "{format:?}");
        // The same at every look, and after it is confirmed everything ends as ever.
        node.poll();
        assert_eq!(offered.lock().unwrap().last(), Some(&package));
        node.mine_and_poll(&world, 30);
        let why = HtlcFailure::TimedOut;
        assert_eq!(node.tell(), [payment.path_failed(0, why), payment.failed(why)], "{format:?}");
        assert!(world.chain.lock().mempool().is_empty());
    }
}

/// After a restart the child may be another; one of the two confirms, and the payment ends the same.
#[test]
fn a_crash_between_offer_and_confirmation_leaves_a_commitment_that_confirms_z5() {
    let (mut world, mut node, _) = on_network(ZERO_FEE);
    let payment = world.payment(1, &[Part(0, 50_000, 10)]);
    node.pay(&payment);
    let update = world.channels[0].fail();
    node.driver.update(vec![update]).unwrap();
    node.poll();
    let mut node = node.crash(&world, Survivors::SyncedOnly);
    node.poll();
    let funding = world.channels[0].ours.funding_outpoint;
    assert!(world.chain.lock().mempool_spender(funding).is_some());
    node.mine_and_poll(&world, 30);
    let why = HtlcFailure::TimedOut;
    assert_eq!(node.tell(), [payment.path_failed(0, why), payment.failed(why)]);
}

/// The peer's zero-fee commitment confirms: every HTLC is claimed at once, without a relative lock.
#[test]
fn a_zero_fee_commitment_of_the_peer_is_resolved_z4() {
    let (mut world, mut node, _) = on_network(ZERO_FEE);
    let payment = world.payment(1, &[Part(0, 50_000, 40)]);
    node.pay(&payment);
    world.peer_closes(0);
    world.peer_claims(&payment, 0);
    node.poll();
    assert_eq!(node.tell(), [payment.sent(), payment.path_taken(0)]);
}
