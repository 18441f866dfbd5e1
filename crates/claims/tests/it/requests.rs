//! What stands, what is gone, what cannot be done: the life of requests.

use bitcoin::{Amount, EcdsaSighashType, OutPoint, Transaction};
use lastword_claims::{ClaimErrorKind, Claims, Refusal};
use lastword_ports::SignerError;
use lastword_types::{BlockHeight, ClaimKind, ClaimRequest, CommitmentFormat, SigningKey};

use crate::verify::{scripts_verify, spender};
use crate::wallet::{Node, Refused};
use crate::world::{CONFIRMED, DELAY, LATE, World};

#[test]
fn nothing_is_due_before_its_height_and_next_height_says_when() {
    let (mut world, mut node, mut claims) = anchors();
    let requests = world.delayed_requests();
    let earliest = requests.iter().map(|request| request.earliest_height.0).min().unwrap();
    assert_eq!(claims.next_height(), None);

    claims.replace(world.parameters.channel_id, requests.clone());

    assert_eq!(claims.next_height(), Some(BlockHeight(earliest - 1)));
    let too_early = CONFIRMED.plus(u32::from(DELAY) - 2);
    assert_eq!(node.transactions(&mut claims, too_early), []);
    let in_time = CONFIRMED.plus(u32::from(DELAY) - 1);
    assert_eq!(node.transactions(&mut claims, in_time).len(), 1);
}

#[test]
fn a_transaction_is_the_same_at_every_call_while_the_rate_twitches_and_the_coins_go() {
    let (mut world, mut node, mut claims) = anchors();
    let mut requests = world.requests();
    for request in &mut requests {
        request.deadline = request.deadline.map(|_| LATE.plus(100));
    }
    claims.replace(world.parameters.channel_id, requests.clone());
    let first = node.transactions(&mut claims, LATE);
    let asked = node.signer.asked;

    // Less than a quarter more; and a rate that falls takes nothing back.
    for (relaxed, contended) in [(620, 1_240), (253, 253)] {
        (node.fees.relaxed, node.fees.contended) = (relaxed, contended);
        // A wallet that knows the mempool lists a coin no longer once our own claim spends it.
        node.coins.coins.clear();
        claims.replace(world.parameters.channel_id, requests.clone());

        assert_eq!(node.transactions(&mut claims, LATE), first);
        assert_eq!(node.transactions(&mut claims, LATE.plus(10)), first);
    }
    assert_eq!(node.signer.asked, asked, "nothing is signed twice");
}

#[test]
fn equal_inputs_give_equal_transactions_in_whatever_order_they_are_named() {
    let run = |is_reversed: bool| {
        let (mut world, mut node, mut claims) = anchors();
        let mut requests = world.requests();
        if is_reversed {
            requests.reverse();
        }
        claims.replace(world.parameters.channel_id, requests);
        node.transactions(&mut claims, LATE)
    };

    assert_eq!(run(false), run(true));
}

#[test]
fn a_request_that_is_gone_is_not_claimed_and_its_coin_is_free() {
    let (mut world, _, mut claims) = anchors();
    let mut node = Node::new(&mut world, &[5_000]);
    let requests = world.second_stage_requests();
    let [first, second] = [0, 1].map(|index| vec![requests[index].clone()]);
    claims.replace(world.parameters.channel_id, first);
    let before = node.transactions(&mut claims, LATE);

    claims.replace(world.parameters.channel_id, second);

    let after = node.transactions(&mut claims, LATE);
    assert_eq!(before[0].input[0].previous_output, requests[0].outpoint);
    assert_eq!(after[0].input[0].previous_output, requests[1].outpoint);
    assert_eq!(after[0].input[1].previous_output, before[0].input[1].previous_output);
    claims.replace(world.parameters.channel_id, Vec::new());
    assert_eq!(node.transactions(&mut claims, LATE), []);
    assert_eq!(claims.next_height(), None);
}

