//! Which coin pays for what.

use bitcoin::{Amount, ScriptBuf};
use lastword_claims::{ClaimErrorKind, Claims};
use lastword_ports::ChainErrorKind;
use lastword_types::{BlockHeight, CommitmentFormat};

use crate::verify::{fee, nothing_is_spent_twice, pays, scripts_verify, spender};
use crate::wallet::Node;
use crate::world::{LATE, World};

#[test]
fn the_smallest_coin_that_suffices_pays_and_no_coin_pays_twice() {
    let mut world = world();
    let mut node = Node::new(&mut world, &[100_000, 500, 3_000, 2_000, 700, 1_500]);
    let mut claims = Claims::new();
    claims.replace(world.parameters.channel_id, world.second_stage_requests());

    let transactions = node.transactions(&mut claims, LATE);

    nothing_is_spent_twice(&transactions);
    let mut coins: Vec<u64> = transactions
        .iter()
        .map(|transaction| world.outputs[&transaction.input[1].previous_output].value.to_sat())
        .collect();
    coins.sort_unstable();
    assert_eq!(coins, [1_500, 2_000, 3_000, 100_000], "500 and 700 do not pay a fee of 1,000 wu");
}

#[test]
fn without_a_coin_the_need_is_told_and_that_much_suffices() {
    let mut world = world();
    let mut node = Node::new(&mut world, &[300]);
    let request = world.second_stage_requests().remove(0);
    let mut claims = Claims::new();
    claims.replace(request.channel_id, vec![request]);

    let due = node.due(&mut claims, LATE);

    assert!(due.transactions.is_empty());
    let [error] = due.errors.as_slice() else { panic!("{:?}", due.errors) };
    let ClaimErrorKind::NoCoin { needed } = error.kind else { panic!("{error:?}") };
    let again = node.due(&mut claims, LATE);
    assert_eq!(again.errors.len(), 1, "somebody must act, so it is told at every call");
    let mut node = Node::new(&mut world, &[needed.to_sat() - 1]);
    assert_eq!(node.due(&mut claims, LATE).transactions, []);
    let mut node = Node::new(&mut world, &[needed.to_sat()]);
    let transactions = node.transactions(&mut claims, LATE);
    assert_eq!(transactions.len(), 1);
    assert_eq!(transactions[0].output.len(), 1, "nothing is left over");
    pays(fee(&transactions[0], &world.outputs), &transactions[0], 1_000, Amount::ZERO);
    scripts_verify(&transactions[0], &world.outputs);
}

#[test]
fn change_below_dust_goes_to_the_fee_and_above_it_comes_back() {
    let mut world = world();
    let request = world.second_stage_requests().remove(0);
    let mut claims = Claims::new();
    claims.replace(request.channel_id, vec![request]);
    let due = Node::new(&mut world, &[]).due(&mut claims, LATE);
    let ClaimErrorKind::NoCoin { needed } = due.errors[0].kind else { panic!() };
    // A P2WPKH output weighs 124 units and is dust below 294 sat.
    let least = needed.to_sat() + 124 + 294;

    for (coin, change) in [(least - 1, None), (least, Some(294)), (least + 1, Some(295))] {
        let mut node = Node::new(&mut world, &[coin]);
        let transactions = node.transactions(&mut claims.clone(), LATE);

        let output = transactions[0].output.get(1).map(|output| output.value.to_sat());
        assert_eq!(output, change);
        let slack = Amount::from_sat(if change.is_some() { 0 } else { 294 + 124 });
        pays(fee(&transactions[0], &world.outputs), &transactions[0], 1_000, slack);
    }
}

#[test]
fn when_coins_are_scarce_the_nearest_deadline_comes_first() {
    let mut world = world();
    let mut requests = world.second_stage_requests();
    for (request, deadline) in requests.iter_mut().zip([None, Some(9_000), Some(8_000), None]) {
        request.deadline = deadline.map(BlockHeight);
    }
    let urgent = requests[2].outpoint;
    let mut node = Node::new(&mut world, &[5_000]);
    let mut claims = Claims::new();
    claims.replace(world.parameters.channel_id, requests);

    let due = node.due(&mut claims, LATE);

    assert_eq!(due.transactions.len(), 1);
    assert!(spender(&due.transactions, urgent).is_some());
    assert_eq!(due.errors.len(), 3);
}

#[test]
fn coins_are_not_shared_between_channels() {
    let (mut one, mut two) =
        (world(), World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 9, &AMOUNTS));
    let mut node = Node::new(&mut one, &[5_000, 6_000, 7_000, 8_000]);
    node.joins(&mut two);
    let mut claims = Claims::new();
    claims.replace(one.parameters.channel_id, one.second_stage_requests());
    let first = node.transactions(&mut claims, LATE);
    claims.replace(two.parameters.channel_id, two.second_stage_requests());

    let due = node.due(&mut claims, LATE);

    assert_eq!(due.transactions, first);
    assert_eq!(due.errors.len(), 4);
    claims.replace(one.parameters.channel_id, Vec::new());
    let after = node.transactions(&mut claims, LATE);
    assert_eq!(after.len(), 4);
    for transaction in &after {
        scripts_verify(transaction, &two.outputs);
    }
}

#[test]
fn a_wallet_that_is_away_stops_only_what_needs_it() {
    let mut world = world();
    let requests = world.requests();
    let mut node = Node::new(&mut world, &[5_000, 6_000, 7_000, 8_000]);
    node.coins.is_away = true;
    let mut claims = Claims::new();
    claims.replace(world.parameters.channel_id, requests.clone());

    let due = node.due(&mut claims, LATE);

    assert_eq!(due.errors.len(), 4);
    for error in &due.errors {
        let ClaimErrorKind::Wallet(source) = &error.kind else { panic!("{error:?}") };
        assert_eq!(source.kind, ChainErrorKind::Retry);
        assert!(spender(&due.transactions, error.outpoint).is_none());
    }
    node.coins.is_away = false;
    let after = node.transactions(&mut claims, LATE);
    assert!(requests.iter().all(|request| spender(&after, request.outpoint).is_some()));
    assert!(due.transactions.iter().all(|transaction| after.contains(transaction)));
}

#[test]
fn a_coin_that_the_wallet_does_not_sign_stays_free() {
    let mut world = world();
    let request = world.second_stage_requests().remove(0);
    let mut node = Node::new(&mut world, &[5_000]);
    node.coins.signs = false;
    let mut claims = Claims::new();
    claims.replace(request.channel_id, vec![request]);

    let due = node.due(&mut claims, LATE);

    let ClaimErrorKind::Wallet(source) = &due.errors[0].kind else { panic!("{:?}", due.errors) };
    assert_eq!(source.kind, ChainErrorKind::NotFound);
    node.coins.signs = true;
    assert_eq!(node.transactions(&mut claims, LATE).len(), 1);
}

#[test]
fn what_is_no_coin_of_ours_is_not_spent() {
    let mut world = world();
    let request = world.second_stage_requests().remove(0);
    let mut node = Node::new(&mut world, &[5_000, 6_000]);
    node.coins.coins[0].script_pubkey = ScriptBuf::new();
    node.coins.coins[1].amount = Amount::from_sat(u64::MAX);
    let mut claims = Claims::new();
    claims.replace(request.channel_id, vec![request]);

    let due = node.due(&mut claims, LATE);

    assert!(matches!(due.errors[0].kind, ClaimErrorKind::NoCoin { .. }), "{:?}", due.errors);
}

const AMOUNTS: [u64; 4] = [50_000, 60_000, 70_000, 80_000];

fn world() -> World {
    World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 4, &AMOUNTS)
}
