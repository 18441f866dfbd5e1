//! Children that pay for our commitment: F-6 and F-7, and Z-5, Z-6 and Z-8, of the requirements
//! checklist.

use std::collections::BTreeMap;

use bitcoin::transaction::Version;
use bitcoin::{Amount, OutPoint, Transaction, TxOut};
use lastword_claims::{ClaimErrorKind, Claims, Refusal};
use lastword_types::{CommitmentFormat, SigningKey};

use crate::verify::{fee, nothing_is_dust, outputs_of, pays, scripts_verify};
use crate::wallet::{Node, Refused};
use crate::world::{LATE, World};

const ANCHORS: CommitmentFormat = CommitmentFormat::AnchorsZeroFeeHtlc;
const ZERO_FEE: CommitmentFormat = CommitmentFormat::ZeroFee;
const AMOUNTS: [u64; 2] = [50_000, 60_000];

#[test]
fn f_6_our_anchor_pays_for_a_commitment_below_the_rate_of_now() {
    let (mut world, mut claims) = closing(ANCHORS, &AMOUNTS);
    let mut node = Node::new(&mut world, &[20_000, 7_000, 300]);
    let packages = node.packages(&mut claims);
    let [[parent, child]] = packages.as_slice() else { panic!("{packages:?}") };

    assert_eq!((parent.version, child.version), (Version::TWO, Version::TWO));
    check(&world, parent, child, 1_000);
    let coin = child.input[0].previous_output;
    assert_eq!(world.outputs[&coin].value.to_sat(), 7_000, "the smallest that suffices");
    let anchor = parent.output[child.input[1].previous_output.vout as usize].value;
    assert_eq!(anchor.to_sat(), 330);
    // To us and nobody else, so nobody can build on it.
    assert_eq!(child.output.len(), 1);
    assert_eq!(node.packages(&mut claims), packages, "the same at every call");
}

#[test]
fn f_6_a_commitment_that_pays_the_rate_of_now_goes_alone() {
    let (mut world, mut claims) = closing(ANCHORS, &AMOUNTS);
    let mut node = Node::new(&mut world, &[20_000]);
    node.fees.contended = 253;
    let transactions = node.transactions(&mut claims, LATE);
    let [commitment] = transactions.as_slice() else { panic!("{transactions:?}") };
    scripts_verify(commitment, &world.outputs);
    assert_eq!(node.coins.destinations, 0, "the wallet is not asked");

    // When the rate rises it gets its child, and when it falls again it keeps it.
    node.fees.contended = 2_000;
    let packages = node.packages(&mut claims);
    let [[parent, child]] = packages.as_slice() else { panic!("{packages:?}") };
    assert_eq!(parent, commitment);
    check(&world, parent, child, 2_000);
    node.fees.contended = 253;
    assert_eq!(node.packages(&mut claims), packages);
}

#[test]
fn f_6_a_commitment_that_pays_something_does_not_wait_for_a_coin() {
    for is_away in [false, true] {
        let (mut world, mut claims) = closing(ANCHORS, &AMOUNTS);
        let mut node = Node::new(&mut world, &[7_000]);
        let coins = core::mem::take(&mut node.coins.coins);
        node.coins.is_away = is_away;
        let due = node.due(&mut claims, LATE);
        assert_eq!((due.transactions.len(), due.packages.len()), (1, 0));
        assert_eq!(due.errors.len(), 1, "{:?}", due.errors);
        let again = node.due(&mut claims, LATE);
        assert_eq!((again.transactions, again.errors.len()), (due.transactions.clone(), 1));

        node.coins.coins = coins;
        node.coins.is_away = false;
        let packages = node.packages(&mut claims);
        let [[parent, child]] = packages.as_slice() else { panic!("{packages:?}") };
        assert_eq!(parent, &due.transactions[0]);
        check(&world, parent, child, 1_000);
    }
}

#[test]
fn f_7_and_z_5_a_child_is_replaced_when_the_rate_rose_enough_for_the_network_to_take_another() {
    for format in [ANCHORS, ZERO_FEE] {
        let (mut world, mut claims) = closing(format, &AMOUNTS);
        let mut node = Node::new(&mut world, &[5_000, 6_000, 90_000]);
        let mut last = node.packages(&mut claims).remove(0);
        let mut replaced = 0;
        for rate in (1_000..=12_000).step_by(50) {
            node.fees.contended = rate;
            let packages = node.packages(&mut claims);
            let [package] = <[_; 1]>::try_from(packages).unwrap();
            if package != last {
                let [parent, child] = &package;
                assert_eq!(parent, &last[0]);
                check(&world, parent, child, rate);
                let [before, after] = [&last[1], child].map(|it| child_fee(&world, parent, it));
                let relay = Amount::from_sat(u64::try_from(child.vsize()).unwrap());
                assert!(after >= before + relay, "{before} to {after}");
                replaced += 1;
                last = package;
            }
        }
        assert!((20..240).contains(&replaced), "{replaced}");
        // It may take the coin of the one that it replaces, and a larger one when that is too small.
        let coin = last[1].input[0].previous_output;
        assert_eq!(world.outputs[&coin].value.to_sat(), 90_000);
    }
}

