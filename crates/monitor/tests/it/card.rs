//! The card, and that an idle channel costs nothing.

use lastword_types::{
    BlockHeight, BookEpoch, Card, ChainDelta, CommitmentFormat, Effect, MonitorRecord, UpdateStep,
};

use crate::channel::{
    BIRTH, CHANNEL, Channel, EXPIRY, FAILED, Offer, PEER, US, block, fulfilled, offer, preimage,
};

/// What a driver does with empty blocks: it wakes a monitor only at its deadline. Returns how often.
fn drive(channel: &mut Channel, from: u32, blocks: u32) -> usize {
    let mut records = 0;
    for height in from..from + blocks {
        if channel.monitor().card().next_deadline == Some(BlockHeight(height)) {
            let block = block(height, 0);
            let delta = ChainDelta::Connected { block, transactions: Vec::new() };
            channel.apply(US, MonitorRecord::Chain(delta));
            records += 1;
        }
    }
    records
}

#[test]
fn a_thousand_empty_blocks_are_no_record_for_an_open_channel() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let name = channel.add(US, offer(1, 50_000));
    channel.remove(name, FAILED);
    channel.add(US, Offer { expiry: BIRTH + 1_000, ..offer(2, 50_000) });
    let before = channel.monitor().state().clone();
    assert_eq!(drive(&mut channel, BIRTH + 1, 1000), 0);
    assert_eq!(channel.monitor().state(), &before);
}

#[test]
fn a_thousand_empty_blocks_are_one_record_for_a_closed_channel_that_waits() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    channel.add(US, offer(1, 50_000));
    let closing = channel.newest(US).transaction.clone();
    channel.connect(200, &[&closing]);
    assert_eq!(drive(&mut channel, 201, 1000), 1);
    let card = channel.monitor().card();
    assert_eq!((card.synced_to, card.next_deadline), (block(205, 0), None));
    assert!(card.has_claims);
}

#[test]
fn the_card_of_a_new_channel_watches_the_funding_output() {
    let channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let expected = Card {
        channel_id: CHANNEL,
        latest_update: lastword_types::UpdateId(0),
        watched: vec![channel.nodes[US].parameters.funding_outpoint],
        next_deadline: None,
        has_undelivered: false,
        is_closed: false,
        has_claims: false,
        synced_to: block(BIRTH, 0),
        covers: 0,
        pruned_behind: BookEpoch::ZERO,
        is_archived: false,
    };
    assert_eq!(channel.monitor().card(), expected);
}

#[test]
fn a_failed_channel_is_closed_and_has_a_claim() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let effects = channel.update(US, vec![UpdateStep::FailChannel]);
    let card = channel.monitor().card();
    assert!(card.is_closed && card.has_claims);
    assert!(effects.contains(&Effect::ClaimsChanged) && effects.contains(&Effect::CardChanged));
}

#[test]
fn a_preimage_for_a_closed_channel_is_a_new_claim() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    channel.add(PEER, offer(1, 50_000));
    let closing = channel.newest(PEER).transaction.clone();
    channel.connect(200, &[&closing]);
    let before = channel.monitor().claim_requests().len();
    let effects = channel.update(US, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
    assert!(effects.contains(&Effect::ClaimsChanged));
    assert_eq!(channel.monitor().claim_requests().len(), before + 1);
}

#[test]
fn what_we_failed_back_is_not_claimed_with_the_preimage_of_another() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let given_up = channel.add(PEER, offer(1, 50_000));
    let kept = channel.add(PEER, offer(1, 50_000));
    let holds_both = channel.newest(US).transaction.clone();
    channel.sign(PEER, &[], &[(given_up, FAILED)]);
    channel.update(US, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
    channel.connect(200, &[&holds_both]);

    let [given_up, kept] = [given_up, kept].map(|name| channel.output_of(US, name).unwrap());
    assert!(channel.request(US, given_up).is_none());
    assert!(channel.request(US, kept).is_some());
}

#[test]
fn our_commitment_is_urgent_when_it_holds_what_we_can_claim() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    channel.add(PEER, offer(1, 50_000));
    channel.fail(US);
    let deadline = |channel: &Channel| channel.monitor().claim_requests()[0].deadline;
    assert_eq!(deadline(&channel), None);
    channel.update(US, vec![UpdateStep::Preimage { preimage: preimage(1) }]);
    assert_eq!(deadline(&channel), Some(BlockHeight(EXPIRY)));
}

#[test]
fn what_we_fulfilled_by_message_is_claimed_on_chain_too() {
    let mut channel = Channel::new(CommitmentFormat::StaticRemoteKey);
    let name = channel.add(PEER, offer(1, 50_000));
    channel.sign(PEER, &[], &[(name, fulfilled(1))]);
    let closing = channel.newest(US).transaction.clone();
    channel.connect(200, &[&closing]);

    let output = channel.output_of(US, name).unwrap();
    assert!(channel.request(US, output).is_some());
}
