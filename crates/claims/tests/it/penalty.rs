//! Penalties: together while there is time, alone when there is none.

use bitcoin::{Amount, OutPoint, Transaction};
use lastword_claims::{Claims, SECURITY_DELAY};
use lastword_types::{BlockHeight, ClaimKind, ClaimRequest, CommitmentFormat, SweepWitness};

use crate::verify::{fee, nothing_is_spent_twice, outputs_of, pays, scripts_verify, spender};
use crate::wallet::Node;
use crate::world::{CONFIRMED, EXPIRY, World};

const FORMATS: [CommitmentFormat; 3] = [
    CommitmentFormat::StaticRemoteKey,
    CommitmentFormat::AnchorsZeroFeeHtlc,
    CommitmentFormat::ZeroFee,
];
/// Offered and received by turns.
const AMOUNTS: [u64; 6] = [50_000, 60_000, 50_000, 60_000, 70_000, 80_000];

struct Breach {
    world: World,
    node: Node,
    claims: Claims,
    requests: Vec<ClaimRequest>,
}

impl Breach {
    fn new(format: CommitmentFormat) -> Self {
        let mut world = World::new(format, 1, &AMOUNTS);
        let node = Node::new(&mut world, &[]);
        let requests = world.penalty_requests();
        assert_eq!(requests.len(), AMOUNTS.len() + 1);
        let mut claims = Claims::new();
        claims.replace(world.parameters.channel_id, requests.clone());
        Self { world, node, claims, requests }
    }

    fn transactions(&mut self, tip: BlockHeight) -> Vec<Transaction> {
        let transactions = self.node.transactions(&mut self.claims, tip);
        nothing_is_spent_twice(&transactions);
        for transaction in &transactions {
            scripts_verify(transaction, &self.world.outputs);
        }
        for request in &self.requests {
            assert!(spender(&transactions, request.outpoint).is_some(), "{request:?}");
        }
        transactions
    }

    /// The outputs whose deadline is above a height.
    fn later_than(&self, height: BlockHeight) -> Vec<OutPoint> {
        let later = self.requests.iter().filter(|it| it.deadline.unwrap() > height);
        later.map(|request| request.outpoint).collect()
    }
}

