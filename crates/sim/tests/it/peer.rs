//! The peer is strict: what it is told again gets the same answer, and what makes no sense is
//! refused and changes nothing.

use std::sync::{Arc, Mutex};

use lastword_engine::NoObserver;
use lastword_ports::LogId;
use lastword_sim::SimError;
use lastword_sim::link::{Line, Link};
use lastword_sim::messages::{Answer, Command, Commit, PeerReply, PeerRequest, Reply, Request};
use lastword_sim::node::{Direct, Node, Stand, node_ports};
use lastword_sim::oracle::judge;
use lastword_sim::outside::SharedOutside;
use lastword_sim::run::Run;
use lastword_sim::scenario::{Scenario, Step};
use lastword_sim::seed::Seed;
use lastword_store::MemoryStore;
use lastword_types::{AmountMsat, PerCommitmentSecret};

use crate::support::outside;

/// Says everything twice and compares the answers; keeps what was said.
struct Stutter {
    outside: SharedOutside,
    said: Arc<Mutex<Vec<PeerRequest>>>,
}

impl Link for Stutter {
    fn call(&mut self, request: Request) -> Result<Reply, SimError> {
        let reply = self.outside.call(request.clone())?;
        if let Request::Peer(message) = &request {
            assert_eq!(self.outside.call(request.clone())?, reply, "{message:?}");
            self.said.lock().unwrap().push((**message).clone());
        }
        Ok(reply)
    }
}

/// A node whose messages are all said twice.
struct Setting {
    outside: SharedOutside,
    said: Arc<Mutex<Vec<PeerRequest>>>,
    node: Node<Direct>,
}

impl Setting {
    fn new(scenario: &Scenario) -> Self {
        let (outside, world) = outside(scenario);
        let said = Arc::new(Mutex::new(Vec::new()));
        let line = Line::new(Stutter { outside: outside.clone(), said: said.clone() });
        let stand = Stand {
            monitors: Box::new(MemoryStore::new(LogId([1; 16]))),
            books: None,
            source: Box::new(world.clone()),
            broadcaster: Box::new(world),
            observer: Box::new(NoObserver),
        };
        let ports = node_ports(scenario.seed, &line, stand);
        let node = Node::new(scenario.seed, Direct::start(ports, line.clone()).unwrap(), line);
        Self { outside, said, node }
    }

    fn last_commit(&self) -> Commit {
        let said = self.said.lock().unwrap();
        let commit = said.iter().rev().find_map(|request| {
            if let PeerRequest::Commit(commit) = request { Some(commit.clone()) } else { None }
        });
        *commit.unwrap()
    }

    /// Says something to the peer and expects a refusal with these words.
    fn refused(&mut self, request: PeerRequest, words: &str) {
        let reply = self.outside.call(Request::Peer(Box::new(request))).unwrap();

        let Reply::Failed(why) = reply else { panic!("not refused: {reply:?}") };
        assert!(why.contains(words), "{why}");
    }
}

/// The steps of a scenario up to the first payment and its end by message.
fn opening() -> Scenario {
    let mut scenario = Scenario::small(Seed(5));
    let end = scenario.steps.iter().position(|step| matches!(step, Step::Settle(_))).unwrap();
    scenario.steps.truncate(end + 1);
    scenario
}

#[test]
fn whatever_is_said_twice_gets_the_same_answer() {
    let scenario = Scenario::small(Seed(4));
    let mut setting = Setting::new(&scenario);

    let outcome = Run::new(&scenario, setting.outside.clone(), &mut setting.node)
        .run(&mut |_, _| {})
        .unwrap();

    let judgement = judge(&setting.outside.lock(), &outcome).unwrap();
    assert_eq!(judgement.violations, Vec::<String>::new());
    assert!(setting.said.lock().unwrap().len() > 20);
}

#[test]
fn what_makes_no_sense_is_refused_and_the_next_good_request_works() {
    let scenario = opening();
    let mut setting = Setting::new(&scenario);
    Run::new(&scenario, setting.outside.clone(), &mut setting.node).run(&mut |_, _| {}).unwrap();
    let good = setting.last_commit();

    let mut other = good.clone();
    other.commitment.to_local_msat = AmountMsat(other.commitment.to_local_msat.0 + 1);
    let commit = |commit| PeerRequest::Commit(Box::new(commit));
    setting.refused(commit(other), "two different commitments of one number");

    let mut next = good.clone();
    next.commitment.number = next.commitment.number.next().unwrap();
    setting.refused(commit(next.clone()), "wrong point");
    let status = setting.outside.call(Request::Peer(Box::new(PeerRequest::Status { channel: 0 })));
    let Ok(Reply::Peer(status)) = status else { panic!("no status") };
    let PeerReply::Status { next_point, .. } = *status else { panic!("no status") };
    next.commitment.per_commitment_point = next_point;
    setting.refused(commit(next.clone()), "verify a commitment");
    next.commitment.to_local_msat.0 += 1;
    setting.refused(commit(next.clone()), "is worth");
    next.commitment.to_remote_msat.0 -= 1;
    setting.refused(commit(next.clone()), "wrong balances");
    next.commitment.number = next.commitment.number.next().unwrap();
    setting.refused(commit(next), "the wrong commitment");

    let secret = PerCommitmentSecret([7; 32]);
    setting.refused(PeerRequest::Revoke { channel: 0, number: 0, secret }, "wrong secret");
    setting.refused(PeerRequest::Revoke { channel: 0, number: 9, secret }, "no such channel");
    let point = next_point;
    setting.refused(PeerRequest::Propose { channel: 0, number: 77, point }, "middle of a change");
    setting.refused(PeerRequest::Status { channel: 9 }, "no such channel");

    assert_eq!(setting.node.obey(&Command::Settle { channel: 0 }).unwrap(), Answer::Done);
    assert_eq!(setting.last_commit().commitment.number, good.commitment.number);
}

#[test]
fn a_channel_with_htlcs_is_not_closed_together() {
    let mut scenario = opening();
    // The payment stays where it is.
    scenario.steps.pop();
    let mut setting = Setting::new(&scenario);
    Run::new(&scenario, setting.outside.clone(), &mut setting.node).run(&mut |_, _| {}).unwrap();

    let refusal = setting.node.obey(&Command::Close { channel: 0 });

    let error = refusal.expect_err("the channel holds an HTLC").chain();
    assert!(error.contains("cannot be closed together"), "{error}");
}
