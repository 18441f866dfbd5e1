//! Every witness, in every format, verified input by input.

use bitcoin::{Amount, OutPoint, Sequence, Transaction};
use lastword_claims::Claims;
use lastword_types::{ClaimKind, ClaimRequest, CommitmentFormat, SweepWitness};

use crate::verify::{fee, nothing_is_dust, nothing_is_spent_twice, pays, scripts_verify, spender};
use crate::wallet::Node;
use crate::world::{DELAY, LATE, World};

const AMOUNTS: [u64; 5] = [50_000, 60_000, 70_000, 80_000, 90_000];
const COINS: [u64; 5] = [10_000, 20_000, 30_000, 40_000, 50_000];

#[test]
fn every_request_of_static_remotekey_is_spent_by_what_verifies() {
    check_all(CommitmentFormat::StaticRemoteKey);
}

#[test]
fn every_request_of_anchors_is_spent_by_what_verifies() {
    check_all(CommitmentFormat::AnchorsZeroFeeHtlc);
}

#[test]
fn every_request_of_zero_fee_commitments_is_spent_by_what_verifies() {
    check_all(CommitmentFormat::ZeroFee);
}

#[test]
fn a_commitment_without_anchors_is_broadcast_as_it_is() {
    let mut world = World::new(CommitmentFormat::StaticRemoteKey, 1, &AMOUNTS);
    let request = world.commitment_request();

    let transaction = claim_one(&mut world, &request);

    let ClaimKind::Commitment { transaction: unsigned, .. } = &request.kind else { panic!() };
    assert_eq!(transaction.compute_txid(), unsigned.compute_txid());
}

#[test]
fn an_htlc_transaction_that_pays_its_fee_is_broadcast_as_it_is_h4() {
    // BOLT 5, H-4.
    let mut world = World::new(CommitmentFormat::StaticRemoteKey, 1, &AMOUNTS);
    for request in world.second_stage_requests() {
        let transaction = claim_one(&mut world, &request);

        let ClaimKind::SecondStage { transaction: unsigned, .. } = &request.kind else { panic!() };
        assert_eq!(transaction.compute_txid(), unsigned.compute_txid());
    }
}

#[test]
fn an_htlc_transaction_without_fee_keeps_its_pair_and_gets_a_coin_and_change_h2() {
    // BOLT 5, H-1 and H-2.
    for format in [CommitmentFormat::AnchorsZeroFeeHtlc, CommitmentFormat::ZeroFee] {
        keeps_its_pair(&mut World::new(format, 1, &AMOUNTS));
    }
}

fn keeps_its_pair(world: &mut World) {
    for request in world.second_stage_requests() {
        let transaction = claim_one(world, &request);

        let ClaimKind::SecondStage { transaction: unsigned, .. } = &request.kind else { panic!() };
        let ([pair, coin], [kept, change]) =
            (transaction.input.as_slice(), transaction.output.as_slice())
        else {
            panic!("{transaction:?}")
        };
        assert_eq!(pair.previous_output, request.outpoint);
        assert_eq!(pair.sequence, unsigned.input[0].sequence);
        assert_eq!(kept, &unsigned.output[0]);
        assert_eq!(transaction.lock_time, unsigned.lock_time);
        assert_eq!(transaction.version, unsigned.version);
        let coin = world.outputs[&coin.previous_output].value;
        pays(coin - change.value, &transaction, 1_000, Amount::ZERO);
    }
}

#[test]
fn a_sweep_waits_by_sequence_and_lock_time() {
    let mut world = World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 1, &AMOUNTS);
    let requests: Vec<_> = [world.delayed_requests(), world.their_commitment_requests()].concat();
    for request in requests {
        if is_anchor(&request) {
            continue;
        }
        let transaction = claim_one(&mut world, &request);

        let ClaimKind::Sweep { witness, lock_time, .. } = &request.kind else { panic!() };
        let blocks = match witness {
            SweepWitness::Delayed { .. } => DELAY,
            SweepWitness::PaymentKey
            | SweepWitness::HtlcPreimage { .. }
            | SweepWitness::HtlcTimeout { .. } => 1,
            SweepWitness::PaymentKeyHash { .. }
            | SweepWitness::Anchor
            | SweepWitness::Revocation { .. }
            | SweepWitness::HtlcRevocation { .. } => panic!("{witness:?}"),
        };
        assert_eq!(transaction.input[0].sequence, Sequence::from_height(blocks));
        assert_eq!(transaction.lock_time.to_consensus_u32(), lock_time.0);
        assert_eq!(transaction.version.0, 2, "a relative lock needs it");
        assert!(lock_time.0 < request.earliest_height.0);
    }
}

