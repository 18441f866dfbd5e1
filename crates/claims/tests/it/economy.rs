//! What is worth its fee and what waits.

use bitcoin::{Amount, OutPoint, TxOut};
use lastword_claims::{ClaimErrorKind, Claims, MAX_SWEEPS_PER_TRANSACTION};
use lastword_types::{ClaimRequest, CommitmentFormat};

use crate::verify::{fee, nothing_is_dust, pays, scripts_verify, spender};
use crate::wallet::Node;
use crate::world::{LATE, World};

#[test]
fn an_output_that_is_not_worth_its_fee_is_told_once_and_claimed_when_fees_fall() {
    let mut world = World::new(CommitmentFormat::StaticRemoteKey, 5, &[2_000, 2_000]);
    let mut node = Node::new(&mut world, &[]);
    let mut requests = world.their_commitment_requests();
    for request in requests.iter_mut().filter(|request| request.deadline.is_some()) {
        request.deadline = Some(LATE.plus(100));
    }
    let htlcs: Vec<OutPoint> = requests
        .iter()
        .filter(|request| request.amount == Amount::from_sat(2_000))
        .map(|request| request.outpoint)
        .collect();
    let mut claims = Claims::new();
    claims.replace(world.parameters.channel_id, requests.clone());
    node.fees.contended = 20_000;

    let due = node.due(&mut claims, LATE);

    assert_eq!(due.transactions.len(), 1, "to_remote is worth it");
    assert_eq!(due.errors.iter().map(|error| error.outpoint).collect::<Vec<_>>(), htlcs);
    for error in &due.errors {
        let ClaimErrorKind::NotWorthItsFee { amount, fee } = error.kind else {
            panic!("{error:?}")
        };
        assert!(fee > amount);
    }
    claims.replace(world.parameters.channel_id, requests);
    let again = node.due(&mut claims, LATE);
    assert_eq!((again.transactions.len(), again.errors.len()), (1, 0), "it is told once");
    let waiting: Vec<_> =
        claims.not_worth_their_fee().into_iter().map(|(_, outpoint)| outpoint).collect();
    assert_eq!(waiting, htlcs);

    node.fees.contended = 1_000;
    let transactions = node.transactions(&mut claims, LATE);
    assert_eq!(transactions.len(), 3);
    assert!(htlcs.iter().all(|htlc| spender(&transactions, *htlc).is_some()));
    assert_eq!(claims.not_worth_their_fee(), []);
}

#[test]
fn an_htlc_transaction_that_costs_more_than_the_htlc_waits_too() {
    let mut world = World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 5, &[2_000]);
    let mut node = Node::new(&mut world, &[1_000_000]);
    let request = world.second_stage_requests().remove(0);
    let mut claims = Claims::new();
    claims.replace(request.channel_id, vec![request]);
    node.fees.contended = 3_000;

    let due = node.due(&mut claims, LATE);

    assert!(due.transactions.is_empty());
    assert!(matches!(due.errors[0].kind, ClaimErrorKind::NotWorthItsFee { .. }));
    assert_eq!(node.coins.destinations, 0, "no address is asked for in vain");
    node.fees.contended = 1_000;
    assert_eq!(node.transactions(&mut claims, LATE).len(), 1);
}

#[test]
fn an_anchor_goes_along_when_that_pays_and_otherwise_stays_silently() {
    let mut world = World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 5, &[]);
    let requests = world.their_commitment_requests();
    let anchor = requests.iter().find(|request| request.amount == Amount::from_sat(330)).unwrap();
    // The input of an anchor weighs 281 units at most: 330 sat pay it at 1,000, not at 1,200.
    for (rate, inputs) in [(253, 2), (1_000, 2), (1_200, 1)] {
        let mut node = Node::new(&mut world, &[]);
        node.fees.relaxed = rate;
        let mut claims = Claims::new();
        claims.replace(anchor.channel_id, requests.clone());

        let transactions = node.transactions(&mut claims, LATE);

        assert_eq!(transactions.len(), 1);
        assert_eq!(transactions[0].input.len(), inputs);
        scripts_verify(&transactions[0], &world.outputs);
        assert_eq!(claims.not_worth_their_fee().len(), 2 - inputs);
    }
    let mut node = Node::new(&mut world, &[]);
    node.fees.relaxed = 253;
    let mut claims = Claims::new();
    claims.replace(anchor.channel_id, vec![anchor.clone()]);
    assert_eq!(node.transactions(&mut claims, LATE), [], "alone it never pays");
}