#[test]
fn what_shared_a_transaction_with_a_request_that_is_gone_is_built_anew() {
    let (mut world, mut node, mut claims) = anchors();
    let mut requests = world.delayed_requests();
    claims.replace(world.parameters.channel_id, requests.clone());
    let before = node.transactions(&mut claims, LATE);
    assert_eq!(before.len(), 1);

    let gone = requests.remove(1);
    claims.replace(world.parameters.channel_id, requests.clone());

    let after = node.transactions(&mut claims, LATE);
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].input.len(), requests.len());
    assert!(spender(&after, gone.outpoint).is_none());
    scripts_verify(&after[0], &world.outputs);
}

#[test]
fn a_request_that_comes_later_leaves_the_standing_transaction_alone() {
    let (mut world, mut node, mut claims) = anchors();
    let mut requests = world.delayed_requests();
    let later = requests.remove(2);
    claims.replace(world.parameters.channel_id, requests.clone());
    let before = node.transactions(&mut claims, LATE);

    requests.push(later.clone());
    claims.replace(world.parameters.channel_id, requests);

    let after = node.transactions(&mut claims, LATE);
    assert_eq!(after.len(), 2);
    assert!(after.contains(&before[0]));
    assert_eq!(spender(&after, later.outpoint).unwrap().input.len(), 1);
}

#[test]
fn a_request_that_changed_is_built_anew() {
    let (mut world, mut node, mut claims) = anchors();
    let mut request = world.second_stage_requests().remove(0);
    claims.replace(request.channel_id, vec![request.clone()]);
    let before = node.transactions(&mut claims, LATE);

    node.fees.contended = 2_000;
    request.earliest_height = request.earliest_height.plus(1);
    claims.replace(request.channel_id, vec![request]);

    assert_ne!(node.transactions(&mut claims, LATE), before);
}

#[test]
fn a_tip_that_falls_back_holds_transactions_back_and_then_gives_the_same() {
    let (mut world, mut node, mut claims) = anchors();
    claims.replace(world.parameters.channel_id, world.delayed_requests());
    let before = node.transactions(&mut claims, LATE);

    assert_eq!(node.transactions(&mut claims, BlockHeight(CONFIRMED.0 - 1)), []);
    assert_eq!(node.transactions(&mut claims, LATE), before);
}

#[test]
fn what_is_due_does_not_wait_for_what_is_no_longer() {
    let (mut world, mut node, mut claims) = anchors();
    let mut requests = world.delayed_requests();
    requests.retain(|request| request.amount > Amount::from_sat(330));
    let early = requests.remove(1);
    requests[0].earliest_height = LATE;
    claims.replace(early.channel_id, vec![early.clone(), requests[0].clone()]);
    assert_eq!(node.transactions(&mut claims, LATE)[0].input.len(), 2);

    let [transaction] = <[_; 1]>::try_from(node.transactions(&mut claims, BlockHeight(LATE.0 - 2)))
        .expect("one transaction");

    assert_eq!(transaction.input.len(), 1);
    assert_eq!(transaction.input[0].previous_output, early.outpoint);
    assert_eq!(node.transactions(&mut claims, LATE).len(), 2);
}

#[test]
fn an_output_that_is_named_twice_is_claimed_once() {
    let (mut world, mut node, mut claims) = anchors();
    let requests = world.delayed_requests();
    claims.replace(world.parameters.channel_id, [requests.clone(), requests].concat());

    let transactions = node.transactions(&mut claims, LATE);

    crate::verify::nothing_is_spent_twice(&transactions);
}

#[test]
fn a_signer_that_is_away_loses_nothing() {
    let (mut world, mut node, mut claims) = anchors();
    let requests = world.requests();
    claims.replace(world.parameters.channel_id, requests.clone());
    node.signer.refused = Some(Refused::All);

    let due = node.due(&mut claims, LATE);

    assert!(due.transactions.is_empty());
    assert_eq!(due.errors.len(), requests.len(), "each request is told: {:?}", due.errors);
    for error in &due.errors {
        assert!(matches!(error.kind, ClaimErrorKind::Signer(SignerError::Away)), "{error:?}");
    }
    node.signer.refused = None;
    let after = node.transactions(&mut claims, LATE);
    assert!(requests.iter().all(|request| spender(&after, request.outpoint).is_some()));
}