/// Claims everything at once and verifies what comes.
fn check_all(format: CommitmentFormat) {
    let mut world = World::new(format, 1, &AMOUNTS);
    let requests = world.requests();
    assert_eq!(kinds(&requests), expected_kinds(format));
    let mut node = Node::new(&mut world, &COINS);
    let mut claims = Claims::new();
    claims.replace(world.parameters.channel_id, requests.clone());

    let transactions = node.transactions(&mut claims, LATE);

    nothing_is_spent_twice(&transactions);
    for request in &requests {
        assert!(spender(&transactions, request.outpoint).is_some(), "{request:?}");
    }
    for transaction in &transactions {
        scripts_verify(transaction, &world.outputs);
        nothing_is_dust(transaction);
        let rate = match kind_of(&requests, transaction) {
            ClaimKind::Commitment { .. }
            | ClaimKind::SecondStage { format: CommitmentFormat::StaticRemoteKey, .. } => continue,
            ClaimKind::SecondStage { .. } => 1_000,
            ClaimKind::Sweep { witness, .. } => match witness {
                SweepWitness::HtlcPreimage { .. }
                | SweepWitness::HtlcTimeout { .. }
                | SweepWitness::Revocation { .. }
                | SweepWitness::HtlcRevocation { .. } => 1_000,
                SweepWitness::Delayed { .. }
                | SweepWitness::PaymentKeyHash { .. }
                | SweepWitness::PaymentKey
                | SweepWitness::Anchor => 500,
            },
        };
        pays(fee(transaction, &world.outputs), transaction, rate, Amount::ZERO);
    }
}

/// Claims one request alone and verifies the transaction.
fn claim_one(world: &mut World, request: &ClaimRequest) -> Transaction {
    let mut node = Node::new(world, &COINS);
    let mut claims = Claims::new();
    claims.replace(request.channel_id, vec![request.clone()]);
    let [transaction] =
        <[_; 1]>::try_from(node.transactions(&mut claims, LATE)).expect("one transaction");
    scripts_verify(&transaction, &world.outputs);
    transaction
}

fn kind_of<'a>(requests: &'a [ClaimRequest], transaction: &Transaction) -> &'a ClaimKind {
    let spends = |outpoint: OutPoint| outpoint == transaction.input[0].previous_output;
    &requests.iter().find(|request| spends(request.outpoint)).unwrap().kind
}

fn is_anchor(request: &ClaimRequest) -> bool {
    matches!(request.kind, ClaimKind::Sweep { witness: SweepWitness::Anchor, .. })
}

/// How many requests there are of each kind: commitment, HTLC-success, HTLC-timeout, and the six
/// witnesses of sweeps.
fn kinds(requests: &[ClaimRequest]) -> [usize; 9] {
    let mut counts = [0; 9];
    for request in requests {
        let kind = match &request.kind {
            ClaimKind::Commitment { .. } => 0,
            ClaimKind::SecondStage { preimage: Some(_), .. } => 1,
            ClaimKind::SecondStage { preimage: None, .. } => 2,
            ClaimKind::Sweep { witness, .. } => match witness {
                SweepWitness::Delayed { .. } => 3,
                SweepWitness::PaymentKeyHash { .. } => 4,
                SweepWitness::PaymentKey => 5,
                SweepWitness::Anchor => 6,
                SweepWitness::HtlcPreimage { .. } => 7,
                SweepWitness::HtlcTimeout { .. } => 8,
                SweepWitness::Revocation { .. } | SweepWitness::HtlcRevocation { .. } => {
                    panic!("{witness:?}")
                }
            },
        };
        counts[kind] += 1;
    }
    counts
}

fn expected_kinds(format: CommitmentFormat) -> [usize; 9] {
    match format {
        CommitmentFormat::StaticRemoteKey | CommitmentFormat::ZeroFee => {
            [0, 2, 3, 6, 1, 0, 0, 2, 3]
        }
        CommitmentFormat::AnchorsZeroFeeHtlc => [0, 2, 3, 6, 0, 1, 2, 2, 3],
    }
}
