//! Failures that others had with claims, each named by its row in `docs/FAILURES.md`.

use bitcoin::{Amount, OutPoint, Transaction, TxOut};
use lastword_claims::{ClaimErrorKind, Claims, Refusal, SECURITY_DELAY};
use lastword_types::{BlockHeight, ClaimKind, ClaimRequest, CommitmentFormat};

use crate::mempool::{Mempool, offer_all};
use crate::verify::{fee, scripts_verify, spender};
use crate::wallet::Node;
use crate::world::{CONFIRMED, EXPIRY, LATE, World};

const FORMATS: [CommitmentFormat; 3] = [
    CommitmentFormat::StaticRemoteKey,
    CommitmentFormat::AnchorsZeroFeeHtlc,
    CommitmentFormat::ZeroFee,
];

/// A rival took the inputs of a batch one by one; each time the rest was put together again only at
/// the next block, and at the lowest fee, until the deadline.
#[test]
fn museum_b008_what_is_left_of_a_batch_keeps_its_rate_and_follows_the_deadline() {
    for format in FORMATS {
        let mut world = World::new(format, 1, &[90_000; 12]);
        let mut node = Node::new(&mut world, &[]);
        let (mut claims, mut mempool) = (Claims::new(), Mempool::default());
        // What the peer offered: it can take it back from the expiry on.
        let mut requests: Vec<ClaimRequest> = world.penalty_requests();
        requests.retain(|request| {
            request.deadline.is_some_and(|it| it.0 >= EXPIRY && it.0 < EXPIRY + 20)
        });
        assert_eq!(requests.len(), 6);
        for request in &mut requests {
            request.deadline = Some(BlockHeight(EXPIRY));
        }
        let channel_id = requests[0].channel_id;
        let victim = requests[5].outpoint;
        // It was dear when the batch was made, and is cheap when the rival comes.
        (node.fees.relaxed, node.fees.contended) = (4_000, 4_000);
        claims.replace(channel_id, requests.clone());
        let (due, _) = offer_all(&mut node, &mut claims, &mut mempool, &world, CONFIRMED);
        assert_eq!(due.transactions.len(), 1, "all in one");
        let rate = |it: &Transaction| fee(it, &world.outputs).to_sat() * 1000 / it.weight().to_wu();
        let mut last = rate(&due.transactions[0]);
        (node.fees.relaxed, node.fees.contended) = (253, 253);
        for tip in EXPIRY - SECURITY_DELAY - 7..EXPIRY - 1 {
            // A transaction of the rival confirms and with it goes what spends the same.
            if requests.len() > 1 {
                let gone = requests.remove(0).outpoint;
                let void = mempool.spender(gone).map(|(it, _)| it.clone());
                if let Some(void) = void {
                    mempool.evict(&void);
                }
                claims.replace(channel_id, requests.clone());
            }
            let (due, refused) =
                offer_all(&mut node, &mut claims, &mut mempool, &world, BlockHeight(tip));
            assert_eq!(refused, [], "what is left is in the mempool in the same block");
            let transaction = spender(&due.transactions, victim).unwrap();
            assert_eq!(transaction.input.len(), requests.len().min(transaction.input.len()));
            let now = rate(transaction);
            assert!(now * 51 >= last * 50, "{tip}: {last} to {now}");
            last = now;
        }
        assert!(last > 80_000, "{last}: at its deadline it is dear");
    }
}

/// A timeout was replaced by a claim with the preimage, whose other input was then spent by something
/// else: neither was left, and the timeout was not offered again, or only as cheap as before.
#[test]
fn museum_b009_a_claim_that_is_cycled_out_is_offered_at_every_block_and_ever_dearer() {
    for format in FORMATS {
        let mut world = World::new(format, 1, &[50_000, 60_000]);
        let mut node = Node::new(&mut world, &[]);
        let mut request = world
            .their_commitment_requests()
            .into_iter()
            .find(|it| it.amount.to_sat() == 50_000)
            .unwrap();
        let ClaimKind::Sweep { lock_time, .. } = request.kind else { panic!() };
        // A forward: the inbound half expires 40 blocks later.
        let deadline = lock_time.plus(40);
        request.deadline = Some(deadline);
        let (mut claims, mut mempool) = (Claims::new(), Mempool::default());
        claims.replace(request.channel_id, vec![request.clone()]);
        let mut spent_by_rival = 0;
        let mut last = 0;
        for tip in lock_time.0..deadline.0 - 1 {
            // The rival's claim of the block before has lost its other input.
            let there = mempool.spender(request.outpoint).cloned();
            if let Some((rival, _)) = there.filter(|(it, _)| it.input.len() == 2) {
                mempool.evict(&rival);
            }
            let (due, refused) =
                offer_all(&mut node, &mut claims, &mut mempool, &world, BlockHeight(tip));
            assert_eq!(refused, []);
            let [ours] = &due.transactions[..] else { panic!("{:?}", due.errors) };
            assert!(mempool.holds(ours), "at every block");
            let paid = fee(ours, &world.outputs);
            assert!(paid.to_sat() >= last);
            last = paid.to_sat();
            // It pays just enough to throw ours out, at a better rate.
            let rival = rival_of(ours);
            let [weight, ours] = [&rival, ours].map(|it| it.weight().to_wu());
            let enough = Amount::from_sat(paid.to_sat() * weight / ours + weight);
            assert_eq!(mempool.offer(&rival, enough), Ok(()));
            spent_by_rival = enough.to_sat();
        }
        assert!(last > 48_000, "{last}: at the deadline the HTLC is all fee");
        assert!(spent_by_rival > last, "and so the rival pays more than it can win");
    }
}

