//! Fees that rise: by the deadline, by the source, and after a refusal.

use bitcoin::{Amount, OutPoint, Transaction};
use lastword_claims::{ClaimErrorKind, Claims, Refusal};
use lastword_types::{BlockHeight, ClaimKind, ClaimRequest, CommitmentFormat};

use crate::mempool::{Mempool, offer_all};
use crate::verify::{fee, nothing_is_dust, scripts_verify, spender};
use crate::wallet::Node;
use crate::world::{CONFIRMED, LATE, World};

const FORMATS: [CommitmentFormat; 3] = [
    CommitmentFormat::StaticRemoteKey,
    CommitmentFormat::AnchorsZeroFeeHtlc,
    CommitmentFormat::ZeroFee,
];
const AMOUNTS: [u64; 4] = [50_000, 60_000, 70_000, 2_000_000];

/// One request of a world, in a claims of its own, and a deadline where it is to have one.
struct One {
    world: World,
    node: Node,
    claims: Claims,
    mempool: Mempool,
    request: ClaimRequest,
}

impl One {
    fn new(mut world: World, mut request: ClaimRequest, deadline: Option<BlockHeight>) -> Self {
        let coins = [5_000, 50_000, 500_000, 3_000_000, 5_100, 50_100, 500_100, 3_100_000];
        let node = Node::new(&mut world, &coins);
        request.deadline = deadline;
        let mut claims = Claims::new();
        claims.replace(request.channel_id, vec![request.clone()]);
        Self { world, node, claims, mempool: Mempool::default(), request }
    }

    /// Offers what is due; nothing that is not there already is refused.
    fn taken(&mut self, tip: BlockHeight) -> Vec<Transaction> {
        let Self { world, node, claims, mempool, .. } = self;
        let (due, refused) = offer_all(node, claims, mempool, world, tip);
        assert_eq!(refused, [], "every replacement is taken");
        due.transactions.iter().for_each(|transaction| scripts_verify(transaction, &world.outputs));
        due.transactions.iter().for_each(nothing_is_dust);
        let packages = due.packages.into_iter().map(|[_, child]| child);
        due.transactions.into_iter().chain(packages).collect()
    }

    fn fee(&self, transaction: &Transaction) -> u64 {
        fee(transaction, &self.world.outputs).to_sat()
    }
}

/// Every kind of claim of an HTLC that can pay more, in every format.
fn htlc_claims(deadline: Option<BlockHeight>) -> Vec<One> {
    let mut all = Vec::new();
    for format in FORMATS {
        let world = || World::new(format, 1, &AMOUNTS);
        let [seconds, remote, penalties] = [
            World::second_stage_requests,
            World::their_commitment_requests,
            World::penalty_requests,
        ]
        .map(|requests| requests(&mut world()));
        let fixed = format == CommitmentFormat::StaticRemoteKey;
        let seconds = seconds.into_iter().filter(|_| !fixed);
        for request in seconds.chain(remote).chain(penalties) {
            if AMOUNTS.contains(&request.amount.to_sat()) {
                let mut world = world();
                world.requests();
                world.penalty_requests();
                all.push(One::new(world, request, deadline));
            }
        }
    }
    assert!(all.len() > 20);
    all
}

#[test]
fn a_claim_rises_with_every_block_to_its_deadline_and_no_further_than_it_is_worth() {
    let deadline = LATE.plus(40);
    for mut one in htlc_claims(Some(deadline)) {
        let value = one.request.amount.to_sat();
        let mut last = 0;
        for left in (1..=30).rev() {
            let tip = BlockHeight(deadline.0 - left - 1);
            let [transaction] = &one.taken(tip)[..] else { panic!("{:?}", one.request) };
            let paid = one.fee(transaction);
            if last > 0 && left > 18 {
                assert_eq!(paid, last, "there is time");
            } else if last > 0 && left < 18 {
                let is_capped = paid > value - 1_000;
                assert!(paid > last + last / 10 || is_capped, "{left}: {last} to {paid}");
            }
            assert!(paid <= value, "{left}: {paid} of {value}");
            last = paid;
        }
        assert!(last > value.min(150_000) - 1_000, "{last} of {value}: it is nearly all spent");
    }
}

