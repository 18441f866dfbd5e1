//! What the monitors say of their channels' value, against what the chain holds.

use bitcoin::{OutPoint, ScriptBuf, Transaction};
use lastword_engine::EngineError;
use lastword_sim::SimError;
use lastword_sim::messages::{Answer, Command};
use lastword_sim::node::{Direct, Node, Shell};
use lastword_sim::outside::{Outside, SharedOutside};
use lastword_sim::run::{Run, Workforce};
use lastword_sim::scenario::Scenario;
use lastword_sim::seed::{Seed, Wallet};
use lastword_sim::world::accounts::Account;
use lastword_types::{BalanceTotals, BalanceView, Balances, ChannelId};

use crate::support::{FORMATS, immortal, outside};

/// No output of a commitment but an anchor is worth less.
const DUST_SAT: u64 = 546;

/// A node whose balances are asked for after every command.
struct Audited {
    node: Node<Direct>,
    outside: SharedOutside,
    scenario: Scenario,
}

impl Audited {
    fn balances(&mut self, channel_id: ChannelId) -> Result<Balances, EngineError> {
        self.node.shell().with(move |driver| driver.balances(channel_id)).unwrap()
    }

    /// The funding that the chain holds, or held last.
    fn funding(&self, channel: u16) -> (OutPoint, u64) {
        let outside = self.outside.lock();
        let parameters = outside.peer.parameters_in_chain(channel, &outside.index).unwrap();
        (parameters.funding_outpoint, parameters.funding_amount.to_sat())
    }

    /// Compares every channel, as far as the node has followed the chain.
    fn audit(&mut self) {
        for channel in (0..).take(self.scenario.channels.len()) {
            let channel_id = self.scenario.seed.channel_id(channel);
            let balances = match self.balances(channel_id) {
                Ok(balances) => balances,
                Err(EngineError::UnknownChannel(_)) => continue,
                Err(error) => panic!("channel {channel}: {error}"),
            };
            let (_, funding_sat) = self.funding(channel);
            assert_eq!(balances.total_msat().0, funding_sat * 1000, "{balances:?}");
        }
    }
}

impl Workforce for Audited {
    fn command(&mut self, command: &Command) -> Result<Answer, SimError> {
        let answer = self.node.obey(command);
        self.audit();
        answer
    }
}

/// Where the outputs of one channel went, in satoshi, what their sweeps paid not taken off.
#[derive(Debug, Default, PartialEq, Eq)]
struct Gross {
    ours: u64,
    theirs: u64,
    anchors: u64,
    fees: u64,
}

impl Gross {
    fn of(outside: &Outside, funding: OutPoint, funding_sat: u64) -> Option<Self> {
        let closing = &outside.index.spend(funding)?.transaction;
        let mut gross = Self::default();
        let mut left_sat = funding_sat;
        for (outpoint, value) in outputs(closing) {
            gross.output(outside, outpoint, value);
            left_sat -= value;
        }
        gross.fees += left_sat;
        Some(gross)
    }

    fn output(&mut self, outside: &Outside, outpoint: OutPoint, value: u64) {
        let script = |outpoint: OutPoint| {
            let parent = &outside.index.transaction(outpoint.txid).unwrap().transaction;
            parent.output[usize::try_from(outpoint.vout).unwrap()].script_pubkey.clone()
        };
        if self.is_paid(outside, &script(outpoint), value) {
            return;
        }
        if value < DUST_SAT {
            self.anchors += value;
            return;
        }
        let spend = &outside.index.spend(outpoint).expect("everything is swept").transaction;
        let place = spend.input.iter().position(|input| input.previous_output == outpoint);
        let kept = spend.output.get(place.unwrap());
        // An HTLC transaction has an output for each of its inputs, by the same index.
        if let Some(kept) = kept.filter(|kept| !is_a_wallets(outside, &kept.script_pubkey)) {
            let second = kept.value.to_sat();
            let vout = u32::try_from(place.unwrap()).unwrap();
            self.fees += value - second;
            self.output(outside, OutPoint { txid: spend.compute_txid(), vout }, second);
        } else {
            let scripts = spend.output.iter().map(|output| &output.script_pubkey);
            let swept_to = scripts.into_iter().find(|it| is_a_wallets(outside, it));
            assert!(self.is_paid(outside, swept_to.expect("somebody swept it"), value));
        }
    }