#[test]
fn no_output_is_ever_dust() {
    let mut world = World::new(CommitmentFormat::StaticRemoteKey, 5, &[]);
    let mut request = world.their_commitment_requests().remove(0);
    let cost = {
        let mut node = Node::new(&mut world, &[]);
        let mut claims = Claims::new();
        claims.replace(request.channel_id, vec![request.clone()]);
        let transactions = node.transactions(&mut claims, LATE);
        fee(&transactions[0], &world.outputs)
    };
    for (value, is_swept) in [(293, false), (294, true), (295, true)] {
        request.amount = cost + Amount::from_sat(value);
        let mut node = Node::new(&mut world, &[]);
        let mut claims = Claims::new();
        claims.replace(request.channel_id, vec![request.clone()]);

        let due = node.due(&mut claims, LATE);

        assert_eq!(due.transactions.len(), usize::from(is_swept), "{value}");
        assert_eq!(due.errors.len(), usize::from(!is_swept), "{value}");
        due.transactions.iter().for_each(nothing_is_dust);
    }
}

#[test]
fn a_destination_is_paid_by_one_transaction_and_asked_for_only_when_the_last_is_used() {
    let mut world = World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 5, &[20_000, 30_000]);
    let mut node = Node::new(&mut world, &[50_000, 60_000]);
    let mut claims = Claims::new();
    let delayed = world.delayed_requests();
    let anchor = delayed.iter().find(|request| request.amount == Amount::from_sat(330)).unwrap();
    claims.replace(anchor.channel_id, vec![anchor.clone()]);
    for _ in 0..3 {
        node.transactions(&mut claims, LATE);
    }
    assert_eq!(node.coins.destinations, 1, "the anchor waits and the destination with it");

    claims.replace(anchor.channel_id, [world.second_stage_requests(), delayed].concat());

    let transactions = node.transactions(&mut claims, LATE);
    let mut paid: Vec<_> =
        transactions.iter().filter_map(|it| it.output.last()).map(|it| &it.script_pubkey).collect();
    paid.sort_unstable();
    paid.dedup();
    assert_eq!(paid.len(), 3, "two changes and a sweep");
    assert_eq!(node.coins.destinations, 3);
}

#[test]
fn more_sweeps_than_one_transaction_takes_make_two() {
    let mut world = World::new(CommitmentFormat::StaticRemoteKey, 5, &[]);
    let request = world.their_commitment_requests().remove(0);
    let script_pubkey = request.script.clone();
    let txid = request.outpoint.txid;
    let requests: Vec<ClaimRequest> = (1_000..)
        .take(MAX_SWEEPS_PER_TRANSACTION + 1)
        .map(|vout| ClaimRequest { outpoint: OutPoint { txid, vout }, ..request.clone() })
        .collect();
    for request in &requests {
        let output = TxOut { value: request.amount, script_pubkey: script_pubkey.clone() };
        world.outputs.insert(request.outpoint, output);
    }
    let mut node = Node::new(&mut world, &[]);
    let mut claims = Claims::new();
    claims.replace(request.channel_id, requests);

    let transactions = node.transactions(&mut claims, LATE);

    let sizes: Vec<usize> = transactions.iter().map(|it| it.input.len()).collect();
    assert_eq!(sizes, [MAX_SWEEPS_PER_TRANSACTION, 1]);
    assert_ne!(transactions[0].output[0].script_pubkey, transactions[1].output[0].script_pubkey);
    for transaction in &transactions {
        scripts_verify(transaction, &world.outputs);
        pays(fee(transaction, &world.outputs), transaction, 500, Amount::ZERO);
    }
}

#[test]
fn a_rate_below_the_relay_floor_is_raised_to_it() {
    let mut world = World::new(CommitmentFormat::StaticRemoteKey, 5, &[]);
    let mut node = Node::new(&mut world, &[]);
    node.fees.relaxed = 0;
    let mut claims = Claims::new();
    claims.replace(world.parameters.channel_id, world.their_commitment_requests());

    let transactions = node.transactions(&mut claims, LATE);

    pays(fee(&transactions[0], &world.outputs), &transactions[0], 253, Amount::ZERO);
}
