//! In which order claims are made, when many are due at once.

use lastword_claims::{Claims, Offer, Refusal, Wallet};
use lastword_types::{BlockHeight, CommitmentFormat};

use crate::wallet::Node;
use crate::world::{LATE, World};

const FORMAT: CommitmentFormat = CommitmentFormat::AnchorsZeroFeeHtlc;
const AMOUNTS: [u64; 4] = [20_000, 30_000, 40_000, 50_000];

/// Three channels, the deadlines of whose claims lie between those of the others.
fn three() -> ([World; 3], Node, Claims) {
    let mut worlds = [1, 5, 9].map(|seed| World::new(FORMAT, seed, &AMOUNTS));
    let [first, others @ ..] = &mut worlds;
    let mut node = Node::new(first, &[5_000; 12]);
    let mut claims = Claims::new();
    for world in others {
        node.joins(world);
    }
    for (world, offset) in worlds.iter_mut().zip([2, 0, 1]) {
        let mut requests = world.second_stage_requests();
        for (request, place) in requests.iter_mut().zip([3, 2, 1, 0]) {
            request.deadline = Some(LATE.plus(100 + 3 * place + offset));
        }
        claims.replace(world.parameters.channel_id, requests);
    }
    (worlds, node, claims)
}

fn offers(node: &mut Node, claims: &mut Claims, count: usize) -> Vec<Offer> {
    let Node { signer, coins, fees } = node;
    let mut wallet = Wallet { signer, coins, fees };
    claims.begin(LATE, &mut wallet).take(count).collect()
}

fn deadlines(offers: &[Offer]) -> Vec<BlockHeight> {
    offers.iter().filter_map(|offer| offer.deadline).collect()
}

#[test]
fn claims_of_all_channels_are_made_and_offered_nearest_deadline_first() {
    let (_, mut node, mut claims) = three();
    let made = offers(&mut node, &mut claims, usize::MAX);
    let found = deadlines(&made);
    assert_eq!(found.len(), 12);
    assert!(found.is_sorted(), "{found:?}");
    let turns = made.windows(2).filter(|pair| pair[0].channel_id != pair[1].channel_id).count();
    assert!(turns > 6, "no channel waits until another is through: {turns}");
    assert_eq!(offers(&mut node, &mut claims, usize::MAX), made, "the same again at every call");
}

#[test]
fn no_claim_is_signed_before_it_is_asked_for() {
    let (_, mut node, mut claims) = three();
    let first = offers(&mut node, &mut claims, 1);
    assert_eq!(node.signer.asked, 1);
    assert_eq!(deadlines(&first), [LATE.plus(100)]);
    let all = offers(&mut node, &mut claims, usize::MAX);
    assert_eq!(node.signer.asked, 12, "what a dropped round made stands");
    assert_eq!(all[0], first[0]);
}

#[test]
fn when_coins_are_scarce_the_nearest_deadline_of_all_channels_has_them() {
    let (_, mut node, mut claims) = three();
    node.coins.coins.truncate(2);
    let made = offers(&mut node, &mut claims, usize::MAX);
    assert_eq!(deadlines(&made), [100, 101].map(|blocks| LATE.plus(blocks)));
}

#[test]
fn an_offer_that_is_refused_is_the_only_one_that_is_made_anew() {
    let (_, mut node, mut claims) = three();
    let before = offers(&mut node, &mut claims, usize::MAX);
    for (refusal, place) in [(Refusal::Fee, 3), (Refusal::Other, 7)] {
        let Node { signer, coins, fees } = &mut node;
        // The coin of the one that is refused is gone.
        let spent = before[place].transactions[0].input[1].previous_output;
        coins.coins.retain(|coin| coin.outpoint != spent || refusal == Refusal::Fee);
        let mut wallet = Wallet { signer, coins, fees };
        let mut round = claims.begin(LATE, &mut wallet);
        while let Some(offer) = round.next() {
            if offer.transactions == before[place].transactions {
                round.refused(&offer, refusal);
            }
        }
    }
    node.coins.coins.clear();
    let after = offers(&mut node, &mut claims, usize::MAX);
    let stayed = |offer: &&Offer| after.contains(offer);
    assert_eq!(before.iter().filter(stayed).count(), 10, "one pays more and one is gone");
    let again: Vec<_> = before.iter().filter(|offer| !after.contains(offer)).collect();
    assert_eq!(again, [&before[3], &before[7]]);
}
