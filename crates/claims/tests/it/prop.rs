//! Random lists of requests, rates, coins, tips and failures: what must hold after every call.

use std::collections::{BTreeMap, BTreeSet};

use bitcoin::{Amount, OutPoint, Transaction, TxIn, TxOut};
use lastword_claims::{Claims, Due, Refusal};
use lastword_types::{BlockHeight, ChannelId, ClaimKind, ClaimRequest, CommitmentFormat};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::verify::{fee, nothing_is_dust, nothing_is_spent_twice, outputs_of, scripts_verify};
use crate::wallet::{Node, Refused};
use crate::world::{CONFIRMED, LATE, World};

/// Sequences of steps that are tried.
const CASES: u32 = 128;
/// The same sequences at every run.
const SEED: [u8; 32] = *b"lastword-claims property test  1";

#[test]
fn after_any_steps_every_transaction_is_valid_and_no_request_is_lost() {
    let fixture = Fixture::new();
    let config = Config { cases: CASES, failure_persistence: None, ..Config::default() };
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &SEED));
    let spent = std::cell::Cell::new(0);
    runner
        .run(&(vec(step(), 1..25), vec(300_u64..9_000, 0..8)), |(steps, coins)| {
            spent.set(spent.get() + run(&fixture, &steps, &coins));
            Ok(())
        })
        .unwrap();

    assert!(spent.get() > 1_000, "only {} inputs were verified", spent.get());
}

/// One thing that happens.
#[derive(Debug, Clone)]
enum Step {
    /// A monitor names those of its requests whose bit is set, or its commitment and nothing else if
    /// the highest bit is.
    Replace { world: usize, named: u32 },
    /// The rates change.
    Rates { relaxed: u32, contended: u32 },
    /// The signer goes or comes back.
    Signer { is_away: bool },
    /// The wallet goes or comes back.
    Wallet { is_away: bool },
    /// The broadcaster refuses a transaction of the last call.
    Refuse { index: usize, refusal: Refusal },
    /// A block came, or went.
    Due { tip: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..4_usize, any::<u32>()).prop_map(|(world, named)| Step::Replace { world, named }),
        1 => (0..4_000_u32, 0..6_000_u32)
            .prop_map(|(relaxed, contended)| Step::Rates { relaxed, contended }),
        1 => any::<bool>().prop_map(|is_away| Step::Signer { is_away }),
        1 => any::<bool>().prop_map(|is_away| Step::Wallet { is_away }),
        1 => (0..8_usize, any::<bool>()).prop_map(|(index, is_fee)| Step::Refuse {
            index,
            refusal: if is_fee { Refusal::Fee } else { Refusal::Other },
        }),
        4 => (CONFIRMED.0 - 2..CONFIRMED.0 + 200).prop_map(|tip| Step::Due { tip }),
    ]
}

/// Four channels, made once: each with the request for its commitment and those that follow.
struct Fixture {
    channels: Vec<(ChannelId, ClaimRequest, Vec<ClaimRequest>)>,
    outputs: BTreeMap<OutPoint, TxOut>,
}

impl Fixture {
    fn new() -> Self {
        let mut fixture = Self { channels: Vec::new(), outputs: BTreeMap::new() };
        for mut world in worlds() {
            let commitment = world.commitment_request();
            fixture.channels.push((world.parameters.channel_id, commitment, world.requests()));
            fixture.outputs.extend(world.outputs);
        }
        fixture
    }
}

fn worlds() -> [World; 4] {
    // From barely above dust to worth any fee.
    let amounts = [1_200, 1_300, 2_500, 3_500, 5_000, 40_000];
    [
        World::new(CommitmentFormat::StaticRemoteKey, 1, &amounts),
        World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 2, &amounts),
        World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 3, &amounts),
        World::new(CommitmentFormat::ZeroFee, 4, &amounts),
    ]
}

/// What a run has seen so far.
struct Run<'f> {
    fixture: &'f Fixture,
    standing: BTreeMap<OutPoint, &'f ClaimRequest>,
    outputs: BTreeMap<OutPoint, TxOut>,
    coins: BTreeSet<OutPoint>,
    /// The highest rate so far.
    rate: u32,
    /// What was offered and is neither refused nor void: transaction, fee, and what it claims.
    mempool: Vec<(Transaction, Amount, Vec<OutPoint>)>,
    inputs_verified: usize,
}