#[test]
fn past_its_deadline_a_claim_that_does_not_confirm_rises_on_and_a_new_one_starts_at_the_rate_of_now()
 {
    let deadline = LATE;
    for mut one in htlc_claims(Some(deadline)) {
        let [first] = &one.taken(LATE)[..] else { panic!() };
        let first = one.fee(first);
        assert!(first < 2_000, "{first}");
        let mut last = first;
        for tip in (1..=6).map(|blocks| LATE.plus(blocks)) {
            let [transaction] = &one.taken(tip)[..] else { panic!() };
            let paid = one.fee(transaction);
            assert!((last * 6 / 5..last * 3 / 2).contains(&paid), "{last} to {paid}");
            last = paid;
        }
    }
}

#[test]
fn what_nobody_else_can_take_follows_the_source_up_and_never_a_deadline() {
    for mut one in htlc_claims(None) {
        let [first] = &one.taken(LATE)[..] else { panic!("{:?}", one.request) };
        let first = one.fee(first);
        let [later] = &one.taken(LATE.plus(1_000))[..] else { panic!() };
        assert_eq!(one.fee(later), first);
        let mut last = first;
        for times in [2, 3, 5, 8] {
            (one.node.fees.relaxed, one.node.fees.contended) = (500 * times, 1_000 * times);
            let [transaction] = &one.taken(LATE)[..] else { panic!() };
            let paid = one.fee(transaction);
            let expected = first * u64::from(times);
            // Where a coin is spent whole, nothing is paid for change.
            let slack = expected / 10 + 60;
            assert!((expected - slack..expected + slack).contains(&paid), "{paid} for {expected}");
            assert!(paid > last);
            last = paid;
        }
        (one.node.fees.relaxed, one.node.fees.contended) = (253, 253);
        let [transaction] = &one.taken(LATE)[..] else { panic!() };
        assert_eq!(one.fee(transaction), last, "what is offered cannot be taken back");
    }
}

#[test]
fn a_replacement_pays_the_same_script_and_asks_for_no_other() {
    let deadline = LATE.plus(40);
    for mut one in htlc_claims(Some(deadline)) {
        let mut scripts = Vec::new();
        for left in (1..=18).rev() {
            let transactions = one.taken(BlockHeight(deadline.0 - left - 1));
            let is_second = matches!(one.request.kind, ClaimKind::SecondStage { .. });
            let ours = transactions[0].output.get(usize::from(is_second));
            scripts.extend(ours.map(|output| output.script_pubkey.clone()));
        }
        scripts.dedup();
        assert_eq!(scripts.len(), 1, "{:?}", one.request.kind);
    }
}

#[test]
fn a_child_rises_to_what_is_at_stake_and_not_beyond() {
    for format in [CommitmentFormat::AnchorsZeroFeeHtlc, CommitmentFormat::ZeroFee] {
        for at_stake in [0, 5_000, 100_000] {
            let mut world = World::new(format, 1, &AMOUNTS);
            let mut request = world.commitment_request();
            let ClaimKind::Commitment { at_stake: field, .. } = &mut request.kind else { panic!() };
            *field = Amount::from_sat(at_stake);
            let deadline = LATE.plus(40);
            let mut one = One::new(world, request, Some(deadline));
            let mut last = 0;
            for left in (1..=30).rev() {
                let [child] = &one.taken(BlockHeight(deadline.0 - left - 1))[..] else { panic!() };
                let paid = one.mempool.spender(child.input[1].previous_output).unwrap().1.to_sat();
                assert!(paid >= last);
                last = paid;
            }
            // Without a stake it pays the rate of now: both weigh about 2,500 units.
            let expected = if at_stake == 0 { 600..5_000 } else { at_stake..at_stake + 1 };
            assert!(expected.contains(&last), "{format:?} {at_stake}: {last}");
        }
    }
}