    fn is_paid(&mut self, outside: &Outside, script: &ScriptBuf, value: u64) -> bool {
        let sum = match owner(outside, script) {
            Some(Wallet::Node) => &mut self.ours,
            Some(Wallet::Peer) => &mut self.theirs,
            Some(Wallet::Bank | Wallet::Miner) | None => return false,
        };
        *sum += value;
        true
    }
}

fn outputs(transaction: &Transaction) -> impl Iterator<Item = (OutPoint, u64)> {
    let txid = transaction.compute_txid();
    let outputs = (0u32..).zip(&transaction.output);
    outputs.map(move |(vout, output)| (OutPoint { txid, vout }, output.value.to_sat()))
}

fn owner(outside: &Outside, script: &ScriptBuf) -> Option<Wallet> {
    [Wallet::Node, Wallet::Peer].into_iter().find(|it| outside.bank.wallet(*it).script == *script)
}

fn is_a_wallets(outside: &Outside, script: &ScriptBuf) -> bool {
    owner(outside, script).is_some()
}

/// At the end nothing is open, and every satoshi is where the chain has it.
fn compare(audited: &mut Audited, account: &Account) -> Option<Gross> {
    let channel_id = audited.scenario.seed.channel_id(account.channel);
    let balances = audited.balances(channel_id).unwrap();
    let (funding, funding_sat) = audited.funding(account.channel);
    assert_eq!(balances.total_msat().0, funding_sat * 1000);
    let totals = balances.totals();
    let Some(gross) = Gross::of(&audited.outside.lock(), funding, funding_sat) else {
        assert!(matches!(balances.view, BalanceView::Open { .. }));
        assert!(totals.ours.0 / 1000 <= account.ours_sat);
        assert!(totals.peers.0 / 1000 <= account.theirs_sat);
        return None;
    };
    let BalanceTotals { ours, awaiting, lost, peers, anchors, fees, .. } = totals;
    let said = Gross {
        ours: (ours.0 + awaiting.0) / 1000,
        theirs: (peers.0 + lost.0) / 1000,
        anchors: anchors.0 / 1000,
        fees: fees.0 / 1000,
    };
    assert_eq!(said, gross, "channel {} {balances:?}", account.channel);
    // What is missing went to the fees of sweeps; an anchor's value may have come to a wallet.
    assert!(account.ours_sat <= gross.ours + gross.anchors);
    assert!(account.theirs_sat <= gross.theirs + gross.anchors);
    assert!(account.fees_sat + account.anchors_sat >= gross.fees);
    Some(gross)
}

#[test]
fn at_the_end_of_a_run_the_balances_are_what_the_chain_holds() {
    let mut sums = Gross::default();
    let scenarios = (0..2).map(|seed| Scenario::small(Seed(seed)));
    let spliced = FORMATS.map(|format| Scenario::splice(Seed(7), format));
    let unspliced = FORMATS.map(|format| Scenario::unsplice(Seed(8), format));
    let scenarios = scenarios.chain(spliced).chain(unspliced);
    for scenario in scenarios.chain((0..3).map(|seed| Scenario::demo(Seed(seed)))) {
        let (outside, world) = outside(&scenario);
        let node = immortal(scenario.seed, &outside, &world);
        let mut audited = Audited { node, outside: outside.clone(), scenario: scenario.clone() };
        let outcome = Run::new(&scenario, outside, &mut audited).run(&mut |_, _| {}).unwrap();
        assert!(!outcome.accounts.is_empty());
        for account in &outcome.accounts {
            if let Some(gross) = compare(&mut audited, account) {
                sums.ours += gross.ours;
                sums.theirs += gross.theirs;
                sums.anchors += gross.anchors;
                sums.fees += gross.fees;
            }
        }
        let nobody = ChannelId([0; 32]);
        let refused = audited.balances(nobody).expect_err("there is no such channel");
        assert!(matches!(refused, EngineError::UnknownChannel(_)));
    }
    // Something of each kind was there to be compared.
    let Gross { ours, theirs, anchors, fees } = sums;
    assert!([ours, theirs, anchors, fees].iter().all(|sum| *sum > 0));
}