#[test]
fn f_7_a_child_that_cannot_be_replaced_stays() {
    let (mut world, mut claims) = closing(ZERO_FEE, &AMOUNTS);
    let mut node = Node::new(&mut world, &[3_000]);
    let packages = node.packages(&mut claims);
    node.fees.contended = 50_000;
    let due = node.due(&mut claims, LATE);
    assert_eq!(due.packages, packages);
    assert!(matches!(due.errors[0].kind, ClaimErrorKind::NoCoin { .. }), "{:?}", due.errors);
    // Its coin is still its own.
    let mut other = World::new(ZERO_FEE, 9, &AMOUNTS);
    node.joins(&mut other);
    claims.replace(other.parameters.channel_id, vec![other.commitment_request()]);
    node.fees.contended = 1_000;
    let due = node.due(&mut claims, LATE);
    assert_eq!(due.packages, packages);
    assert_eq!(due.errors.len(), 1, "{:?}", due.errors);
}

#[test]
fn f_7_the_coin_of_a_child_that_stays_pays_for_nothing_else() {
    let (mut world, mut claims) = closing(ANCHORS, &AMOUNTS);
    let mut node = Node::new(&mut world, &[5_000]);
    let packages = node.packages(&mut claims);
    let mut other = World::new(ANCHORS, 9, &AMOUNTS);
    node.joins(&mut other);
    claims.replace(other.parameters.channel_id, vec![other.second_stage_requests().remove(0)]);
    node.fees.contended = 1_500;
    node.signer.refused = Some(Refused::Key(SigningKey::Funding));
    let due = node.due(&mut claims, LATE);
    assert_eq!((due.packages, due.transactions.len()), (packages, 0));
    let [first, second] = due.errors.as_slice() else { panic!("{:?}", due.errors) };
    assert!(matches!(first.kind, ClaimErrorKind::Signer(_)), "{first:?}");
    assert!(matches!(second.kind, ClaimErrorKind::NoCoin { .. }), "{second:?}");
}

#[test]
fn z_5_the_shared_anchor_pays_for_a_commitment_that_pays_nothing() {
    for amounts in [&[][..], &AMOUNTS, &[200, 50_000], &[240, 50_000], &[353, 50_000]] {
        let (mut world, mut claims) = closing(ZERO_FEE, amounts);
        let mut node = Node::new(&mut world, &[20_000]);
        let packages = node.packages(&mut claims);
        let [[parent, child]] = packages.as_slice() else { panic!("{packages:?}") };
        assert_eq!((parent.version, child.version), (Version(3), Version(3)));
        let anchor = &child.input[1];
        assert!(anchor.witness.is_empty());
        let spent = &parent.output[anchor.previous_output.vout as usize];
        assert_eq!(spent.script_pubkey.to_hex_string(), "51024e73");
        check(&world, parent, child, 1_000);
    }
}

#[test]
fn z_5_a_commitment_that_pays_nothing_waits_for_a_coin() {
    let (mut world, mut claims) = closing(ZERO_FEE, &AMOUNTS);
    let mut node = Node::new(&mut world, &[300]);
    let due = node.due(&mut claims, LATE);
    assert_eq!((due.transactions.len(), due.packages.len()), (0, 0));
    let ClaimErrorKind::NoCoin { needed } = due.errors[0].kind else { panic!("{:?}", due.errors) };
    // One satoshi less than what it says does not do.
    for (short, packages) in [(1, 0), (0, 1)] {
        let mut node = Node::new(&mut world, &[needed.to_sat() - short]);
        let due = node.due(&mut claims.clone(), LATE);
        assert_eq!((due.packages.len(), due.transactions.len()), (packages, 0));
        for [parent, child] in &due.packages {
            check(&world, parent, child, 1_000);
        }
    }
    node.signer.refused = Some(Refused::All);
    let due = node.due(&mut claims, LATE);
    assert!(matches!(due.errors[0].kind, ClaimErrorKind::Signer(_)), "{:?}", due.errors);
}

#[test]
fn z_6_an_htlc_transaction_of_version_3_is_never_too_large() {
    let mut world = World::new(ZERO_FEE, 1, &AMOUNTS);
    let mut claims = Claims::new();
    claims.replace(world.parameters.channel_id, world.second_stage_requests());
    let mut node = Node::new(&mut world, &[1_000_000, 2_000_000]);
    let transactions = node.transactions(&mut claims, LATE);
    assert_eq!(transactions.len(), 2, "one for each, so no batch can be");
    for transaction in &transactions {
        assert_eq!(transaction.version, Version(3));
        assert!(transaction.vsize() < 10_000);
        scripts_verify(transaction, &world.outputs);
    }
    // Only a script of the wallet could make it so.
    for (bytes, is_refused) in [(9_000, false), (9_900, true)] {
        let mut node = Node::new(&mut world, &[1_000_000, 2_000_000]);
        node.coins.long = Some(bytes);
        let mut claims = Claims::new();
        claims.replace(world.parameters.channel_id, world.second_stage_requests());
        let due = node.due(&mut claims, LATE);
        assert_eq!(due.transactions.is_empty(), is_refused);
        for error in due.errors {
            assert!(matches!(error.kind, ClaimErrorKind::TooLarge { limit: 10_000, .. }));
        }
    }
}