/// Takes the steps and checks after each call; returns how many inputs were verified.
fn run(fixture: &Fixture, steps: &[Step], coins: &[u64]) -> usize {
    let [mut one, mut two, mut three, mut four] = worlds();
    let mut node = Node::new(&mut one, coins);
    node.joins(&mut two);
    node.joins(&mut three);
    node.joins(&mut four);
    let coins: BTreeSet<OutPoint> = node.coins.coins.iter().map(|coin| coin.outpoint).collect();
    let mut outputs = fixture.outputs.clone();
    outputs.extend(coins.iter().map(|coin| (*coin, one.outputs[coin].clone())));
    let standing = BTreeMap::new();
    let mempool = Vec::new();
    let mut run =
        Run { fixture, standing, outputs, coins, rate: 1_000, mempool, inputs_verified: 0 };
    let mut claims = Claims::new();
    let mut last = Vec::new();
    for step in steps {
        match *step {
            Step::Replace { world, named } => run.replace(&mut claims, world, named),
            Step::Rates { relaxed, contended } => {
                (node.fees.relaxed, node.fees.contended) = (relaxed, contended);
                run.rate = run.rate.max(relaxed).max(contended);
            }
            Step::Signer { is_away } => {
                node.signer.refused = is_away.then_some(Refused::All);
            }
            Step::Wallet { is_away } => node.coins.is_away = is_away,
            Step::Refuse { index, refusal } => {
                if let Some(transaction) = last.get(index) {
                    let txid = Transaction::compute_txid(transaction);
                    for (channel_id, ..) in &run.fixture.channels {
                        claims.refused(*channel_id, txid, refusal);
                    }
                    run.mempool.retain(|(known, ..)| {
                        let builds_on = |it: &TxIn| it.previous_output.txid == txid;
                        known.compute_txid() != txid && !known.input.iter().any(builds_on)
                    });
                }
            }
            Step::Due { tip } => last = run.due(&mut claims, &mut node, BlockHeight(tip)),
        }
    }
    node.signer.refused = None;
    node.coins.is_away = false;
    run.due(&mut claims, &mut node, LATE);
    run.inputs_verified
}

impl<'f> Run<'f> {
    fn replace(&mut self, claims: &mut Claims, world: usize, named_bits: u32) {
        let (channel_id, commitment, requests) = &self.fixture.channels[world];
        self.standing.retain(|_, request| request.channel_id != *channel_id);
        let named: Vec<&'f ClaimRequest> = requests
            .iter()
            .zip(0..)
            .filter(|(_, bit)| named_bits & (1 << bit) != 0)
            .map(|(request, _)| request)
            .collect();
        let named = if named_bits & (1 << 31) == 0 { named } else { vec![commitment] };
        self.standing.extend(named.iter().map(|request| (request.outpoint, *request)));
        claims.replace(*channel_id, named.into_iter().cloned().collect());
        self.evict();
    }

    /// Calls twice and checks what comes.
    fn due(&mut self, claims: &mut Claims, node: &mut Node, tip: BlockHeight) -> Vec<Transaction> {
        let due = node.due(claims, tip);
        let again = node.due(claims, tip);
        // What nobody contests has no order of its own.
        let sorted = |transactions: &[Transaction]| {
            let mut sorted = transactions.to_vec();
            sorted.sort_by_key(Transaction::compute_txid);
            sorted
        };
        let both = [&again, &due].map(|due| sorted(&due.transactions));
        assert_eq!(both[0], both[1], "the second call gives the same");
        assert_eq!(again.packages, due.packages, "the second call gives the same");
        let all: Vec<Transaction> =
            due.transactions.iter().chain(due.packages.iter().flatten()).cloned().collect();
        nothing_is_spent_twice(&all);
        for [parent, child] in &due.packages {
            scripts_verify(parent, &self.outputs);
            self.check_child(parent, child);
            self.inputs_verified += 3;
        }
        for transaction in &due.transactions {
            scripts_verify(transaction, &self.outputs);
            nothing_is_dust(transaction);
            self.check_inputs(transaction, tip);
            self.check_fee(transaction);
            self.inputs_verified += transaction.input.len();
        }
        self.relay(&due);
        self.check_nothing_is_lost(claims, &due, tip);
        all
    }

    /// A child is valid after its parent, small, pays us and no more than the highest rate.
    fn check_child(&self, parent: &Transaction, child: &Transaction) {
        let mut outputs = self.outputs.clone();
        outputs.extend(outputs_of(parent));
        scripts_verify(child, &outputs);
        nothing_is_dust(child);
        assert_eq!(child.version, parent.version);
        assert!((2..=9).contains(&child.input.len()));
        assert!(self.coins.contains(&child.input[0].previous_output));
        let paid = fee(parent, &self.outputs) + fee(child, &outputs);
        let weight = parent.weight().to_wu() + child.weight().to_wu();
        // Refusals raise what has no deadline to twice the rate of what is contended.
        let most = (u64::from(2 * self.rate) * (weight + 2 * 10)).div_ceil(1000) + 2;
        let least = 253 * weight / 1000;
        assert!((least..=most).contains(&paid.to_sat()), "{paid} is not in {least}..={most}");
    }