/// The same, with the rival still there when ours is offered.
#[test]
fn museum_b009_a_claim_that_finds_a_rival_in_the_mempool_outbids_it_up_to_its_worth() {
    for (fee_of_rival, is_outbid) in [(5_000, true), (30_000, true), (60_000, false)] {
        let mut world = World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 1, &[50_000, 60_000]);
        let mut node = Node::new(&mut world, &[]);
        let mut request = world
            .their_commitment_requests()
            .into_iter()
            .find(|it| it.amount.to_sat() == 50_000)
            .unwrap();
        request.deadline = Some(LATE.plus(30));
        let (mut claims, mut mempool) = (Claims::new(), Mempool::default());
        claims.replace(request.channel_id, vec![request.clone()]);
        let ours = node.transactions(&mut claims, LATE).remove(0);
        let rival = rival_of(&ours);
        assert_eq!(mempool.offer(&rival, Amount::from_sat(fee_of_rival)), Ok(()));
        let mut offered = 0;
        for blocks in 0..25 {
            let (due, _) =
                offer_all(&mut node, &mut claims, &mut mempool, &world, LATE.plus(blocks));
            offered += due.transactions.len();
            assert!(due.transactions.iter().all(|it| fee(it, &world.outputs) <= request.amount));
        }
        assert_eq!(offered, 25, "at every block, whether it is taken or not");
        let (there, _) = mempool.spender(request.outpoint).unwrap();
        assert_eq!(there.input.len() == 1, is_outbid);
        // Where the rival goes, ours comes back.
        mempool.evict(&rival);
        let (due, refused) = offer_all(&mut node, &mut claims, &mut mempool, &world, LATE.plus(25));
        assert!(refused.is_empty() && mempool.holds(&due.transactions[0]));
    }
}

/// The peer's claim of the same output with another input of its own.
fn rival_of(ours: &Transaction) -> Transaction {
    let mut rival = ours.clone();
    let mut other = rival.input[0].clone();
    other.previous_output = OutPoint { vout: 77, ..OutPoint::null() };
    rival.input.push(other);
    rival.output = vec![TxOut::NULL];
    rival
}

/// What was called a replacement paid the same as before, or less than is relayed, because the output
/// had been cut down to dust already.
#[test]
fn museum_b071_a_replacement_pays_for_itself_and_for_what_it_replaces_or_is_not_made() {
    for format in FORMATS {
        for amount in [700, 1_000, 1_500, 3_000, 20_000] {
            let mut world = World::new(format, 1, &[amount, amount]);
            for mut request in world.requests() {
                if request.amount.to_sat() != amount {
                    continue;
                }
                request.deadline = Some(LATE.plus(20));
                let mut node = Node::new(&mut world, &[1_000, 1_400, 4_000, 30_000]);
                (node.fees.relaxed, node.fees.contended) = (253, 253);
                let (mut claims, mut mempool) = (Claims::new(), Mempool::default());
                claims.replace(request.channel_id, vec![request.clone()]);
                let mut replaced = 0;
                for blocks in 0..24 {
                    let before = mempool.spender(request.outpoint).cloned();
                    node.fees.contended += 20 * blocks;
                    let (due, refused) =
                        offer_all(&mut node, &mut claims, &mut mempool, &world, LATE.plus(blocks));
                    assert_eq!(refused, [], "{format:?} {amount} {blocks}");
                    let Some((before, paid)) = before else { continue };
                    let [now] = &due.transactions[..] else { panic!("it stands") };
                    crate::verify::nothing_is_dust(now);
                    if *now != before {
                        let relay = Amount::from_sat(now.weight().to_wu().div_ceil(4));
                        assert!(fee(now, &world.outputs) >= paid + relay);
                        replaced += 1;
                    }
                }
                assert!(replaced > 0 || amount < 1_000 || is_fixed(&request), "{request:?}");
            }
        }
    }
}