fn shared(transactions: &[Transaction]) -> Vec<&Transaction> {
    transactions.iter().filter(|transaction| transaction.input.len() > 1).collect()
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn penalties_far_from_their_deadlines_share_a_transaction_v8() {
    for format in FORMATS {
        let mut breach = Breach::new(format);
        let transactions = breach.transactions(CONFIRMED);

        let far = breach.later_than(CONFIRMED.plus(1 + SECURITY_DELAY));
        assert_eq!(far.len(), 1 + AMOUNTS.len() / 2, "what we offered can be taken at once");
        let [batch] = shared(&transactions)[..] else { panic!("{transactions:?}") };
        assert_eq!(batch.input.len(), far.len());
        assert!(batch.input.iter().all(|input| far.contains(&input.previous_output)));
        assert_eq!(transactions.len(), 1 + AMOUNTS.len() / 2);
        assert_eq!(breach.transactions(CONFIRMED), transactions);
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn near_its_deadline_a_penalty_goes_alone_and_one_pays_for_the_replacement_v9() {
    for format in FORMATS {
        let mut breach = Breach::new(format);
        let before = breach.transactions(CONFIRMED);
        let [batch] = shared(&before)[..] else { panic!("{before:?}") };
        let replaced = fee(batch, &breach.world.outputs);
        let tip = BlockHeight(EXPIRY - SECURITY_DELAY - 2);
        assert!(breach.transactions(tip).contains(batch), "there is time");

        // From here on some of its outputs are near, and all HTLCs by the second.
        let mut is_replaced = false;
        for tip in [tip.plus(1 + 1), BlockHeight(EXPIRY - 1)] {
            let after = breach.transactions(tip);
            let far = breach.later_than(tip.plus(1 + SECURITY_DELAY));
            for transaction in shared(&after) {
                assert!(transaction.input.iter().all(|it| far.contains(&it.previous_output)));
            }
            let evicts = |it: &Transaction| {
                let relay = it.weight().to_wu().div_ceil(4);
                fee(it, &breach.world.outputs) >= replaced + Amount::from_sat(relay)
            };
            let spends = |it: &&Transaction| {
                it.input.iter().any(|input| {
                    batch.input.iter().any(|old| old.previous_output == input.previous_output)
                })
            };
            let heirs: Vec<bool> = after.iter().filter(spends).map(evicts).collect();
            assert!(heirs[0], "the heir is offered first");
            // The others pay what they are worth themselves, as long as there is time for that.
            assert!(is_replaced || heirs.iter().filter(|evicts| **evicts).count() == 1);
            assert_eq!(breach.transactions(tip), after, "it is said once");
            is_replaced = true;
        }
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn what_the_peer_voids_is_built_anew_v10() {
    for format in FORMATS {
        let mut breach = Breach::new(format);
        let before = breach.transactions(CONFIRMED);
        let [batch] = shared(&before)[..] else { panic!("{before:?}") };
        let is_stolen = |request: &ClaimRequest| {
            request.outpoint == batch.input[1].previous_output
                && !matches!(
                    request.kind,
                    ClaimKind::Sweep { witness: SweepWitness::Revocation { .. }, .. }
                )
        };
        let place = breach
            .requests
            .iter()
            .position(is_stolen)
            .or_else(|| {
                let first = batch.input[0].previous_output;
                breach.requests.iter().position(|request| request.outpoint == first)
            })
            .unwrap();
        let second = breach.world.second_penalty(&breach.requests[place]);
        let stolen = std::mem::replace(&mut breach.requests[place], second);

        breach.claims.replace(breach.world.parameters.channel_id, breach.requests.clone());
        let after = breach.transactions(CONFIRMED.plus(1));

        assert!(spender(&after, stolen.outpoint).is_none());
        let [again] = shared(&after)[..] else { panic!("{after:?}") };
        assert_eq!(again.input.len(), batch.input.len());
        let alone = |it: &&Transaction| it.input.len() == 1;
        for before in before.iter().filter(alone) {
            let still = spender(&after, before.input[0].previous_output).unwrap();
            assert_eq!(still.input.len(), 1);
        }
    }
}

// BOLT 5: Penalty Transactions Weight Calculation
#[test]
fn penalties_weigh_what_was_calculated_v11() {
    for format in FORMATS {
        // A relative lock makes the script of an HTLC three bytes longer.
        let lock = if format == CommitmentFormat::AnchorsZeroFeeHtlc { 3 } else { 0 };
        let mut breach = Breach::new(format);
        let transactions = breach.transactions(CONFIRMED);
        for (n, request) in breach.requests.iter().enumerate() {
            let transaction = spender(&transactions, request.outpoint).unwrap();
            let spends = |it: &&bitcoin::TxIn| it.previous_output == request.outpoint;
            let weight = transaction.input.iter().find(spends).unwrap().segwit_weight().to_wu();
            let expected = match request.script.as_bytes()[0] {
                0x63 => 324,
                // The longer of the two HTLC scripts holds an expiry.
                _ if request.deadline == Some(CONFIRMED.plus(1)) => 413 + lock,
                _ => 407 + lock,
            };
            assert!((expected - 8..=expected).contains(&weight), "{n}: {weight} for {expected}");
        }
    }
}

// BOLT 5: Revoked Transaction Close Handling
#[test]
fn a_penalty_alone_pays_the_rate_of_what_is_contended() {
    let mut breach = Breach::new(CommitmentFormat::AnchorsZeroFeeHtlc);
    let transactions = breach.transactions(CONFIRMED);
    for transaction in transactions.iter().filter(|it| it.input.len() == 1) {
        pays(fee(transaction, &breach.world.outputs), transaction, 1_000, Amount::ZERO);
        assert_eq!(outputs_of(transaction).count(), 1);
    }
}