#[test]
fn z_8_a_child_of_version_3_is_never_too_large() {
    for (format, bytes, is_refused) in
        [(ZERO_FEE, 700, false), (ZERO_FEE, 900, true), (ANCHORS, 900, false)]
    {
        let (mut world, mut claims) = closing(format, &AMOUNTS);
        let mut node = Node::new(&mut world, &[1_000_000]);
        node.coins.long = Some(bytes);
        let due = node.due(&mut claims, LATE);
        assert_eq!(due.packages.is_empty(), is_refused, "{format:?} {bytes}");
        for [_, child] in &due.packages {
            assert!(child.vsize() <= 1_000 || format == ANCHORS);
        }
        for error in due.errors {
            assert!(matches!(error.kind, ClaimErrorKind::TooLarge { limit: 1_000, .. }));
        }
    }
}

/// Z-8: the child spends the anchor, which may be dust, and nothing else that is unconfirmed.
#[test]
fn z_8_a_child_has_one_unconfirmed_parent_and_spends_its_dust() {
    let (mut world, mut claims) = closing(ZERO_FEE, &[200, 50_000]);
    let mut node = Node::new(&mut world, &[20_000]);
    let [parent, child] = node.packages(&mut claims).remove(0);
    let txid = parent.compute_txid();
    let [coin, anchor] = child.input.as_slice() else { panic!("{child:?}") };
    assert_ne!(coin.previous_output.txid, txid);
    assert_eq!(anchor.previous_output.txid, txid);
    let dust = parent.output.iter().filter(|it| it.value < it.script_pubkey.minimal_non_dust());
    assert_eq!(dust.count(), 1, "the anchor of 200 sat");
    assert_eq!(fee(&parent, &world.outputs), Amount::ZERO, "as dust demands");
}

#[test]
fn a_refused_package_is_made_anew_whichever_half_is_named() {
    for half in [0, 1] {
        let (mut world, mut claims) = closing(ZERO_FEE, &AMOUNTS);
        let mut node = Node::new(&mut world, &[20_000, 30_000]);
        let packages = node.packages(&mut claims);
        // The coin was spent elsewhere.
        node.coins.coins.remove(0);
        assert_eq!(node.packages(&mut claims), packages);
        claims.refused(
            world.parameters.channel_id,
            packages[0][half].compute_txid(),
            Refusal::Other,
        );
        let after = node.packages(&mut claims);
        assert_eq!(after[0][0], packages[0][0]);
        assert_ne!(after[0][1], packages[0][1]);
        check(&world, &after[0][0], &after[0][1], 1_000);
    }
}

#[test]
fn a_commitment_that_makes_money_is_refused() {
    let mut world = World::new(ZERO_FEE, 1, &AMOUNTS);
    let mut request = world.commitment_request();
    request.amount -= Amount::from_sat(1);
    let mut node = Node::new(&mut world, &[20_000]);
    let mut claims = Claims::new();
    claims.replace(request.channel_id, vec![request]);
    let due = node.due(&mut claims, LATE);
    assert!(matches!(due.errors[0].kind, ClaimErrorKind::Request(_)), "{:?}", due.errors);
    assert_eq!((due.transactions.len(), due.packages.len()), (0, 0));
}

/// A channel whose commitment is to be broadcast.
fn closing(format: CommitmentFormat, amounts: &[u64]) -> (World, Claims) {
    let mut world = World::new(format, 1, amounts);
    let mut claims = Claims::new();
    claims.replace(world.parameters.channel_id, vec![world.commitment_request()]);
    (world, claims)
}

/// Both verify, and together they pay the rate.
fn check(world: &World, parent: &Transaction, child: &Transaction, rate: u32) {
    scripts_verify(parent, &world.outputs);
    let outputs = outputs_with(world, parent);
    scripts_verify(child, &outputs);
    nothing_is_dust(child);
    assert!(child.vsize() <= 1_000);
    let paid = fee(parent, &world.outputs) + fee(child, &outputs);
    let mut both = parent.clone();
    both.input.extend(child.input.clone());
    both.output.extend(child.output.clone());
    // What two transactions have twice: version, lock time, two counts, and the segwit marker.
    let slack = (u64::from(rate) * 42).div_ceil(1_000) + 2;
    pays(paid, &both, rate, Amount::from_sat(slack));
    let weight = parent.weight().to_wu() + child.weight().to_wu();
    assert!(paid.to_sat() >= (u64::from(rate) * weight).div_ceil(1_000));
}

fn child_fee(world: &World, parent: &Transaction, child: &Transaction) -> Amount {
    fee(child, &outputs_with(world, parent))
}

fn outputs_with(world: &World, parent: &Transaction) -> BTreeMap<OutPoint, TxOut> {
    let mut outputs = world.outputs.clone();
    outputs.extend(outputs_of(parent));
    outputs
}