/// After a restart nobody knows what is in the mempool. What is refused for its fee rises until it is
/// taken, or until it is not worth more; then what is there pays more than that.
#[test]
fn after_a_restart_a_refusal_raises_a_claim_past_the_one_that_was_made_before() {
    for (mut one, has_deadline) in htlc_claims(None)
        .into_iter()
        .map(|one| (one, false))
        .chain(htlc_claims(Some(LATE.plus(100))).into_iter().map(|one| (one, true)))
    {
        (one.node.fees.relaxed, one.node.fees.contended) = (1_500, 1_500);
        let before = one.taken(LATE).remove(0);
        (one.node.fees.relaxed, one.node.fees.contended) = (1_000, 1_000);
        one.claims = Claims::new();
        one.claims.replace(one.request.channel_id, vec![one.request.clone()]);
        // The wallet gives another address than before.
        let mut calls = 0;
        loop {
            let One { world, node, claims, mempool, .. } = &mut one;
            let (due, refused) = offer_all(node, claims, mempool, world, LATE);
            calls += 1;
            if refused.is_empty() {
                assert!(!mempool.holds(&before));
                assert!(mempool.holds(&due.transactions[0]));
                break;
            }
            assert!(calls < 6, "{has_deadline} {:?}", one.request);
        }
    }
}

#[test]
fn refusals_raise_what_nobody_else_can_take_to_twice_the_rate_of_what_is_contended() {
    let mut world = World::new(CommitmentFormat::StaticRemoteKey, 1, &[]);
    let request = world.their_commitment_requests().remove(0);
    let mut one = One::new(world, request, None);
    one.mempool.floor = 1_000_000;
    let mut paid = Vec::new();
    for _ in 0..40 {
        let One { world, node, claims, mempool, .. } = &mut one;
        let (due, refused) = offer_all(node, claims, mempool, world, LATE);
        assert_eq!(refused, due.transactions, "it is offered on");
        let weight = refused[0].weight().to_wu();
        paid.push(fee(&refused[0], &world.outputs).to_sat() * 1_000 / weight);
    }
    assert!(paid.is_sorted());
    let last = paid[39];
    assert!((2_000..2_300).contains(&last), "{last}");
}

#[test]
fn a_refusal_that_is_not_for_the_fee_changes_no_fee() {
    for mut one in htlc_claims(Some(LATE.plus(100))) {
        let first = one.taken(LATE).remove(0);
        let rate = |one: &One, it: &Transaction| one.fee(it) * 1_000 / it.weight().to_wu();
        let before = rate(&one, &first);
        one.mempool.entries.clear();
        let mut last = first;
        for _ in 0..20 {
            one.claims.refused(one.request.channel_id, last.compute_txid(), Refusal::Other);
            last = one.taken(LATE).remove(0);
            one.mempool.entries.clear();
        }
        let after = rate(&one, &last);
        assert!(before.abs_diff(after) * 30 < before, "{before} to {after}");
    }
}

#[test]
fn several_small_coins_pay_where_no_single_one_does() {
    for format in [CommitmentFormat::AnchorsZeroFeeHtlc, CommitmentFormat::ZeroFee] {
        let mut world = World::new(format, 1, &AMOUNTS);
        let commitment = world.commitment_request();
        let second = world.second_stage_requests().remove(0);
        for (request, coins) in [(commitment, [2_000; 4]), (second, [600; 4])] {
            let mut node = Node::new(&mut world, &coins);
            let mut claims = Claims::new();
            claims.replace(request.channel_id, vec![request.clone()]);
            let due = node.due(&mut claims, LATE);
            assert!(due.errors.is_empty(), "{:?}", due.errors);
            let payer =
                due.packages.first().map_or_else(|| &due.transactions[0], |[_, child]| child);
            assert!(payer.input.len() > 2, "{payer:?}");
            let mut outputs = world.outputs.clone();
            for [parent, _] in &due.packages {
                outputs.extend(crate::verify::outputs_of(parent));
            }
            scripts_verify(payer, &outputs);
            let coin = payer
                .input
                .iter()
                .filter(|it| outputs[&it.previous_output].value.to_sat() == coins[0]);
            assert!(coin.count() > 1);
        }
    }
}

