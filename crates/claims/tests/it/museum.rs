//! Failures that others had with claims, each named by its row in `docs/FAILURES.md`.

use bitcoin::Amount;
use lastword_claims::Claims;
use lastword_types::{ClaimKind, CommitmentFormat};

use crate::verify::{fee, scripts_verify};
use crate::wallet::Node;
use crate::world::{LATE, World};

/// An HTLC transaction without a fee of its own was given coins as if nothing came in from the
/// HTLC, and no output paid its value back.
#[test]
fn museum_b013_the_value_of_an_htlc_comes_back_to_us() {
    for coin in [5_000, 20_000, 1_000_000] {
        for rate in [253, 1_000, 4_000] {
            let mut world =
                World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 5, &[10_000, 70_000, 500_000]);
            for request in world.second_stage_requests() {
                let mut node = Node::new(&mut world, &[coin]);
                node.fees.contended = rate;
                let mut claims = Claims::new();
                claims.replace(request.channel_id, vec![request.clone()]);
                let transactions = node.transactions(&mut claims, LATE);

                let [transaction] = &transactions[..] else { panic!("{transactions:?}") };
                let ClaimKind::SecondStage { transaction: unsigned, .. } = &request.kind else {
                    panic!("{request:?}");
                };
                assert_eq!(transaction.output[0].value, request.amount);
                assert_eq!(transaction.output[0], unsigned.output[0]);
                let wanted = u64::from(rate) * transaction.weight().to_wu() / 1000;
                let dust = 294;
                let paid = fee(transaction, &world.outputs).to_sat();
                assert!(paid <= wanted + wanted / 100 + 1 + dust, "{paid} for {wanted}");
                scripts_verify(transaction, &world.outputs);
            }
        }
    }
}

/// What cost more than it brought was forgotten and not looked at again when fees had fallen; and
/// where a higher fee was forced on a claim, nobody asked what the claim was worth.
#[test]
fn gap_g18_a_claim_waits_until_it_is_worth_its_fee_and_never_costs_more_than_it_brings() {
    for format in [CommitmentFormat::StaticRemoteKey, CommitmentFormat::AnchorsZeroFeeHtlc] {
        let mut world = World::new(format, 5, &[2_000, 3_000, 20_000]);
        for request in world.their_commitment_requests() {
            let mut node = Node::new(&mut world, &[]);
            let mut claims = Claims::new();
            let mut is_claimed = false;
            for (tip, rate) in (LATE.0..).zip([200_000, 50_000, 12_000, 6_000, 3_000, 1_000, 253]) {
                node.fees.contended = rate;
                node.fees.relaxed = rate;
                claims.replace(request.channel_id, vec![request.clone()]);
                let due = node.due(&mut claims, lastword_types::BlockHeight(tip));
                for transaction in &due.transactions {
                    assert!(fee(transaction, &world.outputs) <= request.amount);
                }
                assert!(!is_claimed || !due.transactions.is_empty(), "it stands from then on");
                is_claimed = !due.transactions.is_empty();
            }
            let is_anchor = request.amount == Amount::from_sat(330);
            assert!(is_claimed || is_anchor, "{request:?}");
        }
    }
}