fn is_fixed(request: &ClaimRequest) -> bool {
    matches!(request.kind, ClaimKind::SecondStage { format: CommitmentFormat::StaticRemoteKey, .. })
}

/// The wallet could not pay as planned, or the rate of now was more than an input could pay, and so
/// the claim was not made at all, again and again.
#[test]
fn museum_b072_what_cannot_be_paid_as_planned_pays_what_it_can_when_time_is_short() {
    let formats = [CommitmentFormat::AnchorsZeroFeeHtlc, CommitmentFormat::ZeroFee];
    for format in formats {
        let mut world = World::new(format, 1, &[3_000, 3_000]);
        let near = Some(LATE.plus(10));
        let far = Some(LATE.plus(100));
        for (request, coins, rate) in [
            // A coin that is too small, several of them, and a rate that eats the output.
            (world.second_stage_requests().remove(0), &[900][..], 2_000),
            (world.second_stage_requests().remove(0), &[450, 450], 2_000),
            (world.commitment_request(), &[3_000], 8_000),
            (small(world.their_commitment_requests()), &[], 20_000),
            (small(world.penalty_requests()), &[], 20_000),
        ] {
            let mut node = Node::new(&mut world, coins);
            (node.fees.relaxed, node.fees.contended) = (rate, rate);
            let made = |deadline: Option<BlockHeight>, node: &mut Node| {
                let mut claims = Claims::new();
                claims.replace(
                    request.channel_id,
                    vec![ClaimRequest { deadline, ..request.clone() }],
                );
                let due = node.due(&mut claims, LATE);
                let again = node.due(&mut claims, LATE);
                assert_eq!(
                    (&again.transactions, &again.packages),
                    (&due.transactions, &due.packages)
                );
                due
            };
            let early = made(far, &mut node);
            let is_commitment = matches!(request.kind, ClaimKind::Commitment { .. });
            let goes_alone = is_commitment && format == CommitmentFormat::AnchorsZeroFeeHtlc;
            assert_eq!(early.transactions.len(), usize::from(goes_alone), "{:?}", early.errors);
            assert_eq!(early.packages.len(), 0);
            assert!(matches!(
                early.errors[0].kind,
                ClaimErrorKind::NoCoin { .. } | ClaimErrorKind::NotWorthItsFee { .. }
            ));
            let late = made(near, &mut node);
            assert_eq!(late.transactions.len() + late.packages.len(), 1, "{request:?}");
            assert!(!is_commitment || late.packages.len() == 1, "with the child that can be had");
            let mut mempool = Mempool::default();
            for transaction in &late.transactions {
                let paid = fee(transaction, &world.outputs);
                assert_eq!(mempool.offer(transaction, paid), Ok(()), "it is relayed");
                scripts_verify(transaction, &world.outputs);
            }
            // A coin that is missing is told as long as it is.
            let is_told = |kind: &ClaimErrorKind| matches!(kind, ClaimErrorKind::NoCoin { .. });
            assert_eq!(late.errors.iter().any(|it| is_told(&it.kind)), !coins.is_empty());
        }
    }
}

fn small(requests: Vec<ClaimRequest>) -> ClaimRequest {
    requests.into_iter().find(|request| request.amount.to_sat() == 3_000).expect("one")
}

/// A failure that had nothing to do with fees drove the fee of the next attempt up, until it was more
/// than the output could pay.
#[test]
fn museum_b072_a_failure_that_is_not_of_the_fee_does_not_drive_it_up() {
    let mut world = World::new(CommitmentFormat::AnchorsZeroFeeHtlc, 1, &[3_000, 3_000]);
    for request in [small(world.their_commitment_requests()), small(world.penalty_requests())] {
        let mut node = Node::new(&mut world, &[]);
        let mut claims = Claims::new();
        let far = Some(LATE.plus(100));
        let channel_id = request.channel_id;
        claims.replace(channel_id, vec![ClaimRequest { deadline: far, ..request }]);
        let first = node.transactions(&mut claims, LATE).remove(0);
        for _ in 0..100 {
            let last = node.transactions(&mut claims, LATE).remove(0);
            claims.refused(channel_id, last.compute_txid(), Refusal::Other);
        }
        let last = node.transactions(&mut claims, LATE).remove(0);
        assert_eq!(fee(&last, &world.outputs), fee(&first, &world.outputs));
    }
}

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
                let due = node.due(&mut claims, BlockHeight(tip));
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