/// Each kind of claim waits while it is not worth its fee and is made at the first block at which it
/// is: sweep, HTLC transaction, penalty alone and shared, and the child of a commitment.
#[test]
fn whatever_waits_for_lower_fees_is_looked_at_again_at_every_block() {
    for format in FORMATS {
        let amounts = [3_000, 3_100, 3_200, 3_300];
        let mut world = World::new(format, 1, &amounts);
        let mut kinds: Vec<(Vec<ClaimRequest>, &[u64])> = vec![
            (vec![world.their_commitment_requests().remove(0)], &[]),
            (world.penalty_requests().into_iter().filter(is_small).collect(), &[]),
        ];
        for request in world.their_commitment_requests().into_iter().filter(is_small) {
            kinds.push((vec![request], &[]));
        }
        if format != CommitmentFormat::StaticRemoteKey {
            kinds.push((vec![world.second_stage_requests().remove(0)], &[100_000]));
        }
        if format == CommitmentFormat::ZeroFee {
            // A commitment that pays nothing waits for a coin that is large enough.
            kinds.push((vec![world.commitment_request()], &[5_000]));
        }
        for (mut requests, coins) in kinds {
            requests.retain(|request| request.amount.to_sat() != 330);
            let far = CONFIRMED.plus(5_000);
            for request in &mut requests {
                request.deadline = request.deadline.map(|_| far);
            }
            let Some(channel_id) = requests.first().map(|request| request.channel_id) else {
                continue;
            };
            let mut node = Node::new(&mut world, coins);
            let mut claims = Claims::new();
            claims.replace(channel_id, requests.clone());
            let mut made = 0;
            for (blocks, rate) in (0..).zip([40_000_000, 30_000, 20_000, 10_000, 3_000, 1_000, 253])
            {
                (node.fees.relaxed, node.fees.contended) = (rate, rate);
                let due = node.due(&mut claims, LATE.plus(blocks));
                let now = due.transactions.len() + due.packages.len();
                assert!(now >= made, "it stands from then on");
                assert!(blocks > 0 || now == 0, "{requests:?}");
                made = now;
            }
            let waiting = claims.not_worth_their_fee();
            assert!(made > 0 && waiting.is_empty(), "{format:?} {requests:?}: {waiting:?}");
        }
    }
}

fn is_small(request: &ClaimRequest) -> bool {
    (3_000..4_000).contains(&request.amount.to_sat())
}

#[test]
fn a_penalty_alone_is_raised_once_a_block_until_it_confirms() {
    let mut world = World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 1, &AMOUNTS);
    let requests = world.penalty_requests();
    // What we offered can be taken by the peer in the block after the commitment.
    let request =
        requests.into_iter().find(|it| it.deadline == Some(CONFIRMED.plus(1))).expect("one");
    let deadline = request.deadline;
    let mut one = One::new(world, request, deadline);
    let mut last = 0;
    for tip in (0..12).map(|blocks| CONFIRMED.plus(blocks)) {
        let [transaction] = &one.taken(tip)[..] else { panic!() };
        let paid = one.fee(transaction);
        assert!(paid > last + last / 5, "{last} to {paid}");
        assert_eq!(one.taken(tip).len(), 1, "once a block");
        assert_eq!(one.fee(&one.mempool.entries[0].0), paid);
        last = paid;
    }
    assert!(last > 6_000 && last < one.request.amount.to_sat());
}

#[test]
fn a_coin_that_a_replacement_gives_back_is_taken_by_no_other_claim_of_that_block() {
    let mut world = World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 1, &[50_000, 60_000]);
    let mut node = Node::new(&mut world, &[1_200, 9_000]);
    let mut claims = Claims::new();
    let mut requests = world.second_stage_requests();
    for request in &mut requests {
        request.deadline = None;
    }
    let channel_id = requests[0].channel_id;
    claims.replace(channel_id, vec![requests[0].clone()]);
    let first = node.transactions(&mut claims, LATE).remove(0);
    let coin = first.input[1].previous_output;
    claims.replace(channel_id, requests.clone());
    (node.fees.relaxed, node.fees.contended) = (4_000, 4_000);

    let due = node.due(&mut claims, LATE);

    assert_eq!(due.transactions.len(), 1, "the other waits: {:?}", due.errors);
    assert!(due.transactions[0].input.iter().all(|input| input.previous_output != coin));
    assert!(matches!(due.errors[0].kind, ClaimErrorKind::NoCoin { .. }));
    assert_eq!(node.due(&mut claims, LATE).transactions, due.transactions);
    (node.fees.relaxed, node.fees.contended) = (1_000, 1_000);
    let next = node.due(&mut claims, LATE.plus(1)).transactions;
    let spends = |outpoint: OutPoint| spender(&next, outpoint).is_some();
    assert!(spends(requests[0].outpoint) && spends(requests[1].outpoint) && spends(coin));
}