    /// Every input is a standing request that is due, or a coin.
    fn check_inputs(&self, transaction: &Transaction, tip: BlockHeight) {
        let requested = transaction.input.iter().filter(|input| {
            self.standing
                .get(&input.previous_output)
                .is_some_and(|request| request.earliest_height <= tip.plus(1))
        });
        let coins =
            transaction.input.iter().filter(|input| self.coins.contains(&input.previous_output));
        let (requested, coins) = (requested.count(), coins.count());
        assert!(requested >= 1 && coins <= 8, "{transaction:?}");
        assert_eq!(requested + coins, transaction.input.len(), "{transaction:?}");
    }

    /// What goes in comes out, less a fee between the relay floor and twice the highest rate of the
    /// run, or what the outputs are worth where somebody else can take them.
    fn check_fee(&self, transaction: &Transaction) {
        let fee = fee(transaction, &self.outputs).to_sat();
        let request = self.standing[&transaction.input[0].previous_output];
        if let ClaimKind::Commitment { format, .. } = request.kind {
            assert_ne!(format, CommitmentFormat::ZeroFee, "alone it pays nothing");
            return;
        }
        let weight = transaction.weight().to_wu();
        let requests =
            || transaction.input.iter().filter_map(|it| self.standing.get(&it.previous_output));
        let claimed: u64 = requests().map(|request| request.amount.to_sat()).sum();
        // Below dust and its own output's cost, what is left over goes to the fee.
        let left_over = 294 + u64::from(2 * self.rate) * 124 / 1000 + 1;
        // The last step up may be that of the relay's rules, and past a batch that was torn apart.
        let rated = (u64::from(2 * self.rate) * (weight + 2 * 10)).div_ceil(1000)
            + weight.div_ceil(4)
            + self.replaced_by(transaction);
        let is_contended = requests().any(|request| request.deadline.is_some());
        let most = if is_contended { claimed } else { rated.min(claimed) } + left_over;
        let least = 253 * weight / 1000;
        assert!((least..=most).contains(&fee), "{fee} is not in {least}..={most}: {transaction:?}");
        if transaction.input.iter().any(|input| self.coins.contains(&input.previous_output)) {
            assert!(transaction.output[0].value == request.amount, "the HTLC pays no fee");
        } else {
            assert!(fee < claimed);
        }
    }

    /// Takes the transactions into a mempool as it was left; each of them either is there, or pays
    /// for all that it replaces and for its own relay.
    fn relay(&mut self, due: &Due) {
        let alone = due.transactions.iter().map(|it| (it, it));
        let packages = due.packages.iter().map(|[parent, child]| (parent, child));
        for (parent, payer) in alone.chain(packages) {
            let mut outputs = self.outputs.clone();
            outputs.extend(outputs_of(parent));
            let paid = fee(payer, &outputs);
            if self.mempool.iter().any(|(known, ..)| known == payer) {
                continue;
            }
            let replaced = self.replaced_by(payer);
            let relay = u64::try_from(payer.vsize()).unwrap();
            assert!(replaced == 0 || paid.to_sat() >= replaced + relay, "{paid} for {replaced}");
            self.mempool.retain(|(it, ..)| !conflicts(it, payer));
            let claimed = parent.input.iter().map(|input| input.previous_output);
            let claimed = claimed.filter(|it| !self.coins.contains(it)).collect();
            self.mempool.push((payer.clone(), paid, claimed));
        }
    }

    /// What a transaction throws out of the mempool pays.
    fn replaced_by(&self, transaction: &Transaction) -> u64 {
        let replaced = self.mempool.iter().filter(|(it, ..)| conflicts(it, transaction));
        replaced.map(|(_, fee, _)| fee.to_sat()).sum()
    }

    /// Forgets what is void.
    fn evict(&mut self) {
        let standing = &self.standing;
        self.mempool.retain(|(.., claimed)| claimed.iter().all(|it| standing.contains_key(it)));
    }

    /// Every request that is due is claimed, told, or known to wait for lower fees.
    fn check_nothing_is_lost(&self, claims: &Claims, due: &Due, tip: BlockHeight) {
        let transactions = due.transactions.iter().chain(due.packages.iter().flatten());
        let inputs = transactions.flat_map(|transaction| &transaction.input);
        let mut seen: BTreeSet<OutPoint> = inputs.map(|input| input.previous_output).collect();
        seen.extend(due.errors.iter().map(|error| error.outpoint));
        seen.extend(claims.not_worth_their_fee().into_iter().map(|(_, outpoint)| outpoint));
        for request in self.standing.values() {
            let is_due = request.earliest_height <= tip.plus(1);
            assert!(!is_due || seen.contains(&request.outpoint));
        }
        let next = claims.next_height();
        assert_eq!(next.is_none(), self.standing.is_empty());
        assert!(due.transactions.is_empty() || next.is_some_and(|height| height <= tip));
    }
}

fn conflicts(one: &Transaction, other: &Transaction) -> bool {
    let mut inputs = one.input.iter();
    inputs.any(|one| other.input.iter().any(|other| one.previous_output == other.previous_output))
}