#[test]
fn a_signature_that_is_refused_stops_no_other_of_the_batch() {
    let (mut world, mut node, mut claims) = anchors();
    let requests = world.delayed_requests();
    let anchor = requests.iter().find(|request| request.amount == Amount::from_sat(330)).unwrap();
    claims.replace(world.parameters.channel_id, requests.clone());
    node.signer.refused = Some(Refused::Key(SigningKey::Funding));

    let due = node.due(&mut claims, LATE);

    assert_eq!(
        due.errors.iter().map(|error| error.outpoint).collect::<Vec<_>>(),
        [anchor.outpoint]
    );
    assert_eq!(due.transactions.len(), 1);
    assert_eq!(due.transactions[0].input.len(), requests.len() - 1);
    scripts_verify(&due.transactions[0], &world.outputs);
}

#[test]
fn a_refused_transaction_is_built_anew_at_the_rate_of_then() {
    let (mut world, mut node, mut claims) = anchors();
    let request = world.second_stage_requests().remove(0);
    let channel_id = request.channel_id;
    claims.replace(channel_id, vec![request]);
    let before = node.transactions(&mut claims, LATE);
    node.coins.coins.retain(|coin| coin.outpoint != before[0].input[1].previous_output);

    claims.refused(channel_id, bitcoin::hashes::Hash::all_zeros(), Refusal::Other);
    assert_eq!(node.transactions(&mut claims, LATE), before, "it is nobody's");
    claims.refused(channel_id, before[0].compute_txid(), Refusal::Other);

    let after = node.transactions(&mut claims, LATE);
    assert_eq!(after.len(), 1);
    assert_ne!(after[0].input[1].previous_output, before[0].input[1].previous_output);
    scripts_verify(&after[0], &world.outputs);
}

#[test]
fn a_request_that_contradicts_itself_is_told_and_stops_no_other() {
    let (mut world, mut node, mut claims) = anchors();
    let second = world.second_stage_requests();
    let good = second[3].clone();
    let commitment = world.commitment_request();
    let sweep = world.their_commitment_requests().remove(1);
    let nonsense = [
        with(&commitment, |transaction| transaction.input.clear()),
        with(&commitment, |transaction| transaction.input[0].previous_output = OutPoint::null()),
        with(&second[0], |transaction| transaction.output.clear()),
        with(&second[0], |transaction| transaction.output[0].value = Amount::MAX_MONEY),
        {
            let mut request = second[0].clone();
            let ClaimKind::SecondStage { remote_sighash, .. } = &mut request.kind else { panic!() };
            *remote_sighash = EcdsaSighashType::All;
            request
        },
        {
            let mut request = sweep.clone();
            let ClaimKind::Sweep { lock_time, .. } = &mut request.kind else { panic!() };
            *lock_time = BlockHeight(500_000_000);
            request
        },
        ClaimRequest { amount: Amount::from_sat(u64::MAX), ..sweep },
    ];
    for bad in nonsense {
        claims.replace(good.channel_id, vec![bad.clone(), good.clone()]);

        let due = node.due(&mut claims, LATE);

        assert_eq!(due.transactions.len(), 1, "{bad:?}");
        assert_eq!(due.transactions[0].input[0].previous_output, good.outpoint);
        assert_eq!(due.errors.len(), 1, "{bad:?}");
        assert_eq!(due.errors[0].outpoint, bad.outpoint);
        assert!(matches!(due.errors[0].kind, ClaimErrorKind::Request(_)), "{:?}", due.errors);
    }
}

fn anchors() -> (World, Node, Claims) {
    let amounts = [50_000, 60_000, 70_000, 80_000];
    let mut world = World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 3, &amounts);
    let node = Node::new(&mut world, &[30_000, 10_000, 40_000, 20_000, 50_000]);
    (world, node, Claims::new())
}

/// The request with its transaction changed.
fn with(request: &ClaimRequest, change: impl FnOnce(&mut Transaction)) -> ClaimRequest {
    let mut request = request.clone();
    match &mut request.kind {
        ClaimKind::Commitment { transaction, .. } | ClaimKind::SecondStage { transaction, .. } => {
            change(transaction);
        }
        ClaimKind::Sweep { .. } => panic!("a sweep has no transaction"),
    }
    request
}
